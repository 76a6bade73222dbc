"""A TCP proxy whose path can be cut: connections stay open and nothing passes, or requests pass and answers do not."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace

from tests.broker.broker import KafkaBroker
from tests.broker.handle import BrokerHandle
from tests.broker.ports import free_ports


class Proxy:
    """Forwards `port` to a broker's port, both on loopback. What is held back passes after `mend`."""

    def __init__(self, target: int, *, port: int = 0) -> None:
        self._target = target
        self._requests, self._answers = threading.Event(), threading.Event()
        self.mend()
        self._listener = socket.create_server(("127.0.0.1", port))
        self._listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        self.port: int = self._listener.getsockname()[1]
        self._sockets: list[socket.socket] = []
        threading.Thread(target=self._accept, daemon=True).start()

    def cut(self) -> None:
        """Hold everything back."""
        self._requests.clear()
        self._answers.clear()

    def cut_answers(self) -> None:
        """Hold back what the broker says; it still gets what is said to it."""
        self._answers.clear()

    def mend(self) -> None:
        """Let everything pass."""
        self._requests.set()
        self._answers.set()

    def hang_up(self) -> None:
        """Break the connections there are; new ones may come."""
        sockets, self._sockets = self._sockets, []
        for one in sockets:
            _close(one)

    def close(self) -> None:
        """Close the door and every connection."""
        self.mend()
        _close(self._listener)
        self.hang_up()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                self._requests.wait()
                server = socket.create_connection(("127.0.0.1", self._target))
                self._sockets += [client, server]
                for ways in ((client, server, self._requests), (server, client, self._answers)):
                    threading.Thread(target=_pump, args=ways, daemon=True).start()


def _close(one: socket.socket) -> None:
    with suppress(OSError):
        one.shutdown(socket.SHUT_RDWR)
    one.close()


def _pump(source: socket.socket, sink: socket.socket, is_open: threading.Event) -> None:
    with suppress(OSError):
        while True:
            is_open.wait()
            data = source.recv(2048)
            is_open.wait()
            if not data:
                sink.shutdown(socket.SHUT_WR)
                return
            sink.sendall(data)


@contextmanager
def behind_a_proxy(make_broker: Callable[..., KafkaBroker]) -> Iterator[tuple[BrokerHandle, Proxy]]:
    """A broker that tells its clients the proxy's address, and the proxy."""
    real, ssl, controller, door = free_ports(4)
    proxy = Proxy(real, port=door)
    listeners = f"PLAINTEXT://127.0.0.1:{door},SSL://127.0.0.1:{ssl}"
    broker = make_broker(ports=[real, ssl, controller], properties={"advertised.listeners": listeners})
    try:
        yield replace(broker.handle, bootstrap=f"127.0.0.1:{door}"), proxy
    finally:
        proxy.close()
