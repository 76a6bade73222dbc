"""Record ids (UUID version 7, RFC 9562) and the short hashes behind the lookups by key and by event id.

Ids are 16 bytes in the store and text everywhere else: half the index, and no formatting while events are captured.
"""

from __future__ import annotations

import os
import sys
import threading
import time
from array import array
from functools import lru_cache
from hashlib import blake2b
from uuid import UUID

_VARIANT = bytes(0x80 | byte & 0x3F for byte in range(256))
_lock = threading.Lock()
_last = 0


def uuid7(count: int = 1, now_ms: int | None = None) -> list[bytes]:
    """`count` new ids, each greater than every id this process made before (the 12 bits `rand_a` count on)."""
    global _last  # noqa: PLW0603 -- one clock a process is the point
    start = (time.time_ns() // 1_000_000 if now_ms is None else now_ms) << 12
    with _lock:
        first = max(start, _last + 1)
        _last = first + count - 1
    times = _times(first, count)
    noise = bytearray(os.urandom(8 * count))
    noise[0::8] = noise[0::8].translate(_VARIANT)
    halves = array("Q", bytes(16 * count))
    halves[0::2], halves[1::2] = times, array("Q", bytes(noise))
    raw = halves.tobytes()
    return [raw[at : at + 16] for at in range(0, 16 * count, 16)]


def _times(first: int, count: int) -> array[int]:
    """The first 8 bytes of the ids, in their order in memory: 48 bits of milliseconds, the version, a count."""
    times = array("Q")
    while count:
        of_this_ms = min(count, 4096 - (first & 0xFFF))
        start = (first >> 12) << 16 | 0x7000 | (first & 0xFFF)
        times.extend(range(start, start + of_this_ms))
        first, count = first + of_this_ms, count - of_this_ms
    if sys.byteorder == "little":
        times.byteswap()
    return times


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
