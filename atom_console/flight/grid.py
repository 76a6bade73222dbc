"""The grid as it travels: an envelope with a checksum around a FlatBuffer, possibly compressed.

The platform does not say which CRC the checksum is, nor whether of the payload or of its content, nor how it frames
LZ4. All usual ones are tried, and what held is named.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from typing import Any, Literal

from atom_console.errors import CheckError
from atom_console.schema.payload import decode

_MAX_CONTENT_BYTES = 1 << 30
_LZ4_FRAME = b"\x04\x22\x4d\x18"
_COMPRESSIONS: tuple[Literal["none", "zstd", "lz4"], ...] = ("none", "zstd", "lz4")


class GridEnvelopeError(CheckError):
    """An envelope whose checksum, length or compression does not hold."""


@dataclass(frozen=True, slots=True)
class GridEnvelope:
    """A verified envelope.

    Attributes:
        checksum: what held, e.g. `CRC-32C of the payload`, or `absent` (0 and no CRC matches).
        grid: the decoded `Grid`.
    """

    wire_version: int
    compression: Literal["none", "zstd", "lz4"]
    payload_bytes: int
    content_bytes: int
    checksum: str
    grid: dict[str, Any]


def open_envelope(envelope: bytes, *, most_bytes: int = _MAX_CONTENT_BYTES) -> GridEnvelope:
    """Verify and decode an envelope.

    Raises:
        DecodeError: envelope or grid are not sound FlatBuffers.
        GridEnvelopeError: what the envelope says of its content does not hold.
    """
    fields = decode(envelope, "grid")
    payload, length = fields["payload"] or b"", fields["content_length"] or 0
    number = fields["compression"] or 0
    if not 0 <= number < len(_COMPRESSIONS):
        raise GridEnvelopeError(f"grid envelope: unknown compression {number}", next_step="Update the schema `grid`.")
    if length > most_bytes:
        raise GridEnvelopeError(
            f"grid envelope: says {length:,} bytes, more than {most_bytes:,} are not opened",
            next_step="Raise the limit if it is meant.",
        )
    compression = _COMPRESSIONS[number]
    content = _content(payload, compression, length)
    if len(content) != length:
        raise GridEnvelopeError(
            f"grid envelope: says {length:,} bytes and holds {len(content):,}", next_step="It was cut or altered."
        )
    checksum = _checksum(fields["content_checksum"] or 0, payload, content)
    grid = decode(content, "grid", "fbgrid.Grid")
    return GridEnvelope(fields["wire_version"] or 0, compression, len(payload), length, checksum, grid)


def _content(payload: bytes, compression: Literal["none", "zstd", "lz4"], length: int) -> bytes:
    if compression == "none":
        return payload
    import pyarrow as pa

    codec: str = compression
    if compression == "lz4" and payload[:4] != _LZ4_FRAME:
        codec = "lz4_raw"
        if payload[:4] == length.to_bytes(4, "little"):
            payload = payload[4:]  # the size in front, as lz4_flex writes it
    try:
        content: bytes = pa.Codec(codec).decompress(payload, length, asbytes=True)
    except (OSError, pa.ArrowException) as error:
        raise GridEnvelopeError(
            f"grid envelope: the {compression} payload does not open: {error}", next_step="It was cut or altered."
        ) from None
    return content


def _checksum(expected: int, payload: bytes, content: bytes) -> str:
    import google_crc32c

    for place, data in (("content", content), ("payload", payload)):
        for name, found in (("CRC-32C", google_crc32c.value(data)), ("CRC-32", zlib.crc32(data))):
            if found == expected:
                return f"{name} of the {place}"
    if expected == 0:
        return "absent"
    raise GridEnvelopeError(
        f"grid envelope: the checksum {expected:#010x} is that of neither payload nor content",
        next_step="It was altered on the way; fetch it again.",
    )
