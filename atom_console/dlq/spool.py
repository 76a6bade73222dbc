"""Takes spill files in, each record exactly once.

Records are known by their id, so a crash in the middle costs nothing.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Generator, Iterator
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Final, TypeVar

import apsw

from atom_console.dlq.errors import SpillFileError
from atom_console.dlq.place import lock
from atom_console.dlq.record import NewRecord
from atom_console.dlq.spill_file import SUFFIX, Fault, read_frames

_BATCH: Final = 500
T = TypeVar("T")

Write = Callable[[list[NewRecord], str], int]
"""Stores records with a reason for the audit, in one transaction; how many of them are new."""


@dataclass(frozen=True, slots=True)
class ImportReport:
    """What became of one file.

    Attributes:
        read: records found; added: new in the store; known: were there already.
        faults: the parts that could not be read, each with its offset.
        kept_at: where the file is now, or None where it was removed because all of it is in the store.
    """

    path: Path
    read: int
    added: int
    known: int
    faults: tuple[Fault, ...]
    kept_at: Path | None

    def sentence(self) -> str:
        """All of it in one sentence."""
        text = f"{self.path.name}: {self.read} records read, {self.added} new, {self.known} known"
        if not self.faults:
            return text
        first = self.faults[0]
        return f"{text}; {len(self.faults)} faults, the first at byte {first.offset}: {first.why}"


def import_file(path: Path, write: Write) -> Generator[None, None, ImportReport]:
    """Import one file, a batch at each step; the file itself stays.

    Raises:
        SpillFileError: not a spill file, or unreadable.
    """
    faults: list[Fault] = []
    read = added = 0
    found = read_frames(path)
    while batch := list(islice(found, _BATCH)):
        faults += (item for item in batch if isinstance(item, Fault))
        records = [item for item in batch if not isinstance(item, Fault)]
        new, refused = _store(records, write, f"import of {path.name}")
        faults += refused
        read, added = read + len(records) - len(refused), added + new
        yield
    faults.sort(key=lambda fault: fault.offset)
    return ImportReport(path, read, added, read - added, tuple(faults), path)


def _store(records: list[tuple[int, NewRecord]], write: Write, reason: str) -> tuple[int, list[Fault]]:
    """Store a batch; where it is refused, each record alone, so that one cannot keep the others out."""
    if not records:
        return 0, []
    try:
        return write([record for _, record in records], reason), []
    except (apsw.Error, ValueError, TypeError, OverflowError) as error:
        if len(records) == 1:
            return 0, [Fault(records[0][0], 0, f"the store refused it: {error}")]
    new = 0
    refused: list[Fault] = []
    for one in records:
        count, fault = _store([one], write, reason)
        new, refused = new + count, refused + fault
    return new, refused


def import_spool(spool: Path, write: Write) -> Generator[None, None, list[ImportReport]]:
    """Import every file of the spool that nobody is writing, a batch at each step.

    A file that is wholly in the store is removed; one with a fault is moved to `damaged/`, with everything that could
    be read in the store. A file without the magic is moved there too.
    """
    reports: list[ImportReport] = []
    for path in waiting(spool):
        fd = _take(path)
        if fd is None:
            continue
        try:
            try:
                report = yield from import_file(path, write)
            except SpillFileError as error:
                report = ImportReport(path, 0, 0, 0, (Fault(0, path.stat().st_size, error.what),), path)
            if report.faults:
                kept: Path | None = _put_aside(path)
            else:
                path.unlink(missing_ok=True)
                kept = None
            reports.append(ImportReport(path, report.read, report.added, report.known, report.faults, kept))
        finally:
            os.close(fd)
    return reports


def waiting(spool: Path) -> list[Path]:
    """Spill files of the spool, by name; an unreadable directory has none."""
    with suppress(OSError):
        return sorted(path for path in spool.iterdir() if path.suffix == SUFFIX and path.is_file())
    return []


def files_of(path: Path) -> Iterator[Path]:
    """The file itself, or the spill files of a directory.

    Raises:
        SpillFileError: there is no such path.
    """
    if path.is_dir():
        yield from waiting(path)
    elif path.exists():
        yield path
    else:
        raise SpillFileError(f"{path}: no such file", next_step="Check the path.")


def run(steps: Generator[None, None, T]) -> T:
    """Take all steps at once; what the generator returns."""
    while True:
        try:
            next(steps)
        except StopIteration as done:
            result: T = done.value
            return result


def _take(path: Path) -> int | None:
    """The locked descriptor, or None where a writer holds the file or another importer was faster."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        if lock(fd, exclusive=True) and path.stat().st_ino == os.fstat(fd).st_ino:
            return fd
    except OSError:
        pass
    os.close(fd)
    return None


def _put_aside(path: Path) -> Path:
    damaged = path.parent / "damaged"
    damaged.mkdir(mode=0o700, exist_ok=True)
    target = damaged / path.name
    number = 1
    while target.exists():
        target = damaged / f"{path.stem}.{number}{path.suffix}"
        number += 1
    path.rename(target)
    return target
