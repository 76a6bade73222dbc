"""What a table shows: rows from a source that counts, loads, sorts and filters by itself."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Collection, Hashable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple, Protocol

from atom_console.ui.drawing import Role


@dataclass(frozen=True, slots=True)
class Column:
    """A column and its place in the struggle for width.

    Attributes:
        width: the least cells that it is shown with.
        most: the most cells that it takes when there is room.
        priority: 1 is never left out; the largest number goes first.
    """

    title: str
    width: int
    most: int = 0
    priority: int = 1
    align: Literal["left", "right"] = "left"


class Cell(NamedTuple):
    """A cell with a role; a bare `str` is a cell without."""

    text: str
    role: Role = ""


class Row(NamedTuple):
    """One row; `key` stays the same wherever the row moves."""

    key: Hashable
    cells: tuple[str | Cell, ...]


class Total(NamedTuple):
    """How many rows there are: counted, estimated, or at least so many."""

    rows: int
    kind: Literal["exact", "estimated", "at least"] = "exact"


class RowSource(Protocol):
    """Rows by index. Only `load` and `keys` may wait, and only they run in another thread than the screen's."""

    @property
    def columns(self) -> tuple[Column, ...]:
        """The columns, in their order."""
        ...

    def total(self) -> Total:
        """The present count."""
        ...

    def row(self, index: int) -> Row | None:
        """The row, or None while it is not loaded."""
        ...

    def index_of(self, key: Hashable) -> int | None:
        """Where the row with this key is, as far as that is known."""
        ...

    def load(self, start: int, stop: int) -> None:
        """Bring these rows in.

        Raises:
            AtomError: they cannot be read.
        """
        ...

    def keys(self) -> Collection[Hashable]:
        """The keys of all rows at this moment, frozen."""
        ...


class ListSource:
    """Rows that are all in memory."""

    def __init__(self, columns: tuple[Column, ...], rows: Sequence[Row] = ()) -> None:
        self._columns = columns
        self._rows = tuple(rows)

    @property
    def columns(self) -> tuple[Column, ...]:
        """The columns."""
        return self._columns

    def total(self) -> Total:
        """Exact."""
        return Total(len(self._rows))

    def row(self, index: int) -> Row | None:
        """The row."""
        return self._rows[index] if 0 <= index < len(self._rows) else None

    def index_of(self, key: Hashable) -> int | None:
        """Its place."""
        return next((i for i, row in enumerate(self._rows) if row.key == key), None)

    def load(self, start: int, stop: int) -> None:
        """Nothing to do."""

    def keys(self) -> Collection[Hashable]:
        """All keys."""
        return frozenset(row.key for row in self._rows)


class FrozenIds(Collection[Hashable]):
    """A million integer ids in eight bytes each: sorted, immutable, searched by halving."""

    def __init__(self, ids: Sequence[int]) -> None:
        """`ids` must be sorted and unique; an `array('q')` is meant."""
        self._ids = ids

    def __contains__(self, key: object) -> bool:
        if not isinstance(key, int):
            return False
        place = bisect_left(self._ids, key)
        return place < len(self._ids) and self._ids[place] == key

    def __iter__(self) -> Iterator[int]:
        return iter(self._ids)

    def __len__(self) -> int:
        return len(self._ids)


class Marks:
    """Marked rows by key: some picked one by one, or all of a frozen set but some."""

    def __init__(self) -> None:
        self._all: Collection[Hashable] = frozenset()
        self._added: set[Hashable] = set()
        self._removed: set[Hashable] = set()

    def __contains__(self, key: Hashable) -> bool:
        return key in self._added or (key in self._all and key not in self._removed)

    def __len__(self) -> int:
        return len(self._all) + len(self._added) - len(self._removed)

    def __iter__(self) -> Iterator[Hashable]:
        yield from self._added
        yield from (key for key in self._all if key not in self._removed)

    def toggle(self, key: Hashable) -> None:
        """Mark it, or unmark it."""
        if key in self._added:
            self._added.remove(key)
        elif key not in self._all:
            self._added.add(key)
        elif key in self._removed:
            self._removed.remove(key)
        else:
            self._removed.add(key)

    def set_all(self, keys: Collection[Hashable]) -> None:
        """Mark exactly these; rows that come later are not marked."""
        self._all = keys
        self._added = set()
        self._removed = set()

    def copy(self) -> Marks:
        """The marks of this moment, for a thread that lists them."""
        made = Marks()
        made._all, made._added, made._removed = self._all, set(self._added), set(self._removed)
        return made

    def clear(self) -> None:
        """Unmark all."""
        self.set_all(frozenset())


class Placed(NamedTuple):
    """A column of the layout: its number in the source and its width in cells."""

    column: int
    width: int


class Layout(NamedTuple):
    """The columns that fit, and whether some were left out on either side of what is shown."""

    placed: tuple[Placed, ...]
    hidden_before: int
    hidden: int


def lay_out(columns: Sequence[Column], width: int, skip: int = 0) -> Layout:
    """Choose columns by priority until `width` cells are full, then widen what may grow, in their order.

    Args:
        columns: in display order; the first stays at the left whatever is skipped.
        width: cells, one of which is put between two columns.
        skip: how many columns after the first are passed over (revealing what is to their right).
    """
    candidates = [0, *range(1 + skip, len(columns))] if columns else []
    chosen: list[int] = []
    used = -1
    for index in sorted(candidates, key=lambda i: (i != 0, columns[i].priority, i)):
        if used + 1 + columns[index].width <= width or not chosen:
            chosen.append(index)
            used += 1 + columns[index].width
    widths = {index: min(columns[index].width, width) for index in chosen}
    spare = width - used
    for index in sorted(chosen, key=lambda i: (columns[i].priority, i)):
        grow = min(max(columns[index].most - columns[index].width, 0), max(spare, 0))
        widths[index] += grow
        spare -= grow
    placed = tuple(Placed(index, widths[index]) for index in sorted(chosen))
    return Layout(placed, min(skip, max(len(columns) - 1, 0)), len(candidates) - len(chosen))
