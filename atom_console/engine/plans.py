"""Stored plans: read again, the beginning of one, and the end of one that nobody will run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from atom_console.errors import InputError

if TYPE_CHECKING:
    from atom_console.dlq.replay.options import ReplayOptions
    from atom_console.dlq.replay.plan import Plan
    from atom_console.dlq.store import Store


@dataclass(frozen=True, slots=True)
class StoredPlan:
    """A plan as it was made, how it is to be run, and in which state its run is now.

    Attributes:
        held: `seq` of the records that it holds back → why, where it was asked for.
    """

    plan: Plan
    options: ReplayOptions
    state: str
    held: Mapping[int, str] = field(default_factory=dict)


def read_plan(directory: Path, run_id: str, *, held: bool = False) -> StoredPlan:
    """Raises NoSuchRunError, StoreUnavailableError."""
    from atom_console.dlq.replay.plan import Plan
    from atom_console.dlq.replay.reading import reading
    from atom_console.dlq.replay.runs import read_run

    with reading(directory) as conn:
        run = read_run(conn, run_id)
        query = "SELECT seq, held FROM run_item WHERE run_id = ? AND held IS NOT NULL ORDER BY position"
        found: Any = conn.execute(query, (run.id,)) if held else ()
        return StoredPlan(Plan.from_json(run.plan), run.options, run.state, dict(found))


def records_of(directory: Path, run_id: str, first: int | None) -> tuple[ReplayOptions, list[int]]:
    """How a stored plan is to be run, and `seq` of its records that are still open, or of the first that it would send.

    Raises:
        InputError: there are none.
    """
    from atom_console.dlq.replay.reading import reading
    from atom_console.dlq.replay.runs import read_run

    with reading(directory) as conn:
        run = read_run(conn, run_id)
        which = "" if first is None else "AND i.held IS NULL "
        query = (
            "SELECT i.seq FROM run_item i JOIN record r ON r.seq = i.seq"  # noqa: S608 -- our own text
            f" WHERE i.run_id = ? AND r.state NOT IN ('replayed', 'discarded') {which}ORDER BY i.position LIMIT ?"
        )
        seqs = [row[0] for row in conn.execute(query, (run.id, -1 if first is None else first))]
    if not seqs:
        step = "see why its records are held back, or what became of them"
        raise InputError(f"nothing of plan {run.name} is left to send", next_step=step)
    return run.options, seqs


def drop(store: Store, run_id: str, reason: str) -> None:
    """Cancel a plan that was not run; one that was stays as it is."""
    from atom_console.dlq.replay.reading import reading
    from atom_console.dlq.replay.runs import RunState, read_run, request

    with reading(store.directory) as conn:
        state = read_run(conn, run_id).state
    if state == RunState.PLANNED:
        request(store, run_id, "cancel", reason=reason)
