"""What this host's loopback carries without Arrow and gRPC: the ceiling that Flight figures are read against."""

from __future__ import annotations

import socket
from threading import Thread
from time import perf_counter

_CHUNK = 1 << 20


def raw_socket_gb_per_s(size: int = 1 << 30) -> float:
    """10⁹ bytes a second of one TCP connection on loopback, both ends in this process.

    Args:
        size: bytes to send.
    """
    with socket.create_server(("127.0.0.1", 0)) as listener:
        sender = Thread(target=_send, args=(listener, size), daemon=True)
        sender.start()
        buffer = bytearray(_CHUNK)
        with socket.create_connection(listener.getsockname()) as receiver:
            started = perf_counter()
            while receiver.recv_into(buffer):
                pass
            seconds = perf_counter() - started
        sender.join()
    return size / 1e9 / seconds


def _send(listener: socket.socket, size: int) -> None:
    connection, _ = listener.accept()
    chunk = bytes(_CHUNK)
    with connection:
        for _ in range(size // _CHUNK):
            connection.sendall(chunk)
        connection.sendall(chunk[: size % _CHUNK])
