"""What the room's two tables show: the plans, and the rows of one of them."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Collection, Hashable, Sequence

from atom_console.engine.flight_pages import MASKED, RowPages
from atom_console.engine.flight_view import FlightRow
from atom_console.ui.drawing import count, size
from atom_console.ui.rows import Cell, Column, Row, Total

PLAN_COLUMNS = (
    Column("plan", 14, 40),
    Column("rows", 12, 14, align="right"),
    Column("bytes", 8, 9, priority=3, align="right"),
    Column("parts", 5, 6, priority=4, align="right"),
)
_CACHED = 2_000
_NAME_CELLS = (8, 16)
_WIDTHS = {"bool": 5, "int64": 19, "uint64": 10, "double": 14, "binary": 20, "string": 18}


def plan_rows(flights: Sequence[FlightRow], query: str) -> list[Row]:
    """The plans whose name or descriptor holds the words."""
    wanted = query.casefold().split()
    return [
        Row(
            flight.plan_id,
            (
                Cell(flight.plan_id, "info") if flight.by_hand else flight.plan_id,
                Cell("by hand", "dim") if flight.by_hand else count(flight.rows),
                size(flight.bytes),
                count(flight.endpoints),
            ),
        )
        for flight in flights
        if all(word in f"{flight.plan_id} {flight.descriptor}".casefold() for word in wanted)
    ]


class PageSource:
    """Rows of a preview: those on the screen and around it are text, the others stay Arrow."""

    def __init__(self, pages: RowPages) -> None:
        self.pages = pages
        self._rows: OrderedDict[int, Row] = OrderedDict()
        self._columns = (Column("row", 6, 8, align="right"), *(_column(*named) for named in pages.columns))

    @property
    def columns(self) -> tuple[Column, ...]:
        """The number of the row, then the plan's columns."""
        return self._columns

    def total(self) -> Total:
        """The rows that are here."""
        return Total(self.pages.rows)

    def row(self, index: int) -> Row | None:
        """The row, if it was made."""
        return self._rows.get(index)

    def index_of(self, key: Hashable) -> int | None:
        """A row's key is its number."""
        return key if isinstance(key, int) else None

    def load(self, start: int, stop: int) -> None:
        """Make these rows; runs in the reading thread."""
        start = max(start, 0)
        made = self.pages.texts(start, stop)
        for number, texts in enumerate(made, start):
            self._rows[number] = Row(number, (f"{number + 1:,}", *map(_cell, texts)))
        while len(self._rows) > _CACHED:
            self._rows.popitem(last=False)

    def keys(self) -> Collection[Hashable]:
        """Rows cannot be marked."""
        return frozenset()


def _column(name: str, kind: str) -> Column:
    least = min(max(len(name), _NAME_CELLS[0]), _NAME_CELLS[1])
    width = _WIDTHS.get(kind, 14)
    return Column(name, max(min(width, least + 4), 5), max(width, least), align="right" if _is_number(kind) else "left")


def _is_number(kind: str) -> bool:
    return kind.startswith(("int", "uint", "float", "double", "halffloat", "decimal"))


def _cell(text: str | None) -> Cell:
    if text is None:
        return Cell("null", "dim")
    return Cell(text, "warn") if text == MASKED else Cell(text)
