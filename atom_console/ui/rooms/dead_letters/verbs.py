"""What may be done with dead letters in their lists: words, and the states that each verb takes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from atom_console.dlq.filters import Filter
from atom_console.engine.protocol import DeadLetterReader

Action = Literal["release", "quarantine", "discard", "restore"]
Choice = Callable[[DeadLetterReader], Sequence[int]]
"""Reads the frozen numbers that a verb acts on; runs in another thread than the screen's."""

OPEN = ("captured", "ready", "quarantined", "replaying", "failed", "unknown")
"""States in which a record still asks something of somebody."""


@dataclass(frozen=True, slots=True)
class Verb:
    """One change of state.

    Attributes:
        title: the imperative.
        states: the states that it takes; of a group it acts on these records only.
        effect: what it means, in one sentence.
    """

    title: str
    states: tuple[str, ...]
    effect: str


VERBS: dict[Action, Verb] = {
    "release": Verb("Release", ("captured", "quarantined", "failed"), "They become ready: a plan may send them."),
    "quarantine": Verb("Set aside", ("captured", "ready", "failed"), "No plan sends them until they are released."),
    "discard": Verb(
        "Discard",
        ("captured", "ready", "quarantined", "failed"),
        "They are never sent. U restores them, until they are purged.",
    ),
    "restore": Verb("Restore", ("discarded",), "They go back to the state that they were discarded from."),
}


def within(wanted: Filter, states: Sequence[str]) -> Filter | None:
    """The filter, of these states only; None where it asks for none of them."""
    kept = tuple(state for state in states if not wanted.states or state in wanted.states)
    return replace(wanted, states=kept) if kept else None
