"""What operators do with many records at once: release, quarantine, discard, restore, by frozen numbers, with a reason.

A bulk command acts on the list that its caller saw. What changed since, or may not change that way, is skipped and
counted, never forced.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Literal

from atom_console.dlq import audit
from atom_console.dlq.errors import FilterError
from atom_console.dlq.record import State
from atom_console.dlq.states import ALLOWED, Change, held_by_windows, transition
from atom_console.dlq.times import now_ms

if TYPE_CHECKING:
    import apsw

    from atom_console.dlq.store import Store

Action = Literal["release", "quarantine", "discard", "restore"]

_FROM: Final[Mapping[Action, frozenset[State]]] = {
    "release": frozenset({State.CAPTURED, State.QUARANTINED, State.FAILED}),
    "quarantine": frozenset({State.CAPTURED, State.READY, State.FAILED}),
    "discard": frozenset({State.CAPTURED, State.READY, State.QUARANTINED, State.FAILED}),
    "restore": frozenset({State.DISCARDED}),
}
_TO: Final[Mapping[Action, State]] = {
    "release": State.READY,
    "quarantine": State.QUARANTINED,
    "discard": State.DISCARDED,
}
_AT_ONCE: Final = 2_000
"""Records of one transaction: capture goes on in between."""


@dataclass(frozen=True, slots=True)
class TriageReport:
    """What became of the records; `skipped` says why, and how many."""

    changed: int
    skipped: Mapping[str, int]

    @property
    def skipped_total(self) -> int:
        """All that stayed as they were."""
        return sum(self.skipped.values())


def triage(
    store: Store,
    action: Action,
    frozen: Sequence[tuple[int, int]],
    reason: str,
    *,
    on_progress: Callable[[int, int], None] | None = None,
) -> TriageReport:
    """Change the states of records.

    Args:
        frozen: (seq, version) of each, as `Reader.matching` gave them.
        reason: why, one sentence, for the audit.
        on_progress: told (done, of) after each transaction.

    Raises:
        FilterError: no reason.
        StoreUnavailableError: the store cannot be written; what was reported done is done.
    """
    if not reason.strip():
        raise FilterError("a change of state needs a reason", next_step="Give one sentence with --reason.")
    changed = 0
    skipped: Counter[str] = Counter()
    for start in range(0, len(frozen), _AT_ONCE):
        some = frozen[start : start + _AT_ONCE]
        done, left = store.run(lambda conn, some=some: _change(conn, action, some, reason))  # type: ignore[misc]  # mypy cannot infer a lambda with a default
        changed += done
        skipped += left
        if on_progress is not None:
            on_progress(start + len(some), len(frozen))
    return TriageReport(changed, dict(skipped))


def _change(
    conn: apsw.Connection, action: Action, frozen: Sequence[tuple[int, int]], reason: str
) -> tuple[int, Counter[str]]:
    query = "SELECT seq, state, version, prior_state FROM record WHERE seq IN (SELECT value FROM json_each(?))"
    found: Any = conn.execute(query, (json.dumps([seq for seq, _ in frozen]),))
    now = {seq: rest for seq, *rest in found}
    held = held_by_windows(conn)
    skipped: Counter[str] = Counter()
    by_state: dict[State, list[Change]] = {}
    for seq, version in frozen:
        to, why = _decide(action, now.get(seq), version, running=seq in held)
        if to is None:
            skipped[why] += 1
        else:
            by_state.setdefault(to, []).append(Change(seq, version))
    actor, at = audit.present_actor(), now_ms()
    done = sum(transition(conn, changes, to, reason=reason, actor=actor, now_ms=at) for to, changes in by_state.items())
    return done, skipped


def _decide(action: Action, row: Any, version: int, *, running: bool) -> tuple[State | None, str]:
    """(the state it goes to, or None; why not)."""
    if row is None:
        return None, "not in the store any more"
    state = State(row[0])
    if running:
        return None, "being sent by a replay, or its outcome is not known"
    if row[1] != version:
        return None, "changed since the list was made"
    if state not in _FROM[action]:
        return None, f"is {state}"
    if action != "restore":
        return _TO[action], ""
    before = State(row[2]) if row[2] else State.QUARANTINED
    return (before if before in ALLOWED[State.DISCARDED] else State.QUARANTINED), ""


def current(store: Store, seqs: Iterable[int]) -> list[tuple[int, int]]:
    """(seq, version) of records as they are now, for a caller that has only their numbers."""
    query = "SELECT seq, version FROM record WHERE seq IN (SELECT value FROM json_each(?)) ORDER BY seq"
    text = json.dumps(list(seqs))
    rows: Any = store.run(lambda conn: conn.execute(query, (text,)).fetchall())
    return [(seq, version) for seq, version in rows]
