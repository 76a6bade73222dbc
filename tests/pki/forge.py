"""Certificates with any fault, which the product refuses to make."""

from __future__ import annotations

import datetime as dt
import ipaddress
import secrets
from dataclasses import dataclass, field
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID

SERVER = ExtendedKeyUsageOID.SERVER_AUTH
CLIENT = ExtendedKeyUsageOID.CLIENT_AUTH
BOTH = (SERVER, CLIENT)
NOW = dt.datetime.now(dt.UTC)


def general(text: str) -> x509.GeneralName:
    kind, _, value = text.partition(":")
    if kind == "DNS":
        return x509.DNSName(value)
    if kind == "URI":
        return x509.UniformResourceIdentifier(value)
    return x509.IPAddress(ipaddress.ip_network(value) if "/" in value else ipaddress.ip_address(value))


@dataclass
class Made:
    cert: x509.Certificate
    key: object
    above: list[Made] = field(default_factory=list)

    def pem(self, *, chain: bool = True) -> bytes:
        certs = [self.cert, *([m.cert for m in self.above] if chain else [])]
        return b"".join(c.public_bytes(serialization.Encoding.PEM) for c in certs)

    def key_pem(self, passphrase: bytes | None = None) -> bytes:
        how = serialization.BestAvailableEncryption(passphrase) if passphrase else serialization.NoEncryption()
        return self.key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, how)


def make(
    cn: str,
    issuer: Made | None = None,
    *,
    ca: bool = False,
    pathlen: int | None = None,
    start: float = -1,
    end: float = 60,
    eku=BOTH,
    sans: tuple[str, ...] = ("DNS:localhost", "IP:127.0.0.1"),
    key=None,
    digest=None,
    aki: bool = True,
    usage: bool = True,
    permitted: tuple[str, ...] = (),
    sign_with=None,
) -> Made:
    """A certificate; `start` and `end` in days from now, `sign_with` another key than the issuer's."""
    key = key or ec.generate_private_key(ec.SECP256R1())
    name = x509.Name.from_rfc4514_string(f"CN={cn}")
    public = key.public_key()
    ski = x509.SubjectKeyIdentifier.from_public_key(public)
    builder = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(issuer.cert.subject if issuer else name)
        .public_key(public)
        .serial_number(secrets.randbits(120) | 1)
        .not_valid_before(NOW + dt.timedelta(days=start))
        .not_valid_after(NOW + dt.timedelta(days=end))
        .add_extension(x509.BasicConstraints(ca, pathlen if ca else None), critical=True)
        .add_extension(ski, critical=False)
    )
    if usage:
        flags = dict.fromkeys(
            (
                "content_commitment",
                "key_encipherment",
                "data_encipherment",
                "key_agreement",
                "encipher_only",
                "decipher_only",
            ),
            False,
        )
        builder = builder.add_extension(
            x509.KeyUsage(digital_signature=not ca, key_cert_sign=ca, crl_sign=ca, **flags), critical=True
        )
    if aki and issuer:
        parent = issuer.cert.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
        builder = builder.add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(parent), critical=False
        )
    if eku and not ca:
        builder = builder.add_extension(x509.ExtendedKeyUsage(eku), critical=False)
    if sans and not ca:
        builder = builder.add_extension(x509.SubjectAlternativeName([general(s) for s in sans]), critical=False)
    if permitted:
        builder = builder.add_extension(x509.NameConstraints([general(p) for p in permitted], None), critical=True)
    signer = sign_with or (issuer.key if issuer else key)
    cert = builder.sign(signer, digest or hashes.SHA256())
    above = [issuer, *issuer.above] if issuer and issuer.cert.subject != issuer.cert.issuer else []
    return Made(cert, key, above)


def weak_key():
    return rsa.generate_private_key(public_exponent=65537, key_size=1024)


def crl(issuer: Made, revoked: tuple[Made, ...] = (), *, due: float = 30) -> bytes:
    """A PEM revocation list; `due` in days from now."""
    ski = issuer.cert.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
    builder = (
        x509.CertificateRevocationListBuilder()
        .issuer_name(issuer.cert.subject)
        .last_update(NOW - dt.timedelta(days=40))
        .next_update(NOW + dt.timedelta(days=due))
        .add_extension(x509.CRLNumber(1), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(ski), critical=False)
    )
    for made in revoked:
        builder = builder.add_revoked_certificate(
            x509.RevokedCertificateBuilder()
            .serial_number(made.cert.serial_number)
            .revocation_date(NOW - dt.timedelta(days=2))
            .build()
        )
    return builder.sign(issuer.key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)


def write(path: Path, data: bytes, mode: int = 0o600) -> Path:
    path.write_bytes(data)
    path.chmod(mode)
    return path
