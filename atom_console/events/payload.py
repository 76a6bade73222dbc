"""A Kafka value that holds an AtomEvent: decode it, check it, and read the few fields that Kafka needs cheaply."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any, Final

from atom_console.events import rules
from atom_console.events.decoder import Decoder
from atom_console.events.model import AtomEvent, EventType, Molecule
from atom_console.events.reader import Reader
from atom_console.events.reflection import bundled_schema

_TABLE: Final = "quantatomai.event.v1.AtomEvent"
_MOLECULE: Final = "quantatomai.event.v1.FlatMolecule"
_TYPES: Final = {int(member): member for member in EventType}


@cache
def _mapping_decoder() -> Decoder:
    return Decoder(bundled_schema("atom_event"), root=_TABLE)


@cache
def _object_decoder() -> Decoder:
    return Decoder(bundled_schema("atom_event"), root=_TABLE, makers={_TABLE: _event, _MOLECULE: Molecule})


def _event(event_id: Any, trace_id: Any, timestamp: Any, kind: Any, *rest: Any) -> AtomEvent:
    return AtomEvent(event_id, trace_id, timestamp, _TYPES.get(kind, kind), *rest)


def decode(value: bytes) -> AtomEvent:
    """The event in a payload; None where a field is absent. An unknown type stays a plain number.

    Raises:
        DecodeError: whatever is wrong with the bytes.
    """
    event: AtomEvent = _object_decoder().decode(value)
    return event


def decode_mapping(value: bytes) -> dict[str, Any]:
    """The event in a payload as nested dicts, every field a key; `type` is a plain number.

    Raises:
        DecodeError: whatever is wrong with the bytes.
    """
    mapping: dict[str, Any] = _mapping_decoder().decode(value)
    return mapping


def verify(value: bytes) -> None:
    """Hold what the FlatBuffers verifiers of other languages hold, and UTF-8: bounds, alignment, NUL, nesting.

    Raises:
        DecodeError: the first fault, with its field path and byte.
    """
    _mapping_decoder().verify(value)


@dataclass(frozen=True, slots=True)
class Peek:
    """The fields of an event that routing needs; None where absent (`type` too: on the wire that means UNKNOWN)."""

    event_id: str | None
    trace_id: str | None
    timestamp: int | None
    type: int | None
    tenant_id: str | None
    user_id: str | None


def peek(value: bytes) -> Peek:
    """The event's own fields without its molecules: the cost does not grow with the payload.

    Raises:
        DecodeError: the part that was read is damaged.
    """
    root = Reader(memoryview(value).tobytes()).root()
    timestamp = None if root.field(2, 8) is None else root.integer(2, "q")
    kind = None if root.field(3, 1) is None else root.integer(3, "b")
    return Peek(root.text(0), root.text(1), timestamp, kind, root.text(4), root.text(5))


def headers(event: AtomEvent) -> list[tuple[str, bytes]]:
    """The Kafka headers of an event: `trace_id` in UTF-8 (left out where absent), `type` as a decimal string.

    Raises:
        EncodeError: a trace id that is not text.
    """
    kind = ("type", b"%d" % (event.type or 0))
    if event.trace_id is None:
        return [kind]
    return [("trace_id", rules.text(event.trace_id, "trace_id")), kind]


def headers_of(value: bytes) -> list[tuple[str, bytes]]:
    """The Kafka headers that belong to a payload, rebuilt from it: delivery reports carry none.

    Raises:
        DecodeError: the part that was read is damaged.
    """
    root = Reader(memoryview(value).tobytes()).root()
    kind = ("type", b"%d" % root.integer(3, "b"))
    at = root.field(1, 4)
    if at is None:
        return [kind]
    start, count = root.reader.span(root.reader.offset(at))
    return [("trace_id", root.reader.buffer[start : start + count]), kind]
