"""Certificates: issuing a fleet, verifying a pair, and what mutual TLS costs a first call beside plain TLS."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from statistics import median

from atom_console.pki import issuing
from atom_console.pki.export import Pair, load_pair
from atom_console.pki.issuing import Order
from atom_console.pki.passphrase import Passphrase, fixed, no_passphrase
from atom_console.pki.store import Store
from atom_console.pki.verify import pair_of, verify
from benchmarks.harness import Result, in_turn, seconds

_LEAVES = 100


def run() -> Iterator[Result]:
    """The budgets: 100 P-256 leaves under 1 s; a pair verified under 20 ms; mTLS within 1.5x of plain TLS."""
    with tempfile.TemporaryDirectory() as directory:
        store, secret = Store(Path(directory) / "pki"), fixed(Passphrase("a passphrase for a benchmark"))
        issuing.init(store, secret, [Order("server", "flight-server", ("DNS:localhost",))])
        issuing.issue(store, secret, [Order("client", "client", ("DNS:client.internal",))])

        def fleet(batch: int) -> None:
            orders = [Order(f"c{batch}-{i}", "client", (f"DNS:c{i}.internal",)) for i in range(_LEAVES)]
            issuing.issue(store, secret, orders)

        taken = median(seconds(lambda batch=batch: fleet(batch)) for batch in range(3))  # type: ignore[misc]
        yield Result(f"issue {_LEAVES} P-256 leaves, on disk", taken, "s", None, None, "< 1 s", taken < 1)

        pair = pair_of(store, "client")
        verify(pair)
        taken_ms = median(seconds(lambda: verify(pair)) for _ in range(20)) * 1000
        name = "verify one pair: files, chain, handshake in memory"
        yield Result(name, taken_ms, "ms", None, None, "< 20 ms", taken_ms < 20)

        server, client = load_pair(store, "server", no_passphrase), load_pair(store, "client", no_passphrase)
        plain, mutual = _first_calls(server, client)
        yield Result(
            "handshake and first call, mTLS beside TLS",
            mutual * 1000,
            "ms",
            plain * 1000,
            plain / mutual,
            "<= 1.5x",
            mutual <= 1.5 * plain,
        )


def _first_calls(server: Pair, client: Pair) -> list[float]:
    """Seconds of connect, handshake and one call, of plain TLS and of mutual TLS, in turn."""
    # gRPC prints handshakes to fd 2 unless it is told before it is imported.
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")
    from pyarrow import flight

    class Answering(flight.FlightServerBase):  # type: ignore[misc] # pyarrow ships no types
        def list_actions(self, context: object) -> list[tuple[str, str]]:
            return [("ping", "answers")]

    def call(port: int, **options: bytes) -> None:
        with flight.FlightClient(f"grpc+tls://localhost:{port}", tls_root_certs=client.trust_pem, **options) as made:
            assert list(made.list_actions())

    tls = [(server.chain_pem, server.key_pem)]
    plain = Answering("grpc+tls://localhost:0", tls_certificates=tls)
    mutual = Answering(
        "grpc+tls://localhost:0", tls_certificates=tls, verify_client=True, root_certificates=server.trust_pem
    )
    with plain, mutual:
        return in_turn(
            lambda: call(plain.port),
            lambda: call(mutual.port, cert_chain=client.chain_pem, private_key=client.key_pem),
            rounds=40,
        )
