"""Rows of the store → the frozen values that readers give out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

from atom_console.dlq.headers import decode_headers
from atom_console.dlq.ids import id_text
from atom_console.dlq.record import Attempt, AuditEntry, RecordDetail, RecordRow, Revision
from atom_console.dlq.stacks import read_stack
from atom_console.dlq.states import initial_state

if TYPE_CHECKING:
    import apsw

_JOINED: Final = (
    " FROM record r JOIN cohort c ON c.id = r.cohort JOIN payload p ON p.seq = r.seq"
    " LEFT JOIN provenance o ON o.seq = r.seq"
)
ROW_SELECT: Final = (
    "SELECT r.seq, r.id, r.state, r.state_reason, c.err_class, c.err_code, c.err_name, c.dest_topic,"
    " substr(p.key, 1, 64), c.tenant_id, r.event_id, r.event_type, r.captured_at, r.size_bytes, r.attempts,"
    f" r.maybe_persisted, c.origin, c.fingerprint, c.label, r.version, coalesce(o.loops, 0), r.run_id{_JOINED}"
)
"""Everything `read_row` needs; add a WHERE."""

_REST: Final = (
    "SELECT c.cluster_id, c.stage, r.component, p.err_message, o.err_stack, r.payload_kind, r.event_ts,"
    ' r.orig_partition, o.orig_offset, r.orig_timestamp, o.ts_type, c.dlq_topic, o.partition, o."offset",'
    " o.timestamp, o.headers, r.state_at, r.next_attempt_at, o.parent_id, o.warnings, p.key, p.value, p.headers,"
    f" p.sha256, r.captured_at{_JOINED} WHERE r.seq = ?"
)
_AUDIT: Final = (
    "SELECT seq, at, os_user, sudo_user, ssh_client, host, pid, action, subject, records, lower(hex(before_sha)),"
    " lower(hex(after_sha)), reason FROM audit WHERE seq IN (SELECT audit_seq FROM audit_record WHERE record_seq = ?1)"
    " OR seq = (SELECT seq FROM audit WHERE first_seq <= ?1 AND last_seq >= ?1 ORDER BY first_seq DESC LIMIT 1)"
    " ORDER BY seq"
)


def read_row(row: tuple[Any, ...]) -> RecordRow:
    """One row of `ROW_SELECT`."""
    seq, raw_id, state, reason, err_class = row[:5]
    if reason is None:
        reason = initial_state(err_class)[1]
    values = (seq, id_text(raw_id), state, reason, err_class, *row[5:15], bool(row[15]), *row[16:])
    return RecordRow(*values)


def read_detail(conn: apsw.Connection, raw_id: bytes) -> RecordDetail | None:
    """Everything about one record, or None."""
    found = conn.execute(f"{ROW_SELECT} WHERE r.id = ?", (raw_id,)).fetchone()
    if found is None:
        return None
    row = read_row(found)
    rest: tuple[Any, ...] = conn.execute(_REST, (row.seq,)).fetchone()  # type: ignore[assignment]  # joined above
    warnings, payload, attempts = rest[19], rest[20:24], tuple(_attempts(conn, row.seq))
    headers = () if rest[15] is None else decode_headers(rest[15])
    values = (
        row,
        *rest[:4],
        read_stack(rest[4], headers),
        *rest[5:15],
        headers,
        *rest[16:19],
        *_delivered(attempts),
        tuple(warnings.split("\n")) if warnings else (),
        (_revision((0, *payload, "", "", rest[24])), *_revisions(conn, row.seq)),
        attempts,
        tuple(AuditEntry(*entry) for entry in conn.execute(_AUDIT, (row.seq,))),
    )
    return RecordDetail(*values)


def _delivered(attempts: Sequence[Attempt]) -> tuple[int | None, int | None, int | None]:
    """Partition, offset and time of the last attempt, where it arrived at a known place."""
    last = attempts[-1] if attempts else None
    if last is None or last.offset is None:
        return None, None, None
    return last.partition, last.offset, last.ended_at


def _revision(row: tuple[Any, ...]) -> Revision:
    rev, key, value, headers, sha, author, reason, at = row
    return Revision(rev, key, value, decode_headers(headers), sha.hex(), author, reason, at)


def _revisions(conn: apsw.Connection, seq: int) -> list[Revision]:
    query = (
        "SELECT rev, key, value, headers, sha256, author, reason, created_at FROM revision WHERE seq = ? ORDER BY rev"
    )
    return [_revision(row) for row in conn.execute(query, (seq,))]


def _attempts(conn: apsw.Connection, seq: int) -> list[Attempt]:
    query = (
        'SELECT run_id, window_id, rev, sent_at, ended_at, outcome, code, err_name, message, partition, "offset"'
        " FROM attempt WHERE seq = ? ORDER BY id"
    )
    return [Attempt(*row) for row in conn.execute(query, (seq,))]
