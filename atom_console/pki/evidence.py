"""Deciding between the things that a refusal may mean, by what is known of our own pair and of the peer's."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from atom_console.pki.findings import RULES, Finding, Severity, finding

# What a local finding on our own pair explains, of what a peer can say about it.
_EXPLAINS: Final = {
    "peer-says-expired": {"expired", "issuer-expired"},
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
    halves = tuple(f for f in evidence.own if f.id in {"key-missing", "certificate-missing"})
    if halves and "certificate-required" in left:
        return halves
    for known, settled, because in _settling(evidence):
        if known and settled in left:
            return (finding(settled, subject, f"{words}; {because}"),)
        if known is False:
            left = [c for c in left if c != settled]
    explained = _explained(left, subject, words, evidence)
    if explained:
        return explained
    if len(left) <= 1:
        return (finding(left[0] if left else rule, subject, words),)
    options = "; ".join(f"{RULES[c].meaning.rstrip('.')} ({c})" for c in left)
    return (finding(rule, subject, f"{words}. It cannot tell more; one of: {options}", candidates=left),)


def _settling(evidence: Evidence) -> tuple[tuple[bool | None, str, str], ...]:
    """Facts that settle a refusal where they hold, and rule one reading out where they do not."""
    plaintext = None if evidence.tls is None else not evidence.tls
    bare = None if evidence.certificate_set is None else not evidence.certificate_set
    return (
        (bare, "certificate-required", "no client certificate is set"),
        (plaintext, "tls-required", "this client speaks plaintext"),
        (evidence.withheld, "certificate-withheld", "the server asks for certificates of other issuers"),
        (evidence.withheld or None, "peer-distrusts-issuer", "the server asks for certificates of other issuers"),
    )


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
