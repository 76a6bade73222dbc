"""The engine as its readers see it: a screen, a headless command, a test."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from atom_console.engine.commands import Command, Receipt
from atom_console.engine.snapshot import EngineSnapshot


@dataclass(frozen=True, slots=True)
class DrainReport:
    """How the end went: `text` is one sentence; `saved` is False where an event could neither be sent nor kept."""

    text: str
    saved: bool = True


class EngineLike(Protocol):
    """Owns every long-lived thread; never waits for its reader."""

    def snapshot(self) -> EngineSnapshot:
        """The present state. Never blocks: a section that is being read is returned as it last was, with its age."""
        ...

    def submit(self, command: Command) -> Receipt:
        """Do it, or start it, and say what was done.

        It may wait for the disk or a broker within a deadline: a screen calls it from a thread of its own.

        Raises:
            AtomError: refused (read-only, unconfirmed, leased by another), or failed.
        """
        ...

    def receipts(self) -> Sequence[Receipt]:
        """Receipts of long commands (a replay, a workload) that ended since the last call, oldest first."""
        ...

    def drain(self, deadline_s: float) -> DrainReport:
        """Flush, purge, collect the last reports, keep what is left in the DLQ. Any thread may call it, also twice."""
        ...

    def stop(self) -> None:
        """Stop the threads. Call `drain` first."""
        ...
