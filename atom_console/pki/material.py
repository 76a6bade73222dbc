"""What a check looks at: a side's certificate and key, and what it trusts; faults of the files are findings."""

from __future__ import annotations

import stat
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path

from cryptography import x509

from atom_console.pki import pem
from atom_console.pki.errors import FaultError
from atom_console.pki.files import exposure, read_file
from atom_console.pki.findings import Finding, finding
from atom_console.pki.keys import PrivateKey, load_pem, public_bytes
from atom_console.pki.passphrase import Passphrase, SecretBytes


class Role(StrEnum):
    """Which side of a connection presents the certificate."""

    SERVER = "server"
    CLIENT = "client"


@dataclass(frozen=True, slots=True)
class Identity:
    """What one side presents: leaf first, then what it sends of its CAs; the key where it is ours.

    Attributes:
        label: how findings name it: an inventory name, a file or an address.
        written_at: when the newest of its files was written, or None: evidence on a clock that went back.
    """

    label: str
    chain: tuple[x509.Certificate, ...]
    key: PrivateKey | None = field(default=None, repr=False)
    written_at: datetime | None = None

    @property
    def leaf(self) -> x509.Certificate:
        """Its own certificate."""
        return self.chain[0]


@dataclass(frozen=True, slots=True)
class Trust:
    """What one side believes.

    Attributes:
        anchors: the CA bundle.
        crls: revocation lists; with none, revocation is not checked, as OpenSSL does.
        known: CA certificates that are at hand but not trusted by this side; they tell a forgotten intermediate from a
            foreign CA.
    """

    label: str
    anchors: tuple[x509.Certificate, ...] = ()
    crls: tuple[x509.CertificateRevocationList, ...] = ()
    known: tuple[x509.Certificate, ...] = ()


@dataclass(frozen=True, slots=True)
class Read:
    """An identity, as far as the files gave one, and what is wrong with the files."""

    identity: Identity | None
    findings: tuple[Finding, ...]


def read_identity(
    cert: Path | None,
    key: Path | None,
    *,
    label: str | None = None,
    passphrase: Passphrase | None = None,
    extra_chain: Path | None = None,
) -> Read:
    """Read a pair as a client or server is configured with it. Never raises for a bad file: it is a finding.

    Args:
        cert: leaf, perhaps with intermediates.
        key: its private key; None together with `cert` is a side without a certificate.
        extra_chain: intermediates kept in a file of their own.
    """
    found: list[Finding] = []
    if cert is None or key is None:
        if cert is not None:
            found.append(finding("key-missing", label or str(cert), f"{cert} is given without its private key"))
        if key is not None:
            found.append(finding("certificate-missing", label or str(key), f"{key} is given without its certificate"))
        if cert is None:
            return Read(None, tuple(found))
    chain: tuple[x509.Certificate, ...] = ()
    for path in (cert, extra_chain):
        if path is not None:
            certificates, faults = read_certificates(path)
            chain += certificates
            found += faults
    private = None
    if key is not None:
        found += exposed_key(key)
        try:
            private = load_pem(SecretBytes(read_file(key)), str(key), passphrase)
        except FaultError as error:
            found.append(error.finding)
    if not chain or (extra_chain is None and any(f.id == "certificate-unparsable" for f in found)):
        return Read(None, tuple(found))
    name = label or str(cert)
    if private is not None and public_bytes(private.public_key()) != public_bytes(chain[0].public_key()):
        found.append(_mismatch(name, cert, key, chain, private))
    written = _newest(p for p in (cert, key, extra_chain) if p is not None)
    return Read(Identity(name, chain, private, written), tuple(found))


def _mismatch(
    name: str, cert: Path, key: Path | None, chain: Sequence[x509.Certificate], private: PrivateKey
) -> Finding:
    wanted = public_bytes(private.public_key())
    for certificate in chain[1:]:
        if public_bytes(certificate.public_key()) == wanted:
            return finding(
                "key-mismatch",
                name,
                f"the key {key} belongs to a later certificate of {cert}: the leaf must stand first",
                "put the leaf first in the file, then the intermediates",
            )
    return finding("key-mismatch", name, f"the key {key} does not belong to the certificate {cert}")


def read_certificates(path: Path) -> tuple[tuple[x509.Certificate, ...], list[Finding]]:
    """Every certificate of a PEM file, or the finding that says why there is none."""
    try:
        return tuple(pem.parse(read_file(path), str(path))), []
    except FaultError as error:
        return (), [error.finding]


def exposed_key(key: Path) -> list[Finding]:
    """`key-exposed` and `directory-exposed` of a key file."""
    found = []
    mode = exposure(key)
    if mode is not None:
        found.append(
            finding("key-exposed", str(key), f"mode {mode}; expected 0600", f"run: chmod 600 {key}; see the id's page")
        )
    try:
        parent = key.resolve().parent
        parent_mode = stat.S_IMODE(parent.stat().st_mode)
    except OSError:
        return found
    if parent_mode & 0o022 and not parent_mode & stat.S_ISVTX:
        found.append(
            finding(
                "directory-exposed",
                str(parent),
                f"the key's directory has mode {parent_mode:04o}: others can replace the key",
                f"run: chmod 700 {parent}",
            )
        )
    return found


def read_trust(
    bundle: Path | None, *, crl: Path | None = None, known: Iterable[x509.Certificate] = ()
) -> tuple[Trust, tuple[Finding, ...]]:
    """Read a CA bundle and revocation lists; faults of the files are findings."""
    found: list[Finding] = []
    anchors: tuple[x509.Certificate, ...] = ()
    if bundle is None:
        found.append(finding("trust-missing", "trust", "no CA bundle is given"))
    else:
        anchors, faults = read_certificates(bundle)
        found += [
            finding("trust-unparsable", f.subject, f.message) if f.id == "certificate-unparsable" else f for f in faults
        ]
    crls: tuple[x509.CertificateRevocationList, ...] = ()
    if crl is not None:
        crls, faults = read_crls(crl)
        found += faults
    return Trust(str(bundle) if bundle else "no CA bundle", anchors, crls, tuple(known)), tuple(found)


def read_crls(path: Path) -> tuple[tuple[x509.CertificateRevocationList, ...], list[Finding]]:
    """Every revocation list of a PEM file."""
    end = b"-----END X509 CRL-----"
    try:
        blocks = read_file(path).split(end)[:-1]
        crls = tuple(x509.load_pem_x509_crl(block[block.find(b"-----BEGIN X509 CRL") :] + end) for block in blocks)
    except FaultError as error:
        return (), [error.finding]
    except ValueError as error:
        return (), [finding("crl-unparsable", str(path), f"the revocation list cannot be parsed: {error}")]
    if not crls:
        return (), [finding("crl-unparsable", str(path), "the file holds no revocation list")]
    return crls, []


def _newest(paths: Iterable[Path]) -> datetime | None:
    times = []
    for path in paths:
        try:
            times.append(path.stat().st_mtime)
        except OSError:
            continue
    return datetime.fromtimestamp(max(times), tz=UTC) if times else None
