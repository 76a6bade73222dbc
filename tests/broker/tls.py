"""A throw-away certificate authority for the SSL listener: EC P-256, valid one day, loopback names only."""

from __future__ import annotations

import datetime as dt
import ipaddress
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, load_pem_private_key
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID


@dataclass(frozen=True, slots=True)
class Identity:
    """A certificate and its key as files, and the authority that signed it."""

    cert: Path
    key: Path
    ca: Path

    @property
    def librdkafka(self) -> dict[str, str]:
        """The client properties that use this identity."""
        return {
            "security.protocol": "ssl",
            "ssl.ca.location": str(self.ca),
            "ssl.certificate.location": str(self.cert),
            "ssl.key.location": str(self.key),
        }


@dataclass(frozen=True, slots=True)
class ListenerTls:
    """What the SSL listener of a broker reads: PEM, key (PKCS#8) and chain in one file, and the trusted authorities."""

    keystore: Path
    truststore: Path


@dataclass(frozen=True, slots=True)
class TestAuthority:
    """An authority in a directory; several processes of one test session may use the same directory."""

    __test__ = False
    directory: Path

    @property
    def ca(self) -> Path:
        """The certificate of the authority."""
        return self.directory / "ca.pem"

    @classmethod
    def create(cls, directory: Path) -> TestAuthority:
        """Make the authority's key and certificate."""
        directory.mkdir(parents=True)
        key = ec.generate_private_key(ec.SECP256R1())
        name = _name("Test Authority")
        cert = (
            _builder(name, name, key)
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(_usage(signs_certificates=True), critical=True)
            .sign(key, hashes.SHA256())
        )
        (directory / "ca.key").write_bytes(_pkcs8(key))
        authority = cls(directory)
        authority.ca.write_bytes(cert.public_bytes(Encoding.PEM))
        return authority

    def issue(self, common_name: str) -> Identity:
        """A certificate for `CN=common_name` that serves as client and as server on loopback."""
        issuer = x509.load_pem_x509_certificate(self.ca.read_bytes())
        issuer_key = load_pem_private_key((self.directory / "ca.key").read_bytes(), None)
        assert isinstance(issuer_key, ec.EllipticCurvePrivateKey)
        key = ec.generate_private_key(ec.SECP256R1())
        loopback = [x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
        usage = [ExtendedKeyUsageOID.CLIENT_AUTH, ExtendedKeyUsageOID.SERVER_AUTH]
        cert = (
            _builder(_name(common_name), issuer.subject, key)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_usage(signs_certificates=False), critical=True)
            .add_extension(x509.ExtendedKeyUsage(usage), critical=False)
            .add_extension(x509.SubjectAlternativeName(loopback), critical=False)
            .sign(issuer_key, hashes.SHA256())
        )
        stem = self.directory / f"{common_name}-{cert.serial_number:x}"
        identity = Identity(stem.with_suffix(".pem"), stem.with_suffix(".key"), self.ca)
        identity.key.write_bytes(_pkcs8(key))
        identity.cert.write_bytes(cert.public_bytes(Encoding.PEM))
        return identity

    def listener(self) -> ListenerTls:
        """The two files of a broker's SSL listener."""
        identity = self.issue("broker")
        keystore = identity.cert.with_suffix(".keystore.pem")
        keystore.write_bytes(identity.key.read_bytes() + identity.cert.read_bytes())
        return ListenerTls(keystore, self.ca)


def _name(common_name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])


def _builder(subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePrivateKey) -> x509.CertificateBuilder:
    now = dt.datetime.now(dt.UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(minutes=5))
        .not_valid_after(now + dt.timedelta(days=1))
    )


def _usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        encipher_only=False,
        decipher_only=False,
    )


def _pkcs8(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
