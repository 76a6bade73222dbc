"""The one way into the tables `record` and `payload`: a batch, with its cohorts, counters and audit row.

The caller holds the transaction. Counters are added up here and written once a batch, because a trigger a row costs a
third of the capture rate; later changes of a record are counted by triggers (see `ddl.py`). Rows go in as few
statements of many rows: each statement gives up the interpreter lock once, and a busy producer thread may keep it for
5 ms each time.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Final

from atom_console.dlq import audit
from atom_console.dlq.fingerprint import VERSION
from atom_console.dlq.headers import encode_headers, payload_digest
from atom_console.dlq.ids import key_hash, uuid7
from atom_console.dlq.record import NewRecord, Provenance, Trouble
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
_CHUNKS: Final = (
    250,
    25,
    5,
    1,
)  # apsw keeps no prepared statement longer than 16 KiB: 500 rows would be compiled each time

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


class Prepared:
    """A batch as rows, made without the database, so that it can be made while the batch before is being committed."""

    __slots__ = ("_keys", "_payloads", "_rows", "_seal", "_sums", "count", "now_ms", "records")

    def __init__(self, records: Sequence[NewRecord], now_ms: int) -> None:
        self.records = records
        self.count = len(records)
        self.now_ms = now_ms
        rows: list[object] = []
        payloads: list[object] = []
        shas: list[bytes] = []
        keys: list[CohortKey] = []
        # count, bytes, first and last place in the batch, earliest and latest capture
        sums: dict[tuple[CohortKey, str, int], list[int]] = {}
        nameless = [record for record in records if not record.id]
        for record, new in zip(nameless, uuid7(len(nameless)), strict=True):
            record.id = new
        for index, r in enumerate(records):
            trouble, at, key, value = r.trouble, r.captured_at, r.key, r.value
            headers = encode_headers(r.headers)
            sha = payload_digest(key, value, headers)
            size = (len(key) if key else 0) + (len(value) if value else 0) + len(headers)
            state = r.state or first_state(trouble.err_class)
            cohort = (trouble, r.tenant_id)
            rows += (
                None, r.id, None, state, r.state_reason, now_ms, at, size, r.payload_kind, r.maybe_persisted,
                trouble.component, None if key is None else key_hash(key), r.event_id, r.event_type, r.event_ts,
                r.orig_partition, r.orig_timestamp,
            )  # fmt: skip
            payloads += (None, key, value, headers, sha, trouble.message)
            shas.append(sha)
            keys.append(cohort)
            sum_key = (cohort, state, at // 60_000)
            found = sums.get(sum_key)
            if found is None:
                sums[sum_key] = [1, size, index, index, at, at]
            else:
                found[0] += 1
                found[1] += size
                found[3] = index
                if at > found[5]:
                    found[5] = at
                elif at < found[4]:
                    found[4] = at
        self._rows, self._payloads, self._keys, self._sums = rows, payloads, keys, sums
        self._seal = hashlib.sha256(b"".join(r.id for r in records) + b"".join(shas)).digest()

    def write(self, conn: apsw.Connection, cohorts: Cohorts, *, action: str, reason: str) -> range:
        """All rows, counters and the audit row, inside the caller's transaction; the `seq` of each record."""
        first = _reserve(conn, "next_seq", self.count)
        seqs = range(first, first + self.count)
        numbers = {key: cohorts.number(conn, key[0], key[1], sums[4]) for (key, _, _), sums in self._sums.items()}
        self._rows[0::17] = seqs
        self._rows[2::17] = [numbers[key] for key in self._keys]
        self._payloads[0::6] = seqs
        _insert(conn, "record", _RECORD, 17, self._rows)
        _insert(conn, "payload", _PAYLOAD, 6, self._payloads)
        for seq, r in zip(seqs, self.records, strict=True):
            if r.provenance is not None:
                _insert_provenance(conn, seq, r.trouble, r.provenance)
        sums = self._sums.items()
        conn.executemany(_TALLY, ((numbers[key], state, s[0], s[1]) for (key, state, _), s in sums))
        conn.executemany(
            _ARRIVAL, ((minute, key[0].fingerprint, s[0], first + s[2], first + s[3]) for (key, _, minute), s in sums)
        )
        conn.executemany(_SEEN, ((s[4], s[5], numbers[key]) for (key, _, _), s in sums))
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
    return Prepared(fresh, now_ms).write(conn, cohorts, action=action, reason=reason)


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


def _insert(conn: apsw.Connection, table: str, columns: str, width: int, values: list[object]) -> None:
    """Rows given as one flat list, in the largest statements that fit."""
    at, left = 0, len(values) // width
    for size in _CHUNKS:
        statement = _statement(table, columns, width, size)
        while left >= size:
            end = at + size * width
            conn.execute(statement, values[at:end])
            at, left = end, left - size


@lru_cache(maxsize=16)
def _statement(table: str, columns: str, width: int, rows: int) -> str:
    one = "(" + ",".join("?" * width) + ")"
    return f"INSERT INTO {table} ({columns}) VALUES {','.join([one] * rows)}"  # noqa: S608 -- our own constants


def _insert_provenance(conn: apsw.Connection, seq: int, trouble: Trouble, p: Provenance) -> None:
    source = None
    if trouble.dlq_topic is not None and p.offset is not None:
        key = (trouble.cluster_id or "", trouble.dlq_topic)
        conn.execute("INSERT OR IGNORE INTO dlq_source (cluster_id, topic) VALUES (?, ?)", key)
        source = conn.execute("SELECT id FROM dlq_source WHERE cluster_id = ? AND topic = ?", key).get
    conn.execute(
        "INSERT INTO provenance VALUES (?,?,?,?,?,?,?,?,?,?,?,?)",
        (
            seq, source, p.partition, p.offset, p.timestamp, None if p.headers is None else encode_headers(p.headers),
            p.orig_offset, p.ts_type, storable_or_none(p.err_stack), storable("\n".join(p.warnings)) or None,
            p.parent_id, p.loops,
        ),
    )  # fmt: skip


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
