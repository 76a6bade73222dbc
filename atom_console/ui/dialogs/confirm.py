"""The question before anything is sent or changed: no default, `enter` does nothing, large numbers are typed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.screen import ModalScreen

from atom_console.ui.drawing import Line, Span, foreign, line, many
from atom_console.ui.inputs import SafeInput
from atom_console.ui.painting import Lines

TYPED_OVER = 1000
"""More things than this are confirmed by typing their number."""


@dataclass(frozen=True, slots=True)
class Question:
    """What would happen.

    Attributes:
        verb: what is done, in the imperative (`Send`, `Discard`).
        amount: how many things it is done to.
        noun: what one of them is (`event`).
        where: profile, cluster and topic, as one phrase.
        more: further lines: what cannot be undone, what is held back.
        typed: the profile wants the number typed whatever it is.
        which: what tells them from others of their kind (`left of this run`).
    """

    verb: str
    amount: int
    noun: str
    where: str
    more: Sequence[Line] = ()
    typed: bool = False
    which: str = ""

    @property
    def what(self) -> str:
        """`1 event`, `12 events left of this run`."""
        return f"{many(self.amount, self.noun)} {self.which}".rstrip()

    @property
    def must_type(self) -> bool:
        """`y` is not enough."""
        return self.typed or self.amount > TYPED_OVER


def number_typed(text: str) -> int | None:
    """`1,284` and `1284` alike; None for anything else."""
    digits = text.strip().replace(",", "").replace("_", "")
    return int(digits) if digits.isascii() and digits.isdigit() else None


class Confirm(ModalScreen[bool]):
    """True where the operator agreed."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("y", "agree", "Yes", id="confirm.yes"),
        Binding("n,escape", "refuse", "No", id="confirm.no"),
    ]

    def __init__(self, question: Question) -> None:
        super().__init__()
        self._question = question

    def compose(self) -> ComposeResult:
        """What, how many, where; then how to agree."""
        asked = self._question
        with Vertical(classes="dialog -danger"):
            yield Lines(
                [
                    line(Span(f"{asked.verb} {asked.what}?", "strong")),
                    line("  ", foreign(asked.where, 300)),
                    *asked.more,
                    line(""),
                ]
            )
            if asked.must_type:
                yield Lines([self._typing_line()], id="how")
                yield SafeInput(id="number")
            else:
                yield Lines([line(Span("y", "key"), f" {asked.verb.lower()}    ", Span("esc", "key"), " no")], id="how")

    def on_mount(self) -> None:
        """A field takes the keys where a number is asked for."""
        if self._question.must_type:
            self.query_one("#number", SafeInput).focus()

    def _typing_line(self, wrong: str = "") -> Line:
        asked = self._question
        start = f"Type the number of {asked.noun}s to {asked.verb.lower()} them"
        return line(
            Span(f"{wrong} is not the number. " if wrong else "", "error"), start, "; ", Span("esc", "key"), " no"
        )

    def action_agree(self) -> None:
        """`y`."""
        if not self._question.must_type:
            self.dismiss(True)

    def action_refuse(self) -> None:
        """`n` or `esc`."""
        self.dismiss(False)

    def on_input_submitted(self, event: SafeInput.Submitted) -> None:
        """Only the very number agrees."""
        event.stop()
        if number_typed(event.value) == self._question.amount:
            self.dismiss(True)
        elif event.value.strip():
            self.query_one("#how", Lines).show([self._typing_line(event.value.strip())])
