"""One record, five tabs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar, cast

from textual import events
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Vertical

from atom_console.dlq.record import RecordDetail
from atom_console.dlq.view import View, view
from atom_console.errors import AtomError
from atom_console.ui.commands import bindings
from atom_console.ui.drawing import Line, Span, line, plain
from atom_console.ui.page import TextPage
from atom_console.ui.painting import Lines
from atom_console.ui.rooms.dead_letters import detail_rows
from atom_console.ui.rooms.dead_letters.detail_rows import TABS
from atom_console.ui.rooms.dead_letters.editing import HandEdit
from atom_console.ui.rooms.dead_letters.saving import save_new
from atom_console.ui.rooms.dead_letters.verbs import Choice

if TYPE_CHECKING:
    from atom_console.ui.rooms.dead_letters.records import RecordsView
    from atom_console.ui.rooms.dead_letters.room import DeadLettersRoom


class DetailView(Vertical):
    """Follows the cursor of the list of records."""

    BINDINGS: ClassVar[list[BindingType]] = bindings("letters")

    def __init__(self, *, id: str) -> None:  # noqa: A002 (Textual's name)
        super().__init__(id=id)
        self._records: RecordsView | None = None
        self._detail: RecordDetail | None = None
        self._view: View | None = None
        self._tab = TABS[0]
        self._wanted: str | None = None
        self._edits = HandEdit()

    def compose(self) -> ComposeResult:
        """The tabs and the page."""
        yield Lines([()], id="tabs")
        yield TextPage()

    @property
    def room(self) -> DeadLettersRoom:
        """The room around."""
        return cast("DeadLettersRoom", self.parent)

    @property
    def name_shown(self) -> str:
        """The start of the record's id."""
        return (self._wanted or "?")[:18]

    def follow(self, records: RecordsView) -> None:
        """Show the record under the list's cursor."""
        self._records = records
        self.moved()

    def moved(self) -> None:
        """The list's cursor is on another record, or its row was loaded."""
        if self._records is None or (row := self._records.current) is None or self.room.reader is None:
            return
        if row.id == self._wanted and self._detail is not None and self._detail.row.version == row.version:
            return
        self._wanted, self._detail = row.id, None
        reader, clearance = self.room.reader, self.room.clearance

        def read() -> tuple[RecordDetail, View] | None:
            detail = reader.record(row.id)
            return None if detail is None else (detail, view(detail, clearance))

        self.room.console_app.reads.submit((self, "record"), read, self._read)

    def _read(self, found: Any, error: AtomError | None) -> None:
        if error is not None or found is None:
            what = "The record is not in the store any more." if error is None else error.what
            self.query_one(TextPage).show([line(""), line("  ", Span(what, "error"))])
            return
        self._detail, self._view = found
        self._show()

    def _show(self, *, keep_place: bool = False) -> None:
        names = [Span(f"[{tab}]", "active") if tab == self._tab else Span(f" {tab} ") for tab in TABS]
        self.query_one("#tabs", Lines).show([line(" ", *(part for name in names for part in (name, " ")))])
        page = self.query_one(TextPage)
        page.show(self._text(page.size.width or self.app.size.width), keep_place=keep_place)
        self.room.describe()

    def _text(self, width: int) -> Sequence[Line]:
        detail, seen = self._detail, self._view
        if detail is None or seen is None:
            return [line(Span("  Reading…", "dim"))]
        now_ms = 0 if self.room.snapshot is None else self.room.snapshot.taken_at_ms
        if self._tab == "Why":
            return detail_rows.why(detail, seen, now_ms, width)
        if self._tab == "Event":
            return detail_rows.event(detail, seen, width)
        if self._tab == "Bytes":
            return detail_rows.payload_bytes(detail, seen)
        if self._tab == "Headers":
            return detail_rows.headers(detail, seen, width)
        return detail_rows.history(detail, width)

    def choice(self, states: Sequence[str]) -> Choice:
        """The record that is shown, if it is in one of these states."""
        row = None if self._detail is None else self._detail.row
        return lambda _: () if row is None or row.state not in states else (row.seq,)

    def acts_on(self) -> Line:
        """The record that is shown."""
        return line(f" this record: {self._wanted}") if self._wanted else ()

    def again(self) -> None:
        """Read it again."""
        self._detail = None
        self.moved()

    def on_resize(self, _: events.Resize) -> None:
        """Text is broken by width."""
        if self._detail is not None:
            self._show(keep_place=True)

    def command_detail_next_tab(self, _: str) -> None:
        """Right."""
        self._turn(1)

    def command_detail_previous_tab(self, _: str) -> None:
        """Left."""
        self._turn(-1)

    def _turn(self, step: int) -> None:
        self._tab = TABS[(TABS.index(self._tab) + step) % len(TABS)]
        self._show()

    def command_detail_next(self, _: str) -> None:
        """The next of the list."""
        if self._records is not None:
            self._records.table.command_list_down("")

    def command_detail_previous(self, _: str) -> None:
        """The one before."""
        if self._records is not None:
            self._records.table.command_list_up("")

    def command_detail_schema(self, _: str) -> None:
        """Over to the schema that explains the payload; `esc` there comes back."""
        if self._detail is None:
            return
        app, value = self.room.console_app, self._detail.current.value
        if value is None:
            app.say("The record has no payload.", ok=False)
        else:
            app.open_payload(value, f"record {self.name_shown}", back="dead-letters")

    def command_detail_edit(self, reason: str) -> None:
        """In the operator's editor."""
        if self._detail is not None:
            self._edits.begin(self.room, self._detail, reason)

    def command_detail_copy(self, _: str) -> None:
        """The tab's text, as it is shown: what is masked stays masked."""
        text = "\n".join(plain(row).rstrip() for row in self._text(200))
        self.room.console_app.copy(text, f"the tab {self._tab} ({len(text):,} characters)")

    def command_detail_save(self, _: str) -> None:
        """The tab's text; of the bytes the very bytes."""
        if self._detail is None or self._view is None:
            return
        app, value = self.room.console_app, self._view.value
        if self._tab == "Bytes" and value is not None:
            data, ending = value, "bin"
        else:
            data, ending = "\n".join(plain(row).rstrip() for row in self._text(200)).encode() + b"\n", "txt"
        name = f"dead-letter-{self._detail.row.id}-{self._tab.lower()}.{ending}"
        save_new(app, app.options.save_dir / name, data)
