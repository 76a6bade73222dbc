"""Windows on their way in memory, and what a report of the broker means for the record it is about."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum, auto
from typing import TYPE_CHECKING, Any

from atom_console.dlq.replay.windows import Landed, Outcome, Refusal
from atom_console.kafka.delivery_errors import ErrorClass, Verdict, classify

if TYPE_CHECKING:
    from atom_console.dlq.replay.items import Item


class Fate(Enum):
    """What a report without success means.

    `SUSPECT`: its batch was refused, it must be sent alone. `FAILED`: refused for its own fault. `RETURNED`: not on the
    broker, and not by its own fault. `UNKNOWN`: it may be there.
    """

    SUSPECT = auto()
    FAILED = auto()
    RETURNED = auto()
    UNKNOWN = auto()


def judge(item: Item, *, produced: bool) -> tuple[Fate, Verdict]:
    """The fate that follows from an item's error.

    Args:
        produced: the error came in a report, not from `produce` itself.
    """
    error: Any = item.error
    verdict = classify(error.code(), stage="delivery" if produced else "produce", alone=item.alone, name=error.name())
    if verdict.suspect and not item.alone:
        return Fate.SUSPECT, verdict
    if verdict.maybe_persisted:
        return Fate.UNKNOWN, verdict
    if verdict.err_class in (ErrorClass.POISON, ErrorClass.INNOCENT):
        return Fate.FAILED, verdict
    return Fate.RETURNED, verdict


@dataclass(slots=True, eq=False)
class Window:
    """One window: what is out, and what came back.

    Attributes:
        left: items without an outcome.
        opened_s: `time.monotonic` of its intent.
    """

    id: int
    number: int
    left: set[int]
    opened_s: float
    opened_ms: int
    replayed: list[Landed] = field(default_factory=list)
    failed: list[Refusal] = field(default_factory=list)
    returned: list[Refusal] = field(default_factory=list)
    unsent: list[int] = field(default_factory=list)
    unknown: list[int] = field(default_factory=list)

    def outcome(self) -> Outcome:
        """As it is written."""
        return Outcome(
            replayed=self.replayed,
            failed=self.failed,
            returned=self.returned,
            unsent=self.unsent,
            unknown=self.unknown,
            sent_at=self.opened_ms,
        )

    def refuse(self, item: Item, fate: Fate, verdict: Verdict, *, max_attempts: int) -> None:
        """Note an item that did not arrive, or nobody knows whether it did."""
        self.left.discard(item.seq)
        if fate is Fate.UNKNOWN:
            self.unknown.append(item.seq)
            return
        exhausted = fate is Fate.FAILED and item.attempts + 1 >= max_attempts
        message = str(item.error.str()) if item.error is not None else verdict.meaning
        refusal = Refusal(item.seq, verdict.code, verdict.name, message, exhausted)
        (self.failed if fate is Fate.FAILED else self.returned).append(refusal)

    def drop(self, item: Item) -> None:
        """Note an item that is not sent."""
        self.left.discard(item.seq)
        self.unsent.append(item.seq)
