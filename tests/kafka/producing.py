"""Doubles and shorthands of the tests of the producing half."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import count
from typing import Any

from confluent_kafka import Consumer, TopicPartition

from atom_console.config import KafkaSettings, Settings
from atom_console.kafka.failure import FailedDelivery, JournalEntry
from atom_console.kafka.publisher import Publisher

QUICK = {"retry.backoff.ms": "1", "retry.backoff.max.ms": "1", "socket.timeout.ms": "1000"}
NOWHERE = "127.0.0.1:1"


class MemorySink:
    def __init__(self) -> None:
        self.failures: list[FailedDelivery] = []
        self.broken = False

    def capture(self, failure: FailedDelivery) -> None:
        if self.broken:
            raise OSError("no space left on device")
        self.failures.append(failure)


class MemoryJournal:
    def __init__(self) -> None:
        self.rows: dict[int, JournalEntry] = {}
        self._numbers = count(1)
        self.commits = 0
        self.broken = False

    def append(self, entries: Sequence[JournalEntry]) -> Sequence[int]:
        if self.broken:
            raise OSError("no space left on device")
        self.commits += 1
        ids = [next(self._numbers) for _ in entries]
        self.rows.update(zip(ids, entries, strict=True))
        return ids

    def acknowledge(self, ids: Sequence[int]) -> None:
        if self.broken:
            raise OSError("no space left on device")
        for row in ids:
            del self.rows[row]


def settings_for(bootstrap_servers: str, **kafka: Any) -> Settings:
    """Without idempotence by default: its producer id costs half a second a client."""
    properties = QUICK | kafka.pop("properties", {})
    return Settings(
        kafka=KafkaSettings(
            **{"bootstrap_servers": bootstrap_servers, "topic": "t", "idempotence": False, "statistics_interval_ms": 0}
            | kafka,
            properties=properties,
        )
    )


@contextmanager
def publishing(settings: Settings, journal: MemoryJournal | None = None) -> Iterator[tuple[Publisher, MemorySink]]:
    """A publisher with its sink, drained at the end."""
    sink = MemorySink()
    publisher = Publisher(settings, sink, journal, component="test")
    try:
        yield publisher, sink
    finally:
        publisher.drain(0.0)


def poll_until(publisher: Publisher, condition: Callable[[], bool], within_s: float = 10.0) -> None:
    end_s = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < end_s, f"did not happen within {within_s} s: {publisher.snapshot()}"
        publisher.poll(0.01)


def settle(publisher: Publisher, within_s: float = 10.0) -> None:
    """Until nothing is in flight."""
    poll_until(publisher, lambda: publisher.snapshot().in_flight == 0, within_s)


def read_all(bootstrap_servers: str, topic: str) -> list[Any]:
    """Every message of a topic, by watermarks, without a group."""
    consumer = Consumer(
        {"bootstrap.servers": bootstrap_servers, "group.id": "reader", "enable.auto.commit": False,
         "auto.offset.reset": "earliest", "fetch.wait.max.ms": 5, "log_level": 0}
    )  # fmt: skip
    try:
        partitions = [
            TopicPartition(topic, number, 0) for number in consumer.list_topics(topic, 5).topics[topic].partitions
        ]
        left = sum(consumer.get_watermark_offsets(each, 5)[1] for each in partitions)
        consumer.assign(partitions)
        found: list[Any] = []
        end_s = time.monotonic() + 10
        while len(found) < left:
            assert time.monotonic() < end_s, f"{len(found)} of {left} messages read"
            message = consumer.poll(0.1)
            if message is not None and message.error() is None:
                found.append(message)
        return found
    finally:
        consumer.close()
