"""One record, five tabs."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, cast

from textual import events
from textual.app import ComposeResult
from textual.containers import Vertical

from atom_console.dlq.record import RecordDetail
from atom_console.errors import AtomError
from atom_console.ui.drawing import Line, Span, line, plain
from atom_console.ui.page import TextPage
from atom_console.ui.painting import Lines
from atom_console.ui.rooms.dead_letters import detail_rows
from atom_console.ui.rooms.dead_letters.detail_rows import TABS, Payload, read_payload

if TYPE_CHECKING:
    from atom_console.ui.rooms.dead_letters.records import RecordsView
    from atom_console.ui.rooms.dead_letters.room import DeadLettersRoom


class DetailView(Vertical):
    """Follows the cursor of the list of records."""

    def __init__(self, *, id: str) -> None:  # noqa: A002 (Textual's name)
        super().__init__(id=id)
        self._records: RecordsView | None = None
        self._detail: RecordDetail | None = None
        self._payload: Payload | None = None
        self._tab = TABS[0]
        self._wanted: str | None = None

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
        reader, clearance = self.room.reader, self._clearance

        def read() -> tuple[RecordDetail, Payload] | None:
            detail = reader.record(row.id)
            return None if detail is None else (detail, read_payload(detail, clearance))

        self.room.console_app.reads.submit((self, "record"), read, self._read)

    @property
    def _clearance(self) -> int:
        return 0 if self.room.snapshot is None else self.room.snapshot.session.clearance

    def _read(self, found: Any, error: AtomError | None) -> None:
        if error is not None or found is None:
            what = "The record is not in the store any more." if error is None else error.what
            self.query_one(TextPage).show([line(""), line("  ", Span(what, "error"))])
            return
        self._detail, self._payload = found
        self._show()

    def _show(self, *, keep_place: bool = False) -> None:
        names = [Span(f"[{tab}]", "active") if tab == self._tab else Span(f" {tab} ") for tab in TABS]
        self.query_one("#tabs", Lines).show([line(" ", *(part for name in names for part in (name, " ")))])
        page = self.query_one(TextPage)
        page.show(self._text(page.size.width or self.app.size.width), keep_place=keep_place)
        self.room.describe()

    def _text(self, width: int) -> Sequence[Line]:
        detail, payload = self._detail, self._payload
        if detail is None or payload is None:
            return [line(Span("  Reading…", "dim"))]
        now_ms = 0 if self.room.snapshot is None else self.room.snapshot.taken_at_ms
        if self._tab == "Why":
            return detail_rows.why(detail, now_ms, width)
        if self._tab == "Event":
            return detail_rows.event(payload, width)
        if self._tab == "Bytes":
            return detail_rows.payload_bytes(payload)
        if self._tab == "Headers":
            return detail_rows.headers(detail, width)
        return detail_rows.history(detail, width)

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

    def command_detail_copy(self, _: str) -> None:
        """The tab's text, as it is shown: what is masked stays masked."""
        text = "\n".join(plain(row).rstrip() for row in self._text(200))
        self.room.console_app.copy(text, f"the tab {self._tab} ({len(text):,} characters)")

    def command_detail_save(self, _: str) -> None:
        """The tab's text; of the bytes the very bytes."""
        if self._detail is None or self._payload is None:
            return
        app, value = self.room.console_app, self._payload.value
        if self._tab == "Bytes" and value is not None:
            data, ending = value, "bin"
        else:
            data, ending = "\n".join(plain(row).rstrip() for row in self._text(200)).encode() + b"\n", "txt"
        path = app.options.save_dir / f"dead-letter-{self._detail.row.id}-{self._tab.lower()}.{ending}"
        try:
            with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
                file.write(data)
        except FileExistsError:
            step = f"move it away from {path.parent}, then save again"
            app.say(f"Wrote nothing: {path.name} is there already.", ok=False, next_step=step)
        except OSError as error:
            step = "start the console in a directory of yours"
            app.say(f"Wrote nothing: {error.strerror}: {path}.", ok=False, next_step=step)
        else:
            app.say(f"Wrote {len(data):,} bytes: {path.name} in {path.parent}.")
