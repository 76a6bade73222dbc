"""The Molecular Data Format: its Arrow schema, and plans of any size made from a seed.

Each value is a function of (seed, row number) alone, so a plan can be read from any batch onwards, by any number of
endpoints, and compared with what arrived without keeping it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa

MDF_SCHEMA: pa.Schema = pa.schema(
    [
        pa.field("coordinate_hash", pa.binary(), nullable=False),
        pa.field("numeric_value", pa.float64()),
        pa.field("text_commentary", pa.utf8()),
        pa.field("embedding_vector", pa.binary()),
        pa.field("date_value", pa.int64()),
        pa.field("boolean_value", pa.bool_()),
        pa.field("error_value", pa.utf8()),
        pa.field("timestamp", pa.int64(), nullable=False),
        pa.field("source_system", pa.utf8(), nullable=False),
        pa.field("security_mask", pa.uint64(), nullable=False),
        pa.field("causality_clock", pa.binary()),
        pa.field("is_locked", pa.bool_()),
    ]
)
CUSTOM_DIMENSIONS: pa.Field = pa.field("custom_dimensions", pa.map_(pa.utf8(), pa.utf8()))
"""The column that Parquet files of the format add."""

BATCH_ROWS = 8192
"""Rows of a batch, about 0.8 MB: what readers of the format expect, and below the 4 MiB that Go and tonic accept."""

_EPOCH_MS = 1_767_225_600_000
_DAY_MS = 86_400_000
_REVIEWS = ("budget", "forecast", "headcount", "audit", "board", "tax")
_TEXTS = pa.array([f"revised after the {review} review" for review in _REVIEWS])
_ERRORS = pa.array(["#DIV/0!", "#REF!", "#VALUE!", "#N/A"])
_SOURCES = pa.array(["sap", "excel", "workday", "manual", "import", "calc"])
_VECTORS = pa.array([np.linspace(n, n + 1, 16, dtype="<f4").tobytes() for n in range(16)], pa.binary())
_CLOCKS = pa.array([bytes([n]) * 16 for n in range(16)], pa.binary())

_Hashes = npt.NDArray[np.uint64]


@dataclass(frozen=True, slots=True)
class GeneratedPlan:
    """A plan of `rows` molecules.

    Attributes:
        plan_id: its name on the server.
        rows: how many molecules.
        seed: equal seeds make equal plans, on any machine.
        custom_dimensions: add the map column of the Parquet files.
        period: batches after which the content repeats, 0 for never; a short period costs the server nothing per batch
            once it is warm, which is what a benchmark of the transport needs.
    """

    plan_id: str
    rows: int
    seed: int = 1
    custom_dimensions: bool = False
    period: int = 0

    @property
    def schema(self) -> pa.Schema:
        """The Arrow schema of every batch."""
        return MDF_SCHEMA.append(CUSTOM_DIMENSIONS) if self.custom_dimensions else MDF_SCHEMA

    @property
    def batch_count(self) -> int:
        """Batches of `BATCH_ROWS` rows, the last one shorter."""
        return -(-self.rows // BATCH_ROWS)

    def batch(self, index: int) -> pa.RecordBatch:
        """Batch `index`, counted from 0."""
        length = min(BATCH_ROWS, self.rows - index * BATCH_ROWS)
        start = (index % self.period if self.period else index) * BATCH_ROWS
        return self._rows(start, length)

    def batches(self, first: int = 0, stop: int | None = None) -> Iterator[pa.RecordBatch]:
        """Batches `first` up to `stop` (exclusive; all that are left by default)."""
        for index in range(first, self.batch_count if stop is None else min(stop, self.batch_count)):
            yield self.batch(index)

    def _rows(self, start: int, length: int) -> pa.RecordBatch:
        row = np.arange(start, start + length, dtype=np.uint64)
        first = _mix(row + np.uint64(self.seed * 0x9E3779B97F4A7C15 & 0xFFFFFFFFFFFFFFFF))
        second = _mix(first)
        kind = first & np.uint64(15)
        columns = [
            _hashes(first, second),
            pa.array((second >> np.uint64(24)).astype(np.float64) / 100.0, mask=kind > 11),
            _pick(_TEXTS, second, kind == 12),
            _pick(_VECTORS, second, (first & np.uint64(240 << 4)) == 0),
            pa.array((second % np.uint64(3650)).astype(np.int64) * _DAY_MS + _EPOCH_MS, mask=kind != 13),
            pa.array((second & np.uint64(1)).astype(bool), mask=kind != 14),
            _pick(_ERRORS, second, kind == 15),
            pa.array(row.astype(np.int64) * 1_000 + _EPOCH_MS * 1_000_000),
            _pick(_SOURCES, first >> np.uint64(8), None),
            pa.array(np.where((first >> np.uint64(40)) % np.uint64(64) == 0, np.uint64(4), np.uint64(0))),
            _pick(_CLOCKS, second >> np.uint64(8), (first & np.uint64(48)) != 0),
            pa.array((second >> np.uint64(60)) == 0),
        ]
        if self.custom_dimensions:
            columns.append(_dimensions(second))
        return pa.record_batch(columns, schema=self.schema)


def _mix(value: _Hashes) -> _Hashes:
    """The finaliser of SplitMix64 (Steele, Lea and Flood, 2014): 64 well-mixed bits for each row."""
    value = (value ^ (value >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    value = (value ^ (value >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return value ^ (value >> np.uint64(31))


def _hashes(first: _Hashes, second: _Hashes) -> pa.Array:
    data = np.column_stack([first, second]).astype("<u8", copy=False)
    offsets = np.arange(0, 16 * len(first) + 1, 16, dtype=np.int32)
    return pa.Array.from_buffers(pa.binary(), len(first), [None, pa.py_buffer(offsets), pa.py_buffer(data)])


def _pick(pool: pa.Array, hashes: _Hashes, present: npt.NDArray[np.bool_] | None) -> pa.Array:
    chosen = (hashes % np.uint64(len(pool))).astype(np.int32)
    return pool.take(pa.array(chosen, mask=None if present is None else ~present))


def _dimensions(hashes: _Hashes) -> pa.Array:
    offsets = np.arange(len(hashes) + 1, dtype=np.int32)
    keys = pa.array(["region", "product"]).take(pa.array((hashes & np.uint64(1)).astype(np.int32)))
    return pa.MapArray.from_arrays(offsets, keys, _pick(_SOURCES, hashes >> np.uint64(4), None))
