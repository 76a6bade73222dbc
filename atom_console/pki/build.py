"""Building certificates, CSRs and revocation lists from a profile: pure, no files.

Every certificate keeps RFC 5280 as strict verifiers hold it: critical BasicConstraints and KeyUsage, subject and
authority key identifiers, a positive random serial of 159 bits, and an end not later than its issuer's.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ed25519
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from atom_console.pki import constraints
from atom_console.pki.errors import RequestError
from atom_console.pki.keys import PrivateKey, PublicKey, digest_for
from atom_console.pki.names import San, SanKind, general_names
from atom_console.pki.profiles import Kind, Profile, Usage

# Peers whose clocks lag a little must not call a new certificate "not yet valid".
BACKDATE = timedelta(minutes=5)
_USAGES = {Usage.SERVER: ExtendedKeyUsageOID.SERVER_AUTH, Usage.CLIENT: ExtendedKeyUsageOID.CLIENT_AUTH}


@dataclass(frozen=True, slots=True)
class Issuer:
    """A CA that can sign: its certificate, its key, and the CAs above it that a peer must be sent (root left out)."""

    certificate: x509.Certificate
    key: PrivateKey
    above: tuple[x509.Certificate, ...] = ()

    @property
    def chain(self) -> tuple[x509.Certificate, ...]:
        """What a leaf of this issuer is sent with: the issuer and those above it, without a root."""
        is_root = self.certificate.subject == self.certificate.issuer
        return () if is_root else (self.certificate, *self.above)


@dataclass(frozen=True, slots=True)
class Built:
    """A new certificate and what the operator should know about it."""

    certificate: x509.Certificate
    notices: tuple[str, ...] = ()


def default_subject(profile: Profile, name: str) -> x509.Name:
    """`CN=name`, with the profile's organization: short, because Kafka ACLs spell the whole subject."""
    attributes = [x509.NameAttribute(NameOID.COMMON_NAME, name)]
    if profile.organization:
        attributes.append(x509.NameAttribute(NameOID.ORGANIZATION_NAME, profile.organization))
    return x509.Name(attributes)


def build(
    profile: Profile,
    subject: x509.Name,
    sans: Sequence[San],
    public_key: PublicKey,
    issuer: Issuer | PrivateKey,
    *,
    now: datetime,
    life: timedelta | None = None,
) -> Built:
    """Sign one certificate.

    Args:
        issuer: the CA, or for a root its own key.
        now: the moment of issue, UTC.
        life: how long, from now; None is the profile's own.

    Raises:
        RequestError: the profile or the issuer does not allow it; the message says which.
    """
    parent = issuer.certificate if isinstance(issuer, Issuer) else None
    signing_key = issuer.key if isinstance(issuer, Issuer) else issuer
    _check_request(profile, sans, life)
    if parent is not None:
        _check_issuer(parent, profile, sans, now)
    end, notices = _end(profile, parent, now, life)
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(parent.subject if parent else subject)
        .public_key(public_key)
        .serial_number(x509.random_serial_number())
        .not_valid_before((now - BACKDATE).replace(microsecond=0))
        .not_valid_after(end)
    )
    for extension, critical in _extensions(profile, sans, public_key, parent):
        builder = builder.add_extension(extension, critical=critical)
    if isinstance(public_key, ed25519.Ed25519PublicKey):
        notices = (*notices, "Ed25519: Java before 15 and some FIPS builds refuse it")
    return Built(builder.sign(signing_key, digest_for(signing_key)), notices)


def _check_request(profile: Profile, sans: Sequence[San], life: timedelta | None) -> None:
    if life is not None and not timedelta(0) < life <= timedelta(days=profile.max_days):
        raise RequestError(
            f"a life of {life / timedelta(days=1):g} days is outside profile {profile.name}: "
            f"more than 0, at most {profile.max_days}",
            next_step="ask for fewer days, or write a profile of your own with a larger max_days",
        )
    if profile.is_ca:
        if sans:
            raise RequestError(f"profile {profile.name} is a CA and carries no SAN", next_step="leave the SANs out")
        return
    if not sans:
        raise RequestError(
            f"profile {profile.name} needs at least one SAN: clients do not read the common name",
            next_step="add --san DNS:name (or IP:, URI:, EMAIL:)",
        )
    for san in sans:
        if san.kind not in profile.san_types:
            raise RequestError(
                f"profile {profile.name} does not allow {san}: only {', '.join(profile.san_types)}",
                next_step="use another profile, or write one of your own",
            )
    if profile.serves and not any(san.kind in {SanKind.DNS, SanKind.IP} for san in sans):
        raise RequestError(f"profile {profile.name} is dialled: it needs a DNS or IP name", next_step="add --san DNS:…")


def _check_issuer(parent: x509.Certificate, profile: Profile, sans: Sequence[San], now: datetime) -> None:
    name = parent.subject.rfc4514_string()
    if parent.not_valid_after_utc <= now:
        raise RequestError(f"the issuer {name} has expired", next_step="run: atom-console certs rotate-ca")
    basic = parent.extensions.get_extension_for_class(x509.BasicConstraints).value
    if profile.is_ca and basic.path_length is not None and basic.path_length <= profile.path_length:
        raise RequestError(
            f"the issuer {name} allows {basic.path_length} CAs below it; this profile needs more",
            next_step="issue it from the root, or lower path_length",
        )
    try:
        limits = parent.extensions.get_extension_for_class(x509.NameConstraints).value
    except x509.ExtensionNotFound:
        return
    broken = constraints.violation(sans, limits)
    if broken is not None:
        raise RequestError(
            f"the issuer {name} may not sign {broken[0]}: {broken[1]}",
            next_step="use a permitted name, or a CA that permits it",
        )


def _end(
    profile: Profile, parent: x509.Certificate | None, now: datetime, life: timedelta | None
) -> tuple[datetime, tuple[str, ...]]:
    wanted = (now + (life or timedelta(days=profile.days))).replace(microsecond=0)
    if parent is None or wanted <= parent.not_valid_after_utc:
        return wanted, ()
    end = parent.not_valid_after_utc
    days = (end - now) / timedelta(days=1)
    return end, (f"clipped to the end of its issuer: {end:%Y-%m-%dT%H:%M:%SZ}, {days:.1f} days",)


def _extensions(
    profile: Profile, sans: Sequence[San], public_key: PublicKey, parent: x509.Certificate | None
) -> Iterable[tuple[x509.ExtensionType, bool]]:
    own_id = x509.SubjectKeyIdentifier.from_public_key(public_key)
    yield x509.BasicConstraints(ca=profile.is_ca, path_length=profile.path_length if profile.is_ca else None), True
    yield _key_usage(profile.is_ca), True
    if profile.extended_key_usage:
        yield x509.ExtendedKeyUsage([_USAGES[usage] for usage in profile.extended_key_usage]), False
    if sans:
        yield x509.SubjectAlternativeName(general_names(sans)), False
    yield own_id, False
    parent_id = parent.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value if parent else own_id
    yield x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(parent_id), False
    limits = constraints.to_extension(profile.permitted, profile.excluded)
    if limits is not None:
        yield limits, True
    if profile.crl_urls and profile.kind is not Kind.ROOT:
        yield _distribution_points(profile.crl_urls), False


def _key_usage(ca: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not ca,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=ca,
        crl_sign=ca,
        encipher_only=False,
        decipher_only=False,
    )


def _distribution_points(urls: Iterable[str]) -> x509.CRLDistributionPoints:
    names = [x509.UniformResourceIdentifier(url) for url in urls]
    return x509.CRLDistributionPoints([x509.DistributionPoint([name], None, None, None) for name in names])


def build_csr(profile: Profile, subject: x509.Name, sans: Sequence[San], key: PrivateKey) -> bytes:
    """A PEM certificate request for a CA that is not ours, asking for what the profile says.

    Raises:
        RequestError: the profile does not allow it.
    """
    _check_request(profile, sans, None)
    builder = x509.CertificateSigningRequestBuilder().subject_name(subject)
    builder = builder.add_extension(_key_usage(profile.is_ca), critical=True)
    if profile.extended_key_usage:
        usages = [_USAGES[usage] for usage in profile.extended_key_usage]
        builder = builder.add_extension(x509.ExtendedKeyUsage(usages), critical=False)
    if sans:
        builder = builder.add_extension(x509.SubjectAlternativeName(general_names(sans)), critical=False)
    return builder.sign(key, digest_for(key)).public_bytes(serialization.Encoding.PEM)


def build_crl(
    issuer: Issuer,
    revoked: Iterable[tuple[int, datetime, x509.ReasonFlags]],
    *,
    number: int,
    now: datetime,
    life: timedelta,
) -> x509.CertificateRevocationList:
    """A revocation list of one issuer (RFC 5280 §5), valid from five minutes ago.

    Args:
        revoked: serial, moment, reason.
        number: grows with every list.
    """
    own_id = issuer.certificate.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
    builder = (
        x509.CertificateRevocationListBuilder()
        .issuer_name(issuer.certificate.subject)
        .last_update((now - BACKDATE).replace(microsecond=0))
        .next_update((now + life).replace(microsecond=0))
        .add_extension(x509.CRLNumber(number), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(own_id), critical=False)
    )
    for serial, at, reason in revoked:
        entry = x509.RevokedCertificateBuilder().serial_number(serial).revocation_date(at.replace(microsecond=0))
        if reason is not x509.ReasonFlags.unspecified:
            entry = entry.add_extension(x509.CRLReason(reason), critical=False)
        builder = builder.add_revoked_certificate(entry.build())
    return builder.sign(issuer.key, digest_for(issuer.key))
