"""Lines to read: as many as there are, made when they are looked at, scrolled by the keys of lists."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from textual import events
from textual.binding import BindingType
from textual.geometry import Size
from textual.scroll_view import ScrollView
from textual.strip import Strip

from atom_console.ui.commands import bindings
from atom_console.ui.drawing import Line, cut_line
from atom_console.ui.painting import ROLE_CLASSES, paint


class TextPage(ScrollView, can_focus=True, inherit_bindings=False):
    """A text that may be long."""

    COMPONENT_CLASSES = ROLE_CLASSES
    BINDINGS: ClassVar[list[BindingType]] = bindings("detail", "list")
    DEFAULT_CSS = "TextPage { height: 1fr; scrollbar-size: 0 0; overflow: hidden auto; }"

    def __init__(self, *, id: str | None = None) -> None:  # noqa: A002 (Textual's name)
        super().__init__(id=id)
        self._text: Sequence[Line] = ()

    @property
    def text(self) -> Sequence[Line]:
        """What is shown."""
        return self._text

    def show(self, text: Sequence[Line], *, keep_place: bool = False) -> None:
        """Show another text, from its start."""
        self._text = text
        self.virtual_size = Size(self.size.width, len(text))
        if not keep_place:
            self.scroll_to(y=0, animate=False)
        self.refresh()

    def on_resize(self, _: events.Resize) -> None:
        """The height of the window changed, not the text's."""
        self.virtual_size = Size(self.size.width, len(self._text))

    def render_line(self, y: int) -> Strip:
        """The line at `y` of the window."""
        index = y + self.scroll_offset.y
        spans = self._text[index] if index < len(self._text) else ()
        return paint(self, cut_line(spans, self.size.width), self.size.width)

    def _scroll(self, lines: int) -> None:
        self.scroll_to(y=max(self.scroll_offset.y + lines, 0), animate=False)

    def command_list_down(self, _: str) -> None:
        """One line down."""
        self._scroll(1)

    def command_list_up(self, _: str) -> None:
        """One line up."""
        self._scroll(-1)

    def command_list_page_down(self, _: str) -> None:
        """One screen down."""
        self._scroll(self.size.height - 1)

    def command_list_page_up(self, _: str) -> None:
        """One screen up."""
        self._scroll(1 - self.size.height)

    def command_list_top(self, _: str) -> None:
        """To the start."""
        self.scroll_to(y=0, animate=False)

    def command_list_bottom(self, _: str) -> None:
        """To the end."""
        self._scroll(len(self._text))
