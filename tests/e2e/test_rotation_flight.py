"""Leaf and CA are replaced while transfers run: none fails, and what was open goes on."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from atom_console.config import Settings, load
from atom_console.engine.flight_session import make_console
from atom_console.engine.rotation import newer_console
from atom_console.errors import AtomError
from atom_console.flight.client import FlightConsole
from atom_console.flight.download import Download
from atom_console.flight.server import ReferenceServer, ServerOptions
from atom_console.flight.sinks import Discard
from atom_console.pki import issuing, rotation
from atom_console.pki.store import Store
from tests.broker.handle import wait_until
from tests.e2e.authority import SECRET, new_authority, server_tls


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return new_authority(tmp_path / "pki")


@pytest.fixture
def settings_for(store: Store, tmp_path: Path) -> Callable[[str], Settings]:
    config = tmp_path / "config.toml"
    config.touch()

    def make(uri: str) -> Settings:
        place = f"grpc+tls://localhost:{uri.rpartition(':')[2]}"
        own = [f"pki.dir={store.root}", "flight.certificate=console", f"flight.uri={place}"]
        return load(config_file=config, environ={}, overrides=own).settings

    return make


def fingerprint(uri: str, store: Store) -> str:
    """The certificate that a new connection is shown."""
    import hashlib
    import socket
    import ssl

    context = ssl.create_default_context(cafile=str(store.bundle))
    port = int(uri.rpartition(":")[2])
    with (
        socket.create_connection(("127.0.0.1", port)) as raw,
        context.wrap_socket(raw, server_hostname="localhost") as s,
    ):
        der = s.getpeercert(binary_form=True)
    assert der is not None
    return hashlib.sha256(der).hexdigest()


class Load:
    """Transfers one after another in some threads, and calls on one client that lives through everything."""

    def __init__(self, settings: Settings, threads: int = 2) -> None:
        self.settings = settings
        self.done = 0
        self.calls = 0
        self.restarts = 0
        self.failed: list[str] = []
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._transfers) for _ in range(threads)]
        self._threads.append(threading.Thread(target=self._calls))
        for thread in self._threads:
            thread.start()

    def _transfers(self) -> None:
        while not self._stop.is_set():
            try:
                with make_console(self.settings, None) as console:
                    summary = Download(console, "mdf-50k", Discard()).run()
                assert summary.progress.rows == 50_000
                self.restarts += summary.restarts
                self.done += 1
            except (AtomError, AssertionError) as error:
                self.failed.append(str(error))

    def _calls(self) -> None:
        console = make_console(self.settings, None)
        while not self._stop.is_set():
            try:
                console = newer_console(console, lambda: make_console(self.settings, None))
                console.list_flights()
                self.calls += 1
            except AtomError as error:
                self.failed.append(str(error))
        console.close()

    def more(self, transfers: int = 6) -> None:
        """Wait until this many more transfers, and calls, have ended well."""
        done, calls = self.done + transfers, self.calls + transfers
        wait_until(lambda: self.failed or (self.done >= done and self.calls >= calls), 60, "transfers go on")

    def stop(self) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join(30)


@pytest.mark.timeout(180)
def test_leaf_and_ca_are_replaced_under_load(store: Store, settings_for: Callable[[str], Settings]) -> None:
    with ReferenceServer(ServerOptions("grpc+tls://127.0.0.1:0", tls=server_tls(store))) as server:
        uri, shown = server.uri, []
        load_ = Load(settings_for(uri))
        try:
            load_.more()
            steps: list[Callable[[], object]] = [
                lambda: issuing.renew(store, SECRET, ["flight-1"]),
                lambda: issuing.renew(store, SECRET, ["console"]),
                lambda: rotation.prepare(store, SECRET),
                lambda: rotation.switch(store, SECRET, distributed=True),
                lambda: rotation.retire(store, peers_switched=True),
            ]
            for step in steps:
                step()
                server.renew(server_tls(store))
                load_.more()
                shown.append(fingerprint(uri, store))
        finally:
            load_.stop()
        assert load_.failed == []
        assert server.uri == uri
        assert shown[0] == shown[1] == shown[2] != shown[3] == shown[4]
        assert server.stats()["rows_sent"] >= 50_000 * load_.done
        assert store.bundle.read_bytes().count(b"BEGIN CERTIFICATE") == 1


def test_an_open_stream_goes_on_when_the_certificate_changes(
    store: Store, settings_for: Callable[[str], Settings]
) -> None:
    with ReferenceServer(ServerOptions("grpc+tls://127.0.0.1:0", plans=("mdf-1M",), tls=server_tls(store))) as server:
        with make_console(settings_for(server.uri), None) as console, console.fetch("mdf-1M") as fetch:
            batches = iter(fetch)
            rows = next(batches).num_rows
            issuing.renew(store, SECRET, ["flight-1", "console"])
            server.renew(server_tls(store))
            assert server.stats()["open_streams"] == 1
            rows += sum(batch.num_rows for batch in batches)
            assert rows == 1_000_000
            assert fetch.progress().resumes == 0


def test_what_was_put_and_counted_stays(store: Store, settings_for: Callable[[str], Settings]) -> None:
    import pyarrow as pa

    batch = pa.record_batch({"a": [1, 2, 3]})
    with ReferenceServer(ServerOptions("grpc+tls://127.0.0.1:0", tls=server_tls(store))) as server:
        with make_console(settings_for(server.uri), None) as console:
            console.put("kept", batch.schema, [batch])
            server.renew(server_tls(store))
            assert console.info("kept").fetch.rows == 3
            assert server.stats()["rows_put"] == 3


def test_a_client_keeps_what_works(store: Store, settings_for: Callable[[str], Settings], tmp_path: Path) -> None:
    """A new certificate that the server does not take is not taken into use."""
    with ReferenceServer(ServerOptions("grpc+tls://127.0.0.1:0", tls=server_tls(store))) as server:
        settings = settings_for(server.uri)
        console: FlightConsole = make_console(settings, None)
        foreign = new_authority(tmp_path / "foreign")
        other = settings.model_copy(update={"pki": settings.pki.model_copy(update={"dir": foreign.root})})
        assert newer_console(console, lambda: make_console(other, None)) is console
        console.ping()
        assert newer_console(console, lambda: make_console(settings, None)) is console
        issuing.renew(store, SECRET, ["console"])
        fresh = newer_console(console, lambda: make_console(settings, None))
        assert fresh is not console
        fresh.ping()
        fresh.close()
