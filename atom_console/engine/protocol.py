"""The engine as its readers see it: a screen, a headless command, a test."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, Protocol

if TYPE_CHECKING:
    from atom_console.dlq.filters import Filter
    from atom_console.dlq.record import Group, Page, RecordDetail, RecordRow
    from atom_console.engine.commands import Command, Receipt
    from atom_console.engine.schema_shelf import SchemaShelf
    from atom_console.engine.snapshot import EngineSnapshot


@dataclass(frozen=True, slots=True)
class DrainReport:
    """How the end went: `text` is one sentence; `saved` is False where an event could neither be sent nor kept."""

    text: str
    saved: bool = True


class DeadLetterReader(Protocol):
    """The reading side of the store (`dlq.reader.Reader`): every call may wait for the disk, and raises AtomError."""

    def page(
        self,
        wanted: Filter = ...,
        *,
        limit: int = ...,
        cursor: str | None = ...,
        order: Literal["newest", "oldest"] = ...,
    ) -> Page:
        """One page, in order of arrival."""
        ...

    def numbers(self, wanted: Filter) -> Sequence[int]:
        """`seq` of every record that matches, oldest first."""
        ...

    def rows(self, seqs: Iterable[int]) -> Sequence[RecordRow]:
        """The rows of these numbers, in that order, without those that are gone."""
        ...

    def groups(self, wanted: Filter = ...) -> Sequence[Group]:
        """Matching records by fingerprint."""
        ...

    def trend(self, *, minutes: int = ...) -> Mapping[str, Sequence[int]]:
        """Fingerprint → arrivals a minute."""
        ...

    def record(self, record_id: str) -> RecordDetail | None:
        """Everything about one record."""
        ...

    def change_counter(self) -> int:
        """Changes when the store did."""
        ...


class EngineLike(Protocol):
    """Owns every long-lived thread; never waits for its reader."""

    @property
    def dead_letters(self) -> DeadLetterReader | None:
        """Reads of the profile's store; None where the profile has none."""
        ...

    @property
    def schemas(self) -> SchemaShelf | None:
        """Every schema that this console has met; None where none can be."""
        ...

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
