"""Does a payload fit a schema, and if not, what is it: from a newer writer, cut off, or something else altogether.

FlatBuffers carry no name of their schema, so this is judged from the bytes: every offset, length and string must be
sound, slots that the schema lacks must not be in use, and most bytes of the payload must be reached from the root.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from atom_console.events.errors import DecodeError
from atom_console.events.reader import Reader, Table
from atom_console.events.reflection import SCALARS, WIDTHS, BaseType, Enum, Field, Object, Schema, Type
from atom_console.safe_text import safe_text
from atom_console.schema.flat_types import inner_base, named_type, short_name
from atom_console.schema.loading import AnySchema

_MAX_DEPTH = 64
_MAX_NOTES = 32
_ENOUGH = 0.75
_ENOUGH_BESIDE_UNKNOWN = 0.5
# What a newer writer added may be most of a payload; then it counts how many strings, vectors and tables are sound.
_ENOUGH_REFERENCES = 2
# A cut payload points as far as it once was long; bytes that were never an offset point anywhere.
_PLAUSIBLE_END = 64


class Fit(StrEnum):
    """What a payload is to a schema."""

    FITS = "fits"
    OLDER_WRITER = "older writer"
    NEWER_WRITER = "newer writer"
    TRUNCATED = "truncated"
    OTHER_SCHEMA = "other schema"


@dataclass(frozen=True, slots=True)
class Examination:
    """One payload against one schema.

    Attributes:
        fit: what it is. `older writer` fits too: the last fields of its tables are absent wherever one could be, which
            an older writer does, and one that never sets them.
        unknown: slots and enum values in use that the schema does not have, e.g. `AtomEvent slot 8`.
        absent: the fields that make it look older.
        reached: share of the payload's bytes that belong to something in the schema.
        fault: what is unsound, with its path; empty where nothing is.
        why: one sentence.
    """

    fit: Fit
    unknown: tuple[str, ...]
    absent: tuple[str, ...]
    reached: float
    fault: str
    why: str


@dataclass(frozen=True, slots=True)
class Candidate:
    """A schema of the catalogue, and how a payload fits it."""

    schema: AnySchema
    examination: Examination


def examine(payload: bytes, schema: Schema, root: str | None = None) -> Examination:
    """What `payload` is to `schema`; never raises because of the payload.

    Args:
        payload: the bytes of one FlatBuffer.
        schema: the declared one.
        root: full name of the root table, by default the schema's.

    Raises:
        KeyError: the schema has no such root.
    """
    index = schema.root if root is None else schema.object_index(root)
    if index is None:
        raise KeyError("the schema names no root table")
    if schema.file_ident and len(payload) >= 8 and payload[4:8] != schema.file_ident.encode():
        given = safe_text(payload[4:8])
        return Examination(
            Fit.OTHER_SCHEMA, (), (), 0.0, "", f"The file identifier is {given}, not {schema.file_ident}."
        )
    walk = _Walk(payload, schema)
    try:
        walk.table(walk.reader.offset(0), index, _MAX_DEPTH)
    except DecodeError as error:
        walk.note_fault(schema.objects[index].name, error)
    return _judge(walk, schema.objects[index])


def best_fit(payload: bytes, schemas: Sequence[AnySchema]) -> list[Candidate]:
    """FlatBuffers schemas of the catalogue, the one that explains the payload best first."""
    found = [
        Candidate(schema, examine(payload, schema.flat))
        for schema in schemas
        if schema.flat is not None and schema.flat.root is not None
    ]
    return sorted(found, key=lambda candidate: _rank(candidate.examination), reverse=True)


def _rank(examination: Examination) -> tuple[int, float, int]:
    order = [Fit.OTHER_SCHEMA, Fit.TRUNCATED, Fit.NEWER_WRITER, Fit.OLDER_WRITER, Fit.FITS]
    return order.index(examination.fit), round(examination.reached, 2), -len(examination.absent)


@dataclass(slots=True)
class _Walk:
    payload: bytes
    schema: Schema
    reader: Reader = field(init=False)
    unknown: dict[str, None] = field(default_factory=dict)
    reached: dict[int, int] = field(default_factory=dict)
    present: dict[int, set[int]] = field(default_factory=dict)
    faults: list[str] = field(default_factory=list)
    cut: int = 0
    sound: int = 0
    references: int = 0

    def __post_init__(self) -> None:
        self.reader = Reader(self.payload, strict=True)
        self.reached[0] = 4

    def note_fault(self, path: str, error: DecodeError) -> None:
        if len(self.faults) < _MAX_NOTES:
            place = ".".join(part for part in (short_name(path), error.path) if part)
            self.faults.append(safe_text(f"{place}: {error.why}"))

    def note_unknown(self, what: str) -> None:
        if len(self.unknown) < _MAX_NOTES:
            self.unknown[safe_text(what)] = None

    def inside(self, position: int, size: int) -> bool:
        """Whether `size` bytes at `position` are in the payload; notes where they plausibly once were."""
        end = position + size
        if end <= len(self.payload):
            return True
        if end <= _PLAUSIBLE_END * len(self.payload) + 4096:
            self.cut += 1
        else:
            self.faults.append(f"an offset far outside, to byte {position}")
        return False

    def table(self, position: int, index: int, depth: int) -> None:
        if depth < 0:
            raise DecodeError(position, "tables nested beyond reason")
        if not self.inside(position, 4):
            return
        vtable = position - self.reader.integer("i", position)
        if not self.inside(vtable, 4) or not self.inside(vtable, self.reader.integer("H", vtable)):
            return
        if not self.inside(position, self.reader.integer("H", vtable + 2)):
            return
        table = self.reader.table(position)
        if position in self.reached:
            return
        self.reader.visit(1, position)
        self.reached[position] = table.inline_size
        self.reached[table.vtable] = table.vtable_size
        obj = self.schema.objects[index]
        self._unknown_slots(table, obj)
        for item in obj.fields:
            try:
                self._field(table, obj, item, index, depth)
            except DecodeError as error:
                self.note_fault(f"{short_name(obj.name)}.{item.name}", error)

    def _unknown_slots(self, table: Table, obj: Object) -> None:
        known = {item.slot for item in obj.fields}
        for slot in range((table.vtable_size - 4) // 2):
            if slot not in known and self.reader.integer("H", table.vtable + 4 + 2 * slot):
                self.note_unknown(f"{short_name(obj.name)} slot {slot}")

    def _field(self, table: Table, obj: Object, item: Field, index: int, depth: int) -> None:
        kind = item.type
        named = named_type(self.schema, kind)
        inline_struct = kind.base is BaseType.OBJ and isinstance(named, Object) and named.is_struct
        width = named.bytesize if inline_struct and isinstance(named, Object) else WIDTHS.get(kind.base, 4)
        at = table.field(item.slot, width)
        if at is None:
            if item.required:
                raise DecodeError(table.position, "a required field is absent")
            return
        self.present.setdefault(index, set()).add(item.slot)
        self.sound += 1
        if kind.base in SCALARS:
            self._scalar(at, item, named)
        elif not inline_struct:
            self._target(table, obj, item, self.reader.offset(at), depth)
            self.references += 1

    def _scalar(self, at: int, item: Field, named: Object | Enum | None) -> None:
        value = self.reader.scalar(SCALARS[item.type.base], at)
        if item.type.base is BaseType.BOOL and self.payload[at] > 1:
            raise DecodeError(at, f"a bool of {self.payload[at]}")
        flags = isinstance(named, Enum) and any(name == "bit_flags" for name, _ in named.attributes)
        if isinstance(named, Enum) and not flags and all(member.value != value for member in named.values):
            self.note_unknown(f"{short_name(named.name)} value {value}")

    def _target(self, table: Table, obj: Object, item: Field, target: int, depth: int) -> None:
        kind = item.type
        if not self.inside(target, 4):
            return
        if kind.base is BaseType.OBJ:
            self.table(target, kind.index, depth - 1)
        elif kind.base is BaseType.UNION:
            self._union(table, obj, item, target, depth)
        elif kind.base is BaseType.STRING:
            self._text(target)
        else:
            self._vector(target, kind, depth)

    def _text(self, target: int) -> None:
        size = self.reader.integer("I", target)
        if self.inside(target, size + 5):
            self.reader.text(target)
            self.reached[target] = size + 5

    def _vector(self, target: int, kind: Type, depth: int) -> None:
        named = named_type(self.schema, kind)
        inline = isinstance(named, Object) and named.is_struct
        width = named.bytesize if inline and isinstance(named, Object) else WIDTHS.get(kind.element, 4)
        count = self.reader.integer("I", target)
        if not self.inside(target, 4 + count * width):
            return
        start, count = self.reader.span(target, width)
        self.reached[target] = 4 + count * width
        if kind.element in SCALARS or inline:
            return
        self.reader.visit(count, target)
        for number in range(count):
            place = self.reader.offset(start + 4 * number)
            if not self.inside(place, 4):
                return
            if inner_base(kind) is BaseType.STRING:
                self._text(place)
            else:
                self.table(place, kind.index, depth - 1)

    def _union(self, table: Table, obj: Object, item: Field, target: int, depth: int) -> None:
        selector = next((f for f in obj.fields if f.slot == item.slot - 1 and f.type.base is BaseType.UTYPE), None)
        chosen = table.integer(selector.slot, "B") if selector is not None else 0
        for member in self.schema.enums[item.type.index].values:
            kind = member.union_type
            if member.value != chosen or kind is None:
                continue
            if kind.base is BaseType.STRING:
                self._text(target)
            elif kind.base is BaseType.OBJ and not self.schema.objects[kind.index].is_struct:
                self.table(target, kind.index, depth - 1)


def _judge(walk: _Walk, root: Object) -> Examination:  # noqa: PLR0911 - one return for each answer
    size = max(len(walk.payload), 1)
    reached = min(1.0, sum(walk.reached.values()) / size)
    unknown = tuple(walk.unknown)
    absent = _absent_tail(walk)
    fault = walk.faults[0] if walk.faults else ""

    def named(fit: Fit, why: str) -> Examination:
        return Examination(fit, unknown, absent if fit is Fit.OLDER_WRITER else (), reached, fault, why)

    if walk.cut and not walk.faults and (walk.sound or len(walk.payload) < 64):
        return named(Fit.TRUNCATED, f"{walk.cut} parts lie behind its end: it was longer once.")
    if fault:
        return named(Fit.OTHER_SCHEMA, f"It is not sound as {short_name(root.name)}: {fault}.")
    if unknown and walk.references < _ENOUGH_REFERENCES and reached < _ENOUGH_BESIDE_UNKNOWN:
        return named(Fit.OTHER_SCHEMA, f"It hardly uses the schema, and much else: {', '.join(unknown)}.")
    if not unknown and reached < _ENOUGH:
        return named(Fit.OTHER_SCHEMA, f"Only {reached:.0%} of its bytes belong to anything in the schema.")
    if unknown:
        return named(Fit.NEWER_WRITER, f"It uses what the schema does not have: {', '.join(unknown)}.")
    if absent:
        never = "is never" if len(absent) == 1 else "are never"
        return named(Fit.OLDER_WRITER, f"It fits; {', '.join(absent)} at the end of the table {never} set.")
    return named(Fit.FITS, "Every byte that matters belongs to a field of the schema.")


def _absent_tail(walk: _Walk) -> tuple[str, ...]:
    """The last fields of each table that occurs, as far as no instance has them."""
    missing: list[str] = []
    for index, slots in walk.present.items():
        obj = walk.schema.objects[index]
        last = max(slots)
        missing += [f"{short_name(obj.name)}.{item.name}" for item in obj.fields if item.slot > last]
    return tuple(map(safe_text, missing[:_MAX_NOTES]))
