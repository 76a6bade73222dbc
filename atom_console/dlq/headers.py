"""Kafka headers as one BLOB, exactly: order, duplicates, empty and null values are kept.

Layout, all integers little endian: for each header `u32` length of the name, the name in UTF-8, `i32` length of the
value (−1 for a null value), the value. No header at all is an empty BLOB.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import lru_cache
from typing import NamedTuple

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
    start, at, end = 0, 0, len(blob)
    unsigned, signed = _U32.unpack_from, _I32.unpack_from
    try:
        while at < end:
            start = at
            at += 4 + unsigned(blob, at)[0]
            name = _text(blob[start + 4 : at])
            (size,) = signed(blob, at)
            at += 4
            if size >= 0:
                out.append((name, blob[at : at + size]))
                at += size
            elif size == -1:
                out.append((name, None))
            else:
                raise _damaged(start, end)
    except (struct.error, UnicodeDecodeError) as error:
        raise _damaged(start, end) from error
    if at != end:
        raise _damaged(start, end)
    return tuple(out)


def decode_columns(blobs: Iterable[bytes]) -> Iterator[tuple[tuple[str, ...], tuple[bytes | None, ...]]]:
    """`decode_headers` of many, as (names, values) of each.

    Mostly they differ in their values only: one as long as an earlier one is read as that one was laid out, and taken
    where all names and lengths are its.

    Raises:
        HeadersError: as `decode_headers`.
    """
    layouts: dict[int, _Layout] = {}
    for blob in blobs:
        layout = layouts.get(len(blob))
        if layout is not None:
            parts = layout.unpack(blob)
            if parts[::2] == layout.prefixes:
                yield layout.names, parts[1::2]
                continue
        headers = decode_headers(blob)
        names, values = zip(*headers, strict=True) if headers else ((), ())
        yield names, values
        if None not in values:
            layouts[len(blob)] = _layout(names, tuple(map(len, values)))


class _Layout(NamedTuple):
    unpack: Callable[[bytes], tuple[bytes, ...]]
    prefixes: tuple[bytes, ...]
    names: tuple[str, ...]


@lru_cache(maxsize=1024)
def _layout(names: tuple[str, ...], sizes: tuple[int, ...]) -> _Layout:
    prefixes = tuple(map(_prefix, names, sizes))
    parts = "".join(f"{len(prefix)}s{size}s" for prefix, size in zip(prefixes, sizes, strict=True))
    return _Layout(struct.Struct(parts).unpack, prefixes, names)


@lru_cache(maxsize=1024)
def _text(raw: bytes) -> str:
    return raw.decode("utf-8", "surrogatepass")


def _damaged(start: int, end: int) -> HeadersError:
    return HeadersError(f"stored headers are damaged: the one at byte {start} of {end} is cut, or no header at all")


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
