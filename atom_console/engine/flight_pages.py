"""Rows of a preview: Arrow batches as they came, of which only the rows that are looked at become text."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from itertools import accumulate
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from atom_console.errors import CheckError
from atom_console.safe_text import safe_text

if TYPE_CHECKING:
    import pyarrow as pa

CELL: Final = 200
"""Characters of a value that are made at most."""
MASKED: Final = "masked"
_MASK_COLUMN: Final = "security_mask"
_ITEMS: Final = 12
_HASH: Final = 16


class DamagedBatchError(CheckError):
    """A batch whose buffers contradict each other: reading its values could read anything."""


class RowPages:
    """Immutable: rows that come later make another one. `texts` may run in any thread.

    Args:
        schema: of the batches.
        batches: validated ones (`checked`).
        clearance: bits of `security_mask` that the operator may see; other rows show no values.

    Attributes:
        columns: name and type of each column.
        rows: how many rows there are.
    """

    def __init__(self, schema: pa.Schema, batches: Sequence[pa.RecordBatch], clearance: int) -> None:
        self.columns = tuple((safe_text(field.name), safe_text(str(field.type), CELL)) for field in schema)
        self._batches = tuple(batches)
        self._ends = list(accumulate(batch.num_rows for batch in self._batches))
        self._clearance = clearance
        self.rows: int = self._ends[-1] if self._ends else 0

    def texts(self, start: int, stop: int) -> list[tuple[str | None, ...]]:
        """Rows `start` up to `stop`, a harmless text for each value; None is null."""
        found: list[tuple[str | None, ...]] = []
        while start < min(stop, self.rows):
            number = bisect_right(self._ends, start)
            first = self._ends[number - 1] if number else 0
            count = min(stop, self._ends[number]) - start
            found += self._page(self._batches[number].slice(start - first, count))
            start += count
        return found

    def _page(self, batch: pa.RecordBatch) -> list[tuple[str | None, ...]]:
        if not batch.num_columns:
            return [()] * batch.num_rows
        columns = [_texts(column) for column in batch.columns]
        for row in _hidden(batch, self._clearance):
            for (name, _), column in zip(self.columns, columns, strict=True):
                if name != _MASK_COLUMN:
                    column[row] = MASKED
        return list(zip(*columns, strict=True))


def checked(batch: pa.RecordBatch, where: str) -> pa.RecordBatch:
    """The batch, every offset and length of it verified.

    Raises:
        DamagedBatchError: it is not sound.
    """
    import pyarrow as pa

    try:
        batch.validate(full=True)
    except pa.ArrowException as error:
        raise DamagedBatchError(
            f"{where}: a batch is damaged: {safe_text(str(error), CELL)}",
            next_step="The server writes it wrong; fetch to a file does not check this.",
        ) from None
    return batch


def _hidden(batch: pa.RecordBatch, clearance: int) -> list[int]:
    """Rows whose mask has bits that the operator may not see; a mask that is no number hides as well."""
    places = batch.schema.get_all_field_indices(_MASK_COLUMN)
    hidden: set[int] = set()
    for place in places:
        for row, mask in enumerate(batch.column(place).to_pylist()):
            if mask is not None and (not isinstance(mask, int) or mask & ~clearance):
                hidden.add(row)
    return sorted(hidden)


def _texts(column: pa.Array) -> list[str | None]:
    import pyarrow as pa

    try:
        return [_text(value) for value in _values(column)]
    except (pa.ArrowException, ValueError, OverflowError, TypeError):
        return [_alone(column, row) for row in range(len(column))]


def _alone(column: pa.Array, row: int) -> str | None:
    """One value where its column as a whole cannot be converted, as with a date beyond the year 9999."""
    import pyarrow as pa

    try:
        return _text(column[row].as_py())
    except (pa.ArrowException, ValueError, OverflowError, TypeError) as error:
        return f"cannot be shown ({type(error).__name__})"


def _values(column: pa.Array) -> list[Any]:
    """Python values, of long texts and lists only the start."""
    import pyarrow as pa
    import pyarrow.compute as pc

    kind = column.type
    if isinstance(kind, pa.BaseExtensionType):
        return _values(column.storage)
    if pa.types.is_dictionary(kind):
        return _values(column.dictionary_decode())
    if pa.types.is_string(kind):
        column, kind = column.cast(pa.binary()), pa.utf8()
    elif pa.types.is_large_string(kind):
        column, kind = column.cast(pa.large_binary()), pa.large_utf8()
    if pa.types.is_binary(column.type) or pa.types.is_large_binary(column.type):
        sizes = pc.binary_length(column).to_pylist()
        starts = pc.binary_slice(column, 0, 4 * CELL).to_pylist()
        if kind == column.type:
            return [None if start is None else _Start(start, size) for start, size in zip(starts, sizes, strict=True)]
        return [None if start is None else safe_text(start, CELL) for start in starts]
    if pa.types.is_list(kind) or pa.types.is_large_list(kind):
        sizes = pc.list_value_length(column).to_pylist()
        starts = pc.list_slice(column, 0, _ITEMS).to_pylist()
        return [_Start(start, size) if start is not None else None for start, size in zip(starts, sizes, strict=True)]
    values: list[Any] = column.to_pylist()
    return values


class _Start(NamedTuple):
    """The start of a long value, and how long it is in all."""

    start: bytes | list[Any]
    size: int


def _text(value: Any) -> str | None:
    if value is None:
        return None
    if isinstance(value, _Start):
        return _start_text(value.start, value.size)
    if isinstance(value, bool):
        return "true" if value else "false"
    return safe_text(str(value), CELL)


def _start_text(start: bytes | list[Any], size: int) -> str:
    if isinstance(start, bytes):
        return start.hex() if size <= _HASH else f"{size} B {start[:_HASH].hex()}…"
    return safe_text(str(start) if len(start) == size else f"{size} items {start}"[:-1] + ", …]", CELL)
