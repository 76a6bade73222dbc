"""Types of the FlatBuffers language as text, and counterparts of objects in another version of a schema."""

from __future__ import annotations

from atom_console.events.reflection import BaseType, Enum, Field, Object, Schema, Type

_VECTORS = (BaseType.VECTOR, BaseType.VECTOR64)
_OPEN_ENDED = (BaseType.VECTOR, BaseType.VECTOR64, BaseType.ARRAY)


def inner_base(kind: Type) -> BaseType:
    """The type itself, or that of the items of a vector or array."""
    return kind.element if kind.base in _OPEN_ENDED else kind.base


def named_type(schema: Schema, kind: Type) -> Object | Enum | None:
    """The table, struct, enum or union that a type refers to, itself or by its items."""
    if kind.index < 0:
        return None
    return schema.objects[kind.index] if inner_base(kind) is BaseType.OBJ else schema.enums[kind.index]


def type_text(schema: Schema, kind: Type) -> str:
    """As in a `.fbs`: `[ubyte]`, `EventType`, `[FlatMolecule]`, `[int:3]`; names without their namespace."""
    named = named_type(schema, kind)
    inner = inner_base(kind)
    text = short_name(named.name) if named is not None else inner.name.lower()
    if inner is BaseType.UTYPE and named is not None:
        text += " type"
    if kind.base in _VECTORS:
        return f"[{text}]" if kind.base is BaseType.VECTOR else f"[{text}] (64 bit)"
    return f"[{text}:{kind.fixed_length}]" if kind.base is BaseType.ARRAY else text


def default_text(schema: Schema, field: Field) -> str | None:
    """The default of a scalar field; `null` where it is optional, None where the type has none."""
    base = field.type.base
    if field.optional and base in _SCALARS:
        return "null"
    if base in (BaseType.FLOAT, BaseType.DOUBLE):
        return repr(field.default_real)
    if base is BaseType.BOOL:
        return "true" if field.default_integer else "false"
    if base not in _SCALARS:
        return None
    named = named_type(schema, field.type)
    if isinstance(named, Enum):
        names = [value.name for value in named.values if value.value == field.default_integer]
        return names[0] if names else str(field.default_integer)
    return str(field.default_integer)


def short_name(name: str) -> str:
    """Without the namespace."""
    return name.rpartition(".")[2]


_SCALARS = frozenset(BaseType(number) for number in range(1, 13))
