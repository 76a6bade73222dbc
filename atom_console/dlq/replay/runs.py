"""The runs of a store: what was planned, how far it is, and the wishes of operators in other processes."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Final, Literal

from atom_console.dlq import audit, lease
from atom_console.dlq.replay.errors import NoSuchRunError, RunStateError
from atom_console.dlq.replay.options import ReplayOptions
from atom_console.dlq.times import now_ms

if TYPE_CHECKING:
    import apsw

    from atom_console.dlq.store import Store

Wish = Literal["pause", "resume", "cancel"]


class RunState(StrEnum):
    """Where a run is. `stopped` can be resumed; `finished`, `cancelled` and `failed` are ends."""

    PLANNED = "planned"
    RUNNING = "running"
    PAUSED = "paused"
    STOPPED = "stopped"
    CANCELLED = "cancelled"
    FINISHED = "finished"
    FAILED = "failed"


RESUMABLE: Final = (RunState.PLANNED, RunState.RUNNING, RunState.PAUSED, RunState.STOPPED)

_COLUMNS: Final = (
    "id, name, state, state_reason, options, plan, cluster_id, created_at, created_by, started_at, ended_at, requested,"
    " total, held, sent, replayed, failed, unknown, duplicates_avoided, verified"
)


@dataclass(frozen=True, slots=True)
class Run:
    """One run as stored. Times are Unix milliseconds.

    Attributes:
        name: what operators call it.
        plan: the plan's summary, as `Plan.to_json` wrote it.
        requested: what an operator asked of the process that runs it, or None.
        total: records of the plan that may be sent; held: those that the plan holds back.
        sent: deliveries reported, of whatever outcome; replayed, failed, unknown: records, by outcome.
        duplicates_avoided: records that were found on the topic and not sent again.
        verified: what the count of copies found at the end, or None.
    """

    id: int
    name: str
    state: str
    state_reason: str
    options: ReplayOptions
    plan: Mapping[str, Any]
    cluster_id: str | None
    created_at: int
    created_by: str
    started_at: int | None
    ended_at: int | None
    requested: str | None
    total: int
    held: int
    sent: int
    replayed: int
    failed: int
    unknown: int
    duplicates_avoided: int
    verified: str | None

    @property
    def left(self) -> int:
        """Records of the plan that have no outcome yet."""
        return max(0, self.total - self.replayed - self.failed - self.unknown)


@dataclass(frozen=True, slots=True)
class RunProgress:
    """A run at this moment, for a screen or a progress line.

    Attributes:
        run_id: the run's name.
        state, reason: see `RunState`; while it runs, what it is doing (`checking`, `sending`, `waiting`, `verifying`).
        rate_per_s: acknowledged a second over the last seconds; None where this process does not run it.
        eta_s: seconds to the end at that rate, or None where nobody can tell.
        breaker: failures in a row now; breaker_limit: how many open it.
        ack_p99_ms: from produce to acknowledgement, or None.
        stalled_s: seconds since the broker last answered although something is in flight, else 0.
    """

    run_id: str
    state: str
    reason: str
    total: int
    held: int
    sent: int
    replayed: int
    failed: int
    unknown: int
    duplicates_avoided: int
    left: int
    rate_per_s: float | None
    eta_s: float | None
    breaker: int
    breaker_limit: int
    ack_p99_ms: float | None
    stalled_s: float
    verified: str | None
    holder: str


def read_run(conn: apsw.Connection, name: str) -> Run:
    """One run by its name, or by the beginning of it where only one fits.

    Raises:
        NoSuchRunError: none, or several.
    """
    query = f"SELECT {_COLUMNS} FROM run WHERE substr(name, 1, ?) = ? LIMIT 2"  # noqa: S608 -- our own constant
    rows: list[Any] = conn.execute(query, (len(name), name)).fetchall()
    if len(rows) != 1 or not name:
        what = "no run has this name" if not rows else "several runs begin like this"
        raise NoSuchRunError(f"run {name}: {what}", next_step="Take a name from `dlq runs`.")
    return _run(rows[0])


def read_runs(conn: apsw.Connection, *, limit: int = 50) -> list[Run]:
    """The last runs, newest first."""
    query = f"SELECT {_COLUMNS} FROM run ORDER BY id DESC LIMIT ?"  # noqa: S608 -- our own constant
    return [_run(row) for row in conn.execute(query, (limit,))]


def request(store: Store, name: str, wish: Wish, *, reason: str = "") -> Run:
    """Ask the process that runs it to pause, resume or cancel; it hears of it within about a second.

    Where nobody runs it, a cancel or pause takes effect here and now.

    Raises:
        NoSuchRunError: no such run.
        RunStateError: it is at an end.
    """

    def work(conn: apsw.Connection) -> Run:
        run = read_run(conn, name)
        if run.state not in RESUMABLE:
            raise RunStateError(f"run {run.name} is {run.state}: it cannot be changed any more")
        actor, at = audit.present_actor(), now_ms()
        audit.append(conn, actor=actor, at=at, action=wish, subject=f"run {run.name}", records=0, reason=reason)
        if _somebody_runs(store, conn, run):
            conn.execute("UPDATE run SET requested = ? WHERE id = ?", (wish, run.id))
        elif wish != "resume":
            state = RunState.CANCELLED if wish == "cancel" else RunState.PAUSED
            set_state(conn, run.id, state, f"{wish} asked for by {actor.os_user}", at)
        return read_run(conn, run.name)

    return store.run(work)


def change_pace(store: Store, name: str, *, rate: float | None, window: int | None, canary: int | None) -> Run:
    """Another rate, window or canary for a run that has not ended; None leaves it. What is sent never changes.

    Raises:
        NoSuchRunError: no such run.
        RunStateError: it is at an end.
        OptionError: a value out of range.
    """

    def work(conn: apsw.Connection) -> Run:
        run = read_run(conn, name)
        if run.state not in RESUMABLE:
            raise RunStateError(f"run {run.name} is {run.state}: it cannot be changed any more")
        asked = {"rate": rate, "window": window, "canary": canary}
        changes: dict[str, Any] = {key: value for key, value in asked.items() if value is not None}
        conn.execute("UPDATE run SET options = ? WHERE id = ?", (replace(run.options, **changes).to_json(), run.id))
        told = ", ".join(f"{key} {value:g}" for key, value in changes.items())
        actor, at = audit.present_actor(), now_ms()
        audit.append(conn, actor=actor, at=at, action="pace", subject=f"run {run.name}", records=0, reason=told)
        return read_run(conn, run.name)

    return store.run(work)


def _somebody_runs(store: Store, conn: apsw.Connection, run: Run) -> bool:
    held = lease.read(conn)
    return (
        run.state in (RunState.RUNNING, RunState.PAUSED)
        and held is not None
        and held.purpose.endswith(f" {run.name}")
        and lease.holder_lives(store.directory, held.fencing)
    )


def set_state(conn: apsw.Connection, run_id: int, state: RunState, reason: str, at: int) -> None:
    """Write the state of a run, inside the caller's transaction."""
    ended = None if state in (RunState.RUNNING, RunState.PAUSED) else at
    conn.execute(
        "UPDATE run SET state = ?, state_reason = ?, ended_at = ?, requested = NULL,"
        " started_at = coalesce(started_at, CASE WHEN ? = 'running' THEN ? END) WHERE id = ?",
        (state.value, reason, ended, state.value, at, run_id),
    )


def progress_of(run: Run, *, holder: str = "") -> RunProgress:
    """What the store knows of a run that another process drives."""
    return RunProgress(
        run_id=run.name,
        state=run.state,
        reason=run.state_reason,
        total=run.total,
        held=run.held,
        sent=run.sent,
        replayed=run.replayed,
        failed=run.failed,
        unknown=run.unknown,
        duplicates_avoided=run.duplicates_avoided,
        left=run.left,
        rate_per_s=None,
        eta_s=None,
        breaker=0,
        breaker_limit=run.options.breaker_consec,
        ack_p99_ms=None,
        stalled_s=0.0,
        verified=run.verified,
        holder=holder,
    )


def _run(row: tuple[Any, ...]) -> Run:
    values = list(row)
    values[4], values[5] = ReplayOptions.from_json(row[4]), json.loads(row[5])
    return Run(*values)
