"""The dead letter store: durable capture with the real indexes, and reads at a million records.

The baseline of capture is the same rows in the same SQLite, in the same batches with FULL, in one bare table without
any index, digest, counter, audit or decoded event: what all of that costs is the ratio.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from statistics import median

import apsw

from atom_console.dlq import audit, database
from atom_console.dlq.counters import rebuild
from atom_console.dlq.filters import Filter
from atom_console.dlq.ids import event_hash, key_hash
from atom_console.dlq.insert import Cohorts
from atom_console.dlq.place import Place
from atom_console.dlq.reader import Reader
from atom_console.dlq.states import first_state
from atom_console.dlq.store import DefaultSettings, Store
from atom_console.dlq.troubles import trouble
from atom_console.events import AtomEvent, EventType, Molecule, encode
from atom_console.kafka.delivery_errors import classify
from atom_console.kafka.failure import FailedDelivery, failed
from benchmarks.harness import Result, in_turn

_ROWS = 40_000
_MILLION = 1_000_000
_BATCH = 1_000
_AUDIT_ROWS = 30_000


def run() -> Iterator[Result]:
    with tempfile.TemporaryDirectory(prefix="atom-bench-") as directory:
        root = Path(directory)
        for size, text in ((300, 30), (1000, 650)):
            yield from _capture(root / f"capture-{size}", size, text)
        yield from _audit(root / "audit")
        yield from _million(root / "million")


def _capture(root: Path, size: int, text: int) -> Iterator[Result]:
    """Rows a second by the clock, and the CPU time of a row, which a busy machine disturbs less."""
    failures = [_failure(number, text) for number in range(_ROWS)]
    root.mkdir()
    ours, bare = [], []
    for turn in range(3):
        bare.append(_bare_table(root / f"bare-{turn}.db", failures))
        ours.append(_store(root / f"store-{turn}", failures))
    wall, cpu = (median(samples) / _ROWS for samples in zip(*ours, strict=True))
    bare_wall, bare_cpu = (median(samples) / _ROWS for samples in zip(*bare, strict=True))
    name = f"capture, FULL, {size} B events"
    yield Result(name, 1 / wall, "rows/s", 1 / bare_wall, bare_wall / wall, ">= 60k", 1 / wall >= 60_000)
    yield Result(f"{name}, CPU", cpu * 1e6, "us/row", bare_cpu * 1e6, bare_cpu / cpu, "none, for comparison", None)


def _failure(number: int, text: int) -> FailedDelivery:
    event = AtomEvent(
        event_id=f"0192f7c3-0000-7000-8000-{number:012d}",
        trace_id=f"{number:032x}",
        timestamp=1_790_000_000_000_000_000 + number,
        type=EventType.MOLECULE_WRITE,
        tenant_id=f"tenant-{number % 41}",
        user_id="alice",
        molecules=[Molecule(coordinate_hash=bytes(16), numeric_value=float(number), text_commentary="x" * text)],
    )
    return failed(
        classify(-192, stage="delivery"),
        topic="atom.write.raw",
        value=encode(event),
        key=f"tenant-{number % 41}".encode(),
        headers=(("trace_id", f"{number:032x}".encode()), ("type", b"1")),
        timestamp_ms=1_790_000_000_000 + number,
        stage="delivery",
        component="bench",
    )


def _store(path: Path, failures: list[FailedDelivery]) -> tuple[float, float]:
    """Seconds by the clock and of CPU, from the first hand-over until everything is on disk."""
    with Store.open(path, DefaultSettings(min_free_bytes=0), component="bench") as store:
        for failure in failures[:200]:  # loads what is imported on first use
            store.capture(replace(failure, topic="warm-up"))
        store.flush()
        start, cpu = time.perf_counter(), time.process_time()
        for failure in failures:
            store.capture(failure)
        store.flush()
        return time.perf_counter() - start, time.process_time() - cpu


def _bare_table(path: Path, failures: list[FailedDelivery]) -> tuple[float, float]:
    conn = apsw.Connection(str(path))
    conn.execute("PRAGMA journal_mode = WAL")
    conn.execute("PRAGMA synchronous = FULL")
    conn.execute("CREATE TABLE t (at, topic, code, key, value, h)")
    start, cpu = time.perf_counter(), time.process_time()
    for first in range(0, len(failures), _BATCH):
        rows = [(f.at_ns, f.topic, f.code, f.key, f.value, str(f.headers)) for f in failures[first : first + _BATCH]]
        conn.execute("BEGIN IMMEDIATE")
        conn.executemany("INSERT INTO t VALUES (?,?,?,?,?,?)", rows)
        conn.execute("COMMIT")
    taken = time.perf_counter() - start, time.process_time() - cpu
    conn.close()
    return taken


def _audit(root: Path) -> Iterator[Result]:
    """The chain walked to its end, beside fetching its rows and looking at none."""
    place = Place(root)
    place.prepare()
    place.create_database()
    conn = database.open_writer(place.database, sync="NORMAL", max_bytes=10 << 30)
    actor, digest = audit.present_actor(), bytes(range(32))
    conn.execute("BEGIN IMMEDIATE")
    for number in range(_AUDIT_ROWS):
        audit.append(
            conn,
            actor=actor,
            at=1_790_000_000_000 + number,
            action="transition",
            subject="3 to ready",
            records=3,
            before_sha=digest,
            after_sha=digest,
            reason="the topic is back",
        )
    conn.execute("COMMIT")
    bare, ours = in_turn(lambda: conn.execute("SELECT * FROM audit ORDER BY seq").fetchall(), lambda: _verify(conn))
    conn.close()
    rate, baseline = _AUDIT_ROWS / ours, _AUDIT_ROWS / bare
    yield Result("verify the audit chain", rate, "rows/s", baseline, rate / baseline, ">= 200k", rate >= 200_000)


def _verify(conn: apsw.Connection) -> None:
    report = audit.verify(conn)
    assert report.ok
    assert report.rows == _AUDIT_ROWS


def _million(root: Path) -> Iterator[Result]:
    build_million(root)
    reader = Reader(root)
    middle = f"n{_MILLION // 2}"
    pages: list[tuple[str, Callable[[], object]]] = [
        ("newest page of 50", reader.page),
        ("page in the middle", lambda: reader.page(cursor=middle)),
        ("page of one state", lambda: reader.page(Filter(states=("quarantined",)), cursor=middle)),
        ("page of one group, oldest first", lambda: reader.page(Filter(groups=(rare,)), order="oldest")),
        ("page of one tenant", lambda: reader.page(Filter(tenants=("tenant-7",)), cursor=middle)),
        ("page of one key", lambda: reader.page(Filter(keys=(b"tenant-7",)))),
        ("page of one event id", lambda: reader.page(Filter(event_ids=("event-500000",)))),
        ("page of an hour", lambda: reader.page(Filter(since=_at(500_000), until=_at(500_000) + 3_600_000))),
    ]
    rare = reader.groups()[-1].fingerprint
    for name, work in pages:
        ms = _median_ms(work)
        yield Result(f"{name} at 1M", ms, "ms", None, None, "< 5 ms", ms < 5)
    ms = _median_ms(reader.groups)
    yield Result("group list at 1M", ms, "ms", None, None, "< 20 ms", ms < 20)
    ms = _median_ms(reader.stats)
    yield Result("statistics at 1M", ms, "ms", None, None, "< 20 ms", ms < 20)
    reader.close()


def _at(number: int) -> int:
    return 1_790_000_000_000 + number * 10


def build_million(root: Path) -> None:
    """A million records of 12 groups and 41 tenants, made by SQLite itself: only reads are measured."""
    place = Place(root)
    place.prepare()
    place.create_database()
    conn = database.open_writer(place.database, sync="NORMAL", max_bytes=10 << 30)
    conn.execute("PRAGMA synchronous = OFF")
    conn.create_scalar_function("event_hash", _event_hash, 1, deterministic=True)
    conn.execute("CREATE TEMP TABLE kind (n INTEGER PRIMARY KEY, cohort, state, key_hash)")
    conn.execute("BEGIN IMMEDIATE")
    conn.executemany("INSERT INTO kind VALUES (?,?,?,?)", _kinds(conn))
    conn.execute(_RECORDS, (_MILLION, _at(0)))
    conn.execute(
        "INSERT INTO payload SELECT seq, CAST('tenant-' || (seq % 41) AS BLOB), x'00', x'', zeroblob(32), 'm'"
        " FROM record"
    )
    rebuild(conn)
    conn.execute(
        "INSERT INTO lookup SELECT * FROM (SELECT key_hash AS h, seq FROM record"
        " UNION ALL SELECT event_hash(event_id), seq FROM record) ORDER BY h, seq"
    )
    conn.execute("UPDATE meta SET value = ? WHERE name = 'lookup_through'", (_MILLION,))
    conn.execute("COMMIT")
    conn.close()


_RECORDS = """
INSERT INTO record (seq, id, cohort, state, state_at, captured_at, size_bytes, payload_kind, maybe_persisted, component,
  key_hash, event_id, event_type, event_ts)
WITH RECURSIVE step (n) AS (VALUES (1) UNION ALL SELECT n + 1 FROM step WHERE n < ?1)
SELECT step.n, CAST(printf('%016d', step.n) AS BLOB), kind.cohort, kind.state, ?2 + step.n * 10, ?2 + step.n * 10, 9,
  'full', 0, 'bench', kind.key_hash, 'event-' || step.n, 1, step.n
FROM step JOIN temp.kind ON kind.n = iif(step.n % 1000 = 0, 0, 1 + step.n % 11) * 41 + step.n % 41
"""


def _event_hash(*values: object) -> int:
    return event_hash(str(values[0]))


def _kinds(conn: apsw.Connection) -> Iterator[tuple[int, int, str, int]]:
    """Twelve troubles, one of them rare, for 41 tenants each."""
    cohorts = Cohorts()
    for number in range(12):
        shared = trouble(
            origin="local",
            err_class="outage" if number else "poison",
            err_name=f"E{number}",
            message="m",
            stage="delivery",
            component="bench",
            err_code=number,
            dest_topic=f"topic-{number % 3}",
        )
        for tenant in range(41):
            cohort = cohorts.number(conn, shared, f"tenant-{tenant}", _at(0))
            yield number * 41 + tenant, cohort, first_state(shared.err_class), key_hash(b"tenant-%d" % tenant)


def _median_ms(work: Callable[[], object]) -> float:
    work()
    samples = []
    for _ in range(15):
        start = time.perf_counter()
        work()
        samples.append((time.perf_counter() - start) * 1000)
    return median(samples)


if __name__ == "__main__":
    for result in run():
        print(result)
