from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Event

import pytest

from atom_console.config import Loaded
from atom_console.engine.commands import PaceWorkload, PublishEvent, Receipt, Refresh, StartWorkload
from atom_console.engine.engine import Engine
from atom_console.engine.last_look import LastLook
from atom_console.engine.poller import Poller
from atom_console.engine.snapshot import EngineSnapshot
from atom_console.errors import AtomError, InputError, RefusedError, UnreachableError
from atom_console.sandbox.mock_cluster import MockCluster
from atom_console.sandbox.workload import Workload
from tests.pty.real import workload_file

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


def until(engine: Engine, holds: Callable[[EngineSnapshot], bool], seconds: float = 30.0) -> EngineSnapshot:
    deadline = time.monotonic() + seconds
    while True:
        snapshot = engine.snapshot()
        if holds(snapshot):
            return snapshot
        assert time.monotonic() < deadline, snapshot
        time.sleep(0.02)


def test_before_anything_was_read_everything_is_unknown(loaded_for: Callable[..., Loaded]) -> None:
    snapshot = Engine(loaded_for(NOWHERE)).snapshot()
    assert snapshot.cluster.connection.state == "connecting"
    assert snapshot.cluster.age_s is None
    assert snapshot.dlq.total is None
    assert snapshot.producer.accepted is None
    assert snapshot.session.word == "DEV"


def test_it_sees_the_cluster_publishes_and_tells_what_became_of_it(
    cluster: MockCluster, loaded_for: Callable[..., Loaded], workload: Workload
) -> None:
    with running(loaded_for(cluster.bootstrap_servers)) as engine:
        receipt = engine.submit(PublishEvent(event=workload.event()))
        assert receipt.ok
        assert receipt.text == "Sent one event to atom.write.raw; the broker acknowledged it."
        engine.submit(Refresh())
        snapshot = until(engine, lambda now: any((t.messages or 0) > 0 for t in now.cluster.topics))
        assert snapshot.cluster.connection.state == "connected"
        assert snapshot.producer.acked == 1
        assert [(topic.name, topic.partitions) for topic in snapshot.cluster.topics] == [("atom.write.raw", 3)]


def test_with_the_broker_away_it_says_so_within_three_seconds_with_address_and_cause(
    loaded_for: Callable[..., Loaded], workload: Workload
) -> None:
    with running(loaded_for(NOWHERE, "kafka.message_timeout_ms=500")) as engine:
        snapshot = until(engine, lambda now: now.cluster.connection.state == "disconnected", 3.0)
        assert "refused" in (snapshot.cluster.connection.reason or "").lower()
        assert "127.0.0.1:1" in (snapshot.cluster.connection.address or "")
        receipt = engine.submit(PublishEvent(event=workload.event()))
        assert receipt.text.startswith(("Kept the event", "Accepted one event"))
        snapshot = until(engine, lambda now: now.dlq.total == 1)
        assert snapshot.dlq.by_state == (("ready", 1),)
        assert snapshot.errors
        assert snapshot.errors[0].next_step


def test_a_cluster_that_goes_away_leaves_its_last_numbers_with_their_age(
    loaded_for: Callable[..., Loaded],
) -> None:
    with MockCluster() as mock, running(loaded_for(mock.bootstrap_servers)) as engine:
        mock.topic("kept", 1)
        until(engine, lambda now: bool(now.cluster.topics))
        mock.down()
        snapshot = until(engine, lambda now: now.cluster.connection.state == "disconnected", 5.0)
        assert [topic.name for topic in snapshot.cluster.topics] == ["kept"]
        older = until(engine, lambda now: (now.cluster.age_s or 0) > (snapshot.cluster.age_s or 0))
        assert older.cluster.connection.state == "disconnected"
        mock.up()
        until(engine, lambda now: now.cluster.connection.state == "connected")


def test_a_workload_runs_pauses_resumes_stops_and_is_told_of(
    cluster: MockCluster, loaded_for: Callable[..., Loaded], tmp_path: Path
) -> None:
    path = workload_file(tmp_path / "load.jsonl", 4_000)
    with running(loaded_for(cluster.bootstrap_servers)) as engine:
        engine.submit(StartWorkload(path=path, rate_per_s=1_000))
        until(engine, lambda now: (now.workload.sent or 0) > 50)
        with pytest.raises(RefusedError, match=r"load\.jsonl is still running"):
            engine.submit(StartWorkload(path=path))
        engine.submit(PaceWorkload(action="pause"))
        assert engine.snapshot().workload.state == "paused"
        engine.submit(PaceWorkload(action="resume"))
        engine.submit(PaceWorkload(action="rate", rate_per_s=None))
        until(engine, lambda now: now.workload.state == "done" and now.workload.sent == 4_000)
        (receipt,) = _receipts(engine)
        assert receipt.text == "load.jsonl: 4,000 events sent."
        for action in ("pause", "stop"):
            with pytest.raises(RefusedError, match="no workload"):
                engine.submit(PaceWorkload(action=action))


def test_a_workload_that_is_stopped_tells_once_how_many_events_it_sent(
    cluster: MockCluster, loaded_for: Callable[..., Loaded], tmp_path: Path
) -> None:
    path = workload_file(tmp_path / "load.jsonl", 4_000)
    with running(loaded_for(cluster.bootstrap_servers)) as engine:
        engine.submit(StartWorkload(path=path, rate_per_s=1_000))
        until(engine, lambda now: (now.workload.sent or 0) > 50)
        receipt = engine.submit(PaceWorkload(action="stop"))
        sent = engine.snapshot().workload.sent
        assert sent is not None
        assert 50 < sent < 4_000
        assert receipt.text == f"Stopped load.jsonl: {sent:,} events sent."
        assert not engine.receipts(), "one sentence, or the second would hide the count of the first"


def _receipts(engine: Engine) -> list[Receipt]:
    deadline = time.monotonic() + 5
    found: list[Receipt] = []
    while not found and time.monotonic() < deadline:
        found.extend(engine.receipts())
        time.sleep(0.01)
    return found


def test_a_read_only_profile_refuses_every_change_and_opens_no_producer(
    cluster: MockCluster, loaded_for: Callable[..., Loaded], workload: Workload, tmp_path: Path
) -> None:
    with running(loaded_for(cluster.bootstrap_servers, read_only=True)) as engine:
        for command in (PublishEvent(event=workload.event()), StartWorkload(path=tmp_path / "x.jsonl")):
            with pytest.raises(RefusedError, match="read-only"):
                engine.submit(command)
        assert engine.submit(Refresh()).ok
        until(engine, lambda now: now.cluster.connection.state == "connected")
        assert engine.snapshot().producer.accepted is None
        assert not (tmp_path / "dlq" / "dlq.sqlite3").exists()


def test_a_store_that_cannot_be_opened_is_told_and_the_rest_goes_on(
    cluster: MockCluster, loaded_for: Callable[..., Loaded], tmp_path: Path
) -> None:
    (tmp_path / "dlq").write_text("a file where the directory should be")
    with running(loaded_for(cluster.bootstrap_servers)) as engine:
        snapshot = until(engine, lambda now: now.dlq.state != "ok")
        assert snapshot.dlq.detail
        until(engine, lambda now: now.cluster.connection.state == "connected")
        with pytest.raises(AtomError):
            engine.submit(PublishEvent(event={}))


def test_an_invalid_event_is_refused_with_its_field(cluster: MockCluster, loaded_for: Callable[..., Loaded]) -> None:
    with running(loaded_for(cluster.bootstrap_servers)) as engine, pytest.raises(InputError, match="timestamp"):
        engine.submit(PublishEvent(event={"type": 1}))


def test_a_drain_with_the_broker_away_is_quick_and_keeps_everything(
    loaded_for: Callable[..., Loaded], workload: Workload
) -> None:
    engine = Engine(loaded_for(NOWHERE))
    engine.start()
    engine.submit(PublishEvent(event=workload.event()))
    begun = time.monotonic()
    report = engine.drain(1.0)
    assert time.monotonic() - begun < 3
    assert report.saved
    assert "1 accepted: 0 acknowledged, 1 in the DLQ" in report.text
    assert engine.drain(1.0) is report
    engine.stop()


def test_a_poller_keeps_its_last_answer_through_failures() -> None:
    answers: list[int | Exception] = [1, UnreachableError("gone"), RuntimeError("a fault"), 4]
    asked = Event()

    def read() -> int:
        asked.set()
        answer = answers.pop(0) if answers else 4
        if isinstance(answer, Exception):
            raise answer
        return answer

    poller = Poller("test", read, 60.0)
    poller.start()
    seen = []
    for _ in range(4):
        assert asked.wait(5)
        deadline = time.monotonic() + 5
        while len(answers) > 3 - len(seen) and time.monotonic() < deadline:
            time.sleep(0.001)
        time.sleep(0.01)
        seen.append((poller.reading.value, None if poller.reading.error is None else poller.reading.error.what))
        asked.clear()
        poller.refresh()
    poller.stop()
    assert seen[0] == (1, None)
    assert seen[1] == (1, "gone")
    assert seen[2][0] == 1
    assert "RuntimeError" in (seen[2][1] or "")
    assert seen[3] == (4, None)


def test_what_is_new_is_counted_from_the_last_look(tmp_path: Path) -> None:
    first = LastLook(tmp_path)
    assert first.new("a", 5) is None
    first.save({"a": 5})
    second = LastLook(tmp_path)
    assert (second.new("a", 7), second.new("b", 2), second.new("a", 3)) == (2, 2, 0)
