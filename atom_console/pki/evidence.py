"""Deciding between the things that a refusal may mean, by what is known of our own pair and of the peer's."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from atom_console.pki.findings import RULES, Finding, Severity, finding

# What a local finding on our own pair explains, of what a peer can say about it.
_EXPLAINS: Final = {
    "peer-says-expired": {"expired"},
    "peer-says-bad": {"not-yet-valid", "clock-behind", "strict-x509", "key-mismatch", "issuer-not-yet-valid"},
    "peer-says-unsupported": {"eku-client", "key-usage", "key-weak", "signature-weak", "leaf-is-ca", "issuer-eku"},
    "peer-says-revoked": {"revoked", "issuer-revoked", "crl-expired", "crl-missing"},
    "peer-distrusts-issuer": {
        "issuer-unknown",
        "issuer-not-found",
        "issuer-signature",
        "self-signed",
        "intermediate-missing",
        "issuer-expired",
        "issuer-not-ca",
        "path-too-long",
        "name-constraint",
    },
}
# Our bundle judges servers. That our own certificate is not below it is no fault by itself; a refusal makes it one.
FOREIGN: Final = frozenset({"issuer-unknown", "issuer-not-found", "issuer-signature", "self-signed"})
_REFUSALS: Final = frozenset(_EXPLAINS)


@dataclass(frozen=True, slots=True)
class Evidence:
    """What is known beside the refusal itself; None where it is not known.

    Attributes:
        tls: whether the client spoke TLS.
        certificate_set: whether the client has a certificate to show.
        withheld: whether it kept that to itself because the server asked for other issuers.
        own: local findings on the client's pair and bundle files.
        peer: local findings on the server's certificate, from a look at it.
    """

    tls: bool | None = None
    certificate_set: bool | None = None
    withheld: bool | None = None
    own: tuple[Finding, ...] = ()
    peer: tuple[Finding, ...] = ()


NOTHING: Final = Evidence()


def decide(
    rule: str, candidates: Iterable[str], subject: str, words: str, evidence: Evidence = NOTHING
) -> tuple[Finding, ...]:
    """The findings that explain a refusal: the real fault where the evidence has it, else "one of".

    Args:
        rule: the finding to use where several remain.
        candidates: everything that the refusal may mean; empty means `rule` alone.
        subject: whom we talked to.
        words: what was said, for the message.
    """
    left = list(dict.fromkeys(candidates)) or [rule]
    if evidence.certificate_set is False and "certificate-required" in left:
        return (finding("certificate-required", subject, f"{words}; no client certificate is set"),)
    if evidence.tls is False and "tls-required" in left:
        return (finding("tls-required", subject, f"{words}; this client speaks plaintext"),)
    if evidence.tls is True:
        left = [c for c in left if c != "tls-required"]
    if evidence.withheld is True and "certificate-withheld" in left:
        return (
            finding("certificate-withheld", subject, f"{words}; the server asks for certificates of other issuers"),
        )
    if evidence.certificate_set is True:
        left = [c for c in left if c != "certificate-required"]
    if evidence.withheld is False:
        left = [c for c in left if c != "certificate-withheld"]
    explained = _explained(left, subject, words, evidence)
    if explained:
        return explained
    if len(left) == 1:
        return (finding(left[0], subject, words),)
    if not left:
        return (finding(rule, subject, words),)
    options = "; ".join(f"{RULES[c].meaning.rstrip('.')} ({c})" for c in left)
    return (finding(rule, subject, f"{words}. It cannot tell more; one of: {options}", candidates=left),)


def _explained(left: list[str], subject: str, words: str, evidence: Evidence) -> tuple[Finding, ...]:
    peer = [f for f in evidence.peer if f.severity is Severity.ERROR and f.id in left]
    if peer:
        return tuple(peer)
    own = [f for f in evidence.own if f.severity is Severity.ERROR]
    direct = [f for f in own if f.id in left]
    if direct:
        return tuple(direct)
    if not _REFUSALS & set(left):
        return ()
    said = set(left) & _REFUSALS
    meant = set().union(*(_EXPLAINS[c] for c in said)) if said else set()
    faults = [f for f in own if f.id in meant]
    foreign = [f for f in faults if f.id in FOREIGN]
    plain = [f for f in faults if f.id not in FOREIGN]
    if plain:
        return tuple(plain)
    return tuple(finding("peer-distrusts-issuer", subject, f"{words}; our certificate: {f.message}") for f in foreign)
