"""Spill files on disk: read past any damage, appended to record by record, or written in one go."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Final

import google_crc32c

from atom_console.dlq.errors import SpillFileError
from atom_console.dlq.ids import id_text, uuid7
from atom_console.dlq.record import NewRecord
from atom_console.dlq.spill import FIRST, HEAD, MAGIC, MAX_BODY, decode_body, encode_body, frame

SUFFIX: Final = ".spill"
_WINDOW: Final = 1 << 20


@dataclass(frozen=True, slots=True)
class Fault:
    """A part of a spill file that is not a record: where, how many bytes, and what is wrong."""

    offset: int
    length: int
    why: str


def read_frames(path: Path) -> Iterator[tuple[int, NewRecord] | Fault]:
    """Records of a file with their offsets, and what could not be read, in order; a fault never ends the walk.

    Raises:
        SpillFileError: the file cannot be opened, or is no spill file.
    """
    try:
        with path.open("rb") as file:
            end = os.fstat(file.fileno()).st_size
            if file.read(len(MAGIC)) != MAGIC:
                raise SpillFileError(
                    f"{path} is not a spill file: it does not start with {MAGIC.decode()}",
                    next_step="docs/spill-format.md describes the format.",
                )
            yield from _frames(file, len(MAGIC), end)
    except OSError as error:
        raise SpillFileError(
            f"{path}: {error.strerror or error}", next_step="Check the path and the permissions."
        ) from error


def _frames(file: BinaryIO, at: int, end: int) -> Iterator[tuple[int, NewRecord] | Fault]:
    while at < end:
        body = _body(file, at, end)
        if isinstance(body, bytes):
            try:
                yield at, decode_body(body)
            except ValueError as error:
                yield Fault(at, HEAD.size + len(body), f"unusable record: {error}")
            at += HEAD.size + len(body)
            continue
        next_at = _next_sound(file, at + 1, end)
        yield Fault(at, next_at - at, body)
        at = next_at


def _body(file: BinaryIO, at: int, end: int) -> bytes | str:
    """The body of the frame at `at`, or what is wrong with it."""
    file.seek(at)
    head = file.read(HEAD.size)
    if len(head) < HEAD.size:
        return "torn tail: cut inside the length"
    length, checksum = HEAD.unpack(head)
    if length > MAX_BODY:
        return f"impossible length {length}"
    if at + HEAD.size + length > end:
        return f"torn tail: {length} bytes announced, {end - at - HEAD.size} there"
    body = file.read(length)
    if google_crc32c.value(body) != checksum:
        return "checksum does not hold"
    return body


def _next_sound(file: BinaryIO, start: int, end: int) -> int:
    """Where the next frame with a sound checksum begins, or the end. At most four times the file is checksummed."""
    budget = 4 * (end - start)
    at = start
    while at < end:
        file.seek(at)
        window = file.read(_WINDOW)
        found = window.find(FIRST)
        while found >= 0:
            candidate = at + found - HEAD.size
            if candidate >= start and budget > 0:
                body = _body(file, candidate, end)
                if isinstance(body, bytes):
                    return candidate
                file.seek(candidate)
                budget -= min(HEAD.unpack(file.read(HEAD.size))[0], end - candidate)
            found = window.find(FIRST, found + 1)
        if len(window) < _WINDOW:
            break
        at += len(window) - len(FIRST) + 1
    return end


class SpillWriter:
    """Appends records to one file of the spool, each on disk when `append` returns. Used by one thread.

    The file is held by `flock` while it is open, so that no importer takes it; the lock ends with the process.
    """

    def __init__(self, spool: Path) -> None:
        self._spool = spool
        self._fd: int | None = None
        self._end = 0
        self.path: Path | None = None

    def append(self, records: Sequence[NewRecord]) -> None:
        """Write and fsync the records; a half-written end is cut off again.

        Raises:
            OSError: the disk refused; nothing of these records counts as saved.
        """
        nameless = [record for record in records if not record.id]
        for record, new in zip(nameless, uuid7(len(nameless)), strict=True):
            record.id = new
        data = b"".join(frame(encode_body(record)) for record in records)
        fd = self._open() if self._fd is None else self._fd
        try:
            written = 0
            while written < len(data):
                written += os.pwrite(fd, memoryview(data)[written:], self._end + written)
            os.fsync(fd)
        except OSError:
            self._cut(fd)
            raise
        self._end += len(data)

    def close(self) -> None:
        """Let go of the file: from now on it may be imported. A file without a record is removed."""
        if self._fd is None:
            return
        if self._end == len(MAGIC) and self.path is not None:
            self.path.unlink(missing_ok=True)
        os.close(self._fd)
        self._fd, self.path = None, None

    def _open(self) -> int:
        path = self._spool / f"emergency-{id_text(uuid7()[0])}{SUFFIX}"
        fd = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, 0o600)
        try:
            os.fchmod(fd, 0o600)
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            os.pwrite(fd, MAGIC, 0)
            os.fsync(fd)
            directory = os.open(self._spool, os.O_RDONLY | os.O_CLOEXEC)
            try:
                os.fsync(directory)
            finally:
                os.close(directory)
        except OSError:
            os.close(fd)
            path.unlink(missing_ok=True)
            raise
        self._fd, self._end, self.path = fd, len(MAGIC), path
        return fd

    def _cut(self, fd: int) -> None:
        """Best effort: readers find a torn tail by its checksum, and the next append starts at the same place."""
        try:
            os.ftruncate(fd, self._end)
        except OSError:
            return


def write_file(path: Path, records: Iterable[NewRecord]) -> int:
    """A new spill file with these records, complete or not there at all; how many.

    Raises:
        OSError: exists already, no permission, disk full.
    """
    part = path.with_name(path.name + ".part")
    fd = os.open(part, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, 0o600)
    count = 0
    try:
        with os.fdopen(fd, "wb") as file:
            file.write(MAGIC)
            for record in records:
                file.write(frame(encode_body(record)))
                count += 1
            file.flush()
            os.fsync(file.fileno())
        os.link(part, path)
    finally:
        part.unlink(missing_ok=True)
    return count
