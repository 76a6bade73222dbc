"""Order, pace, canary, breaker, control and lease of a run on the real broker."""

from __future__ import annotations

import random
import string
import time
from pathlib import Path
from threading import Event, Thread
from typing import Any

import pytest
from confluent_kafka.admin import AclOperation, AlterConfigOpType, ConfigEntry, ConfigResource, ResourceType

from atom_console.config import Settings
from atom_console.dlq import lease
from atom_console.dlq.errors import IllegalTransitionError, StoreUnavailableError
from atom_console.dlq.filters import Filter
from atom_console.dlq.record import State
from atom_console.dlq.replay import pipeline
from atom_console.dlq.replay.errors import LeaseHeldError, LeaseLostError, RunStateError
from atom_console.dlq.replay.options import ReplayOptions
from atom_console.dlq.replay.plan import plan
from atom_console.dlq.replay.reading import reading
from atom_console.dlq.replay.run import Runner, RunReport
from atom_console.dlq.replay.runs import RunProgress, read_run, request
from atom_console.dlq.states import Change, transition
from atom_console.dlq.store import Store
from atom_console.dlq.triage import triage
from tests.broker.handle import BrokerHandle
from tests.dlq_replay.conftest import QUICK, fill, judge, read_topic, replay, replay_settings, trace_of, wait_for

READY = Filter(states=("ready",))
LARGE = "".join(random.Random(1).choices(string.ascii_letters, k=4000))
"""Text that stays above 2,500 bytes however it is compressed."""


class Running:
    """A run in a thread of its own."""

    def __init__(self, store: Store, settings: Settings, run_id: str, **more: Any) -> None:
        self.stop = Event()
        self.report: RunReport | None = None
        self.error: BaseException | None = None
        self.runner = Runner(store, settings, run_id, **more)
        self._thread = Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        try:
            self.report = self.runner.run(self.stop)
        except BaseException as error:
            self.error = error

    def end(self, deadline_s: float = 60.0) -> RunReport:
        self._thread.join(deadline_s)
        assert not self._thread.is_alive(), "the run did not end"
        if self.error is not None:
            raise self.error
        assert self.report is not None
        return self.report


def make(store: Store, settings: Settings, **options: Any) -> str:
    made = plan(store, settings, READY, ReplayOptions.of(settings.dlq, **{**QUICK, **options}))
    assert not made.refusals, made.refusals
    return made.run_id


def set_limit(kafka: BrokerHandle, topic: str, limit: int) -> None:
    entry = ConfigEntry("max.message.bytes", str(limit), incremental_operation=AlterConfigOpType.SET)
    admin = kafka.admin()
    resource = ConfigResource(ResourceType.TOPIC, topic, incremental_configs=[entry])
    for done in admin.incremental_alter_configs([resource]).values():
        done.result(10)


@pytest.mark.parametrize(("rate", "count"), [(50.0, 100), (500.0, 1000), (5000.0, 8000)])
def test_the_rate_is_kept_within_ten_percent(
    kafka_topic: str, replay_store: Store, replay_on: Settings, rate: float, count: int
) -> None:
    reached = []
    for attempt in range(3):  # a host that is busy with other things for a moment cannot send so fast
        fill(replay_store, kafka_topic, count, keys=count, first=attempt * count)
        _, report = replay(replay_store, replay_on, rate=rate, window=1000)
        assert report.run.replayed == count
        assert report.events_per_s <= 1.1 * rate
        reached.append(report.events_per_s)
        if reached[-1] >= 0.9 * rate:
            return
    pytest.fail(f"{rate:g}/s was asked for; {reached} were reached")


def test_only_the_offender_of_a_batch_fails_and_blocks_its_key(
    kafka: BrokerHandle, replay_store: Store, replay_on: Settings
) -> None:
    topic = kafka.create_topic()
    fill(replay_store, topic, 20, keys=20)
    fill(replay_store, topic, 1, keys=1, first=20, text=LARGE)
    fill(replay_store, topic, 5, keys=1, first=30)
    run_id = make(replay_store, replay_on, breaker_ratio=1.0)
    set_limit(kafka, topic, 1500)
    report = Runner(replay_store, replay_on, run_id).run(Event())
    assert (report.run.replayed, report.run.failed, report.run.left) == (20, 1, 5)
    assert report.run.verified == "verified: 0 lost, 0 duplicates"
    messages = read_topic(kafka.bootstrap, topic)
    assert sorted(map(trace_of, messages)) == list(range(20))
    reader = replay_store.reader()
    (failed,) = reader.page(Filter(states=("failed",))).records
    assert failed.state_reason.startswith("MSG_SIZE_TOO_LARGE")
    detail = reader.record(failed.id)
    reader.close()
    assert detail is not None
    assert [(one.outcome, one.err_name) for one in detail.attempts] == [("failed", "MSG_SIZE_TOO_LARGE")]


def test_small_records_fit_whatever_the_topics_limit(
    kafka: BrokerHandle, replay_store: Store, replay_on: Settings
) -> None:
    topic = kafka.create_topic(configs={"max.message.bytes": 4000})
    fill(replay_store, topic, 300, keys=300)
    _, report = replay(replay_store, replay_on)
    assert (report.run.replayed, report.run.failed) == (300, 0)


def test_in_partition_order_a_failure_names_the_later_ones_that_landed(
    kafka: BrokerHandle, replay_store: Store, replay_on: Settings
) -> None:
    topic = kafka.create_topic()
    fill(replay_store, topic, 1, keys=1, first=0, text=LARGE)
    fill(replay_store, topic, 9, keys=1, first=1)
    run_id = make(replay_store, replay_on, order="partition", breaker_ratio=1.0)
    set_limit(kafka, topic, 1500)
    report = Runner(replay_store, replay_on, run_id).run(Event())
    assert report.run.failed == 1
    landed = sorted(map(trace_of, read_topic(kafka.bootstrap, topic)))
    assert len(report.landed_behind) == len(landed) > 0
    assert report.run.replayed == len(landed)


def test_the_canary_stops_after_ten_bad_sends(kafka: BrokerHandle, replay_store: Store, replay_on: Settings) -> None:
    topic = kafka.create_topic()
    fill(replay_store, topic, 100, keys=100, text=LARGE)
    run_id = make(replay_store, replay_on, canary=10, breaker_consec=50)
    set_limit(kafka, topic, 1500)
    report = Runner(replay_store, replay_on, run_id).run(Event())
    assert report.run.state == "stopped"
    assert "canary: 10 of the first 10 did not arrive" in report.run.state_reason
    assert (report.run.failed, report.run.left) == (10, 90)
    assert read_topic(kafka.bootstrap, topic) == []


def test_failures_in_a_row_open_the_breaker(kafka: BrokerHandle, replay_store: Store, replay_on: Settings) -> None:
    topic = kafka.create_topic()
    fill(replay_store, topic, 100, keys=100, text=LARGE)
    run_id = make(replay_store, replay_on, rate=200.0)
    set_limit(kafka, topic, 1500)
    report = Runner(replay_store, replay_on, run_id).run(Event())
    assert report.run.state == "stopped"
    assert "5 failures in a row, the last: MSG_SIZE_TOO_LARGE" in report.run.state_reason
    assert 5 <= report.run.failed < 100


def test_a_withdrawn_permission_stops_the_run_and_a_resume_goes_on_there(
    kafka: BrokerHandle, replay_store: Store
) -> None:
    topic = kafka.create_topic(partitions=2)
    fill(replay_store, topic, 2000, keys=100)
    name = kafka.topic_name("replayer")
    everything = (AclOperation.WRITE, AclOperation.DESCRIBE, AclOperation.READ, AclOperation.DESCRIBE_CONFIGS)
    kafka.grant(name, topic, *everything)
    identity = kafka.ssl_properties(name)
    settings = replay_settings(
        kafka.ssl_bootstrap,
        replay_store.directory,
        security_protocol="ssl",
        ssl_ca_location=identity["ssl.ca.location"],
        ssl_certificate_location=identity["ssl.certificate.location"],
        ssl_key_location=identity["ssl.key.location"],
    )
    run_id = make(replay_store, settings, rate=800.0)
    running = Running(replay_store, settings, run_id)
    wait_for(lambda: running.runner.progress.replayed > 100)
    kafka.revoke(name, topic)
    report = running.end()
    assert report.run.state == "stopped"
    assert "AUTHORIZATION" in report.run.state_reason
    assert (report.run.failed, report.run.unknown) == (0, 0)
    assert report.run.left > 0
    kafka.grant(name, topic, *everything)
    report = Runner(replay_store, settings, run_id).run(Event())
    assert (report.run.state, report.run.replayed) == ("finished", 2000)
    assert report.run.verified == "verified: 0 lost, 0 duplicates"
    assert judge(read_topic(kafka.bootstrap, topic), range(2000), 100) == (0, 0, 0)


def test_attempts_are_limited(kafka: BrokerHandle, replay_store: Store, replay_on: Settings) -> None:
    topic = kafka.create_topic()
    fill(replay_store, topic, 1, text=LARGE)
    states = []
    for _ in range(2):
        set_limit(kafka, topic, 100_000)
        run_id = make(replay_store, replay_on, max_attempts=2)
        set_limit(kafka, topic, 1500)
        Runner(replay_store, replay_on, run_id).run(Event())
        reader = replay_store.reader()
        (row,) = reader.page().records
        states.append((row.state, row.attempts))
        frozen = reader.matching(Filter())
        reader.close()
        if row.state == "failed":
            triage(replay_store, "release", frozen, "once more")
    assert states == [("failed", 1), ("quarantined", 2)]


def test_pause_resume_and_cancel_reach_a_run_in_another_process(
    kafka: BrokerHandle, kafka_topic: str, replay_store: Store, replay_on: Settings
) -> None:
    fill(replay_store, kafka_topic, 3000, keys=200)
    run_id = make(replay_store, replay_on, rate=1000.0)
    running = Running(replay_store, replay_on, run_id)
    wait_for(lambda: running.runner.progress.replayed > 50)
    other = Store.open(replay_store.directory, replay_on.dlq, component="another")
    with pytest.raises(LeaseHeldError, match="a replay is running"):
        Runner(other, replay_on, run_id).run(Event())
    request(other, run_id, "pause")
    wait_for(lambda: _run(replay_store, run_id).state == "paused")
    at = _run(replay_store, run_id).replayed
    assert len(read_topic(kafka.bootstrap, kafka_topic)) == at < 3000
    request(other, run_id, "resume")
    wait_for(lambda: running.runner.progress.replayed > at)
    request(other, run_id, "cancel", reason="enough")
    report = running.end()
    other.close()
    assert report.run.state == "cancelled"
    assert at < report.run.replayed < 3000
    assert report.run.unknown == 0
    with pytest.raises(RunStateError):
        Runner(replay_store, replay_on, run_id).run(Event())
    _lost, duplicates, disorder = judge(read_topic(kafka.bootstrap, kafka_topic), range(report.run.replayed), 200)
    assert (duplicates, disorder) == (0, 0)


def test_a_record_that_fits_only_as_the_profile_compresses_it_is_sent_so(
    kafka: BrokerHandle, replay_store: Store, replay_on: Settings
) -> None:
    topic = kafka.create_topic(configs={"max.message.bytes": 4000})
    fill(replay_store, topic, 20, text=LARGE)
    made = plan(replay_store, replay_on, READY, ReplayOptions.of(replay_on.dlq, **QUICK))
    assert made.largest_bytes > 4000
    report = Runner(replay_store, replay_on, made.run_id).run(Event())
    assert (report.run.state, report.run.replayed, report.run.failed) == ("finished", 20, 0)


def test_a_stopped_run_goes_on_where_it_was(
    kafka: BrokerHandle, kafka_topic: str, replay_store: Store, replay_on: Settings
) -> None:
    fill(replay_store, kafka_topic, 2000, keys=100)
    seen: list[RunProgress] = []
    run_id = make(replay_store, replay_on, rate=1000.0)
    running = Running(replay_store, replay_on, run_id, on_progress=seen.append)
    wait_for(lambda: running.runner.progress.replayed > 300 and any(one.rate_per_s for one in seen))
    running.stop.set()
    first = running.end()
    assert first.run.state == "stopped"
    assert 0 < first.run.replayed < 2000
    last = Runner(replay_store, replay_on, run_id).run(Event())
    assert (last.run.state, last.run.replayed) == ("finished", 2000)
    assert judge(read_topic(kafka.bootstrap, kafka_topic), range(2000), 100) == (0, 0, 0)


def test_records_on_their_way_may_not_be_touched(kafka_topic: str, replay_store: Store, replay_on: Settings) -> None:
    fill(replay_store, kafka_topic, 200, keys=200)
    run_id = make(replay_store, replay_on, rate=20.0, window=50)
    running = Running(replay_store, replay_on, run_id)
    wait_for(lambda: running.runner.progress.replayed > 0)
    reader = replay_store.reader()
    with reading(replay_store.directory) as conn:
        from atom_console.dlq.states import held_by_windows

        held = next(iter(held_by_windows(conn)))
    report = triage(replay_store, "discard", [(held, 1)], "not now")
    assert report.changed == 0
    assert list(report.skipped) == ["being sent by a replay, or its outcome is not known"]
    from atom_console.dlq.audit import present_actor

    with pytest.raises(IllegalTransitionError):
        replay_store.run(
            lambda conn: transition(
                conn, [Change(held, 1)], State.DISCARDED, reason="no", actor=present_actor(), now_ms=1
            )
        )
    reader.close()
    running.stop.set()
    running.end()


def test_whoever_lost_the_lease_writes_nothing_more(
    kafka: BrokerHandle, kafka_topic: str, replay_store: Store, replay_on: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(replay_store, kafka_topic, 2000, keys=100)
    run_id = make(replay_store, replay_on, rate=1000.0)
    running = Running(replay_store, replay_on, run_id)
    wait_for(lambda: running.runner.progress.replayed > 50)
    monkeypatch.setattr(lease, "STALE_S", -1.0)
    other = Store.open(replay_store.directory, replay_on.dlq, component="another")
    with pytest.raises(LeaseHeldError, match="was last heard of"):
        Runner(other, replay_on, run_id).run(Event())
    report = Runner(other, replay_on, run_id, take_over=True).run(Event())
    with pytest.raises(LeaseLostError):
        running.end()
    # The first process lived when it was looked, or had just ended: then everything is decided.
    if report.run.state == "stopped":
        assert "still lives" in report.run.state_reason
        report = Runner(other, replay_on, run_id).run(Event())
    assert (report.run.state, report.run.replayed) == ("finished", 2000)
    rows = other.run(lambda conn: conn.execute("SELECT reason FROM audit WHERE action = 'takeover'").fetchall())
    other.close()
    assert len(rows) == 1
    assert judge(read_topic(kafka.bootstrap, kafka_topic), range(2000), 100) == (0, 0, 0)


def test_a_full_disk_is_waited_for(
    kafka: BrokerHandle, kafka_topic: str, replay_store: Store, replay_on: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(replay_store, kafka_topic, 500, keys=50)
    run_id = make(replay_store, replay_on, window=100)
    real, faults = replay_store.run, iter([False, True, True, False, True] + [False] * 1000)
    monkeypatch.setattr(pipeline, "_RETRY_S", 0.01)

    class Faulty:
        def run(self, work: Any) -> Any:
            if next(faults):
                raise StoreUnavailableError("the disk is full")
            return real(work)

    persist = pipeline.persist
    monkeypatch.setattr(pipeline, "persist", lambda store, work, stopping: persist(Faulty(), work, stopping))
    report = Runner(replay_store, replay_on, run_id).run(Event())
    assert (report.run.state, report.run.replayed) == ("finished", 500)
    assert judge(read_topic(kafka.bootstrap, kafka_topic), range(500), 50) == (0, 0, 0)


def test_null_keys_and_headers_are_kept(
    kafka: BrokerHandle, kafka_topic: str, replay_store: Store, replay_on: Settings, tmp_path: Path
) -> None:
    from atom_console.dlq.normalise import from_failure
    from atom_console.kafka.delivery_errors import classify
    from atom_console.kafka.failure import failed

    headers = (("a", None), ("a", b""), ("__connect.errors.topic", b"x"), ("x-atom-dlq-id", b"old"), ("b", b"\x00"))
    failure = failed(classify(-185, stage="queue"), topic=kafka_topic, value=None, key=None, headers=headers,
                     stage="queue", component="test")  # fmt: skip
    replay_store.insert([from_failure(failure, None)])
    _, report = replay(replay_store, replay_on)
    assert report.run.verified == "verified: 0 lost, 0 duplicates"
    (message,) = read_topic(kafka.bootstrap, kafka_topic)
    assert (message.key(), message.value()) == (None, None)
    assert message.headers()[:3] == [("a", None), ("a", b""), ("b", b"\x00")]
    assert [name for name, _ in message.headers()[3:]] == ["x-atom-replay-id", "x-atom-dlq-id"]


def test_headers_that_an_ingest_left_on_purpose_are_sent(
    kafka: BrokerHandle, kafka_topic: str, replay_store: Store, replay_on: Settings
) -> None:
    """`dlq ingest --keep-lookalikes`: what it kept is the producer's own, whatever it looks like."""
    from atom_console.dlq.record import NewRecord, Origin
    from atom_console.dlq.troubles import trouble

    made = trouble(
        origin=Origin.CONNECT, err_class="poison", err_name="DataException", message="no", stage="VALUE_CONVERTER",
        component="sink", dest_topic=kafka_topic, cluster_id=None, dlq_topic="sink.dlq",
    )  # fmt: skip
    own = (("kafka_dlt-original-topic", b"mine"), ("original_offset", b"7"), ("a", None))
    headers = (*own, ("x-atom-dlq-id", b"old"))
    record = NewRecord(trouble=made, captured_at=1, key=b"k", value=b"v", headers=headers, maybe_persisted=False)
    replay_store.insert([record])
    reader = replay_store.reader()
    (row,) = reader.page().records
    reader.close()
    triage(replay_store, "release", [(row.seq, row.version)], "repaired")
    _, report = replay(replay_store, replay_on)
    assert report.run.replayed == 1
    (message,) = read_topic(kafka.bootstrap, kafka_topic)
    assert message.headers()[:3] == list(own)
    assert [name for name, _ in message.headers()[3:]] == ["x-atom-replay-id", "x-atom-dlq-id"]


def _run(store: Store, run_id: str) -> Any:
    with reading(store.directory) as conn:
        return read_run(conn, run_id)


def test_time_is_taken_from_a_clock() -> None:
    from atom_console.dlq.replay.pacing import Breaker, Bucket, WindowSize

    now = [0.0]
    bucket = Bucket(100.0, lambda: now[0])
    sent = 0
    while now[0] < 10:
        count = bucket.available()
        bucket.take(count)
        sent += count
        now[0] += 0.003
    assert sent == pytest.approx(1000, abs=30)
    size = WindowSize(1000, 0)
    for _ in range(10):
        size.took(0.01, size.size)
    assert size.size == 1000
    size.took(2.0, 1000)
    assert size.size == 500
    breaker = Breaker(100, 0.2)
    for n in range(61):
        breaker.succeeded(1) if n % 4 else breaker.failed("bad", config=False)
    assert breaker.reason.startswith("13 of the last 50 failed")
    assert time.monotonic() > 0
