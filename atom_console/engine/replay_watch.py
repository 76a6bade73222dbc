"""Replays of a store as another process's screen can know them: how far, how fast, who holds the lease."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from atom_console.dlq import lease
from atom_console.dlq.place import Place
from atom_console.dlq.record import Lease
from atom_console.dlq.replay.reading import reading
from atom_console.dlq.replay.runs import RunProgress, RunState, progress_of, read_runs

if TYPE_CHECKING:
    import apsw

_LAST_RUNS: Final = 50
_OVER_S: Final = 5.0
"""Rates of other processes' runs are averaged over the last so many seconds."""


@dataclass(frozen=True, slots=True)
class ReplayFacts:
    """One reading. `holder_lives` is None where nobody holds the lease; the maps are by the runs' names."""

    runs: tuple[RunProgress, ...] = ()
    windows: Mapping[str, int] = field(default_factory=dict)
    made_at: Mapping[str, int] = field(default_factory=dict)
    holder: Lease | None = None
    holder_lives: bool | None = None


class ReplayWatch:
    """For one thread."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._seen: dict[str, deque[tuple[float, int]]] = {}

    def read(self) -> ReplayFacts:
        """The last runs, newest first, whoever ran them.

        Raises:
            StoreUnavailableError: the store cannot be read.
        """
        if not Place(self._directory).database.exists():
            return ReplayFacts()
        with reading(self._directory) as conn:
            found = read_runs(conn, limit=_LAST_RUNS)
            holder = lease.read(conn)
            windows = {run.name: _windows(conn, run.id) for run in found if run.started_at is not None}
        runs = tuple(self._with_rate(progress_of(run, holder=_who(holder, run.name))) for run in found)
        made_at = {run.name: run.created_at for run in found}
        return self.look_at_holder(ReplayFacts(runs, windows, made_at, holder))

    def look_at_holder(self, facts: ReplayFacts) -> ReplayFacts:
        """Whether the holder of the lease lives; its end is no change of the store."""
        if facts.holder is None:
            return facts
        return replace(facts, holder_lives=lease.holder_lives(self._directory, facts.holder.fencing))

    def _with_rate(self, run: RunProgress) -> RunProgress:
        """Events a second that were decided since a few seconds ago, and the time that the rest takes."""
        if run.state != RunState.RUNNING:
            self._seen.pop(run.run_id, None)
            return run
        now_s, done = time.monotonic(), run.total - run.left
        seen = self._seen.setdefault(run.run_id, deque())
        seen.append((now_s, done))
        while len(seen) > 2 and seen[0][0] < now_s - _OVER_S:
            seen.popleft()
        passed_s = now_s - seen[0][0]
        if not passed_s:
            return run
        rate = (done - seen[0][1]) / passed_s
        return replace(run, rate_per_s=rate, eta_s=run.left / rate if rate > 0 else None)


def run_of(purpose: str) -> str | None:
    """The run's name in the purpose of a lease, or None where the lease is held for something else."""
    before, _, name = purpose.rpartition("run ")
    return name if before and " " not in name else None


def _who(holder: Lease | None, name: str) -> str:
    if holder is None or run_of(holder.purpose) != name:
        return ""
    return f"{holder.owner}@{holder.host} pid {holder.pid}"


def _windows(conn: apsw.Connection, run_id: int) -> int:
    found: Any = conn.execute("SELECT coalesce(max(number), 0) FROM replay_window WHERE run_id = ?", (run_id,)).get
    return int(found)
