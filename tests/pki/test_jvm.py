"""A JVM server answers other alerts than OpenSSL does: 42 for no certificate, 46 for every one that it dislikes."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, pkcs12

from atom_console.pki.findings import Severity
from atom_console.pki.probe import Target
from atom_console.pki.translate import Transport
from atom_console.pki.verify import Pair, diagnose, explain
from tests.pki import forge
from tests.pki.forge import Made, make, write
from tests.pki.peers import jvm_peer, librdkafka_says

pytestmark = pytest.mark.skipif(shutil.which("java") is None, reason="needs Java")
PASSWORD = BestAvailableEncryption(b"changeit")


@dataclass
class Jvm:
    port: int
    root: Made
    issuing: Made
    server_root: Made


@pytest.fixture(scope="module")
def jvm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Jvm]:
    """A JSSE server that trusts one root; its own certificate is of another."""
    directory = tmp_path_factory.mktemp("jvm")
    root, server_root = make("root", ca=True), make("server-root", ca=True)
    server = make("server", server_root, eku=(forge.SERVER,))
    keystore = pkcs12.serialize_key_and_certificates(b"server", server.key, server.cert, None, PASSWORD)
    trust = pkcs12.serialize_java_truststore([pkcs12.PKCS12Certificate(root.cert, b"ca")], PASSWORD)
    with jvm_peer(directory, write(directory / "k.p12", keystore), write(directory / "t.p12", trust)) as port:
        yield Jvm(port, root, make("issuing", root, ca=True), server_root)


def _rogue(_jvm: Jvm) -> Made:
    return make("client", make("rogue", ca=True))


CASES = [
    ("certificate-required", "42", lambda _: None),
    ("expired", "46", lambda jvm: make("client", jvm.issuing, start=-9, end=-1)),
    ("not-yet-valid", "46", lambda jvm: make("client", jvm.issuing, start=1)),
    ("eku-client", "46", lambda jvm: make("client", jvm.issuing, eku=(forge.SERVER,))),
    ("peer-distrusts-issuer", "42", _rogue),
    # Our own bundle knows the server's root too: nothing is wrong here, only there.
    ("peer-distrusts-issuer", "42", lambda jvm: make("client", jvm.server_root)),
]


@pytest.mark.parametrize(("rule", "alert", "build"), CASES)
def test_what_a_jvm_refuses(jvm: Jvm, tmp_path: Path, rule: str, alert: str, build) -> None:
    made = build(jvm)
    ca = write(tmp_path / "ca.pem", jvm.root.pem() + jvm.server_root.pem())
    cert = write(tmp_path / "c.pem", made.pem()) if made else None
    key = write(tmp_path / "k.pem", made.key_pem()) if made else None
    pair = Pair("console", cert, key, ca)
    settings = {"security.protocol": "ssl", "ssl.ca.location": str(ca)}
    if made:
        settings |= {"ssl.certificate.location": str(cert), "ssl.key.location": str(key)}
    text = librdkafka_says(jvm.port, settings)
    # A certificate of an issuer that the server does not name is withheld, so the JVM sees none and says 42.
    assert f"alert number {alert}" in text
    target = Target("localhost", jvm.port, Transport.KAFKA)
    report = diagnose(pair, target)
    errors = {f.id for f in report.findings if f.severity is Severity.ERROR}
    assert errors == {rule}, report.findings
    assert {f.id for f in explain(text, Transport.KAFKA, pair, target=target)} == {rule}
    (by_text,) = explain(text, Transport.KAFKA, pair)
    assert rule in {by_text.id, *by_text.candidates}


def test_a_jvm_takes_a_good_pair(jvm: Jvm, tmp_path: Path) -> None:
    made = make("client", jvm.issuing)
    ca = write(tmp_path / "ca.pem", jvm.root.pem() + jvm.server_root.pem())
    pair = Pair("console", write(tmp_path / "c.pem", made.pem()), write(tmp_path / "k.pem", made.key_pem()), ca)
    report = diagnose(pair, Target("localhost", jvm.port, Transport.KAFKA))
    assert report.ok, report.findings
    assert report.probe is not None
    assert report.probe.asks
