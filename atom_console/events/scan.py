"""Many payloads at once, by column: what a fetch from Kafka or a page of dead letters holds, without a step an event.

The payloads lie back to back in one buffer. Every read is checked against its own record: a damaged one turns its
`good` False, reads position 0 from then on and moves no other. So grouping, filtering, masking and drift detection
over a million dead letters take about a second.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import pyarrow as arrow  # noqa: ICN001 (it is untyped: `pa` is its Any)
from numpy.typing import NDArray

from atom_console.events.decoder import Decoder
from atom_console.events.errors import DecodeError
from atom_console.events.reader import EXPANSION
from atom_console.events.reflection import SCALARS, WIDTHS, BaseType, Field, Schema, bundled_schema
from atom_console.memory import keep_freed_memory

Integers = NDArray[np.int64]
Flags = NDArray[np.bool_]

pa: Any = arrow
_SLICE: Final = 8192  # records at a time, so that the working set stays in the cache
_SLICE_BYTES: Final = 64 << 20
_MAX_DEPTH: Final = 64
_KEEP: Final = np.array([0, 0xFF, 0xFFFF, 0xFFFFFF, 0xFFFFFFFF], np.uint32)  # the first 0 to 4 bytes of a word


@dataclass(frozen=True, slots=True)
class Scanned:
    """What a scan found.

    Attributes:
        good: a flag for each payload; one that is not good has null in every column.
        columns: by path, such as `timestamp` or `molecules.security_mask`: an Arrow array with null where a field is
            absent. A field inside of a vector of tables is a list array; the vector itself is its length.
    """

    good: Flags
    columns: Mapping[str, Any]


def scan(payloads: Sequence[bytes], paths: Collection[str], *, schema: Schema | None = None) -> Scanned:
    """Read some fields of many payloads. Only what lies on the way to them is checked; `verify_many` checks everything.

    Args:
        payloads: FlatBuffers of one root type.
        paths: names of fields; with a dot for a field inside of a vector of tables.
        schema: of the payloads; by default `atom_event`.

    Raises:
        KeyError: a path that the schema does not have, or a kind of field that is not scanned.
    """
    plan = _plan(schema or bundled_schema("atom_event"), paths)
    parts = [part.read(plan) for part in _slices(payloads)]
    good = np.concatenate([part.good for part in parts])
    columns = {path: pa.concat_arrays([part.columns[path] for part in parts]) for path in paths}
    return Scanned(good, columns)


def verify_many(payloads: Sequence[bytes], *, schema: Schema | None = None) -> Flags:
    """Which payloads are sound throughout: what `Decoder.verify` holds, for all of them at once."""
    schema = schema or bundled_schema("atom_event")
    try:
        plan = _whole_plan(schema)
    except KeyError:
        return _verify_each(payloads, Decoder(schema))
    return np.concatenate([part.verify(plan) for part in _slices(payloads)])


def _slices(payloads: Sequence[bytes]) -> Iterator[_Slice]:
    """Parts of at most 8,192 records and, unless one alone is larger, 64 MB; at least one part."""
    positions = np.zeros(len(payloads) + 1, np.int64)
    np.cumsum(np.fromiter(map(len, payloads), np.int64, len(payloads)), out=positions[1:])
    if len(payloads) >= _SLICE:
        keep_freed_memory()
    low = 0
    while True:
        fitting = int(np.searchsorted(positions, positions[low] + _SLICE_BYTES, side="right")) - 1
        high = min(max(fitting, low + 1), low + _SLICE, len(payloads))
        yield _Slice(payloads[low:high], positions[low : high + 1] - positions[low])
        low = high
        if low >= len(payloads):
            return


def _verify_each(payloads: Sequence[bytes], decoder: Decoder) -> Flags:
    good = np.ones(len(payloads), np.bool_)
    for index, payload in enumerate(payloads):
        try:
            decoder.verify(payload)
        except DecodeError:
            good[index] = False
    return good


def any_of_masks(masks: Any) -> NDArray[np.uint64]:
    """The bits that any molecule of an event asks for, from the column `molecules.security_mask` (absent: no bits)."""
    lists = masks.fill_null([]) if masks.null_count else masks
    offsets = np.asarray(lists.offsets)
    values = np.asarray(lists.values.fill_null(0))
    out = np.zeros(len(lists), np.uint64)
    filled = np.flatnonzero(offsets[1:] > offsets[:-1])
    if len(filled):
        out[filled] = np.bitwise_or.reduceat(values, offsets[filled])
    return out


@dataclass(slots=True)
class _Step:
    """A field to look at: whether its values are wanted, and what to look at inside of it."""

    field: Field
    path: str
    wanted: bool
    inside: list[_Step]


def _plan(schema: Schema, paths: Collection[str]) -> list[_Step]:
    if schema.root is None:
        raise KeyError("the schema has no root table")
    steps: dict[str, _Step] = {}
    for path in paths:
        name, _, inner = path.partition(".")
        field = _find(schema, schema.root, name, path)
        step = steps.setdefault(name, _Step(field, name, False, []))
        if not inner:
            step.wanted = True
        elif field.type.base is BaseType.VECTOR and field.type.element is BaseType.OBJ:
            step.inside.append(_Step(_find(schema, field.type.index, inner, path), path, True, []))
        else:
            raise KeyError(path)
    return list(steps.values())


def _find(schema: Schema, index: int, name: str, path: str) -> Field:
    for field in schema.objects[index].fields:
        if field.name == name and _scannable(schema, field):
            return field
    raise KeyError(path)


def _scannable(schema: Schema, field: Field) -> bool:
    kind = field.type
    if kind.base in SCALARS or kind.base is BaseType.STRING:
        return True
    if kind.base is BaseType.VECTOR and kind.element in SCALARS:
        return True
    holds_tables = kind.base is BaseType.OBJ or (kind.base is BaseType.VECTOR and kind.element is BaseType.OBJ)
    return holds_tables and not schema.objects[kind.index].is_struct


def _whole_plan(schema: Schema) -> list[_Step]:
    """Every field of every table reachable; a table inside of itself has the same steps again.

    Raises:
        KeyError: a kind of field that is not scanned.
    """
    made: dict[int, list[_Step]] = {}

    def steps(index: int) -> list[_Step]:
        if index not in made:
            made[index] = []
            for field in schema.objects[index].fields:
                if not _scannable(schema, field):
                    raise KeyError(field.name)
                holds = BaseType.OBJ in (field.type.base, field.type.element)
                made[index].append(_Step(field, field.name, False, steps(field.type.index) if holds else []))
        return made[index]

    if schema.root is None:
        raise KeyError("the schema has no root table")
    return steps(schema.root)


@dataclass(slots=True)
class _Rows:
    """Tables to look at. `owner` is the record each belongs to; `good` is narrowed as faults are found."""

    at: Integers
    good: Flags
    begin: Integers
    end: Integers
    owner: Integers


class _Slice:
    """Some thousand records in one buffer. `windows[w]` has the unaligned w-byte number at every byte, uncopied."""

    def __init__(self, payloads: Sequence[bytes], positions: Integers) -> None:
        self.data = np.frombuffer(b"".join((*payloads, bytes(16))), np.uint8)
        self.windows = {w: np.ndarray((len(self.data) - w + 1,), f"<u{w}", self.data, 0, (1,)) for w in (1, 2, 4, 8)}
        self.begin, self.end = positions[:-1], positions[1:]
        self.found: dict[str, tuple[Any, ...]] = {}
        self.listed: dict[str, Flags] = {}
        self.content: list[tuple[Integers, Integers]] = []
        self.texts: list[tuple[Integers, Integers, Integers]] = []

    def verify(self, plan: list[_Step]) -> Flags:
        good = self._root(plan)
        limit = EXPANSION * (self.end - self.begin) + 65_536
        for owner, size in self.content:
            limit -= np.bincount(owner, weights=size, minlength=len(good)).astype(np.int64)
        good &= limit >= 0
        if self.texts:
            start, length, owner = (np.concatenate(parts) for parts in zip(*self.texts, strict=True))
            self._text(np.ones(len(start), np.bool_), start, length, good, owner, utf8=True)
        return good

    def read(self, plan: list[_Step]) -> Scanned:
        good = self._root(plan)
        before = -1
        while before != int(good.sum()):  # text that is not UTF-8 turns a record bad: then it goes from every column
            before = int(good.sum())
            columns = {path: self._column(path, good) for path in self.found if "." not in path}
            columns |= {path: self._list_column(path, good) for path in self.found if "." in path}
        return Scanned(good, columns)

    def _root(self, plan: list[_Step]) -> Flags:
        count = len(self.begin)
        size = self.end - self.begin
        good: Flags = (size >= 8) & (size < 1 << 31)
        rows = _Rows(self.begin, good, self.begin, self.end, np.arange(count))
        rows.at = self._follow(rows.at, rows)
        self._tables(rows, plan, _MAX_DEPTH)
        return good

    def _number(self, width: int, at: Integers, rows: _Rows) -> NDArray[Any]:
        """The number at each position, where it is aligned and inside its record; elsewhere the row turns bad."""
        rows.good &= (at >= rows.begin) & (at <= rows.end - width) & (((at - rows.begin) & (width - 1)) == 0)
        values: NDArray[Any] = self.windows[width][np.where(rows.good, at, 0)]
        return values

    def _follow(self, at: Integers, rows: _Rows) -> Integers:
        """Where the u32 offsets at `at` point; 0 and 2 GiB point nowhere."""
        distance = self._number(4, at, rows)
        rows.good &= (distance != 0) & (distance < 1 << 31)
        target: Integers = at + distance
        return target

    def _tables(self, rows: _Rows, steps: list[_Step], depth: int) -> None:
        """Check the tables and the fields that the steps name; what is wanted goes to `found`."""
        if depth < 0:
            rows.good[:] = False
            return
        vtable = rows.at - self._number(4, rows.at, rows).view("<i4")
        vtable_size = self._number(2, vtable, rows)
        inline = self._number(2, vtable + 2, rows).astype(np.int64)
        rows.good &= (vtable_size >= 4) & ((vtable_size & 1) == 0) & (vtable + vtable_size <= rows.end)
        rows.good &= (inline >= 4) & (rows.at + inline <= rows.end)
        for step in steps:
            kind = step.field.type
            width = WIDTHS.get(kind.base, 4)
            entry = 4 + 2 * step.field.slot
            present = rows.good & (vtable_size >= entry + 2)
            offset = (self.windows[2][np.where(present, vtable + entry, 0)] * present).astype(np.int64)
            present = offset != 0
            at = rows.at + offset
            wrong = (offset < 4) | (offset > inline - width)
            if width > 1:
                wrong |= ((at - rows.begin) & (width - 1)) != 0
            wrong &= present
            rows.good &= ~wrong
            present ^= wrong
            if kind.base in SCALARS:
                if step.wanted:
                    self.found[step.path] = (step.field, present, self.windows[width][np.where(present, at, 0)])
            elif step.wanted or present.any():
                self._child(rows, step, present, at, depth)

    def _child(self, rows: _Rows, step: _Step, present: Flags, at: Integers, depth: int) -> None:
        """What an offset leads to: a table, a string or a vector."""
        kind = step.field.type
        distance = self.windows[4][np.where(present, at, 0)]
        target = at + distance
        inside = present & (distance != 0) & (distance < 1 << 31)
        if kind.base is BaseType.OBJ:
            rows.good &= inside | ~present
            self._nested(rows, step, inside, target, depth)
            return
        inside &= (target + 4 <= rows.end) & (((target - rows.begin) & 3) == 0)
        count = np.where(inside, self.windows[4][np.where(inside, target, 0)], 0).astype(np.int64)
        text = kind.base is BaseType.STRING
        width = 1 if text else WIDTHS.get(kind.element, 4)
        start = target + 4
        inside &= start + count * width + text <= rows.end
        if text:
            inside &= self.data[np.where(inside, start + count, 0)] == 0
        elif width == 8:
            inside &= (count == 0) | (((start - rows.begin) & 7) == 0)
        rows.good &= inside | ~present
        count = np.where(inside, count, 0)
        if depth < _MAX_DEPTH:  # a record's own fields cannot expand much, those of its many tables can
            self.content.append((rows.owner, count * width))
        if text and not step.wanted and inside.any():
            self.texts.append((start[inside], count[inside], rows.owner[inside]))
        if step.wanted:
            self.found[step.path] = (step.field, inside, start, count)
        if kind.element is BaseType.OBJ:
            self.listed[step.path] = inside
            self._items(rows, step, start, count, depth)

    def _nested(self, rows: _Rows, step: _Step, inside: Flags, target: Integers, depth: int) -> None:
        picked = np.flatnonzero(inside)
        if not len(picked):
            return
        below = _Rows(
            target[picked], np.ones(len(picked), np.bool_), rows.begin[picked], rows.end[picked], rows.owner[picked]
        )
        self._tables(below, step.inside, depth - 1)
        rows.good[picked[~below.good]] = False

    def _items(self, rows: _Rows, step: _Step, start: Integers, count: Integers, depth: int) -> None:
        """The tables of a vector, for all rows in one line."""
        total = int(count.sum())
        if not total:
            if step.inside:
                self._nothing(step, rows, count)
            return
        if depth < _MAX_DEPTH:  # vectors inside of shared tables multiply: nothing sound has more than this
            items = np.bincount(rows.owner, weights=count, minlength=len(self.begin))
            sound = items <= (self.end - self.begin) // 4
            rows.good &= sound[rows.owner]
            count = np.where(rows.good, count, 0)
            total = int(count.sum())
        parent = np.arange(len(count)).repeat(count)
        first = count.cumsum() - count
        slot = np.arange(total) * 4 + (start - 4 * first).repeat(count)
        below = _Rows(slot, np.ones(total, np.bool_), rows.begin[parent], rows.end[parent], rows.owner[parent])
        below.at = self._follow(slot, below)
        self._tables(below, step.inside, depth - 1)
        rows.good[parent[~below.good]] = False
        for inner in step.inside:
            if inner.wanted:
                self.found[inner.path] += (parent, count)

    def _nothing(self, step: _Step, rows: _Rows, count: Integers) -> None:
        none = np.zeros(0, np.int64)
        for inner in step.inside:
            if inner.wanted:
                scalar = inner.field.type.base in SCALARS
                values: tuple[Any, ...] = (np.zeros(0, f"<u{WIDTHS.get(inner.field.type.base, 4)}"),)
                empty = (inner.field, none.astype(np.bool_), *(values if scalar else (none, none)))
                self.found[inner.path] = (*empty, none, count)

    def _column(self, path: str, good: Flags) -> Any:
        field, present, *values = self.found[path]
        return self._array(field, present & good, values, good, np.arange(len(good)))

    def _list_column(self, path: str, good: Flags) -> Any:
        """A field of the items of a vector, as a list for each record."""
        field, present, *values, parent, count = self.found[path]
        listed = self.listed[path.partition(".")[0]] & good
        items = self._array(field, present & good[parent], values, good, parent)
        count = np.where(good, count, 0)
        if not good.all():
            items = items.filter(pa.array(good[parent]))
        offsets = np.zeros(len(count) + 1, np.int32)
        np.cumsum(count, out=offsets[1:])
        return pa.ListArray.from_arrays(offsets, items, mask=pa.array(~listed))

    def _array(self, field: Field, present: Flags, values: list[Any], good: Flags, owner: Integers) -> Any:
        kind = field.type
        if kind.base in SCALARS:
            numbers = values[0].view("<" + SCALARS[kind.base].replace("?", "B"))
            return pa.array(numbers != 0 if kind.base is BaseType.BOOL else numbers, mask=~present)
        start, count = values
        if kind.base is BaseType.STRING:
            return self._text(present, start, count, good, owner, utf8=True)
        if kind.element is BaseType.UBYTE:
            return self._text(present, start, count, good, owner, utf8=False)
        return pa.array(count.astype(np.uint32), mask=~present)

    def _text(
        self, present: Flags, start: Integers, length: Integers, good: Flags, owner: Integers, *, utf8: bool
    ) -> Any:
        """Strings as a view into the buffer (Arrow's 16-byte views), then checked and compacted."""
        present = present & good[owner]
        length = np.where(present, length, 0)
        if len(owner) > len(good) or int(length.sum()) > EXPANSION * len(self.data):
            total = np.bincount(owner, weights=length, minlength=len(good))
            good &= total <= EXPANSION * (self.end - self.begin) + 65_536
            present = present & good[owner]
            length = np.where(present, length, 0)
        views = np.zeros((len(start), 4), np.uint32)
        views[:, 0] = length
        short = np.flatnonzero((length > 0) & (length <= 12))  # these lie inside of their views
        for word in range(3):
            at = np.minimum(start[short] + 4 * word, len(self.data) - 4)
            views[short, 1 + word] = self.windows[4][at] & _KEEP[np.clip(length[short] - 4 * word, 0, 4)]
        long = np.flatnonzero(length > 12)
        views[long, 3] = start[long]
        bitmap = pa.py_buffer(np.packbits(present, bitorder="little"))
        buffers = [bitmap, pa.py_buffer(views), pa.py_buffer(self.data)]
        raw = pa.Array.from_buffers(pa.binary_view(), len(start), buffers).cast(pa.binary())
        if not utf8:
            return raw
        try:
            return raw.cast(pa.utf8())
        except pa.ArrowInvalid:
            values = raw.to_pylist()
        for index, value in enumerate(values):
            if value is not None and not _is_utf8(value):
                good[owner[index]] = False
                values[index] = None
        return pa.array(values, pa.binary()).cast(pa.utf8())


def _is_utf8(value: bytes) -> bool:
    try:
        value.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True
