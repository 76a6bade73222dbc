"""Record ids (UUID version 7, RFC 9562) and the short hashes behind the lookups by key and by event id.

Ids are 16 bytes in the store and text everywhere else: half the index, and no formatting while events are captured.
"""

from __future__ import annotations

import os
import struct
import threading
import time
from functools import lru_cache
from hashlib import blake2b
from uuid import UUID

_PAIR = struct.Struct(">QQ")
_lock = threading.Lock()
_last = 0


def uuid7(count: int = 1, now_ms: int | None = None) -> list[bytes]:
    """`count` new ids, each greater than every id this process made before (the 12 bits `rand_a` count on)."""
    global _last  # noqa: PLW0603 -- one clock a process is the point
    start = (time.time_ns() // 1_000_000 if now_ms is None else now_ms) << 12
    with _lock:
        first = max(start, _last + 1)
        _last = first + count - 1
    noise = memoryview(os.urandom(8 * count)).cast("Q")
    pack = _PAIR.pack
    return [
        pack((tick >> 12) << 16 | 0x7000 | (tick & 0xFFF), 0x8000_0000_0000_0000 | rand >> 2)
        for tick, rand in zip(range(first, first + count), noise, strict=True)
    ]


def id_text(raw: bytes) -> str:
    """16 bytes → `0192f7c3-…`."""
    return str(UUID(bytes=raw))


def id_bytes(text: str) -> bytes:
    """The inverse of `id_text`.

    Raises:
        ValueError: not a UUID.
    """
    return UUID(text).bytes


@lru_cache(maxsize=16_384)
def key_hash(key: bytes) -> int:
    """A message key → signed 64 bits (BLAKE2b), the form that the `lookup` table holds."""
    return int.from_bytes(blake2b(key, digest_size=8, person=b"key").digest(), "big", signed=True)


def event_hash(event_id: str) -> int:
    """An event id → signed 64 bits, in another space than keys."""
    raw = event_id.encode("utf-8", "surrogatepass")
    return int.from_bytes(blake2b(raw, digest_size=8, person=b"event").digest(), "big", signed=True)
