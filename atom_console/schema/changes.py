"""What a difference between two schemas is, and the verdict over all of them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum


@dataclass(frozen=True, slots=True)
class Change:
    """One difference.

    Attributes:
        path: where, e.g. `AtomEvent.molecules` or `address.street`; empty for the schema itself.
        kind: e.g. `field removed`, `type changed`, `default changed`.
        before: the old side as text, or None where it is absent.
        after: the new side likewise.
        breaks_readers: programs built with the old schema misread, or cannot read, what new writers write.
        breaks_writers: programs built with the new schema misread, or cannot read, what old writers wrote.
        why: one sentence for the operator.
    """

    path: str
    kind: str
    before: str | None
    after: str | None
    breaks_readers: bool
    breaks_writers: bool
    why: str

    @property
    def breaking(self) -> bool:
        """Whether it breaks either side."""
        return self.breaks_readers or self.breaks_writers


class Verdict(StrEnum):
    """The worst of all changes."""

    IDENTICAL = "identical"
    COMPATIBLE = "compatible"
    BREAKS_READERS = "breaks readers"
    BREAKS_WRITERS = "breaks writers"
    BREAKING = "breaking"


def verdict(changes: Iterable[Change]) -> Verdict:
    """What all changes together do."""
    found = list(changes)
    if not found:
        return Verdict.IDENTICAL
    readers = any(change.breaks_readers for change in found)
    writers = any(change.breaks_writers for change in found)
    if readers and writers:
        return Verdict.BREAKING
    if readers:
        return Verdict.BREAKS_READERS
    return Verdict.BREAKS_WRITERS if writers else Verdict.COMPATIBLE
