"""Every fault of the tables, on both sides of both transports, is named by its own id and by no other.

Real peers: librdkafka and pyarrow as clients; an OpenSSL server that speaks Kafka's greeting, a pyarrow Flight server.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import socket
import ssl
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from atom_console.pki.findings import RULES, Severity
from atom_console.pki.passphrase import Passphrase, fixed
from atom_console.pki.probe import Target
from atom_console.pki.translate import Transport
from atom_console.pki.verify import Pair, diagnose, explain, verify
from tests.pki import forge
from tests.pki.forge import Made, make, write
from tests.pki.peers import flight_peer, grpc_says, kafka_peer, librdkafka_says, server_context

# One worker, so that the table at the end has all of them.
pytestmark = pytest.mark.xdist_group("certificate-faults")
TABLE: list[tuple[str, str, str, str, str]] = []


@pytest.fixture(scope="module", autouse=True)
def _table() -> Iterator[None]:
    """Prints at the end what the cases found; `pytest -s` shows it."""
    yield
    print(f"\n{'SIDE':8} {'TRANSPORT':9} {'FAULT':38} {'NAMED':24} WHAT THE CLIENT LIBRARY SAID")
    for side, transport, what, rule, text in TABLE:
        print(f"{side:8} {transport:9} {what:38} {rule:24} {text}")
    print(f"{len(TABLE)} faults, {len({row[3] for row in TABLE})} ids")


@dataclass
class World:
    """A good CA and good pairs; a case spoils one thing."""

    root: Made = field(default_factory=lambda: make("root", ca=True, pathlen=1))
    rogue: Made = field(default_factory=lambda: make("rogue-root", ca=True))

    def __post_init__(self) -> None:
        self.issuing = make("issuing", self.root, ca=True, pathlen=0)
        self.rogue_issuing = make("rogue-issuing", self.rogue, ca=True, pathlen=0)
        self.server = make("server", self.issuing)
        self.client = make("client", self.issuing, eku=(forge.CLIENT,), sans=("URI:spiffe://atom/ops/a",))


@pytest.fixture(scope="module")
def world() -> World:
    return World()


@dataclass
class Setup:
    """What a case runs with: what the server shows and believes, and what the client is configured with."""

    server: bytes
    server_key: bytes
    server_ca: bytes | None
    server_crl: bytes | None
    client: bytes | None
    client_key: bytes | None
    ca: bytes | None
    crl: bytes | None = None
    host: str = "localhost"
    passphrase: str | None = None
    key_mode: int = 0o600
    known: tuple = ()


def good(world: World) -> Setup:
    return Setup(
        world.server.pem(), world.server.key_pem(), world.root.pem(), None,
        world.client.pem(), world.client.key_pem(), world.root.pem(),
        known=(world.root.cert, world.issuing.cert),
    )  # fmt: skip


Spoil = Callable[[World, Setup], None]


def shows(**changes: object) -> Spoil:
    """The server shows a certificate of the good CA with this fault."""

    def spoil(world: World, setup: Setup) -> None:
        made = make("server", world.issuing, **changes)
        setup.server, setup.server_key = made.pem(), made.key_pem()

    return spoil


def has(**changes: object) -> Spoil:
    """The client has a certificate of the good CA with this fault."""

    def spoil(world: World, setup: Setup) -> None:
        made = make("client", world.issuing, **{"eku": (forge.CLIENT,), **changes})
        setup.client, setup.client_key = made.pem(), made.key_pem()

    return spoil


def sets(**changes: object) -> Spoil:
    def spoil(_world: World, setup: Setup) -> None:
        for name, value in changes.items():
            setattr(setup, name, value)

    return spoil


def server_of(build: Callable[[World], Made], *, chain: bool = True) -> Spoil:
    def spoil(world: World, setup: Setup) -> None:
        made = build(world)
        setup.server, setup.server_key = made.pem(chain=chain), made.key_pem()

    return spoil


def client_of(build: Callable[[World], Made], *, chain: bool = True) -> Spoil:
    def spoil(world: World, setup: Setup) -> None:
        made = build(world)
        setup.client, setup.client_key = made.pem(chain=chain), made.key_pem()

    return spoil


def _old_issuing(world: World) -> Made:
    return make("old-issuing", world.root, ca=True, start=-90, end=-1)


def _limited(world: World) -> Made:
    return make("limited", world.root, ca=True, pathlen=0, permitted=("DNS:eu.internal",))


def _not_ca(world: World) -> Made:
    return make("no-ca", world.root, sans=("DNS:no-ca",))


def _deep(world: World) -> Made:
    below = make("below", world.issuing, ca=True)
    return make("server", below)


def _same_name(world: World) -> Made:
    return make("server", make("root", ca=True))


def _sha1(world: World) -> Made:
    """cryptography does not sign with SHA-1 any more; openssl does."""
    from cryptography import x509

    made = make("server", world.issuing)
    import tempfile

    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        key = write(directory / "k.pem", made.key_pem())
        ca = write(directory / "ca.pem", world.issuing.pem(chain=False))
        ca_key = write(directory / "cak.pem", world.issuing.key_pem())
        text = "subjectAltName=DNS:localhost,IP:127.0.0.1\nbasicConstraints=critical,CA:FALSE\n"
        text += "extendedKeyUsage=serverAuth\nkeyUsage=critical,digitalSignature\n"
        text += "subjectKeyIdentifier=hash\nauthorityKeyIdentifier=keyid\n"
        extensions = write(directory / "ext", text.encode())
        run = ["openssl", "req", "-new", "-key", str(key), "-subj", "/CN=server", "-out", str(directory / "csr")]
        subprocess.run(run, check=True, capture_output=True)
        run = ["openssl", "x509", "-req", "-sha1", "-days", "30", "-in", str(directory / "csr"), "-CA", str(ca)]
        run += ["-CAkey", str(ca_key), "-set_serial", "77", "-extfile", str(extensions), "-out", str(directory / "c")]
        subprocess.run(run, check=True, capture_output=True)
        cert = x509.load_pem_x509_certificate((directory / "c").read_bytes())
    return Made(cert, made.key, [world.issuing])


def _revoked_server(world: World, setup: Setup) -> None:
    setup.crl = forge.crl(world.issuing, (world.server,)) + forge.crl(world.root)


def _old_crl(world: World, setup: Setup) -> None:
    setup.crl = forge.crl(world.issuing, due=-1) + forge.crl(world.root)


def _half_crl(world: World, setup: Setup) -> None:
    setup.crl = forge.crl(world.root)


def _revoked_client(world: World, setup: Setup) -> None:
    setup.server_crl = forge.crl(world.issuing, (world.client,)) + forge.crl(world.root)
    setup.crl = setup.server_crl


def _mismatch(world: World, setup: Setup) -> None:
    setup.client_key = world.server.key_pem()


def _encrypted(world: World, setup: Setup) -> None:
    setup.client_key = world.client.key_pem(b"a passphrase of mine")


def _encrypted_wrong(world: World, setup: Setup) -> None:
    _encrypted(world, setup)
    setup.passphrase = "not that one"


def _strict_ca(world: World) -> Made:
    return make("server", make("loose", world.root, ca=True, usage=False))


# id → how to spoil the server; the client must name it, whatever librdkafka and gRPC say.
SERVER_FAULTS: list[tuple[str, str, Spoil]] = [
    ("expired", "server certificate expired", shows(start=-90, end=-1)),
    ("not-yet-valid", "server certificate not valid yet", shows(start=1)),
    ("issuer-unknown", "server of another CA, chain sent", server_of(lambda w: make("server", w.rogue_issuing))),
    ("self-signed", "self-signed server", server_of(lambda w: make("server"))),
    ("intermediate-missing", "server sends the leaf alone", server_of(lambda w: w.server, chain=False)),
    ("issuer-signature", "CA of the same name, other key", server_of(_same_name)),
    ("issuer-expired", "intermediate expired", server_of(lambda w: make("server", _old_issuing(w)))),
    ("issuer-not-ca", "issued by a leaf", server_of(lambda w: make("server", _not_ca(w)))),
    ("path-too-long", "a CA below pathlen 0", server_of(_deep)),
    ("name-constraint", "outside the permitted names", server_of(lambda w: make("server", _limited(w)))),
    ("san-missing", "server without SAN, CN only", shows(sans=())),
    ("name-mismatch", "dialled by another name", shows(sans=("DNS:other.internal", "IP:10.0.0.9"))),
    ("address-mismatch", "dialled by address, SAN has names", lambda w, s: (
        shows(sans=("DNS:localhost",))(w, s), sets(host="127.0.0.1")(w, s))),
    ("eku-server", "server with clientAuth only", shows(eku=(forge.CLIENT,))),
    ("key-weak", "RSA 1024 on the server", shows(key=forge.weak_key())),
    ("signature-weak", "SHA-1 signature", server_of(_sha1)),
    ("strict-x509", "CA without key usage", server_of(_strict_ca)),
    ("revoked", "server revoked", _revoked_server),
    ("crl-expired", "revocation list past due", _old_crl),
    ("crl-missing", "list of the intermediate is missing", _half_crl),
    ("trust-missing", "client without CA bundle", sets(ca=None)),
    ("trust-unparsable", "CA bundle is garbage", sets(ca=b"not a certificate")),
]  # fmt: skip

GARBAGE_KEY = b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----"
CLIENT_FAULTS: list[tuple[str, str, Spoil]] = [
    ("certificate-required", "no client certificate", sets(client=None, client_key=None)),
    ("peer-distrusts-issuer", "client of another CA", client_of(lambda w: make("client", w.rogue_issuing))),
    ("peer-distrusts-issuer", "self-signed client", client_of(lambda w: make("client"))),
    ("intermediate-missing", "client sends the leaf alone", client_of(lambda w: w.client, chain=False)),
    ("expired", "client certificate expired", has(start=-90, end=-1)),
    ("not-yet-valid", "client certificate not valid yet", has(start=1)),
    ("eku-client", "client with serverAuth only", has(eku=(forge.SERVER,))),
    ("issuer-expired", "client's intermediate expired", client_of(lambda w: make("client", _old_issuing(w)))),
    ("key-mismatch", "key of another certificate", _mismatch),
    ("key-encrypted", "encrypted key, no passphrase", _encrypted),
    ("key-passphrase-wrong", "encrypted key, wrong passphrase", _encrypted_wrong),
    ("key-unparsable", "key is garbage", sets(client_key=GARBAGE_KEY)),
    ("certificate-unparsable", "certificate is garbage", sets(client=b"garbage")),
    ("key-missing", "certificate without key", sets(client_key=None)),
    ("certificate-missing", "key without certificate", sets(client=None)),
    ("key-exposed", "key readable by the group", sets(key_mode=0o640)),
    ("key-weak", "RSA 1024 on the client", has(key=forge.weak_key())),
    ("revoked", "client revoked", _revoked_client),
]  # fmt: skip


def configure(directory: Path, setup: Setup) -> Pair:
    def put(name: str, data: bytes | None, mode: int = 0o600) -> Path | None:
        return None if data is None else write(directory / name, data, mode)

    return Pair(
        "console",
        put("client.pem", setup.client),
        put("client.key", setup.client_key, setup.key_mode),
        put("ca.pem", setup.ca),
        put("crl.pem", setup.crl),
        setup.known,
    )


@contextlib.contextmanager
def served(transport: Transport, setup: Setup) -> Iterator[int]:
    if transport is Transport.KAFKA:
        context = server_context(setup.server, setup.server_key, setup.server_ca, setup.server_crl)
        with kafka_peer(context) as port:
            yield port
    else:
        with flight_peer(setup.server, setup.server_key, setup.server_ca) as port:
            yield port


def says(transport: Transport, setup: Setup, pair: Pair, port: int) -> str:
    if transport is Transport.KAFKA:
        settings = {"security.protocol": "ssl", "bootstrap.servers": f"{setup.host}:{port}"}
        for name, path in (("ca", pair.ca), ("certificate", pair.cert), ("key", pair.key), ("crl", pair.crl)):
            if path is not None:
                settings[f"ssl.{name}.location"] = str(path)
        if setup.passphrase:
            settings["ssl.key.password"] = setup.passphrase
        return librdkafka_says(port, settings)
    read = {"tls_root_certs": pair.ca, "cert_chain": pair.cert, "private_key": pair.key}
    options = {name: path.read_bytes() for name, path in read.items() if path is not None}
    return grpc_says(f"grpc+tls://{setup.host}:{port}", **options)


def heard_nothing(text: str) -> bool:
    """The library was content, or told nothing of the connection: there is no text to misread."""
    return not text or "brokers are down" in text or "Python exception" in text


def errors(findings) -> set[str]:
    return {f.id for f in findings if f.severity is Severity.ERROR}


@pytest.mark.parametrize("transport", list(Transport))
@pytest.mark.parametrize(("rule", "what", "spoil"), SERVER_FAULTS, ids=[f[1] for f in SERVER_FAULTS])
def test_a_fault_of_the_server(world: World, tmp_path: Path, transport: Transport, rule, what, spoil) -> None:
    if transport is Transport.FLIGHT and rule == "key-weak":
        pytest.skip("a C++ gRPC server does not start with such a key")
    run_case("server", world, tmp_path, transport, rule, what, spoil)


@pytest.mark.parametrize("transport", list(Transport))
@pytest.mark.parametrize(("rule", "what", "spoil"), CLIENT_FAULTS, ids=[f[1] for f in CLIENT_FAULTS])
def test_a_fault_of_the_client(world: World, tmp_path: Path, transport: Transport, rule, what, spoil) -> None:
    if transport is Transport.FLIGHT and what == "client revoked":
        pytest.skip("a C++ gRPC server takes no revocation list")
    run_case("client", world, tmp_path, transport, rule, what, spoil)


def run_case(side: str, world: World, tmp_path: Path, transport: Transport, rule: str, what: str, spoil: Spoil) -> None:
    setup = good(world)
    spoil(world, setup)
    pair = configure(tmp_path, setup)
    secret = fixed(Passphrase(setup.passphrase)) if setup.passphrase else None
    with served(transport, setup) as port:
        target = Target(setup.host, port, transport)
        report = diagnose(pair, target, passphrase=secret)
        text = says(transport, setup, pair, port)
        explained = explain(text, transport, pair, target=target, passphrase=secret)
    by_text_alone = explain(text, transport, pair, passphrase=secret)
    TABLE.append((side, transport, what, report.findings[0].id, text.rpartition("last error: ")[2][:60]))
    assert not report.ok
    assert errors(report.findings) == {rule}, report.findings
    assert errors(explained) == {rule}, (text, explained)
    named = errors(by_text_alone) | {c for f in by_text_alone for c in f.candidates}
    assert rule in named or heard_nothing(text), (text, by_text_alone)
    assert all(f.message and f.next_step and RULES[f.id] for f in report.findings)


@pytest.mark.parametrize("transport", list(Transport))
def test_a_good_pair_has_no_fault(world: World, tmp_path: Path, transport: Transport) -> None:
    setup = good(world)
    pair = configure(tmp_path, setup)
    assert verify(pair).ok, verify(pair).findings
    with served(transport, setup) as port:
        report = diagnose(pair, Target("localhost", port, transport))
    assert report.findings == (), report.findings
    assert report.probe is not None
    assert report.probe.asks
    assert report.probe.handshake_ms is not None


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return listener.getsockname()[1]


def network_case(tmp_path, world, transport, rule, what, port, *, tls=True, host="localhost", text=""):
    pair = configure(tmp_path, good(world))
    target = Target(host, port, transport, tls=tls)
    report = diagnose(pair, target, timeout_s=0.5)
    TABLE.append(("network", transport, what, report.findings[0].id, text.rpartition("last error: ")[2][:60]))
    assert errors(report.findings) == {rule}, report.findings
    if text:
        explained = explain(text, transport, pair, target=target, timeout_s=0.5)
        assert errors(explained) == {rule}, (text, explained)


@pytest.mark.parametrize("transport", list(Transport))
def test_tls_to_a_plaintext_port(world: World, tmp_path: Path, transport: Transport) -> None:
    peer = kafka_peer(None) if transport is Transport.KAFKA else flight_peer(None, None, None)
    with peer as port:
        pair = configure(tmp_path, good(world))
        text = says(transport, good(world), pair, port)
        network_case(tmp_path, world, transport, "plaintext-peer", "TLS to a plaintext port", port, text=text)


@pytest.mark.parametrize("transport", list(Transport))
def test_plaintext_to_a_tls_port(world: World, tmp_path: Path, transport: Transport) -> None:
    with served(transport, good(world)) as port:
        kafka = transport is Transport.KAFKA
        text = librdkafka_says(port, {}) if kafka else grpc_says(f"grpc://localhost:{port}")
        network_case(tmp_path, world, transport, "tls-required", "plaintext to a TLS port", port, tls=False, text=text)


@pytest.mark.parametrize("transport", list(Transport))
def test_nothing_listens(world: World, tmp_path: Path, transport: Transport) -> None:
    port = free_port()
    text = says(transport, good(world), configure(tmp_path, good(world)), port)
    network_case(tmp_path, world, transport, "connection-refused", "nothing listens", port, text=text)


@pytest.mark.parametrize("transport", list(Transport))
def test_the_host_has_no_address(world: World, tmp_path: Path, transport: Transport) -> None:
    host = "no-such-host.invalid"
    setup = good(world)
    setup.host = host
    text = says(transport, setup, configure(tmp_path, setup), 9)
    network_case(tmp_path, world, transport, "host-unknown", "no such host", 9, host=host, text=text)


@pytest.mark.parametrize("transport", list(Transport))
def test_the_peer_hangs(world: World, tmp_path: Path, transport: Transport) -> None:
    with kafka_peer(None, hang=True) as port:
        network_case(tmp_path, world, transport, "timed-out", "the peer hangs", port)


def test_a_tls_port_that_is_no_broker(world: World, tmp_path: Path) -> None:
    context = server_context(world.server.pem(), world.server.key_pem(), world.root.pem())
    with kafka_peer(context, mute=True) as port:
        network_case(tmp_path, world, Transport.KAFKA, "not-kafka", "TLS, but no broker", port)


def test_a_tls_port_that_is_no_flight_server(world: World, tmp_path: Path) -> None:
    with served(Transport.KAFKA, good(world)) as port:
        network_case(tmp_path, world, Transport.FLIGHT, "no-h2", "TLS, but no HTTP/2", port)


def test_a_server_with_tls_1_1_only(world: World, tmp_path: Path) -> None:
    context = server_context(world.server.pem(), world.server.key_pem(), world.root.pem())
    with pytest.warns(DeprecationWarning, match="TLSv1_1"):
        context.minimum_version = context.maximum_version = ssl.TLSVersion.TLSv1_1
    with kafka_peer(context) as port:
        network_case(tmp_path, world, Transport.KAFKA, "no-common-version", "TLS 1.1 only", port)


@pytest.mark.parametrize("transport", list(Transport))
@pytest.mark.parametrize("missing", ["cert", "key", "ca"])
def test_a_file_that_is_not_there(world: World, tmp_path: Path, transport: Transport, missing: str) -> None:
    setup = good(world)
    pair = replace(configure(tmp_path, setup), **{missing: tmp_path / "no-such-file.pem"})
    with served(transport, setup) as port:
        text = says(transport, setup, pair, port) if transport is Transport.KAFKA else ""
        report = diagnose(pair, Target("localhost", port, transport))
    TABLE.append(("client", transport, f"the {missing} file is not there", report.findings[0].id, text[:60]))
    assert errors(report.findings) == {"file-missing"}, report.findings
    if text:
        assert errors(explain(text, transport, pair)) == {"file-missing"}, text


@pytest.mark.parametrize("bits", [0o640, 0o604, 0o660])
def test_every_wide_mode_of_a_key(world: World, tmp_path: Path, bits: int) -> None:
    setup = good(world)
    setup.key_mode = bits
    assert errors(verify(configure(tmp_path, setup)).findings) == {"key-exposed"}


def test_a_clock_that_went_back(world: World, tmp_path: Path) -> None:
    pair = configure(tmp_path, good(world))
    report = verify(pair, now=forge.NOW - dt.timedelta(days=30))
    assert errors(report.findings) == {"clock-behind", "issuer-not-yet-valid"}
    TABLE.append(("client", "local", "this host's clock is a month behind", report.findings[0].id, ""))
    assert report.findings[0].id == "clock-behind"


def test_there_are_thirty_faults_and_more() -> None:
    assert len({what for _rule, what, _spoil in (*SERVER_FAULTS, *CLIENT_FAULTS)}) >= 30
