"""What can stop a replay, as typed errors."""

from __future__ import annotations

from collections.abc import Sequence

from atom_console.errors import CheckError, InputError, PartialError, RefusedError


class NoSuchRunError(InputError):
    """The store has no run of this name."""


class EmptyPlanError(InputError):
    """Nothing that may be sent matches."""


class PlanRefusedError(RefusedError):
    """The plan may not run as it is.

    Attributes:
        refusals: every reason, a sentence each.
    """

    def __init__(self, refusals: Sequence[str], *, next_step: str | None = None) -> None:
        super().__init__("; ".join(refusals), next_step=next_step)
        self.refusals = tuple(refusals)


class NotConfirmedError(RefusedError):
    """The number of events was not confirmed."""


class RunStateError(RefusedError):
    """The run is in a state in which this cannot be done."""


class LeaseHeldError(RefusedError):
    """Another process replays in this store now."""


class LeaseLostError(RefusedError):
    """Another process has taken the lease over: this one may not write any more."""


class UnresolvedError(PartialError):
    """Outcomes are not known and cannot be found out now."""


class NotVerifiedError(CheckError):
    """The count of copies found records lost or doubled."""
