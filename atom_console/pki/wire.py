"""Just enough of each protocol to hear whether the peer speaks it: Kafka ApiVersions, and the opening of HTTP/2."""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Final

from atom_console.pki.translate import Transport

_CORRELATION: Final = 0x61746F6D
_CLIENT_ID: Final = b"atom-console"
# ApiVersions (key 18) version 0: every broker answers it, before any authentication (KIP-35).
_API_VERSIONS: Final = struct.pack(">hhih", 18, 0, _CORRELATION, len(_CLIENT_ID)) + _CLIENT_ID
_PREFACE: Final = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes(3) + b"\x04" + bytes(5)
_TLS_ALERT: Final = 0x15
_ENOUGH: Final = 64


def greeting(transport: Transport) -> bytes:
    """The first bytes of a client."""
    if transport is Transport.KAFKA:
        return struct.pack(">i", len(_API_VERSIONS)) + _API_VERSIONS
    return _PREFACE


def listen(read: Callable[[int], bytes], transport: Transport) -> bytes:
    """The peer's first bytes, as far as they tell anything; empty where it closed."""
    heard = b""
    while len(heard) < 9 and len(heard) < _ENOUGH:
        more = read(_ENOUGH)
        if not more:
            break
        heard += more
        if is_tls_alert(heard):
            break
    return heard


def understood(heard: bytes, transport: Transport) -> bool:
    """Whether the peer's first bytes are an answer of the protocol."""
    if transport is Transport.KAFKA:
        return len(heard) >= 8 and struct.unpack_from(">i", heard, 4)[0] == _CORRELATION
    # A server opens with a SETTINGS frame (RFC 9113 §3.4): type 4, stream 0.
    return len(heard) >= 9 and heard[3] == 4 and heard[5:9] == bytes(4)


def is_tls_alert(heard: bytes) -> bool:
    """Whether a plaintext client was answered with a TLS record."""
    return len(heard) >= 3 and heard[0] == _TLS_ALERT and heard[1] == 3
