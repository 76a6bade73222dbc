"""Reads the store: pages, groups, the state of things, one record. Never writes; each thread has its own connection.

A filter is a choice of cohorts and states, so a page comes from the index `(cohort, state, seq)`: a merge over few
buckets, a sort of few records, or a scan in order where the matching records are dense. Key and event id come from
`lookup` and from the tail that it does not hold yet. The total is the sum of the counters, where they can tell.
"""

from __future__ import annotations

import heapq
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from itertools import chain, islice
from pathlib import Path
from typing import Final, Literal

import apsw

from atom_console.dlq import database
from atom_console.dlq.details import ROW_SELECT, read_detail, read_row
from atom_console.dlq.errors import FilterError
from atom_console.dlq.filters import Filter
from atom_console.dlq.ids import event_hash, id_bytes, key_hash
from atom_console.dlq.place import Place
from atom_console.dlq.record import OPEN_STATES, Group, Lease, Page, RecordDetail, RecordRow, Stats

Order = Literal["newest", "oldest"]

_FEW_BUCKETS: Final = 64
_FEW_RECORDS: Final = 20_000
_EVERYTHING: Final = Filter()


class Reader:
    """A read-only view of the store in `directory`. Safe to share between threads; a missing store reads as empty."""

    def __init__(self, directory: Path) -> None:
        self._place = Place(directory)
        self._local = threading.local()
        self._open: list[apsw.Connection] = []
        self._lock = threading.Lock()

    def page(
        self, wanted: Filter = _EVERYTHING, *, limit: int = 50, cursor: str | None = None, order: Order = "newest"
    ) -> Page:
        """One page, in order of arrival.

        Args:
            wanted: what to list.
            limit: the most records, 1 to 10,000.
            cursor: `next` of the page before; it fits the same filter and order only.
            order: newest first or oldest first.

        Raises:
            FilterError: a filter or cursor that cannot be used.
            StoreUnavailableError: the file cannot be read.
        """
        wanted.check()
        if not 1 <= limit <= 10_000:
            raise FilterError(f"--limit {limit}: not from 1 to 10000")
        after = _parse_cursor(cursor, order)
        with self._reading() as conn:
            walk = _Walk(conn, wanted, order)
            seqs = list(islice(walk.seqs(after), limit + 1))
            rows = _rows(conn, seqs[:limit])
            more = len(seqs) > limit
            return Page(rows, f"{order[0]}{seqs[limit - 1]}" if more else None, walk.total())

    def matching(self, wanted: Filter, *, limit: int | None = None) -> list[tuple[int, int]]:
        """(seq, version) of every record that matches, oldest first: the frozen list that a bulk command acts on."""
        wanted.check()
        with self._reading() as conn:
            seqs = islice(_Walk(conn, wanted, "oldest").seqs(None), limit)
            return [(seq, conn.execute("SELECT version FROM record WHERE seq = ?", (seq,)).get) for seq in seqs]

    def groups(self, wanted: Filter = _EVERYTHING) -> tuple[Group, ...]:
        """Matching records by fingerprint, the most numerous first.

        From the counters alone, unless the filter asks for single records, keys, events or times.
        """
        wanted.check()
        with self._reading() as conn:
            return _groups(conn, wanted)

    def group_tenants(self, fingerprint: str, *, limit: int = 50) -> list[tuple[str | None, int]]:
        """(tenant, records) of one group, the most numerous first."""
        query = (
            "SELECT c.tenant_id, sum(t.n) AS n FROM cohort c JOIN tally t ON t.cohort = c.id"
            " WHERE c.fingerprint = ? AND t.n > 0 GROUP BY 1 ORDER BY n DESC LIMIT ?"
        )
        with self._reading() as conn:
            return [(tenant, n) for tenant, n in conn.execute(query, (fingerprint, limit))]

    def trend(self, *, minutes: int = 40, now_ms: int | None = None) -> dict[str, list[int]]:
        """Fingerprint → arrivals in each of the last `minutes` minutes, the oldest first; groups without any are absent."""
        last = (_now_ms() if now_ms is None else now_ms) // 60_000
        first = last - minutes + 1
        out: dict[str, list[int]] = {}
        with self._reading() as conn:
            query = "SELECT fingerprint, minute, n FROM arrival WHERE minute BETWEEN ? AND ?"
            for mark, minute, n in conn.execute(query, (first, last)):
                out.setdefault(mark, [0] * minutes)[minute - first] += n
        return out

    def stats(self, *, now_ms: int | None = None) -> Stats:
        """The store at a glance, from the counters."""
        with self._reading() as conn:
            return _stats(conn, self._place, _now_ms() if now_ms is None else now_ms)

    def record(self, record_id: str) -> RecordDetail | None:
        """Everything about one record, or None where the store does not hold it.

        Raises:
            FilterError: not a record id.
        """
        Filter(ids=(record_id,)).check()
        with self._reading() as conn:
            return read_detail(conn, id_bytes(record_id))

    def change_counter(self) -> int:
        """Changes whenever another connection has committed; compare values taken in the same thread only."""
        with self._reading() as conn:
            return int(conn.execute("PRAGMA data_version").get)

    def close(self) -> None:
        """Close the connections of all threads; none may be reading."""
        with self._lock:
            for conn in self._open:
                conn.close(True)
            self._open.clear()
            self._local = threading.local()

    @contextmanager
    def _reading(self) -> Iterator[apsw.Connection]:
        """One read transaction, so that the numbers of one answer agree."""
        try:
            conn = self._connection()
            conn.execute("BEGIN")
            try:
                yield conn
            finally:
                if conn.in_transaction:
                    conn.execute("COMMIT")
        except apsw.Error as error:
            raise database.explain(error, self._place.database) from error

    def _connection(self) -> apsw.Connection:
        conn: apsw.Connection | None = getattr(self._local, "conn", None)
        stamp = _file_stamp(self._place.database)
        if conn is not None and stamp == self._local.stamp:
            return conn
        if conn is not None:
            conn.close(True)
            with self._lock:
                self._open.remove(conn)
        conn = self._connect()
        self._local.conn, self._local.stamp = conn, stamp
        with self._lock:
            self._open.append(conn)
        return conn

    def _connect(self) -> apsw.Connection:
        if _file_stamp(self._place.database) is not None:
            conn = database.open_reader(self._place.database)
            if database.version(conn) > 0:
                return conn
            conn.close(True)
        conn = apsw.Connection(":memory:")
        database.migrate(conn)
        return conn


class _Walk:
    """The records that match one filter, in one direction."""

    def __init__(self, conn: apsw.Connection, wanted: Filter, order: Order) -> None:
        self._conn, self._wanted = conn, wanted
        self._newest = order == "newest"
        self._by_id = bool(wanted.ids or wanted.keys or wanted.event_ids)
        self._buckets = self._find_buckets()
        self._matched = sum(n for _, _, n in self._buckets)

    def total(self) -> int | None:
        """How many match, where the counters can tell."""
        timed = self._wanted.since is not None or self._wanted.until is not None
        return None if self._by_id or timed else self._matched

    def seqs(self, after: int | None) -> Iterable[int]:
        """`seq` of the matching records beyond `after`, as lazily as the filter allows."""
        low, high = self._bounds(after)
        if not self._buckets or low > high:
            return ()
        if self._by_id:
            return self._named(low, high)
        if self._wanted == _EVERYTHING:
            return self._column("SELECT seq FROM record WHERE seq BETWEEN ? AND ?", (low, high), "seq")
        if len(self._buckets) <= _FEW_BUCKETS:
            streams = [self._bucket(cohort, state, low, high) for cohort, state, _ in self._buckets]
            return heapq.merge(*streams, reverse=self._newest)
        if self._matched <= _FEW_RECORDS:
            found = chain.from_iterable(self._bucket(c, state, low, high) for c, state, _ in self._buckets)
            return sorted(found, reverse=self._newest)
        return self._filtered(
            "SELECT seq, cohort, state, captured_at FROM record WHERE seq BETWEEN ? AND ?", (low, high)
        )

    def _find_buckets(self) -> list[tuple[int, str, int]]:
        where, values = self._wanted.cohort_where()
        if self._wanted.states:
            where += f" AND t.state IN ({','.join('?' * len(self._wanted.states))})"
            values += self._wanted.states
        query = f"SELECT c.id, t.state, t.n FROM cohort c JOIN tally t ON t.cohort = c.id WHERE t.n > 0 AND {where}"
        return [(c, state, n) for c, state, n in self._conn.execute(query, values)]  # type: ignore[arg-type]

    def _bounds(self, after: int | None) -> tuple[int, int]:
        """First and last `seq` worth looking at: beyond the cursor, and in minutes that the times allow."""
        low, high = 0, (1 << 63) - 1
        if self._wanted.since is not None or self._wanted.until is not None:
            first = (self._wanted.since or 0) // 60_000
            last = (1 << 62) if self._wanted.until is None else self._wanted.until // 60_000
            query = "SELECT min(first_seq), max(last_seq) FROM arrival WHERE minute BETWEEN ? AND ?"
            found = self._conn.execute(query, (first, last)).fetchone()
            if found is None or found[0] is None:
                return 1, 0
            low, high = found
        if after is not None:
            low, high = (low, min(high, after - 1)) if self._newest else (max(low, after + 1), high)
        return low, high

    def _bucket(self, cohort: int, state: str, low: int, high: int) -> Iterator[int]:
        since, until = self._wanted.since, self._wanted.until
        if since is None and until is None:
            query = "SELECT seq FROM record WHERE cohort = ? AND state = ? AND seq BETWEEN ? AND ?"
            return self._column(query, (cohort, state, low, high), "seq")
        query = (
            "SELECT seq FROM record WHERE cohort = ? AND state = ? AND seq BETWEEN ? AND ?"
            " AND captured_at >= ? AND captured_at < ?"
        )
        times = (since or 0, (1 << 62) if until is None else until)
        return self._column(query, (cohort, state, low, high, *times), "seq")

    def _named(self, low: int, high: int) -> Iterator[int]:
        """By record id, or by key and event id: first through one of them, then the rest of the filter."""
        w = self._wanted
        head = "SELECT r.seq, r.cohort, r.state, r.captured_at, r.id, r.key_hash, r.event_id FROM "
        if w.ids:
            query = f"{head}record r WHERE r.seq BETWEEN ? AND ? AND r.id IN ({','.join('?' * len(w.ids))})"
            return self._filtered(query, (low, high, *map(id_bytes, w.ids)), "r.seq")
        hashes = tuple(map(event_hash, w.event_ids)) if w.event_ids else tuple(map(key_hash, w.keys))
        through = int(self._conn.execute("SELECT value FROM meta WHERE name = 'lookup_through'").get)
        held = [
            self._filtered(
                f"{head}lookup l CROSS JOIN record r ON r.seq = l.seq WHERE l.hash = ? AND l.seq BETWEEN ? AND ?",
                (one, low, min(high, through)),
                "l.seq",
            )
            for one in hashes
        ]
        indexed = heapq.merge(*held, reverse=self._newest)
        tail = self._filtered(f"{head}record r WHERE r.seq BETWEEN ? AND ?", (max(low, through + 1), high), "r.seq")
        return chain(tail, indexed) if self._newest else chain(indexed, tail)

    def _filtered(self, query: str, values: tuple[object, ...], by: str = "seq") -> Iterator[int]:
        """Rows in order, kept where cohort, state, time, id, key and event id all hold."""
        w = self._wanted
        buckets = {(cohort, state) for cohort, state, _ in self._buckets}
        ids, keys, events = frozenset(map(id_bytes, w.ids)), frozenset(map(key_hash, w.keys)), frozenset(w.event_ids)
        for seq, cohort, state, at, *rest in self._ordered(query, values, by):
            if (cohort, state) not in buckets or not self._in_time(at):
                continue
            if rest:
                record_id, key, event_id = rest
                if (ids and record_id not in ids) or (keys and key not in keys) or (events and event_id not in events):
                    continue
                if keys and not self._key_is(seq):
                    continue
            yield seq

    def _key_is(self, seq: int) -> bool:
        """The hash of a key may collide; its bytes do not."""
        return self._conn.execute("SELECT key FROM payload WHERE seq = ?", (seq,)).get in self._wanted.keys

    def _in_time(self, at: int) -> bool:
        w = self._wanted
        return (w.since is None or at >= w.since) and (w.until is None or at < w.until)

    def _column(self, query: str, values: tuple[object, ...], by: str) -> Iterator[int]:
        for (seq,) in self._ordered(query, values, by):
            yield seq

    def _ordered(self, query: str, values: tuple[object, ...], by: str) -> Iterator[tuple[int, ...]]:
        direction = "DESC" if self._newest else "ASC"
        return self._conn.execute(f"{query} ORDER BY {by} {direction}", values)  # type: ignore[arg-type, return-value]


def _rows(conn: apsw.Connection, seqs: list[int]) -> tuple[RecordRow, ...]:
    query = f"{ROW_SELECT} WHERE r.seq = ?"
    return tuple(read_row(row) for seq in seqs for row in conn.execute(query, (seq,)))


def _groups(conn: apsw.Connection, wanted: Filter) -> tuple[Group, ...]:
    where, values = wanted.cohort_where()
    if wanted.ids or wanted.keys or wanted.event_ids or wanted.since is not None or wanted.until is not None:
        chosen = _counted(conn, _Walk(conn, wanted, "oldest").seqs(None))
        where = "1"
        values = []
    else:
        chosen = "tally"
        if wanted.states:
            where += f" AND t.state IN ({','.join('?' * len(wanted.states))})"
            values += wanted.states
    query = (
        "SELECT c.fingerprint, t.state, sum(t.n), sum(t.bytes), min(c.first_seen), max(c.last_seen),"
        " count(DISTINCT coalesce(c.tenant_id, '')), count(DISTINCT coalesce(c.dest_topic, '')), max(c.label),"
        " max(c.err_class), max(c.err_name), max(c.origin), max(c.dest_topic)"
        f" FROM {chosen} t JOIN cohort c ON c.id = t.cohort WHERE t.n > 0 AND {where} GROUP BY 1, 2"
    )
    groups: dict[str, list[tuple[object, ...]]] = {}
    for row in conn.execute(query, values):  # type: ignore[arg-type]
        groups.setdefault(str(row[0]), []).append(row)
    many = {mark for mark, rows in groups.items() if len(rows) > 1}
    tenants = _tenants(conn, chosen, where, values, many)
    found = [_group(mark, rows, tenants.get(mark)) for mark, rows in groups.items()]
    return tuple(sorted(found, key=lambda group: (-group.count, group.fingerprint)))


def _tenants(conn: apsw.Connection, chosen: str, where: str, values: list[object], marks: set[str]) -> dict[str, int]:
    """Different tenants of groups whose records are in several states, where the sums by state would count twice."""
    if not marks:
        return {}
    query = (
        "SELECT c.fingerprint, count(DISTINCT coalesce(c.tenant_id, ''))"
        f" FROM {chosen} t JOIN cohort c ON c.id = t.cohort WHERE t.n > 0 AND {where} GROUP BY 1"
    )
    return {mark: n for mark, n in conn.execute(query, values) if mark in marks}  # type: ignore[arg-type]


def _group(mark: str, rows: list[tuple[object, ...]], tenants: int | None) -> Group:
    first = rows[0]
    return Group(
        fingerprint=mark,
        label=str(first[8]),
        err_class=str(first[9]),
        err_name=str(first[10]),
        origin=str(first[11]),
        count=sum(_int(row[2]) for row in rows),
        bytes=sum(_int(row[3]) for row in rows),
        first_seen=min(_int(row[4]) for row in rows),
        last_seen=max(_int(row[5]) for row in rows),
        tenants=_int(first[6]) if tenants is None else tenants,
        topics=max(_int(row[7]) for row in rows),
        topic=None if first[12] is None else str(first[12]),
        states={str(row[1]): _int(row[2]) for row in rows},
    )


def _int(value: object) -> int:
    assert isinstance(value, int)
    return value


def _counted(conn: apsw.Connection, seqs: Iterable[int]) -> str:
    """Matching records summed by cohort and state, as a subquery."""
    sums: dict[tuple[int, str], list[int]] = {}
    for seq in seqs:
        cohort, state, size = conn.execute(
            "SELECT cohort, state, size_bytes FROM record WHERE seq = ?", (seq,)
        ).fetchone()  # type: ignore[misc]  # read in the same transaction
        found = sums.setdefault((cohort, state), [0, 0])
        found[0] += 1
        found[1] += size
    rows = ",".join(f"({cohort},'{state}',{n},{size})" for (cohort, state), (n, size) in sums.items())
    return f"(SELECT column1 cohort, column2 state, column3 n, column4 bytes FROM (VALUES {rows or '(0,0,0,0)'}))"


def _stats(conn: apsw.Connection, place: Place, now_ms: int) -> Stats:
    by_state: dict[str, int] = {}
    by_class: dict[str, int] = {}
    size = 0
    query = (
        "SELECT t.state, c.err_class, sum(t.n), sum(t.bytes) FROM tally t JOIN cohort c ON c.id = t.cohort"
        " WHERE t.n > 0 GROUP BY 1, 2"
    )
    for state, err_class, n, total in conn.execute(query):
        by_state[state] = by_state.get(state, 0) + n
        by_class[err_class] = by_class.get(err_class, 0) + n
        size += total
    still_open = ",".join(f"'{state.value}'" for state in OPEN_STATES)
    oldest = conn.execute(
        "SELECT min((SELECT captured_at FROM record r WHERE r.cohort = t.cohort AND r.state = t.state ORDER BY seq LIMIT 1))"
        f" FROM tally t WHERE t.n > 0 AND t.state IN ({still_open})"
    ).get
    return Stats(
        total=sum(by_state.values()),
        depth=sum(by_state.get(state.value, 0) for state in OPEN_STATES),
        by_state=by_state,
        by_class=by_class,
        bytes=size,
        oldest_at=oldest,
        growth_per_s=_growth(conn, now_ms),
        journal=int(conn.execute("SELECT count(*) FROM journal").get),
        file_bytes=sum(_size(Path(f"{place.database}{suffix}")) for suffix in ("", "-wal")),
        free_bytes=place.free_bytes() if place.root.exists() else 0,
        leases=tuple(
            Lease(*row)
            for row in conn.execute(
                "SELECT name, owner, host, pid, purpose, acquired_at, heartbeat_at, fencing FROM lease ORDER BY name"
            )
        ),
    )


def _growth(conn: apsw.Connection, now_ms: int) -> float:
    """Arrivals a second over the last 60 s: this minute, and the share of the one before that lies within them."""
    minute = now_ms // 60_000
    found = dict(conn.execute("SELECT minute, sum(n) FROM arrival WHERE minute >= ? GROUP BY 1", (minute - 1,)))
    part = (now_ms % 60_000) / 60_000
    return float(found.get(minute, 0) + found.get(minute - 1, 0) * (1 - part)) / 60


def _parse_cursor(cursor: str | None, order: Order) -> int | None:
    if cursor is None:
        return None
    if cursor[:1] != order[0] or not cursor[1:].isdecimal():
        raise FilterError(f"--cursor {cursor}: not a cursor of this order", next_step="Start again without --cursor.")
    return int(cursor[1:])


def _file_stamp(path: Path) -> tuple[int, int] | None:
    """Which file it is: a salvage puts another one in its place."""
    try:
        found = path.stat()
    except OSError:
        return None
    return (found.st_dev, found.st_ino) if found.st_size else None


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
