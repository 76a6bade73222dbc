"""A connection of a replay's own to read the store with."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import apsw

from atom_console.dlq import database
from atom_console.dlq.place import Place

if TYPE_CHECKING:
    from typing import Any


def connect(directory: Path) -> apsw.Connection:
    """A read-only connection, for one thread; the caller closes it.

    Raises:
        StoreUnavailableError: the file cannot be read.
    """
    path = Place(directory).database
    try:
        return database.open_reader(path)
    except apsw.Error as error:
        raise database.explain(error, path) from error


@contextmanager
def reading(directory: Path) -> Iterator[apsw.Connection]:
    """One read transaction.

    Raises:
        StoreUnavailableError: the file cannot be read.
    """
    conn = connect(directory)
    try:
        conn.execute("BEGIN")
        yield conn
    except apsw.Error as error:
        raise database.explain(error, Place(directory).database) from error
    finally:
        conn.close(True)


def rows(conn: apsw.Connection, query: str, values: tuple[Any, ...] = ()) -> list[Any]:
    """All rows of a query."""
    return list(conn.execute(query, values))
