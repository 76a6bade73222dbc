"""Rows as Parquet: typed columns, bytes as they are, zstd."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from itertools import islice
from pathlib import Path
from typing import Any, Final

from atom_console.dlq.errors import SpillFileError
from atom_console.dlq.transfer_rows import Row

MARK: Final = b"atom-console.dlq"
_GROUP: Final = 1_000
_INTEGERS: Final = (
    "v", "captured_at_ms", "timestamp_ms", "partition", "code", "dlq_partition", "dlq_offset", "dlq_timestamp_ms",
    "orig_offset", "attempts",
)  # fmt: skip
_ORDER: Final = (
    "v", "id", "captured_at_ms", "topic", "key", "value", "headers", "timestamp_ms", "partition", "class", "code",
    "name", "message", "maybe_persisted", "stage", "component", "payload", "cluster_id", "origin", "dlq_topic",
    "dlq_partition", "dlq_offset", "dlq_timestamp_ms", "dlq_headers", "orig_offset", "ts_type", "stack", "warnings",
    "state", "state_reason", "fingerprint", "label", "tenant_id", "event_id", "attempts", "masked", "event",
)  # fmt: skip


@lru_cache(maxsize=1)
def schema() -> Any:
    """The Arrow schema of the file, with our mark in its metadata."""
    import pyarrow as pa

    headers = pa.list_(pa.struct([("name", pa.string()), ("value", pa.binary())]))
    kinds = dict.fromkeys(_INTEGERS, pa.int64()) | {"key": pa.binary(), "value": pa.binary()}
    kinds |= {"headers": headers, "dlq_headers": headers, "warnings": pa.list_(pa.string())}
    kinds |= {"maybe_persisted": pa.bool_(), "masked": pa.bool_()}
    return pa.schema([(name, kinds.get(name, pa.string())) for name in _ORDER], metadata={MARK: b"1"})


def write(path: Path, rows: Iterator[Row]) -> int:
    """Write a file; how many rows."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    count = 0
    with pq.ParquetWriter(path, schema(), compression="zstd") as writer:
        while group := list(islice(rows, _GROUP)):
            writer.write_table(pa.Table.from_pylist([_structs(row) for row in group], schema()))
            count += len(group)
    return count


def read(path: Path) -> Iterator[Row]:
    """The rows of a file that `write` made.

    Raises:
        SpillFileError: no Parquet file, or not one of ours.
    """
    with _opened(path) as file:
        for batch in file.iter_batches(batch_size=_GROUP):
            for row in batch.to_pylist():
                yield {name: _pairs(value) if name.endswith("headers") else value for name, value in row.items()}


@contextmanager
def _opened(path: Path) -> Iterator[Any]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        file = pq.ParquetFile(path)
    except (OSError, pa.ArrowInvalid) as error:
        raise SpillFileError(
            f"{path}: not a Parquet file that can be read: {error}", next_step="check the path"
        ) from error
    with file:
        if MARK not in (file.schema_arrow.metadata or {}):
            raise SpillFileError(f"{path}: not an export of dead letters", next_step="only files of `dlq export` fit")
        yield file


def _structs(row: Row) -> Row:
    named = {name: [{"name": n, "value": v} for n, v in row[name]] for name in ("headers", "dlq_headers")}
    return row | named


def _pairs(value: list[Row] | None) -> list[list[Any]]:
    return [[one["name"], one["value"]] for one in value or []]
