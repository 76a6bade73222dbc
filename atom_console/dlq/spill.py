"""The spill file: records outside the database, in a form that a service in any language can write.

A file starts with the eight bytes `ATOMSPL1`. Then frames: `u32` length of the body, `u32` CRC32C (Castagnoli) of the
body, both little endian, and the body: one JSON object in UTF-8 whose first member is written exactly `{"v":1,` (that
is how the next sound frame is found behind a damaged one). docs/spill-format.md has the members and a writer in 40
lines.
"""

from __future__ import annotations

import base64
import binascii
import json
import struct
from typing import Any, Final

import google_crc32c

from atom_console.dlq.headers import Headers
from atom_console.dlq.ids import id_bytes, id_text
from atom_console.dlq.normalise import UNREADABLE, event_facts
from atom_console.dlq.record import NewRecord, Origin, PayloadKind, Provenance
from atom_console.dlq.text import storable
from atom_console.dlq.troubles import trouble

MAGIC: Final = b"ATOMSPL1"
MAX_BODY: Final = 256 * 2**20
HEAD: Final = struct.Struct("<II")
FIRST: Final = b'{"v":1,'
_CLASSES: Final = frozenset({"outage", "poison", "config", "innocent", "shutdown", "client_fatal", "unknown"})


def encode_body(record: NewRecord) -> bytes:
    """One record → the JSON body of a frame. Everything that a replay needs, and where it came from."""
    t, p = record.trouble, record.provenance or Provenance()
    body: dict[str, Any] = {
        "v": 1,
        "id": id_text(record.id),
        "captured_at_ms": record.captured_at,
        "topic": t.dest_topic,
        "key": _b64(record.key),
        "value": _b64(record.value),
        "headers": [[name, _b64(value)] for name, value in record.headers],
        "timestamp_ms": record.orig_timestamp,
        "partition": record.orig_partition,
        "class": t.err_class,
        "code": t.err_code,
        "name": t.err_name,
        "message": t.message,
        "maybe_persisted": record.maybe_persisted,
        "stage": t.stage,
        "component": t.component,
        "payload": record.payload_kind,
        "cluster_id": t.cluster_id,
    }
    if t.origin != Origin.LOCAL:
        body["origin"] = t.origin
    if record.provenance is not None:
        dlq = {
            "topic": t.dlq_topic,
            "partition": p.partition,
            "offset": p.offset,
            "timestamp_ms": p.timestamp,
            "headers": None if p.headers is None else [[name, _b64(value)] for name, value in p.headers],
        }
        body |= {"dlq": dlq, "orig_offset": p.orig_offset, "ts_type": p.ts_type, "stack": p.err_stack}
        body["warnings"] = list(p.warnings)
    return json.dumps(body, separators=(",", ":")).encode("ascii")


def frame(body: bytes) -> bytes:
    """Length, checksum, body."""
    return HEAD.pack(len(body), google_crc32c.value(body)) + body


def decode_body(body: bytes) -> NewRecord:
    """The inverse of `encode_body`, for bodies by any writer: only `id`, `topic` and `value` are needed.

    Raises:
        ValueError: what is wrong, with the member's name. A member that is not known becomes a warning on the record.
    """
    try:
        member = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"not JSON: {error}") from error
    if not isinstance(member, dict) or member.get("v") != 1:
        raise ValueError("not an object whose member v is 1")
    read = _Members(member)
    raw_id = read.record_id()
    err_class = read.text("class", "unknown")
    if err_class not in _CLASSES:
        raise ValueError(f"class: {err_class!r} is not one of {', '.join(sorted(_CLASSES))}")
    kind = read.text("payload", PayloadKind.FULL if member.get("value") is not None else PayloadKind.TOMBSTONE)
    origin = read.text("origin", Origin.LOCAL)
    kind, origin = PayloadKind(kind), Origin(origin)
    value = read.blob("value", required=True)
    name = read.text("name", "UNKNOWN")
    message = read.text("message", name)
    dlq = _Members(member["dlq"]) if isinstance(member.get("dlq"), dict) else None
    facts = UNREADABLE if kind is PayloadKind.INPUT else event_facts(value)
    shared = trouble(
        origin=origin,
        err_class=err_class,
        err_name=name,
        message=message,
        stage=read.text("stage", "delivery"),
        component=read.text("component", "spill"),
        err_code=read.integer("code"),
        dest_topic=read.text("topic", None, required=True),
        cluster_id=read.text("cluster_id", None),
        dlq_topic=None if dlq is None else dlq.text("topic", None),
    )
    warnings = (*read.texts("warnings"), *read.unknown())
    at = read.integer("captured_at_ms")
    return NewRecord(
        trouble=shared,
        captured_at=(int.from_bytes(raw_id[:6], "big") if at is None else at),
        key=read.blob("key"),
        value=value,
        headers=read.headers("headers"),
        maybe_persisted=read.flag("maybe_persisted", default=True),
        tenant_id=facts.tenant_id,
        event_id=facts.event_id,
        event_type=facts.type,
        event_ts=facts.timestamp,
        orig_partition=read.integer("partition"),
        orig_timestamp=read.integer("timestamp_ms"),
        payload_kind=kind.value,
        id=raw_id,
        provenance=_provenance(read, dlq, warnings),
    )


def _provenance(read: _Members, dlq: _Members | None, warnings: tuple[str, ...]) -> Provenance | None:
    stack, offset, ts_type = read.text("stack", None), read.integer("orig_offset"), read.text("ts_type", None)
    if dlq is None and not warnings and stack is None and offset is None and ts_type is None:
        return None
    place = Provenance(orig_offset=offset, ts_type=ts_type, err_stack=stack, warnings=warnings)
    if dlq is not None:
        place.partition, place.offset = dlq.integer("partition"), dlq.integer("offset")
        place.timestamp, place.headers = dlq.integer("timestamp_ms"), dlq.headers("headers")
    return place


class _Members:
    """Typed access to the members of one JSON object."""

    _KNOWN: Final = frozenset({
        "v", "id", "captured_at_ms", "topic", "key", "value", "headers", "timestamp_ms", "partition", "class", "code",
        "name", "message", "maybe_persisted", "stage", "component", "payload", "cluster_id", "origin", "dlq",
        "orig_offset", "ts_type", "stack", "warnings",
    })  # fmt: skip

    def __init__(self, members: dict[str, Any]) -> None:
        self._members = members

    def record_id(self) -> bytes:
        try:
            return id_bytes(self._members["id"])
        except KeyError as error:
            raise ValueError("id: missing") from error
        except (ValueError, AttributeError, TypeError) as error:
            raise ValueError("id: not a UUID") from error

    def text(self, name: str, default: Any, *, required: bool = False) -> Any:
        if required and name not in self._members:
            raise ValueError(f"{name}: missing")
        value = self._members.get(name)
        if value is None:
            return default
        if not isinstance(value, str):
            raise ValueError(f"{name}: not a string")
        return storable(value)

    def integer(self, name: str) -> int | None:
        value = self._members.get(name)
        if value is None:
            return None
        if not isinstance(value, int) or isinstance(value, bool) or not -(1 << 63) <= value < 1 << 63:
            raise ValueError(f"{name}: not a 64-bit integer")
        return value

    def flag(self, name: str, *, default: bool) -> bool:
        value = self._members.get(name, default)
        if not isinstance(value, bool):
            raise ValueError(f"{name}: not true or false")
        return value

    def blob(self, name: str, *, required: bool = False) -> bytes | None:
        if required and name not in self._members:
            raise ValueError(f"{name}: missing (null is a tombstone)")
        return _unb64(name, self._members.get(name))

    def headers(self, name: str) -> Headers:
        found = self._members.get(name)
        if found is None:
            return ()
        pairs = isinstance(found, list) and all(
            isinstance(pair, list) and len(pair) == 2 and isinstance(pair[0], str) for pair in found
        )
        if not pairs:
            raise ValueError(f"{name}: not a list of [name, base64 or null]")
        return tuple((pair[0], _unb64(name, pair[1])) for pair in found)

    def texts(self, name: str) -> tuple[str, ...]:
        found = self._members.get(name) or []
        if not isinstance(found, list) or not all(isinstance(text, str) for text in found):
            raise ValueError(f"{name}: not a list of strings")
        return tuple(found)

    def unknown(self) -> tuple[str, ...]:
        return tuple(f"spill member {name!r} is not known" for name in self._members if name not in self._KNOWN)


def _b64(raw: bytes | None) -> str | None:
    return None if raw is None else base64.b64encode(raw).decode("ascii")


def _unb64(name: str, text: Any) -> bytes | None:
    if text is None:
        return None
    if not isinstance(text, str):
        raise ValueError(f"{name}: not base64 text")
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise ValueError(f"{name}: not base64") from error
