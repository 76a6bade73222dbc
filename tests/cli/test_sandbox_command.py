"""`sandbox` as a script uses it: it prints what a client needs, and leaves nothing behind."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

from atom_console.config import load
from atom_console.engine.flight_link import flight_connection
from atom_console.flight.client import FlightConsole


def test_flight_over_mutual_tls_and_nothing_left(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "atom_console", "sandbox", "--flight", "--mtls", "--json"]
    child = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env={**os.environ, "TMPDIR": str(tmp_path)})
    try:
        assert child.stdout is not None
        told = json.loads(child.stdout.readline())
        assert told["bootstrap_servers"]
        assert told["flight_uri"].startswith("grpc+tls://127.0.0.1:")
        config = tmp_path / "config.toml"
        config.touch()
        settings = load(config_file=config, environ=told["environment"]).settings
        with FlightConsole(flight_connection(settings), deadline_s=10) as console:
            assert console.schema("q3-forecast").source == "server"
    finally:
        child.send_signal(signal.SIGINT)
        child.communicate(timeout=30)
    assert child.returncode == 130
    assert [path.name for path in tmp_path.iterdir()] == ["config.toml"]
