"""A certificate authority of our own for the end-to-end tests, and what the parties of a cluster take from it."""

from __future__ import annotations

from pathlib import Path

from atom_console.flight.server import ServerTls
from atom_console.pki import issuing
from atom_console.pki.export import load_pair
from atom_console.pki.issuing import Order
from atom_console.pki.passphrase import Passphrase, PassphraseSource, fixed, no_passphrase
from atom_console.pki.store import Store
from tests.broker.tls import ListenerTls

PHRASE = "planted-correct-horse-battery-staple"
SECRET: PassphraseSource = fixed(Passphrase(PHRASE))
LOOPBACK = ("DNS:localhost", "IP:127.0.0.1")


def new_authority(directory: Path) -> Store:
    """Root, issuing CA, a broker, a Flight server and this console's client."""
    store = Store(directory)
    orders = [
        Order("broker-1", "broker", LOOPBACK),
        Order("flight-1", "flight-server", LOOPBACK),
        Order("console", "client", ("URI:spiffe://atom.internal/ops/console",)),
    ]
    issuing.init(store, SECRET, orders)
    return store


def listener_tls(store: Store, directory: Path) -> ListenerTls:
    """The broker's files, as Kafka reads them: key and chain in one PEM, and the trusted roots. Written whole."""
    entry = store.find("broker-1")
    assert entry.key is not None
    made = ListenerTls(directory / "keystore.pem", directory / "truststore.pem")
    for path, data in (
        (made.keystore, entry.key.read_bytes() + entry.chain.read_bytes()),
        (made.truststore, store.bundle.read_bytes()),
    ):
        beside = path.with_suffix(".new")
        beside.write_bytes(data)
        beside.rename(path)
    return made


def server_tls(store: Store) -> ServerTls:
    """The Flight server's certificate, and the roots of the clients that it lets in."""
    pair = load_pair(store, "flight-1", no_passphrase)
    return ServerTls(pair.chain_pem, pair.key_pem, pair.trust_pem)
