"""The dead letters on the stage (first slice: groups)."""

from __future__ import annotations

from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import BindingType

from atom_console.engine.snapshot import EngineSnapshot
from atom_console.ui.commands import Scope, bindings
from atom_console.ui.rooms.room import Room
from atom_console.ui.rows import Column, ListSource, Row
from atom_console.ui.table import VirtualTable

_COLUMNS = (
    Column("state", 12, 14),
    Column("count", 8, 10, align="right"),
    Column("what broke", 20, 80),
)


class DeadLettersRoom(Room):
    """What broke, how much, whose?"""

    ROOM = "dead-letters"
    HELP = "Groups of events that failed alike."
    BINDINGS: ClassVar[list[BindingType]] = bindings("groups")

    @property
    def scopes(self) -> tuple[Scope, ...]:
        return ("groups", "list", "everywhere")

    def compose(self) -> ComposeResult:
        yield VirtualTable(ListSource(_COLUMNS))

    def take_focus(self) -> None:
        self.query_one(VirtualTable).focus()

    def show(self, snapshot: EngineSnapshot) -> None:
        rows = [Row(g.fingerprint, (g.state, f"{g.count:,}", g.label)) for g in snapshot.dlq.groups]
        self.query_one(VirtualTable).set_source(ListSource(_COLUMNS, rows), keep_place=True)
