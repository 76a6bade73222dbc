"""Spring Cloud Stream's embedded headers: in front of the payload, inside the value.

`ff`, the count, then for each header: u8 length of the name, the name, u32 (big endian) length of its JSON, the JSON;
then the payload.
"""

from __future__ import annotations

import json
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Embedded:
    """Names with their JSON as it stands, and the payload behind them."""

    headers: tuple[tuple[str, bytes], ...]
    payload: bytes

    def encode(self) -> bytes:
        """The value again, byte for byte."""
        out = [bytes((0xFF, len(self.headers)))]
        for name, text in self.headers:
            raw = name.encode()
            out += (bytes((len(raw),)), raw, len(text).to_bytes(4, "big"), text)
        return b"".join((*out, self.payload))

    def scalar(self, name: str) -> str | int | None:
        """The last value of a name if it is a JSON string or integer."""
        for found, text in reversed(self.headers):
            if found == name:
                try:
                    value = json.loads(text)
                except (ValueError, RecursionError):
                    return None
                return value if isinstance(value, str | int) and not isinstance(value, bool) else None
        return None


def parse(value: bytes | None) -> Embedded | None:
    """The parts, or None where the value does not have this form. Never raises."""
    if not value or value[0] != 0xFF or len(value) < 2:
        return None
    at, found = 2, []
    for _ in range(value[1]):
        if at >= len(value):
            return None
        name_end = at + 1 + value[at]
        if name_end + 4 > len(value):
            return None
        end = name_end + 4 + int.from_bytes(value[name_end : name_end + 4], "big")
        if end > len(value):
            return None
        try:
            name = value[at + 1 : name_end].decode()
        except UnicodeDecodeError:
            return None
        found.append((name, value[name_end + 4 : end]))
        at = end
    return Embedded(tuple(found), value[at:])
