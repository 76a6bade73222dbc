"""The AtomEvent codec: FlatBuffers encode, decode, verify and scan; JSON Lines.

Light on purpose: `columns` and `scan` need numpy and pyarrow and are imported by whoever uses them.
"""

from __future__ import annotations

from atom_console.events.encoder import encode, encode_mapping
from atom_console.events.errors import DecodeError, EncodeError
from atom_console.events.model import AtomEvent, EventType, Molecule
from atom_console.events.payload import Peek, decode, decode_mapping, headers, headers_of, peek, verify

__all__ = [
    "AtomEvent",
    "DecodeError",
    "EncodeError",
    "EventType",
    "Molecule",
    "Peek",
    "decode",
    "decode_mapping",
    "encode",
    "encode_mapping",
    "headers",
    "headers_of",
    "peek",
    "verify",
]
