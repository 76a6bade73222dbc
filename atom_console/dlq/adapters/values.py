"""Header values, strictly: a number has its exact form, or it is None with a warning. Nothing here raises."""

from __future__ import annotations

import re
from typing import Final

_DECIMAL: Final = re.compile(rb"-?[0-9]{1,19}")
_TOPIC: Final = re.compile(r"[A-Za-z0-9._-]{1,249}", re.ASCII)
_INT32: Final = range(-(1 << 31), 1 << 31)
_INT64: Final = range(-(1 << 63), 1 << 63)


class Values:
    """Reads values; what was wrong with them is added to `warnings`."""

    __slots__ = ("warnings",)

    def __init__(self, warnings: list[str]) -> None:
        self.warnings = warnings

    def text(self, raw: bytes | None) -> str | None:
        """UTF-8; bytes that are not become `\\xNN`. None stays None."""
        return None if raw is None else raw.decode("utf-8", "backslashreplace")

    def topic(self, name: str, raw: bytes | None) -> str | None:
        """A legal topic name."""
        text = self.text(raw)
        if text is None or (_TOPIC.fullmatch(text) and text not in {".", ".."}):
            return text
        self.warnings.append(f"header {name}: {len(text)} characters that are no topic name")
        return None

    def decimal32(self, name: str, raw: bytes | None) -> int | None:
        """Decimal text of 32 bits."""
        return self._decimal(name, raw, _INT32)

    def decimal64(self, name: str, raw: bytes | None) -> int | None:
        """Decimal text of 64 bits."""
        return self._decimal(name, raw, _INT64)

    def int32(self, name: str, raw: bytes | None) -> int | None:
        """Four bytes, big endian."""
        return self._fixed(name, raw, 4)

    def int64(self, name: str, raw: bytes | None) -> int | None:
        """Eight bytes, big endian."""
        return self._fixed(name, raw, 8)

    def shortest(self, name: str, raw: bytes | None) -> int | None:
        """Two's complement of minimal length, one to eight bytes (Java's `BigInteger.toByteArray`)."""
        if raw is None or 1 <= len(raw) <= 8:
            return None if raw is None else int.from_bytes(raw, "big", signed=True)
        self.warnings.append(f"header {name}: {len(raw)} bytes, expected one to eight")
        return None

    def _decimal(self, name: str, raw: bytes | None, allowed: range) -> int | None:
        if raw is None:
            return None
        if _DECIMAL.fullmatch(raw):
            number = int(raw)
            if number in allowed:
                return number
        self.warnings.append(f"header {name}: {len(raw)} bytes that are no decimal number of its range")
        return None

    def _fixed(self, name: str, raw: bytes | None, size: int) -> int | None:
        if raw is None or len(raw) == size:
            return None if raw is None else int.from_bytes(raw, "big", signed=True)
        self.warnings.append(f"header {name}: {len(raw)} bytes, expected {size}")
        return None
