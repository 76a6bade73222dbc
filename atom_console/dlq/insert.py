"""The one way into the tables `record` and `payload`: a batch, with its cohorts, counters and audit row.

The caller holds the transaction. Counters are added up here and written once a batch, because a trigger a row costs a
third of the capture rate; later changes of a record are counted by triggers (see `ddl.py`).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from atom_console.dlq import audit
from atom_console.dlq.columns import Columns
from atom_console.dlq.fingerprint import VERSION
from atom_console.dlq.headers import encode_all, payload_digests
from atom_console.dlq.ids import key_hash, uuid7
from atom_console.dlq.provenance import Places, source_number
from atom_console.dlq.record import NewRecord, Trouble
from atom_console.dlq.rows import by_row, insert_rows
from atom_console.dlq.states import first_state
from atom_console.dlq.text import storable, storable_or_none

if TYPE_CHECKING:
    import apsw

_RECORD: Final = (
    "seq, id, cohort, state, state_reason, state_at, captured_at, size_bytes, payload_kind, maybe_persisted, component,"
    " key_hash, event_id, event_type, event_ts, orig_partition, orig_timestamp"
)
_PAYLOAD: Final = "seq, key, value, headers, sha256, err_message"
_COHORT: Final = (
    "INSERT INTO cohort (ident, fingerprint, fp_version, label, origin, err_class, err_code, err_name, stage,"
    " cluster_id, dest_topic, dlq_topic, tenant_id, first_seen, last_seen) VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?,?,?)"
)
_SEEN: Final = "UPDATE cohort SET first_seen = min(first_seen, ?), last_seen = max(last_seen, ?) WHERE id = ?"
_TALLY: Final = (
    "INSERT INTO tally VALUES (?,?,?,?) ON CONFLICT DO UPDATE SET n = n + excluded.n, bytes = bytes + excluded.bytes"
)
_ARRIVAL: Final = (
    "INSERT INTO arrival VALUES (?,?,?,?,?) ON CONFLICT DO UPDATE SET n = n + excluded.n,"
    " first_seq = min(first_seq, excluded.first_seq), last_seq = max(last_seq, excluded.last_seq)"
)
_CACHED_COHORTS: Final = 50_000

CohortKey = tuple[Trouble, str | None]


class Cohorts:
    """Numbers of the cohorts that this process has seen. What a rolled-back transaction added is forgotten."""

    def __init__(self) -> None:
        self._known: dict[CohortKey, int] = {}
        self._new: list[CohortKey] = []

    def number(self, conn: apsw.Connection, trouble: Trouble, tenant: str | None, at: int) -> int:
        """The cohort's number; a new row where the store has none."""
        key = (trouble, tenant)
        found = self._known.get(key)
        if found is None:
            found = self._known[key] = _find_or_add(conn, trouble, storable_or_none(tenant), at)
            self._new.append(key)
        return found

    def committed(self) -> None:
        """The transaction holds: keep what it taught us."""
        self._new.clear()
        if len(self._known) > _CACHED_COHORTS:
            self._known.clear()

    def rolled_back(self) -> None:
        """The transaction is gone, and the rows it added with it."""
        for key in self._new:
            self._known.pop(key, None)
        self._new.clear()


@dataclass(slots=True)
class _Sum:
    """What a batch adds to the counters of one cohort, state and minute.

    `first` and `last` are places in the batch, `earliest` and `latest` times of capture.
    """

    cohort: CohortKey
    state: str
    minute: int
    first: int
    earliest: int
    latest: int
    last: int = 0
    count: int = 0
    size: int = 0
    number: int = 0


class Prepared:
    """A batch as rows, made without the database, so that it can be made while the batch before is being committed.

    Args:
        columns: the records; empty ids are filled in. A record with provenance needs a row of that beside this.
        now_ms: Unix milliseconds.
    """

    __slots__ = ("_owners", "_payloads", "_rows", "_seal", "_sums", "columns", "count", "now_ms")

    def __init__(self, columns: Columns, now_ms: int) -> None:
        self.columns, self.count, self.now_ms = columns, len(columns), now_ms
        c, count = columns, self.count
        _name_all(c.ids)
        states = [state or first_state(t.err_class) for state, t in zip(c.states, c.troubles, strict=True)]
        headers = encode_all(c.headers)
        shas = payload_digests(c.keys, c.values, headers)
        sizes = [
            (len(key) if key else 0) + (len(value) if value else 0) + len(blob)
            for key, value, blob in zip(c.keys, c.values, headers, strict=True)
        ]
        self._sums, self._owners = _sums_of(c, states, sizes)
        self._rows = by_row(
            [None] * count,
            c.ids,
            [None] * count,
            states,
            c.state_reasons,
            [now_ms] * count,
            c.captured_at,
            sizes,
            c.payload_kinds,
            c.maybe_persisted,
            [t.component for t in c.troubles],
            [None if key is None else key_hash(key) for key in c.keys],
            c.event_ids,
            c.event_types,
            c.event_ts,
            c.orig_partitions,
            c.orig_timestamps,
        )
        self._payloads = by_row([None] * count, c.keys, c.values, headers, shas, [t.message for t in c.troubles])
        self._seal = hashlib.sha256(b"".join((*c.ids, *shas))).digest()

    def write(self, conn: apsw.Connection, cohorts: Cohorts, *, action: str, reason: str) -> range:
        """All rows, counters and the audit row, inside the caller's transaction; the `seq` of each record."""
        first = _reserve(conn, "next_seq", self.count)
        seqs = range(first, first + self.count)
        sums = self._sums
        for s in sums:
            s.number = cohorts.number(conn, *s.cohort, s.earliest)
        self._rows[0::17] = seqs
        self._rows[2::17] = [s.number for s in self._owners]
        self._payloads[0::6] = seqs
        insert_rows(conn, "record", _RECORD, 17, self._rows)
        insert_rows(conn, "payload", _PAYLOAD, 6, self._payloads)
        conn.executemany(_TALLY, ((s.number, s.state, s.count, s.size) for s in sums))
        conn.executemany(
            _ARRIVAL, ((s.minute, s.cohort[0].fingerprint, s.count, first + s.first, first + s.last) for s in sums)
        )
        conn.executemany(_SEEN, ((s.earliest, s.latest, s.number) for s in sums))
        audit.append(
            conn,
            actor=audit.present_actor(),
            at=self.now_ms,
            action=action,
            subject=f"records {first} to {seqs[-1]}",
            records=self.count,
            after_sha=self._seal,
            reason=storable(reason),
            span=(first, seqs[-1]),
        )
        return seqs


def _name_all(ids: list[bytes]) -> None:
    """Give an id to whoever has none."""
    nameless = [index for index, raw in enumerate(ids) if not raw]
    for index, new in zip(nameless, uuid7(len(nameless)), strict=True):
        ids[index] = new


def _sums_of(c: Columns, states: list[str], sizes: list[int]) -> tuple[list[_Sum], list[_Sum]]:
    """What the batch adds to counters; which of them each record counts in."""
    sums: dict[tuple[Trouble, str | None, str, int], _Sum] = {}
    owners: list[_Sum] = []
    for index, (trouble, tenant, state, size, at) in enumerate(
        zip(c.troubles, c.tenant_ids, states, sizes, c.captured_at, strict=True)
    ):
        key = (trouble, tenant, state, at // 60_000)
        found = sums.get(key)
        if found is None:
            found = sums[key] = _Sum((trouble, tenant), state, key[3], index, at, at)
        found.last = index
        found.count += 1
        found.size += size
        if at > found.latest:
            found.latest = at
        elif at < found.earliest:
            found.earliest = at
        owners.append(found)
    return list(sums.values()), owners


def insert_records(
    conn: apsw.Connection,
    records: Sequence[NewRecord],
    cohorts: Cohorts,
    *,
    now_ms: int,
    action: str = "capture",
    reason: str = "",
) -> range:
    """Store a batch inside the caller's transaction.

    A record whose id, or whose (cluster, DLQ topic, partition, offset), is stored already is skipped: that is how an
    import and an ingest are exactly once. Empty ids are filled in, also in the caller's objects.

    Returns:
        `seq` of the records that are new, in order.
    """
    fresh = _without_known(conn, records)
    if not fresh:
        return range(0)
    columns = Columns.of(fresh)
    seqs = Prepared(columns, now_ms).write(conn, cohorts, action=action, reason=reason)
    for record, new in zip(fresh, columns.ids, strict=True):
        record.id = new
    _insert_places(conn, seqs, fresh)
    return seqs


def _insert_places(conn: apsw.Connection, seqs: range, records: Sequence[NewRecord]) -> None:
    found = [(seq, r.trouble, r.provenance) for seq, r in zip(seqs, records, strict=True) if r.provenance is not None]
    topics = {
        (t.cluster_id or "", t.dlq_topic) for _, t, p in found if t.dlq_topic is not None and p.offset is not None
    }
    numbers = {topic: source_number(conn, *topic) for topic in sorted(topics)}
    sources = [
        None if t.dlq_topic is None or p.offset is None else numbers[t.cluster_id or "", t.dlq_topic]
        for _, t, p in found
    ]
    Places([p for _, _, p in found]).write(conn, [seq for seq, _, _ in found], sources)


def reserve_journal_ids(conn: apsw.Connection, count: int) -> int:
    """The first of `count` journal numbers that nobody had or will have."""
    return _reserve(conn, "next_journal", count)


def _reserve(conn: apsw.Connection, name: str, count: int) -> int:
    conn.execute("UPDATE meta SET value = value + ? WHERE name = ?", (count, name))
    return int(conn.execute("SELECT value FROM meta WHERE name = ?", (name,)).get) - count


def _find_or_add(conn: apsw.Connection, trouble: Trouble, tenant: str | None, at: int) -> int:
    t = trouble
    shared = (
        t.fingerprint, t.origin, t.err_class, t.err_code, t.err_name, t.stage, t.cluster_id, t.dest_topic, t.dlq_topic,
        tenant,
    )  # fmt: skip
    ident = hashlib.sha256(json.dumps(shared, separators=(",", ":")).encode("ascii")).digest()[:16]
    found = conn.execute("SELECT id FROM cohort WHERE ident = ?", (ident,)).get
    if found is None:
        conn.execute(_COHORT, (ident, t.fingerprint, VERSION, t.label, *shared[1:], at, at))
        found = conn.last_insert_rowid()
    return int(found)


def _without_known(conn: apsw.Connection, records: Sequence[NewRecord]) -> Sequence[NewRecord]:
    """The records that the store does not hold yet."""
    if not any(record.id or record.provenance for record in records):
        return records
    taken = _known_ids(conn, (record.id for record in records))
    places: set[tuple[str, str, int | None, int]] = set()
    fresh: list[NewRecord] = []
    for record in records:
        place = _place(record)
        if (record.id and record.id in taken) or (place is not None and (place in places or _ingested(conn, place))):
            continue
        taken.add(record.id)
        if place is not None:
            places.add(place)
        fresh.append(record)
    return fresh


def _known_ids(conn: apsw.Connection, ids: Iterable[bytes]) -> set[bytes]:
    query = "SELECT 1 FROM record WHERE id = ?"
    return {raw for raw in ids if raw and conn.execute(query, (raw,)).get is not None}


def _place(record: NewRecord) -> tuple[str, str, int | None, int] | None:
    """Where in a DLQ topic the record came from, or None."""
    p, t = record.provenance, record.trouble
    if p is None or p.offset is None or t.dlq_topic is None:
        return None
    return (t.cluster_id or "", t.dlq_topic, p.partition, p.offset)


def _ingested(conn: apsw.Connection, place: tuple[str, str, int | None, int]) -> bool:
    query = (
        "SELECT 1 FROM provenance WHERE source = (SELECT id FROM dlq_source WHERE cluster_id = ? AND topic = ?)"
        ' AND partition = ? AND "offset" = ?'
    )
    return conn.execute(query, place).get is not None
