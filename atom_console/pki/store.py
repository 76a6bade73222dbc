"""The PKI directory: versions of certificates, the link to the current one, trust, revocations, inventory, audit.

    ca/root/<serial>/       cert.pem key.pem (encrypted) chain.pem meta.json;  current -> <serial>
    ca/issuing/<serial>/    the same
    issued/<name>/<serial>/ cert.pem chain.pem (leaf, then intermediates) key.pem meta.json;  current -> <serial>
    requests/<name>/        key.pem request.csr meta.json: waits for a certificate of a company CA
    trust/bundle.pem        every root that is trusted now; trust/foreign/<fingerprint>.pem the imported ones
    crl/                    revocation lists; revoked.json
    profiles/               the user's own profiles
    state.json inventory.json audit.jsonl .lock

A version directory is written beside its place and renamed into it, whole and on disk; the link then switches key and
certificate together. The audit row comes before the rename. When a change was cut short, the next one notices (the
audit is ahead of the inventory), removes what never became visible, lets a finished version become current, and scans
again.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import Any

from cryptography import x509

from atom_console.pki import inventory, pem
from atom_console.pki.audit import GENESIS, Audit, Event
from atom_console.pki.errors import StoreDamagedError, UnknownCertificateError
from atom_console.pki.files import (
    TEMPORARY,
    create_file,
    locked,
    make_private_dir,
    on_disk,
    replace_file,
    replace_link,
    sync_all,
    sync_dir,
)
from atom_console.pki.inventory import Entry, Request, Status, fingerprint, serial_hex
from atom_console.pki.profiles import Kind, Profile, load_profiles

CURRENT = "current"
_ROLES = {Kind.ROOT: "root", Kind.INTERMEDIATE: "issuing"}


@dataclass(frozen=True, slots=True)
class Version:
    """A certificate about to be installed. `chain` is what follows the leaf; `key_pem` is None where we have no key."""

    name: str
    profile: str
    kind: Kind
    certificate: x509.Certificate
    chain: tuple[x509.Certificate, ...]
    key_pem: bytes | None = field(repr=False)
    request: Request
    origin: str = "issued"
    make_current: bool = True


@dataclass(frozen=True, slots=True)
class Rotation:
    """A CA rotation under way. Fingerprints; `old_root` equals `new_root` where only the issuing CA changes."""

    step: int
    old_root: str
    new_root: str
    old_issuing: str
    new_issuing: str
    started_at_ms: int


@dataclass(frozen=True, slots=True)
class State:
    """What no certificate file can say: which CAs were retired, and the rotation under way."""

    retired: tuple[str, ...] = ()
    rotation: Rotation | None = None


@dataclass(frozen=True, slots=True)
class Revocation:
    """One revoked certificate."""

    serial: str
    issuer_id: str
    name: str
    reason: str
    at_ms: int


@dataclass(frozen=True, slots=True)
class Revocations:
    """All of them, and the number of the last list made."""

    crl_number: int = 0
    entries: tuple[Revocation, ...] = ()


class Store:
    """One PKI directory. Reading needs no lock: every file is replaced whole."""

    def __init__(self, root: Path) -> None:
        self.root = root.absolute()
        self.audit = Audit(self.root / "audit.jsonl")

    @property
    def bundle(self) -> Path:
        """The trust anchors, PEM: old and new during a rotation."""
        return self.root / "trust" / "bundle.pem"

    @property
    def crl_bundle(self) -> Path:
        """The revocation lists of all issuers in one PEM file."""
        return self.root / "crl" / "bundle.pem"

    def profiles(self) -> dict[str, Profile]:
        """Bundled profiles and the user's own.

        Raises:
            ProfileError: a file is not a profile.
        """
        return load_profiles(self.root / "profiles")

    def home(self, kind: Kind, name: str) -> Path:
        """The directory of all versions of one name."""
        return self.root / "ca" / _ROLES[kind] if kind in _ROLES else self.root / "issued" / name

    def entries(self) -> list[Entry]:
        """The inventory: from its file, or from the certificates where the file is missing or damaged."""
        try:
            return inventory.parse((self.root / "inventory.json").read_bytes(), self.root)[0]
        except (OSError, ValueError, KeyError, TypeError):
            return self.scan()

    def find(self, name: str) -> Entry:
        """The active certificate of a name, or the one with a serial.

        Raises:
            UnknownCertificateError: neither.
        """
        entries = self.entries()
        named = [entry for entry in entries if entry.name == name]
        if named:
            return max(named, key=lambda entry: (entry.status is Status.ACTIVE, entry.issued_at_ms))
        wanted = name.lower().replace(":", "")
        for entry in entries:
            if entry.serial == wanted:
                return entry
        raise UnknownCertificateError(
            f"there is no certificate {name!r} in {self.root}", next_step="run: atom-console certs ls"
        )

    def current(self, kind: Kind) -> Entry | None:
        """The CA that signs now, or None."""
        return next((e for e in self.entries() if e.kind is kind and e.status is Status.ACTIVE), None)

    def state(self) -> State:
        """Retired CAs and the rotation under way.

        Raises:
            StoreDamagedError: the file does not parse; guessing would trust a retired CA.
        """
        table = self._json("state.json")
        if table is None:
            return State()
        rotation = table["rotation"]
        return State(tuple(table["retired"]), Rotation(**rotation) if rotation else None)

    def revocations(self) -> Revocations:
        """Revoked certificates.

        Raises:
            StoreDamagedError: the file does not parse; guessing would un-revoke.
        """
        table = self._json("crl/revoked.json")
        if table is None:
            return Revocations()
        return Revocations(table["crl_number"], tuple(Revocation(**row) for row in table["entries"]))

    def _json(self, relative: str) -> Any:
        path = self.root / relative
        try:
            return json.loads(path.read_bytes())
        except FileNotFoundError:
            return None
        except (OSError, ValueError) as error:
            raise StoreDamagedError(
                f"{path} cannot be read: {error}", next_step="restore the file from a backup"
            ) from None

    def scan(self) -> list[Entry]:
        """The inventory from the files alone.

        Raises:
            StoreDamagedError: see `state` and `revocations`, or a version directory that is not whole.
        """
        retired = set(self.state().retired)
        revoked = {(r.issuer_id, r.serial) for r in self.revocations().entries}
        entries = []
        for home in self._homes():
            link = home / CURRENT
            current = link.readlink().name if link.is_symlink() else None
            versions = [inventory.read_version(d, Status.SUPERSEDED) for d in _version_dirs(home)]
            now_current = next((v for v in versions if v.directory.name == current), None)
            entries += [_with_status(v, now_current, retired, revoked) for v in versions]
        return sorted(entries, key=lambda e: (list(Kind).index(e.kind), e.name, -e.issued_at_ms))

    def _homes(self) -> list[Path]:
        parents = [self.root / "ca", self.root / "issued"]
        return [home for parent in parents if parent.is_dir() for home in sorted(parent.iterdir()) if not _hidden(home)]

    def trusted(self, entries: Iterable[Entry]) -> list[x509.Certificate]:
        """Every root that is trusted now: ours that are not retired, and the imported ones."""
        roots = [e for e in entries if e.kind is Kind.ROOT and e.status not in {Status.RETIRED, Status.REVOKED}]
        foreign = sorted((self.root / "trust" / "foreign").glob("*.pem"))
        certificates: list[x509.Certificate] = []
        for path in (*(root.cert for root in roots), *foreign):
            certificates += x509.load_pem_x509_certificates(path.read_bytes())
        return certificates

    @contextmanager
    def exclusive(self, *, wait_s: float = 10.0) -> Iterator[Session]:
        """Hold the directory for a change; a change that was cut short before is finished or undone first.

        Raises:
            StoreLockedError: another process holds it.
            StoreWriteError: the directory cannot be written.
        """
        make_private_dir(self.root)
        with locked(self.root / ".lock", wait_s=wait_s):
            session = Session(self)
            session.recover()
            yield session


class Session:
    """A change of a PKI directory, under its lock."""

    def __init__(self, store: Store) -> None:
        self.store = store

    def record(self, action: str, subject: str, **detail: Any) -> None:
        """Write an audit row, on disk when this returns."""
        self.store.audit.append([Event(action, subject, detail)])

    def install(self, action: str, versions: Sequence[Version], *, now: datetime) -> list[Entry]:
        """Put versions in place: whole, on disk, audited, then visible. All are written before the first shows.

        Returns:
            Their entries, in order.

        Raises:
            StoreWriteError: the disk did not take them; what was current is current still.
        """
        temporaries = [self._temporary(version) for version in versions]
        try:
            for version, temporary in zip(versions, temporaries, strict=True):
                self._prepare(version, temporary, now)
            # Everything is written before the first wait: the file system then commits many files at once.
            sync_all([path for temporary in temporaries for path in temporary.iterdir()], temporaries)
        except BaseException:
            for temporary in temporaries:
                shutil.rmtree(temporary, ignore_errors=True)
            raise
        self.store.audit.append([_event(action, version) for version in versions])
        self._show(list(zip(versions, temporaries, strict=True)))
        entries = {entry.fingerprint: entry for entry in self.publish()}
        return [entries[fingerprint(version.certificate)] for version in versions]

    def _show(self, prepared: Sequence[tuple[Version, Path]]) -> None:
        homes = list(dict.fromkeys(temporary.parent for _, temporary in prepared))
        for version, temporary in prepared:
            with on_disk(temporary):
                temporary.rename(temporary.parent / serial_hex(version.certificate.serial_number))
        sync_all([], [*homes, *dict.fromkeys(home.parent for home in homes)])
        for version, temporary in prepared:
            if version.make_current:
                replace_link(temporary.parent / CURRENT, serial_hex(version.certificate.serial_number))
        sync_all([], homes)

    def _temporary(self, version: Version) -> Path:
        home = self.store.home(version.kind, version.name)
        return home / f"{TEMPORARY}{serial_hex(version.certificate.serial_number)}"

    def _prepare(self, version: Version, temporary: Path, now: datetime) -> None:
        make_private_dir(temporary.parent)
        with on_disk(temporary):
            temporary.mkdir(mode=0o700)
            temporary.chmod(0o700)
        meta = {
            "format": inventory.FORMAT,
            "name": version.name,
            "profile": version.profile,
            "kind": version.kind.value,
            "origin": version.origin,
            "issued_at_ms": int(now.timestamp() * 1000),
            "request": version.request.to_json(),
        }
        files = {
            "cert.pem": pem.dump([version.certificate]),
            "chain.pem": pem.dump([version.certificate, *version.chain]),
            "meta.json": json.dumps(meta, indent=1).encode() + b"\n",
        }
        if version.key_pem is not None:
            files["key.pem"] = version.key_pem
        for name, data in files.items():
            create_file(temporary / name, data, sync=False)

    def switch(self, home: Path, serial: str) -> None:
        """Make a version current: key and certificate change together."""
        replace_link(home / CURRENT, serial)
        with on_disk(home):
            sync_dir(home)

    def save_state(self, state: State) -> None:
        """Replace `state.json`."""
        rotation = state.rotation
        table = {
            "retired": list(state.retired),
            "rotation": {name: getattr(rotation, name) for name in Rotation.__slots__} if rotation else None,
        }
        replace_file(self.store.root / "state.json", json.dumps(table, indent=1).encode() + b"\n")

    def save_revocations(self, revocations: Revocations) -> None:
        """Replace `crl/revoked.json`."""
        make_private_dir(self.store.root / "crl")
        rows = [{name: getattr(r, name) for name in Revocation.__slots__} for r in revocations.entries]
        table = {"crl_number": revocations.crl_number, "entries": rows}
        replace_file(self.store.root / "crl" / "revoked.json", json.dumps(table, indent=1).encode() + b"\n")

    def publish(self) -> list[Entry]:
        """Write the trust bundle and the inventory from the files; the change is complete then."""
        make_private_dir(self.store.root / "trust")
        entries = self.store.scan()
        replace_file(self.store.bundle, pem.dump(self.store.trusted(entries)))
        head = self.store.audit.head()
        data = inventory.dump(entries, self.store.root, head.hash if head else GENESIS)
        replace_file(self.store.root / "inventory.json", data)
        return entries

    def recover(self) -> None:
        """Finish or undo what a crash left: does nothing where the inventory includes the last audit row."""
        head = self.store.audit.head()
        if (head is None or head.hash == self._remembered_head()) and not self._leftovers():
            return
        removed = [str(path.relative_to(self.store.root)) for path in self._leftovers()]
        for path in self._leftovers():
            with on_disk(path):
                shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()
        forward = [str(link.relative_to(self.store.root)) for link in self._roll_forward()]
        self.record("recover", "store", removed=removed, made_current=forward)
        self.publish()

    def _remembered_head(self) -> str | None:
        try:
            return inventory.parse((self.store.root / "inventory.json").read_bytes(), self.store.root)[1]
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def _leftovers(self) -> list[Path]:
        root = self.store.root
        places = [
            root,
            root / "trust",
            root / "trust" / "foreign",
            root / "crl",
            root / "requests",
            *self.store._homes(),
        ]
        return [p for place in places if place.is_dir() for p in place.glob(f"{TEMPORARY}*")]

    def _roll_forward(self) -> Iterator[Path]:
        for home in self.store._homes():
            versions = [inventory.read_version(d, Status.SUPERSEDED) for d in _version_dirs(home)]
            if not versions:
                continue
            link = home / CURRENT
            newest = max(versions, key=lambda v: v.issued_at_ms)
            # A CA that waits in a rotation is newer than the current one on purpose.
            if link.is_symlink() and (newest.kind is not Kind.LEAF or link.readlink().name == newest.serial):
                continue
            self.switch(home, newest.serial)
            yield home


def _event(action: str, version: Version) -> Event:
    certificate = version.certificate
    return Event(
        action,
        version.name,
        {
            "serial": serial_hex(certificate.serial_number),
            "fingerprint": fingerprint(certificate),
            "profile": version.profile,
            "issuer": certificate.issuer.rfc4514_string(),
            "sans": list(version.request.sans),
            "origin": version.origin,
        },
    )


def _hidden(path: Path) -> bool:
    return path.name.startswith(".") or path.is_symlink() or not path.is_dir()


def _version_dirs(home: Path) -> list[Path]:
    return [path for path in sorted(home.iterdir()) if not _hidden(path)]


def _with_status(version: Entry, current: Entry | None, retired: set[str], revoked: set[tuple[str, str]]) -> Entry:
    if (version.issuer_id, version.serial) in revoked:
        status = Status.REVOKED
    elif version.fingerprint in retired:
        status = Status.RETIRED
    elif current is not None and version.fingerprint == current.fingerprint:
        status = Status.ACTIVE
    elif version.kind is not Kind.LEAF and (current is None or version.issued_at_ms > current.issued_at_ms):
        status = Status.STAGED
    else:
        status = Status.SUPERSEDED
    return replace(version, status=status)
