"""Planted keys, passphrases, passwords and tokens stay out of logs, tracebacks, `config show`, audit and output."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from atom_console.pki.store import Store
from tests.e2e.authority import PHRASE, new_authority

PASSWORD = "planted-sasl-password"
KEY_PASSWORD = "planted-key-password"
TOKEN = "planted-bearer-token"
STORE_PASSWORD = "planted-store-password"
PLANTED = (PHRASE, PASSWORD, KEY_PASSWORD, TOKEN, STORE_PASSWORD)

# The whole command line, with one function of ours replaced by one that fails with every secret in its hands.
CRASH = """
import sys
from atom_console.cli.main import main
from atom_console.pki import issuing
def fails(store, passphrase, *rest, **more):
    secret = passphrase("a key").reveal()
    key = store.find("broker-1").key.read_bytes()
    raise ValueError(f"{secret!r} {key!r}")
issuing.renew = fails
sys.exit(main(sys.argv[1:]))
"""


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return new_authority(tmp_path / "pki")


def _write(path: Path, text: str) -> str:
    path.touch(mode=0o600)
    path.write_text(text)
    return str(path)


def key_lines(store: Store) -> list[str]:
    """The lines of every key file; any of them anywhere else is a leak."""
    lines: list[str] = []
    for path in store.root.rglob("key.pem"):
        lines += [row for row in path.read_text().splitlines() if "-----" not in row and len(row) > 20]
    assert lines
    return lines


@pytest.mark.timeout(180)
def test_no_secret_is_ever_told(store: Store, tmp_path: Path) -> None:
    log = tmp_path / "console.log"
    environ = {name: value for name, value in os.environ.items() if not name.startswith(("ATOM_", "XDG_"))} | {
        "HOME": str(tmp_path),
        "ATOM_LOG_FILE": str(log),
        "ATOM_PKI_DIR": str(store.root),
        "ATOM_PKI_PASSPHRASE": PHRASE,
        "ATOM_DLQ_DIR": str(tmp_path / "dlq"),
        "ATOM_KAFKA_BOOTSTRAP_SERVERS": "127.0.0.1:1",
        "ATOM_KAFKA_CERTIFICATE": "console",
        "ATOM_KAFKA_SECURITY_PROTOCOL": "sasl_ssl",
        "ATOM_KAFKA_SASL_MECHANISM": "SCRAM-SHA-512",
        "ATOM_KAFKA_SASL_USERNAME": "console",
        "ATOM_KAFKA_SASL_PASSWORD": PASSWORD,
        "ATOM_KAFKA_SSL_KEY_PASSWORD": KEY_PASSWORD,
        "ATOM_FLIGHT_URI": "grpc+tls://127.0.0.1:1",
        "ATOM_FLIGHT_CERTIFICATE": "console",
        "ATOM_FLIGHT_TOKEN_FILE": _write(tmp_path / "token", TOKEN),
    }
    said: list[str] = []

    def atom(*arguments: str, code: str | None = None) -> int:
        head = ["-m", "atom_console"] if code is None else ["-c", code]
        done = subprocess.run(
            [sys.executable, *head, *arguments], env=environ, capture_output=True, timeout=60, check=False
        )
        said.append((done.stdout + done.stderr).decode("utf-8", "replace"))
        return done.returncode

    passfile = _write(tmp_path / "store-password", STORE_PASSWORD)
    assert atom("config", "show", "--origin", "--json") == 0
    assert atom("config", "show") == 0
    assert atom("certs", "issue", "svc", "--profile", "client", "--san", "DNS:svc.eu", "--json") == 0
    assert atom("certs", "renew", "console", "--json") == 0
    assert (
        atom(
            "certs", "export", "svc", "--format", "pkcs12", "--out", str(tmp_path / "out"), "--password-file", passfile
        )
        == 0
    )
    for form in ("redpanda", "kafka", "librdkafka", "go", "tonic", "pyarrow"):
        assert atom("certs", "export", "svc", "--format", form) == 0
    assert atom("certs", "show", "svc", "--json") == 0
    assert atom("certs", "rotate-ca", "--yes", "--json") == 0
    assert atom("certs", "audit", "--rows", "--json") == 0
    assert atom("certs", "verify", "svc", "--json") == 0
    assert atom("topics") != 0
    assert atom("flight", "ping") != 0
    assert atom("doctor", "--json") != 0
    assert atom("certs", "renew", "svc", code=CRASH) == 1
    assert "a fault of atom-console itself: ValueError" in said[-1]
    assert "ValueError" in log.read_text()

    kept = [path for path in store.root.rglob("*") if path.is_file() and path.name != "key.pem"]
    told = "\n".join([*said, log.read_text(), *(path.read_bytes().decode("latin-1") for path in kept)])
    found = [secret for secret in (*PLANTED, *key_lines(store)) if secret in told]
    assert found == []
    readable = [
        path for path in (*store.root.rglob("key.pem"), *(tmp_path / "out").iterdir()) if path.stat().st_mode & 0o077
    ]
    assert readable == []
