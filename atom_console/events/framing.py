"""`atomfb`: many FlatBuffers in one file, each behind its size (32 bits, little-endian), as FlatBuffers' own
`FinishSizePrefixed` writes them."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import BinaryIO

from atom_console.errors import CheckError

MAX_BYTES = 2**31 - 1
"""The largest FlatBuffer there is."""
_SIZE = struct.Struct("<I")
_BLOCK = 1 << 20
_REST = 64 << 20


class FramingError(CheckError):
    """What follows cannot be cut into FlatBuffers.

    Attributes:
        offset: byte of the file where the size stands.
        why: what is wrong there.
        rest: what was read from there on, at most 64 MiB.
    """

    def __init__(self, offset: int, why: str, rest: bytes) -> None:
        super().__init__(
            f"at byte {offset}: {why}",
            next_step="give --bare if the input is one FlatBuffer without a size in front, such as a Kafka value",
        )
        self.offset = offset
        self.why = why
        self.rest = rest


def read_frames(stream: BinaryIO, *, most_bytes: int = MAX_BYTES) -> Iterator[tuple[int, bytes]]:
    """The buffers of a stream, each with the byte at which it begins.

    Args:
        most_bytes: the largest size that is believed.

    Raises:
        FramingError: a size that cannot be, or an end in the middle. What came before was yielded.
    """
    offset = 0
    while head := _read(stream, _SIZE.size):
        if len(head) < _SIZE.size:
            raise FramingError(offset, f"the input ends within a size ({len(head)} of 4 bytes)", head)
        (size,) = _SIZE.unpack(head)
        if not 0 < size <= most_bytes:
            raise FramingError(
                offset, f"a size of {size} bytes is none of a FlatBuffer", head + _read(stream, most_bytes)
            )
        body = _read(stream, size)
        if len(body) < size:
            raise FramingError(offset, f"the input ends within a buffer ({len(body)} of {size} bytes)", head + body)
        yield offset + _SIZE.size, body
        offset += _SIZE.size + size


def frame(buffer: bytes) -> bytes:
    """A buffer behind its size."""
    return _SIZE.pack(len(buffer)) + buffer


def _read(stream: BinaryIO, size: int) -> bytes:
    """Up to `size` bytes, fewer only at the end; a false size costs no more memory than there is input."""
    parts = []
    while size > 0 and (part := stream.read(min(size, _BLOCK))):
        parts.append(part)
        size -= len(part)
    return b"".join(parts)
