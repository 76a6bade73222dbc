"""A broker that dies under full load: nothing that was accepted is in neither place."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from atom_console import Producer
from atom_console.events import encode_mapping
from tests.broker.broker import KafkaBroker
from tests.e2e.delivery import in_the_store, many_events, on_the_broker, settings_for

pytestmark = pytest.mark.crash


def _settle(producer: Producer, within_s: float) -> None:
    end_s = time.monotonic() + within_s
    while producer.snapshot().in_flight:
        assert time.monotonic() < end_s, f"still in flight after {within_s} s: {producer.snapshot()}"
        producer.wait_for_reports(0.1)


@pytest.mark.timeout(180)
def test_a_broker_killed_under_load_and_back_after_the_message_timeout(own_broker: KafkaBroker, tmp_path: Path) -> None:
    handle = own_broker.handle
    topic = handle.create_topic(partitions=4)
    settings = settings_for(handle.bootstrap, topic, preset="throughput", message_timeout_ms=3_000)
    count, killed_at = 200_000, 80_000
    given: set[bytes] = set()  # each has an event id of its own
    with Producer(settings, dlq_dir=tmp_path / "dlq") as producer:
        assert producer.warm_up()
        for number, event in enumerate(many_events(count)):
            if number == killed_at:
                own_broker.kill()
                acked_when_killed = producer.snapshot().acked
            given.add(encode_mapping(event))
            producer.publish(event)
        _settle(producer, within_s=60)
        before = producer.snapshot()
        own_broker.restart()
        for event in many_events(1_000, seed=12):
            given.add(encode_mapping(event))
            producer.publish(event)
        _settle(producer, within_s=60)
        report = producer.drain()

    assert 0 < acked_when_killed < count
    assert before.captured > 0, "the outage lasted longer than message.timeout.ms"
    assert report.accepted == count + 1_000
    assert report.acked + report.captured == report.accepted
    assert (report.unsaved, report.unreported) == (0, 0)
    assert report.captured == before.captured, "after the restart everything is acknowledged"

    kept = in_the_store(tmp_path / "dlq")
    stored = {record.value: record for record in kept}
    assert len(stored) == len(kept) == report.captured, "no event is kept twice"
    assert not stored.keys() - given, "byte for byte"
    assert {record.err_class for record in kept} == {"outage"}
    assert {record.topic for record in kept} == {topic}

    records = on_the_broker(handle.bootstrap, topic)
    arrived = {record.value for record in records}
    assert len(arrived) == len(records), "no event is on the broker twice"
    assert not arrived - given, "byte for byte"
    assert not given - stored.keys() - arrived, "what was acknowledged is there: none is in neither place"
    assert all(stored[value].maybe_persisted for value in stored.keys() & arrived), (
        "a sure failure is not on the broker"
    )


@pytest.mark.timeout(120)
def test_a_broker_back_in_time_costs_nothing(own_broker: KafkaBroker, tmp_path: Path) -> None:
    handle = own_broker.handle
    topic = handle.create_topic(partitions=2)
    settings = settings_for(handle.bootstrap, topic, message_timeout_ms=60_000)
    count = 60_000
    with Producer(settings, dlq_dir=tmp_path / "dlq") as producer:
        assert producer.warm_up()
        for number, event in enumerate(many_events(count)):
            if number == count // 3:
                own_broker.kill()
            producer.publish(event)
        own_broker.restart()
        _settle(producer, within_s=50)
        report = producer.drain()
    assert (report.accepted, report.acked, report.captured) == (count, count, 0)
    records = on_the_broker(handle.bootstrap, topic)
    assert len(records) == len({record.value for record in records}) == count, "neither lost nor sent twice"
    tenants: dict[bytes | None, set[int]] = {}
    for record in records:
        tenants.setdefault(record.key, set()).add(record.partition)
    assert all(len(partitions) == 1 for partitions in tenants.values()), "a tenant's events keep to one partition"
