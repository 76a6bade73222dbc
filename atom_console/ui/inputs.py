"""The field that takes typed and pasted text."""

from __future__ import annotations

from textual import events
from textual.widgets import Input

from atom_console.safe_text import safe_text

TextField = Input
"""Any field that takes letters, the palette's too."""


class SafeInput(Input):
    """A one-line field; what is pasted into it is foreign, and loses its control characters before it is shown."""

    def _on_paste(self, event: events.Paste) -> None:
        lines = event.text.splitlines()
        event.text = safe_text(lines[0]) if lines else ""
        super()._on_paste(event)
