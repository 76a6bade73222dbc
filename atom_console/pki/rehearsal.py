"""A TLS handshake of both sides in memory, with strict flags: OpenSSL's own verdict in a millisecond, no socket.

It is the second opinion on the local checks: what they pass and OpenSSL refuses is a finding of its own.
"""

from __future__ import annotations

import ssl
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache

from atom_console.pki.build import Issuer, build, default_subject
from atom_console.pki.contexts import context
from atom_console.pki.findings import Finding, finding
from atom_console.pki.keys import KeyType, generate
from atom_console.pki.material import Identity, Role, Trust
from atom_console.pki.names import San, SanKind, sans_in
from atom_console.pki.profiles import Kind, Profile, Usage

_STEPS = 10
# verify(1) of OpenSSL 3: X509_V_ERR_* → our id, for faults that the local checks missed.
VERIFY_CODES = {
    3: "crl-missing",
    7: "issuer-signature",
    9: "not-yet-valid",
    10: "expired",
    12: "crl-expired",
    18: "self-signed",
    19: "issuer-unknown",
    20: "issuer-not-found",
    21: "issuer-not-found",
    23: "revoked",
    24: "issuer-not-ca",
    25: "path-too-long",
    47: "name-constraint",
    48: "name-constraint",
    62: "name-mismatch",
    64: "address-mismatch",
    66: "key-weak",
    67: "key-weak",
    68: "signature-weak",
    79: "issuer-not-ca",
}


@dataclass(frozen=True, slots=True)
class Refusal:
    """Who refused whom in a rehearsal, in OpenSSL's words; `code` is 0 where it was not about a certificate."""

    by: Role
    code: int
    words: str


def rehearse(identity: Identity, trust: Trust, role: Role, *, host: str | None = None) -> Refusal | None:
    """Let a peer with this trust shake hands with this identity. The judge's clock is this host's.

    Returns:
        None where both sides are content.

    Raises:
        ssl.SSLError: OpenSSL does not even load the pair.
    """
    stand_in, stand_in_trust = _counterpart(datetime.now(UTC).date().isoformat())
    if role is Role.SERVER:
        name = host or _own_name(identity)
        server = context(Role.SERVER, stand_in_trust, identity)
        client = context(Role.CLIENT, trust, stand_in, check_host=name is not None)
    else:
        name = "counterpart.invalid"
        server = context(Role.SERVER, trust, stand_in)
        client = context(Role.CLIENT, stand_in_trust, identity)
    return shake(client, server, name)


def shake(client: ssl.SSLContext, server: ssl.SSLContext, name: str | None) -> Refusal | None:
    """Run a handshake between two contexts over memory, to the end of TLS 1.3's late client check."""
    to_client, to_server = ssl.MemoryBIO(), ssl.MemoryBIO()
    a = client.wrap_bio(to_client, to_server, server_side=False, server_hostname=name)
    b = server.wrap_bio(to_server, to_client, server_side=True)
    done: set[Role] = set()
    for _ in range(_STEPS):
        for role, side in ((Role.CLIENT, a), (Role.SERVER, b)):
            if role in done:
                continue
            try:
                side.do_handshake()
                done.add(role)
            except ssl.SSLWantReadError:
                continue
            except ssl.SSLCertVerificationError as error:
                return Refusal(role, error.verify_code, error.verify_message)
            except ssl.SSLError as error:
                return Refusal(role, 0, (error.reason or str(error)).replace("_", " ").lower())
    return None if len(done) == 2 else Refusal(Role.SERVER, 0, "the handshake did not end")


def opinion(identity: Identity, trust: Trust, role: Role, *, host: str | None = None) -> tuple[Finding, ...]:
    """The rehearsal as findings; empty where OpenSSL agrees that all is well."""
    try:
        refusal = rehearse(identity, trust, role, host=host)
    except (ssl.SSLError, ValueError) as error:
        words = getattr(error, "reason", None) or str(error)
        if "KEY_TOO_SMALL" in words:
            return (finding("key-weak", identity.label, "OpenSSL refuses to load it: the key is too small"),)
        if "MD_TOO_WEAK" in words:
            return (finding("signature-weak", identity.label, "OpenSSL refuses to load it: the digest is too weak"),)
        return (finding("openssl-refuses", identity.label, f"OpenSSL does not load the pair: {words}"),)
    if refusal is None:
        return ()
    rule = VERIFY_CODES.get(refusal.code, "openssl-refuses")
    if refusal.code == 26:
        rule = f"eku-{role}"
    return (
        finding(rule, identity.label, f"OpenSSL refuses it in memory: {refusal.words} (verify code {refusal.code})"),
    )


def _own_name(identity: Identity) -> str | None:
    for san in sans_in(identity.leaf.extensions)[0]:
        if san.kind is SanKind.IP or (san.kind is SanKind.DNS and not san.value.startswith("*.")):
            return san.value
    return None


@lru_cache(maxsize=1)
def _counterpart(_day: str) -> tuple[Identity, Trust]:
    """A throw-away peer that is beyond reproach, made anew each day."""
    now = datetime.now(UTC)
    both = (Usage.SERVER, Usage.CLIENT)
    root_profile = Profile("root", "rehearsal", Kind.ROOT, 3, 3)
    leaf_profile = Profile("leaf", "rehearsal", Kind.LEAF, 3, 3, extended_key_usage=both)
    root_key, key = generate(KeyType.EC_P256), generate(KeyType.EC_P256)
    subject = default_subject(root_profile, "atom-rehearsal")
    root = build(root_profile, subject, (), root_key.public_key(), root_key, now=now).certificate
    issuer = Issuer(root, root_key)
    sans = (San(SanKind.DNS, "counterpart.invalid"),)
    name = default_subject(leaf_profile, "counterpart")
    leaf = build(leaf_profile, name, sans, key.public_key(), issuer, now=now, life=timedelta(days=2)).certificate
    return Identity("counterpart", (leaf,), key), Trust("rehearsal", (root,))
