"""The platform's first engine, byte for byte where it matters: DoGet sends messages without a header.

pyarrow cannot be made to send such a stream, so this speaks just enough HTTP/2 (RFC 9113) and gRPC. Header blocks are
not decoded: gRPC's C core writes `:path` as plain text the first time a connection uses it.
"""

from __future__ import annotations

import socket
import struct
from threading import Thread

_PREFACE = 24
_DATA, _HEADERS, _SETTINGS, _PING = 0, 1, 4, 6
_END_STREAM, _END_HEADERS, _ACK = 1, 4, 1


def _literal(name: bytes, value: bytes) -> bytes:
    return b"\x00" + bytes([len(name)]) + name + bytes([len(value)]) + value


_OPENING = b"\x88" + _literal(b"content-type", b"application/grpc")
_OK = _literal(b"grpc-status", b"0")
_UNIMPLEMENTED = _literal(b"grpc-status", b"12")


class UpstreamStub:
    """GetSchema answers FF FF FF FF, DoGet two FlightData without `data_header`; all else is UNIMPLEMENTED."""

    def __init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.uri = f"grpc://127.0.0.1:{self._listener.getsockname()[1]}"
        Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        self._listener.close()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        with connection, connection.makefile("rb") as incoming:
            incoming.read(_PREFACE)
            connection.sendall(_frame(_SETTINGS, 0, 0, b""))
            methods: dict[int, bytes] = {}
            while len(head := incoming.read(9)) == 9:
                length, kind, flags = int.from_bytes(head[:3], "big"), head[3], head[4]
                stream = int.from_bytes(head[5:], "big") & 0x7FFFFFFF
                payload = incoming.read(length)
                if kind == _SETTINGS and not flags & _ACK:
                    connection.sendall(_frame(_SETTINGS, _ACK, 0, b""))
                elif kind == _PING and not flags & _ACK:
                    connection.sendall(_frame(_PING, _ACK, 0, payload))
                elif kind == _HEADERS:
                    methods[stream] = payload
                if kind in (_HEADERS, _DATA) and flags & _END_STREAM:
                    connection.sendall(_answer(stream, methods.pop(stream, b"")))


def _answer(stream: int, headers: bytes) -> bytes:
    if b"GetSchema" in headers:
        messages = [b"\x0a\x04\xff\xff\xff\xff"]  # SchemaResult.schema
    elif b"DoGet" in headers:
        messages = [b"\xc2\x3e\x04rows"] * 2  # FlightData.data_body (field 1000) and nothing else
    else:
        return _frame(_HEADERS, _END_HEADERS | _END_STREAM, stream, _OPENING + _UNIMPLEMENTED)
    body = b"".join(b"\x00" + struct.pack(">I", len(message)) + message for message in messages)
    return (
        _frame(_HEADERS, _END_HEADERS, stream, _OPENING)
        + _frame(_DATA, 0, stream, body)
        + _frame(_HEADERS, _END_HEADERS | _END_STREAM, stream, _OK)
    )


def _frame(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
    return len(payload).to_bytes(3, "big") + bytes([kind, flags]) + stream.to_bytes(4, "big") + payload
