"""What a plan counts, holds back, warns of and refuses; it is frozen."""

from __future__ import annotations

import time
from threading import Event
from typing import Any

import pytest
from confluent_kafka import Producer
from confluent_kafka.admin import AclOperation

from atom_console.config import Settings
from atom_console.dlq.errors import FilterError
from atom_console.dlq.filters import Filter
from atom_console.dlq.replay.errors import EmptyPlanError, NotConfirmedError, PlanRefusedError
from atom_console.dlq.replay.options import OptionError, ReplayOptions
from atom_console.dlq.replay.plan import Plan, plan, require_confirmed
from atom_console.dlq.replay.reading import reading
from atom_console.dlq.replay.run import Runner
from atom_console.dlq.replay.runs import read_run
from atom_console.dlq.store import Store
from atom_console.dlq.triage import triage
from atom_console.errors import RefusedError
from tests.broker.handle import BrokerHandle
from tests.dlq_replay.conftest import QUICK, fill, judge, read_topic, replay, replay_event, replay_settings

READY = Filter(states=("ready",))


def _plan(store: Store, settings: Settings, wanted: Filter = READY, **options: Any) -> Plan:
    return plan(store, settings, wanted, ReplayOptions.of(settings.dlq, **{**QUICK, **options}))


def test_a_plan_counts_by_group_tenant_and_topic_and_is_stored(
    kafka: BrokerHandle, replay_store: Store, replay_on: Settings
) -> None:
    one, two = kafka.create_topic(partitions=2), kafka.create_topic()
    fill(replay_store, one, 30, keys=3, cluster_id=kafka.cluster_id)
    fill(replay_store, two, 10, keys=2, first=100, code=-192, maybe=True)
    made = _plan(replay_store, replay_on, rate=50.0)
    assert made.count == 40
    assert made.by_topic == {one: 30, two: 10}
    assert made.by_tenant == {"tenant-0": 15, "tenant-1": 15, "tenant-2": 10}
    assert sorted(made.by_group.values()) == [10, 30]
    assert made.may_duplicate == 10
    assert made.refusals == ()
    assert made.keys == 5
    assert made.eta_s is not None
    assert made.eta_s - made.check_s == pytest.approx(40 / 50, abs=0.11)
    assert made.cluster_id == kafka.cluster_id
    assert any("do not say which cluster" in text for text in made.warnings)
    with reading(replay_store.directory) as conn:
        run = read_run(conn, made.run_id[:4])
    assert Plan.from_json(run.plan) == made
    assert (run.state, run.total, run.held) == ("planned", 40, 0)


def test_a_plan_never_widens(kafka_topic: str, replay_store: Store, replay_on: Settings) -> None:
    fill(replay_store, kafka_topic, 20, keys=5)
    made = _plan(replay_store, replay_on)
    fill(replay_store, kafka_topic, 20, keys=5, first=100)
    report = Runner(replay_store, replay_on, made.run_id).run(Event())
    assert report.run.replayed == 20
    reader = replay_store.reader()
    assert reader.page(READY).total == 20
    reader.close()


def test_what_an_operator_changes_after_the_plan_is_left_out(
    kafka: BrokerHandle, kafka_topic: str, replay_store: Store, replay_on: Settings
) -> None:
    fill(replay_store, kafka_topic, 20, keys=20)
    made = _plan(replay_store, replay_on)
    reader = replay_store.reader()
    some = reader.matching(READY, limit=3)
    reader.close()
    assert triage(replay_store, "discard", some, "not these").changed == 3
    report = Runner(replay_store, replay_on, made.run_id).run(Event())
    assert (report.run.replayed, report.run.left) == (17, 3)
    assert len(read_topic(kafka.bootstrap, kafka_topic)) == 17


def test_an_earlier_record_that_stays_behind_blocks_its_key(
    kafka: BrokerHandle, kafka_topic: str, replay_store: Store, replay_on: Settings
) -> None:
    fill(replay_store, kafka_topic, 1, keys=1, code=10, maybe=True)  # quarantined: poison
    fill(replay_store, kafka_topic, 10, keys=2, first=10)
    made = _plan(replay_store, replay_on)
    assert (made.count, made.blocked, dict(made.held)) == (5, 5, {"blocked": 5})
    assert _plan(replay_store, replay_on, allow_reorder=True).count == 10
    report = Runner(replay_store, replay_on, made.run_id).run(Event())
    assert report.run.replayed == 5
    assert {message.key() for message in read_topic(kafka.bootstrap, kafka_topic)} == {b"tenant-1"}


def test_a_record_that_a_newer_one_overtook_is_held_back(
    kafka_topic: str, replay_store: Store, replay_on: Settings
) -> None:
    fill(replay_store, kafka_topic, 2, keys=1, first=50)
    replay(replay_store, replay_on)
    fill(replay_store, kafka_topic, 1, keys=1, first=10)
    fill(replay_store, kafka_topic, 1, keys=1, first=90)
    made = _plan(replay_store, replay_on)
    assert (made.count, made.superseded) == (1, 1)
    assert _plan(replay_store, replay_on, superseded=True).count == 2


def test_records_beyond_the_topics_limit_are_held_back(
    kafka: BrokerHandle, replay_store: Store, replay_on: Settings
) -> None:
    topic = kafka.create_topic(configs={"max.message.bytes": 2000})
    fill(replay_store, topic, 3, keys=3)
    fill(replay_store, topic, 1, keys=1, first=9, text="x" * 3000)
    plainly = replay_settings(kafka.bootstrap, replay_store.directory, compression="none")
    made = _plan(replay_store, plainly)
    assert (made.count, dict(made.held)) == (3, {"too_large": 1})
    assert made.largest_bytes > 3000
    assert any("1 records are larger than max.message.bytes" in text for text in made.warnings)
    # Compressed it may fit, and the broker counts compressed bytes: it is tried, and fails alone if it must.
    made = _plan(replay_store, replay_on)
    assert (made.count, dict(made.held)) == (4, {})
    assert any("before they are compressed" in text for text in made.warnings)
    assert Runner(replay_store, replay_on, made.run_id).run(Event()).run.replayed == 4


def test_refusals(kafka: BrokerHandle, kafka_topic: str, replay_store: Store, replay_on: Settings) -> None:
    fill(replay_store, kafka_topic, 2, cluster_id="another-cluster")
    fill(replay_store, "no-such-topic", 2, first=10)
    compacted = kafka.create_topic(configs={"cleanup.policy": "compact"})
    fill(replay_store, compacted, 2, first=20)
    made = _plan(replay_store, replay_on)
    text = "\n".join(made.refusals)
    assert "are of cluster another-cluster, this is" in text
    assert "topic no-such-topic does not exist" in text
    assert f"topic {compacted} is compacted" in text
    with pytest.raises(PlanRefusedError):
        require_confirmed(made, replay_on, made.count)
    with pytest.raises(PlanRefusedError, match="is gone"):
        Runner(replay_store, replay_on, made.run_id).run(Event())

    dead = kafka.create_topic()
    fill(replay_store, dead, 2, first=30)
    on_it = replay_on.model_copy(update={"dlq": replay_on.dlq.model_copy(update={"topics": (dead,)})})
    (refusal,) = _plan(replay_store, on_it, Filter(topics=(dead,))).refusals
    assert refusal == f"{dead} is a DLQ topic: a replay to it would loop"


def test_an_empty_filter_and_an_empty_result_are_refused(
    kafka_topic: str, replay_store: Store, replay_on: Settings
) -> None:
    fill(replay_store, kafka_topic, 2)
    with pytest.raises(FilterError, match="empty"):
        _plan(replay_store, replay_on, Filter())
    assert plan(replay_store, replay_on, Filter(), everything=True).count == 2
    with pytest.raises(EmptyPlanError):
        _plan(replay_store, replay_on, Filter(tenants=("nobody",)))
    with pytest.raises(OptionError):
        ReplayOptions(window=0)


def test_a_read_only_profile_may_not_plan_or_run(kafka_topic: str, replay_store: Store, replay_on: Settings) -> None:
    fill(replay_store, kafka_topic, 2)
    made = _plan(replay_store, replay_on)
    watching = replay_on.model_copy(update={"read_only": True})
    with pytest.raises(RefusedError, match="read-only"):
        _plan(replay_store, watching)
    with pytest.raises(RefusedError, match="read-only"):
        Runner(replay_store, watching, made.run_id).run(Event())


def test_confirmation(replay_on: Settings) -> None:
    made = Plan(
        "r", 1001, 1, {}, {}, {}, {}, 0, 0, 0, 1, 1, None, None, (), (), {}, 50.0, 0.5, 1.0, True, 0, "alice"
    )  # fmt: skip
    with pytest.raises(NotConfirmedError, match="not confirmed"):
        require_confirmed(made, replay_on, None)
    with pytest.raises(NotConfirmedError, match="the number confirmed was 1,000"):
        require_confirmed(made, replay_on, 1000)
    require_confirmed(made, replay_on, 1001)


def test_permissions_are_probed(kafka: BrokerHandle, replay_store: Store, replay_on: Settings) -> None:
    topic = kafka.create_topic()
    fill(replay_store, topic, 5)
    name = kafka.topic_name("planner")
    kafka.grant(name, topic, AclOperation.WRITE, AclOperation.DESCRIBE)
    identity = kafka.ssl_properties(name)
    settings = replay_settings(
        kafka.ssl_bootstrap,
        replay_store.directory,
        security_protocol="ssl",
        ssl_ca_location=identity["ssl.ca.location"],
        ssl_certificate_location=identity["ssl.certificate.location"],
        ssl_key_location=identity["ssl.key.location"],
    )
    (refusal,) = _plan(replay_store, settings).refusals
    assert refusal.startswith(f"READ on topic {topic} is not granted")
    made = _plan(replay_store, settings, read_back=False)
    assert made.refusals == ()
    assert Runner(replay_store, settings, made.run_id).run(Event()).run.replayed == 5


def test_preserved_timestamps_warn_of_retention(kafka: BrokerHandle, replay_store: Store, replay_on: Settings) -> None:
    topic = kafka.create_topic(configs={"retention.ms": 3_600_000})
    old = int(time.time() * 1000) - 8 * 86_400_000
    fill(replay_store, topic, 2)
    made = _plan(replay_store, replay_on, timestamps="preserve")
    replay_store.run(lambda conn: conn.execute("UPDATE record SET orig_timestamp = ?", (old,)))
    made = _plan(replay_store, replay_on, timestamps="preserve")
    assert any("older than the retention" in text and "1.0 h" in text for text in made.warnings)
    assert not any("retention" in text for text in _plan(replay_store, replay_on).warnings)


def test_what_is_on_the_topic_already_is_found_and_not_sent(
    kafka: BrokerHandle, kafka_topic: str, replay_store: Store, replay_on: Settings
) -> None:
    """The timed-out-but-persisted case: the live producer gave up, and the broker has the record all the same."""
    producer = Producer({"bootstrap.servers": kafka.bootstrap})
    for n in range(0, 40, 2):
        producer.produce(
            kafka_topic, replay_event(n, f"tenant-{n % 4}"), f"tenant-{n % 4}".encode(),
            headers=[("trace_id", b"%032x" % n), ("type", b"1")], timestamp=1_790_000_000_000 + n,
        )  # fmt: skip
    assert producer.flush(10) == 0
    fill(replay_store, kafka_topic, 40, keys=4, code=-192, maybe=True)
    made, report = replay(replay_store, replay_on)
    assert made.may_duplicate == 40
    assert (report.run.replayed, report.run.duplicates_avoided, report.run.sent) == (40, 20, 20)
    assert report.run.verified == "verified: 0 lost, 0 duplicates"
    lost, duplicates, _ = judge(read_topic(kafka.bootstrap, kafka_topic), range(40), 4)
    assert (lost, duplicates) == (0, 0)
    reader = replay_store.reader()
    record = reader.record(reader.page(order="oldest").records[0].id)
    reader.close()
    assert record is not None
    assert (record.row.attempts, [one.outcome for one in record.attempts]) == (0, ["found"])
    (there,) = [m for m in read_topic(kafka.bootstrap, kafka_topic) if m.value() == record.current.value]
    assert (record.delivered_partition, record.delivered_offset) == (there.partition(), there.offset())


def test_equal_tombstones_are_told_apart_by_headers_and_time(
    kafka: BrokerHandle, kafka_topic: str, replay_store: Store, replay_on: Settings
) -> None:
    producer = Producer({"bootstrap.servers": kafka.bootstrap})
    producer.produce(kafka_topic, None, b"tenant-0", headers=[("trace_id", b"%032x" % 0), ("type", b"1")],
                     timestamp=1_790_000_000_000)  # fmt: skip
    assert producer.flush(10) == 0
    fill(replay_store, kafka_topic, 3, keys=1, code=-192, maybe=True, value=None)
    _, report = replay(replay_store, replay_on)
    assert (report.run.replayed, report.run.duplicates_avoided) == (3, 1)
    assert judge(read_topic(kafka.bootstrap, kafka_topic), range(3), 1) == (0, 0, 0)
