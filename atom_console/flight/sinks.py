"""Where batches go: a Parquet or Arrow file, the preview of the screen, or nowhere, for measuring.

A file appears under its name only when it is complete: it is written beside it, synced, and renamed.
"""

from __future__ import annotations

import errno
import os
import secrets
from pathlib import Path
from typing import Any, Protocol

import pyarrow as pa

from atom_console.errors import InputError, PartialError

_COMPRESSION = "zstd"
_GROUP_BYTES = 32 << 20


class OutputError(PartialError):
    """The output could not be written; nothing is left under its name."""


class Sink(Protocol):
    """Takes the batches of one transfer, in one thread."""

    def open(self, schema: pa.Schema) -> None:
        """Begin, or begin anew: what was written so far is dropped."""

    def write(self, batch: pa.RecordBatch) -> None:
        """Take one batch."""

    def commit(self) -> None:
        """All batches were written; make it last."""

    def abort(self) -> None:
        """Drop what was written."""


class Discard:
    """Takes batches and drops them: what is measured is the transport."""

    def open(self, schema: pa.Schema) -> None:
        """Nothing to begin."""

    def write(self, batch: pa.RecordBatch) -> None:
        """Drop it."""

    def commit(self) -> None:
        """Nothing to keep."""

    def abort(self) -> None:
        """Nothing to drop."""


class Preview:
    """Keeps copies of the first `max_rows` rows, so that the received buffers are let go.

    Attributes:
        batches: what was kept.
    """

    def __init__(self, max_rows: int = 10_000) -> None:
        self.batches: list[pa.RecordBatch] = []
        self._max_rows = max_rows
        self._rows = 0

    def open(self, schema: pa.Schema) -> None:
        """Begin with no rows."""
        self.batches = []
        self._rows = 0

    def write(self, batch: pa.RecordBatch) -> None:
        """Keep what still fits."""
        room = min(batch.num_rows, self._max_rows - self._rows)
        if room > 0:
            # A slice would keep the whole message alive: Flight's buffers are parts of one gRPC slice.
            self.batches.append(batch.take(pa.array(range(room), pa.int32())) if batch.num_columns else batch)
            self._rows += room

    def commit(self) -> None:
        """Everything is in memory."""

    def abort(self) -> None:
        """What came stays visible."""


class FileSink:
    """A `.parquet` or `.arrow` file, written atomically.

    Args:
        path: of the file; its extension decides the format.
        overwrite: replace a file of this name.

    Raises:
        InputError: no such format or directory, or the file exists.
    """

    def __init__(self, path: Path, *, overwrite: bool = True) -> None:
        if path.suffix not in {".parquet", ".arrow"}:
            raise InputError(f"{path}: no such format", next_step="End the name in .parquet or .arrow.")
        if not path.parent.is_dir():
            raise InputError(f"{path.parent} is not a directory", next_step="Create it first.")
        if path.exists() and not overwrite:
            raise InputError(f"{path} exists", next_step="Choose another name.")
        self.path = path
        self._temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}.part")
        self._file: Any = None
        self._writer: Any = None

    def open(self, schema: pa.Schema) -> None:
        """Create the temporary file."""
        self.abort()
        with self._guarded():
            # 0600 until it is complete: the rows are a plan's figures.
            descriptor = os.open(self._temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            self._file = os.fdopen(descriptor, "wb")
            self._writer = self._make_writer(schema)

    def write(self, batch: pa.RecordBatch) -> None:
        """Append a batch.

        Raises:
            OutputError: the disk is full, or another error of the system.
        """
        with self._guarded():
            self._writer.write_batch(batch)

    def commit(self) -> None:
        """Finish, sync and rename.

        Raises:
            OutputError: as for `write`.
        """
        with self._guarded():
            writer, self._writer = self._writer, None
            writer.close()
            self._file.flush()
            os.fsync(self._file.fileno())
            self._file.close()
            self._temporary.replace(self.path)
            self._file = None
            _sync_directory(self.path.parent)

    def abort(self) -> None:
        """Remove the temporary file."""
        writer, self._writer = self._writer, None
        file, self._file = self._file, None
        for opened in (writer, file):
            if opened is not None:
                try:
                    opened.close()
                except (OSError, pa.ArrowException):
                    continue  # a full disk fails again here; the file goes away all the same
        self._temporary.unlink(missing_ok=True)

    def _make_writer(self, schema: pa.Schema) -> Any:
        if self.path.suffix == ".arrow":
            return pa.ipc.new_file(self._file, schema)
        import pyarrow.parquet as pq

        return _GroupedParquet(pq.ParquetWriter(self._file, schema, compression=_COMPRESSION))

    def _guarded(self) -> _Guard:
        return _Guard(self)


class _GroupedParquet:
    """Row groups of about 32 MB from batches of any size: a group for each batch makes files a sixth larger."""

    def __init__(self, writer: Any) -> None:
        self._writer = writer
        self._waiting: list[pa.RecordBatch] = []
        self._bytes = 0

    def write_batch(self, batch: pa.RecordBatch) -> None:
        self._waiting.append(batch)
        self._bytes += batch.get_total_buffer_size()
        if self._bytes >= _GROUP_BYTES:
            self._write_group()

    def close(self) -> None:
        if self._waiting:
            self._write_group()
        self._writer.close()

    def _write_group(self) -> None:
        group = pa.Table.from_batches(self._waiting)
        self._waiting, self._bytes = [], 0
        self._writer.write_table(group, row_group_size=max(1, group.num_rows))


class _Guard:
    """Turns errors of the system into `OutputError`, and removes the temporary file."""

    def __init__(self, sink: FileSink) -> None:
        self._sink = sink

    def __enter__(self) -> None:
        return None

    def __exit__(self, _: object, error: BaseException | None, __: object) -> None:
        if error is None:
            return
        self._sink.abort()
        if isinstance(error, pa.ArrowNotImplementedError | pa.ArrowInvalid):
            raise OutputError(
                f"{self._sink.path}: the format cannot hold this schema: {error}", next_step="Use a name in .arrow."
            ) from error
        if isinstance(error, OSError):
            full = error.errno in {errno.ENOSPC, errno.EDQUOT}
            raise OutputError(
                f"cannot write {self._sink.path}: {'the disk is full' if full else error}",
                next_step="Free space, or choose another disk; no partial file is left.",
            ) from error


def _sync_directory(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
