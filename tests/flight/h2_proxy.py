"""A TCP proxy that reads HTTP/2 frame headers (RFC 9113 §4.1) and can freeze or throttle the link."""

from __future__ import annotations

import socket
import time
from dataclasses import dataclass
from threading import Event, Thread
from typing import Literal
from urllib.parse import urlsplit

_PREFACE = 24
_PING, _GOAWAY, _ACK = 6, 7, 1
_SLICE = 8192

Direction = Literal["to server", "to client"]


@dataclass(frozen=True, slots=True)
class Frame:
    at: float
    direction: Direction
    kind: int
    flags: int
    payload: bytes

    @property
    def is_ping(self) -> bool:
        return self.kind == _PING and not self.flags & _ACK

    @property
    def is_goaway(self) -> bool:
        return self.kind == _GOAWAY


class H2Proxy:
    """Listens at `uri` and forwards to `target`.

    Args:
        target: `grpc://host:port`.
        bytes_per_s: towards the client, None for as fast as it goes.
    """

    def __init__(self, target: str, *, bytes_per_s: int | None = None) -> None:
        address = urlsplit(target)
        self._target = (address.hostname or "", address.port or 0)
        self._rate = bytes_per_s
        self._frozen = Event()
        self._sockets: list[socket.socket] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.uri = f"grpc://127.0.0.1:{self._listener.getsockname()[1]}"
        self.frames: list[Frame] = []
        Thread(target=self._accept, daemon=True).start()

    def freeze(self) -> None:
        """Keep both connections open, acknowledge TCP, and forward nothing any more."""
        self._frozen.set()

    def pings(self, direction: Direction = "to server") -> list[float]:
        return [frame.at for frame in self.frames if frame.is_ping and frame.direction == direction]

    def close(self) -> None:
        for opened in [self._listener, *self._sockets]:
            opened.close()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
                server = socket.create_connection(self._target)
            except OSError:
                return
            self._sockets += [client, server]
            Thread(target=self._pump, args=(client, server, "to server"), daemon=True).start()
            Thread(target=self._pump, args=(server, client, "to client"), daemon=True).start()

    def _pump(self, source: socket.socket, sink: socket.socket, direction: Direction) -> None:
        throttled = self._rate is not None and direction == "to client"
        if throttled:
            source.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
        unread = bytearray()
        to_skip = _PREFACE if direction == "to server" else 0
        try:
            while data := source.recv(_SLICE if throttled else 1 << 18):
                if self._frozen.is_set():
                    continue
                unread += data
                to_skip = self._read_frames(unread, to_skip, direction)
                sink.sendall(data)
                if throttled:
                    time.sleep(len(data) / (self._rate or 1))
        except OSError:
            return

    def _read_frames(self, unread: bytearray, to_skip: int, direction: Direction) -> int:
        while True:
            dropped = min(to_skip, len(unread))
            del unread[:dropped]
            to_skip -= dropped
            if to_skip or len(unread) < 9:
                return to_skip
            length, kind, flags = int.from_bytes(unread[:3], "big"), unread[3], unread[4]
            if kind in (_PING, _GOAWAY):
                if len(unread) < 9 + length:
                    return 0
                self.frames.append(Frame(time.monotonic(), direction, kind, flags, bytes(unread[9 : 9 + length])))
            to_skip = 9 + length
