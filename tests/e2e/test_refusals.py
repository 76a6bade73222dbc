"""What a real broker refuses, and what no broker takes: each in the dead letter queue, named."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from atom_console import Producer
from atom_console.config import Settings
from atom_console.events import encode_mapping
from atom_console.sandbox.workload import Workload
from tests.broker.handle import BrokerHandle
from tests.broker.ports import free_ports
from tests.e2e.delivery import Kept, in_the_store, settings_for

Publish = Callable[[Settings, list[dict[str, Any]]], tuple[list[Kept], int]]


@pytest.fixture
def publish_all(tmp_path: Path) -> Publish:
    """Publish events, wait until each has ended, and give (dead letters, acknowledged)."""

    def publish(settings: Settings, events: list[dict[str, Any]]) -> tuple[list[Kept], int]:
        with Producer(settings, dlq_dir=tmp_path / "dlq") as producer:
            for event in events:
                producer.publish(event)
            end_s = time.monotonic() + 40
            while producer.snapshot().in_flight and time.monotonic() < end_s:
                producer.wait_for_reports(0.1)
            report = producer.drain()
        assert report.accepted == len(events) == report.acked + report.captured
        kept = in_the_store(tmp_path / "dlq")
        assert len(kept) == report.captured
        assert {record.value for record in kept} <= {encode_mapping(event) for event in events}
        return kept, report.acked

    return publish


def _secure(kafka: BrokerHandle, name: str, topic: str) -> Settings:
    identity = kafka.identity(name)
    return settings_for(
        kafka.ssl_bootstrap,
        topic,
        security_protocol="ssl",
        ssl_ca_location=identity.ca,
        ssl_certificate_location=identity.cert,
        ssl_key_location=identity.key,
    )


def test_a_topic_without_permission(kafka: BrokerHandle, publish_all: Publish) -> None:
    topic = kafka.create_topic()
    events = Workload(seed=3).events(5)
    kept, acked = publish_all(_secure(kafka, "stranger", topic), events)
    assert acked == 0
    assert {(one.err_class, one.err_name, one.err_code) for one in kept} == {
        ("config", "TOPIC_AUTHORIZATION_FAILED", 29)
    }
    assert {one.topic for one in kept} == {topic}
    assert all("uthorization" in one.message for one in kept)
    assert not any(one.maybe_persisted for one in kept)
    assert kafka.end_offsets(topic) == {0: 0}


def test_a_topic_with_permission_over_mutual_tls(kafka: BrokerHandle, publish_all: Publish) -> None:
    topic = kafka.create_topic()
    kafka.grant("service", topic)
    kept, acked = publish_all(_secure(kafka, "service", topic), Workload(seed=3).events(50))
    assert (kept, acked) == ([], 50)
    assert kafka.end_offsets(topic) == {0: 50}


def test_an_event_over_the_topics_limit_and_its_neighbours(kafka: BrokerHandle, publish_all: Publish) -> None:
    topic = kafka.create_topic(configs={"max.message.bytes": 20_000})
    workload = Workload(seed=4)
    large = workload.oversize(200_000)
    events = [*workload.writes(20), large, *workload.writes(20)]
    kept, acked = publish_all(settings_for(kafka.bootstrap, topic, linger_ms=50, compression="none"), events)
    assert [(one.err_class, one.err_name, one.err_code) for one in kept] == [("poison", "MSG_SIZE_TOO_LARGE", 10)]
    assert kept[0].value == encode_mapping(large)
    assert acked == 40, "only the event that is too large fails, not its batch"


def test_an_event_over_the_clients_limit(kafka: BrokerHandle, publish_all: Publish) -> None:
    topic = kafka.create_topic()
    workload = Workload(seed=4)
    large = workload.oversize(200_000)
    settings = settings_for(kafka.bootstrap, topic, message_max_bytes=100_000, batch_size=50_000)
    kept, acked = publish_all(settings, [large, *workload.writes(3)])
    assert [(one.err_class, one.err_name, one.value) for one in kept] == [
        ("poison", "MSG_SIZE_TOO_LARGE", encode_mapping(large))
    ]
    assert acked == 3


def test_an_unknown_topic(kafka: BrokerHandle, publish_all: Publish) -> None:
    topic = kafka.topic_name("never-made")
    settings = settings_for(kafka.bootstrap, topic, properties={"topic.metadata.propagation.max.ms": "1000"})
    _check_unknown(topic, *publish_all(settings, Workload(seed=5).events(4)))
    admin = kafka.admin()
    assert topic not in admin.list_topics(timeout=5).topics, "publishing makes no topic"


def test_an_unknown_topic_is_named_without_tuning(kafka: BrokerHandle, publish_all: Publish) -> None:
    topic = kafka.topic_name("never-made")
    _check_unknown(
        topic, *publish_all(settings_for(kafka.bootstrap, topic, message_timeout_ms=10_000), Workload(seed=5).events(4))
    )


def _check_unknown(topic: str, kept: list[Kept], acked: int) -> None:
    assert acked == 0
    assert len(kept) == 4
    assert {(one.topic, one.err_class) for one in kept} == {(topic, "config")}
    assert {one.err_name for one in kept} <= {"_UNKNOWN_TOPIC", "UNKNOWN_TOPIC_OR_PART"}
    assert all("nknown topic" in one.message for one in kept)


def test_a_full_queue(publish_all: Publish) -> None:
    (port,) = free_ports(1)
    settings = settings_for(
        f"127.0.0.1:{port}", "anything", queue_max_messages=10, message_timeout_ms=2_000, statistics_interval_ms=0
    )
    kept, acked = publish_all(settings, Workload(seed=6).events(50))
    assert acked == 0
    names = [one.err_name for one in kept]
    assert names.count("_QUEUE_FULL") == 40
    assert names.count("_MSG_TIMED_OUT") == 10
    assert {(one.err_class, one.stage) for one in kept if one.err_name == "_QUEUE_FULL"} == {("outage", "queue")}
