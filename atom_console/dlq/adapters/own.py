"""Our own dead letters on a shared topic: what `dlq drain` writes and `dlq ingest` reads back without loss.

The record's key, value and headers as they are, then one block of text headers `x-atom-dead-…`, in a fixed order; a
field that the record does not have has no header. docs/dead-letters-of-others.md lists them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from atom_console.dlq.adapters.apache import Found
from atom_console.dlq.adapters.blocks import family
from atom_console.dlq.adapters.letter import Context, Drained, Letter, Reading
from atom_console.dlq.adapters.origin import newest, raw
from atom_console.dlq.adapters.strip import strip
from atom_console.dlq.adapters.values import Values
from atom_console.dlq.headers import Headers
from atom_console.dlq.ids import id_bytes
from atom_console.dlq.record import Origin, PayloadKind, State

if TYPE_CHECKING:
    from atom_console.dlq.record import RecordDetail

PREFIX: Final = "x-atom-dead-"
OWN: Final = family(
    PREFIX,
    "version id origin payload topic partition offset timestamp timestamp-type captured-at class code name message"
    " stack stage component maybe-persisted state state-reason cluster warnings parent loops revision"
    " attempts",
    "version id origin payload captured-at class",
)
VERSION: Final = "1"
_CLASSES: Final = frozenset({"outage", "poison", "config", "innocent", "shutdown", "client_fatal", "unknown"})


def drain_headers(record: RecordDetail) -> Headers:
    """The headers of the drained record: its own, then the block."""
    row, current = record.row, record.current
    fields: dict[str, object] = {
        "version": VERSION,
        "id": row.id,
        "origin": row.origin,
        "payload": record.payload_kind,
        "topic": row.topic,
        "partition": record.orig_partition,
        "offset": record.orig_offset,
        "timestamp": record.orig_timestamp,
        "timestamp-type": record.ts_type,
        "captured-at": row.captured_at,
        "class": row.err_class,
        "code": row.err_code,
        "name": row.err_name,
        "message": record.err_message,
        "stack": record.err_stack,
        "stage": record.stage,
        "component": record.component,
        "maybe-persisted": int(row.maybe_persisted),
        "state": row.state,
        "state-reason": row.state_reason,
        "cluster": record.cluster_id,
        "warnings": "\n".join(record.warnings) or None,
        "parent": record.parent_id,
        "loops": row.loops or None,
        "revision": current.rev or None,
        "attempts": row.attempts or None,
    }
    block = tuple((PREFIX + name, str(value).encode()) for name, value in fields.items() if value is not None)
    return (*current.headers, *block)


def read_own(reading: Reading, letter: Letter, found: Found, context: Context, values: Values) -> None:
    """A record that a console drained. The last block counts; what stands before it is the record's own."""
    block = newest(found[0][::-1])

    def text(name: str) -> str | None:
        return values.text(raw(letter, block, PREFIX + name))

    def number(name: str) -> int | None:
        return values.decimal64(PREFIX + name, raw(letter, block, PREFIX + name))

    own_id = _uuid(text("id"))
    if not block.complete or own_id is None or text("version") != VERSION:
        reading.origin = Origin.UNKNOWN
        reading.warnings.append(f"headers {PREFIX}… are not whole, or of another version")
        return
    reading.origin = _member(Origin, text("origin"), Origin.UNKNOWN, values)
    reading.kind = _member(PayloadKind, text("payload"), PayloadKind.DERIVED, values)
    reading.headers = (*letter.headers[: block.start], *strip(letter.headers[block.stop :])[0])
    reading.topic = values.topic(PREFIX + "topic", raw(letter, block, PREFIX + "topic"))
    reading.partition, reading.offset = number("partition"), number("offset")
    reading.timestamp, reading.ts_type = number("timestamp"), text("timestamp-type")
    reading.exception, reading.message, reading.stack = text("name") or "", text("message") or "", text("stack")
    reading.stage, reading.component = text("stage") or "", text("component") or ""
    reading.attempts = number("attempts")
    reading.warnings += (text("warnings") or "").splitlines()
    if number("revision"):
        reading.warnings.append(f"edited before it was drained: this is revision {number('revision')}")
    if reading.attempts:
        reading.warnings.append(f"replayed {reading.attempts} times before it was drained")
    err_class, state, captured = text("class") or "", text("state"), number("captured-at")
    reading.drained = Drained(
        id=own_id,
        captured_at=letter.timestamp or 0 if captured is None else captured,
        err_class=err_class if err_class in _CLASSES else "unknown",
        err_code=number("code"),
        err_name=reading.exception,
        maybe_persisted=text("maybe-persisted") != "0",
        state=state if state in {State.READY, State.QUARANTINED} else State.QUARANTINED.value,
        state_reason=text("state-reason"),
        cluster_id=text("cluster"),
        parent_id=text("parent"),
        loops=number("loops") or 0,
    )


def _uuid(text: str | None) -> bytes | None:
    try:
        return id_bytes(text or "")
    except ValueError:
        return None


def _member(kind: Any, text: str | None, otherwise: Any, values: Values) -> Any:
    try:
        return kind(text)
    except ValueError:
        values.warnings.append(f"{text!r} is no {kind.__name__} that this version knows")
        return otherwise
