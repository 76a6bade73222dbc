"""What the reference server serves: generated plans, Parquet and Arrow files of a folder, and what was put to it.

A plan is made of units (a generated batch, a row group, a record batch of a file), so that it can be cut into endpoints
without reading it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Protocol

import pyarrow as pa

from atom_console.errors import InputError
from atom_console.flight.mdf import GeneratedPlan

BATCH_BYTES = 900_000
"""What a served batch holds at most, where rows allow it; Go and tonic refuse messages above 4 MiB by default."""

PLAN_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,127}", re.ASCII)
_GENERATED = re.compile(r"mdf-(\d{1,12})([kM]?)(?:-seed(\d{1,9}))?", re.ASCII)
_SCALE = {"": 1, "k": 1_000, "M": 1_000_000}


class Plan(Protocol):
    """A named, ordered set of rows."""

    @property
    def schema(self) -> pa.Schema:
        """Of every batch."""

    @property
    def rows(self) -> int:
        """In all."""

    @property
    def units(self) -> int:
        """Parts that can be read on their own."""

    def read(self, first: int, stop: int) -> Iterator[pa.RecordBatch]:
        """The batches of units `first` up to `stop`, exclusive; the same ones each time."""


@dataclass(frozen=True, slots=True)
class Generated:
    """A plan made from a seed; the last batches made are kept for the next reader."""

    plan: GeneratedPlan

    @property
    def schema(self) -> pa.Schema:
        """Of every batch."""
        return self.plan.schema

    @property
    def rows(self) -> int:
        """In all."""
        return self.plan.rows

    @property
    def units(self) -> int:
        """Its batches."""
        return self.plan.batch_count

    def read(self, first: int, stop: int) -> Iterator[pa.RecordBatch]:
        """Batches `first` up to `stop`."""
        for index in range(first, stop):
            whole = self.plan.period and index < self.units - 1
            yield _kept(self.plan, index % self.plan.period) if whole else self.plan.batch(index)


@lru_cache(maxsize=64)
def _kept(plan: GeneratedPlan, index: int) -> pa.RecordBatch:
    return plan.batch(index)


@dataclass(frozen=True, slots=True)
class InMemory:
    """Batches that were put to the server."""

    schema: pa.Schema
    batches: Sequence[pa.RecordBatch]

    @property
    def rows(self) -> int:
        """In all."""
        return sum(batch.num_rows for batch in self.batches)

    @property
    def units(self) -> int:
        """Its batches."""
        return len(self.batches)

    def read(self, first: int, stop: int) -> Iterator[pa.RecordBatch]:
        """Batches `first` up to `stop`, split where they are large."""
        for batch in self.batches[first:stop]:
            yield from split(batch)


@dataclass(frozen=True, slots=True)
class ArrowFile:
    """An Arrow IPC file, mapped."""

    path: Path
    schema: pa.Schema
    rows: int
    units: int

    @classmethod
    def open(cls, path: Path) -> ArrowFile:
        """Read its footer and count its rows."""
        with pa.memory_map(str(path)) as mapped, pa.ipc.open_file(mapped) as reader:
            rows = sum(reader.get_batch(index).num_rows for index in range(reader.num_record_batches))
            return cls(path, reader.schema, rows, reader.num_record_batches)

    def read(self, first: int, stop: int) -> Iterator[pa.RecordBatch]:
        """Record batches `first` up to `stop`, split where they are large."""
        with pa.memory_map(str(self.path)) as mapped, pa.ipc.open_file(mapped) as reader:
            for index in range(first, stop):
                yield from split(reader.get_batch(index))


@dataclass(frozen=True, slots=True)
class ParquetFile:
    """A Parquet file, decoded row group by row group."""

    path: Path
    schema: pa.Schema
    rows: int
    units: int

    @classmethod
    def open(cls, path: Path) -> ParquetFile:
        """Read its footer."""
        import pyarrow.parquet as pq

        with pq.ParquetFile(path) as file:
            return cls(path, file.schema_arrow, file.metadata.num_rows, file.metadata.num_row_groups)

    def read(self, first: int, stop: int) -> Iterator[pa.RecordBatch]:
        """Row groups `first` up to `stop`, in batches."""
        import pyarrow.parquet as pq

        with pq.ParquetFile(self.path) as file:
            for batch in file.iter_batches(batch_size=8192, row_groups=list(range(first, stop))):
                yield from split(batch)


def split(batch: pa.RecordBatch, most_bytes: int = BATCH_BYTES) -> Iterator[pa.RecordBatch]:
    """The batch in halves of halves until each holds at most `most_bytes`, or is a single row."""
    if batch.num_rows <= 1 or batch.nbytes <= most_bytes:
        yield batch
        return
    half = batch.num_rows // 2
    yield from split(batch.slice(0, half), most_bytes)
    yield from split(batch.slice(half), most_bytes)


def generated(name: str) -> Plan | None:
    """The plan that a name such as `mdf-10M` or `mdf-5000-seed7` describes, or None."""
    match = _GENERATED.fullmatch(name)
    if match is None:
        return None
    return Generated(GeneratedPlan(name, int(match[1]) * _SCALE[match[2]], seed=int(match[3] or 1)))


def open_file(path: Path) -> Plan:
    """A Parquet or Arrow file as a plan.

    Raises:
        InputError: not readable as what its extension says.
    """
    try:
        return ParquetFile.open(path) if path.suffix == ".parquet" else ArrowFile.open(path)
    except (OSError, pa.ArrowException) as error:
        raise InputError(f"{path} cannot be served: {error}", next_step="Remove it from the folder.") from None


def folder_files(folder: Path) -> dict[str, Path]:
    """The files of a folder that can be served, by the plan name that each gets (its name without extension)."""
    files = sorted(path for path in folder.iterdir() if path.suffix in {".parquet", ".arrow"} and path.is_file())
    return {path.stem: path for path in files if PLAN_NAME.fullmatch(path.stem)}
