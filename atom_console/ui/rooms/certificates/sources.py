"""The inventory as a list."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

from atom_console.engine.snapshot import CertificateRow
from atom_console.ui.rooms.certificates.words import BAR, life_role, life_text
from atom_console.ui.rows import Cell, Column, Row

COLUMNS: Final = (
    Column("name", 14, 40),
    Column("profile", 13, 16, 2),
    Column("days left", BAR + 6, 0),
    Column("state", 13),
    Column("used by", 14, 20, 3),
    Column("names", 20, 90, 4),
)
_ENDS: Final = "soonest end"
_SORTS: Final[dict[str, Callable[[CertificateRow], Any]]] = {
    _ENDS: lambda row: row.days_left or 0.0,
    "name": lambda row: row.name,
    "profile": lambda row: (row.profile, row.name),
    "state": lambda row: (row.status, row.name),
}
SORTS: Final = tuple(_SORTS)


def wanted(rows: Sequence[CertificateRow], query: str, sort: str = _ENDS) -> list[CertificateRow]:
    """The rows that hold every word of a filter somewhere, sorted."""
    words = query.lower().split()
    kept = [row for row in rows if all(word in _text(row) for word in words)]
    return sorted(kept, key=_SORTS[sort])


def table_rows(rows: Sequence[CertificateRow]) -> list[Row]:
    """One line each."""
    return [
        Row(
            row.name,
            (
                row.name,
                row.profile,
                Cell(life_text(row), life_role(row)),
                Cell(row.status, life_role(row)),
                Cell(row.used_by or "–", "" if row.used_by else "dim"),
                ", ".join(row.names),
            ),
        )
        for row in rows
    ]


def _text(row: CertificateRow) -> str:
    return " ".join((row.name, row.profile, row.status, row.used_by or "", *row.names)).lower()
