"""Records whose outcome is not known: looked for on their own, or decided by an operator who takes it on himself."""

from __future__ import annotations

from threading import Event
from typing import TYPE_CHECKING, Any

from atom_console.dlq import audit, lease
from atom_console.dlq.record import State
from atom_console.dlq.replay.options import ReplayOptions
from atom_console.dlq.replay.recover import Recovery, recover
from atom_console.dlq.replay.windows import open_windows
from atom_console.dlq.states import settle
from atom_console.dlq.times import now_ms
from atom_console.errors import RefusedError

if TYPE_CHECKING:
    import apsw

    from atom_console.config import Settings
    from atom_console.dlq.store import Store


def resolve(
    store: Store, settings: Settings, *, wait_s: float = 0.0, take_over: bool = False, stop: Event | None = None
) -> Recovery:
    """Look on the broker for every record that is open; again until `wait_s` seconds have passed, where that may help.

    Raises:
        RefusedError: a read-only profile.
        LeaseHeldError: a replay runs; it recovers by itself.
        BrokerUnreachableError: no broker answered.
    """
    if settings.read_only:
        raise RefusedError(
            f"profile {settings.profile} is read-only: a recovery is refused", next_step="use a profile that may write"
        )
    options = ReplayOptions.of(settings.dlq)
    halt = stop or Event()
    held = lease.acquire(store, "recovery", take_over=take_over)
    total = Recovery()
    end = now_ms() + round(wait_s * 1000)
    try:
        while True:
            found = recover(store, settings.kafka, held.fencing, options, stop=halt)
            total.recovered += found.recovered
            total.absent += found.absent
            total.still_unknown, total.doubts, total.wait_s = found.still_unknown, found.doubts, found.wait_s
            if not found.still_unknown or found.wait_s is None or now_ms() + found.wait_s * 1000 > end:
                return total
            if halt.wait(found.wait_s):
                return total
    finally:
        lease.release(store, held)


def assume_all(store: Store, *, arrived: bool, reason: str) -> int:
    """Decide every unknown record without proof; how many. `arrived` False: each may become a second copy.

    Raises:
        LeaseHeldError: a replay runs.
    """
    held = lease.acquire(store, "decision about unknown outcomes")

    def work(conn: apsw.Connection) -> int:
        at = now_ms()
        lease.beat(conn, held.fencing, at)
        total = 0
        for window in open_windows(conn):
            rows: Any = conn.execute("SELECT value FROM json_each(?)", (str(list(window.seqs)),))
            seqs = [row[0] for row in rows if _state(conn, row[0]) == State.UNKNOWN]
            to = State.REPLAYED if arrived else State.READY
            settle(conn, seqs, to, reason=reason, run_id=window.run_id, now_ms=at, sent=arrived)
            conn.execute(
                "UPDATE run SET unknown = max(0, unknown - ?), replayed = replayed + ? WHERE id = ?",
                (len(seqs), len(seqs) if arrived else 0, window.run_id),
            )
            conn.execute("UPDATE replay_window SET closed_at = ?, outcome = '{}' WHERE id = ?", (at, window.id))
            audit.append(
                conn,
                actor=audit.present_actor(),
                at=at,
                action="assume",
                subject=f"{len(seqs)} unknown outcomes: {'arrived' if arrived else 'lost'}",
                records=len(seqs),
                before_sha=audit.digest([(seq,) for seq in seqs]),
                reason=reason,
                seqs=seqs,
            )
            total += len(seqs)
        return total

    try:
        return store.run(work)
    finally:
        lease.release(store, held)


def _state(conn: apsw.Connection, seq: int) -> Any:
    return conn.execute("SELECT state FROM record WHERE seq = ?", (seq,)).get
