"""What can go wrong with the dead letter store, as typed errors; each names the file and the next step."""

from __future__ import annotations

from atom_console.errors import AtomError, CheckError, InputError, RefusedError, UnreachableError


class StoreUnavailableError(UnreachableError):
    """The store cannot be used now: no permission, locked by another process for too long, a disk fault, closed."""


class StoreDamagedError(CheckError):
    """The database file is damaged and could not be put aside here, usually because another process has it open."""


class StoreVersionError(CheckError):
    """The file was written by a newer version of this program (its `user_version` is higher than ours)."""


class IntakeRefusedError(RefusedError):
    """New events are refused: the store is at its size cap, the disk is below its floor, or nothing can be saved."""


class NotSavedError(AtomError):
    """Accepted events are in memory only: neither the database nor the spill file took them.

    Attributes:
        unsaved: how many events.
    """

    def __init__(self, what: str, *, unsaved: int, next_step: str | None = None) -> None:
        super().__init__(what, next_step=next_step)
        self.unsaved = unsaved


class IllegalTransitionError(RefusedError):
    """A record may not go from its state to the one asked for, or it belongs to an open replay window."""


class StaleRecordError(RefusedError):
    """The record changed since it was read (optimistic version)."""


class FilterError(InputError):
    """A filter or a cursor that cannot be used."""


class SpillFileError(InputError):
    """A spill file that cannot be read at all."""
