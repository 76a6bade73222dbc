"""Revoking, and the revocation lists that peers read: PEM of all issuers in one file, and DER for HTTP."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import serialization

from atom_console.pki.build import build_crl
from atom_console.pki.errors import GuardError, PassphraseError, RequestError
from atom_console.pki.files import make_private_dir, replace_file
from atom_console.pki.inventory import Entry, Status, utc_now
from atom_console.pki.issuing import open_ca
from atom_console.pki.passphrase import PassphraseSource
from atom_console.pki.profiles import Kind
from atom_console.pki.store import Revocation, Session, Store

REASONS = {
    "unspecified": x509.ReasonFlags.unspecified,
    "key-compromise": x509.ReasonFlags.key_compromise,
    "ca-compromise": x509.ReasonFlags.ca_compromise,
    "affiliation-changed": x509.ReasonFlags.affiliation_changed,
    "superseded": x509.ReasonFlags.superseded,
    "cessation": x509.ReasonFlags.cessation_of_operation,
}
# The root's list changes only when an intermediate is revoked, and its key is kept offline between.
LIST_LIFE = {Kind.INTERMEDIATE: timedelta(days=30), Kind.ROOT: timedelta(days=180)}


@dataclass(frozen=True, slots=True)
class Lists:
    """The revocation lists after a run.

    Attributes:
        bundle: all issuers in one PEM file: Redpanda's `crl_file`, librdkafka's `ssl.crl.location`.
        made: one PEM file an issuer, each with a `.der` beside it for the profile's `crl_urls` (JVM brokers).
        notices: issuers whose list could not be made anew, because their key is offline.
    """

    bundle: Path
    made: tuple[Path, ...]
    notices: tuple[str, ...]


def revoke(
    store: Store,
    passphrase: PassphraseSource,
    names: list[str],
    reason: str = "unspecified",
    *,
    now: datetime | None = None,
) -> tuple[list[Entry], Lists]:
    """Revoke certificates (every version of a name that has not expired, or one by its serial) and make new lists.

    Raises:
        RequestError: an unknown reason, or a CA that is still in use.
        UnknownCertificateError: a name is not in the inventory.
        PassphraseError, FaultError: the issuing CA's key cannot be opened; nothing is revoked.
    """
    moment = now or utc_now()
    if reason not in REASONS:
        raise RequestError(f"{reason!r} is no reason", next_step=f"use one of: {', '.join(REASONS)}")
    with store.exclusive() as session:
        targets = [entry for name in names for entry in _versions(store, name, moment)]
        known = store.revocations()
        listed = {(r.issuer_id, r.serial) for r in known.entries}
        at_ms = int(moment.timestamp() * 1000)
        added = [
            Revocation(e.serial, e.issuer_id, e.name, reason, at_ms)
            for e in dict.fromkeys(targets)
            if (e.issuer_id, e.serial) not in listed
        ]
        signers = _signers(store, passphrase)
        for row in added:
            session.record("revoke", row.name, serial=row.serial, reason=reason)
        session.save_revocations(replace(known, entries=(*known.entries, *added)))
        lists = _write_lists(session, signers, moment)
        entries = session.publish()
        return [e for e in entries if (e.issuer_id, e.serial) in {(r.issuer_id, r.serial) for r in added}], lists


def _versions(store: Store, name: str, now: datetime) -> list[Entry]:
    found = store.find(name)
    if found.kind is not Kind.LEAF and found.status is Status.ACTIVE:
        raise RequestError(f"{name} is the CA in use", next_step="run: atom-console certs rotate-ca, then revoke it")
    if name != found.name or found.kind is not Kind.LEAF:
        return [found]
    return [e for e in store.entries() if e.name == name and e.left(now) > 0]


def make_lists(store: Store, passphrase: PassphraseSource, *, now: datetime | None = None) -> Lists:
    """New revocation lists of every CA whose key is here; run it by timer, before the old ones are due.

    Raises:
        GuardError: there is no CA.
        PassphraseError, FaultError: no CA key can be opened.
    """
    moment = now or utc_now()
    with store.exclusive() as session:
        signers = _signers(store, passphrase)
        lists = _write_lists(session, signers, moment)
        session.publish()
        return lists


def _signers(store: Store, passphrase: PassphraseSource) -> list[tuple[Entry, PassphraseSource]]:
    entries = [e for e in store.entries() if e.kind is not Kind.LEAF and e.status is not Status.RETIRED]
    if not entries:
        raise GuardError(f"there is no CA in {store.root}", next_step="run: atom-console certs init")
    for entry in entries:
        if entry.kind is Kind.INTERMEDIATE and entry.status is Status.ACTIVE:
            open_ca(store, entry, passphrase)
    return [(entry, passphrase) for entry in entries]


def _write_lists(session: Session, signers: list[tuple[Entry, PassphraseSource]], now: datetime) -> Lists:
    store = session.store
    known = store.revocations()
    number = known.crl_number + 1
    make_private_dir(store.root / "crl")
    session.record("crl", "store", number=number, revoked=len(known.entries))
    session.save_revocations(replace(known, crl_number=number))
    made, notices = [], []
    for entry, passphrase in signers:
        path = store.root / "crl" / f"{entry.name}.crl.pem"
        try:
            issuer = open_ca(store, entry, passphrase)
        except (GuardError, PassphraseError) as error:
            kept = "its list stays as it is" if path.exists() else "it has no list yet"
            notices.append(f"{error.what}: {kept}")
            continue
        rows = [
            (int(r.serial, 16), datetime.fromtimestamp(r.at_ms / 1000, tz=UTC), REASONS[r.reason])
            for r in known.entries
            if r.issuer_id == entry.subject_id
        ]
        crl = build_crl(issuer, rows, number=number, now=now, life=LIST_LIFE[entry.kind])
        replace_file(path, crl.public_bytes(serialization.Encoding.PEM))
        replace_file(path.with_suffix(".der"), crl.public_bytes(serialization.Encoding.DER))
        made.append(path)
    live = [store.root / "crl" / f"{entry.name}.crl.pem" for entry, _ in signers]
    replace_file(store.crl_bundle, b"".join(path.read_bytes() for path in live if path.exists()))
    return Lists(store.crl_bundle, tuple(made), tuple(notices))
