"""Reads the store: pages, groups, the state of things, one record. Never writes; each thread has its own connection."""

from __future__ import annotations

import json
import threading
from array import array
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Any, Final

import apsw

from atom_console.dlq import database
from atom_console.dlq.details import ROW_SELECT, read_detail, read_row
from atom_console.dlq.errors import FilterError, StoreDamagedError
from atom_console.dlq.filters import Filter
from atom_console.dlq.ids import id_bytes
from atom_console.dlq.place import Place
from atom_console.dlq.record import Group, Page, RecordDetail, RecordRow, Stats
from atom_console.dlq.summary import read_groups, read_stats
from atom_console.dlq.times import now_ms
from atom_console.dlq.walk import EVERYTHING, Order, Walk

_AT_ONCE: Final = 5_000
_VERSIONS: Final = "SELECT r.seq, r.version FROM json_each(?) j CROSS JOIN record r ON r.seq = j.value ORDER BY j.key"


class Reader:
    """A read-only view of the store in `directory`. Safe to share between threads; a missing store reads as empty."""

    def __init__(self, directory: Path) -> None:
        self._place = Place(directory)
        self._local = threading.local()
        self._open: list[apsw.Connection] = []
        self._lock = threading.Condition()
        self._readings = 0

    def page(
        self, wanted: Filter = EVERYTHING, *, limit: int = 50, cursor: str | None = None, order: Order = "newest"
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
            walk = Walk(conn, wanted, order)
            seqs = list(islice(walk.seqs(after), limit + 1))
            rows = _rows(conn, seqs[:limit])
            more = len(seqs) > limit
            return Page(rows, f"{order[0]}{seqs[limit - 1]}" if more else None, walk.total())

    def matching(self, wanted: Filter, *, limit: int | None = None) -> list[tuple[int, int]]:
        """(seq, version) of every record that matches, oldest first: the frozen list that a bulk command acts on."""
        wanted.check()
        with self._reading() as conn:
            seqs = islice(Walk(conn, wanted, "oldest").seqs(None), limit)
            found: list[Any] = []
            while part := list(islice(seqs, _AT_ONCE)):
                found += conn.execute(_VERSIONS, (json.dumps(part),))
            return found

    def numbers(self, wanted: Filter) -> array[int]:
        """`seq` of every record that matches, oldest first, in eight bytes each: what a list marks as a whole."""
        wanted.check()
        with self._reading() as conn:
            return array("q", Walk(conn, wanted, "oldest").seqs(None))

    def rows(self, seqs: Iterable[int]) -> tuple[RecordRow, ...]:
        """The rows of these numbers, in that order; those that are gone by now are left out."""
        with self._reading() as conn:
            return _rows(conn, list(seqs))

    def groups(self, wanted: Filter = EVERYTHING) -> tuple[Group, ...]:
        """Matching records by fingerprint, the most numerous first.

        From the counters alone, unless the filter asks for single records, keys, events or times.
        """
        wanted.check()
        with self._reading() as conn:
            return read_groups(conn, wanted)

    def group_tenants(self, fingerprint: str, *, limit: int = 50) -> list[tuple[str | None, int]]:
        """(tenant, records) of one group, the most numerous first."""
        query = (
            "SELECT c.tenant_id, sum(t.n) AS n FROM cohort c JOIN tally t ON t.cohort = c.id"
            " WHERE c.fingerprint = ? AND t.n > 0 GROUP BY 1 ORDER BY n DESC, 1 LIMIT ?"
        )
        with self._reading() as conn:
            return [(tenant, n) for tenant, n in conn.execute(query, (fingerprint, limit))]

    def trend(self, *, minutes: int = 40, at_ms: int | None = None) -> dict[str, list[int]]:
        """Fingerprint → arrivals in each of the last `minutes` minutes, the oldest first.

        Groups without any are absent.
        """
        last = (now_ms() if at_ms is None else at_ms) // 60_000
        first = last - minutes + 1
        out: dict[str, list[int]] = {}
        with self._reading() as conn:
            query = "SELECT fingerprint, minute, n FROM arrival WHERE minute BETWEEN ? AND ?"
            for mark, minute, n in conn.execute(query, (first, last)):
                out.setdefault(mark, [0] * minutes)[minute - first] += n
        return out

    def stats(self, *, at_ms: int | None = None) -> Stats:
        """The store at a glance, from the counters."""
        with self._reading() as conn:
            return read_stats(conn, self._place, now_ms() if at_ms is None else at_ms)

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
        """Close the connections of all threads, after the reads that are under way."""
        with self._lock:
            self._lock.wait_for(lambda: self._readings == 0)
            for conn in self._open:
                conn.close(True)
            self._open.clear()
            self._local = threading.local()

    @contextmanager
    def _reading(self) -> Iterator[apsw.Connection]:
        """One read transaction, so that the numbers of one answer agree."""
        with self._lock:
            self._readings += 1
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
        except UnicodeDecodeError as error:
            raise StoreDamagedError(
                f"{self._place.database}: a stored text is damaged: {error}", next_step="Run `atom-console dlq check`."
            ) from error
        finally:
            with self._lock:
                self._readings -= 1
                self._lock.notify_all()

    def _connection(self) -> apsw.Connection:
        conn: apsw.Connection | None = getattr(self._local, "conn", None)
        stamp = _file_stamp(self._place.database)
        if conn is not None and stamp == self._local.stamp:
            return conn
        if conn is not None:
            conn.close(True)
            with self._lock:
                self._open.remove(conn)
        conn, made = self._connect()
        # A file that its writer has not finished yet is looked at again at the next read.
        self._local.conn, self._local.stamp = conn, stamp if made else None
        with self._lock:
            self._open.append(conn)
        return conn

    def _connect(self) -> tuple[apsw.Connection, bool]:
        """A connection, and whether it is to the store: one that is not made yet reads as empty."""
        if _file_stamp(self._place.database) is not None:
            conn = database.open_reader(self._place.database)
            if database.version(conn) > 0:
                return conn, True
            conn.close(True)
        conn = apsw.Connection(":memory:")
        database.migrate(conn)
        return conn, False


def _rows(conn: apsw.Connection, seqs: list[int]) -> tuple[RecordRow, ...]:
    query = f"{ROW_SELECT} WHERE r.seq IN ({','.join('?' * len(seqs))})"
    found = {row[0]: row for row in conn.execute(query, seqs)}
    return tuple(read_row(found[seq]) for seq in seqs)


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
