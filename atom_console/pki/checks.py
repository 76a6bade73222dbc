"""Local checks of one side: everything that can be known of a certificate without talking to anybody.

gRPC says "Socket closed" and librdkafka one sentence for every refused certificate, so most faults are only found here.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta
from itertools import pairwise

from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID

from atom_console.pki.chain import TrustPath, dn, find_path, revocation, utc, weak_digest
from atom_console.pki.findings import Finding, finding
from atom_console.pki.inventory import CRITICAL_LEFT, RENEW_AT
from atom_console.pki.keys import describe, weakness
from atom_console.pki.material import Identity, Role, Trust
from atom_console.pki.names import SanKind, is_address, matches_host, sans_in

LONGEST_LIFE = timedelta(days=398, hours=1)
_PURPOSE = {Role.SERVER: ExtendedKeyUsageOID.SERVER_AUTH, Role.CLIENT: ExtendedKeyUsageOID.CLIENT_AUTH}


def check(
    identity: Identity, trust: Trust, role: Role, *, host: str | None = None, now: datetime
) -> tuple[Finding, ...]:
    """Every fault of what one side presents, as a peer with this trust would judge it.

    Args:
        host: the name or address that a client dials; only of a server.
        now: the judge's clock, UTC.
    """
    leaf, label = identity.leaf, identity.label
    # Without a bundle nobody's chain ends well: that the bundle is missing is the fault.
    path = find_path(identity, trust, role, now) if trust.anchors else TrustPath((leaf,), False, ())
    return (
        *_dates(identity, now),
        *_purpose(leaf, label, role),
        *_names(leaf, label, role, host),
        *path.findings,
        *revocation(path, trust, label, now),
        *_strength(path),
        *_strict(path),
        *_order(identity, path),
        *_old_anchors(trust, now),
    )


def _dates(identity: Identity, now: datetime) -> Iterable[Finding]:
    leaf, label = identity.leaf, identity.label
    start, end = leaf.not_valid_before_utc, leaf.not_valid_after_utc
    if now < start:
        if identity.written_at is not None and identity.written_at > now + timedelta(minutes=1):
            yield finding(
                "clock-behind",
                label,
                f"this host says {utc(now)}, but the certificate's file was written at {utc(identity.written_at)}",
            )
        else:
            yield finding("not-yet-valid", label, f"it is valid from {utc(start)}; it is now {utc(now)}")
        return
    if now >= end:
        yield finding("expired", label, f"it expired at {utc(end)}; it is now {utc(now)}")
        return
    left = (end - now) / (end - start)
    days = f"{(end - now) / timedelta(days=1):.1f} days left, {left:.0%} of its life"
    if left < CRITICAL_LEFT:
        yield finding("expires-soon", label, days)
    elif left <= 1 - RENEW_AT:
        yield finding("renew-now", label, days)
    if end - start > LONGEST_LIFE:
        yield finding("lifetime-long", label, f"it lives {(end - start).days} days")


def _purpose(leaf: x509.Certificate, label: str, role: Role) -> Iterable[Finding]:
    extensions = leaf.extensions
    try:
        if extensions.get_extension_for_class(x509.BasicConstraints).value.ca:
            yield finding("leaf-is-ca", label, f"{dn(leaf)} is a CA certificate")
    except x509.ExtensionNotFound:
        pass
    try:
        if not extensions.get_extension_for_class(x509.KeyUsage).value.digital_signature:
            yield finding("key-usage", label, "its key usage lacks digitalSignature")
    except x509.ExtensionNotFound:
        pass
    try:
        usages = extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    except x509.ExtensionNotFound:
        yield finding("eku-absent", label, "it has no extended key usage")
        return
    if not {_PURPOSE[role], ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE} & set(usages):
        has = ", ".join(usage._name for usage in usages)
        yield finding(f"eku-{role}", label, f"it is for {has}; a {role} needs {role}Auth")


def _names(leaf: x509.Certificate, label: str, role: Role, host: str | None) -> Iterable[Finding]:
    sans, others = sans_in(leaf.extensions)
    if not sans and not others:
        yield finding("san-missing", label, f"{dn(leaf)} has no subject alternative name; the common name is not read")
        return
    if role is Role.CLIENT or host is None or matches_host(sans, host):
        return
    named = ", ".join(map(str, sans)) or "no name a client matches"
    if is_address(host):
        yield finding(
            "address-mismatch",
            label,
            f"the server is {named}; you dialled the address {host}",
            f"dial one of its names, or issue with --san IP:{host}",
        )
        return
    hint = f"dial one of its names, or issue with --san DNS:{host}"
    if host.endswith(".") and matches_host(sans, host.rstrip(".")):
        hint = f"dial {host.rstrip('.')}: the dot at the end is compared too"
    usable = any(san.kind in {SanKind.DNS, SanKind.IP} for san in sans)
    rule = "name-mismatch" if usable else "san-missing"
    yield finding(rule, label, f"the server is {named}; you dialled {host}", hint)


def _strength(path: TrustPath) -> Iterable[Finding]:
    for depth, certificate in enumerate(path.links):
        name = dn(certificate)
        weak = weakness(certificate.public_key())
        if weak is not None:
            yield finding("key-weak", name, f"the key of {name} is {weak}")
        anchor = path.anchored and depth == len(path.links) - 1
        # An anchor is trusted by itself, its own signature is not looked at.
        digest = weak_digest(certificate)
        if digest is not None and not anchor:
            yield finding("signature-weak", name, f"{name} is signed with {digest}")
    if path.links and describe(path.links[0].public_key()) == "ed25519":
        yield finding("key-ed25519", dn(path.links[0]), "its key is Ed25519")


def _strict(path: TrustPath) -> Iterable[Finding]:
    for depth, certificate in enumerate(path.links):
        anchor = path.anchored and depth == len(path.links) - 1
        for what in _broken_rules(certificate, anchor=anchor):
            yield finding("strict-x509", dn(certificate), f"{dn(certificate)}: {what}")


def _broken_rules(certificate: x509.Certificate, *, anchor: bool) -> Iterable[str]:
    extensions = certificate.extensions
    present = {extension.oid: extension for extension in extensions}
    basic = present.get(x509.BasicConstraints.oid)
    ca = basic is not None and isinstance(basic.value, x509.BasicConstraints) and basic.value.ca
    if ca and basic is not None and not basic.critical:
        yield "BasicConstraints of a CA is not critical (RFC 5280 §4.2.1.9)"
    if ca and x509.KeyUsage.oid not in present:
        yield "a CA without key usage (RFC 5280 §4.2.1.3)"
    if ca and x509.SubjectKeyIdentifier.oid not in present:
        yield "a CA without subject key identifier (RFC 5280 §4.2.1.2)"
    self_issued = certificate.subject == certificate.issuer
    if not self_issued and not anchor and x509.AuthorityKeyIdentifier.oid not in present:
        yield "no authority key identifier (RFC 5280 §4.2.1.1)"
    if certificate.serial_number <= 0:
        yield "the serial is not positive (RFC 5280 §4.1.2.2)"


def _order(identity: Identity, path: TrustPath) -> Iterable[Finding]:
    sent = identity.chain
    if len(sent) > 1:
        top = sent[-1]
        if top.subject == top.issuer:
            yield finding("root-in-chain", identity.label, f"the chain carries the root {dn(top)}")
        followed = all(a.issuer == b.subject for a, b in pairwise(sent))
        if not followed:
            yield finding("chain-order", identity.label, f"the chain is {' | '.join(dn(c) for c in sent)}")
    if path.anchored and len(path.links) > 1:
        anchor = path.links[-1]
        if anchor.subject != anchor.issuer:
            yield finding("anchor-not-root", identity.label, f"the bundle trusts {dn(anchor)}, which is no root")


def _old_anchors(trust: Trust, now: datetime) -> Iterable[Finding]:
    for anchor in trust.anchors:
        if now >= anchor.not_valid_after_utc:
            yield finding("trust-expired", trust.label, f"{dn(anchor)} expired at {utc(anchor.not_valid_after_utc)}")
