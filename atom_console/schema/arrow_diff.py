"""Differences between two Arrow schemas: name, type, width, nullability, order and metadata, at any depth.

Arrow has no promotion between types on the wire: a reader built for int32 is wrong about int64. So each change of a
type breaks both sides, unlike a change of nullability or an appended column.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import pyarrow as pa

from atom_console.safe_text import safe_text
from atom_console.schema.changes import Change

_EXTENSION = b"ARROW:extension:"


def diff_arrow(old: pa.Schema, new: pa.Schema) -> tuple[Change, ...]:
    """Each difference from `old` to `new`, in the order of the fields; empty when equal, metadata included."""
    changes = [*_fields("", list(old), list(new)), *_metadata("", old.metadata, new.metadata)]
    return tuple(changes)


def type_children(kind: pa.DataType) -> list[pa.Field]:
    """The fields inside a nested type; empty for a flat one."""
    if pa.types.is_map(kind):
        return [kind.key_field, kind.item_field]
    if isinstance(kind, pa.BaseExtensionType):
        return type_children(kind.storage_type)
    return [kind.field(index) for index in range(kind.num_fields)]


def type_text(kind: pa.DataType) -> str:  # noqa: PLR0911 - one return for each family of types
    """The type without its children, e.g. `int64`, `timestamp[ns, tz=UTC]`, `struct`, `dictionary<utf8, int32>`."""
    if pa.types.is_dictionary(kind):
        order = ", ordered" if kind.ordered else ""
        return f"dictionary<{kind.value_type}, {kind.index_type}{order}>"
    if isinstance(kind, pa.BaseExtensionType):
        return f"{kind.extension_name}<{type_text(kind.storage_type)}>"
    if pa.types.is_fixed_size_list(kind):
        return f"fixed_size_list[{kind.list_size}]"
    if pa.types.is_union(kind):
        return f"{kind.mode}_union{list(kind.type_codes)}"
    if pa.types.is_map(kind):
        return "map, keys sorted" if kind.keys_sorted else "map"
    if kind.num_fields and not pa.types.is_run_end_encoded(kind):
        return str(kind).split("<", 1)[0]
    return str(kind)


def _fields(parent: str, old: Sequence[pa.Field], new: Sequence[pa.Field]) -> Iterator[Change]:
    if _ambiguous(old) or _ambiguous(new) or _positional(old, new):
        yield from _by_position(parent, old, new)
        return
    old_by_name, new_by_name = {field.name: field for field in old}, {field.name: field for field in new}
    kept = [field.name for field in old if field.name in new_by_name]
    for field in old:
        if field.name not in new_by_name:
            yield _removed(parent, field)
        else:
            yield from _field(_join(parent, field.name), field, new_by_name[field.name])
    for index, field in enumerate(new):
        if field.name not in old_by_name:
            yield _added(parent, field, last=index >= len(kept))
    moved = [field.name for field in new if field.name in old_by_name]
    if moved != kept:
        yield Change(
            parent,
            "order changed",
            ", ".join(map(safe_text, kept)),
            ", ".join(map(safe_text, moved)),
            True,
            True,
            "Programs that take columns by position get another column.",
        )


def _ambiguous(fields: Sequence[pa.Field]) -> bool:
    return len({field.name for field in fields}) != len(fields)


def _positional(old: Sequence[pa.Field], new: Sequence[pa.Field]) -> bool:
    """Fields of the same types, one by one, of which some have other names: renamed in place."""
    return (
        len(old) == len(new)
        and [field.name for field in old] != [field.name for field in new]
        and {field.name for field in old} != {field.name for field in new}
        and all(a.type == b.type for a, b in zip(old, new, strict=True))
        and not {a.name for a, b in zip(old, new, strict=True) if a.name != b.name} & {field.name for field in new}
    )


def _by_position(parent: str, old: Sequence[pa.Field], new: Sequence[pa.Field]) -> Iterator[Change]:
    for a, b in zip(old, new, strict=False):
        path = _join(parent, a.name)
        if a.name != b.name:
            why = "Programs that take columns by name do not find it."
            yield Change(path, "field renamed", safe_text(a.name), safe_text(b.name), True, True, why)
        yield from _field(path, a, b)
    for field in old[len(new) :]:
        yield _removed(parent, field)
    for field in new[len(old) :]:
        yield _added(parent, field, last=True)


def _field(path: str, old: pa.Field, new: pa.Field) -> Iterator[Change]:
    before, after = type_text(old.type), type_text(new.type)
    if before != after:
        why = f"{before} and {after} are laid out differently, and Arrow converts nothing by itself."
        yield Change(path, "type changed", safe_text(before), safe_text(after), True, True, why)
    else:
        yield from _fields(path, type_children(old.type), type_children(new.type))
    if old.nullable != new.nullable:
        yield Change(
            path,
            "nullability changed",
            "nullable" if old.nullable else "not null",
            "nullable" if new.nullable else "not null",
            new.nullable,
            old.nullable,
            "Old readers do not expect nulls here."
            if new.nullable
            else "What old writers wrote may hold nulls, which new readers do not expect.",
        )
    yield from _metadata(path, old.metadata, new.metadata)


def _removed(parent: str, field: pa.Field) -> Change:
    why = "Old readers ask for a column that is no longer there."
    return Change(_join(parent, field.name), "field removed", field_text(field), None, True, False, why)


def _added(parent: str, field: pa.Field, *, last: bool) -> Change:
    why = "Appended and nullable: old readers ignore it, new readers take its absence as null."
    if not field.nullable:
        why = "What old writers wrote lacks it, and it is declared not null."
    if not last:
        why = "Inserted before others: programs that take columns by position get another column."
    return Change(
        _join(parent, field.name),
        "field added",
        None,
        field_text(field),
        not last,
        not last or not field.nullable,
        why,
    )


def _metadata(path: str, old: Mapping[bytes, bytes] | None, new: Mapping[bytes, bytes] | None) -> Iterator[Change]:
    before, after = dict(old or {}), dict(new or {})
    for key in sorted(before.keys() | after.keys()):
        if before.get(key) == after.get(key):
            continue
        extension = key.startswith(_EXTENSION)
        yield Change(
            path,
            "metadata changed",
            _entry(key, before),
            _entry(key, after),
            extension,
            extension,
            "It decides what the values mean."
            if extension
            else "Metadata is a remark; no reader of values depends on it.",
        )


def _entry(key: bytes, metadata: Mapping[bytes, bytes]) -> str | None:
    return f"{safe_text(key, 128)}={safe_text(metadata[key], 128)}" if key in metadata else None


def field_text(field: pa.Field) -> str:
    """Type and nullability, e.g. `binary not null`."""
    return safe_text(f"{field.type}{'' if field.nullable else ' not null'}")


def _join(parent: str, name: str) -> str:
    return f"{parent}.{safe_text(name)}" if parent else safe_text(name)
