"""The lease of a replay: one process of a store sends at a time, and whoever lost it can write nothing more.

A lease is a row (owner, host, heartbeat, fencing number) and a lock file that the system gives back when the holder
dies. A dead holder's lease is taken over at once; a living one's only when its heartbeat is stale and the operator says
so, since it may still send what it has in hand. Every transaction of a replay checks the fencing number.
"""

from __future__ import annotations

import logging
import os
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from atom_console.dlq import audit
from atom_console.dlq.errors import StoreUnavailableError
from atom_console.dlq.place import Place, lock, open_lock_file
from atom_console.dlq.record import Lease
from atom_console.dlq.replay.errors import LeaseHeldError, LeaseLostError
from atom_console.dlq.times import now_ms
from atom_console.times import format_ms

if TYPE_CHECKING:
    import apsw

    from atom_console.dlq.store import Store

LOG: Final = logging.getLogger("atom_console.dlq")

REPLAY: Final = "replay"
HEARTBEAT_S: Final = 1.0
STALE_S: Final = 15.0
"""Seconds without a heartbeat after which a living holder may be put aside (it beats every second)."""


@dataclass(frozen=True, slots=True)
class Held:
    """A lease that this process holds; `fencing` grows with every holder."""

    fencing: int
    path: Path
    fd: int


def acquire(store: Store, purpose: str, *, take_over: bool = False) -> Held:
    """Take the lease, for as long as this process lives or until `release`.

    Args:
        purpose: what for, shown to whoever is refused.
        take_over: put a living holder aside whose heartbeat is stale.

    Raises:
        LeaseHeldError: another process holds it.
        StoreUnavailableError: the store cannot be written.
    """
    place = Place(store.directory)
    return store.run(lambda conn: _take(conn, place, purpose, take_over=take_over))


def require_free(conn: apsw.Connection, directory: Path, *, take_over: bool = False) -> None:
    """Refuse what `acquire` would refuse now, without taking anything.

    Raises:
        LeaseHeldError: another process holds it.
    """
    holder = read(conn)
    if holder is not None:
        _require_free(Place(directory), holder, now_ms(), take_over=take_over)


def release(store: Store, held: Held) -> None:
    """Give it back; windows that are still open count from now. Nothing when it is lost already."""

    def work(conn: apsw.Connection) -> None:
        conn.execute(
            "UPDATE replay_window SET orphaned_at = ? WHERE fencing = ? AND closed_at IS NULL AND orphaned_at IS NULL",
            (now_ms(), held.fencing),
        )
        conn.execute("DELETE FROM lease WHERE name = ? AND fencing = ?", (REPLAY, held.fencing))

    try:
        store.run(work)
    except StoreUnavailableError as error:  # whoever comes next finds a dead holder
        LOG.warning("the lease was not given back: %s", error, extra={"event": "dlq.lease"})
    finally:
        abandon(held)


def abandon(held: Held) -> None:
    """Close the lock file without touching the row."""
    with suppress(OSError):
        held.path.unlink()
    with suppress(OSError):
        os.close(held.fd)


def beat(conn: apsw.Connection, fencing: int, at: int) -> None:
    """Say that we live, inside the caller's transaction, which is ours only as long as the lease is.

    Raises:
        LeaseLostError: another process has it.
    """
    conn.execute("UPDATE lease SET heartbeat_at = ? WHERE name = ? AND fencing = ?", (at, REPLAY, fencing))
    if conn.changes() != 1:
        raise LeaseLostError(
            f"the lease {REPLAY} was taken over by another process", next_step="See who holds it: `dlq stats`."
        )


def holder_lives(directory: Path, fencing: int) -> bool:
    """Whether the process that held the lease under this fencing number still runs."""
    try:
        fd = os.open(_lock_path(Place(directory), fencing), os.O_RDWR | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        return not lock(fd, exclusive=True)
    finally:
        os.close(fd)


def read(conn: apsw.Connection) -> Lease | None:
    """Who holds it, or None."""
    row: Any = conn.execute("SELECT * FROM lease WHERE name = ?", (REPLAY,)).fetchone()
    return None if row is None else Lease(*row)


def _take(conn: apsw.Connection, place: Place, purpose: str, *, take_over: bool) -> Held:
    actor, at = audit.present_actor(), now_ms()
    row: Any = conn.execute("SELECT * FROM lease WHERE name = ?", (REPLAY,)).fetchone()
    before = None if row is None else Lease(*row)
    if before is not None:
        _require_free(place, before, at, take_over=take_over)
    conn.execute("INSERT INTO meta VALUES ('fencing', 1) ON CONFLICT (name) DO UPDATE SET value = value + 1")
    fencing = int(conn.execute("SELECT value FROM meta WHERE name = 'fencing'").get)
    path = _lock_path(place, fencing)
    fd = open_lock_file(path)
    try:
        if not lock(fd, exclusive=True):
            raise LeaseHeldError(f"{path} is locked by another process", next_step="Try again.")
        values = (REPLAY, actor.os_user, actor.host, actor.pid, purpose, at, at, fencing)
        conn.execute("INSERT OR REPLACE INTO lease VALUES (?,?,?,?,?,?,?,?)", values)
        if before is not None:
            _note_takeover(conn, actor, at, before, purpose)
            _tidy(place, before.fencing)
    except BaseException:
        os.close(fd)
        path.unlink(missing_ok=True)
        raise
    return Held(fencing, path, fd)


def _require_free(place: Place, holder: Lease, at: int, *, take_over: bool) -> None:
    if not holder_lives(place.root, holder.fencing):
        return
    silent_s = (at - holder.heartbeat_at) / 1000
    who = f"{holder.owner}@{holder.host} pid {holder.pid} ({holder.purpose}, since {format_ms(holder.acquired_at)})"
    if silent_s < STALE_S:
        raise LeaseHeldError(
            f"a replay is running: {who}",
            next_step="Watch it with `dlq runs`; it can be paused or cancelled from here.",
        )
    if not take_over:
        raise LeaseHeldError(
            f"{who} lives, but was last heard of {silent_s:.0f} s ago",
            next_step=f"End process {holder.pid}, or take over with --take-over.",
        )


def _note_takeover(conn: apsw.Connection, actor: audit.Actor, at: int, before: Lease, purpose: str) -> None:
    """The windows that the dead holder left open remember when it was last heard of."""
    conn.execute(
        "UPDATE replay_window SET orphaned_at = ? WHERE closed_at IS NULL AND orphaned_at IS NULL",
        (before.heartbeat_at,),
    )
    audit.append(
        conn,
        actor=actor,
        at=at,
        action="takeover",
        subject=f"lease {REPLAY} of {before.owner}@{before.host} pid {before.pid}",
        records=0,
        reason=f"last heard of at {format_ms(before.heartbeat_at)}; now {purpose}",
    )


def _tidy(place: Place, fencing: int) -> None:
    """The lock file of a dead holder is of no use; a living one keeps it."""
    if not holder_lives(place.root, fencing):
        _lock_path(place, fencing).unlink(missing_ok=True)


def _lock_path(place: Place, fencing: int) -> Path:
    return place.owners / f"replay-{fencing}.lock"
