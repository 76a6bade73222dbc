"""The Flight room with keys only: what is asked, what is shown, what nothing may come of."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
from flights import CHANGES, PLAN, STATES, flying, pages, section, transfer
from frames import check_frame, console, frame, sizes
from scripted import NOW_MS, ScriptedEngine

from atom_console.engine.commands import (
    CancelTransfer,
    FetchSchema,
    ListFlights,
    Ping,
    Receipt,
    Refresh,
    StartTransfer,
)
from atom_console.engine.flight_pages import RowPages
from atom_console.errors import RefusedError
from atom_console.ui.drawing import plain
from atom_console.ui.rooms.flight.panel import HEIGHT, transfer_lines
from atom_console.ui.rooms.flight.sources import PageSource


@sizes
async def test_states(size: tuple[int, int]) -> None:
    engine = ScriptedEngine(flying(section()))
    async with console(engine, size) as (app, press):
        await press("3")
        for state, shown in STATES.items():
            engine.snapshots = [flying(shown)]
            await press("ctrl+r")
            check_frame(app, f"flight-{state}")


@sizes
async def test_schemas_of_plans(size: tuple[int, int]) -> None:
    async with console(ScriptedEngine(flying(section())), size) as (app, press):
        await press("3", "down")
        check_frame(app, "flight-schema-differs")
        await press("down")
        check_frame(app, "flight-schema-invalid")


def previewing(**changes: object) -> ScriptedEngine:
    """An engine whose preview is there when it is asked for."""
    engine = ScriptedEngine(flying(section()))

    def answer(command: object) -> Receipt:
        if isinstance(command, StartTransfer) and command.to == "preview":
            view = transfer(number=len(engine.submitted), to="preview", plan_id=command.plan_id, **changes)
            if command.accept_schema:
                view = dataclasses.replace(view, state="done", changes=(), pages=pages(), accepted=True)
            engine.snapshots = [flying(section(preview=view))]
        return Receipt("Did it.", NOW_MS)

    engine.answer = answer
    return engine


@sizes
async def test_rows(size: tuple[int, int]) -> None:
    engine = previewing(state="done", pages=pages(), cut=True, rows_expected=1_000_000)
    async with console(engine, size) as (app, press):
        await press("3", "enter")
        assert StartTransfer(plan_id="q3-forecast", to="preview") in engine.submitted
        check_frame(app, "flight-rows")
        await press("right", "right", "down", "down")
        check_frame(app, "flight-rows-right")
        await press("enter")
        check_frame(app, "flight-row")
        await press("escape", "escape")
        assert "3 plans" in frame(app)


@sizes
async def test_a_mismatch_is_a_diff_with_the_choice_to_go_on(size: tuple[int, int]) -> None:
    engine = previewing(state="mismatch", changes=CHANGES, schema_equal=False, pages=None)
    async with console(engine, size) as (app, press):
        await press("3", "enter")
        check_frame(app, "flight-differences")
        await press("a")
        assert engine.submitted[-1] == StartTransfer(plan_id="q3-forecast", to="preview", accept_schema=True)
        assert "the stream's own schema" in frame(app)


async def test_a_mismatch_of_a_transfer_goes_on_with_its_own_target() -> None:
    view = transfer(state="mismatch", changes=CHANGES, to="file", target="/srv/q3.parquet", schema_equal=False)
    engine = ScriptedEngine(flying(section(transfer=view)))
    async with console(engine) as (app, press):
        await press("3")
        assert "3 differences, the first: numeric_value type changed" in frame(app)
        await press("m")
        assert "✗ numeric_value" in frame(app)
        await press("a")
        wanted = StartTransfer(plan_id="q3-forecast", to="file", path=Path("/srv/q3.parquet"), accept_schema=True)
        assert engine.submitted[-1] == wanted


async def test_going_on_is_refused_where_nothing_differs() -> None:
    engine = ScriptedEngine(flying(section()))
    async with console(engine) as (app, press):
        await press("3", "a")
        assert "No schema differs from its promise" in frame(app)
        await press("m")
        assert not [command for command in engine.submitted if isinstance(command, StartTransfer)]


async def test_the_first_visit_asks_once_and_each_plan_once() -> None:
    engine = ScriptedEngine(flying(section(schemas=())))
    async with console(engine) as (app, press):
        assert engine.submitted == []
        await press("3")
        assert engine.submitted == [ListFlights(), FetchSchema(plan_id="q3-forecast")]
        app.tick()
        app.tick()
        await press("down", "1", "3")
        assert engine.submitted[2:] == [FetchSchema(plan_id="q3-actuals")]


async def test_keys_ask_for_what_they_say() -> None:
    engine = ScriptedEngine(flying(section(transfer=transfer())))
    async with console(engine) as (app, press):
        await press("3", "d", "b", "x", "p", "ctrl+r")
        asked = [command for command in engine.submitted if not isinstance(command, ListFlights)]
        assert asked == [
            StartTransfer(plan_id="q3-forecast"),
            StartTransfer(plan_id="q3-forecast", to="bench"),
            CancelTransfer(),
            Ping(),
            Refresh(),
        ]
        await press("w")
        assert ":fetch q3-forecast.parquet" in frame(app)
        await press("enter")
        path = Path("q3-forecast.parquet")
        assert engine.submitted[-1] == StartTransfer(plan_id="q3-forecast", to="file", path=path)
        await press("c")
        assert ":server grpc+tls://engine-1:50051" in frame(app)
        await press(*"9", "enter")
        assert engine.submitted[-1] == ListFlights(uri="grpc+tls://engine-1:500519")
        await press("o", *"q4", "enter")
        assert engine.submitted[-1] == FetchSchema(plan_id="q4", by_hand=True)


async def test_a_plan_named_by_hand_gets_the_cursor() -> None:
    from atom_console.engine.flight_view import FlightRow

    engine = ScriptedEngine(flying(section()))
    async with console(engine) as (app, press):
        await press("3", "o", *"q4", "enter")
        flights = (*section().flights, FlightRow("q4", by_hand=True))
        engine.snapshots = [flying(section(flights=flights))]
        app.tick()
        await press("ctrl+r")
        assert "▸ q4" in frame(app)
        assert "this plan: q4" in frame(app)


async def test_filter_and_back() -> None:
    async with console(ScriptedEngine(flying(section()))) as (app, press):
        await press("3", "slash", *"head", "enter")
        assert "q3-actuals" not in frame(app)
        await press("escape")
        assert "q3-actuals" in frame(app)
        await press("slash", *"zzz", "enter")
        assert "Nothing matches" in frame(app)
        await press("escape", "escape")
        assert "[1 Overview]" in frame(app)


async def test_a_refusal_is_a_sentence() -> None:
    engine = ScriptedEngine(flying(section()))

    def refuse(command: object) -> Receipt:
        raise RefusedError("mdf-1M is still being fetched", next_step="x cancels it")

    async with console(engine) as (app, press):
        await press("3")
        engine.answer = refuse
        await press("d")
        assert "mdf-1M is still being fetched → x cancels it" in frame(app)


async def test_rows_that_the_clearance_hides_are_masked_on_the_screen_and_in_the_copy() -> None:
    hidden = next(row for row in range(8192) if pages(clearance=0).texts(row, row + 1)[0][0] == "masked")
    engine = previewing(state="done", pages=pages(), cut=True)
    copied: list[str] = []
    async with console(engine) as (app, press):
        app.copy_to_clipboard = copied.append  # type: ignore[method-assign]
        await press("3", "enter")
        app.query_one("#rows").move_to(hidden)  # type: ignore[attr-defined]
        await press("enter")
        assert "coordinate_hash   masked" in frame(app)
        await press("y")
        secret = RowPages(PLAN.schema, [PLAN.batch(0)], (1 << 64) - 1).texts(hidden, hidden + 1)[0][0]
        assert secret
        assert secret not in copied[0]
        assert "masked" in copied[0]


async def test_text_of_a_server_is_harmless() -> None:
    from atom_console.engine.flight_view import FlightRow

    row = FlightRow("\x1b]52;c;cHduZWQ=\x07[/bold]", "x", 1, 1, 1)
    note = "\x1b[2J"
    engine = ScriptedEngine(flying(section(flights=(row,), schemas=(), note=note)))
    async with console(engine) as (app, press):
        await press("3")
        shown = frame(app)
        assert "␛]52;c;" in shown
        assert "\x1b" not in shown


async def test_only_rows_on_the_screen_become_text(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []
    real = RowPages.texts

    def texts(self: RowPages, start: int, stop: int) -> list[tuple[str | None, ...]]:
        asked.append(stop - start)
        return real(self, start, stop)

    monkeypatch.setattr(RowPages, "texts", texts)
    engine = previewing(state="done", pages=pages(), cut=True)
    async with console(engine) as (app, press):
        await press("3", "enter", "G")
        assert "10,000" in frame(app)
    assert sum(asked) < 400


def test_a_source_forgets_rows_far_away() -> None:
    source = PageSource(pages())
    for start in range(0, 10_000, 500):
        source.load(start, start + 500)
    assert source.row(0) is None
    assert source.row(9_999) is not None
    assert source.index_of(7) == 7
    assert source.total().rows == 10_000


@pytest.mark.parametrize("width", [40, 60, 80, 120, 200])
@pytest.mark.parametrize("state", STATES)
def test_the_panel_is_four_lines_that_fit(state: str, width: int) -> None:
    shown = STATES[state]
    lines = transfer_lines(shown.transfer, shown.socket_gb_per_s, shown.host, width)
    assert len(lines) == HEIGHT
    assert all(len(plain(row)) <= width for row in lines)


def test_a_speed_never_stands_without_transport_and_both_hosts() -> None:
    for name in ("running", "finished", "finished-gigabyte", "file"):
        shown = STATES[name]
        last = plain(transfer_lines(shown.transfer, shown.socket_gb_per_s, shown.host, 200)[-1])
        assert "1 GB in" in last
        assert "mTLS engine-1:50051 → ops-2" in last
    words = plain(transfer_lines(STATES["finished-gigabyte"].transfer, None, "ops-2", 200)[-1])
    assert words.startswith("  1 GB in 893 ms")
    words = plain(transfer_lines(STATES["finished"].transfer, 1.6, "ops-2", 200)[-1])
    assert words.startswith("  1 GB in ≈ 1,111 ms")
    assert words.endswith("56% of its socket")
