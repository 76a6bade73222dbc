"""Every room and state as text, at the sizes that are promised. See frames.py for how to store new ones."""

from __future__ import annotations

import asyncio
import dataclasses
import threading
from pathlib import Path

import pytest
from frames import check_frame, console, frame, sizes
from scripted import NOW_MS, ScriptedEngine, disconnected, flowing, unknown

from atom_console.dlq.filters import Filter
from atom_console.dlq.reader import Reader
from atom_console.dlq.record import Group
from atom_console.engine.commands import Receipt
from atom_console.engine.snapshot import DeadLetterSection, EngineSnapshot, WorkloadSection
from atom_console.ui.dialogs import event_form
from atom_console.ui.dialogs.confirm import Question


def idle() -> EngineSnapshot:
    base = flowing()
    made = dataclasses.replace(
        base.producer, accepted=0, acked=0, captured=0, errors_by_class=(), queue_depth=0, in_flight=0
    )
    return dataclasses.replace(base, producer=made, dlq=DeadLetterSection(age_s=0.1, total=0), errors=())


def leased() -> EngineSnapshot:
    from atom_console.engine.snapshot import LeaseRow

    base = flowing()
    return dataclasses.replace(
        base,
        session=dataclasses.replace(base.session, read_only=True),
        dlq=dataclasses.replace(base.dlq, lease=LeaseRow("alice", "ops-2", "8f2c", 1.0)),
        workload=WorkloadSection("running", "day.jsonl", 500, 12_000, 90_000),
        coach="In 20 s the broker goes away. Watch the second line, then press 2.",
    )


STATES = {
    "flowing": flowing,
    "disconnected": disconnected,
    "unknown": unknown,
    "idle": idle,
    "leased": leased,
}


@sizes
@pytest.mark.parametrize("state", STATES)
async def test_overview(size: tuple[int, int], state: str) -> None:
    engine = ScriptedEngine(STATES[state]())
    engine.pending = [Receipt("Sent 1,200 of 1,200 events: 0 failed, 0 duplicates, run 8f2c.", NOW_MS - 60_000)]
    async with console(engine, size) as (app, _):
        check_frame(app, f"overview-{state}")


@sizes
async def test_dead_letters(size: tuple[int, int], engine: ScriptedEngine) -> None:
    async with console(engine, size) as (app, press):
        await press("2")
        check_frame(app, "groups")
        await press("space", "space")
        check_frame(app, "groups-marked")
        await press("up", "enter")
        check_frame(app, "records")
        await press("enter")
        check_frame(app, "record-why")
        await press("right")
        check_frame(app, "record-event")
        await press("right")
        check_frame(app, "record-bytes")
        await press("right")
        check_frame(app, "record-headers")
        await press("right")
        check_frame(app, "record-history")


@sizes
async def test_bytes_of_a_record_that_may_be_seen(size: tuple[int, int], engine: ScriptedEngine) -> None:
    async with console(engine, size) as (app, press):
        await press("2", "enter", "enter", "right", "right")
        check_frame(app, "record-bytes-seen")


STORE_STATES = {
    "locked": DeadLetterSection(state="locked", detail="pid 2211 (svc-grid) holds it since 02:13:40Z"),
    "corrupt": DeadLetterSection(state="corrupt", detail="page 7 of dlq.sqlite does not match its checksum"),
    "missing": DeadLetterSection(age_s=0.1, state="missing"),
    "off": DeadLetterSection(age_s=0.1, state="off"),
    "full": dataclasses.replace(flowing().dlq, state="full", size_bytes=2_000_000_000),
}


@sizes
@pytest.mark.parametrize("state", STORE_STATES)
async def test_states_of_the_store(size: tuple[int, int], state: str, letters_reader: Reader) -> None:
    engine = ScriptedEngine(dataclasses.replace(flowing(), dlq=STORE_STATES[state]))
    engine.dead_letters = letters_reader
    async with console(engine, size) as (app, press):
        check_frame(app, f"overview-store-{state}")
        await press("2")
        check_frame(app, f"store-{state}")


@sizes
async def test_dead_letters_while_the_brokers_are_away(size: tuple[int, int], letters_reader: Reader) -> None:
    engine = ScriptedEngine(disconnected())
    engine.dead_letters = letters_reader
    async with console(engine, size) as (app, press):
        await press("2")
        check_frame(app, "groups-disconnected")


class SlowReader(Reader):
    """A disk that does not answer until it is let."""

    def __init__(self, directory: Path) -> None:
        super().__init__(directory)
        self.answering = threading.Event()

    def groups(self, wanted: Filter = Filter()) -> list[Group]:  # noqa: B008 (as its base)
        assert self.answering.wait(30)
        return super().groups(wanted)


@sizes
async def test_dead_letters_that_are_still_being_read(size: tuple[int, int], letters_dir: Path) -> None:
    engine = ScriptedEngine(flowing())
    engine.dead_letters = reader = SlowReader(letters_dir)
    async with console(engine, size) as (app, _):
        app.go_to("dead-letters")
        async with asyncio.timeout(20):
            while "PRODUCER" in frame(app) or not all(w in frame(app) for w in ("Reading…", "Dead letters › groups")):
                await asyncio.sleep(0.01)
        check_frame(app, "groups-loading")
        reader.answering.set()
        async with asyncio.timeout(20):
            while not app.reads.idle:
                await asyncio.sleep(0.01)
    reader.close()


@sizes
async def test_nothing_here_and_nothing_matches(size: tuple[int, int], engine: ScriptedEngine, tmp_path: Path) -> None:
    empty = DeadLetterSection(age_s=0.1, total=0, last_at_ms=NOW_MS - 3 * 86_400_000)
    bare = ScriptedEngine(dataclasses.replace(flowing(), dlq=empty))
    reader = Reader(tmp_path / "none")
    bare.dead_letters = reader
    async with console(bare, size) as (app, press):
        await press("2")
        check_frame(app, "groups-empty")
    reader.close()
    async with console(engine, size) as (app, press):
        await press("2", "slash", *"nothing", "enter")
        check_frame(app, "groups-no-match")


@sizes
async def test_help(size: tuple[int, int]) -> None:
    async with console(ScriptedEngine(flowing()), size) as (app, press):
        await press("question_mark")
        check_frame(app, "help")


@sizes
async def test_dialogs(size: tuple[int, int]) -> None:
    async with console(ScriptedEngine(flowing()), size) as (app, press):
        await press("f3")
        check_frame(app, "themes")
        await press("escape", "f4")
        check_frame(app, "settings")
        await press("escape", "colon", "t", "h")
        check_frame(app, "command-line")
        await press("escape", "ctrl+p")
        await press(*"theme")
        assert "Theme" in frame(app)
        await press("escape", "escape")
        app.ask(Question("Discard", 1284, "event", "PROD · eu-prod-1", typed=True), lambda: None)
        await press("1")
        check_frame(app, "confirm-typed")
        await press("escape")
        app.ask(Question("Send", 12, "event", "DEV · local · topic atom.write.raw"), lambda: None)
        await press("enter")
        check_frame(app, "confirm-plain")


@sizes
async def test_the_event_form(size: tuple[int, int], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(event_form.uuid, "uuid4", lambda: "0192f9b1-0000-4000-8000-000000000007")
    async with console(ScriptedEngine(flowing()), size) as (app, press):
        await press("n")
        check_frame(app, "event-form")
        await press(*"tenant-1", *["tab"] * 5, *"no cell", "ctrl+s")
        check_frame(app, "event-form-wrong")


@sizes
async def test_a_filter_that_is_typed_and_one_that_holds(size: tuple[int, int], engine: ScriptedEngine) -> None:
    async with console(engine, size) as (app, press):
        await press("2", "slash", *"class=poison")
        check_frame(app, "filter-typed")
        await press("enter")
        check_frame(app, "filter-held")


@sizes
async def test_ascii_frames(size: tuple[int, int]) -> None:
    async with console(ScriptedEngine(flowing()), size, ascii_terminal=True) as (app, press):
        check_frame(app, "ascii-overview")
        assert frame(app).isascii()
        await press("question_mark")
        assert frame(app).isascii()
        check_frame(app, "ascii-help")
