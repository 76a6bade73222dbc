"""Stores with dead letters for topics of the real broker, and the means to look at what arrived."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from threading import Event
from typing import Any

import pytest
from confluent_kafka import Consumer, TopicPartition

from atom_console.config import Settings
from atom_console.dlq.filters import Filter
from atom_console.dlq.replay.options import ReplayOptions
from atom_console.dlq.replay.plan import Plan, plan
from atom_console.dlq.replay.run import Runner, RunReport
from atom_console.dlq.store import Store
from atom_console.events import AtomEvent, EventType, Molecule, encode
from atom_console.kafka.delivery_errors import classify
from atom_console.kafka.failure import failed
from tests.broker.handle import BrokerHandle

QUICK = {"rate": 0.0, "canary": 0, "window": 1000, "clean_grace_s": 0.2, "grace_s": 0.2}
"""Options of a replay that waits for nothing: a grace is an estimate for real networks."""


def replay_settings(bootstrap: str, directory: Path, **kafka: Any) -> Settings:
    return Settings.model_validate(
        {
            "kafka": {"bootstrap_servers": bootstrap, **kafka},
            "dlq": {"dir": str(directory), "sync": "NORMAL", "min_free_bytes": 0, "max_bytes": 1 << 32},
        }
    )


def replay_event(number: int, tenant: str, text: str = "x") -> bytes:
    return encode(
        AtomEvent(
            event_id=f"00000000-0000-7000-8000-{number:012d}",
            timestamp=1_790_000_000_000_000_000 + number,
            type=EventType.MOLECULE_WRITE,
            tenant_id=tenant,
            user_id="alice",
            molecules=[Molecule(coordinate_hash=bytes(16), numeric_value=float(number), text_commentary=text)],
        )
    )


def fill(
    store: Store,
    topic: str,
    count: int,
    *,
    keys: int = 50,
    first: int = 0,
    code: int = -185,
    maybe: bool = False,
    text: str = "x",
    value: bytes | None = b"",
    cluster_id: str | None = None,
) -> None:
    """Dead letters `first` … of an outage, their keys in turn, as a producer's failures."""
    store.set_cluster(cluster_id)
    verdict = classify(code, stage="delivery" if maybe else "queue")
    for n in range(first, first + count):
        tenant = f"tenant-{n % keys}"
        store.capture(
            failed(
                verdict,
                topic=topic,
                value=replay_event(n, tenant, text) if value == b"" else value,
                key=tenant.encode(),
                headers=(("trace_id", b"%032x" % n), ("type", b"1")),
                timestamp_ms=1_790_000_000_000 + n,
                stage="delivery" if maybe else "queue",
                component="test",
            )
        )
    store.flush()


def replay(
    store: Store, settings: Settings, wanted: Filter | Sequence[int] | None = None, **options: Any
) -> tuple[Plan, RunReport]:
    """Plan and run."""
    made = plan(
        store, settings, wanted or Filter(states=("ready",)), ReplayOptions.of(settings.dlq, **{**QUICK, **options})
    )
    assert not made.refusals, made.refusals
    return made, Runner(store, settings, made.run_id).run(Event())


def read_topic(bootstrap: str, topic: str, **config: Any) -> list[Any]:
    """Every record of a topic, uncommitted ones too, partition by partition in order."""
    consumer = Consumer(
        {
            "bootstrap.servers": bootstrap,
            "group.id": "look",
            "enable.partition.eof": True,
            "auto.offset.reset": "earliest",
            "isolation.level": "read_uncommitted",
            "fetch.wait.max.ms": 50,
            "fetch.queue.backoff.ms": 1,
            "log_level": 0,
            **config,
        }
    )
    try:
        partitions = consumer.list_topics(topic, timeout=10).topics[topic].partitions
        consumer.assign([TopicPartition(topic, number, 0) for number in partitions])
        out: dict[int, list[Any]] = {number: [] for number in partitions}
        ended: set[int] = set()
        end = time.monotonic() + 60
        while len(ended) < len(partitions):
            assert time.monotonic() < end, "the topic could not be read to its end"
            for message in consumer.consume(1000, 0.2):
                if message.error() is None:
                    out[message.partition()].append(message)
                else:
                    assert message.error().code() == -191, message.error()
                    ended.add(message.partition())
        return [message for number in sorted(out) for message in out[number]]
    finally:
        consumer.close()


def trace_of(message: Any) -> int:
    """The number that `fill` gave the record."""
    return int(dict(message.headers())["trace_id"], 16)


def judge(messages: Sequence[Any], expected: Sequence[int], keys: int) -> tuple[int, int, int]:
    """(lost, duplicates, order violations) of what lies on the topic."""
    numbers = [trace_of(message) for message in messages]
    lost = len(set(expected) - set(numbers))
    duplicates = len(numbers) - len(set(numbers))
    last: dict[int, int] = {}
    violations = 0
    for number in numbers:
        violations += number < last.get(number % keys, -1)
        last[number % keys] = number
    return lost, duplicates, violations


def wait_for(condition: Callable[[], object], deadline_s: float = 20.0, what: str = "it") -> None:
    end = time.monotonic() + deadline_s
    while not condition():
        assert time.monotonic() < end, f"{what} did not come true in time"
        time.sleep(0.01)


@pytest.fixture
def replay_store(tmp_path: Path) -> Iterator[Store]:
    settings = replay_settings("127.0.0.1:1", tmp_path / "dlq")
    store = Store.open(tmp_path / "dlq", settings.dlq, component="test")
    yield store
    store.close()


@pytest.fixture
def replay_on(kafka: BrokerHandle, tmp_path: Path) -> Settings:
    """Settings for the shared broker and the store of `replay_store`."""
    return replay_settings(kafka.bootstrap, tmp_path / "dlq")
