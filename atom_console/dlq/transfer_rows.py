"""A record as a plain row, the form that exports share, and back: nothing of it is lost on the way.

The members are those of a spill file (docs/spill-format.md) with the state and the group beside them.
"""

from __future__ import annotations

import base64
import json
from typing import TYPE_CHECKING, Any, Final

from atom_console.dlq.adapters.causes import innermost
from atom_console.dlq.record import NewRecord, Origin, State
from atom_console.dlq.spill import decode_body
from atom_console.dlq.troubles import trouble
from atom_console.dlq.view import View, view

if TYPE_CHECKING:
    from atom_console.dlq.record import RecordDetail

Row = dict[str, Any]

_BYTES: Final = ("key", "value")
_HEADERS: Final = ("headers", "dlq_headers")
_EXTRA: Final = (
    "state",
    "state_reason",
    "fingerprint",
    "label",
    "tenant_id",
    "event_id",
    "attempts",
    "masked",
    "event",
)
_STATES: Final = frozenset({State.READY.value, State.QUARANTINED.value})


def to_row(record: RecordDetail, clearance: int, *, reveal: bool) -> Row:
    """The record as an operator with this clearance may take it away; bytes stay bytes.

    A masked row has no value, no stack, no DLQ headers, no message of another system, and the event with hidden
    molecules.
    """
    row, seen, current = record.row, view(record, clearance, reveal=reveal), record.current
    return {
        "v": 1,
        "id": row.id,
        "captured_at_ms": row.captured_at,
        "topic": row.topic,
        "key": current.key,
        "value": seen.value,
        "headers": [list(pair) for pair in current.headers],
        "timestamp_ms": record.orig_timestamp,
        "partition": record.orig_partition,
        "class": row.err_class,
        "code": row.err_code,
        "name": row.err_name,
        "message": _message(record, seen),
        "maybe_persisted": row.maybe_persisted,
        "stage": record.stage,
        "component": record.component,
        "payload": record.payload_kind,
        "cluster_id": record.cluster_id,
        "origin": row.origin,
        "dlq_topic": record.dlq_topic,
        "dlq_partition": record.dlq_partition,
        "dlq_offset": record.dlq_offset,
        "dlq_timestamp_ms": record.dlq_timestamp,
        "dlq_headers": [list(pair) for pair in seen.dlq_headers],
        "orig_offset": record.orig_offset,
        "ts_type": record.ts_type,
        "stack": seen.stack,
        "warnings": list(record.warnings),
        "state": row.state,
        "state_reason": row.state_reason,
        "fingerprint": row.fingerprint,
        "label": row.label if seen.shown.whole else "",
        "tenant_id": row.tenant_id,
        "event_id": row.event_id,
        "attempts": row.attempts,
        "masked": not seen.shown.whole,
        "event": _event(seen),
    }


def to_line(row: Row) -> bytes:
    """One line of JSON Lines, ASCII; bytes as base64."""
    plain = {name: _plain(name, value) for name, value in row.items()}
    return json.dumps(plain, separators=(",", ":")).encode("ascii") + b"\n"


def from_row(row: Row) -> NewRecord:
    """The inverse of `to_row`, for rows with bytes or base64.

    Raises:
        ValueError: masked, or not a record; says which member.
    """
    if row.get("masked"):
        raise ValueError("masked: the payload was left out of this export")
    state, reason = row.get("state"), row.get("state_reason")
    body = {
        name: _plain(name, value) for name, value in row.items() if name not in _EXTRA and not name.startswith("dlq_")
    }
    if row.get("dlq_topic") is not None or row.get("dlq_headers"):
        names = ("topic", "partition", "offset", "timestamp_ms", "headers")
        body["dlq"] = {name: _plain(f"dlq_{name}", row.get(f"dlq_{name}")) for name in names}
    record = decode_body(json.dumps({"v": body.pop("v", None), **body}).encode("ascii"))
    if state in _STATES and isinstance(reason, str):
        record.state, record.state_reason = state, reason
    return regrouped(record)


def regrouped(record: NewRecord) -> NewRecord:
    """The record in the group that an ingest would put it in: the stack says which."""
    stack = None if record.provenance is None else record.provenance.err_stack
    if not stack or record.trouble.origin == Origin.LOCAL:
        return record
    t, cause = record.trouble, innermost(stack)
    record.trouble = trouble(
        origin=t.origin,
        err_class=t.err_class,
        err_name=t.err_name,
        message=t.message,
        stage=t.stage,
        component=t.component,
        err_code=t.err_code,
        dest_topic=t.dest_topic,
        cluster_id=t.cluster_id,
        dlq_topic=t.dlq_topic,
        cause=cause.name,
        frames=cause.frames,
    )
    return record


def _message(record: RecordDetail, seen: View) -> str:
    """Other systems quote the payload in their messages; our own producer's say what the broker said."""
    return seen.message if seen.shown.whole or record.row.origin == Origin.LOCAL else ""


def _event(seen: View) -> str | None:
    return None if seen.shown.event is None else json.dumps(seen.shown.event, separators=(",", ":"))


def _plain(name: str, value: Any) -> Any:
    if isinstance(value, bytes):
        return base64.b64encode(value).decode("ascii")
    if name in _HEADERS and value is not None:
        return [[header, _plain("", raw)] for header, raw in value]
    return value
