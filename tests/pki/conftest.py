"""Fixtures of the certificate tests."""

from __future__ import annotations

import os

# gRPC prints handshake failures to fd 2 unless it is told before it is imported.
os.environ.setdefault("GRPC_VERBOSITY", "NONE")

from collections.abc import Iterator
from pathlib import Path

import pytest

from atom_console.pki import issuing
from atom_console.pki.issuing import Order
from atom_console.pki.passphrase import Passphrase, PassphraseSource, fixed
from atom_console.pki.store import Store

SECRET = "correct horse battery staple"


@pytest.fixture
def ca_passphrase() -> PassphraseSource:
    return fixed(Passphrase(SECRET))


@pytest.fixture
def pki(tmp_path: Path, ca_passphrase: PassphraseSource) -> Iterator[Store]:
    """A CA with one broker, one Flight server and one operator."""
    store = Store(tmp_path / "pki")
    issuing.init(
        store,
        ca_passphrase,
        [
            Order("broker-1", "broker", ("DNS:broker-1.internal", "DNS:localhost", "IP:127.0.0.1")),
            Order("flight-1", "flight-server", ("DNS:flight-1.internal", "DNS:localhost", "IP:127.0.0.1")),
            Order("ops-alice", "client", ("URI:spiffe://atom.internal/ops/alice",)),
        ],
    )
    return store
