"""The reference Flight server in a child process, with certificates of its own."""

from __future__ import annotations

import json
import secrets
import subprocess
import sys
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

from atom_console.errors import UnreachableError
from atom_console.pki.issuing import Order, init
from atom_console.pki.passphrase import Passphrase, fixed
from atom_console.pki.store import Store

SERVER: Final = "flight-sandbox"
CLIENT: Final = "console"
_END_S: Final = 5.0


class FlightSandbox:
    """The reference server on a free loopback port, until `close`.

    Args:
        directory: where the certificates go, keys included; whoever gave it deletes it.
        mtls: let in only clients that show a certificate of the CA made here.

    Attributes:
        uri: its address.
        issued: certificates made: root, issuing CA, server and client.
        overrides: settings (`name=value`) of a client that may come in.
        environment: the same as variables, for scripts.

    Raises:
        UnreachableError: it did not start.
    """

    def __init__(self, directory: Path, *, mtls: bool = True) -> None:
        self.issued = 0
        self.overrides: tuple[str, ...] = ()
        self.environment: dict[str, str] = {}
        files = self._certify(directory) if mtls else []
        self._process = subprocess.Popen(  # noqa: S603 - our own interpreter and module
            [sys.executable, "-m", "atom_console.sandbox.flight_child", *files],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            start_new_session=True,
        )
        self.uri = self._hello()
        self.overrides += (f"flight.uri={self.uri}",)
        self.environment["ATOM_FLIGHT_URI"] = self.uri

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Stop the server; safe to call twice."""
        try:
            self._process.communicate(timeout=_END_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.communicate()
        except ValueError:
            return  # closed before

    def _certify(self, directory: Path) -> list[str]:
        """A CA, the server's pair and a client's, as the certificate room makes them."""
        store, secret = Store(directory / "pki"), secrets.token_urlsafe(24)
        kept = directory / "passphrase"
        kept.touch(0o600)
        kept.write_text(secret, encoding="ascii")
        orders = (
            Order(SERVER, "flight-server", ("DNS:localhost", "IP:127.0.0.1")),
            Order(CLIENT, "client", ("DNS:console",)),
        )
        self.issued = len(init(store, fixed(Passphrase(secret)), orders))
        server, client = store.find(SERVER), store.find(CLIENT)
        self.overrides = (f"pki.dir={store.root}", f"pki.passphrase_file={kept}", f"flight.certificate={CLIENT}")
        self.environment = {
            "ATOM_FLIGHT_CA": str(store.bundle),
            "ATOM_FLIGHT_CERT": str(client.chain),
            "ATOM_FLIGHT_KEY": str(client.key),
        }
        return [str(server.chain), str(server.key), str(store.bundle)]

    def _hello(self) -> str:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        hello: dict[str, Any] = json.loads(line or '{"error": "the Flight server ended before it began"}')
        if "error" in hello:
            self.close()
            raise UnreachableError(hello["error"], next_step=hello.get("next_step"))
        return str(hello["uri"])
