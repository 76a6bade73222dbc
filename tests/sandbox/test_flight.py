"""The embedded Flight server: over mutual TLS with certificates made here, gone when it is closed."""

from __future__ import annotations

from pathlib import Path

import pytest

from atom_console.config import load
from atom_console.engine.flight_link import flight_connection
from atom_console.errors import AtomError, UnreachableError
from atom_console.flight.client import FlightConsole
from atom_console.flight.connection import Connection
from atom_console.flight.download import Download
from atom_console.flight.sinks import Discard
from atom_console.sandbox.flight import FlightSandbox


def connection(sandbox: FlightSandbox, tmp_path: Path) -> Connection:
    config = tmp_path / "config.toml"
    config.touch()
    return flight_connection(load(config_file=config, environ={}, overrides=sandbox.overrides).settings)


def test_it_serves_over_mutual_tls_and_only_to_its_own_clients(tmp_path: Path) -> None:
    with FlightSandbox(tmp_path) as sandbox:
        assert sandbox.issued == 4
        link = connection(sandbox, tmp_path)
        assert link.transport == "mTLS"
        with FlightConsole(link, deadline_s=10) as console:
            rows = {entry.plan_id: entry.rows for entry in console.list_flights()}
            assert rows == {"q3-forecast": 500_000, "headcount-2027": 48_112, "ledger-1GB": 10_400_000, "draft": 0}
            promised = console.schema("headcount-2027")
            assert promised.schema.names[-1] == "custom_dimensions"
            summary = Download(console, "headcount-2027", Discard(), promised=promised).run()
            assert summary.progress.rows == 48_112
        with FlightConsole(Connection(link.uri, ca=link.ca), deadline_s=10) as stranger, pytest.raises(AtomError):
            stranger.list_flights()
    with FlightConsole(link, deadline_s=5) as console, pytest.raises(UnreachableError):
        console.list_flights()


def test_the_variables_for_scripts_let_a_client_in(tmp_path: Path) -> None:
    config = tmp_path / "config.toml"
    config.touch()
    with FlightSandbox(tmp_path) as sandbox:
        loaded = load(config_file=config, environ=sandbox.environment)
        with FlightConsole(flight_connection(loaded.settings), deadline_s=10) as console:
            assert len(console.list_flights()) == 4


def test_plaintext_needs_no_certificates(tmp_path: Path) -> None:
    with FlightSandbox(tmp_path, mtls=False) as sandbox:
        assert (sandbox.issued, set(sandbox.environment)) == (0, {"ATOM_FLIGHT_URI"})
        link = connection(sandbox, tmp_path)
        assert link.transport == "plaintext"
        with FlightConsole(link, deadline_s=10) as console:
            assert console.schema("draft").source == "server"
    sandbox.close()


def test_keys_and_the_passphrase_are_for_this_user_only(tmp_path: Path) -> None:
    with FlightSandbox(tmp_path):
        secrets = [*tmp_path.rglob("key.pem"), tmp_path / "passphrase"]
        assert len(secrets) == 5
        assert all(path.stat().st_mode & 0o077 == 0 for path in secrets)
