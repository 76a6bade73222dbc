"""From a certificate to a trust anchor: the path, and the exact reason where there is none."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TypeVar

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.x509.oid import ExtendedKeyUsageOID

from atom_console.pki import constraints
from atom_console.pki.findings import Finding, finding
from atom_console.pki.inventory import CRITICAL_LEFT, key_id
from atom_console.pki.material import Identity, Role, Trust
from atom_console.pki.names import sans_in

_MAX_DEPTH = 10


@dataclass(frozen=True, slots=True)
class TrustPath:
    """The certificates from the leaf up, as far as they go; the last is an anchor where `anchored`."""

    links: tuple[x509.Certificate, ...]
    anchored: bool
    findings: tuple[Finding, ...]


def dn(certificate: x509.Certificate) -> str:
    """Its subject as text."""
    return certificate.subject.rfc4514_string() or "(empty subject)"


def utc(moment: datetime) -> str:
    """A moment as text, to the second."""
    return f"{moment:%Y-%m-%dT%H:%M:%SZ}"


def find_path(identity: Identity, trust: Trust, role: Role, now: datetime) -> TrustPath:
    """Walk from the leaf to an anchor, and judge every CA on the way."""
    links, broken = _walk(identity, trust)
    if broken is not None:
        return TrustPath(links, False, (broken,))
    found: list[Finding] = []
    for depth, ca in enumerate(links[1:], 1):
        found += _judge_ca(ca, links[:depth], role, now)
    return TrustPath(links, True, tuple(found))


def _walk(identity: Identity, trust: Trust) -> tuple[tuple[x509.Certificate, ...], Finding | None]:
    links = [identity.leaf]
    sent = identity.chain[1:]
    while len(links) <= _MAX_DEPTH:
        last = links[-1]
        if last in trust.anchors:
            return tuple(links), None
        # Anchors first: a cross-signed or re-sent root must not lead the walk past what is trusted.
        named = [c for c in (*trust.anchors, *sent) if c.subject == last.issuer and c not in links]
        issuer = next((c for c in named if _signed(last, c)), None)
        if issuer is None:
            return tuple(links), _no_issuer(identity, links, named, trust)
        links.append(issuer)
    return tuple(links), finding("path-too-long", identity.label, f"more than {_MAX_DEPTH} CAs stand in its chain")


def _signed(child: x509.Certificate, issuer: x509.Certificate) -> bool:
    if weak_digest(child) is not None:
        # MD5 and SHA-1 are not computed any more; the key identifiers tell who signed, and the digest is its own fault.
        return key_id(child, issuer=True) == key_id(issuer)
    try:
        child.verify_directly_issued_by(issuer)
    except (InvalidSignature, ValueError, TypeError, UnsupportedAlgorithm):
        return False
    return True


def weak_digest(certificate: x509.Certificate) -> str | None:
    """The name of a signature's digest that nobody should trust any more, or None."""
    try:
        digest = certificate.signature_hash_algorithm
    except UnsupportedAlgorithm:
        return None
    return digest.name if isinstance(digest, hashes.MD5 | hashes.SHA1) else None


def _no_issuer(
    identity: Identity, links: Sequence[x509.Certificate], named: Sequence[x509.Certificate], trust: Trust
) -> Finding:
    last = links[-1]
    trusted = ", ".join(dict.fromkeys(dn(c) for c in trust.anchors)) or "nothing"
    wanted = last.issuer.rfc4514_string()
    if last.subject == last.issuer and _signed(last, last):
        if len(links) == 1:
            return finding("self-signed", identity.label, f"{dn(last)} is self-signed; trusted is {trusted}")
        return finding(
            "issuer-unknown",
            identity.label,
            f"its chain ends at {dn(last)}, which is not trusted; trusted is {trusted}",
        )
    if named:
        return finding(
            "issuer-signature",
            identity.label,
            f"{dn(last)} names the issuer {wanted}, and a CA of that name is at hand, but its key did not sign it",
        )
    bridge = next((c for c in trust.known if c.subject == last.issuer and _signed(last, c)), None)
    if bridge is not None and _leads_to_anchor(bridge, trust):
        return finding(
            "intermediate-missing",
            identity.label,
            f"{dn(last)} was issued by {wanted}, which was not sent; the root above it is trusted",
        )
    if bridge is not None or len(links) > 1:
        return finding(
            "issuer-unknown", identity.label, f"its chain ends at {wanted}, which is not trusted; trusted is {trusted}"
        )
    return finding(
        "issuer-not-found",
        identity.label,
        f"{dn(last)} was issued by {wanted}, which was neither sent nor is trusted; trusted is {trusted}: one of "
        "a forgotten intermediate, a wrong CA",
        candidates=("intermediate-missing", "issuer-unknown"),
    )


def _leads_to_anchor(ca: x509.Certificate, trust: Trust) -> bool:
    pool = (*trust.anchors, *trust.known)
    for _ in range(_MAX_DEPTH):
        if ca in trust.anchors:
            return True
        above = next((c for c in pool if c.subject == ca.issuer and c != ca and _signed(ca, c)), None)
        if above is None:
            return False
        ca = above
    return False


def _judge_ca(ca: x509.Certificate, below: Sequence[x509.Certificate], role: Role, now: datetime) -> Iterable[Finding]:
    name = dn(ca)
    yield from _dates(ca, name, now)
    basic = _extension(ca, x509.BasicConstraints)
    usage = _extension(ca, x509.KeyUsage)
    if basic is None or not basic.ca:
        yield finding("issuer-not-ca", name, f"{name} signed {dn(below[-1])}, but is no CA")
    elif usage is not None and not usage.key_cert_sign:
        yield finding("issuer-not-ca", name, f"{name} may not sign certificates: its key usage lacks keyCertSign")
    between = [c for c in below[1:] if c.subject != c.issuer]
    if basic is not None and basic.path_length is not None and len(between) > basic.path_length:
        yield finding("path-too-long", name, f"{name} allows {basic.path_length} CAs below it; here are {len(between)}")
    purposes = _extension(ca, x509.ExtendedKeyUsage)
    needed = ExtendedKeyUsageOID.SERVER_AUTH if role is Role.SERVER else ExtendedKeyUsageOID.CLIENT_AUTH
    if purposes is not None and not {needed, ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE} & set(purposes):
        yield finding("issuer-eku", name, f"{name} may not sign for a {role}: its extended key usage lacks {role}Auth")
    limits = _extension(ca, x509.NameConstraints)
    if limits is not None:
        broken = constraints.violation(sans_in(below[0].extensions)[0], limits)
        if broken is not None:
            yield finding("name-constraint", dn(below[0]), f"{broken[0]} may not be signed by {name}: {broken[1]}")


def _dates(ca: x509.Certificate, name: str, now: datetime) -> Iterable[Finding]:
    start, end = ca.not_valid_before_utc, ca.not_valid_after_utc
    if now >= end:
        yield finding("issuer-expired", name, f"{name} expired at {utc(end)}; it is now {utc(now)}")
    elif now < start:
        yield finding(
            "issuer-not-yet-valid",
            name,
            f"{name} is valid from {utc(start)}; it is now {utc(now)}",
        )
    elif (end - now) / (end - start) < CRITICAL_LEFT:
        yield finding("issuer-expires-soon", name, f"{name} ends in {(end - now) / timedelta(days=1):.1f} days")


_X = TypeVar("_X", bound=x509.ExtensionType)


def _extension(certificate: x509.Certificate, kind: type[_X]) -> _X | None:
    try:
        return certificate.extensions.get_extension_for_class(kind).value
    except x509.ExtensionNotFound:
        return None


def revocation(path: TrustPath, trust: Trust, label: str, now: datetime) -> Iterable[Finding]:
    """What the revocation lists say of every certificate of an anchored path below its root."""
    if not trust.crls or not path.anchored:
        return
    for child, issuer in zip(path.links, path.links[1:], strict=False):
        lists = [c for c in trust.crls if c.issuer == issuer.subject and _valid_list(c, issuer)]
        if not lists:
            yield finding("crl-missing", label, f"the revocation lists hold none of {dn(issuer)}")
            continue
        newest = max(lists, key=lambda c: c.last_update_utc)
        due = newest.next_update_utc
        if due is not None and now >= due:
            yield finding("crl-expired", label, f"the list of {dn(issuer)} was due at {utc(due)}")
        elif due is not None and due - now < timedelta(days=2):
            yield finding("crl-expires-soon", label, f"the list of {dn(issuer)} is due at {utc(due)}")
        entry = newest.get_revoked_certificate_by_serial_number(child.serial_number)
        if entry is not None:
            which = "revoked" if child is path.links[0] else "issuer-revoked"
            yield finding(which, label, f"{dn(child)} was revoked at {utc(entry.revocation_date_utc)}")


def _valid_list(crl: x509.CertificateRevocationList, issuer: x509.Certificate) -> bool:
    try:
        return crl.is_signature_valid(issuer.public_key())  # type: ignore[arg-type] # a CA's key can sign
    except (TypeError, ValueError, UnsupportedAlgorithm):
        return False
