"""A fleet from one TOML file: what is missing or differs is issued, what is due is renewed, the rest is kept."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from atom_console.pki.errors import RequestError
from atom_console.pki.inventory import Entry, Status, utc_now
from atom_console.pki.issuing import Issued, Order, check_order, install_leaves, open_signer
from atom_console.pki.names import parse_subject
from atom_console.pki.passphrase import PassphraseSource
from atom_console.pki.profiles import Profile
from atom_console.pki.store import Store

_FIELDS: Final = frozenset({"name", "profile", "sans", "days", "key_type", "subject"})


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one entry of the file: `kept`, `issued`, `changed` or `renewed`, and why."""

    name: str
    action: str
    why: str
    issued: Issued | None = None


def read_orders(text: str, where: str) -> list[Order]:
    """The orders of a request file.

    Args:
        text: TOML: a table `[defaults]` and a list `[[cert]]` with name, profile, sans, days, key_type, subject.
        where: how a complaint names the file.

    Raises:
        RequestError: not TOML, an unknown field, a wrong type or a name that occurs twice; names the field path.
    """
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise RequestError(f"{where} is not TOML: {error}", next_step="correct the file") from None
    unknown = sorted(set(document) - {"defaults", "cert"})
    if unknown:
        raise RequestError(f"{where}: {unknown[0]} is not known", next_step="use [defaults] and [[cert]]")
    defaults, rows = document.get("defaults", {}), document.get("cert", [])
    if not isinstance(defaults, dict) or not isinstance(rows, list) or not rows:
        raise RequestError(f"{where} has no [[cert]]", next_step="write one [[cert]] table a certificate")
    orders = [_order({**defaults, **row}, f"{where}: cert[{i}]") for i, row in enumerate(rows)]
    names = [order.name for order in orders]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise RequestError(f"{where}: the name {twice!r} occurs twice", next_step="give each certificate its own name")
    return orders


def _order(row: Mapping[str, Any], where: str) -> Order:
    unknown = sorted(set(row) - _FIELDS)
    if unknown:
        raise RequestError(f"{where}.{unknown[0]} is not known", next_step=f"fields are {', '.join(sorted(_FIELDS))}")
    for name in ("name", "profile"):
        if not isinstance(row.get(name), str):
            raise RequestError(f"{where}.{name} must be a text", next_step="correct the file")
    for name in ("key_type", "subject"):
        if not isinstance(row.get(name, ""), str):
            raise RequestError(f"{where}.{name} must be a text", next_step="correct the file")
    sans, days = row.get("sans", []), row.get("days")
    if not isinstance(sans, list) or not all(isinstance(san, str) for san in sans):
        raise RequestError(f"{where}.sans must be a list of texts", next_step='write ["DNS:name"]')
    if days is not None and (isinstance(days, bool) or not isinstance(days, int | float) or days <= 0):
        raise RequestError(f"{where}.days must be a number above 0", next_step="correct the file")
    life = timedelta(days=days) if days is not None else None
    return Order(row["name"], row["profile"], tuple(sans), life, row.get("key_type"), row.get("subject"))


def apply(
    store: Store,
    passphrase: PassphraseSource,
    orders: list[Order],
    *,
    dry_run: bool = False,
    now: datetime | None = None,
) -> list[Outcome]:
    """Make the inventory match the orders: all of them or none. Names that are not in the file are left alone.

    Args:
        dry_run: only say what would happen; asks for no passphrase.

    Raises:
        RequestError, ProfileError, GuardError, PassphraseError, FaultError, StoreWriteError: nothing is issued.
    """
    moment = now or utc_now()
    if dry_run:
        return [_judge(order, store, store.profiles(), moment) for order in orders]
    with store.exclusive() as session:
        profiles = store.profiles()
        outcomes = [_judge(order, store, profiles, moment) for order in orders]
        wanted = [order for order, out in zip(orders, outcomes, strict=True) if out.action != "kept"]
        if not wanted:
            return outcomes
        signer = open_signer(store, passphrase).issuer
        made = {i.entry.name: i for i in install_leaves(session, "fleet", wanted, profiles, signer, moment)}
        return [Outcome(out.name, out.action, out.why, made.get(out.name)) for out in outcomes]


def _judge(order: Order, store: Store, profiles: dict[str, Profile], now: datetime) -> Outcome:
    profile, sans = check_order(order, profiles)
    entries = [e for e in store.entries() if e.name == order.name]
    entry = next((e for e in entries if e.status is Status.ACTIVE), None)
    if entry is None:
        revoked = any(e.status is Status.REVOKED for e in entries)
        return Outcome(order.name, "issued", "the last one was revoked" if revoked else "there is none yet")
    changed = _difference(order, profile, {str(san) for san in sans}, entry)
    if changed:
        return Outcome(order.name, "changed", changed)
    if entry.due(now):
        return Outcome(order.name, "renewed", "two thirds of its life are over")
    return Outcome(order.name, "kept", f"{entry.days_left(now):.0f} days left")


def _difference(order: Order, profile: Profile, sans: set[str], entry: Entry) -> str | None:
    if entry.origin != "issued":
        return f"it was {entry.origin}"
    subject = parse_subject(order.subject) if order.subject else parse_subject(entry.subject)
    compared = (
        ("profile", entry.profile, profile.name),
        ("names", ", ".join(sorted(entry.sans)), ", ".join(sorted(sans))),
        ("key", entry.key_type, str(order.key_type or profile.key_type)),
        ("subject", entry.subject, subject.rfc4514_string()),
        ("life", entry.request.life_s, order.request().life_s),
    )
    return next((f"{what} {old} becomes {new}" for what, old, new in compared if old != new), None)
