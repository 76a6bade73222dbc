"""Requests that cross a border: CSRs of others that we sign, our own for a company CA, and what comes back from it."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from cryptography import x509

from atom_console.pki import pem
from atom_console.pki.build import build, build_csr, default_subject
from atom_console.pki.errors import AlreadyExistsError, FaultError, RequestError, UnknownCertificateError
from atom_console.pki.files import (
    TEMPORARY,
    create_file,
    make_private_dir,
    on_disk,
    read_private,
    replace_file,
    sync_dir,
)
from atom_console.pki.findings import finding
from atom_console.pki.inventory import Request, fingerprint, serial_hex, utc_now
from atom_console.pki.issuing import Issued, Order, allowed_key, check_order, leaf_profile, open_signer
from atom_console.pki.keys import KeyType, PublicKey, generate, is_encrypted, load_pem, public_bytes, to_pem
from atom_console.pki.names import inventory_name, parse_san, parse_subject, sans_in
from atom_console.pki.passphrase import Passphrase, PassphraseSource
from atom_console.pki.profiles import Kind
from atom_console.pki.store import Store, Version

_TAKEN_FROM_A_CSR = x509.SubjectAlternativeName.oid


def sign_csr(
    store: Store,
    passphrase: PassphraseSource,
    name: str,
    profile_name: str,
    csr_pem: bytes,
    *,
    sans: Sequence[str] = (),
    subject: str | None = None,
    life: timedelta | None = None,
    now: datetime | None = None,
) -> Issued:
    """Sign a request of someone who keeps the key. Its public key and names are used; all else is the profile's.

    Args:
        sans: used in place of the request's names.
        subject: used in place of `CN=name`.

    Raises:
        RequestError: the request does not parse or does not prove its key, or asks for names the profile forbids.
        AlreadyExistsError: the name belongs to a certificate whose key is here.
    """
    moment = now or utc_now()
    inventory_name(name)
    request = read_csr(csr_pem)
    with store.exclusive() as session:
        profile = leaf_profile(profile_name, store.profiles())
        if any(entry.name == name and entry.origin != "signed" for entry in store.entries()):
            raise AlreadyExistsError(
                f"{name} is a certificate whose key is here", next_step="choose another name for the signed one"
            )
        public_key = request.public_key()
        allowed_key(public_key, profile)
        assert isinstance(public_key, PublicKey)  # the profile's key types are these
        asked, others = sans_in(request.extensions)
        notices = list(_ignored(request))
        if others and not sans:
            raise RequestError(
                f"the request has names of other kinds: {', '.join(others)}", next_step="give the names with --san"
            )
        names = tuple(parse_san(text, wildcards=profile.wildcards) for text in (sans or map(str, asked)))
        if sans and set(names) != set(asked):
            notices.append(f"the request's own names were not used: {', '.join(map(str, asked)) or 'none'}")
        chosen = parse_subject(subject) if subject else default_subject(profile, name)
        if chosen != request.subject:
            notices.append(
                f"the request's subject {request.subject.rfc4514_string()!r} was replaced by {chosen.rfc4514_string()}"
            )
        signer = open_signer(store, passphrase).issuer
        built = build(profile, chosen, names, public_key, signer, now=moment, life=life)
        seconds = int(life.total_seconds()) if life else None
        kept = Request(tuple(map(str, names)), subject, None, seconds)
        version = Version(name, profile.name, Kind.LEAF, built.certificate, signer.chain, None, kept, origin="signed")
        (entry,) = session.install("sign", [version], now=moment)
        return Issued(entry, (*built.notices, *notices))


def read_csr(csr_pem: bytes) -> x509.CertificateSigningRequest:
    """A certificate request that proves possession of its key.

    Raises:
        RequestError: it does not parse, or its signature is wrong.
    """
    try:
        request = x509.load_pem_x509_csr(csr_pem)
        proven = request.is_signature_valid
        list(request.extensions)
    except Exception as error:  # noqa: BLE001 (hostile DER raises whatever the parser meets first)
        raise RequestError(
            f"the request is not a PEM certificate request: {error}", next_step="write BEGIN CERTIFICATE REQUEST"
        ) from None
    if not proven:
        raise RequestError("the request is not signed by the key it names", next_step="have its owner make it again")
    return request


def _ignored(request: x509.CertificateSigningRequest) -> list[str]:
    names = [e.oid._name for e in request.extensions if e.oid != _TAKEN_FROM_A_CSR]
    return [f"the request's extensions were not used, the profile decides: {', '.join(names)}"] if names else []


@dataclass(frozen=True, slots=True)
class Pending:
    """A request of ours that waits for a company CA."""

    name: str
    csr: Path
    key: Path


def make_request(
    store: Store, order: Order, *, leaf_passphrase: Passphrase | None = None, now: datetime | None = None
) -> Pending:
    """A new key and the CSR for it, for a CA that is not ours; the key never leaves this directory.

    Raises:
        AlreadyExistsError: a request of that name waits already.
        RequestError, ProfileError, StoreWriteError: nothing is made.
    """
    moment = now or utc_now()
    with store.exclusive() as session:
        profile, sans = check_order(order, store.profiles())
        home = store.root / "requests" / order.name
        if home.exists():
            raise AlreadyExistsError(
                f"a request for {order.name} waits already: {home / 'request.csr'}",
                next_step="send that one, or delete the directory",
            )
        key = generate(KeyType(order.key_type or profile.key_type))
        subject = parse_subject(order.subject) if order.subject else default_subject(profile, order.name)
        csr = build_csr(profile, subject, sans, key)
        meta = {"profile": profile.name, "request": order.request().to_json()}
        make_private_dir(home.parent)
        temporary = home.with_name(f"{TEMPORARY}{order.name}")
        make_private_dir(temporary)
        create_file(temporary / "key.pem", to_pem(key, leaf_passphrase))
        create_file(temporary / "request.csr", csr)
        create_file(temporary / "meta.json", json.dumps(meta, indent=1).encode() + b"\n")
        session.record("csr", order.name, profile=profile.name, sans=[str(s) for s in sans], at=moment.isoformat())
        with on_disk(home):
            sync_dir(temporary)
            temporary.rename(home)
            sync_dir(home.parent)
        session.publish()
        return Pending(order.name, home / "request.csr", home / "key.pem")


def import_certificate(
    store: Store,
    name: str,
    certificates_pem: bytes,
    *,
    passphrase: PassphraseSource,
    now: datetime | None = None,
) -> Issued:
    """Take the certificate that a company CA made from our request: leaf first, then its intermediates.

    Raises:
        UnknownCertificateError: no request of that name waits.
        FaultError: `certificate-unparsable`, `key-mismatch`, or the key cannot be opened.
    """
    moment = now or utc_now()
    home = store.root / "requests" / inventory_name(name)
    if not home.is_dir():
        raise UnknownCertificateError(f"no request waits for {name}", next_step="run: atom-console certs csr")
    leaf, *others = pem.parse(certificates_pem, name)
    with store.exclusive() as session:
        key_pem = read_private(home / "key.pem")
        secret = passphrase(f"the key of {name}") if is_encrypted(key_pem) else None
        key = load_pem(key_pem, str(home / "key.pem"), secret)
        if public_bytes(key.public_key()) != public_bytes(leaf.public_key()):
            raise FaultError(finding("key-mismatch", name, "the first certificate is not for the key of the request"))
        meta = json.loads((home / "meta.json").read_bytes())
        chain = tuple(c for c in others if c.subject != c.issuer)
        request = Request.from_json(meta["request"])
        version = Version(name, meta["profile"], Kind.LEAF, leaf, chain, key_pem, request, origin="imported")
        (entry,) = session.install("import", [version], now=moment)
        shutil.rmtree(home)
        return Issued(entry)


def import_trust(store: Store, certificates_pem: bytes, subject: str) -> list[str]:
    """Trust the roots of a foreign CA file from now on. Intermediates in it are left to the peers to send.

    Returns:
        The subjects that were added; those known already are left out.

    Raises:
        FaultError: the file holds no certificate.
        RequestError: it holds no self-signed CA.
    """
    found = pem.parse(certificates_pem, subject)
    roots = [c for c in found if c.subject == c.issuer and _is_ca(c)]
    if not roots:
        raise RequestError(
            f"{subject} holds no root (a self-signed CA certificate)", next_step="ask for the CA's root certificate"
        )
    added = []
    with store.exclusive() as session:
        make_private_dir(store.root / "trust" / "foreign")
        for root in roots:
            path = store.root / "trust" / "foreign" / f"{fingerprint(root)}.pem"
            if not path.exists():
                name = root.subject.rfc4514_string()
                session.record("trust", name, fingerprint=fingerprint(root), serial=serial_hex(root.serial_number))
                replace_file(path, pem.dump([root]))
                added.append(name)
        session.publish()
    return added


def drop_trust(store: Store, wanted: str) -> str:
    """Stop trusting an imported root, named by its fingerprint.

    Raises:
        UnknownCertificateError: none has that fingerprint.
    """
    path = store.root / "trust" / "foreign" / f"{wanted.lower().replace(':', '')}.pem"
    if not path.exists():
        raise UnknownCertificateError(f"no imported root has fingerprint {wanted}", next_step="see trust/foreign/")
    with store.exclusive() as session:
        name = x509.load_pem_x509_certificate(path.read_bytes()).subject.rfc4514_string()
        session.record("distrust", name, fingerprint=path.stem)
        path.unlink()
        session.publish()
    return name


def _is_ca(certificate: x509.Certificate) -> bool:
    try:
        return certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    except x509.ExtensionNotFound:
        return False
