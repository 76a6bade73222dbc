"""The list of records, with the reason of the one under the cursor beside it where there is room."""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar, Literal, cast

from textual import events
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Horizontal

from atom_console.dlq.filters import Filter
from atom_console.dlq.record import Group, RecordDetail, RecordRow
from atom_console.dlq.view import View, view
from atom_console.errors import AtomError
from atom_console.ui.commands import bindings
from atom_console.ui.drawing import Line, Span, count, line
from atom_console.ui.painting import Lines
from atom_console.ui.rooms.dead_letters.detail_rows import why
from atom_console.ui.rooms.dead_letters.sources import RECORD_COLUMNS, HeldSource, RecordSource
from atom_console.ui.rooms.dead_letters.verbs import Choice
from atom_console.ui.rooms.dead_letters.words import nothing_here
from atom_console.ui.rows import ListSource
from atom_console.ui.table import VirtualTable

if TYPE_CHECKING:
    from atom_console.ui.rooms.dead_letters.room import DeadLettersRoom

_SIDE_FROM = 118


class RecordsView(Horizontal):
    """A page of records at a time, from a million."""

    BINDINGS: ClassVar[list[BindingType]] = bindings("records", "letters")
    DEFAULT_CSS = (
        "RecordsView { height: 1fr; } RecordsView VirtualTable { width: 2fr; }"
        "RecordsView #side { width: 1fr; display: none; margin-left: 1; }"
    )

    def __init__(self, *, id: str) -> None:  # noqa: A002 (Textual's name)
        super().__init__(id=id)
        self.order: Literal["newest", "oldest"] = "newest"
        self._wanted = Filter()
        self._now_ms = 0
        self._back_to = 0
        self._detail: tuple[RecordDetail, View] | None = None
        self._held: Mapping[int, str] | None = None

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
        return source.record(self.table.cursor) if isinstance(source, RecordSource | HeldSource) else None

    def open(self, wanted: Filter, group: Group | None, now_ms: int) -> None:
        """List the records of a filter, of one group or of all."""
        self._wanted = replace(wanted, groups=(group.fingerprint,)) if group is not None else wanted
        self._now_ms = now_ms
        self._list()

    def open_held(self, held: Mapping[int, str], now_ms: int) -> None:
        """List what a plan holds back."""
        self._held, self._now_ms = held, now_ms
        self._list()

    def again(self) -> None:
        """Read the list again after a verb; the cursor stays where it is, the marks are gone."""
        place = self.table.cursor
        self._list()
        self._back_to = place

    def turn_round(self) -> None:
        """Newest first becomes oldest first."""
        self.order = "oldest" if self.order == "newest" else "newest"
        self._list()

    def _list(self) -> None:
        reader, snapshot = self.room.reader, self.room.snapshot
        if reader is None or snapshot is None:
            return
        self.table.empty = nothing_here(snapshot.dlq, self.room.query_now.text, self._now_ms)
        if self._held is not None:
            self.table.set_source(HeldSource(reader, self._held, now_ms=self._now_ms))
        else:
            self.table.set_source(RecordSource(reader, self._wanted, now_ms=self._now_ms, order=self.order))

    def choice(self, states: Sequence[str]) -> Choice:
        """The marked records, else the one under the cursor if it is in one of these states.

        A million numbers are listed in another thread; the verb says which of them it did not apply to.
        """
        marks, current = self.table.marks.copy(), self.current
        if len(marks):
            return lambda _: array("q", sorted(cast("Iterable[int]", marks)))
        return lambda _: () if current is None or current.state not in states else (current.seq,)

    def acts_on(self) -> Line:
        """What a verb would act on."""
        marks, current = self.table.marks, self.current
        if len(marks):
            return line(f" marked: {count(len(marks))} records")
        if current is None:
            return ()
        pending = self.id == "pending"
        how = (" · ", Span("c", "key"), " looks on the broker; nothing is sent again") if pending else ()
        return line(f" this record: {current.id}", *how)

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
        if self._back_to and self.table.source.row(0) is not None:
            place, self._back_to = self._back_to, 0
            self.table.move_to(place)
        self.room.record_moved()
        self.room.describe()
        self._read_side()

    def _read_side(self) -> None:
        side, current, reader = self.query_one("#side", Lines), self.current, self.room.reader
        if not side.display or reader is None:
            return
        if current is None:
            side.show([])
        elif self._detail is not None and self._detail[0].row == current:
            self._show_side()
        else:
            record_id, clearance = current.id, self.room.clearance

            def read() -> tuple[RecordDetail, View] | None:
                detail = reader.record(record_id)
                return None if detail is None else (detail, view(detail, clearance))

            self.room.console_app.reads.submit((self, "side"), read, self._take_side)

    def _take_side(self, found: Any, error: AtomError | None) -> None:
        self._detail = found if error is None else None
        self._show_side()

    def _show_side(self) -> None:
        side = self.query_one("#side", Lines)
        if self._detail is not None and side.size.width:
            side.show(why(*self._detail, self._now_ms, side.size.width))
