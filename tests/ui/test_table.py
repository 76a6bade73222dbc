"""The table: a million rows cost what a hundred cost, and only changed lines are painted."""

from __future__ import annotations

from collections.abc import Collection, Hashable

import pytest
from frames import frame, settle
from textual.app import App, ComposeResult
from textual.pilot import Pilot
from textual.strip import Strip

from atom_console.errors import UnreachableError
from atom_console.ui.loader import Loader
from atom_console.ui.rows import Column, FrozenIds, ListSource, Row, Total
from atom_console.ui.table import VirtualTable

COLUMNS = (Column("name", 10, 20), Column("count", 8, align="right"), Column("note", 30, 60, priority=3))


class MillionRows:
    """Makes rows when they are loaded and forgets what is far away."""

    columns = COLUMNS

    def __init__(self, rows: int = 1_000_000) -> None:
        self.rows = rows
        self.made = 0
        self.here: dict[int, Row] = {}
        self.error: UnreachableError | None = None

    def total(self) -> Total:
        return Total(self.rows)

    def row(self, index: int) -> Row | None:
        return self.here.get(index)

    def index_of(self, key: Hashable) -> int | None:
        return key if isinstance(key, int) else None

    def load(self, start: int, stop: int) -> None:
        if self.error is not None:
            raise self.error
        stop = min(stop, self.rows)
        self.made += stop - start
        self.here = {i: Row(i, (f"row {i}", f"{i:,}", "x" * 40)) for i in range(start, stop)}

    def keys(self) -> Collection[Hashable]:
        return FrozenIds(range(self.rows))


class CountingTable(VirtualTable):
    painted = 0

    def render_line(self, y: int) -> Strip:
        type(self).painted += 1
        return super().render_line(y)


class TableApp(App[None]):
    ENABLE_COMMAND_PALETTE = False

    def __init__(self, source) -> None:  # type: ignore[no-untyped-def]
        super().__init__()
        self.source = source
        self.opened: list[Row] = []
        self.faults: list[Exception] = []

    def compose(self) -> ComposeResult:
        yield CountingTable(self.source)

    def get_theme_variable_defaults(self) -> dict[str, str]:
        return {}

    async def on_mount(self) -> None:
        import asyncio

        self.reads = Loader("reads", asyncio.get_running_loop(), self.faults.append)
        self._loaders = [self.reads]
        table = self.query_one(VirtualTable)
        table._loader = self.reads
        table.focus()
        table.sync()

    def action_command(self, command_id: str) -> None:
        getattr(self.query_one(VirtualTable), "command_" + command_id.replace(".", "_").replace("-", "_"))("")

    def on_virtual_table_opened(self, event: VirtualTable.Opened) -> None:
        self.opened.append(event.row)

    def on_unmount(self) -> None:
        self.reads.stop()


async def press(pilot: Pilot[None], *keys: str) -> None:
    for key in keys:
        await pilot.press(key)
        await settle(pilot)


@pytest.fixture(autouse=True)
def styles(monkeypatch: pytest.MonkeyPatch) -> None:
    from atom_console.ui.painting import ROLE_CLASSES

    css = "\n".join(f".{name} {{ text-style: none; }}" for name in ROLE_CLASSES)
    monkeypatch.setattr(TableApp, "CSS", css, raising=False)


async def test_a_million_rows_are_read_by_the_screenful() -> None:
    source = MillionRows()
    app = TableApp(source)
    async with app.run_test(size=(80, 24)) as pilot:
        await settle(pilot)
        assert "row 22" in frame(app)
        await press(pilot, "G")
        text = frame(app)
        assert "row 999999" in text
        assert "row 999977" in text
        await press(pilot, "pageup", "g", "pagedown", "down")
        table = app.query_one(VirtualTable)
        assert table.cursor == table.page + 1
        assert source.made < 2000
        await press(pilot, "enter")
        assert app.opened[0].key == table.cursor


async def test_all_million_are_marked_and_one_is_not() -> None:
    app = TableApp(MillionRows())
    async with app.run_test(size=(80, 24)) as pilot:
        await settle(pilot)
        await press(pilot, "asterisk", "space", "space")
        table = app.query_one(VirtualTable)
        assert len(table.marks) == 999_998
        assert frame(app).splitlines()[4].startswith(" *row 3") or frame(app).splitlines()[4].startswith(" *")
        await press(pilot, "asterisk")
        assert len(table.marks) == 0


async def test_only_the_changed_line_is_painted() -> None:
    rows = [Row(i, (f"row {i}", "0", "")) for i in range(20)]
    app = TableApp(ListSource(COLUMNS, rows))
    async with app.run_test(size=(80, 24)) as pilot:
        await settle(pilot)
        table = app.query_one(CountingTable)
        CountingTable.painted = 0
        table.set_source(ListSource(COLUMNS, rows), keep_place=True)
        await settle(pilot)
        assert CountingTable.painted == 0
        changed = [*rows[:7], Row(7, ("row 7", "1", "")), *rows[8:]]
        table.set_source(ListSource(COLUMNS, changed), keep_place=True)
        await settle(pilot)
        assert CountingTable.painted == 1
        assert frame(app).splitlines()[8].split() == ["row", "7", "1"]


async def test_the_cursor_stays_on_its_row_when_rows_move() -> None:
    rows = [Row(i, (f"row {i}", "0", "")) for i in range(5)]
    app = TableApp(ListSource(COLUMNS, rows))
    async with app.run_test(size=(80, 24)) as pilot:
        await settle(pilot)
        await press(pilot, "down", "down")
        table = app.query_one(VirtualTable)
        table.set_source(ListSource(COLUMNS, rows[::-1]), keep_place=True)
        assert table.current is not None
        assert table.current.key == 2
        table.set_source(ListSource(COLUMNS, rows[:1]), keep_place=True)
        assert table.current is not None
        assert table.current.key == 0


async def test_hidden_columns_are_revealed() -> None:
    app = TableApp(MillionRows(3))
    async with app.run_test(size=(34, 8)) as pilot:
        await settle(pilot)
        assert frame(app).splitlines()[0].rstrip().endswith("›")
        await press(pilot, "right")
        assert "NOTE" not in frame(app).splitlines()[0]
        assert frame(app).splitlines()[0].startswith("‹")
        await press(pilot, "left")
        assert "COUNT" in frame(app).splitlines()[0]


async def test_a_failure_stands_where_the_rows_would() -> None:
    source = MillionRows()
    source.rows = 0
    source.error = UnreachableError("the store is locked by pid 7", next_step="wait for it")
    source.total = lambda: Total(0, "at least")  # type: ignore[method-assign]
    app = TableApp(source)
    async with app.run_test(size=(80, 12)) as pilot:
        await settle(pilot)
        assert "the store is locked by pid 7" in frame(app)
        assert "wait for it" in frame(app)


async def test_cells_of_others_are_harmless() -> None:
    app = TableApp(ListSource(COLUMNS, [Row(1, ("\x1b]52;c;x\x07", "[/nope]", "\u202egnp"))]))
    async with app.run_test(size=(80, 6)) as pilot:
        await settle(pilot)
        assert "␛]52;c;x␇" in frame(app)
        assert "[/nope]" in frame(app)
        assert "<U+202E>gnp" in frame(app)


async def test_a_fault_in_a_job_is_reported() -> None:
    source = MillionRows()
    source.load = lambda start, stop: 1 / 0  # type: ignore[assignment,return-value]
    app = TableApp(source)
    async with app.run_test(size=(80, 6)) as pilot:
        await settle(pilot)
        assert isinstance(app.faults[0], ZeroDivisionError)
