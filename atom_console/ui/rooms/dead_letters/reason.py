"""Asks why, before anything is changed: one sentence, which goes into the audit."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.screen import ModalScreen

from atom_console.ui.drawing import Line, Span, line
from atom_console.ui.inputs import SafeInput
from atom_console.ui.painting import Lines

_HOW: Line = line(Span("enter", "key"), " goes on to the question, ", Span("esc", "key"), " no")


class ReasonDialog(ModalScreen[str | None]):
    """The reason, or None where the operator left."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape", "leave", "Leave", id="reason.leave")]

    def __init__(self, heading: Sequence[Line], start: str = "") -> None:
        super().__init__()
        self._heading, self._start = heading, start

    def compose(self) -> ComposeResult:
        """What, then why."""
        with Vertical(classes="dialog"):
            yield Lines([*self._heading, line(""), line("Why? It is kept in the audit.")])
            yield SafeInput(self._start, placeholder="one sentence", id="reason")
            yield Lines([line(""), _HOW], id="how")

    def on_mount(self) -> None:
        """The field has the keys."""
        self.query_one("#reason", SafeInput).focus()

    def on_input_submitted(self, event: SafeInput.Submitted) -> None:
        """Not without a reason."""
        event.stop()
        if reason := event.value.strip():
            self.dismiss(reason)
        else:
            self.query_one("#how", Lines).show([line(Span("A reason is required.", "error")), _HOW])

    def action_leave(self) -> None:
        """Nothing is changed."""
        self.dismiss(None)
