"""Arrow and numpy columns as the encoder wants them: one wire type each, validity apart, faults named by row.

Arrow itself does not check what comes from a file or a socket (UTF-8, offsets), and its casts are generous (text to
number, milliseconds to a bare integer). Both are held here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import pyarrow as arrow  # noqa: ICN001 (it is untyped: `pa` is its Any)
from numpy.typing import NDArray

from atom_console.events.errors import EncodeError
from atom_console.events.layout import HASH_BYTES, MOLECULE_FIELDS
from atom_console.events.rules import refuse_unknown

Words = NDArray[np.uint64]
RowPath = Callable[[int], str]

pa: Any = arrow
_types: Any = pa.types
_TIMES: Final = "int64 or narrower, or a timestamp"
_ALLOWED: Final = {
    "coordinate_hash": f"{HASH_BYTES} bytes, binary or fixed_size_binary",
    "numeric_value": "a float, or integers that a double holds exactly",
    "date_value": _TIMES,
    "boolean_value": "bool",
    "timestamp": _TIMES,
    "security_mask": "uint64 or integers from 0",
    "type": "integers of EventType",
}
_WIRE: Final = {
    "coordinate_hash": pa.binary(HASH_BYTES),
    "numeric_value": pa.float64(),
    "date_value": pa.int64(),
    "boolean_value": pa.bool_(),
    "timestamp": pa.int64(),
    "security_mask": pa.uint64(),
    "type": pa.int8(),
}


@dataclass(frozen=True, slots=True)
class Column:
    """A column of one wire type; `valid` is 1 where a value is set, or None where all are."""

    array: Any
    valid: NDArray[np.uint8] | None

    def numbers(self, dtype: str, width: int = 1) -> NDArray[Any]:
        """The values without a copy, `width` items a row; what is under a null is arbitrary."""
        size = np.dtype(dtype).itemsize * width
        count = len(self.array) * width
        return np.frombuffer(self.array.buffers()[1], dtype, count, self.array.offset * size)

    def truths(self) -> NDArray[np.uint8]:
        """A bool column as 0 and 1; what is under a null is arbitrary."""
        return unpack_bits(self.array.buffers()[1], self.array.offset, len(self.array))


def unpack_bits(buffer: Any, offset: int, count: int) -> NDArray[np.uint8]:
    """An Arrow bitmap as a 0 or 1 a row."""
    raw = np.frombuffer(buffer, np.uint8, (offset + count + 7) // 8)
    return np.unpackbits(raw, count=offset + count, bitorder="little")[offset:]


def validity(array: Any) -> NDArray[np.uint8] | None:
    """1 where a row is set, None where all are."""
    return unpack_bits(array.buffers()[0], array.offset, len(array)) if array.null_count else None


def wire_column(array: Any, name: str, path: RowPath) -> Column | None:
    """A column in its wire type, or None where nothing in it is set.

    Args:
        array: an Arrow array of any layout (chunked, dictionary, large, view).
        name: the field.
        path: row → the path of that row, for errors.

    Raises:
        EncodeError: a type that is not allowed, or the first row that does not fit.
    """
    if isinstance(array, pa.ChunkedArray):
        array = array.combine_chunks()
    if array.null_count == len(array):
        return None
    wire = _WIRE.get(name, pa.utf8())
    if array.type != wire:
        _check_source(array.type, name, path)
        array = _convert(array, name, wire, path)
    elif wire == pa.utf8():
        _check(array, _check_text, name, path)
    return Column(array, validity(array))


def _check_text(array: Any) -> None:
    """Arrow's whole validation of utf8, but for ASCII, which is told apart in half of the time.

    Raises:
        pa.ArrowInvalid: buffers too small, offsets that run back or out of the bytes, bytes that are not UTF-8.
    """
    array.validate()
    data = array.buffers()[2]
    offsets = np.frombuffer(array.buffers()[1], np.int32, len(array) + 1, 4 * array.offset)
    low, high = int(offsets[0]), int(offsets[-1])
    in_order = bool((offsets[1:] >= offsets[:-1]).all())
    if not (in_order and data is not None and data.slice(low, high - low).to_pybytes().isascii()):
        array.validate(full=True)


def _check_source(source: Any, name: str, path: RowPath) -> None:
    value = source.value_type if _types.is_dictionary(source) else source
    wire = _WIRE.get(name, pa.utf8())
    if name == "coordinate_hash":
        fits = _types.is_binary(value) or _types.is_large_binary(value) or _types.is_binary_view(value)
        fits = fits or (_types.is_fixed_size_binary(value) and value.byte_width == HASH_BYTES)
    elif name == "numeric_value":
        fits = _types.is_floating(value) or _types.is_integer(value)
    elif name in ("date_value", "timestamp"):
        fits = _types.is_integer(value) or _types.is_timestamp(value) or _types.is_date(value)
    elif wire == pa.utf8():
        fits = _types.is_string(value) or _types.is_large_string(value) or _types.is_string_view(value)
    else:
        fits = value == wire or (wire != pa.bool_() and _types.is_integer(value))
    if not fits:
        raise EncodeError(path(0), f"a column of {source}", _ALLOWED.get(name, "utf8"))


def _convert(array: Any, name: str, wire: Any, path: RowPath) -> Any:
    """The column cast without loss; text is checked before, because a cast trusts it."""
    if _types.is_dictionary(array.type):
        _check(array, lambda rows: rows.validate(full=True), name, path)
        array = _check(array, lambda rows: rows.cast(array.type.value_type), name, path)
    if wire == pa.utf8():
        _check(array, lambda rows: rows.validate(full=True), name, path)
    if name == "coordinate_hash":
        whole = _without_copy(array)
        if whole is not None:
            return whole
    if _types.is_timestamp(array.type) or _types.is_date(array.type):
        array = _check(array, lambda rows: rows.cast(pa.timestamp("ns", getattr(rows.type, "tz", None))), name, path)
    return _check(array, lambda rows: rows.cast(wire), name, path)


def _without_copy(array: Any) -> Any:
    """Binary whose values are all of 16 bytes and back to back is fixed-size binary already."""
    if array.type != pa.binary() or array.null_count:
        return None
    count = len(array)
    offsets = np.frombuffer(array.buffers()[1], np.int32, count + 1, 4 * array.offset)
    if not (np.diff(offsets) == HASH_BYTES).all() or offsets[0] < 0:
        return None
    start = int(offsets[0])
    return pa.Array.from_buffers(pa.binary(HASH_BYTES), count, [None, array.buffers()[2].slice(start, 16 * count)])


def _check(array: Any, work: Callable[[Any], Any], name: str, path: RowPath) -> Any:
    """`work(array)`; where Arrow refuses, the first row at fault is named."""
    try:
        return work(array)
    except pa.ArrowInvalid as error:
        row = _first_fault(array, work)
        if row is None:
            raise EncodeError(path(0), str(error), _ALLOWED.get(name, "UTF-8 text")) from None
        raise EncodeError(path(row), _row_found(array, row, name), _ALLOWED.get(name, "UTF-8 text")) from None


def _first_fault(array: Any, work: Callable[[Any], Any]) -> int | None:
    """By halves; None where no single row is to blame (damaged offsets)."""
    low, high = 0, len(array)
    while high - low > 1:
        middle = (low + high) // 2
        if _refused(array.slice(low, middle - low), work):
            high = middle
        else:
            low = middle
    return low if high > low and _refused(array.slice(low, 1), work) else None


def _refused(array: Any, work: Callable[[Any], Any]) -> bool:
    try:
        work(array)
    except pa.ArrowInvalid:
        return True
    return False


def _row_found(array: Any, row: int, name: str) -> str:
    if name == "coordinate_hash":
        return f"{len(array[row].as_py())} bytes"
    if name not in _WIRE:
        return "bytes that are not UTF-8"
    scalar = array[row]
    return f"{array.type} {scalar.value if hasattr(scalar, 'value') else scalar}"  # a time beyond datetime has no str


def molecule_arrays(columns: Any) -> tuple[int, dict[str, Any]]:
    """Columns of molecules, as a record batch, a table or a mapping of names to arrays → number of rows, Arrow arrays.

    Raises:
        EncodeError: a column that is no field of a molecule, or columns of different lengths.
    """
    if isinstance(columns, Mapping):
        arrays = {name: arrow_array(values, name) for name, values in columns.items()}
    else:
        arrays = dict(zip(columns.schema.names, columns.columns, strict=True))
        if len(arrays) != len(columns.schema.names):
            raise EncodeError("molecules", "two columns of the same name", "each field once")
    refuse_unknown(arrays, MOLECULE_FIELDS, "molecules.")
    lengths = {len(array) for array in arrays.values()}
    if len(lengths) > 1:
        raise EncodeError("molecules", f"columns of {sorted(lengths)} rows", "columns of one length")
    return (lengths.pop() if lengths else 0), arrays


def arrow_array(values: Any, name: str) -> Any:
    """An Arrow array of what may be a numpy array (NaN is a value, not a null) or a sequence.

    Raises:
        EncodeError: nothing that Arrow can hold.
    """
    if isinstance(values, (pa.Array, pa.ChunkedArray)):
        return values
    if isinstance(values, np.ndarray) and name == "coordinate_hash" and values.dtype != object:
        return _hash_array(values)
    try:
        return pa.array(values)
    except (pa.ArrowException, TypeError, ValueError) as error:
        raise EncodeError(
            f"molecules.{name}", f"{type(values).__name__} ({error})", "an Arrow or numpy array"
        ) from None


def _hash_array(values: NDArray[Any]) -> Any:
    """Rows of 16 bytes: shape (n, 16) of uint8, or a dtype of 16 bytes (S16 loses no trailing zeros here)."""
    raw = np.ascontiguousarray(values)
    row_bytes = raw.dtype.itemsize * (raw.shape[1] if raw.ndim == 2 else 1)
    if raw.ndim not in (1, 2) or row_bytes != HASH_BYTES or raw.dtype.kind not in "uSV":
        found = f"numpy {values.dtype} of shape {values.shape}"
        raise EncodeError("molecules.coordinate_hash", found, "uint8 of shape (n, 16), S16 or V16")
    return pa.Array.from_buffers(pa.binary(HASH_BYTES), len(raw), [None, pa.py_buffer(raw.tobytes())])
