"""Many rows in few statements.

Each statement gives up the interpreter lock once, and a busy thread may keep it for 5 ms each time.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    import apsw

_CHUNKS: Final = (250, 25, 5, 1)  # apsw keeps no prepared statement longer than 16 KiB: 500 rows would be compiled anew


def by_row(*columns: list[Any]) -> list[Any]:
    """Columns → the values of all rows in one flat list."""
    width = len(columns)
    flat: list[Any] = [None] * (width * len(columns[0]))
    for index, column in enumerate(columns):
        flat[index::width] = column
    return flat


def insert_rows(conn: apsw.Connection, table: str, columns: str, width: int, values: list[Any]) -> None:
    """Rows given as one flat list, in the largest statements that fit."""
    at, left = 0, len(values) // width
    for size in _CHUNKS:
        statement = _statement(table, columns, width, size)
        while left >= size:
            end = at + size * width
            conn.execute(statement, values[at:end])
            at, left = end, left - size


@lru_cache(maxsize=16)
def _statement(table: str, columns: str, width: int, rows: int) -> str:
    one = "(" + ",".join("?" * width) + ")"
    return f"INSERT INTO {table} ({columns}) VALUES {','.join([one] * rows)}"  # noqa: S608 -- our own constants
