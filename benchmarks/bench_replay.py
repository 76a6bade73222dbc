"""Replays on a real Kafka, unpaced, audit on: beside a bare produce of the same records in the same run; and its parts.

Names the broker with `ATOM_BENCH_BOOTSTRAP_SERVERS`; without one only what needs no broker is measured.
"""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from threading import Event
from time import perf_counter
from typing import Any
from uuid import uuid4

from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient, NewTopic  # type: ignore[attr-defined]  # public by documentation

from atom_console.config import Settings
from atom_console.dlq import audit, database
from atom_console.dlq.filters import Filter
from atom_console.dlq.replay.options import ReplayOptions
from atom_console.dlq.replay.plan import plan
from atom_console.dlq.replay.readback import find
from atom_console.dlq.replay.run import Runner
from atom_console.dlq.store import Store
from atom_console.events import AtomEvent, EventType, Molecule, encode
from atom_console.kafka.client_config import producer_config
from atom_console.kafka.client_log import CLIENT_LOG
from atom_console.kafka.delivery_errors import classify
from atom_console.kafka.failure import failed
from benchmarks.harness import Result

_RECORDS = 60_000
_PLANNED = 100_000
_READ_BACK = 500_000
_AUDIT_ROWS = 100_000
_FAST: dict[str, Any] = {"rate": 0.0, "canary": 0, "window": 2_000}


def run() -> Iterator[Result]:
    """Audit verification; with a broker the plan, replays by number of keys and order, and the read-back."""
    yield _audit()
    bootstrap = os.environ.get("ATOM_BENCH_BOOTSTRAP_SERVERS")
    if bootstrap:
        bare = _bare_produce(bootstrap)
        yield from _replay(bootstrap, 5_000, "strict", bare, 40_000)
        yield from _replay(bootstrap, 50, "strict", bare, 20_000)
        yield from _replay(bootstrap, 50, "partition", bare, None)
        yield _read_back(bootstrap)
        yield _plan(bootstrap)


def _audit() -> Result:
    import apsw

    conn = apsw.Connection(":memory:")
    database.migrate(conn)
    conn.execute("BEGIN")
    for n in range(_AUDIT_ROWS):
        audit.append(conn, actor=audit.present_actor(), at=n, action="capture", subject=f"records {n} to {n}",
                     records=1, after_sha=bytes(32), span=(n, n))  # fmt: skip
    conn.execute("COMMIT")
    begun = perf_counter()
    report = audit.verify(conn)
    rate = report.rows / (perf_counter() - begun)
    return Result("verify the audit chain", rate, "rows/s", None, None, ">= 200,000 rows/s", rate >= 200_000)


def _replay(bootstrap: str, keys: int, order: str, bare: float, budget: int | None) -> Iterator[Result]:
    with tempfile.TemporaryDirectory() as room:
        settings = _settings(bootstrap, Path(room))
        topic = _topic(bootstrap)
        with Store.open(Path(room), settings.dlq) as store:
            _fill(store, topic, _RECORDS, keys)
            options = ReplayOptions.of(settings.dlq, order=order, **_FAST)
            made = plan(store, settings, Filter(states=("ready",)), options)
            report = Runner(store, settings, made.run_id).run(Event())
            if report.run.verified != "verified: 0 lost, 0 duplicates":
                raise AssertionError(report.run.verified)
            rate = report.events_per_s
            words = "beside a bare produce" if budget is None else f">= {budget:,} events/s"
            met = None if budget is None else rate >= budget
            yield Result(f"replay, {keys:,} keys, {order}", rate, "events/s", bare, rate / bare, words, met)


def _read_back(bootstrap: str) -> Result:
    """Half a million records with our headers, each looked for."""
    topic = _topic(bootstrap)
    ours = {"linger.ms": 5, "queue.buffering.max.messages": 1_000_000, "acks": "all"}
    producer: Any = Producer(producer_config(_settings(bootstrap, Path()).kafka) | ours, logger=CLIENT_LOG)
    wanted = [b"%036d" % n for n in range(_READ_BACK)]
    value = _event(0, "tenant")
    for n, name in enumerate(wanted):
        headers = [("trace_id", b"x" * 32), ("type", b"1"), ("x-atom-replay-id", b"x" * 10), ("x-atom-dlq-id", name)]
        producer.produce(topic, value, b"%d" % (n % 5_000), headers=headers)
        if n % 1_000 == 0:
            producer.poll(0)
    producer.flush(60)
    expected = frozenset(wanted)
    begun = perf_counter()
    found = find(_settings(bootstrap, Path()).kafka, {topic: {}}, {}, expected)
    rate = found.read / (perf_counter() - begun)
    if len(found.places) != _READ_BACK or found.doubts:
        raise AssertionError((len(found.places), found.doubts))
    return Result("read back and match", rate, "records/s", None, None, ">= 300,000 records/s", rate >= 300_000)


def _plan(bootstrap: str) -> Result:
    with tempfile.TemporaryDirectory() as room:
        settings = _settings(bootstrap, Path(room))
        topic = _topic(bootstrap)
        with Store.open(Path(room), settings.dlq) as store:
            _fill(store, topic, _PLANNED, 5_000)
            begun = perf_counter()
            plan(store, settings, Filter(states=("ready",)), ReplayOptions.of(settings.dlq))
            seconds = perf_counter() - begun
    return Result("plan of 100,000 records", seconds, "s", None, None, "< 1 s", seconds < 1)


def _bare_produce(bootstrap: str) -> float:
    """The same records with the same headers and durability by a plain loop: no store, no order by key."""
    topic = _topic(bootstrap)
    ours = {"enable.idempotence": True, "acks": "all", "linger.ms": 5, "queue.buffering.max.messages": 500_000}
    producer: Any = Producer(producer_config(_settings(bootstrap, Path()).kafka) | ours, logger=CLIENT_LOG)
    records = [(f"tenant-{n % 5_000}".encode(), _event(n, f"tenant-{n % 5_000}")) for n in range(_RECORDS)]
    done = 0

    def reported(error: Any, _message: Any) -> None:
        nonlocal done
        if error is not None:
            raise AssertionError(error)
        done += 1

    begun = perf_counter()
    for n, (key, value) in enumerate(records):
        headers = [("trace_id", b"%032x" % n), ("type", b"1"), ("a", b"x" * 10), ("b", b"x" * 13), ("c", b"x" * 36)]
        producer.produce(topic, value, key, headers=headers, on_delivery=reported)
        if n % 100 == 0:
            producer.poll(0)
    while done < _RECORDS:
        producer.poll(0.1)
    return _RECORDS / (perf_counter() - begun)


def _settings(bootstrap: str, directory: Path) -> Settings:
    return Settings.model_validate(
        {"kafka": {"bootstrap_servers": bootstrap}, "dlq": {"dir": str(directory.absolute()), "min_free_bytes": 0}}
    )


def _topic(bootstrap: str) -> str:
    name = f"atom-bench-{uuid4().hex[:8]}"
    admin = AdminClient({"bootstrap.servers": bootstrap})
    admin.create_topics([NewTopic(name, num_partitions=4, replication_factor=1)])[name].result(10)
    end = time.monotonic() + 10
    while name not in admin.list_topics(timeout=5).topics and time.monotonic() < end:
        time.sleep(0.05)
    return name


def _event(number: int, tenant: str) -> bytes:
    return encode(
        AtomEvent(
            event_id=f"00000000-0000-7000-8000-{number:012d}",
            timestamp=1_790_000_000_000_000_000 + number,
            type=EventType.MOLECULE_WRITE,
            tenant_id=tenant,
            user_id="alice",
            molecules=[Molecule(coordinate_hash=bytes(16), numeric_value=float(number))],
        )
    )


def _fill(store: Store, topic: str, count: int, keys: int) -> None:
    verdict = classify(-185, stage="queue")
    for n in range(count):
        tenant = f"tenant-{n % keys}"
        store.capture(
            failed(verdict, topic=topic, value=_event(n, tenant), key=tenant.encode(), stage="queue", component="bench",
                   headers=(("trace_id", b"%032x" % n), ("type", b"1")), timestamp_ms=1_790_000_000_000 + n)
        )  # fmt: skip
    store.flush()
