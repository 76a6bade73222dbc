"""Differences between two versions of a FlatBuffers schema, by the rules of schema evolution.

The rules are those of the FlatBuffers documentation ("Evolution") and of `flatc --conform`, and further ones that
`flatc` does not look at: the root and the file identifier, `required` and `key`, removed enum values and union members,
and structs, whose size is part of the layout of whatever holds them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TypeVar

from atom_console.events.reflection import SCALARS, BaseType, Enum, EnumValue, Field, Object, Schema, Type
from atom_console.safe_text import safe_text
from atom_console.schema.changes import Change
from atom_console.schema.flat_types import default_text, inner_base, named_type, short_name, type_text

Named = TypeVar("Named", Object, Enum)

_WIRE_ATTRIBUTES = ("nested_flatbuffer", "force_align", "hash")


def diff_flat(old: Schema, new: Schema) -> tuple[Change, ...]:
    """Each difference from `old` to `new`; empty when both describe the same bytes under the same names."""
    return tuple(_Diff(old, new).run())


class _Diff:
    def __init__(self, old: Schema, new: Schema) -> None:
        self._old = old
        self._new = new
        self._objects = _counterparts(old.objects, new.objects)
        self._enums = _counterparts(old.enums, new.enums)

    def run(self) -> Iterator[Change]:
        yield from self._root()
        yield from self._listed(self._old.objects, self._new.objects, self._objects, "table")
        yield from self._listed(self._old.enums, self._new.enums, self._enums, "enum")
        for old_object in self._old.objects:
            new_object = self._objects.get(old_object.name)
            if new_object is not None:
                yield from self._object(old_object, new_object)
        for old_enum in self._old.enums:
            new_enum = self._enums.get(old_enum.name)
            if new_enum is not None:
                yield from _enum(old_enum, new_enum)

    def _root(self) -> Iterator[Change]:
        old, new = _root_name(self._old), _root_name(self._new)
        if short_name(old) != short_name(new):
            why = "A payload is read from its root, and nothing in the bytes says which table that is."
            yield Change("", "root changed", safe_text(old) or None, safe_text(new) or None, True, True, why)
        before, after = self._old.file_ident, self._new.file_ident
        if before != after:
            yield Change(
                "",
                "file identifier changed",
                safe_text(before) or None,
                safe_text(after) or None,
                bool(before),
                bool(after),
                "Readers that check the identifier refuse the other side's payloads.",
            )

    def _listed(
        self, old: Sequence[Named], new: Sequence[Named], found: dict[str, Named], what: str
    ) -> Iterator[Change]:
        kept = {other.name for other in found.values()}
        for item in old:
            if item.name not in found:
                why = "Nothing refers to it any more; where a field still did, that field is named by itself."
                yield Change(safe_text(item.name), f"{_kind(item, what)} removed", "", None, False, False, why)
            elif found[item.name].name != item.name:
                why = "Names of tables and enums are not in the bytes; generated code has other names."
                after = safe_text(found[item.name].name)
                yield Change(safe_text(item.name), "namespace changed", safe_text(item.name), after, False, False, why)
        for item in new:
            if item.name not in kept:
                why = "No payload has it yet."
                yield Change(safe_text(item.name), f"{_kind(item, what)} added", None, "", False, False, why)

    def _object(self, old: Object, new: Object) -> Iterator[Change]:
        path = safe_text(short_name(old.name))
        if old.is_struct != new.is_struct:
            kinds = _kind(old, "table"), _kind(new, "table")
            why = "A table is found through an offset, a struct lies inline: neither reads as the other."
            yield Change(path, "kind changed", *kinds, True, True, why)
            return
        if old.is_struct:
            yield from self._struct(path, old, new)
        else:
            yield from self._table(path, old, new)
        yield from _attributes(path, dict(old.attributes), dict(new.attributes))

    def _struct(self, path: str, old: Object, new: Object) -> Iterator[Change]:
        places = {field.name: field.offset for field in old.fields}
        moved = any(places.get(field.name, field.offset) != field.offset for field in new.fields)
        if moved or self._layout(self._old, old) != self._layout(self._new, new):
            why = "A struct has no vtable: its fields are found by their place, and its size is part of its holder."
            texts = (_struct_text(self._old, old), _struct_text(self._new, new))
            yield Change(path, "struct changed", *texts, True, True, why)
            return
        for a, b in zip(old.fields, new.fields, strict=True):
            if a.name != b.name:
                yield _renamed(f"{path}.{safe_text(a.name)}", a, b)

    def _layout(self, schema: Schema, struct: Object) -> tuple[object, ...]:
        fields = [(type_text(schema, field.type), field.offset) for field in struct.fields]
        return fields, struct.bytesize, struct.minalign

    def _table(self, path: str, old: Object, new: Object) -> Iterator[Change]:
        old_names = {field.name: field for field in old.fields}
        new_names = {field.name: field for field in new.fields}
        new_slots = {field.slot: field for field in new.fields}
        old_slots = {field.slot for field in old.fields}
        renamed: set[str] = set()
        for field in old.fields:
            where = f"{path}.{safe_text(field.name)}"
            same = new_names.get(field.name)
            if same is not None:
                yield from self._field(where, field, same)
                continue
            at_slot = new_slots.get(field.slot)
            if at_slot is not None and at_slot.name not in old_names:
                renamed.add(at_slot.name)
                yield from self._at_slot(where, field, at_slot)
                continue
            yield Change(
                where,
                "field removed",
                self._text(self._old, field),
                None,
                True,
                False,
                "Old readers take its default for a value; mark it `deprecated` instead, so that its slot stays taken.",
            )
        for field in new.fields:
            if field.name not in old_names and field.name not in renamed:
                yield self._added(
                    f"{path}.{safe_text(field.name)}", field, appended=field.slot > max(old_slots, default=-1)
                )

    def _at_slot(self, where: str, old: Field, new: Field) -> Iterator[Change]:
        if self._same_type(old.type, new.type):
            yield _renamed(where, old, new)
            yield from self._field(where, old, new)
            return
        why = f"`{safe_text(new.name)}` takes the slot with another type: each side reads the other's bytes wrongly."
        before = f"{safe_text(old.name)}: {self._text(self._old, old)}"
        after = f"{safe_text(new.name)}: {self._text(self._new, new)}"
        yield Change(where, "slot reused", before, after, True, True, why)

    def _added(self, where: str, field: Field, *, appended: bool) -> Change:
        why = "Old readers skip it; new readers take its absence as the default."
        if field.required:
            why = "It is required, and what old writers wrote does not have it."
        elif not appended:
            why = "It takes a slot that was free; whether something else was there before, this schema cannot tell."
        return Change(where, "field added", None, self._text(self._new, field), False, field.required, why)

    def _field(self, where: str, old: Field, new: Field) -> Iterator[Change]:
        if old.slot != new.slot:
            why = "The slot is the field's identity on the wire; without `id:` it follows the order in the file."
            yield Change(where, "slot changed", f"slot {old.slot}", f"slot {new.slot}", True, True, why)
        if not self._same_type(old.type, new.type):
            before, after = type_text(self._old, old.type), type_text(self._new, new.type)
            why = f"Each side reads the other's bytes as its own type: {before} and {after} are not the same bytes."
            yield Change(where, "type changed", safe_text(before), safe_text(after), True, True, why)
        elif _default(old) != _default(new):
            before, after = (str(default_text(s, f)) for s, f in ((self._old, old), (self._new, new)))
            why = "A value that equals the default is not written, so each side reads the other's default."
            yield Change(where, "default changed", safe_text(before), safe_text(after), True, True, why)
        yield from _flags(where, old, new)
        yield from _attributes(where, dict(old.attributes), dict(new.attributes))

    def _same_type(self, old: Type, new: Type) -> bool:
        if (old.base, old.element, old.fixed_length) != (new.base, new.element, new.fixed_length):
            return False
        a, b = named_type(self._old, old), named_type(self._new, new)
        if a is None or b is None:
            return a is b
        counterpart = (self._objects if inner_base(old) is BaseType.OBJ else self._enums).get(a.name)
        return counterpart is not None and counterpart.name == b.name

    def _text(self, schema: Schema, field: Field) -> str:
        default = default_text(schema, field)
        flags = [name for name in ("required", "key", "deprecated") if getattr(field, name)]
        text = type_text(schema, field.type) + (f" = {default}" if default not in (None, "0", "0.0", "false") else "")
        return safe_text(f"{text} ({', '.join(flags)})" if flags else text)


def _flags(where: str, old: Field, new: Field) -> Iterator[Change]:
    for name, breaks_old, breaks_new, on, off in (
        ("required", True, True, "what old writers wrote may lack it", "old readers refuse what lacks it"),
        ("key", True, True, "old writers did not sort by it", "old readers search as if it were sorted by it"),
        ("deprecated", False, False, "new code no longer reaches it", "new code reaches it again"),
    ):
        before, after = getattr(old, name), getattr(new, name)
        if before == after:
            continue
        yield Change(
            where,
            f"{name} {'set' if after else 'dropped'}",
            name if before else "",
            name if after else "",
            breaks_old and not after,
            breaks_new and after,
            f"{(on if after else off).capitalize()}.",
        )


def _attributes(where: str, old: dict[str, str], new: dict[str, str]) -> Iterator[Change]:
    for name in _WIRE_ATTRIBUTES:
        if old.get(name) != new.get(name):
            why = "It decides how the bytes are read or where they lie."
            before, after = (safe_text(side[name]) if name in side else None for side in (old, new))
            yield Change(where, f"{name} changed", before, after, True, True, why)


def _enum(old: Enum, new: Enum) -> Iterator[Change]:
    path = safe_text(short_name(old.name))
    member = "member" if old.is_union else "value"
    if old.is_union != new.is_union or old.underlying.base is not new.underlying.base:
        why = "The number on the wire has another width or sign."
        before, after = (f"{_kind(item, 'enum')} {item.underlying.base.name.lower()}" for item in (old, new))
        yield Change(path, "underlying type changed", before, after, True, True, why)
    old_names, new_names = ({value.name: value for value in enum.values} for enum in (old, new))
    old_numbers, new_numbers = ({value.value: value for value in enum.values} for enum in (old, new))
    for value in old.values:
        where = f"{path}.{safe_text(value.name)}"
        same = new_names.get(value.name)
        if same is not None:
            yield from _enum_value(where, value, same, member)
        elif value.value in new_numbers and new_numbers[value.value].name not in old_names:
            why = "The number stays; code and JSON have another name for it."
            after = safe_text(new_numbers[value.value].name)
            yield Change(where, f"{member} renamed", safe_text(value.name), after, False, False, why)
        else:
            why = f"New readers do not know the {member} {value.value} that old writers wrote."
            yield Change(where, f"{member} removed", str(value.value), None, False, True, why)
    for value in new.values:
        if value.name not in old_names and value.value not in old_numbers:
            why = f"Old readers meet an unknown {member}; theirs must have a default branch."
            yield Change(
                f"{path}.{safe_text(value.name)}", f"{member} added", None, str(value.value), False, False, why
            )


def _enum_value(where: str, old: EnumValue, new: EnumValue, member: str) -> Iterator[Change]:
    if old.value != new.value:
        why = "The number is what is on the wire: each side reads the other's as something else."
        yield Change(where, f"{member} renumbered", str(old.value), str(new.value), True, True, why)


def _renamed(where: str, old: Field, new: Field) -> Change:
    why = "Names are not in the bytes; if it also means something else now, old values are misread."
    return Change(where, "field renamed", safe_text(old.name), safe_text(new.name), False, False, why)


def _default(field: Field) -> tuple[bool, int, str] | None:
    if field.type.base not in SCALARS:
        return None
    return field.optional, field.default_integer, repr(field.default_real)


def _struct_text(schema: Schema, struct: Object) -> str:
    fields = ", ".join(f"{field.name}: {type_text(schema, field.type)} at {field.offset}" for field in struct.fields)
    return safe_text(f"{struct.bytesize} bytes: {fields}")


def _kind(item: Object | Enum, otherwise: str) -> str:
    if isinstance(item, Object):
        return "struct" if item.is_struct else otherwise
    return "union" if item.is_union else otherwise


def _root_name(schema: Schema) -> str:
    return schema.objects[schema.root].name if schema.root is not None else ""


def _counterparts(old: Sequence[Named], new: Sequence[Named]) -> dict[str, Named]:
    """By full name, else by a short name that is unique on both sides: the namespace is not on the wire."""
    by_name = {item.name: item for item in new}
    found = {item.name: by_name[item.name] for item in old if item.name in by_name}
    taken = {item.name for item in found.values()}
    free_old = _by_short_name([item for item in old if item.name not in found])
    free_new = _by_short_name([item for item in new if item.name not in taken])
    for name, items in free_old.items():
        others = free_new.get(name, [])
        if len(items) == len(others) == 1:
            found[items[0].name] = others[0]
    return found


def _by_short_name(items: Sequence[Named]) -> dict[str, list[Named]]:
    grouped: dict[str, list[Named]] = {}
    for item in items:
        grouped.setdefault(short_name(item.name), []).append(item)
    return grouped
