from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from typing import Any, NamedTuple

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from atom_console.flight.client import FlightConsole
from atom_console.flight.connection import Connection, Identity
from atom_console.flight.fetch_plan import Limits
from atom_console.flight.server import ReferenceServer, ServerOptions, ServerTls

PATIENT = Limits(idle_timeout_s=20)


class Pair(NamedTuple):
    certificate: bytes
    key: bytes


class TestCa:
    """A root that issues what the tests need, faulty certificates too."""

    __test__ = False

    def __init__(self, name: str) -> None:
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        builder = _builder(self._name, self._name, self._key, days=1)
        builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        self.pem = builder.sign(self._key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)

    def issue(self, name: str, *, server: bool = False, host: str = "localhost", days: int = 1) -> Pair:
        key = ec.generate_private_key(ec.SECP256R1())
        usage = ExtendedKeyUsageOID.SERVER_AUTH if server else ExtendedKeyUsageOID.CLIENT_AUTH
        names: list[x509.GeneralName] = [x509.DNSName(host)]
        if host == "localhost":
            names.append(x509.IPAddress(ip_address("127.0.0.1")))
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        builder = (
            _builder(subject, self._name, key, days=days)
            .add_extension(x509.ExtendedKeyUsage([usage]), critical=False)
            .add_extension(x509.SubjectAlternativeName(names), critical=False)
        )
        certificate = builder.sign(self._key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)
        return Pair(
            certificate,
            key.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            ),
        )


def _builder(subject: x509.Name, issuer: x509.Name, key: Any, *, days: int) -> x509.CertificateBuilder:
    start = datetime.now(UTC) - timedelta(days=2)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(start)
        .not_valid_after(start + timedelta(days=2 + days))
    )


@pytest.fixture(scope="session")
def test_ca() -> TestCa:
    return TestCa("root of the tests")


@pytest.fixture(scope="session")
def client_identity(test_ca: TestCa) -> Identity:
    return Identity(*test_ca.issue("operator"))


@pytest.fixture(scope="session")
def server_tls(test_ca: TestCa) -> dict[str, ServerTls | None]:
    pair = test_ca.issue("flight", server=True)
    return {"plaintext": None, "TLS": ServerTls(*pair), "mTLS": ServerTls(*pair, client_ca=test_ca.pem)}


@pytest.fixture
def serve(server_tls: dict[str, ServerTls | None]) -> Iterator[Callable[..., ReferenceServer]]:
    """`serve(transport="TLS", plans=…)`: a reference server that ends with the test."""
    with ExitStack() as running:

        def start(transport: str = "plaintext", **options: Any) -> ReferenceServer:
            tls = server_tls[transport]
            tls = options.pop("tls", tls)
            options.setdefault("listen", f"grpc{'+tls' if tls else ''}://127.0.0.1:0")
            return running.enter_context(ReferenceServer(ServerOptions(tls=tls, **options)))

        yield start


@pytest.fixture
def console(test_ca: TestCa, client_identity: Identity) -> Iterator[Callable[..., FlightConsole]]:
    """`console(uri, transport="TLS", …)`: a client that ends with the test."""
    with ExitStack() as running:

        def connect(
            uri: str, transport: str = "plaintext", *, limits: Limits = PATIENT, **options: Any
        ) -> FlightConsole:
            if transport in {"TLS", "mTLS"}:
                options.setdefault("ca", test_ca.pem)
            if transport == "mTLS":
                options.setdefault("identity", client_identity)
            return running.enter_context(FlightConsole(Connection(uri, **options), limits=limits, deadline_s=10))

        yield connect
