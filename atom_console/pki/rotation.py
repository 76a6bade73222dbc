"""Replacing the CA while everything runs: prepare (trust both), switch (re-issue), retire (trust the new one alone).

Each step refuses to run too early: peers must trust the new root before the first leaf of it appears, and the old root
must stay trusted until its last leaf is gone.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime

from atom_console.pki.errors import GuardError
from atom_console.pki.inventory import Entry, Status, utc_now
from atom_console.pki.issuing import Issued, install_leaves, new_ca, open_ca, order_of, renewable
from atom_console.pki.passphrase import PassphraseSource
from atom_console.pki.profiles import Kind
from atom_console.pki.store import Rotation, State, Store, Version


@dataclass(frozen=True, slots=True)
class Plan:
    """What the next step of a rotation will do, before it does it.

    Attributes:
        step: 1 prepare, 2 switch, 3 retire.
        does: sentences.
        blocked_by: why it may not run yet; empty where it may.
        leaves: names that the step re-issues, or that hold it up.
        foreign: leaves whose key is not here: their holders must send new CSRs.
    """

    step: int
    does: tuple[str, ...]
    blocked_by: tuple[str, ...] = ()
    leaves: tuple[str, ...] = ()
    foreign: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Done:
    """What a step did."""

    step: int
    issued: tuple[Issued, ...] = ()
    foreign: tuple[str, ...] = ()
    retired: tuple[str, ...] = ()


def plan(store: Store, *, now: datetime | None = None) -> Plan:
    """The next step, and whether it may run."""
    moment = now or utc_now()
    rotation = store.state().rotation
    if rotation is None:
        return Plan(
            1,
            (
                "makes a new root and a new issuing CA; nothing is issued from them yet",
                f"{store.bundle} then holds the old root and the new one",
                "next you give that bundle to every broker, server and client",
            ),
        )
    old = _below(store, rotation.old_issuing)
    if rotation.step == 1 or any(renewable(e) for e in old):
        return Plan(
            2,
            (
                "the new issuing CA signs from now on",
                "every leaf whose key is here gets a new key and certificate; old ones stay valid",
                "next you restart or reload every server and client with its new pair",
            ),
            leaves=tuple(e.name for e in old if e.status is Status.ACTIVE and e.origin == "issued"),
            foreign=tuple(e.name for e in old if e.status is Status.ACTIVE and e.origin == "signed"),
        )
    live = [e for e in old if e.left(moment) > 0 and e.status is not Status.REVOKED]
    active = sorted({e.name for e in live if e.status is Status.ACTIVE})
    superseded = sorted({e.name for e in live if e.status is Status.SUPERSEDED})
    blocked = []
    if active:
        blocked.append(f"in use under the old CA: {', '.join(active)}")
    if superseded:
        blocked.append(f"replaced, but valid until their end: {', '.join(superseded)}")
    return Plan(
        3,
        ("the old root leaves the trust bundle", "certificates of the old CA are refused from then on"),
        tuple(blocked),
        tuple(sorted({*active, *superseded})),
    )


def prepare(
    store: Store, passphrase: PassphraseSource, *, keep_root: bool = False, now: datetime | None = None
) -> Done:
    """Step 1: a new root and issuing CA stand ready, and the trust bundle holds old and new.

    Args:
        keep_root: only the issuing CA is replaced; peers that trust the root need nothing new.

    Raises:
        GuardError: there is no CA yet, a rotation is under way, or the root's key (with keep_root) is not here.
        PassphraseError, FaultError, StoreWriteError: nothing is changed.
    """
    moment = now or utc_now()
    with store.exclusive() as session:
        state = store.state()
        if state.rotation is not None:
            raise GuardError(
                f"a rotation is under way, step {state.rotation.step} is done",
                next_step="run its next step: atom-console certs rotate-ca",
            )
        root, issuing = store.current(Kind.ROOT), store.current(Kind.INTERMEDIATE)
        if root is None or issuing is None:
            raise GuardError(f"there is no CA in {store.root}", next_step="run: atom-console certs init")
        # A prepare that was cut short may have left a pair that no rotation knows: it is never trusted again.
        orphans = [e.fingerprint for e in store.entries() if e.status is Status.STAGED]
        state = replace(state, retired=(*state.retired, *orphans))
        profiles = store.profiles()
        versions: list[Version] = []
        secret = passphrase("the new CA keys", confirm=True)
        if keep_root:
            above = open_ca(store, root, passphrase)
        else:
            version, above = new_ca(profiles["root"], None, secret, moment, make_current=False)
            versions.append(version)
        version, _ = new_ca(profiles["intermediate"], above, secret, moment, make_current=False)
        entries = session.install("rotate-prepare", [*versions, version], now=moment)
        new_root = root if keep_root else entries[0]
        rotation = Rotation(
            1,
            root.fingerprint,
            new_root.fingerprint,
            issuing.fingerprint,
            entries[-1].fingerprint,
            int(moment.timestamp() * 1000),
        )
        session.save_state(replace(state, rotation=rotation))
        session.publish()
        return Done(1)


def switch(store: Store, passphrase: PassphraseSource, *, distributed: bool, now: datetime | None = None) -> Done:
    """Step 2: the new CA signs; every leaf whose key is here is re-issued. Run again, it goes on where it was cut off.

    Args:
        distributed: the operator says that every peer has the bundle of step 1.

    Raises:
        GuardError: step 1 has not been done, or the bundle was not distributed.
        PassphraseError, FaultError, StoreWriteError: leaves not re-issued yet are unchanged.
    """
    moment = now or utc_now()
    with store.exclusive() as session:
        state = store.state()
        rotation = state.rotation
        if rotation is None or rotation.step not in {1, 2}:
            raise GuardError("no rotation has been prepared", next_step="run step 1 first: certs rotate-ca")
        if not distributed and rotation.old_root != rotation.new_root:
            raise GuardError(
                "peers must trust the new root before its first leaf appears",
                next_step=f"give {store.bundle} to every peer, then confirm with --distributed",
            )
        new = {e.fingerprint: e for e in store.entries()}
        issuing, root = new[rotation.new_issuing], new[rotation.new_root]
        signer = open_ca(store, issuing, passphrase)
        session.record("rotate-switch", issuing.name, root=root.name)
        for entry in (root, issuing):
            session.switch(entry.directory.parent, entry.serial)
        session.save_state(replace(state, rotation=replace(rotation, step=2)))
        session.publish()
        active = [e for e in _below(store, rotation.old_issuing) if e.status is Status.ACTIVE]
        orders = [order_of(e) for e in active if e.origin == "issued"]
        issued = install_leaves(session, "rotate-issue", orders, store.profiles(), signer, moment) if orders else []
        foreign = tuple(e.name for e in active if e.origin == "signed")
        return Done(2, tuple(issued), foreign)


def retire(store: Store, *, peers_switched: bool = False, now: datetime | None = None) -> Done:
    """Step 3: the old CA leaves the trust bundle.

    Args:
        peers_switched: the operator says that no peer uses a replaced pair any more, though some are still valid.

    Raises:
        GuardError: step 2 has not been done, or live certificates of the old CA are in use.
    """
    moment = now or utc_now()
    with store.exclusive() as session:
        state = store.state()
        rotation = state.rotation
        if rotation is None or rotation.step != 2:
            raise GuardError("the switch of step 2 has not been done", next_step="run: atom-console certs rotate-ca")
        waiting = plan(store, now=moment).blocked_by
        in_use = [e for e in _live(store, rotation, moment) if e.status is Status.ACTIVE]
        if in_use or (waiting and not peers_switched):
            raise GuardError(
                f"the old CA is still needed: {'; '.join(waiting)}",
                next_step="re-issue or revoke what is in use; when no peer uses a replaced pair: --peers-switched",
            )
        old = {rotation.old_issuing} | ({rotation.old_root} if rotation.old_root != rotation.new_root else set())
        names = tuple(e.name for e in store.entries() if e.fingerprint in old)
        session.record("rotate-retire", ", ".join(names), peers_switched=peers_switched)
        session.save_state(State((*state.retired, *sorted(old)), None))
        session.publish()
        return Done(3, retired=names)


def _live(store: Store, rotation: Rotation, now: datetime) -> list[Entry]:
    below = _below(store, rotation.old_issuing)
    return [e for e in below if e.left(now) > 0 and e.status is not Status.REVOKED]


def _below(store: Store, issuer_fingerprint: str) -> list[Entry]:
    entries = store.entries()
    issuer = next((e for e in entries if e.fingerprint == issuer_fingerprint), None)
    if issuer is None:
        return []
    return [e for e in entries if e.kind is Kind.LEAF and e.issuer_id == issuer.subject_id]
