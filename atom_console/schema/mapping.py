"""Whether events and the MDF format say the same: `FlatMolecule` field by field against the Arrow schema."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from atom_console.events.reflection import BaseType, Field, Object, Schema, Type
from atom_console.safe_text import safe_text
from atom_console.schema.flat_types import type_text

if TYPE_CHECKING:
    import pyarrow as pa

Status = Literal["same", "convert", "differs", "only in events", "only in arrow"]

_ARROW_NAMES = {
    BaseType.BOOL: "bool", BaseType.BYTE: "int8", BaseType.UBYTE: "uint8", BaseType.SHORT: "int16",
    BaseType.USHORT: "uint16", BaseType.INT: "int32", BaseType.UINT: "uint32", BaseType.LONG: "int64",
    BaseType.ULONG: "uint64", BaseType.FLOAT: "float", BaseType.DOUBLE: "double", BaseType.STRING: "string",
}  # fmt: skip
_UNITS = {
    "date_value": "events count nanoseconds, the format milliseconds: divide by 1,000,000",
}


@dataclass(frozen=True, slots=True)
class MappedField:
    """A field on both sides.

    Attributes:
        event_type: as FlatBuffers writes it, or None where it is not there.
        arrow_type: likewise.
        why: what to do, or why nothing.
    """

    name: str
    event_type: str | None
    arrow_type: str | None
    status: Status
    why: str


def compare_with_arrow(schema: Schema, table: str, arrow: pa.Schema) -> tuple[MappedField, ...]:
    """Each field of a FlatBuffers table and of an Arrow schema, paired by name.

    Args:
        schema: of the events.
        table: full name of the table whose rows the Arrow schema holds.
        arrow: of the format.

    Raises:
        KeyError: no such table.
    """
    obj: Object = schema.objects[schema.object_index(table)]
    columns = {column.name: column for column in arrow}
    pairs = [_pair(schema, item, columns.get(item.name)) for item in obj.fields]
    known = {item.name for item in obj.fields}
    return (*pairs, *(_arrow_only(column) for column in arrow if column.name not in known))


def _pair(schema: Schema, item: Field, column: pa.Field | None) -> MappedField:
    name, text = safe_text(item.name), safe_text(type_text(schema, item.type))
    if column is None:
        return MappedField(
            name, text, None, "only in events", "The format has no column for it: it is lost on the way."
        )
    found = f"{column.type}{'' if column.nullable else ' not null'}"
    arrow_text = safe_text(found)
    problem = _problem(item.type, str(column.type))
    if problem:
        return MappedField(name, text, arrow_text, "differs", problem)
    if item.name in _UNITS:
        return MappedField(name, text, arrow_text, "convert", _UNITS[item.name].capitalize() + ".")
    if not column.nullable:
        return MappedField(name, text, arrow_text, "convert", "It may be absent in an event and not in the format.")
    return MappedField(name, text, arrow_text, "same", "The same values on both sides.")


def _problem(kind: Type, arrow: str) -> str:
    if kind.base is BaseType.VECTOR and kind.element is BaseType.UBYTE:
        if arrow.startswith("fixed_size_binary"):
            return "Events carry any length; the column has a fixed one."
        return "" if arrow in {"binary", "large_binary"} else f"Bytes do not fit a column of {arrow}."
    expected = _ARROW_NAMES.get(kind.base)
    if expected is None:
        return f"A {kind.base.name.lower()} has no counterpart among columns."
    if arrow in {expected, f"large_{expected}"}:
        return ""
    if {expected.lstrip("u"), arrow.lstrip("u")} == {expected.lstrip("u")}:
        return f"The sign differs: {expected} and {arrow}."
    return f"{expected} and {arrow} are not the same values."


def _arrow_only(column: pa.Field) -> MappedField:
    missing = (
        "Events do not carry it: null."
        if column.nullable
        else "Events do not carry it, and it is not null: it must be filled."
    )
    text = safe_text(f"{column.type}{'' if column.nullable else ' not null'}")
    return MappedField(safe_text(column.name), None, text, "only in arrow", missing)
