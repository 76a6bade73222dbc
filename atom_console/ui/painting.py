"""The few widgets that put text on the screen; everything that they draw passes `safe_text`."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

from rich.segment import Segment
from rich.style import Style
from textual.color import Color
from textual.filter import LineFilter
from textual.geometry import Region, Size
from textual.strip import Strip
from textual.widget import Widget

from atom_console.safe_text import safe_text
from atom_console.ui.drawing import ROLES, Line, Role, ascii_only, cut_line

ROLE_CLASSES = {f"role--{role}" for role in ROLES}


def _role_style(widget: Widget, role: Role, own: Style) -> Style:
    """The theme's style of a role, over the widget's own."""
    return own + widget.get_component_rich_style(f"role--{role}", partial=True) if role else own


def paint(widget: Widget, spans: Line, width: int) -> Strip:
    """One screen line of exactly `width` cells."""
    own = widget.rich_style  # worked out from all ancestors each time that it is asked for
    segments = [Segment(safe_text(span.text), _role_style(widget, span.role, own)) for span in spans if span.text]
    return Strip(segments).adjust_cell_length(width, own)


class TerminalFilter(LineFilter):
    """The second wall: whatever a widget drew, no control character leaves, and only ASCII where that was asked.

    Widths are kept: a control character that a widget counted as one cell becomes one sign.
    """

    def __init__(self, *, ascii_terminal: bool) -> None:
        super().__init__()
        self._ascii = ascii_terminal

    def apply(self, segments: list[Segment], background: Color) -> list[Segment]:
        """Segments with harmless text."""
        return [Segment(_harmless(text, self._ascii), style, control) for text, style, control in segments]


@lru_cache(2048)
def _harmless(text: str, ascii_terminal: bool) -> str:
    if not text.isprintable():
        text = safe_text(text, max(len(text), 2) * 10)
    return ascii_only(text) if ascii_terminal else text


class Lines(Widget):
    """Some lines of text, of which only the changed ones are painted again."""

    COMPONENT_CLASSES = ROLE_CLASSES

    DEFAULT_CSS = "Lines { height: auto; width: 1fr; }"

    def __init__(self, lines: Sequence[Line] = (), *, id: str | None = None, classes: str | None = None) -> None:  # noqa: A002 (Textual's name)
        super().__init__(id=id, classes=classes)
        self._lines = tuple(lines)

    @property
    def lines(self) -> tuple[Line, ...]:
        """What is shown."""
        return self._lines

    def show(self, lines: Sequence[Line]) -> None:
        """Show these lines; equal ones cost nothing."""
        old, self._lines = self._lines, tuple(lines)
        if len(old) != len(self._lines):
            self.refresh(layout=self.styles.auto_dimensions)
            return
        changed = [y for y, (a, b) in enumerate(zip(old, self._lines, strict=True)) if a != b]
        if changed:
            self.refresh(*(Region(0, y, self.size.width, 1) for y in changed if y < self.size.height))

    def get_content_height(self, container: Size, viewport: Size, width: int) -> int:
        """As many lines as there are."""
        return len(self._lines)

    def render_line(self, y: int) -> Strip:
        """The line at `y`."""
        spans = self._lines[y] if 0 <= y < len(self._lines) else ()
        return paint(self, cut_line(spans, self.size.width), self.size.width)
