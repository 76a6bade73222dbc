"""The records that a plan is about, with what decides whether each may be sent."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from atom_console.dlq.filters import Filter
from atom_console.dlq.walk import Walk

if TYPE_CHECKING:
    import apsw

ChainKey = tuple[str, int]


class Hold(StrEnum):
    """Why a record stays behind."""

    NOT_READY = "not_ready"
    NO_PAYLOAD = "no_payload"
    TOO_LARGE = "too_large"
    SUPERSEDED = "superseded"
    BLOCKED = "blocked"


class Cohort(NamedTuple):
    """What many records share."""

    fingerprint: str
    topic: str | None
    tenant_id: str | None
    cluster_id: str | None


class Candidate:
    """One record that matches. Times are Unix milliseconds."""

    __slots__ = (
        "attempts",
        "captured_at",
        "chain",
        "cohort",
        "hold",
        "maybe_persisted",
        "order_time",
        "orig_partition",
        "orig_timestamp",
        "payload_kind",
        "rev",
        "seq",
        "size_bytes",
        "state",
        "topic",
    )

    def __init__(self, row: tuple[Any, ...], cohorts: Mapping[int, Cohort]) -> None:
        (
            number, self.seq, self.state, self.rev, self.size_bytes, self.payload_kind, self.maybe_persisted,
            self.attempts, self.orig_partition, self.orig_timestamp, self.captured_at, key_hash, event_ts,
        ) = row  # fmt: skip
        self.cohort = cohorts[number]
        topic = self.topic = self.cohort.topic
        self.chain: ChainKey | None = None if key_hash is None or topic is None else (topic, key_hash)
        self.order_time: int = self.captured_at * 1_000_000 if event_ts is None else event_ts
        self.hold: Hold | None = None


CLOSED: Final = ("replayed", "discarded")
"""Records in these states are not sent, and no later one of their key waits for them."""

_AT_ONCE: Final = 20_000
_COLUMNS: Final = (
    "r.cohort, r.seq, r.state, r.rev, r.size_bytes, r.payload_kind, r.maybe_persisted, r.attempts, r.orig_partition,"
    " r.orig_timestamp, r.captured_at, r.key_hash, r.event_ts"
)


_BY_SEQ: Final = f"SELECT {_COLUMNS} FROM json_each(?) j CROSS JOIN record r ON r.seq = j.value ORDER BY j.key"  # noqa: S608


def load_candidates(conn: apsw.Connection, wanted: Filter | Sequence[int]) -> list[Candidate]:
    """The records, in order of arrival."""
    shared: Any = conn.execute("SELECT id, fingerprint, dest_topic, tenant_id, cluster_id FROM cohort")
    cohorts = {number: Cohort(*rest) for number, *rest in shared}
    return [Candidate(row, cohorts) for row in _rows(conn, wanted)]


def _rows(conn: apsw.Connection, wanted: Filter | Sequence[int]) -> Any:
    """One statement where cohorts, states and times say it all; else by the list of numbers."""
    if not isinstance(wanted, Filter):
        return _by_number(conn, sorted(set(wanted)))
    if wanted.ids or wanted.keys or wanted.event_ids:
        return _by_number(conn, list(Walk(conn, wanted, "oldest").seqs(None)))
    where, values = wanted.cohort_where()
    chosen = f"r.cohort IN (SELECT c.id FROM cohort c WHERE {where})"  # noqa: S608 -- our own text, values are bound
    if wanted.states:
        chosen += " AND r.state IN (SELECT value FROM json_each(?))"
        values.append(json.dumps(wanted.states))
    times = (wanted.since or 0, (1 << 62) if wanted.until is None else wanted.until)
    query = f"SELECT {_COLUMNS} FROM record r WHERE {chosen} AND r.captured_at >= ? AND r.captured_at < ?"  # noqa: S608
    return conn.execute(f"{query} ORDER BY r.seq", (*values, *times))


def _by_number(conn: apsw.Connection, seqs: Sequence[int]) -> Iterator[Any]:
    """A part at a time: a million numbers in one text would hold up every other thread."""
    for start in range(0, len(seqs), _AT_ONCE):
        yield from conn.execute(_BY_SEQ, (json.dumps(seqs[start : start + _AT_ONCE]),))


def _count(conn: apsw.Connection, states: str) -> int:
    """Records of the whole store, by the counts that are kept."""
    return int(conn.execute(f"SELECT coalesce(sum(n), 0) FROM tally WHERE {states}").get)  # noqa: S608 -- our own text


def newest_by_key(conn: apsw.Connection, records: Iterable[Candidate]) -> dict[ChainKey, int]:
    """(topic, key) → the newest event time, nanoseconds, of what this store knows to be on the topic."""
    if not _count(conn, "state = 'replayed'"):
        return {}
    wanted = {record.chain for record in records}
    query = (
        "SELECT c.dest_topic, r.key_hash, max(coalesce(r.event_ts, r.captured_at * 1000000)) FROM record r"
        " JOIN cohort c ON c.id = r.cohort WHERE r.state = 'replayed' AND r.key_hash IS NOT NULL GROUP BY 1, 2"
    )
    found: Any = conn.execute(query)
    return {(topic, key): newest for topic, key, newest in found if (topic, key) in wanted}


def unresolved_before(conn: apsw.Connection, records: Sequence[Candidate]) -> set[int]:
    """`seq` of records that have an earlier one of their key outside of the plan, which has not arrived."""
    if _count(conn, f"state NOT IN {CLOSED}") == sum(record.state not in CLOSED for record in records):
        return set()  # all that have not arrived are in the plan
    planned = {record.seq for record in records}
    wanted = {record.chain for record in records}
    last = max(planned, default=0)
    query = (
        "SELECT r.seq, c.dest_topic, r.key_hash FROM record r JOIN cohort c ON c.id = r.cohort WHERE r.seq < ?"  # noqa: S608 -- our own text
        f" AND r.key_hash IS NOT NULL AND r.state NOT IN {CLOSED}"
    )
    earliest: dict[ChainKey, int] = {}
    found: Any = conn.execute(query, (last,))
    for seq, topic, key in found:
        chain = (topic, key)
        if seq not in planned and chain in wanted and seq < earliest.get(chain, last + 1):
            earliest[chain] = seq
    return {
        record.seq for record in records if record.chain is not None and earliest.get(record.chain, last) < record.seq
    }
