"""Verbs on groups, records and one record: what they act on, what they ask, what they refuse."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
from frames import check_frame, console, frame, sizes
from replays import a_plan, answers
from scripted import NOW_MS, ScriptedEngine, flowing

from atom_console.dlq.reader import Reader
from atom_console.engine.commands import ChangeState, IngestTopics, PlanReplay, Receipt
from atom_console.engine.snapshot import SettingRow


@pytest.fixture
def engine(letters_reader: Reader) -> ScriptedEngine:
    base = flowing()
    made = ScriptedEngine(dataclasses.replace(base, session=dataclasses.replace(base.session, confirm="plain")))
    made.dead_letters = letters_reader
    return made


@sizes
async def test_discard_asks_why_and_then_whether(size: tuple[int, int], engine: ScriptedEngine) -> None:
    async with console(engine, size) as (app, press):
        await press("2", "down", "x")
        check_frame(app, "reason")
        await press("enter")
        assert "A reason is required." in frame(app)
        await press("space", "enter")
        assert engine.submitted == []
        await press(*"too large", "enter")
        check_frame(app, "confirm-discard")
        await press("enter")
        assert engine.submitted == []
        await press("y")
        assert engine.submitted == [ChangeState(action="discard", seqs=engine.submitted[0].seqs, reason="too large")]  # type: ignore[attr-defined]
        assert list(engine.submitted[0].seqs) == list(range(121, 179))  # type: ignore[attr-defined]


async def test_leaving_either_question_changes_nothing(engine: ScriptedEngine) -> None:
    async with console(engine, (120, 40)) as (app, press):
        await press("2", "x", "escape")
        assert "Nothing was done: no reason to discard 120 dead letters." in frame(app)
        await press("x", *"why", "enter", "n")
        assert "Nothing was done: discard 120 dead letters was not confirmed." in frame(app)
        assert engine.submitted == []


@pytest.mark.parametrize(
    ("key", "action", "down", "count"),
    [("l", "release", 1, 58), ("u", "quarantine", 0, 120), ("x", "discard", 0, 120)],
)
async def test_a_verb_takes_the_records_of_a_group_that_it_applies_to(
    engine: ScriptedEngine, key: str, action: str, down: int, count: int
) -> None:
    async with console(engine, (120, 40)) as (app, press):
        await press("2", *["down"] * down, key, *"because", "enter", "y")
        command = engine.submitted[-1]
        assert isinstance(command, ChangeState)
        assert (command.action, len(command.seqs), command.reason) == (action, count, "because")
        engine.submitted.clear()
        await press("U")
        assert "Restore: there is nothing that it applies to." in frame(app)
        assert engine.submitted == []


async def test_marked_records_and_the_record_on_the_screen(engine: ScriptedEngine) -> None:
    async with console(engine, (120, 40)) as (app, press):
        await press("2", "enter", "space", "down", "space", "x", *"why", "enter", "y")
        command = engine.submitted[-1]
        assert isinstance(command, ChangeState)
        assert list(command.seqs) == [118, 120]
        assert "marked" not in frame(app).splitlines()[-3]
        await press("enter")
        assert "this record: 0192f000" in frame(app)
        await press("l")
        assert "Release: there is nothing that it applies to." in frame(app)
        await press("u", *"why", "enter", "y")
        command = engine.submitted[-1]
        assert isinstance(command, ChangeState)
        assert len(command.seqs) == 1
        await press("escape", "asterisk", "r")
        command = engine.submitted[-1]
        assert isinstance(command, PlanReplay)
        assert len(command.seqs) == 120


async def test_in_a_typed_profile_the_number_is_typed(engine: ScriptedEngine) -> None:
    engine.snapshots = [flowing()]
    async with console(engine, (120, 40)) as (app, press):
        await press("2", "l")
        assert "Release: there is nothing that it applies to." in frame(app)
        await press("down", "l", *"fixed", "enter", "y", "enter")
        assert engine.submitted == []
        await press("backspace", *"58", "enter")
        assert isinstance(engine.submitted[-1], ChangeState)


async def test_the_reason_may_come_with_the_word(engine: ScriptedEngine) -> None:
    async with console(engine, (120, 40)) as (app, press):
        await press("2", "colon", *"discard not needed", "enter", "enter")
        assert "reason: not needed" in frame(app)
        await press("y")
        assert engine.submitted[-1].reason == "not needed"  # type: ignore[attr-defined]


async def test_what_was_skipped_is_told(engine: ScriptedEngine) -> None:
    engine.answer = lambda _: Receipt("Discarded 118 of 120; 2 left: is replayed.", NOW_MS, ok=False)
    async with console(engine, (120, 40)) as (app, press):
        await press("2", "x", *"why", "enter", "y")
        assert "Discarded 118 of 120; 2 left: is replayed." in frame(app)


async def test_ingest_names_its_topics(engine: ScriptedEngine) -> None:
    async with console(engine, (120, 40)) as (app, press):
        await press("2", "i", *"orders.dlq billing.dlq", "enter")
        assert "Read 2 DLQ topics?" in frame(app)
        await press("y")
        assert engine.submitted == [IngestTopics(topics=["orders.dlq", "billing.dlq"])]
        base = engine.snapshots[0]
        settings = (SettingRow("dlq.topics", "orders.dlq", "config"),)
        session = dataclasses.replace(base.session, settings=settings)
        engine.snapshots = [dataclasses.replace(base, session=session)]
        app.tick()
        await press("i")
        assert "PROD · eu-prod-1 · orders.dlq" in frame(app)
        await press("y")
        assert engine.submitted[-1] == IngestTopics(topics=[])


async def test_verbs_of_the_lists_do_not_reach_into_a_plan(engine: ScriptedEngine) -> None:
    engine.answer = answers(a_plan())
    async with console(engine, (120, 40)) as (app, press):
        await press("2", "r", "x", "u", "l", "U")
        assert "Plan 8f2c11d0" in frame(app)
        await press("colon", *"discard why", "enter")
        assert "Discard does not apply here" in frame(app)
        assert all(isinstance(command, PlanReplay) for command in engine.submitted)


async def test_the_command_line_reaches_the_verbs_from_another_room(engine: ScriptedEngine, tmp_path: Path) -> None:
    async with console(engine, (120, 40)) as (app, press):
        await press("colon", *"runs", "enter")
        assert "Dead letters › runs" in frame(app)
