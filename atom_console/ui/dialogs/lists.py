"""Dialogs that are one list: help, themes, settings."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.screen import ModalScreen

from atom_console.engine.snapshot import SettingRow
from atom_console.ui.commands import SCOPES, Scope, in_scopes, keys_of, shown_key
from atom_console.ui.drawing import Line, Span, line, wrap
from atom_console.ui.painting import Lines
from atom_console.ui.rows import Cell, Column, ListSource, Row
from atom_console.ui.table import VirtualTable


class ListDialog(ModalScreen[Row | None]):
    """A list with a heading; `enter` gives the row, `esc` None."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape,q", "leave", "Close", id="dialog.close")]

    def __init__(
        self,
        heading: Sequence[Line],
        source: ListSource,
        *,
        cursor: int = 0,
        moved: Callable[[Row], None] | None = None,
        classes: str = "-tall",
    ) -> None:
        super().__init__(classes=classes)
        self._heading = heading
        self._source = source
        self._cursor = cursor
        self._moved = moved

    def compose(self) -> ComposeResult:
        """Heading and list."""
        with Vertical(classes="dialog"):
            yield Lines(self._heading)
            yield VirtualTable(self._source, markable=False)

    def on_mount(self) -> None:
        """The list has the keys."""
        table = self.query_one(VirtualTable)
        table.focus()
        table.move_to(self._cursor)

    def on_virtual_table_moved(self, event: VirtualTable.Moved) -> None:
        """Show what the row would do."""
        if self._moved is not None and (row := event.table.current) is not None:
            self._moved(row)

    def on_virtual_table_opened(self, event: VirtualTable.Opened) -> None:
        """Taken."""
        self.dismiss(event.row)

    def action_leave(self) -> None:
        """Not taken."""
        self.dismiss(None)


def help_rows(scopes: Sequence[Scope], keymap: Mapping[str, str]) -> list[Row]:
    """Every key that is alive in these scopes, the narrowest first."""
    rows: list[Row] = []
    for scope in dict.fromkeys(scopes):
        rows.append(Row(scope, (Cell(SCOPES[scope], "title"), "", "")))
        for spec in in_scopes([scope]):
            keys = " ".join(shown_key(key) for key in keys_of(spec, keymap))
            rows.append(Row(spec.id, (Cell(keys, "key"), f":{spec.word}" if spec.word else "", spec.help)))
    return rows


def help_dialog(prose: str, scopes: Sequence[Scope], keymap: Mapping[str, str]) -> ListDialog:
    """`?`: what this room is for, and its keys; `enter` on a row does it."""
    columns = (Column("key", 10, 24), Column("command", 14), Column("does", 24, 120))
    heading = [line(Span("Help", "strong"), Span("   enter does it, esc closes", "dim"))]
    heading += [*(line(text) for text in wrap(prose, 74)), line("")]
    return ListDialog(heading, ListSource(columns, help_rows(scopes, keymap)))


def settings_dialog(settings: Sequence[SettingRow]) -> ListDialog:
    """Settings in force and their origin; secrets were hidden by whoever made the rows."""
    columns = (Column("setting", 20, 36), Column("value", 12, 60), Column("from", 10, 40))
    rows = [Row(row.key, (row.key, row.value, row.origin)) for row in settings]
    return ListDialog(
        [line(Span("Settings", "strong"), Span("   esc closes", "dim")), line("")], ListSource(columns, rows)
    )


def theme_dialog(names: Sequence[str], present: str, preview: Callable[[str], None]) -> ListDialog:
    """The names at the right side, so that the room stays in view while the colours change."""
    rows = [Row(name, (name,)) for name in names]
    heading = [line(Span("Theme", "strong")), line(Span("enter keeps it, esc goes back", "dim")), line("")]
    cursor = names.index(present) if present in names else 0
    source = ListSource((Column("name", 10, 28),), rows)
    return ListDialog(heading, source, cursor=cursor, moved=lambda row: preview(str(row.key)), classes="-side")
