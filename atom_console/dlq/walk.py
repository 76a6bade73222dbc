"""The records that match a filter, in order of arrival, as few of them read as the filter allows.

A filter is a choice of cohorts and states, so a page comes from the index `(cohort, state, seq)`: a merge over few
buckets, a sort of few records, or a scan in order where the matching records are dense. Key and event id come from
`lookup` and from the tail that it does not hold yet. The total is the sum of the counters, where they can tell.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Iterator
from itertools import chain
from typing import Any, Final, Literal

import apsw

from atom_console.dlq.filters import Filter
from atom_console.dlq.ids import event_hash, id_bytes, key_hash

Order = Literal["newest", "oldest"]
EVERYTHING: Final = Filter()

_FEW_BUCKETS: Final = 64
_FEW_RECORDS: Final = 20_000


class Walk:
    """The records that match one filter, in one direction."""

    def __init__(self, conn: apsw.Connection, wanted: Filter, order: Order) -> None:
        self._conn, self._wanted = conn, wanted
        self._newest = order == "newest"
        self._by_id = bool(wanted.ids or wanted.keys or wanted.event_ids)
        where, values = wanted.cohort_where()
        if wanted.states:
            where += f" AND t.state IN ({','.join('?' * len(wanted.states))})"
            values += wanted.states
        self._choosy = bool(values)  # without a condition on cohort or state every bucket matches
        self._buckets = self._find_buckets(where, values) if self._choosy else []
        self._matched = sum(n for _, _, n in self._buckets)

    def total(self) -> int | None:
        """How many match, where the counters can tell."""
        timed = self._wanted.since is not None or self._wanted.until is not None
        if self._by_id or timed:
            return None
        if self._choosy:
            return self._matched
        return int(self._conn.execute("SELECT coalesce(sum(n), 0) FROM tally").get)

    def seqs(self, after: int | None) -> Iterable[int]:
        """`seq` of the matching records beyond `after`, as lazily as the filter allows."""
        low, high = self._bounds(after)
        if low > high or (self._choosy and not self._buckets):
            return ()
        if self._by_id:
            return self._named(low, high)
        if not self._choosy:
            return self._timed("SELECT seq FROM record WHERE seq BETWEEN ? AND ?", (low, high))
        if len(self._buckets) <= _FEW_BUCKETS:
            streams = [self._bucket(cohort, state, low, high) for cohort, state, _ in self._buckets]
            return heapq.merge(*streams, reverse=self._newest)
        if self._matched <= _FEW_RECORDS:
            found = chain.from_iterable(self._bucket(c, state, low, high) for c, state, _ in self._buckets)
            return sorted(found, reverse=self._newest)
        return self._filtered(
            "SELECT seq, cohort, state, captured_at FROM record WHERE seq BETWEEN ? AND ?", (low, high)
        )

    def _find_buckets(self, where: str, values: list[object]) -> list[tuple[int, str, int]]:
        query = f"SELECT c.id, t.state, t.n FROM cohort c JOIN tally t ON t.cohort = c.id WHERE t.n > 0 AND {where}"  # noqa: S608 -- our own text, values are bound
        return [(c, state, n) for c, state, n in self._conn.execute(query, values)]

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
        query = "SELECT seq FROM record WHERE cohort = ? AND state = ? AND seq BETWEEN ? AND ?"
        return self._timed(query, (cohort, state, low, high))

    def _timed(self, query: str, values: tuple[object, ...]) -> Iterator[int]:
        """`seq` of the rows of `query` that lie in the times asked for."""
        since, until = self._wanted.since, self._wanted.until
        if since is not None or until is not None:
            query += " AND captured_at >= ? AND captured_at < ?"
            values += (since or 0, (1 << 62) if until is None else until)
        for (seq,) in self._ordered(query, values, "seq"):
            yield seq

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
            if (self._choosy and (cohort, state) not in buckets) or not self._in_time(at):
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

    def _ordered(self, query: str, values: tuple[object, ...], by: str) -> Iterator[tuple[Any, ...]]:
        direction = "DESC" if self._newest else "ASC"
        return self._conn.execute(f"{query} ORDER BY {by} {direction}", values)
