"""The list of groups."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar, cast

from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Vertical

from atom_console.dlq.record import Group
from atom_console.engine.snapshot import EngineSnapshot
from atom_console.errors import AtomError
from atom_console.ui.commands import bindings
from atom_console.ui.drawing import Line, Span, count, foreign, line, many, size
from atom_console.ui.rooms.dead_letters.query import Query
from atom_console.ui.rooms.dead_letters.sources import GROUP_COLUMNS, GROUP_SORTS, group_rows
from atom_console.ui.rooms.dead_letters.verbs import Choice, within
from atom_console.ui.rooms.dead_letters.words import group_state, nothing_here, open_count
from atom_console.ui.rows import ListSource
from atom_console.ui.table import VirtualTable

if TYPE_CHECKING:
    from atom_console.ui.rooms.dead_letters.room import DeadLettersRoom

_TREND_MINUTES = 20


class GroupsView(Vertical):
    """Groups of the filter; read again only where the store changed."""

    BINDINGS: ClassVar[list[BindingType]] = bindings("groups", "letters")

    def __init__(self, *, id: str) -> None:  # noqa: A002 (Textual's name)
        super().__init__(id=id)
        self.everything: Sequence[Group] = ()
        self.now_ms = 0
        self._trend: Mapping[str, Sequence[int]] = {}
        self._seen: dict[str, int] | None = None
        self._query = Query()
        self._sort = GROUP_SORTS[0]
        self._counter: int | None = None
        self._minute = 0
        self._reading = False
        self._snapshot: EngineSnapshot | None = None

    def compose(self) -> ComposeResult:
        """One table."""
        yield VirtualTable(ListSource(GROUP_COLUMNS))

    @property
    def table(self) -> VirtualTable:
        """The table."""
        return self.query_one(VirtualTable)

    @property
    def known(self) -> bool:
        """Whether the store has answered; until then nothing is known, not even that it is empty."""
        return self._counter is not None

    @property
    def room(self) -> DeadLettersRoom:
        """The room around."""
        return cast("DeadLettersRoom", self.parent)

    @property
    def groups(self) -> list[Group]:
        """Those that the words of the filter leave."""
        return [group for group in self.everything if self._query.wants(group)]

    @property
    def records(self) -> int:
        """Records in them."""
        return sum(group.count for group in self.groups)

    @property
    def open_records(self) -> int:
        """Those of them that are neither sent nor discarded."""
        return sum(open_count(group) for group in self.groups if group_state(group) not in {"sent", "discarded"})

    @property
    def bytes(self) -> int:
        """Bytes in them."""
        return sum(group.bytes for group in self.groups)

    def refresh_groups(self, snapshot: EngineSnapshot) -> None:
        """Ask the store, in the reading thread, unless it is being asked."""
        self._snapshot, self.now_ms = snapshot, snapshot.taken_at_ms
        reader = self.room.reader
        if reader is None or self._reading:
            return
        self._reading = True
        counter, minute, wanted = self._counter, self._minute, self._query.filter
        this_minute = snapshot.taken_at_ms // 60_000

        def read() -> tuple[int, int, Sequence[Group], Mapping[str, Sequence[int]]] | None:
            now = reader.change_counter()
            if now == counter and minute == this_minute:
                return None
            return now, this_minute, reader.groups(wanted), reader.trend(minutes=_TREND_MINUTES)

        self.room.console_app.reads.submit((self, "groups"), read, self._read)

    def _read(self, found: Any, error: AtomError | None) -> None:
        self._reading = False
        table = self.table
        if error is not None:
            table.fail(error)
            self.room.describe()
            return
        if found is not None:
            self._counter, self._minute, self.everything, self._trend = found
            if self._seen is None:
                self._seen = {group.fingerprint: group.count for group in self.everything}
        elif table.failure is None:
            return
        self._fill()
        self.room.describe()

    def _fill(self) -> None:
        if self._snapshot is not None:
            self.table.empty = nothing_here(self._snapshot.dlq, self._query.text, self.now_ms)
        rows = group_rows(self.groups, self._trend, self._seen or {}, self.now_ms, self._sort)
        self.table.set_source(ListSource(GROUP_COLUMNS, rows), keep_place=True)

    def narrow(self, query: Query) -> None:
        """Another filter: the words at once, its conditions when the store has answered."""
        changed = query.filter != self._query.filter
        self._query = query
        if changed:
            self._counter = None
            self._reading = False
            if self._snapshot is not None:
                self.refresh_groups(self._snapshot)
        else:
            self._fill()

    def sort_next(self) -> str:
        """Sort by the next column, and name it."""
        self._sort = GROUP_SORTS[(GROUP_SORTS.index(self._sort) + 1) % len(GROUP_SORTS)]
        self._fill()
        return self._sort

    def looked(self) -> None:
        """The operator leaves: what comes from now on is new."""
        self._seen = {group.fingerprint: group.count for group in self.everything}

    def chosen(self) -> list[Group]:
        """The marked groups, else the one under the cursor."""
        marks, row = self.table.marks, self.table.current
        if len(marks):
            return [group for group in self.groups if group.fingerprint in marks]
        return [group for group in self.groups if row is not None and group.fingerprint == row.key]

    def choice(self, states: Sequence[str]) -> Choice:
        """Their records in these states; to be read in another thread."""
        prints = tuple(group.fingerprint for group in self.chosen())
        wanted = within(replace(self._query.filter, groups=prints), states) if prints else None
        return lambda reader: () if wanted is None else reader.numbers(wanted)

    def acts_on(self) -> Line:
        """What a verb would act on."""
        chosen = self.chosen()
        if not chosen:
            return ()
        what = f"marked: {many(len(chosen), 'group')}" if len(self.table.marks) else "this group"
        total, still = sum(group.count for group in chosen), sum(map(open_count, chosen))
        events = many(total, "event") if still == total else f"{count(still)} open of {many(total, 'event')}"
        tenants = chosen[0].tenants if len(chosen) == 1 else None
        owners = "" if tenants is None else f" · {many(tenants, 'tenant')}"
        head = line(f" {what}: {events}{owners} · {size(sum(group.bytes for group in chosen))}")
        return head if len(chosen) > 1 else (*head, Span(" · "), foreign(chosen[0].label, 160, "dim"))

    def on_virtual_table_opened(self, event: VirtualTable.Opened) -> None:
        """Its records."""
        event.stop()
        group = next((group for group in self.groups if group.fingerprint == event.row.key), None)
        if group is not None:
            self.room.open_group(group)

    def on_virtual_table_moved(self, event: VirtualTable.Moved) -> None:
        """Another row, another thing to act on."""
        event.stop()
        self.room.describe()
