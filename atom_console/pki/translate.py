"""Turning what gRPC and librdkafka say of a failed connection into findings.

The texts were measured with pyarrow 26 (gRPC 1.81) and librdkafka 2.16. What a text cannot tell is not guessed: the
finding then lists its candidates, and evidence (local checks of the pair, a look at the server) decides between them.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from atom_console.pki.alerts import BY_WORDS, REFUSED, meaning_of
from atom_console.pki.evidence import NOTHING, Evidence, decide
from atom_console.pki.findings import Finding
from atom_console.pki.names import is_address
from atom_console.safe_text import safe_text


class Transport(StrEnum):
    """Who speaks: librdkafka to a broker, or gRPC to a Flight server."""

    KAFKA = "kafka"
    FLIGHT = "flight"


_SERVER_FAULTS: Final = (
    "issuer-unknown",
    "issuer-not-found",
    "intermediate-missing",
    "issuer-signature",
    "self-signed",
    "name-mismatch",
    "address-mismatch",
    "san-missing",
    "expired",
    "not-yet-valid",
    "issuer-expired",
    "eku-server",
    "name-constraint",
    "revoked",
    "crl-missing",
    "crl-expired",
    "key-weak",
    "signature-weak",
    "strict-x509",
    "trust-missing",
    "issuer-not-yet-valid",
    "issuer-eku",
    "issuer-not-ca",
    "path-too-long",
)
_SILENT_REFUSAL: Final = ("certificate-required", *REFUSED, "tls-required", "plaintext-peer", "peer-closed")
_UNLOADABLE: Final = (
    "key-mismatch",
    "certificate-unparsable",
    "key-unparsable",
    "key-encrypted",
    "key-passphrase-wrong",
    "trust-unparsable",
    "key-weak",
)


@dataclass(frozen=True, slots=True)
class _Rule:
    pattern: re.Pattern[str]
    rule: str
    candidates: tuple[str, ...] = ()
    only: Transport | None = None


def _when(pattern: str, rule: str, *candidates: str, only: Transport | None = None) -> _Rule:
    return _Rule(re.compile(pattern, re.IGNORECASE | re.DOTALL), rule, candidates, only)


# The first that matches wins: files, then the server's certificate, then alerts, then the network.
_RULES: Final = (
    # Its advice names ssl.ca.location whatever the fault is.
    _when(r"broker certificate could not be verified", "server-unverified", *_SERVER_FAULTS, only=Transport.KAFKA),
    # librdkafka names the option that failed.
    _when(r"no certificate assigned", "certificate-missing"),
    _when(r"key values mismatch", "key-mismatch"),
    _when(r"ssl\.key\.(location|pem).*(no such file|system lib)", "file-missing"),
    _when(r"ssl\.key\.(location|pem).*(bad decrypt|bad password)", "key-passphrase-wrong"),
    _when(
        r"ssl\.key\.(location|pem) failed",
        "pair-unusable",
        *("key-unparsable", "key-encrypted", "key-passphrase-wrong", "key-mismatch", "file-missing"),
    ),
    _when(r"ssl\.certificate\.(location|pem).*(no such file|system lib)", "file-missing"),
    _when(r"ssl\.certificate\.(location|pem) failed", "pair-unusable", "certificate-unparsable", "file-missing",
          "key-weak"),
    _when(r"ssl\.ca\.(location|pem).*(no such file|system lib|BIO lib)", "file-missing"),
    _when(r"ssl\.ca\.(location|pem) failed", "trust-unparsable"),
    _when(r"ssl\.crl\.location", "crl-unparsable", "crl-unparsable", "file-missing"),
    # gRPC loads all of them at once, silently.
    _when(r"empty address list", "pair-unusable", *_UNLOADABLE, only=Transport.FLIGHT),
    # The server's certificate, in OpenSSL's words.
    _when(r"self.signed certificate in certificate chain", "issuer-unknown"),
    _when(r"self.signed certificate", "self-signed"),
    _when(r"unable to get (local )?issuer certificate|unable to verify the first certificate", "issuer-not-found",
          "intermediate-missing", "issuer-unknown", "issuer-signature", "trust-missing"),
    _when(r"certificate signature failure", "issuer-signature"),
    _when(r"not yet valid", "server-unverified", "not-yet-valid", "issuer-not-yet-valid"),
    _when(r"certificate has expired", "server-unverified", "expired", "issuer-expired"),
    _when(r"(unsuitable|unsupported) certificate purpose", "server-unverified", "eku-server", "issuer-eku"),
    _when(r"(permitted|excluded) subtree violation", "name-constraint"),
    _when(r"path length constraint exceeded", "path-too-long"),
    _when(r"invalid CA certificate", "issuer-not-ca"),
    _when(r"certificate revoked(?!.*alert)(?<!alert certificate revoked)", "revoked"),
    _when(r"unable to get certificate CRL", "crl-missing"),
    _when(r"CRL has expired", "crl-expired"),
    _when(r"(EE|CA|certificate) key too (weak|small)|dh key too small", "key-weak"),
    _when(r"md too weak", "signature-weak"),
    _when(r"Hostname Verification Check failed|hostname mismatch", "name-mismatch", "name-mismatch", "san-missing"),
    _when(r"IP address mismatch", "address-mismatch", "address-mismatch", "san-missing"),
    _when(r"certificate verify failed", "server-unverified", *_SERVER_FAULTS),
    # The wire.
    _when(r"wrong version number|http request|packet length too long|record layer failure", "plaintext-peer"),
    _when(r"unsupported protocol|no protocols available", "no-common-version"),
    _when(r"no shared cipher|no suitable signature algorithm", "no-common-cipher"),
    _when(r"cannot check peer: missing selected ALPN", "no-h2", only=Transport.FLIGHT),
    _when(r"(topic|group|cluster|transactional.?id) authorization failed|_AUTHORIZATION_FAILED", "access-denied"),
    _when(r"permission.?denied|FlightUnauthorized", "access-denied", only=Transport.FLIGHT),
    # A peer that closes without a word. Kafka's plaintext listener does so, too: a TLS greeting is no request to it.
    _when(r"PLAINTEXT broker listener", "plaintext-peer"),
    _when(r"Unwrap failed|Delayed close", "peer-refuses-certificate", "certificate-required", *REFUSED),
    _when(r"might be caused by incorrect security\.protocol|connecting to a SSL listener\?", "tls-required"),
    # The network.
    _when(r"Connection refused", "connection-refused"),
    _when(r"(failed to resolve|DNS resolution failed|name resolution|name or service not known|could not contact DNS)",
          "host-unknown"),
    _when(r"(network is unreachable|no route to host|host is unreachable)", "unreachable"),
    _when(r"Socket closed|Connection reset|Broken pipe|unexpected eof|Disconnected", "peer-closed", *_SILENT_REFUSAL),
    _when(r"timed.?out|Deadline Exceeded|timeout", "timed-out"),
    _when(r"all broker connections are down|_ALL_BROKERS_DOWN|brokers? are down", "unexplained",
          "tls-required", "connection-refused", "host-unknown", "timed-out", "peer-closed", only=Transport.KAFKA),
)  # fmt: skip

_PEER_NAME: Final = re.compile(r"Peer name (\S+) is not in peer certificate")
_ALERT_NUMBER: Final = re.compile(r"alert number (\d+)", re.IGNORECASE)
_ALERT_WORDS: Final = re.compile(r"(?:ssl/tls|sslv3|tlsv1|tlsv13|tls)[ _]alert[ _]([a-z_ ]+)", re.IGNORECASE)


def translate(
    text: str, transport: Transport, *, subject: str | None = None, evidence: Evidence = NOTHING
) -> tuple[Finding, ...]:
    """Explain an error text.

    Args:
        text: what the client library said, whole.
        transport: which library.
        subject: whom it was about: `broker-1:9093`; by default the transport.
        evidence: what is known beside it.

    Returns:
        At least one finding; `unexplained` where no rule knows the text.
    """
    whom = subject or f"the {transport} peer"
    words = _shorten(text)
    for explain in (_peer_name, _alert):
        found = explain(text, whom, words, evidence)
        if found:
            return found
    for rule in _RULES:
        if rule.only in {None, transport} and rule.pattern.search(text):
            return decide(rule.rule, rule.candidates, whom, words, evidence)
    return decide("unexplained", (), whom, words, evidence)


_Explain = Callable[[str, str, str, Evidence], tuple[Finding, ...]]


def _peer_name(text: str, whom: str, words: str, evidence: Evidence) -> tuple[Finding, ...]:
    match = _PEER_NAME.search(text)
    if match is None:
        return ()
    rule = "address-mismatch" if is_address(match[1].strip("[]")) else "name-mismatch"
    return decide(rule, (rule, "san-missing"), whom, words, evidence)


def _alert(text: str, whom: str, words: str, evidence: Evidence) -> tuple[Finding, ...]:
    match = _ALERT_NUMBER.search(text)
    number = int(match[1]) if match else None
    if number is None:
        spelled = _ALERT_WORDS.search(text)
        said = spelled[1].replace("_", " ").strip().lower() if spelled else ""
        number = next((n for name, n in BY_WORDS.items() if said.startswith(name)), None)
    if number is None:
        return ()
    return alert(number, whom, words, evidence)


def alert(number: int, whom: str, words: str, evidence: Evidence) -> tuple[Finding, ...]:
    """Explain an alert that a peer sent."""
    meaning = meaning_of(number)
    return decide(meaning.rule, meaning.candidates, whom, words, evidence)


def _shorten(text: str) -> str:
    """The part of a library's message that says something."""
    last = text.rpartition("last error: ")[2]
    return safe_text(" ".join(last.split()), 240)
