"""The life of a record: which state may follow which, and the one function that changes a state.

`captured → ready | quarantined → replaying → replayed | failed | unknown`, and `discarded`, which can be undone until
the record is purged. A replay writes one row for a window of records instead of a state for each (see
`replay_window`), so `ready` may turn into an outcome directly; what an open window holds, nobody else may touch.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from atom_console.dlq import audit
from atom_console.dlq.errors import IllegalTransitionError, StaleRecordError
from atom_console.dlq.ids import id_text
from atom_console.dlq.record import State
from atom_console.dlq.text import storable

if TYPE_CHECKING:
    import apsw

_OUTCOMES: Final = frozenset({State.REPLAYED, State.FAILED, State.UNKNOWN})

ALLOWED: Final[Mapping[State, frozenset[State]]] = {
    State.CAPTURED: frozenset({State.READY, State.QUARANTINED, State.DISCARDED}),
    State.READY: frozenset({State.REPLAYING, State.QUARANTINED, State.DISCARDED}) | _OUTCOMES,
    State.QUARANTINED: frozenset({State.READY, State.DISCARDED}),
    State.REPLAYING: frozenset({State.READY, State.QUARANTINED}) | _OUTCOMES,
    State.UNKNOWN: frozenset({State.REPLAYED, State.READY, State.FAILED, State.QUARANTINED}),
    State.FAILED: frozenset({State.READY, State.QUARANTINED, State.DISCARDED}),
    State.REPLAYED: frozenset(),
    State.DISCARDED: frozenset({State.READY, State.QUARANTINED, State.FAILED}),
}
"""State → the states that may follow it."""

_READY: Final = {
    "outage": "the broker was not reachable; the event itself is sound",
    "innocent": "another record of the batch was refused, not this one",
    "shutdown": "the producer stopped before the broker answered",
    "client_fatal": "the producer had to be rebuilt; the event itself is sound",
}
_QUARANTINED: Final = {
    "poison": "the event itself was refused: it needs a look before it is sent again",
    "config": "a topic, permission or setting is wrong: correct it, then release",
}


def initial_state(err_class: str) -> tuple[State, str]:
    """Class of the failure → the first state after `captured`, and why in one sentence."""
    reason = _READY.get(err_class)
    if reason is not None:
        return State.READY, reason
    return State.QUARANTINED, _QUARANTINED.get(
        err_class, "the cause is not known: it needs a look before it is sent again"
    )


@lru_cache(maxsize=64)
def first_state(err_class: str) -> str:
    """The state alone, as stored."""
    return initial_state(err_class)[0].value


class Change(NamedTuple):
    """One record to change: its `seq` and the `version` that the decision was made on."""

    seq: int
    version: int


def transition(
    conn: apsw.Connection,
    changes: Sequence[Change],
    to: State,
    *,
    reason: str,
    actor: audit.Actor,
    now_ms: int,
    window_id: int | None = None,
) -> int:
    """Change the state of records and write the audit row, inside the caller's transaction: all of them or none.

    Args:
        changes: which records, each with the version seen by whoever decided.
        reason: why, one sentence; never empty.
        now_ms: Unix milliseconds.
        window_id: the replay window that writes its own outcome; its records are open to it alone.

    Returns:
        How many records changed.

    Raises:
        IllegalTransitionError: the state may not follow, the record is gone, or an open replay window holds it.
        StaleRecordError: the record changed since it was read.
    """
    if not changes:
        return 0
    if not reason.strip():
        raise IllegalTransitionError("a change of state needs a reason", next_step="Give one sentence with --reason.")
    held = held_by_windows(conn, except_window=window_id)
    before: list[tuple[object, ...]] = []
    after: list[tuple[object, ...]] = []
    for seq, version in changes:
        row: Any = conn.execute("SELECT id, state, version FROM record WHERE seq = ?", (seq,)).fetchone()
        if row is None:
            raise IllegalTransitionError(f"record {seq} is not in the store any more", next_step="Refresh the list.")
        state, found = row[1:]
        record_id = id_text(row[0])
        _check(record_id, State(state), to, holder=held.get(seq))
        if found != version:
            raise StaleRecordError(
                f"record {record_id} is at version {found}, the decision was made on {version}",
                next_step="Look at the record again, then repeat the command.",
            )
        before.append((record_id, state, version))
        after.append((record_id, str(to), version + 1))
    why = storable(reason)
    conn.executemany(
        "UPDATE record SET prior_state = state, state = ?, state_reason = ?, state_at = ?, version = version + 1"
        " WHERE seq = ? AND version = ?",
        ((str(to), why, now_ms, seq, version) for seq, version in changes),
    )
    audit.append(
        conn, actor=actor, at=now_ms, action="transition", subject=f"{len(changes)} to {to}", records=len(changes),
        before_sha=audit.digest(before), after_sha=audit.digest(after), reason=why, seqs=(c.seq for c in changes),
    )  # fmt: skip
    return len(changes)


def settle(
    conn: apsw.Connection,
    seqs: Sequence[int],
    to: State,
    *,
    reason: str,
    run_id: int,
    now_ms: int,
    sent: bool,
) -> None:
    """What a replay window writes for many records at once, in one statement, inside the caller's transaction.

    The window protects them from everybody else, so there is no version to compare; its own row of the audit covers
    them all, and the caller writes it.

    Args:
        sent: it was an attempt to send.

    Raises:
        StaleRecordError: one of them is in a state from which `to` may not follow.
    """
    if not seqs:
        return
    allowed = [state.value for state in State if to in ALLOWED[state]]
    conn.execute(
        "UPDATE record SET prior_state = state, state = ?, state_reason = ?, state_at = ?, version = version + 1,"
        " attempts = attempts + ?, run_id = ?"
        " WHERE seq IN (SELECT value FROM json_each(?)) AND state IN (SELECT value FROM json_each(?))",
        (to.value, storable(reason), now_ms, int(sent), run_id, json.dumps(seqs), json.dumps(allowed)),
    )
    if conn.changes() != len(seqs):
        raise StaleRecordError(
            f"{len(seqs) - conn.changes()} of {len(seqs)} records of the window cannot become {to}",
            next_step="Look for what else changed them: `dlq show ID`.",
        )


def _check(record_id: str, state: State, to: State, *, holder: int | None) -> None:
    if holder is not None:
        raise IllegalTransitionError(
            f"record {record_id} is being sent by replay run {holder}",
            next_step="Wait for the run, or cancel it, then repeat the command.",
        )
    if to not in ALLOWED[state]:
        after = ", ".join(sorted(ALLOWED[state])) or "nothing"
        raise IllegalTransitionError(
            f"record {record_id} is {state} and cannot become {to}", next_step=f"After {state} may follow: {after}."
        )


def pack_seqs(seqs: Sequence[int]) -> bytes:
    """The records of a window as one BLOB: 64-bit little-endian numbers."""
    return struct.pack(f"<{len(seqs)}q", *seqs)


def unpack_seqs(blob: bytes) -> tuple[int, ...]:
    """The inverse of `pack_seqs`."""
    return struct.unpack(f"<{len(blob) // 8}q", blob)


def held_by_windows(conn: apsw.Connection, *, except_window: int | None = None) -> dict[int, int]:
    """`seq` → run of every record in an open replay window."""
    query = "SELECT run_id, seqs FROM replay_window WHERE closed_at IS NULL AND id IS NOT ?"
    windows: Any = conn.execute(query, (except_window,))
    return {seq: run_id for run_id, blob in windows for seq in unpack_seqs(blob)}
