"""A plan's schema beside the declared MDF schema, a word for each field."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING

from atom_console.engine.flight_view import FieldRow, FieldWord
from atom_console.safe_text import safe_text

if TYPE_CHECKING:
    import pyarrow as pa

    from atom_console.schema.changes import Change

_TYPE_TEXT = 160


def field_rows(declared: pa.Schema, found: pa.Schema) -> tuple[tuple[FieldRow, ...], tuple[str, ...]]:
    """The fields of `found`, then those that only `declared` has; and what differs beside the fields.

    Args:
        declared: the schema that plans should have.
        found: what the server says.
    """
    from atom_console.schema.arrow_diff import diff_arrow

    by_name: defaultdict[str, list[Change]] = defaultdict(list)
    notes: list[str] = []
    for change in diff_arrow(declared, found):
        if change.path:
            by_name[change.path.split(".", 1)[0]].append(change)
        else:
            notes.append(f"{change.kind}: {_sides(change)}")
    known = {field.name for field in declared}
    rows = [_row(field, by_name[safe_text(field.name)], here=field.name in known) for field in found]
    names = {field.name for field in found}
    rows += [_row(field, [], here=True, there=False) for field in declared if field.name not in names]
    return tuple(rows), tuple(notes)


def _row(field: pa.Field, changes: list[Change], *, here: bool, there: bool = True) -> FieldRow:
    word: FieldWord = "same"
    why = ""
    if not there:
        word = "not here"
    elif not here:
        word = "only here"
    elif changes:
        word = "differs"
        why = "; ".join(f"{change.kind}: {_sides(change)}" for change in changes)
    return FieldRow(safe_text(field.name), safe_text(str(field.type), _TYPE_TEXT), field.nullable, word, why)


def _sides(change: Change) -> str:
    return f"{change.before or 'nothing'} → {change.after or 'nothing'}"
