"""The list of records, with the reason of the one under the cursor beside it where there is room."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar, Literal, cast

from textual import events
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Horizontal

from atom_console.dlq.filters import Filter
from atom_console.dlq.record import Group, RecordDetail, RecordRow
from atom_console.errors import AtomError
from atom_console.ui.commands import bindings
from atom_console.ui.drawing import Line, count, line
from atom_console.ui.painting import Lines
from atom_console.ui.rooms.dead_letters.detail_rows import why
from atom_console.ui.rooms.dead_letters.sources import RECORD_COLUMNS, RecordSource
from atom_console.ui.rooms.dead_letters.words import nothing_here
from atom_console.ui.rows import ListSource
from atom_console.ui.table import VirtualTable

if TYPE_CHECKING:
    from atom_console.ui.rooms.dead_letters.room import DeadLettersRoom

_SIDE_FROM = 118


class RecordsView(Horizontal):
    """A page of records at a time, from a million."""

    BINDINGS: ClassVar[list[BindingType]] = bindings("records")
    DEFAULT_CSS = (
        "RecordsView VirtualTable { width: 2fr; } RecordsView #side { width: 1fr; display: none; margin-left: 1; }"
    )

    def __init__(self, *, id: str) -> None:  # noqa: A002 (Textual's name)
        super().__init__(id=id)
        self.order: Literal["newest", "oldest"] = "newest"
        self._wanted = Filter()
        self._now_ms = 0
        self._detail: RecordDetail | None = None

    def compose(self) -> ComposeResult:
        """The table and the side."""
        yield VirtualTable(ListSource(RECORD_COLUMNS))
        yield Lines(id="side")

    @property
    def table(self) -> VirtualTable:
        """The table."""
        return self.query_one(VirtualTable)

    @property
    def room(self) -> DeadLettersRoom:
        """The room around."""
        return cast("DeadLettersRoom", self.parent)

    @property
    def current(self) -> RecordRow | None:
        """The record under the cursor, if it is loaded."""
        source = self.table.source
        return source.record(self.table.cursor) if isinstance(source, RecordSource) else None

    def open(self, wanted: Filter, group: Group | None, now_ms: int) -> None:
        """List the records of a filter, of one group or of all."""
        self._wanted = replace(wanted, groups=(group.fingerprint,)) if group is not None else wanted
        self._now_ms = now_ms
        self._list()

    def turn_round(self) -> None:
        """Newest first becomes oldest first."""
        self.order = "oldest" if self.order == "newest" else "newest"
        self._list()

    def _list(self) -> None:
        reader, snapshot = self.room.reader, self.room.snapshot
        if reader is None or snapshot is None:
            return
        self.table.empty = nothing_here(snapshot.dlq, self.room.query_now.text, self._now_ms)
        self.table.set_source(RecordSource(reader, self._wanted, now_ms=self._now_ms, order=self.order))

    def chosen(self) -> Sequence[int]:
        """Numbers of the marked records, else of the one under the cursor."""
        marks, current = self.table.marks, self.current
        if len(marks):
            return [cast("int", key) for key in marks]
        return [] if current is None else [current.seq]

    def acts_on(self) -> Line:
        """What a verb would act on."""
        marks, current = self.table.marks, self.current
        if len(marks):
            return line(f" marked: {count(len(marks))} records")
        return () if current is None else line(f" this record: {current.id}")

    def on_resize(self, event: events.Resize) -> None:
        """The side panel needs room."""
        self.query_one("#side").display = event.size.width >= _SIDE_FROM
        self._read_side()

    def on_virtual_table_opened(self, event: VirtualTable.Opened) -> None:
        """One record."""
        event.stop()
        self.room.open_record()

    def on_virtual_table_moved(self, event: VirtualTable.Moved) -> None:
        """Another record beside the list, and in the detail."""
        event.stop()
        self.room.record_moved()
        self.room.describe()
        self._read_side()

    def _read_side(self) -> None:
        side, current, reader = self.query_one("#side", Lines), self.current, self.room.reader
        if not side.display or reader is None:
            return
        if current is None:
            side.show([])
        elif self._detail is not None and self._detail.row.id == current.id:
            self._show_side()
        else:
            record_id = current.id
            self.room.console_app.reads.submit((self, "side"), lambda: reader.record(record_id), self._take_side)

    def _take_side(self, detail: Any, error: AtomError | None) -> None:
        self._detail = detail if error is None else None
        self._show_side()

    def _show_side(self) -> None:
        side = self.query_one("#side", Lines)
        if self._detail is not None and side.size.width:
            side.show(why(self._detail, self._now_ms, side.size.width))
