"""Dead letters from a DLQ topic into the store, beside reading the same records and doing nothing with them.

Needs a real Kafka: `ATOM_BENCH_BOOTSTRAP_SERVERS`, or the one that the tests start. The topic is made and deleted.
"""

from __future__ import annotations

import os
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from statistics import median
from time import perf_counter, process_time

from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient, NewTopic  # type: ignore[attr-defined]

from atom_console.config import KafkaSettings
from atom_console.dlq.adapters import Context
from atom_console.dlq.ingest import ingest
from atom_console.dlq.store import Store
from atom_console.kafka.read_back import read_range
from benchmarks.harness import Result

_RECORDS = 100_000
_PARTITIONS = 4
_BUDGET = 50_000

Headers = list[tuple[str, bytes]]


def run() -> Iterator[Result]:
    """Two frameworks: one of little context, one with a stack trace on every record."""
    with ExitStack() as running:
        servers = _servers(running)
        if servers is None:
            yield Result("ingest, real Kafka", 0.0, "records/s", None, None, f">= {_BUDGET:,} records/s", None)
            return
        room = Path(running.enter_context(tempfile.TemporaryDirectory()))
        kafka = KafkaSettings(bootstrap_servers=servers)
        yield from _measured("ingest, SmallRye, 0.5 KB a record", kafka, room, _smallrye, _RECORDS)
        yield from _measured("ingest, Connect with a 2 KB stack", kafka, room, _connect, _RECORDS)


def _servers(running: ExitStack) -> str | None:
    named = os.environ.get("ATOM_BENCH_BOOTSTRAP_SERVERS")
    if named:
        return named
    try:
        from tests.broker.broker import KafkaBroker
        from tests.broker.libraries import missing
    except ImportError:
        return None
    if missing() is not None:
        return None
    room = running.enter_context(tempfile.TemporaryDirectory())
    broker = running.enter_context(KafkaBroker(Path(room)))
    return broker.handle.bootstrap


def _measured(
    name: str, kafka: KafkaSettings, room: Path, headers: Callable[[int], Sequence[tuple[str, bytes]]], count: int
) -> Iterator[Result]:
    topic = f"atom-bench-dlq-{uuid.uuid4().hex[:8]}"
    admin = AdminClient({"bootstrap.servers": kafka.bootstrap_servers})
    admin.create_topics([NewTopic(topic, num_partitions=_PARTITIONS, replication_factor=1)])[topic].result(15)
    try:
        _fill(kafka, topic, headers, count)
        rounds = [(*_ingest(kafka, topic, room, count), *_read(kafka, topic, count)) for _ in range(3)]
    finally:
        admin.delete_topics([topic])[topic].result(15)
    wall, cpu, bare_wall, bare_cpu = (median(samples) / count for samples in zip(*rounds, strict=True))
    rate, limit = 1 / wall, 1 / bare_wall
    yield Result(name, rate, "records/s", limit, rate / limit, f">= {_BUDGET:,} records/s", rate >= _BUDGET)
    yield Result(f"{name}, CPU", cpu * 1e6, "us/record", bare_cpu * 1e6, bare_cpu / cpu, "none, for comparison", None)


def _ingest(kafka: KafkaSettings, topic: str, room: Path, count: int) -> tuple[float, float]:
    """Seconds by the clock and of CPU, of all threads."""
    with Store.open(room / uuid.uuid4().hex) as store:
        start, cpu = perf_counter(), process_time()
        (report,) = ingest(store, kafka, [topic], Context())
        taken = perf_counter() - start, process_time() - cpu
    assert report.added == count
    return taken


def _read(kafka: KafkaSettings, topic: str, count: int) -> tuple[float, float]:
    ranges = dict.fromkeys(range(_PARTITIONS), (0, count // _PARTITIONS))
    start, cpu = perf_counter(), process_time()
    assert sum(map(len, read_range(kafka, topic, ranges, read_committed=True))) == count
    return perf_counter() - start, process_time() - cpu


def _fill(kafka: KafkaSettings, topic: str, headers: Callable[[int], Sequence[tuple[str, bytes]]], count: int) -> None:
    producer = Producer(
        {"bootstrap.servers": kafka.bootstrap_servers, "linger.ms": 20, "compression.type": "lz4", "acks": "all"}
    )
    now = time.time_ns() // 1_000_000
    for number in range(count):
        while True:
            try:
                producer.produce(
                    topic, bytes(200), b"tenant-%d" % (number % 50), number % _PARTITIONS,
                    headers=list(headers(number)), timestamp=now,
                )  # fmt: skip
                break
            except BufferError:
                producer.poll(0.1)
        producer.poll(0)
    assert producer.flush(60) == 0


def _smallrye(number: int) -> Headers:
    return [
        ("dead-letter-exception-class-name", b"java.lang.IllegalStateException"),
        ("dead-letter-reason", b"no such account"),
        ("dead-letter-topic", b"atom.write.raw"),
        ("dead-letter-partition", b"3"),
        ("dead-letter-offset", b"%d" % number),
        ("trace_id", b"4bf92f3577b34da6a3ce929d0e0e4736"),
        ("type", b"1"),
    ]


_STACK = b"org.apache.kafka.connect.errors.DataException: bad\n" + b"".join(
    b"\tat org.apache.kafka.connect.runtime.Step%d.run(Step%d.java:%d)\n" % (n, n, n) for n in range(30)
)


def _connect(number: int) -> Headers:
    return [
        ("trace_id", b"4bf92f3577b34da6a3ce929d0e0e4736"),
        ("__connect.errors.topic", b"atom.write.raw"),
        ("__connect.errors.partition", b"3"),
        ("__connect.errors.offset", b"%d" % number),
        ("__connect.errors.connector.name", b"sink"),
        ("__connect.errors.task.id", b"0"),
        ("__connect.errors.stage", b"VALUE_CONVERTER"),
        ("__connect.errors.class.name", b"org.apache.kafka.connect.json.JsonConverter"),
        ("__connect.errors.exception.class.name", b"org.apache.kafka.connect.errors.DataException"),
        ("__connect.errors.exception.message", b"bad"),
        ("__connect.errors.exception.stacktrace", _STACK),
    ]
