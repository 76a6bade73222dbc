"""Plans, runs and what is pending on the screen: frames at every size, and what each key does or refuses."""

from __future__ import annotations

import dataclasses
import json
import threading
from pathlib import Path

import pytest
from frames import check_frame, console, frame, sizes
from replays import EARLIER, FINISHED, REFUSED, a_plan, a_run, answers, replaying, settled
from scripted import NOW_MS, ScriptedEngine, flowing

from atom_console.dlq.reader import Reader
from atom_console.engine.commands import (
    CheckUnknown,
    Command,
    ControlReplay,
    PlanReplay,
    Receipt,
    ShowPlan,
    StartReplay,
)
from atom_console.engine.snapshot import EngineSnapshot, LeaseRow
from atom_console.errors import UnreachableError


@pytest.fixture
def engine(letters_reader: Reader) -> ScriptedEngine:
    made = ScriptedEngine(flowing())
    made.dead_letters = letters_reader
    made.answer = answers(a_plan(), held={1: "superseded", 2: "superseded", 130: "not_ready"})
    return made


def submitted(engine: ScriptedEngine, kind: type[Command]) -> list[Command]:
    return [command for command in engine.submitted if isinstance(command, kind)]


@sizes
async def test_a_plan_and_what_it_holds_back(size: tuple[int, int], engine: ScriptedEngine) -> None:
    async with console(engine, size) as (app, press):
        await press("2", "r")
        check_frame(app, "plan")
        await press("s")
        check_frame(app, "plan-held")
        await press("escape")
        assert "Plan 8f2c11d0" in frame(app)


@sizes
async def test_a_refused_plan(size: tuple[int, int], engine: ScriptedEngine) -> None:
    engine.answer = answers(REFUSED)
    async with console(engine, size) as (app, press):
        await press("2", "r")
        check_frame(app, "plan-refused")
        await press("y", "enter")
        assert "was not sent: 1,183 records are of cluster Other" in frame(app)
        assert not submitted(engine, StartReplay)


RUNS: dict[str, EngineSnapshot] = {
    "sending": replaying(a_run(), EARLIER),
    "stalled": replaying(a_run(stalled_s=12.0, rate_per_s=0.0, eta_s=None, breaker=2), EARLIER),
    "paused": replaying(a_run("paused", "paused by an operator", rate_per_s=None, eta_s=None), EARLIER),
    "breaker": settled(
        a_run("stopped", "breaker: 5 failures in a row, the last TOPIC_AUTHORIZATION_FAILED", failed=5, left=476)
    ),
    "unknown": settled(
        a_run("stopped", "outcomes are not known: wait until nothing can be on its way", unknown=3, left=478), unknown=3
    ),
    "finished": settled(FINISHED, EARLIER),
    "watched": replaying(a_run(ack_p99_ms=None), EARLIER, ours=False),
    "silent": replaying(
        a_run(ack_p99_ms=None, rate_per_s=0.0, eta_s=None),
        ours=False,
        lease=LeaseRow(
            "alice", "ops-1", "8f2c11d0", 31.0, pid=41, purpose="replay of run 8f2c11d0", since_ms=NOW_MS, stale=True
        ),
    ),
    "gone": replaying(
        a_run(ack_p99_ms=None, rate_per_s=0.0, eta_s=None),
        ours=False,
        lease=LeaseRow("alice", "ops-1", "8f2c11d0", 4.0, pid=41, since_ms=NOW_MS, alive=False),
    ),
}


@sizes
@pytest.mark.parametrize("state", RUNS)
async def test_a_run(size: tuple[int, int], state: str, engine: ScriptedEngine) -> None:
    engine.snapshots = [RUNS[state]]
    async with console(engine, size) as (app, press):
        await press("2", "R", "enter")
        check_frame(app, f"run-{state}")


@sizes
async def test_the_runs(size: tuple[int, int], engine: ScriptedEngine) -> None:
    engine.snapshots = [
        settled(FINISHED, dataclasses.replace(EARLIER, unknown=3), a_run("planned", "", run_id="00112233", left=1_183))
    ]
    async with console(engine, size) as (app, press):
        await press("2", "R")
        check_frame(app, "runs")
        engine.snapshots = [flowing()]
        app.tick()
        check_frame(app, "runs-none")


@sizes
async def test_what_is_pending(size: tuple[int, int], engine: ScriptedEngine, tmp_path: Path) -> None:
    import letters

    from atom_console.dlq.store import Store

    letters.build(tmp_path / "dlq", outage=4)
    with Store.open(tmp_path / "dlq", component="test") as store:
        store.run(
            lambda conn: conn.execute("UPDATE record SET state = 'unknown', state_at = ? WHERE seq < 4", (NOW_MS,))
        )
    reader = Reader(tmp_path / "dlq")
    engine.dead_letters, engine.snapshots = reader, [settled(FINISHED, unknown=3)]
    async with console(engine, size) as (app, press):
        await press("2", "P")
        check_frame(app, "pending")
        await press("c")
        assert submitted(engine, CheckUnknown)
        engine.snapshots = [settled(FINISHED)]
        app.tick()
        await press("c")
        assert len(submitted(engine, CheckUnknown)) == 1
        assert "No outcome is unknown" in frame(app)
    reader.close()


async def test_only_the_very_number_sends_and_then_the_run_shows(engine: ScriptedEngine) -> None:
    async with console(engine, (120, 40)) as (app, press):
        await press("2", "r", "enter")
        assert "Plan 8f2c11d0 · nothing sent yet" in frame(app)
        await press("y")
        assert "Send 1,183 events?" in frame(app)
        assert "PROD · eu-prod-1 · atom.write.raw" in frame(app)
        await press("enter", "y", "enter")
        assert not submitted(engine, StartReplay)
        await press("backspace")
        engine.snapshots = [replaying(a_run())]
        await press(*"1183", "enter")
        assert submitted(engine, StartReplay) == [StartReplay(run_id="8f2c11d0", confirmed=1_183)]
        assert "Run 8f2c11d0 · sending" in frame(app)
        await press("escape")
        assert "› groups" in frame(app)


async def test_send_ten_look_send_all(engine: ScriptedEngine) -> None:
    async with console(engine, (120, 40)) as (app, press):
        await press("2", "r", "t")
        assert submitted(engine, PlanReplay)[-1] == PlanReplay(part_of="8f2c11d0", first=10)
        assert "Plan 9a1c22e0 · the first of plan 8f2c11d0" in frame(app)
        ten = a_run("finished", "", run_id="9a1c22e0", total=10, replayed=10, left=0, duplicates_avoided=0)
        engine.snapshots = [settled(dataclasses.replace(ten, verified="verified: 0 lost, 0 duplicates"))]
        await press("y", "y")
        assert submitted(engine, StartReplay) == [StartReplay(run_id="9a1c22e0", confirmed=10)]
        assert "a plans the rest of 8f2c11d0" in frame(app)
        await press("a")
        assert submitted(engine, PlanReplay)[-1] == PlanReplay(part_of="8f2c11d0", instead_of="8f2c11d0")


async def test_a_plan_is_changed_before_it_is_sent(engine: ScriptedEngine, tmp_path: Path) -> None:
    async with console(engine, (120, 40), save_dir=tmp_path) as (app, press):
        await press("2", "r", "r", *"50", "enter")
        assert "50 /s, first 10 alone" in frame(app)
        await press("c", *"0", "enter")
        assert "no event first alone" in frame(app)
        await press("o")
        assert "by partition" in frame(app)
        await press("T")
        assert "timestamps  the original ones" in frame(app)
        made = submitted(engine, PlanReplay)
        assert made[1:] == [
            PlanReplay(part_of="8f2c11d0", instead_of="8f2c11d0", **choices)  # type: ignore[arg-type]
            for choices in (
                {"rate_per_s": 50.0},
                {"canary": 0},
                {"order": "partition"},
                {"timestamps": "preserve"},
            )
        ]
        await press("r", *"fast", "enter")
        assert ":pace takes events a second, not 'fast'." in frame(app)
        await press("w")
        stored = json.loads((tmp_path / "plan-8f2c11d0.json").read_text())
        assert (stored["count"], stored["options"]["rate"]) == (1_183, 50.0)
        await press("k")
        assert submitted(engine, ControlReplay) == [
            ControlReplay(run_id="8f2c11d0", action="cancel", reason="the plan was dropped")
        ]


async def test_a_plan_that_cannot_be_made_says_why(engine: ScriptedEngine) -> None:
    def refuse(command: Command) -> Receipt:
        raise UnreachableError("no broker answered at 10.0.0.7:9093", next_step="check the network")

    engine.answer = refuse
    async with console(engine, (120, 40)) as (app, press):
        await press("2", "r")
        text = frame(app)
        assert "no broker answered at 10.0.0.7:9093" in text
        assert "→ check the network" in text
        await press("y")
        assert not submitted(engine, StartReplay)


async def test_a_plan_in_the_making_can_be_left(engine: ScriptedEngine) -> None:
    made, release = answers(a_plan()), threading.Event()

    def slow(command: Command) -> Receipt:
        release.wait(20)
        return made(command)

    engine.answer = slow
    async with console(engine, (120, 40)) as (app, press):
        app.go_to("dead-letters")
        await press("2")
        room = app.room
        room.command_letters_plan("")  # type: ignore[attr-defined]
        from textual.pilot import Pilot

        pilot = Pilot(app)
        while "Planning 120 records" not in frame(app):
            await pilot.pause(0.01)
        await pilot.press("escape")
        assert "› groups" in frame(app)
        release.set()
        await press("R")
        assert "Planned run 8f2c11d0" in frame(app)


async def test_a_run_of_this_console(engine: ScriptedEngine) -> None:
    engine.snapshots = [replaying(a_run(), typed=False)]
    async with console(engine, (120, 40)) as (app, press):
        await press("2", "R", "enter", "p")
        await press("k")
        assert "Cancel 481 events left of this run?" in frame(app)
        await press("y")
        await press("T")
        assert "Did not take over run 8f2c11d0: this console runs it." in frame(app)
        engine.snapshots = [replaying(a_run("paused", ""), typed=False)]
        app.tick()
        await press("r", "y")
        assert [command.action for command in submitted(engine, ControlReplay)] == ["pause", "cancel", "resume"]  # type: ignore[attr-defined]
        assert not submitted(engine, StartReplay)


async def test_the_run_of_another_console_is_watched_and_taken_over_only_when_it_is_silent(
    engine: ScriptedEngine,
) -> None:
    engine.snapshots = [RUNS["watched"]]
    async with console(engine, (120, 40)) as (app, press):
        await press("2", "R", "enter", "T")
        assert "the console that holds it is alive and answers" in frame(app)
        engine.snapshots = [RUNS["silent"]]
        app.tick()
        await press("T", *"481", "enter")
        assert submitted(engine, StartReplay) == [StartReplay(run_id="8f2c11d0", confirmed=1_183, take_over=True)]
        engine.snapshots = [RUNS["gone"]]
        app.tick()
        await press("r", *"481", "enter")
        assert submitted(engine, StartReplay)[1] == StartReplay(run_id="8f2c11d0", confirmed=1_183)


async def test_an_old_plan_is_shown_and_not_sent_again(engine: ScriptedEngine) -> None:
    engine.answer = answers(a_plan(), state="cancelled")
    engine.snapshots = [settled(a_run("cancelled", "", left=1_183, replayed=0, duplicates_avoided=0))]
    async with console(engine, (120, 40)) as (app, press):
        await press("2", "R", "enter")
        assert submitted(engine, ShowPlan) == [ShowPlan(run_id="8f2c11d0")]
        assert "This plan is cancelled." in frame(app)
        await press("y", "o")
        assert not submitted(engine, StartReplay)
        assert not submitted(engine, PlanReplay)


async def test_a_read_only_console_plans_and_controls_nothing(engine: ScriptedEngine) -> None:
    base = replaying(a_run(), ours=False)
    engine.snapshots = [dataclasses.replace(base, session=dataclasses.replace(base.session, read_only=True))]
    async with console(engine, (120, 40)) as (app, press):
        for keys in (["2", "r"], ["l"], ["x"], ["u"], ["U"], ["c"], ["i"], ["R", "enter", "p"], ["k"], ["r"], ["T"]):
            await press(*keys)
            assert "is read-only" in frame(app)
        assert engine.submitted == []
