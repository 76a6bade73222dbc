"""Certificates as PEM text, in order."""

from __future__ import annotations

from collections.abc import Iterable

from cryptography import x509
from cryptography.hazmat.primitives import serialization

from atom_console.pki.errors import FaultError
from atom_console.pki.findings import finding


def dump(certificates: Iterable[x509.Certificate]) -> bytes:
    """PEM of certificates, in order."""
    return b"".join(c.public_bytes(serialization.Encoding.PEM) for c in certificates)


def parse(data: bytes, subject: str) -> list[x509.Certificate]:
    """Every certificate of a PEM file, in order.

    Raises:
        FaultError: `certificate-unparsable`.
    """
    try:
        certificates = x509.load_pem_x509_certificates(data)
        for certificate in certificates:
            list(certificate.extensions)
            certificate.public_key()
    except Exception as error:  # noqa: BLE001 (hostile DER raises whatever the parser meets first)
        why = str(error).split(". See https", 1)[0]
        raise FaultError(finding("certificate-unparsable", subject, f"no certificate can be read: {why}")) from None
    return certificates
