"""How the store is, and whether new events may come in: one frozen value, one sentence, one next step."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Final, Protocol

from atom_console.dlq.errors import IntakeRefusedError

if TYPE_CHECKING:
    from atom_console.dlq.place import Place

REFUSE_AT: Final = 0.95
SPILL_AT: Final = 0.99
"""Shares of the size cap: from the first on no new event is taken in, and accepted ones use the reserve; from the
second on they go to the spill file, so that changes of state, and with them a replay, always find room."""


class StoreSettings(Protocol):
    """What the store needs of the settings (`DlqSettings` has it)."""

    @property
    def max_bytes(self) -> int: ...  # noqa: D102
    @property
    def min_free_bytes(self) -> int: ...  # noqa: D102
    @property
    def full_policy(self) -> str: ...  # noqa: D102
    @property
    def sync(self) -> str: ...  # noqa: D102


class HealthState(StrEnum):
    """From well to worst."""

    OK = "ok"
    SIZE_CAP = "size_cap"
    LOW_DISK = "low_disk"
    SPILLING = "spilling"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Health:
    """The store's health.

    Attributes:
        accepting: whether new events may come in. What was accepted before is saved in any case.
        sentence: what is the matter; empty when all is well.
        next_step: what to do about it; empty when all is well.
        used_bytes: pages in use of the database; max_bytes: its cap; free_bytes: what the disk has left.
        queued: records that wait for the writer; spilled: records that this process put into spill files;
            unsaved: records that are in memory only because nothing could be written.
    """

    state: HealthState
    accepting: bool
    sentence: str
    next_step: str
    used_bytes: int
    max_bytes: int
    free_bytes: int
    queued: int
    spilled: int
    unsaved: int

    def refusal(self) -> IntakeRefusedError | None:
        """The error for whoever wants to bring in a new event, or None."""
        if self.accepting:
            return None
        return IntakeRefusedError(self.sentence, next_step=self.next_step)


@dataclass(frozen=True, slots=True)
class Room:
    """What there is to fill: bytes used and the cap, bytes free and the floor."""

    used_bytes: int
    max_bytes: int
    free_bytes: int
    min_free_bytes: int

    @property
    def capped(self) -> bool:
        """New events are refused."""
        return self.used_bytes >= REFUSE_AT * self.max_bytes

    @property
    def spent(self) -> bool:
        """The reserve is used up too."""
        return self.used_bytes >= SPILL_AT * self.max_bytes

    @property
    def low_disk(self) -> bool:
        """The disk is below its floor."""
        return self.free_bytes < self.min_free_bytes


def judge(
    place: Place, room: Room, *, fault: str | None, unsaved: int, queued: int, spilled: int, closed: bool
) -> Health:
    """The health that follows from what the writer sees.

    Args:
        fault: why the database does not take records, or None.
    """
    state, accepting, sentence, step = HealthState.OK, True, "", ""
    if unsaved:
        state, accepting = HealthState.FAILED, False
        sentence = f"{unsaved} events are in memory only: neither {place.database} nor {place.spool} can be written"
        if fault:
            sentence += f" ({fault})"
        step = (
            "Free disk space or restore write permission now, and do not stop this process: it tries again by itself."
        )
    elif fault is not None:
        state = HealthState.SPILLING
        sentence = f"events go to spill files in {place.spool}: {fault}"
        step = "Nothing is lost: they are imported by themselves. Repair the database file's disk or permissions."
        accepting = not (room.capped or room.low_disk)
        if not accepting:
            sentence += "; new events are refused, because store or disk is full"
    elif room.spent:
        state, accepting = HealthState.SPILLING, False
        sentence = (
            f"the store holds {_mb(room.used_bytes)} of {_mb(room.max_bytes)}: new events are refused, accepted"
            f" ones go to spill files in {place.spool}"
        )
        step = "Replay or discard, then purge; or raise ATOM_DLQ_MAX_BYTES. Spill files are imported by themselves."
    elif room.capped:
        state, accepting = HealthState.SIZE_CAP, False
        sentence = f"the store holds {_mb(room.used_bytes)} of {_mb(room.max_bytes)}: new events are refused"
        step = "Replay or discard, then purge; or raise ATOM_DLQ_MAX_BYTES."
    elif room.low_disk:
        state, accepting = HealthState.LOW_DISK, False
        sentence = (
            f"the disk of {place.root} has {_mb(room.free_bytes)} left, below the floor of {_mb(room.min_free_bytes)}:"
            " new events are refused"
        )
        step = "Free disk space, or lower ATOM_DLQ_MIN_FREE_BYTES."
    if closed and state is not HealthState.FAILED:
        accepting, sentence, step = False, f"the store {place.database} is closed", "Open it again."
    return Health(
        state, accepting, sentence, step, room.used_bytes, room.max_bytes, room.free_bytes, queued, spilled, unsaved
    )


def _mb(count: int) -> str:
    return f"{count / 2**30:.1f} GiB" if count >= 2**30 else f"{count / 2**20:.1f} MiB"
