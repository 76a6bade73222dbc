"""Others judge what we make: OpenSSL with strict rules, Java's keytool, pkilint, cryptography's verifier."""

from __future__ import annotations

import datetime as dt
import json
import shutil
import subprocess
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.x509 import verification

from atom_console.pki import csr, issuing, pem, revocation
from atom_console.pki.export import export_pem, export_pkcs12, load_pair
from atom_console.pki.findings import verdict
from atom_console.pki.issuing import Order
from atom_console.pki.keys import KeyType
from atom_console.pki.passphrase import Passphrase, PassphraseSource, no_passphrase
from atom_console.pki.profiles import Kind
from atom_console.pki.snippets import FORMS, snippet
from atom_console.pki.store import Store
from atom_console.pki.verify import pair_of, verify

KEY_TYPES = ["ec-p256", "ec-p384", "rsa3072", "ed25519"]


def run(*command: object) -> str:
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, (command, done.stdout, done.stderr)
    return done.stdout + done.stderr


def test_openssl_verifies_every_certificate_by_its_strict_rules(pki: Store, ca_passphrase: PassphraseSource) -> None:
    orders = [Order(f"k-{kind}", "client", (f"DNS:{kind}.internal",), key_type=kind) for kind in KEY_TYPES]
    issuing.issue(pki, ca_passphrase, orders)
    revocation.make_lists(pki, ca_passphrase)
    for entry in pki.entries():
        purpose = {"broker": "sslserver", "flight-server": "sslserver", "client": "sslclient"}.get(entry.profile, "any")
        out = run(
            *("openssl", "verify", "-x509_strict", "-purpose", purpose, "-crl_check_all"),
            *("-CAfile", pki.bundle, "-untrusted", entry.chain, "-CRLfile", pki.crl_bundle, entry.cert),
        )
        assert out.strip().endswith("OK")


def test_openssl_matches_the_names(pki: Store) -> None:
    entry = pki.find("broker-1")
    for option, value in (("-verify_hostname", "broker-1.internal"), ("-verify_ip", "127.0.0.1")):
        run(
            "openssl",
            "verify",
            "-x509_strict",
            option,
            value,
            "-CAfile",
            pki.bundle,
            "-untrusted",
            entry.chain,
            entry.cert,
        )


def test_cryptography_verifies_servers_and_clients(pki: Store) -> None:
    anchors = x509.load_pem_x509_certificates(pki.bundle.read_bytes())
    builder = verification.PolicyBuilder().store(verification.Store(anchors))
    for name, judge in (
        ("flight-1", builder.build_server_verifier(x509.DNSName("flight-1.internal"))),
        ("broker-1", builder.build_client_verifier()),
        ("ops-alice", builder.build_client_verifier()),
    ):
        leaf, *above = x509.load_pem_x509_certificates(pki.find(name).chain.read_bytes())
        judge.verify(leaf, above)


@pytest.mark.parametrize("profile", ["root", "intermediate", "broker", "flight-server", "client"])
def test_pkilint_has_nothing_against_any_profile(pki: Store, tmp_path: Path, profile: str) -> None:
    entry = next(e for e in pki.entries() if e.profile == profile)
    if profile in {"broker", "flight-server", "client"}:
        # pkilint dislikes the one-label name localhost in any certificate, and knows no URI scheme but the web's.
        entry = issuing.issue(pki, _secret(), [Order("lint", profile, ("DNS:lint.example.com",))])[0].entry
    tool = Path(shutil.which("python", path=str(Path(__import__("sys").executable).parent)) or "").parent
    found = run(tool / "lint_pkix_cert", "lint", "-s", "WARNING", "-f", "JSON", entry.cert)
    assert json.loads(found)["results"] == []


def test_pkilint_has_nothing_against_the_revocation_lists(pki: Store, ca_passphrase: PassphraseSource) -> None:
    revocation.revoke(pki, ca_passphrase, ["ops-alice"], "key-compromise")
    tool = Path(__import__("sys").executable).parent / "lint_crl"
    for path in sorted((pki.root / "crl").glob("*.crl.pem")):
        found = run(tool, "lint", "-t", "CRL", "-p", "PKIX", "-s", "WARNING", "-f", "JSON", path)
        assert json.loads(found)["results"] == []


def _secret() -> PassphraseSource:
    from atom_console.pki.passphrase import fixed
    from tests.pki.conftest import SECRET

    return fixed(Passphrase(SECRET))


@pytest.mark.skipif(shutil.which("keytool") is None, reason="needs Java")
def test_java_reads_the_stores(pki: Store, tmp_path: Path) -> None:
    out = tmp_path / "tls"
    entry = pki.find("broker-1")
    paths = export_pkcs12(pki, entry, out, Passphrase("changeit"), key_passphrase=no_passphrase)
    assert [p.stat().st_mode & 0o777 for p in paths] == [0o600, 0o600]
    listed = run("keytool", "-list", "-v", "-keystore", paths[0], "-storepass", "changeit")
    assert "PrivateKeyEntry" in listed
    assert "Certificate chain length: 2" in listed
    assert "DNSName: broker-1.internal" in listed
    assert "trustedCertEntry" in run("keytool", "-list", "-keystore", paths[1], "-storepass", "changeit")


def test_exported_pem_is_private_and_verifies(pki: Store, tmp_path: Path) -> None:
    paths = export_pem(pki, pki.find("flight-1"), tmp_path / "out", with_key=True)
    assert {p.name for p in paths} == {"flight-1.chain.pem", "flight-1.key.pem", "ca.pem"}
    assert all(p.stat().st_mode & 0o777 == 0o600 for p in paths)
    run("openssl", "verify", "-x509_strict", "-CAfile", paths[1], "-untrusted", paths[0], paths[0])


@pytest.mark.parametrize("form", FORMS)
def test_snippets_point_at_files_that_exist_and_hold_no_key(pki: Store, form: str) -> None:
    text = snippet(form, pki, pki.find("broker-1"))
    assert "PRIVATE KEY-----" not in text
    for word in text.replace('"', " ").replace(";", " ").split():
        path = word.partition("=")[2] or word
        path = path.rstrip(",)").removesuffix("?")
        if path.startswith(str(pki.root)) and "crl" not in path:
            assert Path(path).exists(), path


@pytest.mark.parametrize("kind", KEY_TYPES)
def test_every_key_type_shakes_hands_with_pyarrow(pki: Store, ca_passphrase: PassphraseSource, kind: str) -> None:
    from tests.pki.peers import flight_peer, grpc_says

    server, client = issuing.issue(
        pki,
        ca_passphrase,
        [
            Order("s", "flight-server", ("DNS:localhost",), key_type=kind),
            Order("c", "client", ("DNS:c.internal",), key_type=kind),
        ],
    )
    assert ("Ed25519" in "".join(server.notices)) is (kind == KeyType.ED25519)
    assert verdict(verify(pair_of(pki, "s"), host="localhost").findings)
    a, b = load_pair(pki, "s", no_passphrase), load_pair(pki, client.entry.name, no_passphrase)
    with flight_peer(a.chain_pem, a.key_pem, a.trust_pem) as port:
        text = grpc_says(
            f"grpc+tls://localhost:{port}",
            tls_root_certs=b.trust_pem,
            cert_chain=b.chain_pem,
            private_key=b.key_pem,
        )
    assert "list_flights" in text.lower() or "not" in text.lower(), text
    assert "connect" not in text


def test_openssl_reads_our_csr_and_we_sign_one_of_openssl(
    pki: Store, ca_passphrase: PassphraseSource, tmp_path: Path
) -> None:
    pending = csr.make_request(pki, Order("company", "broker", ("DNS:company.internal",)))
    text = run("openssl", "req", "-in", pending.csr, "-noout", "-text", "-verify")
    assert "DNS:company.internal" in text
    assert pending.key.stat().st_mode & 0o777 == 0o600
    key, request = tmp_path / "k.pem", tmp_path / "r.csr"
    run("openssl", "genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256", "-out", key)
    run(
        *("openssl", "req", "-new", "-key", key, "-subj", "/CN=evil/O=Other", "-out", request),
        *("-addext", "subjectAltName=DNS:svc.internal", "-addext", "basicConstraints=critical,CA:TRUE"),
        *("-addext", "extendedKeyUsage=serverAuth,codeSigning"),
    )
    signed = csr.sign_csr(pki, ca_passphrase, "svc", "client", request.read_bytes())
    (leaf, _) = pem.parse(signed.entry.chain.read_bytes(), "svc")
    assert not leaf.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    usages = leaf.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    assert [u._name for u in usages] == ["clientAuth"]
    assert leaf.subject.rfc4514_string() == "CN=svc"
    assert signed.entry.key is None
    assert any("basicConstraints" in notice for notice in signed.notices)
    assert any("O=Other" in notice for notice in signed.notices)


def test_a_company_ca_signs_our_request(pki: Store, ca_passphrase: PassphraseSource, tmp_path: Path) -> None:
    from tests.pki.forge import make

    company = Store(tmp_path / "company")
    issuing.init(company, ca_passphrase)
    pending = csr.make_request(pki, Order("edge", "client", ("DNS:edge.internal",)))
    answer = csr.sign_csr(company, ca_passphrase, "edge", "client", pending.csr.read_bytes())
    made = csr.import_certificate(pki, "edge", answer.entry.chain.read_bytes(), passphrase=no_passphrase)
    assert made.entry.origin == "imported"
    assert not (pki.root / "requests" / "edge").exists()
    report = verify(pair_of(pki, "edge"))
    assert [f.id for f in report.findings] == ["issuer-unknown"]
    csr.import_trust(pki, company.bundle.read_bytes(), "company.pem")
    assert verify(pair_of(pki, "edge")).ok
    other = make("edge", make("x", ca=True))
    pending = csr.make_request(pki, Order("edge2", "client", ("DNS:edge2.internal",)))
    with pytest.raises(Exception, match="not for the key"):
        csr.import_certificate(pki, "edge2", other.pem(), passphrase=no_passphrase)
    mark = next((pki.root / "trust" / "foreign").iterdir()).stem
    csr.drop_trust(pki, mark)
    assert not verify(pair_of(pki, "edge")).ok


def test_no_leaf_outlives_its_issuer(pki: Store, ca_passphrase: PassphraseSource) -> None:
    ca = pki.current(Kind.INTERMEDIATE)
    assert ca is not None
    near_the_end = dt.datetime.fromtimestamp(ca.not_after_ms / 1000, tz=dt.UTC) - dt.timedelta(days=5)
    (made,) = issuing.issue(pki, ca_passphrase, [Order("late", "client", ("DNS:late.internal",))], now=near_the_end)
    assert made.entry.not_after_ms == ca.not_after_ms
    assert "clipped" in made.notices[0]
