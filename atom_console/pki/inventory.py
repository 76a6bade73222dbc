"""The inventory: what certificates there are, read from the version directories, kept in one file for readers."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from pathlib import Path
from typing import Any, Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes

from atom_console.pki.errors import StoreDamagedError
from atom_console.pki.keys import describe
from atom_console.pki.names import sans_in
from atom_console.pki.profiles import Kind
from atom_console.times import format_ms

FORMAT: Final = 1
RENEW_AT: Final = 2 / 3
WARN_LEFT: Final = 0.30
CRITICAL_LEFT: Final = 0.10


class Status(StrEnum):
    """What the files say of a certificate; whether its time has come is `Entry.state`."""

    ACTIVE = "active"
    STAGED = "staged"
    SUPERSEDED = "superseded"
    RETIRED = "retired"
    REVOKED = "revoked"


@dataclass(frozen=True, slots=True)
class Request:
    """What was asked for, so that a renewal asks for the same. `life_s` is None where the profile decides."""

    sans: tuple[str, ...] = ()
    subject: str | None = None
    key_type: str | None = None
    life_s: int | None = None

    def to_json(self) -> dict[str, Any]:
        """As `meta.json` keeps it."""
        return {"sans": list(self.sans), "subject": self.subject, "key_type": self.key_type, "life_s": self.life_s}

    @classmethod
    def from_json(cls, table: Mapping[str, Any]) -> Request:
        """The inverse of `to_json`."""
        return cls(tuple(table["sans"]), table["subject"], table["key_type"], table["life_s"])


@dataclass(frozen=True, slots=True)
class Entry:
    """One certificate of the inventory. Times are Unix milliseconds; serial and fingerprints are lower-case hex.

    Attributes:
        key: its key file, or None where only the certificate is here (signed for others, or a CA whose key is offline).
        chain: the file to give a server or client: leaf, then intermediates.
        origin: `issued` here, `signed` for a foreign CSR, or `imported` from a company CA.
    """

    name: str
    profile: str
    kind: Kind
    serial: str
    fingerprint: str
    subject: str
    sans: tuple[str, ...]
    issuer: str
    issuer_id: str
    subject_id: str
    not_before_ms: int
    not_after_ms: int
    key_type: str
    status: Status
    origin: str
    issued_at_ms: int
    cert: Path
    chain: Path
    key: Path | None
    request: Request = field(default_factory=Request)

    @property
    def directory(self) -> Path:
        """Its version directory: certificate and key switch with it, together."""
        return self.cert.parent

    def left(self, now: datetime) -> float:
        """The share of its life that is left: 1 new, 0 or less expired."""
        whole = self.not_after_ms - self.not_before_ms
        return (self.not_after_ms - _ms(now)) / whole if whole > 0 else 0.0

    def days_left(self, now: datetime) -> float:
        """Days until its end; negative after it."""
        return (self.not_after_ms - _ms(now)) / 86_400_000

    def due(self, now: datetime) -> bool:
        """Whether two thirds of its life are over."""
        return self.left(now) <= 1 - RENEW_AT

    def state(self, now: datetime) -> str:
        """One word or two for a list: `ok`, `renew now`, `expired`, `not yet valid`, or the status."""
        if self.status is not Status.ACTIVE:
            return self.status.value
        if _ms(now) >= self.not_after_ms:
            return "expired"
        if _ms(now) < self.not_before_ms:
            return "not yet valid"
        return "renew now" if self.due(now) else "ok"

    def to_json(self, now: datetime) -> dict[str, Any]:
        """The fields of `certs ls --json`."""
        return {
            "name": self.name,
            "profile": self.profile,
            "kind": self.kind.value,
            "serial": self.serial,
            "fingerprint": self.fingerprint,
            "subject": self.subject,
            "sans": list(self.sans),
            "issuer": self.issuer,
            "not_before": format_ms(self.not_before_ms),
            "not_after": format_ms(self.not_after_ms),
            "days_left": round(self.days_left(now), 2),
            "life_left": round(max(0.0, self.left(now)), 4),
            "status": self.status.value,
            "state": self.state(now),
            "key_type": self.key_type,
            "origin": self.origin,
            "cert": str(self.cert),
            "chain": str(self.chain),
            "key": str(self.key) if self.key else None,
        }


def utc_now() -> datetime:
    """The time of this host, UTC."""
    return datetime.now(UTC)


def _ms(moment: datetime) -> int:
    return int((moment - datetime(1970, 1, 1, tzinfo=UTC)) / timedelta(milliseconds=1))


def fingerprint(certificate: x509.Certificate) -> str:
    """SHA-256 of the DER, hex."""
    return certificate.fingerprint(hashes.SHA256()).hex()


def serial_hex(serial: int) -> str:
    """A serial as lower-case hex of whole bytes, as OpenSSL prints it."""
    text = f"{serial:x}"
    return text.zfill(len(text) + len(text) % 2)


def key_id(certificate: x509.Certificate, *, issuer: bool = False) -> str:
    """The subject (or authority) key identifier, hex; empty where the certificate has none."""
    try:
        if issuer:
            value = certificate.extensions.get_extension_for_class(x509.AuthorityKeyIdentifier).value
            return (value.key_identifier or b"").hex()
        return certificate.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value.digest.hex()
    except x509.ExtensionNotFound:
        return ""


def read_version(directory: Path, status: Status) -> Entry:
    """The entry of one version directory.

    Raises:
        StoreDamagedError: a file of it is missing or does not parse.
    """
    cert = directory / "cert.pem"
    try:
        meta = json.loads((directory / "meta.json").read_bytes())
        certificate = x509.load_pem_x509_certificate(cert.read_bytes())
        key = directory / "key.pem"
        return Entry(
            name=meta["name"],
            profile=meta["profile"],
            kind=Kind(meta["kind"]),
            serial=serial_hex(certificate.serial_number),
            fingerprint=fingerprint(certificate),
            subject=certificate.subject.rfc4514_string(),
            sans=tuple(str(san) for san in sans_in(certificate.extensions)[0]),
            issuer=certificate.issuer.rfc4514_string(),
            issuer_id=key_id(certificate, issuer=True),
            subject_id=key_id(certificate),
            not_before_ms=_ms(certificate.not_valid_before_utc),
            not_after_ms=_ms(certificate.not_valid_after_utc),
            key_type=describe(certificate.public_key()),
            status=status,
            origin=meta["origin"],
            issued_at_ms=meta["issued_at_ms"],
            cert=cert,
            chain=directory / "chain.pem",
            key=key if key.exists() else None,
            request=Request.from_json(meta["request"]),
        )
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise StoreDamagedError(
            f"{directory} is not a whole certificate: {error}",
            next_step="move the directory away and issue the certificate again",
        ) from None


def dump(entries: list[Entry], root: Path, head: str) -> bytes:
    """The inventory file: paths relative to the PKI directory, and the audit row that it includes."""
    rows = []
    for entry in entries:
        row = {name: getattr(entry, name) for name in Entry.__slots__}
        row |= {"sans": list(entry.sans), "request": entry.request.to_json()}
        for name in ("cert", "chain", "key"):
            row[name] = str(row[name].relative_to(root)) if row[name] else None
        rows.append(row)
    return json.dumps({"format": FORMAT, "audit_head": head, "certificates": rows}, indent=1).encode() + b"\n"


def parse(data: bytes, root: Path) -> tuple[list[Entry], str]:
    """The inverse of `dump`.

    Raises:
        ValueError, KeyError, TypeError: not an inventory of this format; the files are scanned instead.
    """
    document = json.loads(data)
    if document["format"] != FORMAT:
        raise ValueError(document["format"])
    entries = []
    for row in document["certificates"]:
        paths = {name: root / row[name] if row[name] else None for name in ("cert", "chain", "key")}
        typed = {
            "kind": Kind(row["kind"]),
            "status": Status(row["status"]),
            "sans": tuple(row["sans"]),
            "request": Request.from_json(row["request"]),
        }
        entries.append(Entry(**{**row, **paths, **typed}))
    return entries, document["audit_head"]
