"""Events from columns: a pasted block of molecules as one event, or a batch of many small events.

Nothing happens a molecule at a time: positions are cumulative sums, tables are written as columns of 64-bit words. The
bytes are of the same layout as those of `encoder.py`. Needs numpy and pyarrow.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from functools import cache
from typing import Any, Final

import numpy as np
import pyarrow as arrow  # noqa: ICN001 (it is untyped: `pa` is its Any)
from numpy.typing import NDArray

from atom_console.events.arrow_input import Column, Words, molecule_arrays, validity, wire_column
from atom_console.events.column_text import (
    Integers,
    TextRun,
    Texts,
    scatter_texts,
    text_run,
    texts_of,
    windows,
    write_texts,
)
from atom_console.events.encoder import checked_event, event_head, event_texts
from atom_console.events.errors import EncodeError
from atom_console.events.layout import (
    EVENT_END,
    EVENT_FIELDS,
    EVENT_HEADS,
    EVENT_OFFSETS,
    MAX_BYTES,
    MOLECULE_FIELDS,
    MOLECULE_OFFSETS,
    MOLECULE_SIZE,
    MOLECULE_VTABLES,
    ROOT,
    TEXT_SLOTS,
    VTABLE_SIZE,
    align8,
)
from atom_console.events.model import AtomEvent, EventType
from atom_console.events.molecule_rows import HASH_OFFSET_WORD, ROW_WORDS, MoleculeRows
from atom_console.events.rules import TYPE_NAMES, refuse_unknown, refuse_unknown_event_fields
from atom_console.memory import keep_freed_memory

pa: Any = arrow
_BLOCK: Final = 4096
_EVENTS: Final = 4096
_LARGE: Final = 2048
_TABLE_WORDS: Final = MOLECULE_SIZE // 4
_TEXT_WORD: Final = MOLECULE_OFFSETS[2] // 4  # the first of the two that are offsets to strings
_local = threading.local()


def _scratch() -> Words:
    """This thread's block of rows, written by column: 4,096 rows stay in the cache."""
    block: Words | None = getattr(_local, "block", None)
    if block is None:
        block = _local.block = np.empty((ROW_WORDS, _BLOCK + 8), np.uint64)
    return block


def encode_molecules(head: AtomEvent | Mapping[str, Any], columns: Any) -> bytes:
    """One event whose molecules are given by column.

    Args:
        head: the event without molecules, as an object or a mapping of field names.
        columns: a record batch, a table, or a mapping of names to Arrow or numpy arrays; null means absent, and so does
            a missing column. Times are integer Unix nanoseconds or Arrow timestamps of any unit.

    Raises:
        EncodeError: the path of the field (`molecules[17].coordinate_hash`), what was found and what is allowed.
    """
    count, arrays = molecule_arrays(columns)
    values = _head_values(head)
    presence, strings, at, vector = event_texts(values)
    at[6] = vector
    if count > _LARGE:
        keep_freed_memory()
    rows = MoleculeRows(arrays, count, lambda row: f"molecules[{row}]")
    vtables, numbers = _vtables(rows.presence)
    first = vector + 4
    tables = align8(first + 4 * count + len(vtables))
    heap = tables + MOLECULE_SIZE * count
    run = text_run([texts for _, texts in rows.texts])
    size = heap + 4 * run.size
    if size > MAX_BYTES:
        raise EncodeError("molecules", f"{size} bytes of FlatBuffer", f"at most {MAX_BYTES} bytes")

    soffset = len(vtables) + HASH_OFFSET_WORD
    rows.words[0] = np.arange(soffset, soffset + MOLECULE_SIZE * count, MOLECULE_SIZE, dtype=np.uint64)
    if len(vtables) > VTABLE_SIZE:
        rows.words[0] -= numbers * np.uint64(VTABLE_SIZE)
    if run.size:
        rows.words[1] = _text_offsets(rows, run, _TABLE_WORDS * count)
    out = np.empty(size, np.uint8)
    start = b"".join((event_head(values, presence | 1 << 6, at), *strings, count.to_bytes(4, "little")))
    out[:first] = np.frombuffer(start, np.uint8)
    offsets = np.arange(
        tables - first, tables - first + (MOLECULE_SIZE - 4) * count, MOLECULE_SIZE - 4, dtype=np.uint32
    )
    out[first : first + 4 * count] = offsets.view(np.uint8)
    out[first + 4 * count : tables - len(vtables)] = 0
    out[tables - len(vtables) : tables] = np.frombuffer(vtables, np.uint8)
    _write_tables(out[tables:heap].view(np.uint64).reshape(count, ROW_WORDS), rows.words)
    if run.size:
        write_texts(out[heap:].view(np.uint32), run)
    return out.tobytes()


def _vtables(presence: int | NDArray[np.uint8]) -> tuple[bytes, int | NDArray[np.uint8]]:
    """The vtables in use, and for each row the number of its own."""
    if isinstance(presence, int):
        return MOLECULE_VTABLES[presence], 0
    rows = presence.tobytes()
    always, ever = int(np.bitwise_and.reduce(presence)), int(np.bitwise_or.reduce(presence))
    used = bytes(bits for bits in _between(always, ever) if bits in rows)
    numbers = rows.translate(bytes.maketrans(used, bytes(range(len(used)))))
    return b"".join([MOLECULE_VTABLES[bits] for bits in used]), np.frombuffer(numbers, np.uint8)


@cache
def _between(always: int, ever: int) -> bytes:
    """Each presence with all bits of `always` and no bit that is not in `ever`."""
    return bytes(bits for bits in range(256) if bits & always == always and bits | ever == ever)


def _head_values(head: AtomEvent | Mapping[str, Any]) -> list[Any]:
    if isinstance(head, Mapping):
        refuse_unknown_event_fields(head)
        values = [head.get(name) for name in EVENT_FIELDS]
    else:
        values = [getattr(head, name) for name in EVENT_FIELDS]
    if values[6]:
        raise EncodeError("molecules", "molecules in the head too", "molecules in the columns only")
    return checked_event(values)


def _text_offsets(rows: MoleculeRows, run: TextRun, heap: int) -> Words:
    """Word 1 of each table: the offsets to its two strings, whose run starts `heap` 32-bit words behind the tables."""
    offsets = np.zeros(2 * rows.count, np.uint32)
    begins = run.begins
    for slot, texts in rows.texts:
        word = MOLECULE_OFFSETS[slot] // 4
        numbers = texts.row_numbers
        distances = begins[: len(numbers)] - _TABLE_WORDS * numbers
        distances += heap - word
        offsets[2 * numbers + (word - _TEXT_WORD)] = distances << 2
        begins = begins[len(numbers) :]
    return offsets.view(np.uint64)


def _write_tables(out: Words, words: list[Any]) -> None:
    """Columns → rows, through a small block: one transposing copy beats nine strided writes."""
    scratch = _scratch()
    for low in range(0, len(out), _BLOCK):
        high = min(low + _BLOCK, len(out))
        block = scratch[:, : high - low]
        for index, column in enumerate(words):
            block[index] = column if isinstance(column, (int, np.uint64)) else column[low:high]
        out[low:high] = block.T


_EVENT_HEAD_WORDS: Final = EVENT_END // 4
_VTABLE_WORDS: Final = VTABLE_SIZE // 4
_TYPE_WORD, _TIME_WORD, _VECTOR_WORD = ((ROOT + EVENT_OFFSETS[slot]) // 4 for slot in (3, 2, 6))
_HEAD_ROWS: Final = np.frombuffer(b"".join(head + bytes(36) for head in EVENT_HEADS), np.uint32).reshape(256, 16)
_VTABLE_ROWS: Final = np.frombuffer(b"".join(MOLECULE_VTABLES), f"V{VTABLE_SIZE}")


def encode_events(batch: Any) -> list[bytes]:
    """A batch of events, one FlatBuffer each.

    Args:
        batch: a record batch or table with columns named as the event's fields; `molecules` is a list of structs with
            the molecule's fields. Null means absent, and so does a missing column; `timestamp` and `type` are required.

    Raises:
        EncodeError: the path of the field (`events[3].molecules[17].coordinate_hash`), what was found, what is allowed.
    """
    if len(set(batch.schema.names)) != len(batch.schema.names):
        raise EncodeError("events", "two columns of the same name", "each field once")
    refuse_unknown(batch.schema.names, EVENT_FIELDS, "events.")
    if batch.num_rows > _LARGE:
        keep_freed_memory()
    out: list[bytes] = []
    for low in range(0, batch.num_rows, _EVENTS):  # blocks of this size stay in the cache
        part = batch.slice(low, _EVENTS)
        arrays = dict(zip(part.schema.names, part.columns, strict=True))
        out += _EventBlock(arrays, part.num_rows, low).encode()
    return out


class _EventBlock:
    """Some thousand events on their way into one buffer. Positions count 32-bit words, within an event at first."""

    def __init__(self, arrays: Mapping[str, Any], count: int, low: int) -> None:
        self.count, self.low = count, low
        self.presence = np.full(count, 0b1100, np.uint8)
        self.end = np.full(count, _EVENT_HEAD_WORDS, np.int64)  # the next free word of each event
        self.texts: list[tuple[int, Texts, Integers]] = []
        for slot in TEXT_SLOTS:
            self._add_text(slot, arrays)
        self.time = self._required(arrays, "timestamp").numbers("<u8")
        self.kind = self._required(arrays, "type").numbers("i1")
        self._check_kinds()
        self._add_molecules(arrays.get("molecules"))

    def _column(self, arrays: Mapping[str, Any], name: str) -> Column | None:
        if name not in arrays:
            return None
        return wire_column(arrays[name], name, lambda row: f"events[{row + self.low}].{name}")

    def _add_text(self, slot: int, arrays: Mapping[str, Any]) -> None:
        column = self._column(arrays, EVENT_FIELDS[slot])
        if column is None:
            return
        texts = texts_of(column)
        self.presence[texts.rows] |= np.uint8(1 << slot)
        self.texts.append((slot, texts, self.end[texts.rows].copy()))
        self.end[texts.rows] += texts.words

    def _required(self, arrays: Mapping[str, Any], name: str) -> Column:
        column = self._column(arrays, name)
        if column is None or column.valid is not None:
            row = 0 if column is None or column.valid is None else int(np.argmin(column.valid))
            raise EncodeError(f"events[{row + self.low}].{name}", "nothing", "a value (required)")
        return column

    def _check_kinds(self) -> None:
        wrong = np.flatnonzero((self.kind < 0) | (self.kind >= len(EventType)))
        if len(wrong):
            row = int(wrong[0])
            raise EncodeError(f"events[{row + self.low}].type", f"{self.kind[row]}", TYPE_NAMES)

    def _add_molecules(self, array: Any) -> None:
        """Place each event's vector, vtables and tables behind its strings, and its molecules' texts behind those."""
        self.listed, counts, molecules = _molecule_lists(array, self.count, self.low)
        self.counts = counts
        self.first = _starts(counts)
        self.event_of = np.arange(self.count).repeat(counts)
        total = len(self.event_of)
        self.rows = MoleculeRows(molecules, total, self._molecule_path)
        presence = self.rows.presence
        self.molecule_presence = np.full(total, presence, np.uint8) if isinstance(presence, int) else presence

        # Where a presence differs from the one before, a vtable begins: one for each run within an event.
        run = np.zeros(total, np.bool_)
        run[1:] = self.molecule_presence[1:] != self.molecule_presence[:-1]
        run[self.first[:-1][counts > 0]] = True
        self.run_rows = np.flatnonzero(run)
        self.run_of = np.cumsum(run) - 1
        self.run_events = self.event_of[self.run_rows]
        self.vtables = np.bincount(self.run_events, minlength=self.count)

        text_words = np.zeros(total, np.int64)
        self.molecule_texts: list[tuple[int, Texts, Integers]] = []
        for slot, texts in self.rows.texts:
            self.molecule_texts.append((slot, texts, text_words[texts.rows].copy()))
            text_words[texts.rows] += texts.words
        self.text_starts = _starts(text_words)

        self.presence |= self.listed.astype(np.uint8) << 6
        self.vector = self.end
        behind = self.vector + 1 + counts + _VTABLE_WORDS * self.vtables
        self.tables = np.where(self.listed, (behind + 1) & ~1, self.vector)
        self.heap = self.tables + _TABLE_WORDS * counts
        self.size = self.heap + self.text_starts[self.first[1:]] - self.text_starts[self.first[:-1]]

    def _molecule_path(self, row: int) -> str:
        event = int(np.searchsorted(self.first, row, side="right")) - 1
        return f"events[{event + self.low}].molecules[{row - int(self.first[event])}]"

    def encode(self) -> list[bytes]:
        """The events, cut out of one buffer in which each begins at a multiple of 8 bytes."""
        ends = _starts((self.size + 1) & ~1)
        base = ends[:-1]
        if 4 * int(self.size.max()) > MAX_BYTES:
            row = int(self.size.argmax())
            raise EncodeError(f"events[{row + self.low}]", f"{4 * self.size[row]} bytes", f"at most {MAX_BYTES} bytes")
        out = np.zeros(int(ends[-1]) + 32, np.uint32)  # room for the last window
        self._write_heads(out, base)
        for _, texts, at in self.texts:
            scatter_texts(out, texts, base[texts.rows] + at)
        if len(self.event_of):
            self._write_molecules(out, base)
        whole = out.tobytes()
        cuts = zip((4 * base).tolist(), (4 * (base + self.size)).tolist(), strict=True)
        return [whole[low:high] for low, high in cuts]

    def _write_heads(self, out: NDArray[np.uint32], base: Integers) -> None:
        heads = _HEAD_ROWS[self.presence]
        heads[:, _TYPE_WORD] = self.kind
        heads.view(np.uint64)[:, _TIME_WORD // 2] = self.time
        for slot, texts, at in self.texts:
            word = (ROOT + EVENT_OFFSETS[slot]) // 4
            heads[texts.rows, word] = 4 * (at - word)
        heads[:, _VECTOR_WORD] = 4 * (self.vector - _VECTOR_WORD) * self.listed
        windows(out, EVENT_END)[base] = heads.view(f"V{EVENT_END}")[:, 0]
        out[(base + self.vector)[self.listed]] = self.counts[self.listed]

    def _write_molecules(self, out: NDArray[np.uint32], base: Integers) -> None:
        events = self.event_of
        index = np.arange(len(events)) - self.first[events]
        table = (base + self.tables)[events] + _TABLE_WORDS * index
        offset = (base + self.vector)[events] + 1 + index
        out[offset] = 4 * (table - offset)
        run_index = np.arange(len(self.run_rows)) - _starts(self.vtables)[self.run_events]
        vtable = (base + self.tables - _VTABLE_WORDS * self.vtables)[self.run_events] + _VTABLE_WORDS * run_index
        windows(out, VTABLE_SIZE)[vtable] = _VTABLE_ROWS[self.molecule_presence[self.run_rows]]

        tables = np.empty((len(events), ROW_WORDS), np.uint64)
        self.rows.words[0] = (4 * (table - vtable[self.run_of]) + HASH_OFFSET_WORD).astype(np.uint64)
        for word, column in enumerate(self.rows.words):
            tables[:, word] = column
        halves = tables.view(np.uint32)
        heap = (base + self.heap)[events] + self.text_starts[:-1] - self.text_starts[self.first[:-1]][events]
        for slot, texts, at in self.molecule_texts:
            word = MOLECULE_OFFSETS[slot] // 4
            position = heap[texts.rows] + at
            halves[texts.rows, word] = 4 * (position - table[texts.rows] - word)
            scatter_texts(out, texts, position)
        windows(out, MOLECULE_SIZE)[table] = tables.view(f"V{MOLECULE_SIZE}")[:, 0]


def _molecule_lists(array: Any, count: int, low: int) -> tuple[NDArray[np.bool_], Integers, dict[str, Any]]:
    """A list<struct> column → which events have a list, how many molecules each, and the molecules' columns."""
    if array is None or array.null_count == count:
        return np.zeros(count, np.bool_), np.zeros(count, np.int64), {}
    if isinstance(array, pa.ChunkedArray):
        array = array.combine_chunks()
    kinds: Any = pa.types
    if kinds.is_large_list(array.type):
        array = array.cast(pa.list_(array.type.value_type))
    if not kinds.is_list(array.type) or not kinds.is_struct(array.type.value_type):
        raise EncodeError(f"events[{low}].molecules", f"a column of {array.type}", "a list of structs")
    offsets = np.frombuffer(array.buffers()[1], np.int32, count + 1, 4 * array.offset).astype(np.int64)
    counts = np.diff(offsets)
    if (counts < 0).any() or offsets[0] < 0 or offsets[-1] > len(array.values):
        raise EncodeError("events.molecules", "damaged list offsets", "a sound Arrow list")
    valid = validity(array)
    listed = np.ones(count, np.bool_) if valid is None else valid.view(np.bool_)
    counts *= listed
    structs = array.flatten()
    if structs.null_count:
        row = int(np.argmin(validity(structs)))  # type: ignore[arg-type]  # there are nulls
        event = int(np.searchsorted(_starts(counts), row, side="right")) - 1
        index = row - int(_starts(counts)[event])
        raise EncodeError(f"events[{event + low}].molecules[{index}]", "nothing", "a molecule")
    names = structs.type.names
    refuse_unknown(names, MOLECULE_FIELDS, "events.molecules.")
    return listed, counts, dict(zip(names, structs.flatten(), strict=True))


def _starts(counts: Integers) -> Integers:
    """Running positions: 0, then the sum of the counts so far."""
    starts = np.zeros(len(counts) + 1, np.int64)
    np.cumsum(counts, out=starts[1:])
    return starts
