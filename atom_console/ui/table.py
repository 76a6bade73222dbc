"""A table of any length: it holds no rows, asks its source for those on the screen, and repaints only changed lines."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import ClassVar, NamedTuple

from textual import events
from textual.binding import BindingType
from textual.cache import LRUCache
from textual.geometry import Region, Size
from textual.message import Message
from textual.scroll_view import ScrollView
from textual.strip import Strip

from atom_console.errors import AtomError
from atom_console.ui.commands import bindings
from atom_console.ui.drawing import Line, Role, Span, cut_line, fit, line
from atom_console.ui.loader import Loader
from atom_console.ui.painting import ROLE_CLASSES, paint
from atom_console.ui.rows import Cell, Layout, ListSource, Marks, Row, RowSource, Total, lay_out

_HEADER = 1
_GUTTER = 2  # cells at either side: signs at the left, "more columns" at the right
_AHEAD = 50
_READING: Sequence[Line] = (line(""), line(Span("  Reading…", "dim")))


class _Painted(NamedTuple):
    """What a screen line shows; equal ones look alike."""

    row: Row | None
    cursor: bool
    marked: bool
    width: int
    skip: int


class VirtualTable(ScrollView, can_focus=True, inherit_bindings=False):
    """One line a row, a header that stays, a cursor, marks.

    The two cells at the left hold the cursor's and the mark's sign, so that neither needs a colour.
    """

    COMPONENT_CLASSES = ROLE_CLASSES
    BINDINGS: ClassVar[list[BindingType]] = bindings("list")
    DEFAULT_CSS = "VirtualTable { height: 1fr; scrollbar-size: 0 0; overflow: hidden auto; }"

    @dataclass
    class Opened(Message):
        """`enter` on a row."""

        table: VirtualTable
        row: Row

        @property
        def control(self) -> VirtualTable:
            """The table."""
            return self.table

    @dataclass
    class Moved(Message):
        """The cursor, the marks or the count changed."""

        table: VirtualTable

        @property
        def control(self) -> VirtualTable:
            """The table."""
            return self.table

    @dataclass
    class Failed(Message):
        """Something other than reading the rows on the screen did not work."""

        error: AtomError

    def __init__(self, source: RowSource, *, id: str | None = None, markable: bool = True) -> None:  # noqa: A002 (Textual's name)
        super().__init__(id=id)
        self.source = source
        self.marks = Marks()
        self.cursor = 0
        self.empty: Sequence[Line] = _READING  # until somebody knows that there is nothing
        self.failure: AtomError | None = None
        self._markable = markable
        self._skip = 0
        self._loading = False
        self._loader: Loader | None = None
        self._painted: dict[int, _Painted | Line] = {}
        self._strips: LRUCache[_Painted, Strip] = LRUCache(512)

    def on_mount(self) -> None:
        """Size it; without a loader the source has to have its rows in memory."""
        self._loader = getattr(self.app, "reads", None)
        self.sync()

    def set_source(self, source: RowSource, *, keep_place: bool = False) -> None:
        """Show another source; `keep_place` keeps cursor and marks (the same rows, read again)."""
        here = self.current if keep_place else None
        self.source = source
        self.failure = None
        if not keep_place:
            self.marks = Marks()
            self.cursor = 0
            self._skip = 0
        elif here is not None:
            place = source.index_of(here.key)
            self.cursor = self.cursor if place is None else place
        self.sync()
        if not keep_place:
            self.scroll_to(y=0, animate=False)

    def sync(self) -> None:
        """Take the source's present count and repaint the lines whose rows changed."""
        total = self.source.total().rows
        if self.virtual_size.height != total + _HEADER or self.virtual_size.width != self.size.width:
            self.virtual_size = Size(self.size.width, total + _HEADER)
            self.refresh()
        self.cursor = max(min(self.cursor, total - 1), 0)
        self._request_missing()
        changed = [y for y in range(self.size.height) if y not in self._painted or self._look(y) != self._painted[y]]
        if changed:
            self.refresh(*(Region(0, y, self.size.width, 1) for y in changed))
        self.post_message(self.Moved(self))

    @property
    def current(self) -> Row | None:
        """The row under the cursor, if it is loaded."""
        return self.source.row(self.cursor)

    @property
    def page(self) -> int:
        """Rows on one screen."""
        return max(self.size.height - _HEADER, 1)

    @property
    def total(self) -> Total:
        """The source's count."""
        return self.source.total()

    def _request_missing(self) -> None:
        top = self.scroll_offset.y
        if not top <= self.cursor < top + self.page:
            top = self.cursor  # it moved while the table is hidden
        total = self.source.total()
        window = range(max(top, 0), min(top + self.page, total.rows))
        if self._loader is None or self._loading or self.failure is not None:
            return
        if (total.rows or total.kind == "exact") and all(self.source.row(i) is not None for i in window):
            return
        self._loading = True
        source, start, stop = self.source, max(top - _AHEAD, 0), top + self.page + _AHEAD
        self._loader.submit((self, "load"), lambda: source.load(start, stop), self._loaded)

    def _loaded(self, _: object, error: AtomError | None) -> None:
        self._loading = False
        self.failure = error
        if self.is_attached:
            self.sync()

    def fail(self, error: AtomError) -> None:
        """The rows cannot be read: say so where they would be, and show none that may be wrong."""
        self.source = ListSource(self.source.columns)
        self.failure = error
        self.sync()
        self._repaint_all()

    def reload(self) -> None:
        """Forget a failure and ask again."""
        self.failure = None
        self.sync()

    def on_resize(self, _: events.Resize) -> None:
        """The width decides the columns, the height the rows."""
        self.sync()
        self._show_cursor()

    def notify_style_update(self) -> None:
        """Another theme: nothing painted before is right."""
        super().notify_style_update()
        self._strips.clear()

    def watch_scroll_y(self, old_value: float, new_value: float) -> None:
        """Moving down the rows may need more of them."""
        super().watch_scroll_y(old_value, new_value)
        if round(old_value) != round(new_value):
            self._request_missing()

    @property
    def layout_now(self) -> Layout:
        """The columns that fit the present width."""
        return lay_out(self.source.columns, max(self.size.width - 2 * _GUTTER, 1), self._skip)

    def _look(self, y: int) -> _Painted | Line:
        index = y - _HEADER + self.scroll_offset.y
        total = self.source.total().rows
        if y < _HEADER:
            return self._header()
        if index >= total:
            words = () if total else self._words_instead()
            return words[y - _HEADER] if y - _HEADER < len(words) else ()
        row = self.source.row(index)
        marked = row is not None and row.key in self.marks
        return _Painted(row, index == self.cursor, marked, self.size.width, self._skip)

    def render_line(self, y: int) -> Strip:
        """The header, a row, or the words that stand where rows would."""
        look = self._painted[y] = self._look(y)
        if not isinstance(look, _Painted):
            return paint(self, cut_line(look, self.size.width), self.size.width)
        strip = self._strips.get(look)
        if strip is None:
            strip = self._strips[look] = self._render_row(look)
        return strip

    def _words_instead(self) -> Sequence[Line]:
        if self.failure is not None:
            step = self.failure.next_step
            next_step = (line(""), line("  ", Span(step, "info"))) if step else ()
            return (line(""), line("  ", Span(self.failure.what, "error")), *next_step)
        if self._loading:
            return _READING
        return self.empty

    def _header(self) -> Line:
        layout = self.layout_now
        titles = [
            fit(self.source.columns[c].title.upper(), width, self.source.columns[c].align) for c, width in layout.placed
        ]
        left = "‹ " if layout.hidden_before else "  "
        text = left + " ".join(titles)
        if layout.hidden:
            text = fit(text, self.size.width - 2) + " ›"
        return (Span(text, "title"),)

    def _render_row(self, look: _Painted) -> Strip:
        width = self.size.width
        base: Role = "cursor" if look.cursor and self.has_focus else ""
        sign = ("▸" if look.cursor else " ") + ("*" if look.marked else " ")
        if look.row is None:
            return paint(self, line(Span(sign, base), Span("…", base or "dim")), width)
        spans = [Span(sign, base or ("marked" if look.marked else ""))]
        for number, (column, cells) in enumerate(self.layout_now.placed):
            value = look.row.cells[column]
            cell = value if isinstance(value, Cell) else Cell(value)
            if number:
                spans.append(Span(" ", base))
            spans.append(Span(fit(cell.text, cells, self.source.columns[column].align), base or cell.role))
        if base:
            spans.append(Span(" " * width, base))
        return paint(self, tuple(spans), width)

    def on_focus(self) -> None:
        """The cursor's line looks different with the focus."""
        self._repaint_all()

    def on_blur(self) -> None:
        """As with the focus."""
        self._repaint_all()

    def _repaint_all(self) -> None:
        self._strips.clear()
        self._painted.clear()
        self.refresh()

    def move_to(self, index: int) -> None:
        """Put the cursor on a row."""
        before, self.cursor = self.cursor, max(min(index, self.source.total().rows - 1), 0)
        if self.cursor == before:
            return
        self._show_cursor()
        for row in (before, self.cursor):
            self._refresh_row(row)
        if self.current is None:
            self._request_missing()
        self.post_message(self.Moved(self))

    def move_to_key(self, key: Hashable) -> bool:
        """Put the cursor on the row with this key; False where it is not known."""
        place = self.source.index_of(key)
        if place is None:
            return False
        self.move_to(place)
        return True

    def _refresh_row(self, index: int) -> None:
        y = index - self.scroll_offset.y + _HEADER
        if _HEADER <= y < self.size.height:
            self.refresh(Region(0, y, self.size.width, 1))

    def _show_cursor(self) -> None:
        top = self.scroll_offset.y
        if self.cursor < top:
            self.scroll_to(y=self.cursor, animate=False)
        elif self.cursor >= top + self.page:
            self.scroll_to(y=self.cursor - self.page + 1, animate=False)

    def command_list_down(self, _: str) -> None:
        """One row down."""
        self.move_to(self.cursor + 1)

    def command_list_up(self, _: str) -> None:
        """One row up."""
        self.move_to(self.cursor - 1)

    def command_list_page_down(self, _: str) -> None:
        """One screen down."""
        self.move_to(self.cursor + self.page)

    def command_list_page_up(self, _: str) -> None:
        """One screen up."""
        self.move_to(self.cursor - self.page)

    def command_list_top(self, _: str) -> None:
        """To the first row."""
        self.move_to(0)

    def command_list_bottom(self, _: str) -> None:
        """To the last row."""
        self.move_to(self.source.total().rows - 1)

    def command_list_right(self, _: str) -> None:
        """Reveal the columns at the right."""
        if self.layout_now.hidden:
            self._skip += 1
            self._repaint_all()

    def command_list_left(self, _: str) -> None:
        """Back towards the first columns."""
        if self._skip:
            self._skip -= 1
            self._repaint_all()

    def command_list_open(self, _: str) -> None:
        """Open the row."""
        if (row := self.current) is not None:
            self.post_message(self.Opened(self, row))

    def command_list_mark(self, _: str) -> None:
        """Mark or unmark the row, and go on to the next."""
        if not self._markable or (row := self.current) is None:
            return
        self.marks.toggle(row.key)
        self._refresh_row(self.cursor)
        self.move_to(self.cursor + 1)
        self.post_message(self.Moved(self))

    def command_list_mark_all(self, _: str) -> None:
        """Mark all rows of the present filter, as they are now; if any are marked, unmark them."""
        if not self._markable:
            return
        if len(self.marks):
            self._take_marks(frozenset(), None)
        elif self._loader is None:
            self._take_marks(self.source.keys(), None)
        else:
            bulk: Loader = getattr(self.app, "bulk", self._loader)
            bulk.submit((self, "keys"), self.source.keys, self._take_marks)

    def _take_marks(self, keys: object, error: AtomError | None) -> None:
        if error is not None:
            self.post_message(self.Failed(error))
            return
        self.marks.set_all(keys)  # type: ignore[arg-type]
        self._repaint_all()
        self.post_message(self.Moved(self))
