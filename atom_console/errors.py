"""The families of errors that every room raises; the edge turns them into sentences and exit codes.

A room subclasses the family that fits and adds typed attributes. The message of an error says what was wrong and
where; `next_step` says what the operator can do about it.
"""

from __future__ import annotations

from typing import ClassVar


class AtomError(Exception):
    """Anything this program reports on purpose.

    Args:
        what: one sentence: what happened, to which thing, where (file and line, address, field path).
        next_step: one sentence: what to do about it, or None where nothing helps.
    """

    exit_code: ClassVar[int] = 1

    def __init__(self, what: str, *, next_step: str | None = None) -> None:
        super().__init__(what)
        self.what = what
        self.next_step = next_step


class InputError(AtomError):
    """Unusable input: a bad value, an unreadable file, an unknown key."""

    exit_code = 2


class PartialError(AtomError):
    """Done in part: some events, lines or records were kept aside."""

    exit_code = 3


class UnreachableError(AtomError):
    """A peer did not answer: refused, timed out, name not found."""

    exit_code = 4


class RefusedError(AtomError):
    """Not allowed here: read-only, unconfirmed, leased by another, another cluster."""

    exit_code = 5


class CheckError(AtomError):
    """A check did not hold: schema, certificate, audit chain, payload."""

    exit_code = 6
