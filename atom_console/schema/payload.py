"""Generic decode of a payload with any FlatBuffers schema of the catalogue."""

from __future__ import annotations

from typing import Any

from atom_console.events.decoder import Decoder
from atom_console.events.reflection import Schema, bundled_schema
from atom_console.schema.drift import Examination, examine

# By identity: hashing a whole schema would cost more than decoding. A decoder keeps its schema alive.
_decoders: dict[tuple[int, str | None], Decoder] = {}
_MAX_DECODERS = 64


def _decoder(schema: Schema, root: str | None) -> Decoder:
    known = _decoders.get((id(schema), root))
    if known is None:
        if len(_decoders) >= _MAX_DECODERS:
            _decoders.clear()
        known = _decoders[id(schema), root] = Decoder(schema, root=root)
    return known


def decode(payload: bytes, schema: Schema | str, root: str | None = None) -> dict[str, Any]:
    """The payload as nested dicts: None where a field is absent, enums as numbers, bytes for `[ubyte]`.

    Args:
        payload: one FlatBuffer.
        schema: a schema, or the name of a bundled one (`atom_event`, `grid`).
        root: full name of another root table.

    Raises:
        DecodeError: unsound bytes, or no such root.
    """
    chosen = bundled_schema(schema) if isinstance(schema, str) else schema
    decoded: dict[str, Any] = _decoder(chosen, root).decode(payload)
    return decoded


def decode_checked(payload: bytes, schema: Schema) -> tuple[dict[str, Any], Examination]:
    """The payload and what it is to the schema.

    Raises:
        DecodeError: unsound bytes.
    """
    _decoder(schema, None).verify(payload)
    return decode(payload, schema), examine(payload, schema)
