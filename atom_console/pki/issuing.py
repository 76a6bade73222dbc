"""Issuing: the first CAs, leaves, renewals, foreign CSRs, and certificates that a company CA signs for us."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from cryptography import x509

from atom_console.pki.build import Issuer, build, default_subject
from atom_console.pki.errors import AlreadyExistsError, GuardError, RequestError
from atom_console.pki.files import read_private
from atom_console.pki.inventory import Entry, Request, Status, utc_now
from atom_console.pki.keys import KeyType, describe, generate, load_pem, to_pem
from atom_console.pki.names import San, inventory_name, parse_san, parse_subject
from atom_console.pki.passphrase import Passphrase, PassphraseSource, strong_enough
from atom_console.pki.profiles import Kind, Profile
from atom_console.pki.store import Session, Store, Version

_CA_NAMES = {Kind.ROOT: "root CA", Kind.INTERMEDIATE: "issuing CA"}


@dataclass(frozen=True, slots=True)
class Order:
    """A certificate that someone wants.

    Attributes:
        sans: `DNS:…`, `IP:…`, `URI:…`, `EMAIL:…`.
        life: None is the profile's own.
        key_type: None is the profile's own.
        subject: RFC 4514; None is `CN=name`.
    """

    name: str
    profile: str
    sans: tuple[str, ...] = ()
    life: timedelta | None = None
    key_type: str | None = None
    subject: str | None = None

    def request(self) -> Request:
        """What `meta.json` keeps for renewals."""
        seconds = int(self.life.total_seconds()) if self.life else None
        return Request(self.sans, self.subject, self.key_type, seconds)


@dataclass(frozen=True, slots=True)
class Issued:
    """What came of an order: the entry, and notices such as a clipped life."""

    entry: Entry
    notices: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Signer:
    """The issuing CA, opened for one session."""

    issuer: Issuer
    entry: Entry


def open_ca(store: Store, entry: Entry, passphrase: PassphraseSource) -> Issuer:
    """A CA with its key.

    Raises:
        GuardError: its key is not here (taken offline).
        FaultError, PassphraseError: its key cannot be opened.
    """
    what = _CA_NAMES[entry.kind]
    if entry.key is None:
        raise GuardError(
            f"the key of the {what} {entry.name} is not on this host",
            next_step=f"bring it back to {entry.directory / 'key.pem'} (mode 0600) for this operation",
        )
    key = load_pem(read_private(entry.key), str(entry.key), passphrase(f"the key of the {what} {entry.name}"))
    above = x509.load_pem_x509_certificates(entry.chain.read_bytes())[1:]
    return Issuer(x509.load_pem_x509_certificate(entry.cert.read_bytes()), key, tuple(above))


def open_signer(store: Store, passphrase: PassphraseSource) -> Signer:
    """The CA that signs leaves now.

    Raises:
        GuardError: there is none yet, or its key is not here.
        FaultError, PassphraseError: its key cannot be opened.
    """
    entry = store.current(Kind.INTERMEDIATE)
    if entry is None:
        raise GuardError(f"there is no CA in {store.root}", next_step="run: atom-console certs init")
    return Signer(open_ca(store, entry, passphrase), entry)


def new_ca(
    profile: Profile, issuer: Issuer | None, passphrase: Passphrase, now: datetime, *, make_current: bool
) -> tuple[Version, Issuer]:
    """A new root (issuer None) or intermediate, its key encrypted; not installed yet.

    Raises:
        PassphraseError: the passphrase is too short for a CA key.
        RequestError: the issuer does not allow it.
    """
    key = generate(profile.key_type)
    # The name is unique: during a rotation two CAs stand side by side, and verifiers look issuers up by name.
    role = "root" if profile.kind is Kind.ROOT else "issuing"
    name = f"atom-{role}-{now:%Y}-{x509.random_serial_number() % 0x10000:04x}"
    built = build(profile, default_subject(profile, name), (), key.public_key(), issuer or key, now=now)
    chain = issuer.chain if issuer else ()
    version = Version(
        name,
        profile.name,
        profile.kind,
        built.certificate,
        chain,
        to_pem(key, strong_enough(passphrase)),
        Request(),
        make_current=make_current,
    )
    return version, Issuer(built.certificate, key, chain)


def init(
    store: Store, passphrase: PassphraseSource, orders: Iterable[Order] = (), *, now: datetime | None = None
) -> list[Issued]:
    """Make what is missing of root, issuing CA and the ordered leaves, in one go; what is there already is kept.

    Raises:
        PassphraseError, RequestError, ProfileError, StoreWriteError, FaultError: nothing that was there is changed.
    """
    moment = now or utc_now()
    with store.exclusive() as session:
        profiles = store.profiles()
        made: list[Version] = []
        issuing = store.current(Kind.INTERMEDIATE)
        if issuing is None:
            secret = passphrase("the new CA keys", confirm=True)
            root = store.current(Kind.ROOT)
            if root is None:
                version, above = new_ca(profiles["root"], None, secret, moment, make_current=True)
                made.append(version)
            else:
                above = open_ca(store, root, passphrase)
            version, signer = new_ca(profiles["intermediate"], above, secret, moment, make_current=True)
            made.append(version)
        else:
            signer = open_ca(store, issuing, passphrase)
        known = {entry.name for entry in store.entries()}
        leaves = [make_leaf(order, profiles, signer, moment) for order in orders if order.name not in known]
        versions = [*made, *(version for version, _ in leaves)]
        notices = [()] * len(made) + [notes for _, notes in leaves]
        entries = session.install("init", versions, now=moment)
        return [Issued(entry, notes) for entry, notes in zip(entries, notices, strict=True)]


def issue(
    store: Store,
    passphrase: PassphraseSource,
    orders: Sequence[Order],
    *,
    leaf_passphrase: Passphrase | None = None,
    replace_existing: bool = False,
    now: datetime | None = None,
) -> list[Issued]:
    """Issue new leaves: all of them or none.

    Args:
        leaf_passphrase: encrypts the new keys; gRPC then needs them decrypted in memory.
        replace_existing: a name that is taken gets a new version instead of a refusal.

    Raises:
        AlreadyExistsError: a name is taken.
        RequestError, ProfileError, GuardError, PassphraseError, FaultError, StoreWriteError: nothing is issued.
    """
    moment = now or utc_now()
    with store.exclusive() as session:
        known = {entry.name for entry in store.entries()}
        names = [order.name for order in orders]
        taken = sorted({n for n in names if (n in known and not replace_existing) or names.count(n) > 1})
        if taken:
            raise AlreadyExistsError(
                f"{', '.join(taken)}: there is a certificate of that name",
                next_step="run: atom-console certs renew, or choose another name",
            )
        profiles = store.profiles()
        signer = open_signer(store, passphrase).issuer
        return install_leaves(session, "issue", orders, profiles, signer, moment, leaf_passphrase)


def install_leaves(
    session: Session,
    action: str,
    orders: Iterable[Order],
    profiles: dict[str, Profile],
    signer: Issuer,
    now: datetime,
    leaf_passphrase: Passphrase | None = None,
) -> list[Issued]:
    """Make and install leaves under an open session."""
    leaves = [make_leaf(order, profiles, signer, now, leaf_passphrase) for order in orders]
    entries = session.install(action, [version for version, _ in leaves], now=now)
    return [Issued(entry, notes) for entry, (_, notes) in zip(entries, leaves, strict=True)]


def make_leaf(
    order: Order,
    profiles: dict[str, Profile],
    signer: Issuer,
    now: datetime,
    leaf_passphrase: Passphrase | None = None,
) -> tuple[Version, tuple[str, ...]]:
    """One leaf with a new key, not installed yet, and its notices.

    Raises:
        RequestError: the order is not one that the profile and the CA allow.
    """
    profile, sans = check_order(order, profiles)
    key = generate(_key_type(order, profile))
    subject = parse_subject(order.subject) if order.subject else default_subject(profile, order.name)
    built = build(profile, subject, sans, key.public_key(), signer, now=now, life=order.life)
    key_pem = to_pem(key, leaf_passphrase)
    request = replace(order.request(), sans=tuple(str(san) for san in sans))
    version = Version(order.name, profile.name, profile.kind, built.certificate, signer.chain, key_pem, request)
    return version, built.notices


def check_order(order: Order, profiles: dict[str, Profile]) -> tuple[Profile, tuple[San, ...]]:
    """The profile and the normalised names of an order.

    Raises:
        RequestError: unknown profile, a CA profile, a bad name or SAN, or a key type that the profile does not allow.
    """
    inventory_name(order.name)
    profile = leaf_profile(order.profile, profiles)
    _key_type(order, profile)
    return profile, tuple(dict.fromkeys(parse_san(text, wildcards=profile.wildcards) for text in order.sans))


def leaf_profile(name: str, profiles: dict[str, Profile]) -> Profile:
    """The profile of a leaf.

    Raises:
        RequestError: there is none of that name, or it is one of a CA.
    """
    profile = profiles.get(name)
    if profile is None or profile.is_ca:
        leaves = ", ".join(sorted(p.name for p in profiles.values() if not p.is_ca))
        raise RequestError(f"{name!r} is not the profile of a leaf", next_step=f"use one of: {leaves}")
    return profile


def _key_type(order: Order, profile: Profile) -> KeyType:
    wanted = order.key_type or profile.key_type
    if wanted not in profile.key_types:
        allowed = ", ".join(profile.key_types)
        raise RequestError(f"profile {profile.name} does not allow key type {wanted!r}", next_step=f"use {allowed}")
    return KeyType(wanted)


def order_of(entry: Entry) -> Order:
    """The order that would make this entry again."""
    request = entry.request
    life = timedelta(seconds=request.life_s) if request.life_s else None
    return Order(entry.name, entry.profile, request.sans, life, request.key_type, request.subject)


def renewable(entry: Entry) -> bool:
    """Whether we can make a successor alone: an active leaf with a key that our own CA issued."""
    return entry.kind is Kind.LEAF and entry.status is Status.ACTIVE and entry.origin == "issued"


def renew(
    store: Store,
    passphrase: PassphraseSource,
    names: Sequence[str] | None = None,
    *,
    leaf_passphrase: Passphrase | None = None,
    now: datetime | None = None,
) -> list[Issued]:
    """Issue successors with new keys: of the named leaves, or (None) of all whose two thirds of life are over.

    The old version stays on disk and stays valid until its end: peers that still use it are not cut off.

    Raises:
        UnknownCertificateError: a name is not in the inventory.
        RequestError: one that was named cannot be renewed here.
        GuardError, PassphraseError, FaultError, StoreWriteError: nothing is renewed.
    """
    moment = now or utc_now()
    with store.exclusive() as session:
        if names is None:
            chosen = [entry for entry in store.entries() if renewable(entry) and entry.due(moment)]
        else:
            chosen = [_named(store, name) for name in dict.fromkeys(names)]
        if not chosen:
            return []
        signer = open_signer(store, passphrase).issuer
        orders = [order_of(entry) for entry in chosen]
        return install_leaves(session, "renew", orders, store.profiles(), signer, moment, leaf_passphrase)


def _named(store: Store, name: str) -> Entry:
    entry = store.find(name)
    if entry.kind is not Kind.LEAF:
        raise RequestError(f"{name} is a CA", next_step="run: atom-console certs rotate-ca")
    if entry.origin != "issued":
        step = "have its holder send a new CSR" if entry.origin == "signed" else "run certs csr, then certs import"
        raise RequestError(f"{name} was {entry.origin}, not issued here: it has no key we could renew", next_step=step)
    return entry


def needs_renewal(store: Store, names: Iterable[str] = (), *, now: datetime | None = None) -> tuple[int, list[Entry]]:
    """What a timer asks.

    Returns:
        0, 10 (renew now) or 20 (one has expired), and the active certificates concerned.

    Raises:
        UnknownCertificateError: a name is not in the inventory.
    """
    moment = now or utc_now()
    wanted = [store.find(name) for name in names]
    entries = wanted or [entry for entry in store.entries() if entry.status is Status.ACTIVE]
    due = [entry for entry in entries if entry.due(moment)]
    if any(entry.left(moment) <= 0 for entry in due):
        return 20, due
    return (10, due) if due else (0, [])


def allowed_key(public_key: object, profile: Profile) -> None:
    """Whether a foreign key may be certified.

    Raises:
        RequestError: the profile does not list its type.
    """
    kind = describe(public_key)
    if kind not in profile.key_types:
        raise RequestError(
            f"the request's key is {kind}; profile {profile.name} allows {', '.join(profile.key_types)}",
            next_step="ask for a CSR with another key, or write a profile of your own",
        )
