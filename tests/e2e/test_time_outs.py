"""What a time-out costs: the proof of what `docs/delivery-errors.md` says of events that are on the broker twice."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from atom_console import Producer
from atom_console.config import Settings
from tests.broker.broker import KafkaBroker
from tests.broker.handle import BrokerHandle
from tests.broker.proxy import Proxy, behind_a_proxy
from tests.e2e.delivery import in_the_store, on_the_broker, settings_for

pytestmark = pytest.mark.crash

TIMEOUT_S = 4.0
BATCH = [b"young-%d" % number for number in range(100)]


@pytest.fixture
def path(make_broker: Callable[..., KafkaBroker]) -> Iterator[tuple[BrokerHandle, Proxy]]:
    with behind_a_proxy(make_broker) as path:
        yield path


def plain(handle: BrokerHandle, topic: str, timeout_s: float) -> Settings:
    """One request a burst of events, and values that can be found in a file."""
    timeout_ms = round(timeout_s * 1000)
    return settings_for(handle.bootstrap, topic, message_timeout_ms=timeout_ms, compression="none", linger_ms=50)


def report_until(producer: Producer, is_so: Callable[[], bool], what: str) -> None:
    end_s = time.monotonic() + 30
    while not is_so():
        assert time.monotonic() < end_s, f"{what}: {producer.snapshot()}"
        producer.wait_for_reports(0.05)


def written(handle: BrokerHandle, topic: str, value: bytes) -> bool:
    """Whether the broker has it, by the file of its log: answers cannot be had."""
    (log,) = (handle.directory / "data").glob(f"{topic}-0/*.log")
    return value in log.read_bytes()


def copies(handle: BrokerHandle, topic: str) -> Counter[bytes | None]:
    return Counter(record.value for record in on_the_broker(handle.bootstrap, topic))


@pytest.mark.timeout(120)
def test_a_batch_without_an_answer_is_there_twice_when_other_events_time_out(
    path: tuple[BrokerHandle, Proxy], tmp_path: Path
) -> None:
    """When this fails because each is there once, librdkafka has learnt it: then say so no longer."""
    handle, proxy = path
    topic, other_topic = handle.create_topic(), handle.create_topic()
    settings = plain(handle, topic, TIMEOUT_S)
    with Producer(settings, dlq_dir=tmp_path / "dlq") as producer:
        assert producer.warm_up()
        for name in (topic, other_topic):
            producer.publish_encoded(b"first", topic=name)
        report_until(producer, lambda: producer.snapshot().acked == 2, "a path that works")

        proxy.cut_answers()
        producer.publish_encoded(b"old", topic=other_topic)
        old_s = time.monotonic() + TIMEOUT_S * 0.75
        report_until(producer, lambda: time.monotonic() > old_s, "an event that is nearly too old")
        for value in BATCH:
            producer.publish_encoded(value)
        report_until(producer, lambda: written(handle, topic, BATCH[-1]), "a batch that is written")
        report_until(producer, lambda: producer.snapshot().captured == 1, "the old event times out")
        proxy.mend()
        report_until(producer, lambda: producer.snapshot().in_flight == 0, "the answers")
        seen, report = producer.snapshot(), producer.drain()

    assert (report.accepted, report.acked, report.captured) == (103, 102, 1)
    assert [record.value for record in in_the_store(tmp_path / "dlq")] == [b"old"]
    assert copies(handle, other_topic) == {b"first": 1, b"old": 1}
    on_topic = copies(handle, topic)
    assert on_topic.keys() == {b"first", *BATCH}
    assert set(on_topic.values()) == {1, 2}
    assert [(error.name, "twice" in error.next_step) for error in seen.recent_errors if error.topic] == [
        ("_MSG_TIMED_OUT", True)
    ]


@pytest.mark.timeout(120)
def test_a_batch_without_an_answer_is_there_once_while_nothing_times_out(
    path: tuple[BrokerHandle, Proxy], tmp_path: Path
) -> None:
    handle, proxy = path
    topic = handle.create_topic()
    settings = plain(handle, topic, 60.0)
    with Producer(settings, dlq_dir=tmp_path / "dlq") as producer:
        assert producer.warm_up()
        producer.publish_encoded(b"first")
        report_until(producer, lambda: producer.snapshot().acked == 1, "a path that works")
        proxy.cut_answers()
        for value in BATCH:
            producer.publish_encoded(value)
        report_until(producer, lambda: written(handle, topic, BATCH[-1]), "a batch that is written")
        assert producer.snapshot().acked == 1
        proxy.hang_up()
        proxy.mend()
        report_until(producer, lambda: producer.snapshot().in_flight == 0, "the answers")
        report = producer.drain()

    assert (report.accepted, report.acked, report.captured) == (101, 101, 0)
    assert copies(handle, topic) == dict.fromkeys([b"first", *BATCH], 1)
