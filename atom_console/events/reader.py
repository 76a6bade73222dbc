"""Bounds-checked reading of one FlatBuffer, a value at a time: slow and careful, for schemas, checks, explanations."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Final

from atom_console.events.errors import DecodeError

# A payload may expand to this many times its size through shared strings.
EXPANSION: Final = 64

_FORMATS: Final = {code: struct.Struct(f"<{code}") for code in "?bBhHiIqQfd"}


class Reader:
    """Reads of one buffer; every one outside of it is a DecodeError.

    What is visited is counted, because a small buffer whose tables share their children can expand without end
    (measured: 1.2 MB that a verifier accepts become 30 GB).

    Args:
        buffer: the whole FlatBuffer.
        strict: also hold what other languages' verifiers hold: alignment and the NUL behind strings.
    """

    __slots__ = ("buffer", "bytes_left", "long_texts", "size", "strict", "visits_left")

    def __init__(self, buffer: bytes, *, strict: bool = False) -> None:
        self.buffer = buffer
        self.size = len(buffer)
        self.strict = strict
        # An unshared table takes 4 bytes and the offset to it 4 more, so nothing sound visits more than this.
        self.visits_left = self.size // 4
        self.bytes_left = EXPANSION * self.size + 65_536
        self.long_texts: dict[tuple[int, bool], str | bytes] = {}

    def scalar(self, code: str, position: int) -> int | float | bool:
        """The number of struct format `code` at `position`."""
        fmt = _FORMATS[code]
        if position < 0 or position + fmt.size > self.size:
            raise DecodeError(position, f"a read of {fmt.size} bytes outside of the {self.size} there are")
        if self.strict and position % fmt.size:
            raise DecodeError(position, f"a value of {fmt.size} bytes that is not aligned")
        value: int | float | bool = fmt.unpack_from(self.buffer, position)[0]
        return value

    def integer(self, code: str, position: int) -> int:
        """`scalar` of an integer format."""
        return int(self.scalar(code, position))

    def offset(self, position: int) -> int:
        """Where the u32 offset at `position` points."""
        distance = self.integer("I", position)
        if self.strict and not 0 < distance < 1 << 31:
            raise DecodeError(position, "an offset that points nowhere")
        return position + distance

    def root(self) -> Table:
        """The root table."""
        if self.size < 8:
            raise DecodeError(None, f"{self.size} bytes are too few for a FlatBuffer")
        return self.table(self.offset(0))

    def visit(self, count: int, position: int) -> None:
        """Count tables and items: whoever follows an offset to one does."""
        self.visits_left -= count
        if self.visits_left < 0:
            raise DecodeError(position, "tables shared beyond reason (a bomb)")

    def charge(self, count: int, position: int) -> None:
        """Count bytes of long strings and vectors."""
        self.bytes_left -= count
        if self.bytes_left < 0:
            raise DecodeError(position, f"content shared so that it expands over {EXPANSION} times (a bomb)")

    def table(self, position: int) -> Table:
        """The table at `position`, its vtable checked."""
        vtable = position - self.integer("i", position)
        size = self.integer("H", vtable)
        inline = self.integer("H", vtable + 2)
        if size < 4 or size & 1 or vtable + size > self.size:
            raise DecodeError(vtable, f"a vtable of {size} bytes")
        if inline < 4 or (self.strict and position + inline > self.size):
            raise DecodeError(position, f"a table of {inline} bytes")
        return Table(self, position, vtable, size, inline)

    def span(self, position: int, width: int = 1) -> tuple[int, int]:
        """First byte and number of items of the vector (or string) at `position`, each item `width` bytes."""
        count = self.integer("I", position)
        start = position + 4
        if start + count * width > self.size:
            raise DecodeError(position, f"{count} items of {width} bytes outside of the {self.size} bytes there are")
        if self.strict and count and width in (2, 4, 8) and start % width:
            raise DecodeError(start, f"items of {width} bytes that are not aligned")
        return start, count

    def text(self, position: int) -> str:
        """The string at `position`."""
        start, count = self.span(position)
        self.charge(count, position)
        if self.strict and (start + count >= self.size or self.buffer[start + count]):
            raise DecodeError(start + count, "a string without its NUL")
        try:
            return self.buffer[start : start + count].decode("utf-8")
        except UnicodeDecodeError as error:
            raise DecodeError(start + error.start, "a string that is not UTF-8") from None


@dataclass(frozen=True, slots=True)
class Table:
    """One table of a buffer."""

    reader: Reader
    position: int
    vtable: int
    vtable_size: int
    inline_size: int

    def field(self, slot: int, width: int) -> int | None:
        """Where the field of `slot` is, None where it is absent. `width` is its inline size in bytes."""
        entry = 4 + 2 * slot
        offset = self.reader.integer("H", self.vtable + entry) if entry + 2 <= self.vtable_size else 0
        if not offset:
            return None
        if offset < 4 or offset + width > self.inline_size:
            raise DecodeError(self.position, f"a field at {offset} in a table of {self.inline_size} bytes")
        return self.position + offset

    def integer(self, slot: int, code: str, default: int = 0) -> int:
        """An integer field or its default."""
        at = self.field(slot, _FORMATS[code].size)
        return default if at is None else self.reader.integer(code, at)

    def real(self, slot: int) -> float:
        """A double field or 0.0."""
        at = self.field(slot, 8)
        return 0.0 if at is None else float(self.reader.scalar("d", at))

    def text(self, slot: int) -> str | None:
        """A string field."""
        at = self.field(slot, 4)
        return None if at is None else self.reader.text(self.reader.offset(at))

    def table(self, slot: int) -> Table | None:
        """A table field."""
        at = self.field(slot, 4)
        return None if at is None else self.reader.table(self.reader.offset(at))

    def items(self, slot: int) -> list[int]:
        """Where the items of a vector of tables or strings are; empty where it is absent."""
        at = self.field(slot, 4)
        if at is None:
            return []
        start, count = self.reader.span(self.reader.offset(at), 4)
        self.reader.visit(count, start)
        return [self.reader.offset(start + 4 * i) for i in range(count)]
