"""What decides between the readings of a refusal, and the warnings that stop nothing."""

from __future__ import annotations

import datetime as dt
import shutil
import socket
import subprocess
import time
from pathlib import Path

import pytest

from atom_console.pki.evidence import Evidence, decide
from atom_console.pki.findings import Severity, finding
from atom_console.pki.material import Identity, Role, Trust
from atom_console.pki.rehearsal import rehearse
from atom_console.pki.translate import Transport
from atom_console.pki.verify import Pair, check_settings, explain, verify
from tests.pki import forge
from tests.pki.forge import Made, make, write
from tests.pki.peers import librdkafka_says

ROOT = make("root", ca=True)
ISSUING = make("issuing", ROOT, ca=True)


def pair(directory: Path, made: Made, *, ca: bytes | None = None, chain: bytes | None = None) -> Pair:
    return Pair(
        "x",
        write(directory / "c.pem", chain or made.pem()),
        write(directory / "k.pem", made.key_pem()),
        write(directory / "ca.pem", ca or ROOT.pem()),
    )


@pytest.mark.parametrize(
    ("rule", "made", "change"),
    [
        ("renew-now", {"start": -80, "end": 20}, {}),
        ("expires-soon", {"start": -95, "end": 5}, {}),
        ("eku-absent", {"eku": ()}, {}),
        ("lifetime-long", {"end": 500}, {}),
        ("anchor-not-root", {}, {"ca": ISSUING.pem(chain=False)}),
        ("trust-expired", {}, {"ca": ROOT.pem() + make("old", ca=True, start=-9, end=-1).pem()}),
    ],
)
def test_what_works_today_is_a_warning(tmp_path: Path, rule: str, made: dict, change: dict) -> None:
    report = verify(pair(tmp_path, make("x", ISSUING, **made), **change))
    assert report.ok, report.findings
    assert rule in {f.id for f in report.findings}
    assert all(f.severity is not Severity.ERROR for f in report.findings)


def test_the_order_of_a_chain_file(tmp_path: Path) -> None:
    made, other = make("x", ISSUING), make("other", ROOT, ca=True)
    shuffled = made.pem(chain=False) + other.pem(chain=False) + ISSUING.pem(chain=False) + ROOT.pem()
    report = verify(pair(tmp_path, made, chain=shuffled))
    assert report.ok
    assert {f.id for f in report.findings} == {"chain-order", "root-in-chain"}
    reversed_file = ISSUING.pem(chain=False) + made.pem(chain=False)
    found = {f.id: f for f in verify(pair(tmp_path, made, chain=reversed_file)).findings}
    assert "the leaf must stand first" in found["key-mismatch"].message


def test_a_directory_that_others_can_write_to(tmp_path: Path) -> None:
    open_to_all = tmp_path / "open"
    open_to_all.mkdir()
    open_to_all.chmod(0o777)
    assert "directory-exposed" in {f.id for f in verify(pair(open_to_all, make("x", ISSUING))).findings}


def test_a_list_that_is_nearly_due(tmp_path: Path) -> None:
    made = make("x", ISSUING)
    lists = forge.crl(ISSUING, due=1) + forge.crl(ROOT)
    case = pair(tmp_path, made)
    report = verify(Pair(case.label, case.cert, case.key, case.ca, write(tmp_path / "crl.pem", lists)))
    assert report.ok
    assert {f.id for f in report.findings} == {"crl-expires-soon"}
    report = verify(Pair(case.label, case.cert, case.key, case.ca, write(tmp_path / "bad.pem", b"no list")))
    assert {f.id for f in report.findings} == {"crl-unparsable"}


def test_settings_that_no_handshake_shows() -> None:
    assert [f.id for f in check_settings(verification=False, certificate_set=True, subject="x")] == ["verification-off"]
    found = check_settings(verification=True, certificate_set=True, host_check=False, subject="x")
    assert [f.id for f in found] == ["hostname-check-off"]
    assert check_settings(verification=True, certificate_set=True, subject="x") == ()


CANDIDATES = ("certificate-required", "certificate-withheld", "peer-says-expired", "peer-distrusts-issuer")


@pytest.mark.parametrize(
    ("evidence", "rule"),
    [
        (Evidence(certificate_set=False), "certificate-required"),
        (Evidence(certificate_set=True, withheld=True), "certificate-withheld"),
        (Evidence(certificate_set=True, own=(finding("expired", "a", "b"),)), "expired"),
        (Evidence(certificate_set=True, own=(finding("issuer-unknown", "a", "b"),)), "peer-distrusts-issuer"),
        (Evidence(own=(finding("key-missing", "a", "b"),)), "key-missing"),
        (Evidence(), "peer-refuses-certificate"),
        (Evidence(certificate_set=True, own=(finding("renew-now", "a", "b"),)), "peer-refuses-certificate"),
    ],
)
def test_evidence_decides_and_without_it_nothing_is_guessed(evidence: Evidence, rule: str) -> None:
    found = decide("peer-refuses-certificate", CANDIDATES, "peer", "it said no", evidence)
    assert [f.id for f in found] == [rule]
    assert bool(found[0].candidates) is (rule == "peer-refuses-certificate")


def test_the_rehearsal_hears_both_sides() -> None:
    trust = Trust("t", (ROOT.cert,))
    good = make("x", ISSUING)
    chain = (good.cert, ISSUING.cert)
    assert rehearse(Identity("x", chain, good.key), trust, Role.SERVER, host="localhost") is None
    assert rehearse(Identity("x", chain, good.key), trust, Role.CLIENT) is None
    refused = rehearse(Identity("x", chain, good.key), trust, Role.SERVER, host="elsewhere")
    assert refused is not None
    assert (refused.by, refused.code) == (Role.CLIENT, 62)
    refused = rehearse(Identity("x", chain[:1], good.key), trust, Role.CLIENT)
    assert refused is not None
    assert (refused.by, refused.code) == (Role.SERVER, 20)


def test_the_verdict_is_one_sentence_with_got_and_expected(tmp_path: Path) -> None:
    report = verify(pair(tmp_path, make("x", ISSUING, sans=("DNS:flight.eu",))), host="flight-1.eu")
    assert "the server is DNS:flight.eu; you dialled flight-1.eu" in report.sentence
    assert report.findings[0].next_step.endswith("--san DNS:flight-1.eu")
    report = verify(pair(tmp_path, make("x", ISSUING)), now=forge.NOW + dt.timedelta(days=100))
    assert report.sentence.startswith("expired: x: it expired at 20")


@pytest.mark.skipif(shutil.which("openssl") is None, reason="needs openssl")
def test_a_certificate_that_was_withheld(tmp_path: Path) -> None:
    """OpenSSL with named issuers: librdkafka sends nothing, the server says 116 though a certificate is set."""
    server = make("server", ISSUING)
    chain = write(tmp_path / "s.pem", server.pem())
    key = write(tmp_path / "s.key", server.key_pem())
    ca = write(tmp_path / "ca.pem", ROOT.pem())
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    command = ["openssl", "s_server", "-accept", f"127.0.0.1:{port}", "-cert", chain, "-cert_chain", chain, "-key", key]
    command += ["-CAfile", ca, "-Verify", "1", "-verify_return_error", "-quiet"]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + 10
        while time.monotonic() < deadline:
            try:
                socket.create_connection(("127.0.0.1", port), 1).close()
                break
            except OSError:
                continue
        both = ROOT.pem() + make("second", ca=True).pem()
        mine = make("x", make("second-root", ca=True))
        case = pair(tmp_path, mine, ca=both)
        settings = {
            "security.protocol": "ssl",
            "ssl.ca.location": str(case.ca),
            "ssl.certificate.location": str(case.cert),
            "ssl.key.location": str(case.key),
        }
        text = librdkafka_says(port, settings)
    finally:
        process.kill()
        process.communicate()
    assert "alert number 116" in text
    assert [f.id for f in explain(text, Transport.KAFKA, case)] == ["certificate-withheld"]
