"""Kafka headers as one BLOB, exactly: order, duplicates, empty and null values are kept.

Layout, all integers little endian: for each header `u32` length of the name, the name in UTF-8, `i32` length of the
value (−1 for a null value), the value. No header at all is an empty BLOB.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Iterable, Sequence
from functools import lru_cache

from atom_console.errors import CheckError

Headers = tuple[tuple[str, bytes | None], ...]

_U32 = struct.Struct("<I")
_I32 = struct.Struct("<i")
_LENGTHS = struct.Struct("<qqq")
_SHORT = 64


class HeadersError(CheckError):
    """The BLOB is not a list of headers: it was cut or overwritten."""


def encode_headers(headers: Iterable[tuple[str, bytes | None]]) -> bytes:
    """Ordered `(name, value)` pairs → the BLOB above. Lone surrogates in a name survive."""
    out: list[bytes] = []
    for name, value in headers:
        if value is None:
            out.append(_prefix(name, -1))
        elif len(value) < _SHORT:
            out += (_prefix(name, len(value)), value)
        else:
            out += (_name(name), _I32.pack(len(value)), value)
    return b"".join(out)


def encode_all(many: Sequence[Headers]) -> list[bytes]:
    """`encode_headers` of many. Mostly they differ in a few headers only: one that all have alike is encoded once."""
    if len(set(map(len, many))) != 1:
        return list(map(encode_headers, many))
    parts: list[list[bytes]] = []
    alike = b""
    for column in zip(*many, strict=True):
        if column.count(column[0]) == len(column):
            alike += encode_headers(column[:1])
        else:
            own = [_prefix(name, -1) if value is None else _prefix(name, len(value)) + value for name, value in column]
            parts += ([alike] * len(many), own)
            alike = b""
    return list(map(b"".join, zip(*parts, [alike] * len(many), strict=True)))


@lru_cache(maxsize=8192)
def _prefix(name: str, size: int) -> bytes:
    """All that stands before a value, or in place of a null one."""
    return _name(name) + _I32.pack(size)


@lru_cache(maxsize=1024)
def _name(name: str) -> bytes:
    raw = name.encode("utf-8", "surrogatepass")
    return _U32.pack(len(raw)) + raw


def decode_headers(blob: bytes) -> Headers:
    """The inverse of `encode_headers`.

    Raises:
        HeadersError: a length that points past the end, or a name that is not UTF-8.
    """
    out: list[tuple[str, bytes | None]] = []
    at, end = 0, len(blob)
    while at < end:
        name, at = _take(blob, at, end, _U32)
        value, at = _take(blob, at, end, _I32)
        try:
            text = (name or b"").decode("utf-8", "surrogatepass")
        except UnicodeDecodeError as error:
            raise HeadersError(f"stored headers are damaged: a name before byte {at} is not UTF-8") from error
        out.append((text, value))
    return tuple(out)


def _take(blob: bytes, at: int, end: int, size: struct.Struct) -> tuple[bytes | None, int]:
    if at + 4 > end:
        raise HeadersError(f"stored headers are damaged: cut at byte {at} of {end}")
    (length,) = size.unpack_from(blob, at)
    at += 4
    if length == -1:
        return None, at
    if length < 0 or at + length > end:
        raise HeadersError(f"stored headers are damaged: length {length} at byte {at - 4} of {end}")
    return blob[at : at + length], at + length


def payload_digest(key: bytes | None, value: bytes | None, headers: bytes) -> bytes:
    """SHA-256 over key, value and encoded headers with their lengths, so that no byte can move between them."""
    return payload_digests((key,), (value,), (headers,))[0]


def payload_digests(
    keys: Sequence[bytes | None], values: Sequence[bytes | None], headers: Sequence[bytes]
) -> list[bytes]:
    """`payload_digest` of many, without a call for each."""
    frame, sha256, join = _LENGTHS.pack, hashlib.sha256, b"".join
    return [
        sha256(
            join(
                (
                    frame(-1 if key is None else len(key), -1 if value is None else len(value), len(blob)),
                    key or b"",
                    value or b"",
                    blob,
                )
            )
        ).digest()
        for key, value, blob in zip(keys, values, headers, strict=True)
    ]
