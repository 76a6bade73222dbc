"""The frame in use: keys, rooms, refusals, receipts, and that nothing happens unasked."""

from __future__ import annotations

import dataclasses
import threading
from pathlib import Path

import pytest
from frames import console, frame, settle
from letters import SECRET
from scripted import NOW_MS, ScriptedEngine, disconnected, flowing

from atom_console.dlq.reader import Reader
from atom_console.engine.commands import ExportRecords, PaceWorkload, PublishEvent, Receipt, Refresh, StartWorkload
from atom_console.engine.opening import OpeningEngine
from atom_console.engine.snapshot import EngineSnapshot
from atom_console.errors import RefusedError, UnreachableError
from atom_console.events import EventType, decode, encode_mapping
from atom_console.ui.app import ConsoleApp
from atom_console.ui.dialogs.confirm import Question, number_typed
from atom_console.ui.dialogs.event_form import read_form
from atom_console.ui.options import UiOptions
from atom_console.ui.rooms.dead_letters.room import DeadLettersRoom
from atom_console.ui.rooms.overview import OverviewRoom


def read_only() -> EngineSnapshot:
    base = flowing()
    return dataclasses.replace(base, session=dataclasses.replace(base.session, read_only=True))


async def test_rooms_by_number_and_by_tab(engine: ScriptedEngine) -> None:
    async with console(engine) as (app, press):
        await press("2")
        assert "[2 Dead letters]" in frame(app)
        await press("1", "shift+tab")
        assert "[5 Certificates]" in frame(app)
        await press("tab")
        assert "[1 Overview]" in frame(app)
        await press("tab")
        assert "[2 Dead letters]" in frame(app)
        await press("escape")
        assert "[1 Overview]" in frame(app)


async def test_letters_are_dead_while_a_field_has_the_focus(engine: ScriptedEngine) -> None:
    async with console(engine) as (app, press):
        await press("2", "slash", *"q12?:j")
        assert app.is_running
        assert "/q12?:j" in frame(app)
        assert "[2 Dead letters]" in frame(app)


async def test_a_hidden_room_costs_nothing(engine: ScriptedEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    shown: list[str] = []
    for room in (OverviewRoom, DeadLettersRoom):
        real = room.show

        def show(self, snapshot, real=real):  # type: ignore[no-untyped-def]
            shown.append(self.ROOM)
            real(self, snapshot)

        monkeypatch.setattr(room, "show", show)
    async with console(engine) as (app, press):
        await press("2")
        shown.clear()
        for _ in range(5):
            app.tick()
        assert set(shown) == {"dead-letters"}


async def test_nothing_is_looked_at_when_the_rate_is_0(engine: ScriptedEngine) -> None:
    async with console(engine) as (app, press):
        looks = engine.looks
        await press("1")
        assert engine.looks == looks + 1  # coming into a room looks once
        await press("ctrl+r")
        assert isinstance(engine.submitted[-1], Refresh)
        await press("colon", *"rate 0.1", "enter")
        assert app.refresh_s == 0.5
        await press("colon", *"rate x", "enter")
        assert ":rate takes seconds" in frame(app)


async def test_a_read_only_profile_refuses_before_it_asks() -> None:
    engine = ScriptedEngine(read_only())
    async with console(engine, (120, 40)) as (app, press):
        for key in ("n", "w", "p", "x"):
            await press(key)
            assert "the profile prod is read-only" in frame(app)
        await press("colon", *"workload /tmp/x", "enter")
        assert engine.submitted == []


async def test_a_refusal_of_the_engine_is_a_sentence(engine: ScriptedEngine) -> None:
    def refuse(command: object) -> Receipt:
        raise RefusedError("The lease is held by alice@ops-2.", next_step="wait for her run")

    engine.answer = refuse
    async with console(engine) as (app, press):
        await press("p")
        assert "The lease is held by alice@ops-2. → wait for her run" in frame(app)


async def test_a_slow_command_does_not_hold_the_screen(engine: ScriptedEngine) -> None:
    release = threading.Event()

    def slow(command: object) -> Receipt:
        release.wait(20)
        return Receipt("Refreshed.", NOW_MS)

    engine.answer = slow
    async with console(engine) as (app, press):
        app.command_app_refresh("")
        for _ in range(3):
            app.tick()
        assert not app.jobs.idle
        release.set()
        await press("1")
        assert "Refreshed." in frame(app)


async def test_receipts_of_long_commands_stay(engine: ScriptedEngine) -> None:
    async with console(engine) as (app, _):
        engine.pending = [Receipt("Sent 12 of 12 events.", NOW_MS)]
        app.tick()
        app.tick()
        assert "Sent 12 of 12 events." in app.screen.query_one("#receipt").lines[0][1].text  # type: ignore[attr-defined]


async def test_a_lost_connection_stays_on_every_screen(engine: ScriptedEngine) -> None:
    async with console(engine) as (app, press):
        engine.snapshots = [disconnected()]
        app.tick()
        assert "DISCONNECTED 12 s" in frame(app).splitlines()[0]
        await press("2")
        assert "DISCONNECTED 12 s" in frame(app).splitlines()[0]
        await press("1")
        assert "connection refused" in frame(app)
        assert "14 s old" in frame(app)


async def test_a_workload_by_the_command_line(engine: ScriptedEngine) -> None:
    async with console(engine) as (app, press):
        await press("w", *"/tmp/day.jsonl 500", "enter")
        assert engine.submitted == [StartWorkload(path=Path("/tmp/day.jsonl"), rate_per_s=500)]
        await press("p", "x")
        assert engine.submitted[1:] == [PaceWorkload(action="pause"), PaceWorkload(action="stop")]
        await press("colon", "up")
        assert "workload /tmp/day.jsonl 500" in frame(app)
        await press("escape")
        assert app.focused is app.room


async def test_one_event_by_the_form_and_a_typed_number(engine: ScriptedEngine) -> None:
    async with console(engine, (120, 40)) as (app, press):
        await press("n", *"tenant-1", "enter", "ctrl+s")
        assert "Type the number of events to send them" in frame(app)
        await press("y", "enter")
        assert engine.submitted == []
        await press("backspace", "1", "enter")
        sent = engine.submitted[0]
        assert isinstance(sent, PublishEvent)
        assert sent.event["tenant_id"] == "tenant-1"
        assert sent.event["type"] is EventType.MOLECULE_WRITE
        assert decode(encode_mapping(sent.event)).tenant_id == "tenant-1"
        assert sent.event["timestamp"] == NOW_MS * 1_000_000


def test_the_form_names_each_wrong_field() -> None:
    wanted, wrong = read_form({"type": "WRITE", "timestamp": "now", "coordinate": "00ff", "number": "x"})
    assert wanted is None
    assert set(wrong) == {"type", "timestamp", "coordinate", "number"}
    good = {"type": "HEARTBEAT", "timestamp": "2026-11-24T02:14:07Z", "number": "0", "topic": " t "}
    wanted, wrong = read_form(good)
    assert wrong == {}
    assert wanted is not None
    assert wanted.topic == "t"
    molecules = [{"numeric_value": 0.0}]
    assert wanted.event == {"type": EventType.HEARTBEAT, "timestamp": NOW_MS * 1_000_000, "molecules": molecules}
    sent = decode(encode_mapping(wanted.event))
    assert (sent.type, sent.timestamp) == (EventType.HEARTBEAT, NOW_MS * 1_000_000)


@pytest.mark.parametrize(
    ("question", "keys", "agreed"),
    [
        (Question("Send", 12, "event", "DEV"), ["enter"], None),
        (Question("Send", 12, "event", "DEV"), ["y"], True),
        (Question("Send", 12, "event", "DEV"), ["n"], False),
        (Question("Send", 12, "event", "DEV"), ["escape"], False),
        (Question("Send", 1001, "event", "DEV"), ["y", "enter"], None),
        (Question("Send", 1001, "event", "DEV"), [*"1000", "enter"], None),
        (Question("Send", 1001, "event", "DEV"), [*"1,001", "enter"], True),
        (Question("Send", 3, "event", "PROD", typed=True), ["y"], None),
        (Question("Send", 3, "event", "PROD", typed=True), ["3", "enter"], True),
    ],
)
async def test_a_question_has_no_default(question: Question, keys: list[str], agreed: bool | None) -> None:
    async with console(ScriptedEngine(flowing())) as (app, press):
        done: list[str] = []
        app.ask(question, lambda: done.append("done"))
        await press(*keys)
        assert bool(done) is bool(agreed)
        assert (len(app.screen_stack) == 2) is (agreed is None)


@pytest.mark.parametrize(("text", "number"), [("1,284", 1284), (" 12 ", 12), ("", None), ("1e3", None), ("١٢", None)])
def test_a_typed_number(text: str, number: int | None) -> None:
    assert number_typed(text) == number


async def test_a_pasted_escape_does_not_reach_the_field(engine: ScriptedEngine) -> None:
    from textual import events

    async with console(engine) as (app, press):
        await press("colon")
        assert app.focused is not None
        app.focused.post_message(events.Paste("\x1b]52;c;x\x07\nsecond"))
        await press("end")
        assert ":␛]52;c;x␇" in frame(app)


async def test_filter_mark_export(engine: ScriptedEngine) -> None:
    async with console(engine, (120, 40)) as (app, press):
        await press("2", "slash", *"class=poison", "enter")
        assert "58 of 1,284 records" in frame(app)
        await press("enter", "space", "space", "e", *"/tmp/out.jsonl", "enter")
        command = engine.submitted[-1]
        assert isinstance(command, ExportRecords)
        assert sorted(command.seqs) == [177, 178]
        await press("e", *"/tmp/out.doc", "enter")
        assert "the ending says no format" in frame(app)
        await press("asterisk")
        await press("asterisk", "e", *"/tmp/all.parquet", "enter")
        command = engine.submitted[-1]
        assert isinstance(command, ExportRecords)
        assert (len(command.seqs), command.format) == (58, "parquet")
        await press("escape", "slash", "ctrl+u", *"tenat=x", "enter")
        assert "'tenat=x': there is no field tenat → did you mean tenant=…?" in frame(app)
        assert "58 of 1,284 records" in frame(app)
        await press("escape")
        assert "207 records" in frame(app)


async def test_next_and_previous_in_the_detail(engine: ScriptedEngine) -> None:
    async with console(engine, (120, 40)) as (app, press):
        await press("2", "enter", "enter")
        first = frame(app)
        await press("ctrl+n")
        assert "2 of 120" in frame(app)
        assert frame(app) != first
        await press("ctrl+p")
        assert frame(app) == first
        await press("escape", "escape", "escape")
        assert "[1 Overview]" in frame(app)


async def test_a_hidden_molecule_is_hidden_in_view_copy_and_save(engine: ScriptedEngine, tmp_path: Path) -> None:
    async with console(engine, (120, 40), save_dir=tmp_path) as (app, press):
        await press("2", "down", "enter", "enter")
        seen = ""
        for _ in range(5):
            await press("y")
            assert SECRET not in app.clipboard
            await press("Y", "right")
            seen += frame(app)
        assert SECRET not in seen
        saved = sorted(tmp_path.iterdir())
        assert len(saved) == 5
        assert all(path.stat().st_mode & 0o777 == 0o600 for path in saved)
        assert SECRET.encode() not in b"".join(path.read_bytes() for path in saved)
        await press("Y")
        assert "is there already" in frame(app)


async def test_a_store_that_fails_says_so_and_comes_back(engine: ScriptedEngine, letters_reader: Reader) -> None:
    class Failing:
        broken = True

        def __getattr__(self, name: str) -> object:
            if self.broken:
                raise UnreachableError("the store is locked by pid 2211", next_step="wait for it")
            return getattr(letters_reader, name)

    reader = Failing()
    engine.dead_letters = reader  # type: ignore[assignment]
    async with console(engine) as (app, press):
        await press("2")
        assert "the store is locked by pid 2211" in frame(app)
        reader.broken = False
        await press("2")
        assert "needs a look" in frame(app)


async def test_the_users_keys(engine: ScriptedEngine, tmp_path: Path) -> None:
    keys = tmp_path / "keys.toml"
    keys.write_text('[keys]\n"room.dead-letters" = "z"\n"app.quit" = "1"\n')
    async with console(engine, keymap=keys) as (app, press):
        assert any("1 would mean both room.overview and app.quit" in toast.message for toast in app._notifications)
        await press("2")
        assert "[1 Overview]" in frame(app)
        await press("z")
        assert "[2 Dead letters]" in frame(app)
        await press("question_mark", "G")
        assert "  z " in frame(app)


async def test_tab_completes_in_the_command_line(engine: ScriptedEngine) -> None:
    async with console(engine) as (app, press):
        await press("colon", *"the", "tab")
        assert ":theme" in frame(app)
        await press(*"mono", "enter")
        assert app.theme == "mono"
        await press("colon", *"xyzzy", "enter")
        assert "There is no command :xyzzy." in frame(app)


async def test_a_command_of_another_room_goes_there(engine: ScriptedEngine) -> None:
    async with console(engine) as (app, press):
        await press("colon", *"filter class=poison", "enter")
        assert "[2 Dead letters]" in frame(app)
        assert "58 of 1,284" in frame(app)


async def test_help_does_what_its_row_says(engine: ScriptedEngine) -> None:
    async with console(engine) as (app, press):
        await press("question_mark", "G", "enter")
        assert app.return_value == 0  # the last row of the help is quit


async def test_the_first_frame_waits_for_no_engine() -> None:
    go = threading.Event()

    def start() -> ScriptedEngine:
        assert go.wait(10)
        return ScriptedEngine(flowing())

    engine = OpeningEngine(flowing().session, start)
    app = ConsoleApp(engine, UiOptions(refresh_s=0), engine.open)
    async with app.run_test(size=(120, 40)) as pilot:
        for _ in range(8):
            await pilot.pause()
        early = frame(app)
        go.set()
        await settle(pilot)
        late = frame(app)
    assert "PROD" in early
    for unknown in (
        "cluster ?",
        "connecting",
        "NOT KNOWN",
        "DEAD LETTERS ? not read yet",
        "LAST ERRORS ? not known yet",
    ):
        assert unknown in early
    assert "connected · 3 brokers" in late


async def test_an_engine_that_cannot_start_ends_the_screen() -> None:
    refusal = RefusedError("no such certificate")

    def refuse() -> None:
        raise refusal

    app = ConsoleApp(ScriptedEngine(flowing()), UiOptions(refresh_s=0), refuse)
    async with app.run_test() as pilot:
        await settle(pilot)
        await pilot.pause()
    assert app.refusal is refusal
    assert app.return_value == 1
