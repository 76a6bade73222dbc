"""Dead letters to files and back: JSON Lines, Parquet, spill. Byte-exact, and masked by the operator's clearance."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal

from atom_console.dlq import audit, spool, transfer_parquet
from atom_console.dlq.filters import Filter
from atom_console.dlq.spill_file import SUFFIX, Fault, write_file
from atom_console.dlq.spool import ImportReport
from atom_console.dlq.transfer_rows import Row, from_row, to_line, to_row
from atom_console.errors import InputError, RefusedError

if TYPE_CHECKING:
    import apsw

    from atom_console.dlq.reader import Reader
    from atom_console.dlq.record import NewRecord, RecordDetail, RecordRow
    from atom_console.dlq.store import Store

Form = Literal["jsonl", "parquet", "spill"]
_PAGE: Final = 1_000
_BATCH: Final = 500
_SUFFIXES: Final[dict[str, Form]] = {".jsonl": "jsonl", ".ndjson": "jsonl", ".parquet": "parquet", SUFFIX: "spill"}


class ExportFileError(InputError):
    """The file of an export cannot be made."""


class MaskedExportError(RefusedError):
    """A spill file holds whole records, and some are masked for this clearance."""


@dataclass(frozen=True, slots=True)
class ExportReport:
    """How many records were written, and how many of them are masked."""

    path: Path
    written: int
    masked: int


def form_of(path: Path) -> Form | None:
    """The form that a file's suffix says, or None."""
    return _SUFFIXES.get(path.suffix)


def export(
    reader: Reader,
    wanted: Filter | Sequence[int],
    path: Path,
    form: Form,
    *,
    clearance: int,
    reveal: bool = False,
    on_progress: Callable[[int], None] | None = None,
) -> ExportReport:
    """Write the matching records, oldest first, into a new file: complete, or not there at all.

    Args:
        wanted: a filter, or the frozen numbers (`RecordRow.seq`) that an operator marked.
        clearance: access bits of the operator; what is hidden from them is left out.
        reveal: leave nothing out; the caller puts it into the audit first (`audit_reveal`).

    Raises:
        ExportFileError: it exists already, no permission, disk full.
        MaskedExportError: form spill, and a record is masked.
    """
    masked = count = 0

    def rows() -> Iterator[Row]:
        nonlocal masked, count
        for record in _records(reader, wanted):
            row = to_row(record, clearance, reveal=reveal)
            masked += row["masked"]
            count += 1
            if on_progress is not None and count % _PAGE == 0:
                on_progress(count)
            yield row

    try:
        if form == "spill":
            written = write_file(path, map(_whole, rows()))
        else:
            written = _write_new(path, lambda part: _write(part, form, rows()))
    except OSError as error:
        raise ExportFileError(
            f"{path}: cannot be made: {error.strerror or error}", next_step="name a new file in a directory with room"
        ) from error
    return ExportReport(path, written, masked)


def audit_reveal(store: Store, reader: Reader, wanted: Filter, path: Path, reason: str) -> int:
    """Put into the audit that these records leave the store unmasked, before they do; how many."""
    seqs = [seq for seq, _ in reader.matching(wanted)]

    def work(conn: apsw.Connection) -> None:
        audit.append(
            conn,
            actor=audit.present_actor(),
            at=time.time_ns() // 1_000_000,
            action="reveal",
            subject=f"export of {len(seqs)} records to {path.name}",
            records=len(seqs),
            reason=reason,
            seqs=seqs,
        )

    store.run(work)
    return len(seqs)


def import_path(store: Store, path: Path) -> list[ImportReport]:
    """Take in a file of any form, or the spill files of a directory; each record once, the files stay.

    A line or row that is no record is a fault of the report; its `offset` is the number of the line or row, from 1.

    Raises:
        SpillFileError: no such file, or not of its form.
        IntakeRefusedError, StoreUnavailableError: the store takes nothing now.
    """
    form = form_of(path)
    if form == "jsonl" and path.is_file():
        return [_import(store, path, _lines(path))]
    if form == "parquet" and path.is_file():
        return [_import(store, path, ((n, row) for n, row in enumerate(transfer_parquet.read(path), start=1)))]
    return [spool.run(spool.import_file(file, _into(store))) for file in spool.files_of(path)]


def _records(reader: Reader, wanted: Filter | Sequence[int]) -> Iterator[RecordDetail]:
    for row in _marked(reader, wanted) if not isinstance(wanted, Filter) else _matching(reader, wanted):
        record = reader.record(row.id)
        if record is not None:
            yield record


def _marked(reader: Reader, seqs: Sequence[int]) -> Iterator[RecordRow]:
    for start in range(0, len(seqs), _PAGE):
        yield from reader.rows(seqs[start : start + _PAGE])


def _matching(reader: Reader, wanted: Filter) -> Iterator[RecordRow]:
    cursor: str | None = None
    while True:
        page = reader.page(wanted, limit=_PAGE, cursor=cursor, order="oldest")
        yield from page.records
        cursor = page.next
        if cursor is None:
            return


def _write(part: Path, form: Form, rows: Iterator[Row]) -> int:
    if form == "parquet":
        return transfer_parquet.write(part, rows)
    count = 0
    with part.open("wb") as file:
        for row in rows:
            file.write(to_line(row))
            count += 1
    return count


def _write_new(path: Path, write: Callable[[Path], int]) -> int:
    """Write beside the path, 0600, then give it its name; an existing file is never touched."""
    part = path.with_name(path.name + ".part")
    os.close(os.open(part, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, 0o600))
    try:
        count = write(part)
        descriptor = os.open(part, os.O_RDONLY | os.O_CLOEXEC)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        os.link(part, path)
    finally:
        part.unlink(missing_ok=True)
    return count


def _whole(row: Row) -> NewRecord:
    if row["masked"]:
        raise MaskedExportError(
            f"record {row['id']} is masked for this profile's clearance, and a spill file holds whole records",
            next_step="add --reveal --reason R (it is audited), or take --format jsonl",
        )
    return from_row(row)


def _lines(path: Path) -> Iterator[tuple[int, Any]]:
    """Line number and document, or the line itself where it is not JSON."""
    with path.open("rb") as file:
        for number, line in enumerate(file, start=1):
            if not line.strip():
                continue
            try:
                yield number, json.loads(line)
            except (ValueError, RecursionError) as error:
                yield number, f"not JSON: {error}"


def _import(store: Store, path: Path, rows: Iterable[tuple[int, Any]]) -> ImportReport:
    faults: list[Fault] = []
    read = added = 0

    def good() -> Iterator[NewRecord]:
        for number, row in rows:
            try:
                if not isinstance(row, dict):
                    raise ValueError(row if isinstance(row, str) else "not an object")
                yield from_row(row)
            except ValueError as error:
                faults.append(Fault(number, 0, str(error)))

    records, write = good(), _into(store)
    while batch := list(islice(records, _BATCH)):
        read += len(batch)
        added += write(batch, f"import of {path.name}")
    return ImportReport(path, read, added, read - added, tuple(faults), path)


def _into(store: Store) -> spool.Write:
    return lambda records, reason: store.insert(records, reason=reason)
