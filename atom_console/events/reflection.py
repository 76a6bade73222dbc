"""A compiled schema (`.bfbs`, `reflection.fbs` of the FlatBuffers project) as plain objects.

The FlatBuffers wheel for Python ships no reader for it, so this is one; slots are those of `reflection.fbs`.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from functools import cache
from typing import Final

from atom_console.events.errors import DecodeError
from atom_console.events.reader import Reader, Table
from atom_console.resources import resource_dir


class BaseType(IntEnum):
    """`enum BaseType` of `reflection.fbs`; the names are those of the FlatBuffers language."""

    NONE = 0
    UTYPE = 1
    BOOL = 2
    BYTE = 3
    UBYTE = 4
    SHORT = 5
    USHORT = 6
    INT = 7
    UINT = 8
    LONG = 9
    ULONG = 10
    FLOAT = 11
    DOUBLE = 12
    STRING = 13
    VECTOR = 14
    OBJ = 15
    UNION = 16
    ARRAY = 17
    VECTOR64 = 18


# struct format of every scalar type.
SCALARS: Final = dict(zip(map(BaseType, range(1, 13)), "B?bBhHiIqQfd", strict=True))
WIDTHS: Final = dict(zip(map(BaseType, range(1, 13)), (1, 1, 1, 1, 2, 2, 4, 4, 8, 8, 4, 8), strict=True))


@dataclass(frozen=True, slots=True)
class Type:
    """Type of a field. `index` is that of an object (base or element OBJ) or of an enum (scalars, unions), or -1."""

    base: BaseType
    element: BaseType = BaseType.NONE
    index: int = -1
    fixed_length: int = 0


@dataclass(frozen=True, slots=True)
class Field:
    """One field. `slot` is its place in the vtable, `offset` its place inside a struct."""

    name: str
    slot: int
    offset: int
    type: Type
    default_integer: int = 0
    default_real: float = 0.0
    deprecated: bool = False
    required: bool = False
    key: bool = False
    optional: bool = False
    attributes: tuple[tuple[str, str], ...] = ()
    documentation: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Object:
    """A table or a struct; `fields` in slot order."""

    name: str
    fields: tuple[Field, ...]
    is_struct: bool = False
    minalign: int = 1
    bytesize: int = 0
    attributes: tuple[tuple[str, str], ...] = ()
    documentation: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class EnumValue:
    """One member; `union_type` says what a union holds under it."""

    name: str
    value: int
    union_type: Type | None = None
    documentation: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Enum:
    """An enum or a union; `values` in order of value."""

    name: str
    values: tuple[EnumValue, ...]
    is_union: bool
    underlying: Type
    attributes: tuple[tuple[str, str], ...] = ()
    documentation: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Schema:
    """A whole compiled schema; `root` is the index of the root table in `objects`, or None."""

    objects: tuple[Object, ...]
    enums: tuple[Enum, ...]
    root: int | None
    file_ident: str = ""
    file_ext: str = ""

    def object_index(self, name: str) -> int:
        """The index of an object by its full name.

        Raises:
            KeyError: no such object.
        """
        for index, candidate in enumerate(self.objects):
            if candidate.name == name:
                return index
        raise KeyError(name)


def load_schema(bfbs: bytes) -> Schema:
    """The schema in a `.bfbs`.

    Raises:
        DecodeError: not a compiled schema, or a damaged one.
    """
    if bfbs[4:8] != b"BFBS":
        raise DecodeError(4, "not a compiled schema: the file identifier BFBS is missing")
    reader = Reader(bfbs)
    root = reader.root()
    objects = tuple(_object(reader.table(at)) for at in root.items(0))
    enums = tuple(_enum(reader.table(at)) for at in root.items(1))
    schema = Schema(objects, enums, None, root.text(2) or "", root.text(3) or "")
    _check_indexes(schema)
    root_table = root.table(4)
    if root_table is None:
        return schema
    try:
        index = schema.object_index(_name(root_table))
    except KeyError as error:
        raise DecodeError(root_table.position, f"the root table {error} is not among the objects") from None
    return Schema(objects, enums, index, schema.file_ident, schema.file_ext)


@cache
def bundled_schema(name: str) -> Schema:
    """The schema `name` (`atom_event`, `grid`) that ships with the program; read once."""
    return load_schema((resource_dir("schemas") / f"{name}.bfbs").read_bytes())


def _name(table: Table) -> str:
    name = table.text(0)
    if name is None:
        raise DecodeError(table.position, "a schema entry without a name")
    return name


def _texts(table: Table, slot: int) -> tuple[str, ...]:
    return tuple(table.reader.text(at) for at in table.items(slot))


def _attributes(table: Table, slot: int) -> tuple[tuple[str, str], ...]:
    pairs = (table.reader.table(at) for at in table.items(slot))
    return tuple((_name(pair), pair.text(1) or "") for pair in pairs)


def _type(table: Table | None) -> Type:
    if table is None:
        return Type(BaseType.NONE)
    try:
        base, element = BaseType(table.integer(0, "b")), BaseType(table.integer(1, "b"))
    except ValueError as error:
        raise DecodeError(table.position, f"a type of a newer schema language: {error}") from None
    return Type(base, element, table.integer(2, "i", -1), table.integer(3, "H"))


def _field(table: Table) -> Field:
    return Field(
        name=_name(table),
        type=_type(table.table(1)),
        slot=table.integer(2, "H"),
        offset=table.integer(3, "H"),
        default_integer=table.integer(4, "q"),
        default_real=table.real(5),
        deprecated=bool(table.integer(6, "?")),
        required=bool(table.integer(7, "?")),
        key=bool(table.integer(8, "?")),
        attributes=_attributes(table, 9),
        documentation=_texts(table, 10),
        optional=bool(table.integer(11, "?")),
    )


def _object(table: Table) -> Object:
    fields = (_field(table.reader.table(at)) for at in table.items(1))
    return Object(
        name=_name(table),
        fields=tuple(sorted(fields, key=lambda field: field.slot)),
        is_struct=bool(table.integer(2, "?")),
        minalign=table.integer(3, "i"),
        bytesize=table.integer(4, "i"),
        attributes=_attributes(table, 5),
        documentation=_texts(table, 6),
    )


def _enum(table: Table) -> Enum:
    values = (_enum_value(table.reader.table(at)) for at in table.items(1))
    return Enum(
        name=_name(table),
        values=tuple(sorted(values, key=lambda value: value.value)),
        is_union=bool(table.integer(2, "?")),
        underlying=_type(table.table(3)),
        attributes=_attributes(table, 4),
        documentation=_texts(table, 5),
    )


def _enum_value(table: Table) -> EnumValue:
    union = table.table(3)
    return EnumValue(_name(table), table.integer(1, "q"), None if union is None else _type(union), _texts(table, 4))


def _check_indexes(schema: Schema) -> None:
    """Every reference to an object or enum leads to one."""
    types = [field.type for obj in schema.objects for field in obj.fields]
    types += [value.union_type for enum in schema.enums for value in enum.values if value.union_type is not None]
    for kind in types:
        inner = kind.element if kind.base in (BaseType.VECTOR, BaseType.ARRAY, BaseType.VECTOR64) else kind.base
        known = len(schema.objects if inner is BaseType.OBJ else schema.enums)
        lowest = 0 if inner in (BaseType.OBJ, BaseType.UNION) else -1
        if not lowest <= kind.index < known:
            raise DecodeError(None, f"a schema that refers to entry {kind.index} of {known}")
