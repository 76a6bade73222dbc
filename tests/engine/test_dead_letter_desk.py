"""Triage, plans and runs through the engine: refused where they must be, and one run on a store, whoever starts it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import apsw
import pytest

from atom_console.config import Loaded
from atom_console.dlq.filters import Filter
from atom_console.dlq.store import Store
from atom_console.engine.commands import (
    ChangeState,
    CheckUnknown,
    Command,
    ControlReplay,
    ExportRecords,
    IngestTopics,
    PlanReplay,
    Receipt,
    ShowPlan,
    StartReplay,
)
from atom_console.engine.engine import Engine
from atom_console.engine.plans import StoredPlan
from atom_console.engine.snapshot import EngineSnapshot
from atom_console.errors import InputError, RefusedError
from tests.broker.handle import BrokerHandle
from tests.dlq_replay.conftest import fill, judge, read_topic
from tests.engine.replaying_console import OtherConsole

NOWHERE = "127.0.0.1:1"


@contextmanager
def running(loaded: Loaded) -> Iterator[Engine]:
    engine = Engine(loaded)
    engine.start()
    try:
        yield engine
    finally:
        engine.drain(2.0)
        engine.stop()


def until(engine: Engine, holds: Callable[[EngineSnapshot], object], seconds: float = 30.0) -> EngineSnapshot:
    deadline = time.monotonic() + seconds
    while not holds(snapshot := engine.snapshot()):
        assert time.monotonic() < deadline, snapshot.replay
        time.sleep(0.02)
    return snapshot


def receipt_of(engine: Engine, start: str, seconds: float = 60.0) -> Receipt:
    """The receipt of a long command."""
    deadline = time.monotonic() + seconds
    while True:
        for receipt in engine.receipts():
            if receipt.text.startswith(start):
                return receipt
            assert receipt.ok, receipt
        assert time.monotonic() < deadline, f"{start!r} did not end"
        time.sleep(0.02)


def letters(loaded: Loaded, topic: str, count: int, **options: Any) -> None:
    with Store.open(Path(loaded.settings.dlq.dir or ""), loaded.settings.dlq, component="test") as store:
        fill(store, topic, count, **options)


def plan(engine: Engine, **options: Any) -> StoredPlan:
    receipt = engine.submit(PlanReplay(seqs=engine.dead_letters.numbers(Filter(states=("ready",))), **options))
    assert isinstance(receipt.value, StoredPlan)
    return receipt.value


def audit(loaded: Loaded) -> list[tuple[str, str, str]]:
    conn = apsw.Connection(str(Path(loaded.settings.dlq.dir or "") / "dlq.sqlite3"), flags=apsw.SQLITE_OPEN_READONLY)
    found = list(conn.execute("SELECT action, subject, reason FROM audit ORDER BY seq"))
    conn.close()
    return found  # type: ignore[return-value]


CHANGES: list[Command] = [
    ChangeState(action="discard", seqs=(1,), reason="why"),
    PlanReplay(seqs=(1,)),
    StartReplay(run_id="8f2c", confirmed=1),
    ControlReplay(run_id="8f2c", action="pause"),
    CheckUnknown(),
    IngestTopics(topics=("dlq",)),
]


@pytest.mark.parametrize("command", CHANGES, ids=lambda command: type(command).__name__)
def test_a_read_only_profile_is_refused_in_the_engine(loaded_for: Callable[..., Loaded], command: Command) -> None:
    loaded = loaded_for(NOWHERE)
    letters(loaded, "atom.write.raw", 3)
    engine = Engine(loaded_for(NOWHERE, read_only=True))
    with pytest.raises(RefusedError, match="is read-only"):
        engine.submit(command)
    assert [row.state for row in engine.dead_letters.page().records] == ["ready"] * 3


def test_a_read_only_profile_may_export(loaded_for: Callable[..., Loaded], tmp_path: Path) -> None:
    letters(loaded_for(NOWHERE), "atom.write.raw", 3)
    engine = Engine(loaded_for(NOWHERE, read_only=True))
    receipt = engine.submit(ExportRecords(seqs=(1, 3), path=tmp_path / "two.jsonl"))
    assert receipt.text == "Wrote 2 records to two.jsonl."


def test_states_change_with_a_reason_and_what_was_left_is_told(loaded_for: Callable[..., Loaded]) -> None:
    loaded = loaded_for(NOWHERE)
    letters(loaded, "atom.write.raw", 4_500)
    with running(loaded) as engine:
        seqs = engine.dead_letters.numbers(Filter())
        assert engine.submit(ChangeState(action="quarantine", seqs=seqs[:10], reason="look first")).ok
        receipt = engine.submit(ChangeState(action="quarantine", seqs=[*seqs, 99_999], reason="all of it"))
        assert receipt.text == ("Set aside 4,490 of 4,501; 10 left: is quarantined; 1 left: not in the store any more.")
        assert not receipt.ok
        assert engine.submit(ChangeState(action="discard", seqs=seqs, reason="not needed")).value == 4_500
        assert engine.submit(ChangeState(action="restore", seqs=seqs[:5], reason="needed after all")).value == 5
        assert engine.submit(ChangeState(action="release", seqs=seqs[:5], reason="cause is gone")).value == 5
        snapshot = until(engine, lambda now: dict(now.dlq.by_state).get("ready") == 5)
        assert dict(snapshot.dlq.by_state)["discarded"] == 4_495
    reasons = {reason for _, _, reason in audit(loaded)}
    assert {"look first", "all of it", "not needed", "needed after all", "cause is gone"} <= reasons


def test_a_change_without_a_reason_and_an_ingest_of_nothing_are_refused(loaded_for: Callable[..., Loaded]) -> None:
    loaded = loaded_for(NOWHERE)
    letters(loaded, "atom.write.raw", 1)
    with running(loaded) as engine:
        with pytest.raises(InputError, match="needs a reason"):
            engine.submit(ChangeState(action="discard", seqs=(1,), reason=" "))
        with pytest.raises(InputError, match="no DLQ topic is named"):
            engine.submit(IngestTopics(topics=()))


def test_ten_first_then_the_rest_then_it_is_proven(
    kafka: BrokerHandle, kafka_topic: str, loaded_for: Callable[..., Loaded]
) -> None:
    loaded = loaded_for(kafka.bootstrap)
    letters(loaded, kafka_topic, 300)
    with running(loaded) as engine:
        whole = plan(engine, rate_per_s=0.0)
        assert (whole.plan.count, whole.options.rate, whole.plan.refusals) == (300, 0.0, ())
        with pytest.raises(InputError, match="no run has this name"):
            engine.submit(StartReplay(run_id="ffffffff", confirmed=300))
        ten = engine.submit(PlanReplay(part_of=whole.plan.run_id, first=10)).value
        assert (ten.plan.count, ten.options.rate) == (10, 0.0)
        engine.submit(StartReplay(run_id=ten.plan.run_id, confirmed=10))
        assert receipt_of(engine, "Run").text == (
            f"Run {ten.plan.run_id} finished: 10 of 10 replayed, 0 failed, 0 unknown. verified: 0 lost, 0 duplicates"
        )
        rest = engine.submit(PlanReplay(part_of=whole.plan.run_id, instead_of=whole.plan.run_id)).value
        assert (rest.plan.count, rest.plan.held) == (290, {})
        every = engine.submit(PlanReplay(seqs=engine.dead_letters.numbers(Filter()))).value
        assert (every.plan.count, every.plan.held) == (290, {"not_ready": 10})
        old = engine.submit(ShowPlan(run_id=whole.plan.run_id)).value
        assert old.state == "cancelled"
        with pytest.raises(RefusedError, match="is cancelled"):
            engine.submit(StartReplay(run_id=whole.plan.run_id, confirmed=300))
        held = engine.submit(ShowPlan(run_id=every.plan.run_id, held=True)).value.held
        assert list(held.values()) == ["not_ready"] * 10
        engine.submit(StartReplay(run_id=rest.plan.run_id, confirmed=290))
        assert receipt_of(engine, "Run").ok
        snapshot = until(engine, lambda now: sum(run.state == "finished" for run in now.replay.runs) == 2)
        proofs = [run.verified for run in snapshot.replay.runs if run.state == "finished"]
        assert proofs == ["verified: 0 lost, 0 duplicates"] * 2
        assert dict(snapshot.dlq.by_state)["replayed"] == 300
        assert snapshot.replay.windows[rest.plan.run_id] > 0
        assert snapshot.replay.unknown == 0
    assert judge(read_topic(kafka.bootstrap, kafka_topic), range(300), 50) == (0, 0, 0)


def test_a_plan_over_a_thousand_wants_its_number(
    kafka: BrokerHandle, kafka_topic: str, loaded_for: Callable[..., Loaded]
) -> None:
    loaded = loaded_for(kafka.bootstrap)
    letters(loaded, kafka_topic, 1_001)
    with running(loaded) as engine:
        made = plan(engine)
        with pytest.raises(RefusedError, match="the plan sends 1,001 events"):
            engine.submit(StartReplay(run_id=made.plan.run_id, confirmed=1_000))
        assert engine.submit(ControlReplay(run_id=made.plan.run_id, action="cancel", reason="not today")).ok
    assert ("cancel", f"run {made.plan.run_id}", "not today") in audit(loaded)
    assert read_topic(kafka.bootstrap, kafka_topic) == []


def test_pause_resume_and_cancel_reach_the_run(
    kafka: BrokerHandle, kafka_topic: str, loaded_for: Callable[..., Loaded]
) -> None:
    loaded = loaded_for(kafka.bootstrap)
    letters(loaded, kafka_topic, 400)
    with running(loaded) as engine:
        run_id = plan(engine, rate_per_s=100.0, canary=0).plan.run_id
        engine.submit(StartReplay(run_id=run_id, confirmed=400))
        until(engine, lambda now: now.replay.active is not None and now.replay.active.replayed > 20)
        assert engine.snapshot().replay.job == f"run {run_id}"
        with pytest.raises(RefusedError, match="a replay is running"):
            engine.submit(StartReplay(run_id=run_id, confirmed=400))
        assert engine.submit(ControlReplay(run_id=run_id, action="pause")).text.startswith("Asked for pause")
        paused = until(engine, lambda now: now.replay.active is not None and now.replay.active.state == "paused")
        assert paused.dlq.lease is not None
        assert paused.dlq.lease.mine
        engine.submit(ControlReplay(run_id=run_id, action="resume"))
        until(engine, lambda now: now.replay.active is not None and now.replay.active.state == "running")
        engine.submit(ControlReplay(run_id=run_id, action="cancel"))
        receipt = receipt_of(engine, "Run")
        assert f"Run {run_id} cancelled" in receipt.text
        snapshot = until(engine, lambda now: now.replay.active is None and now.dlq.lease is None)
        sent = snapshot.replay.runs[0].replayed
    assert judge(read_topic(kafka.bootstrap, kafka_topic), range(sent), 50) == (0, 0, 0)


def test_a_second_console_cannot_start_watches_and_takes_over_when_the_first_is_killed(
    kafka: BrokerHandle, kafka_topic: str, loaded_for: Callable[..., Loaded], tmp_path: Path
) -> None:
    loaded = loaded_for(kafka.bootstrap)
    letters(loaded, kafka_topic, 600)
    with running(loaded) as engine:
        made = plan(engine, rate_per_s=100.0, canary=0)
        run_id = made.plan.run_id
        other = OtherConsole(tmp_path / "config.toml", tmp_path / "dlq", kafka.bootstrap, run_id, made.plan.count)
        try:
            watched = until(engine, lambda now: now.replay.runs and now.replay.runs[0].replayed > 50)
            lease = watched.dlq.lease
            assert lease is not None
            assert (lease.run_id, lease.pid, lease.mine, lease.alive, lease.stale) == (
                run_id, other.pid, False, True, False,
            )  # fmt: skip
            assert lease.since_ms is not None
            assert watched.replay.active is None
            assert f"pid {other.pid}" in watched.replay.runs[0].holder
            for take_over in (False, True):  # a holder that answers is never put aside
                with pytest.raises(RefusedError, match=f"a replay is running: .* pid {other.pid}"):
                    engine.submit(StartReplay(run_id=run_id, confirmed=600, take_over=take_over))
            more = until(engine, lambda now: now.replay.runs[0].replayed > watched.replay.runs[0].replayed + 50)
            assert more.replay.runs[0].rate_per_s == pytest.approx(100.0, rel=0.5)
        finally:
            other.kill()
        gone = until(engine, lambda now: now.dlq.lease is not None and not now.dlq.lease.alive, 10.0)
        assert gone.replay.runs[0].state == "running"
        begun = time.monotonic()
        receipt = engine.submit(ControlReplay(run_id=run_id, action="resume"))
        assert receipt.text.startswith(f"Went on with run {run_id}")
        ended = receipt_of(engine, "Run")
        assert "verified: 0 lost, 0 duplicates" in ended.text, ended
        assert ended.ok
        assert time.monotonic() - begun < 30
    assert judge(read_topic(kafka.bootstrap, kafka_topic), range(600), 50) == (0, 0, 0)
    assert any(action == "takeover" and f"pid {other.pid}" in subject for action, subject, _ in audit(loaded))
