"""Handing a certificate to those who use it: PEM files, and PKCS#12 key and trust stores that Java reads."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, pkcs12

from atom_console.pki.errors import AlreadyExistsError, FaultError, PassphraseError, RequestError
from atom_console.pki.files import create_file, make_private_dir, read_private, replace_file
from atom_console.pki.findings import finding
from atom_console.pki.inventory import Entry, Status, fingerprint
from atom_console.pki.keys import is_encrypted, load_pem, to_pem
from atom_console.pki.passphrase import Passphrase, PassphraseSource, SecretBytes
from atom_console.pki.store import Store

MIN_STORE_PASSWORD = 6  # keytool refuses shorter ones


@dataclass(frozen=True, slots=True)
class Pair:
    """A certificate as a client or server takes it, read from one version directory: key and certificate match.

    Attributes:
        chain_pem: leaf, then intermediates.
        key_pem: decrypted, PKCS#8 or as it was imported; never shown.
        trust_pem: the trust anchors, old and new during a rotation.
    """

    name: str
    fingerprint: str
    chain_pem: bytes
    key_pem: bytes
    trust_pem: bytes

    def __repr__(self) -> str:
        return f"Pair({self.name!r}, {self.fingerprint[:16]}…)"


def load_pair(store: Store, name: str, passphrase: PassphraseSource) -> Pair:
    """The current pair of a name, and what to trust: for `ssl.*.pem` of librdkafka and for Flight.

    Raises:
        UnknownCertificateError: not in the inventory.
        FaultError: `key-missing`, `key-exposed`, or the key cannot be opened.
    """
    entry = store.find(name)
    home = entry.directory.parent
    # The link is followed once: a renewal at this moment cannot mix an old key with a new certificate.
    directory = home / (home / "current").readlink() if entry.status is Status.ACTIVE else entry.directory
    key_path = directory / "key.pem"
    if not key_path.exists():
        raise FaultError(finding("key-missing", name, f"the key of {name} is not on this host: it was {entry.origin}"))
    key_pem = read_private(key_path)
    if is_encrypted(key_pem):
        key_pem = to_pem(load_pem(key_pem, str(key_path), passphrase(f"the key of {name}")))
    chain_pem = (directory / "chain.pem").read_bytes()
    mark = fingerprint(x509.load_pem_x509_certificate(chain_pem))
    return Pair(name, mark, chain_pem, key_pem, store.bundle.read_bytes())


def export_pem(store: Store, entry: Entry, directory: Path, *, with_key: bool, replace: bool = False) -> list[Path]:
    """`NAME.chain.pem`, `NAME.key.pem` (as it is kept: encrypted or not) and `ca.pem`, each 0600.

    Raises:
        AlreadyExistsError: a file is there and replacing was not asked for.
        FaultError: the key is not here, or exposed.
        StoreWriteError: the disk did not take them.
    """
    files = {f"{entry.name}.chain.pem": entry.chain.read_bytes(), "ca.pem": store.bundle.read_bytes()}
    if with_key:
        files[f"{entry.name}.key.pem"] = _key(entry)
    return _write(store, entry, directory, files, "pem", replace=replace)


def export_pkcs12(
    store: Store,
    entry: Entry,
    directory: Path,
    password: Passphrase,
    *,
    key_passphrase: PassphraseSource,
    replace: bool = False,
) -> list[Path]:
    """`NAME.keystore.p12` (key, leaf, intermediates) and `truststore.p12`, for Java 8u301, 11.0.12 and later.

    Raises:
        PassphraseError: the store password is shorter than keytool allows.
        AlreadyExistsError, FaultError, StoreWriteError: as `export_pem`.
    """
    if len(password) < MIN_STORE_PASSWORD:
        raise PassphraseError(
            f"a Java store needs a password of at least {MIN_STORE_PASSWORD} characters",
            next_step="choose a longer one; there is no default",
        )
    encryption = BestAvailableEncryption(password.reveal())
    key_pem = _key(entry)
    secret = key_passphrase(f"the key of {entry.name}") if is_encrypted(key_pem) else None
    key = load_pem(key_pem, str(entry.key), secret)
    leaf, *above = x509.load_pem_x509_certificates(entry.chain.read_bytes())
    alias = entry.name.encode()
    anchors = x509.load_pem_x509_certificates(store.bundle.read_bytes())
    trust = [pkcs12.PKCS12Certificate(c, f"ca-{i}".encode()) for i, c in enumerate(anchors, 1)]
    files = {
        f"{entry.name}.keystore.p12": SecretBytes(
            pkcs12.serialize_key_and_certificates(alias, key, leaf, above, encryption)
        ),
        "truststore.p12": pkcs12.serialize_java_truststore(trust, encryption),
    }
    return _write(store, entry, directory, files, "pkcs12", replace=replace)


def _key(entry: Entry) -> bytes:
    if entry.key is None:
        raise FaultError(finding("key-missing", entry.name, f"its key is not on this host: it was {entry.origin}"))
    return read_private(entry.key)


def _write(
    store: Store, entry: Entry, directory: Path, files: dict[str, bytes], form: str, *, replace: bool
) -> list[Path]:
    paths = [directory / name for name in files]
    there = [str(path) for path in paths if path.exists()]
    if there and not replace:
        raise AlreadyExistsError(f"{', '.join(there)} is there already", next_step="add --replace, or another --out")
    if directory.exists() and not directory.is_dir():
        raise RequestError(f"{directory} is not a directory", next_step="name a directory with --out")
    with store.exclusive() as session:
        session.record("export", entry.name, serial=entry.serial, form=form, files=[str(p) for p in paths])
        if not directory.exists():
            make_private_dir(directory)
        for path, data in zip(paths, files.values(), strict=True):
            if path.exists():
                replace_file(path, data)
            else:
                create_file(path, data)
        session.publish()
    return paths
