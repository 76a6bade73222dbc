from __future__ import annotations

import re
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from atom_console.pki import alerts, evidence, rehearsal
from atom_console.pki.errors import FaultError
from atom_console.pki.findings import RULES, Severity, finding, ranked
from atom_console.pki.findings_page import page
from atom_console.pki.keys import load_pem
from atom_console.pki.passphrase import Passphrase
from atom_console.pki.translate import _RULES, Transport, translate

ROOT = Path(__file__).parents[2]


def test_the_page_of_findings_is_up_to_date() -> None:
    written = (ROOT / "docs" / "certificate-findings.md").read_text(encoding="utf-8")
    assert written == page(), "run: python -m atom_console.pki.findings_page > docs/certificate-findings.md"


def test_every_rule_has_a_sentence_and_a_next_step() -> None:
    for rule in RULES.values():
        assert re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", rule.id)
        assert rule.meaning.endswith(".")
        assert rule.next_step.endswith(".")


def test_every_rule_is_used_and_every_used_one_exists() -> None:
    code = "\n".join(p.read_text() for p in (ROOT / "atom_console" / "pki").glob("*.py") if p.name != "findings.py")
    unused = [rule for rule in RULES if f'"{rule}"' not in code and rule not in {"eku-server", "eku-client"}]
    assert unused == []
    named = {r.rule for r in _RULES} | {c for r in _RULES for c in r.candidates}
    named |= {m.rule for m in alerts.ALERTS.values()} | {c for m in alerts.ALERTS.values() for c in m.candidates}
    named |= set(rehearsal.VERIFY_CODES.values()) | set().union(*evidence._EXPLAINS.values()) | set(evidence._EXPLAINS)
    assert named <= set(RULES)


def test_foreign_text_cannot_reach_the_terminal() -> None:
    found = finding("expired", "\x1b]52;c;ZXZpbA==\x07", "a\u202eb\x1b[2J", "\r\nx")
    for text in (found.subject, found.message, found.next_step):
        assert "\x1b" not in text
        assert "\u202e" not in text
        assert "\n" not in text


def test_errors_come_first() -> None:
    order = [finding("renew-now", "a", "b"), finding("key-ed25519", "a", "b"), finding("expired", "a", "b")]
    assert [f.severity for f in ranked([*order, *order])] == [Severity.ERROR, Severity.WARNING, Severity.INFO]


@pytest.mark.parametrize("transport", list(Transport))
@pytest.mark.parametrize(
    "text", ["", "something nobody ever saw", "\x00\xff" * 500, "alert number 999", "tls alert zzz"]
)
def test_an_unknown_text_is_unexplained_and_never_guessed(transport: Transport, text: str) -> None:
    assert [f.id for f in translate(text, transport)] == ["unexplained"]


@pytest.mark.parametrize(
    ("transport", "text", "rule"),
    [
        ("kafka", "TOPIC_AUTHORIZATION_FAILED", "access-denied"),
        ("kafka", "Broker: Topic authorization failed", "access-denied"),
        ("kafka", "Disconnected: might be caused by incorrect security.protocol configuration", "tls-required"),
        ("kafka", "SSL alert number 45 (in state APIVERSION_QUERY)", "peer-says-expired"),
        ("kafka", "ssl/tls alert certificate expired", "peer-says-expired"),
        ("kafka", "tlsv1 alert unknown ca: SSL alert number 48", "peer-distrusts-issuer"),
        ("flight", "Peer name flight.eu is not in peer certificate", "name-mismatch"),
        ("flight", "Peer name 10.0.0.9 is not in peer certificate", "address-mismatch"),
        ("flight", "wrong version number", "plaintext-peer"),
        ("flight", "Unwrap failed (TSI_DATA_CORRUPTED)", "peer-refuses-certificate"),
        ("flight", "Socket closed", "peer-closed"),
        ("flight", "empty address list", "pair-unusable"),
    ],
)  # fmt: skip
def test_known_texts(transport: str, text: str, rule: str) -> None:
    (found,) = translate(text, Transport(transport))
    assert found.id == rule


def test_a_refusal_that_could_be_several_things_says_so() -> None:
    (found,) = translate("Socket closed", Transport.FLIGHT)
    assert "one of" in found.message
    assert {"certificate-required", "peer-distrusts-issuer", "tls-required"} <= set(found.candidates)


def test_a_wrong_passphrase_is_never_taken_for_a_damaged_key() -> None:
    """One in 256 leaves a valid padding; OpenSSL then finds garbage where the key should be."""
    key = ec.generate_private_key(ec.SECP256R1())
    encryption = serialization.BestAvailableEncryption(b"the right one")
    pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.TraditionalOpenSSL, encryption)
    for number in range(3_000):
        with pytest.raises(FaultError) as caught:
            load_pem(pem, "key.pem", Passphrase(f"wrong {number}"))
        assert caught.value.finding.id == "key-passphrase-wrong"

    damaged = pem.replace(pem[-100:-96], b"\n!!\n")
    with pytest.raises(FaultError) as caught:
        load_pem(damaged, "key.pem", Passphrase("the right one"))
    assert caught.value.finding.id == "key-unparsable"
