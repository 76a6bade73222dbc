"""A digest of rows that does not depend on how they were cut into batches or laid out in buffers."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

import pyarrow as pa
import pyarrow.compute as pc


class ContentDigest:
    """A sink: SHA-256 over lengths, validity and values of each column, 8,192 rows at a time."""

    STEP = 8192

    def __init__(self) -> None:
        self._hash = hashlib.sha256()
        self._rest: list[pa.RecordBatch] = []
        self._rows = 0

    def open(self, schema: pa.Schema) -> None:
        self._hash.update(schema.serialize())

    def write(self, batch: pa.RecordBatch) -> None:
        if not self._rest and batch.num_rows == self.STEP:
            self._add(batch)
            return
        self._rest.append(batch)
        self._rows += batch.num_rows
        while self._rows >= self.STEP:
            whole = pa.concat_batches(self._rest)
            self._add(whole.slice(0, self.STEP))
            self._rest = [whole.slice(self.STEP)]
            self._rows -= self.STEP

    def commit(self) -> None:
        if self._rows:
            self._add(pa.concat_batches(self._rest))

    def abort(self) -> None:
        pass

    def hex(self) -> str:
        return self._hash.hexdigest()

    def _add(self, batch: pa.RecordBatch) -> None:
        for column in batch.columns:
            self._hash.update(pc.is_valid(column).to_numpy(zero_copy_only=False))
            kind = column.type
            if pa.types.is_binary(kind) or pa.types.is_string(kind):
                lengths = pc.binary_length(column).fill_null(0)
                self._hash.update(lengths.to_numpy())
                self._hash.update(_values(column))
            else:
                self._hash.update(
                    column.fill_null(False if pa.types.is_boolean(kind) else 0).to_numpy(zero_copy_only=False)
                )


def _values(column: pa.Array) -> memoryview | bytes:
    """The bytes of all values, one behind the other."""
    packed = pa.concat_arrays([column.drop_null()])
    data = packed.buffers()[2]
    if data is None:
        return b""
    offsets = memoryview(packed.buffers()[1]).cast("i")
    return memoryview(data)[offsets[packed.offset] : offsets[packed.offset + len(packed)]]


def digest(schema: pa.Schema, batches: Iterable[pa.RecordBatch]) -> str:
    sink = ContentDigest()
    sink.open(schema)
    for batch in batches:
        sink.write(batch)
    sink.commit()
    return sink.hex()
