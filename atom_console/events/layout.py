"""Where our encoders put the bytes of an AtomEvent. Every offset points forwards, so a buffer is written front to back.

    0   u32      position of the event table: 24
    4   20       vtable of the event
    24  40       event table: soffset, six u32 offsets, type, 3 bytes of padding, timestamp
    64  …        the event's strings: event_id, trace_id, user_id, tenant_id, schema_payload (those that are set)
        4 + 4 n  vector of offsets to the molecules
        20 each  one vtable for each combination of fields that is in use, ending where the molecule tables start
        72 n     molecule tables, 8-aligned; each holds its hash vector inside
        …        the molecules' strings

This is standard FlatBuffers; a reader cannot tell it from the output of the generated code except by size.
"""

from __future__ import annotations

import struct
from typing import Final

EVENT_FIELDS: Final = (
    "event_id",
    "trace_id",
    "timestamp",
    "type",
    "tenant_id",
    "user_id",
    "molecules",
    "schema_payload",
)
MOLECULE_FIELDS: Final = (
    "coordinate_hash",
    "numeric_value",
    "text_commentary",
    "date_value",
    "boolean_value",
    "error_value",
    "timestamp",
    "security_mask",
)

ROOT: Final = 24
EVENT_OFFSETS: Final = (4, 8, 32, 28, 12, 16, 20, 24)
MOLECULE_OFFSETS: Final = (4, 40, 8, 48, 16, 12, 56, 64)
EVENT_END: Final = 64
MOLECULE_SIZE: Final = 72
VTABLE_SIZE: Final = 20

# The event's text slots in the order in which their bytes are written.
TEXT_SLOTS: Final = (0, 1, 5, 4, 7)
HASH_BYTES: Final = 16
# Distance from the hash offset (byte 4 of the table) to the hash vector (byte 20).
HASH_OFFSET: Final = 16
# A FlatBuffer is smaller than 2 GiB: its soffset is signed.
MAX_BYTES: Final = (1 << 31) - 1


def _vtable(table_size: int, offsets: tuple[int, ...], presence: int) -> bytes:
    slots = (offset if presence >> slot & 1 else 0 for slot, offset in enumerate(offsets))
    return struct.pack("<10H", VTABLE_SIZE, table_size, *slots)


# By presence: bit i set = slot i present. Root offset, vtable and soffset of the event: the first 28 bytes.
EVENT_HEADS: Final = tuple(
    struct.pack("<I", ROOT) + _vtable(40, EVENT_OFFSETS, presence) + struct.pack("<i", VTABLE_SIZE)
    for presence in range(256)
)
MOLECULE_VTABLES: Final = tuple(_vtable(MOLECULE_SIZE, MOLECULE_OFFSETS, presence) for presence in range(256))

# event_id, trace_id, tenant_id, user_id, molecules, schema_payload, type, timestamp: bytes 28 to 64.
EVENT_TABLE: Final = struct.Struct("<6Ib3xq")
# soffset, hash offset, text offset, error offset, bool, hash length, hash, number, date, timestamp, mask.
MOLECULE_TABLE: Final = struct.Struct("<i3IB3xI16sdqqQ")

_PADDING = (b"\0\0\0\0", b"\0\0\0", b"\0\0", b"\0")


def text_record(raw: bytes) -> bytes:
    """A FlatBuffers string: length, bytes, NUL, padding to 4."""
    return len(raw).to_bytes(4, "little") + raw + _PADDING[len(raw) & 3]


def text_size(length: int) -> int:
    """Bytes that a string of `length` bytes takes, with its length word, NUL and padding."""
    return (length & ~3) + 8


def align8(position: int) -> int:
    """The next multiple of 8."""
    return (position + 7) & ~7
