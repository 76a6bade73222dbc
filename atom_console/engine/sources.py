"""Events in, from a file or a pipe: JSON Lines, size-prefixed FlatBuffers, Arrow IPC and Parquet.

A source yields chunks in the order of the input. What cannot be read as an event is a fault that keeps the input's own
bytes; nothing is skipped.
"""

from __future__ import annotations

import io
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from threading import Event
from typing import IO, Any, BinaryIO, Literal, cast

from atom_console.errors import AtomError, InputError
from atom_console.events import AtomEvent, verify
from atom_console.events.framing import FramingError, read_frames
from atom_console.events.jsonl import parse_line

Format = Literal["jsonl", "atomfb", "arrow", "parquet"]

MAX_ITEM_BYTES = 64 << 20
"""The longest line or frame taken as one event; a pasted block of 10,000 molecules is about 2 MB of JSON."""

_READ_BYTES = 1 << 18
_FOLLOW_S = 0.1
_ROWS = 5_000
_SUFFIXES: dict[str, Format] = {
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".json": "jsonl",
    ".atomfb": "atomfb",
    ".arrow": "arrow",
    ".feather": "arrow",
    ".parquet": "parquet",
}


@dataclass(frozen=True, slots=True)
class InputFault:
    """A piece of input that is not an event.

    Attributes:
        where: file and line, frame or row, e.g. `events.jsonl:17`.
        raw: the input as it came.
        message: the field path, what was found and what is allowed.
    """

    where: str
    raw: bytes
    message: str


@dataclass(frozen=True, slots=True)
class Chunk:
    """What one read gave: events (or finished payloads), and faults; in input order within each.

    `topic` is where these go, or None for wherever the feed goes.
    """

    events: Sequence[AtomEvent] = ()
    payloads: Sequence[bytes] = ()
    faults: Sequence[InputFault] = ()
    topic: str | None = None


def format_of(path: Path) -> Format:
    """The format that a file's name says.

    Raises:
        InputError: an unknown suffix.
    """
    found = _SUFFIXES.get(path.suffix.lower())
    if found is None:
        raise InputError(
            f"{path}: cannot tell the format from the name", next_step="add --format jsonl, atomfb, arrow or parquet"
        )
    return found


def read(
    path: Path | None, form: Format | None = None, *, follow: bool = False, stop: Event | None = None
) -> Iterator[Chunk]:
    """Chunks of a file, or of standard input where `path` is None.

    Args:
        path: the file, or None for standard input.
        form: the format; None = by the file's suffix, JSON Lines for standard input.
        follow: at the end of the file wait for more (JSON Lines only), until `stop` is set.
        stop: ends the reading between two chunks.

    Raises:
        InputError: the file cannot be opened or is not of that format.
    """
    form = form or (format_of(path) if path is not None else "jsonl")
    if follow and form != "jsonl":
        raise InputError(f"--follow reads JSON Lines, not {form}")
    name = path.name if path is not None else "-"
    stop = stop or Event()
    try:
        with _open(path) as stream:
            yield from _chunks(stream, name, form, follow, stop)
    except OSError as error:
        raise InputError(f"{path or 'standard input'}: {error.strerror or error}") from error


def _open(path: Path | None) -> IO[bytes]:
    if path is not None:
        return path.open("rb")
    return cast("IO[bytes]", io.open(sys.stdin.fileno(), "rb", closefd=False))  # noqa: UP020 — closefd needs the function


def _chunks(stream: IO[bytes], name: str, form: Format, follow: bool, stop: Event) -> Iterator[Chunk]:
    if form == "jsonl":
        return _json_lines(stream, name, follow, stop)
    if form == "atomfb":
        return _frames(stream, name, stop)
    return _tables(stream, name, form, stop)


def _json_lines(stream: IO[bytes], name: str, follow: bool, stop: Event) -> Iterator[Chunk]:
    number = 0
    rest = b""
    read1: Callable[[int], bytes] = cast("io.BufferedReader", stream).read1
    while not stop.is_set():
        block = read1(_READ_BYTES)
        if not block and follow:
            stop.wait(_FOLLOW_S)
            continue
        lines = (rest + block).split(b"\n")
        rest = b"" if not block else lines.pop()
        if len(rest) > MAX_ITEM_BYTES:
            lines.append(rest)
            rest = b""
        events: list[AtomEvent] = []
        faults: list[InputFault] = []
        for line in lines:
            number += 1
            if line and not line.isspace():
                _parse(line, f"{name}:{number}", events, faults)
        if events or faults:
            yield Chunk(events=events, faults=faults)
        if not block:
            return


def _parse(line: bytes, where: str, events: list[AtomEvent], faults: list[InputFault]) -> None:
    if len(line) > MAX_ITEM_BYTES:
        faults.append(InputFault(where, line, f"a line of {len(line):,} bytes; at most {MAX_ITEM_BYTES:,} are read"))
        return
    try:
        events.append(parse_line(line))
    except AtomError as error:
        faults.append(InputFault(where, line, error.what))


def _frames(stream: IO[bytes], name: str, stop: Event) -> Iterator[Chunk]:
    frames: list[tuple[int, bytes]] = []
    broken: list[InputFault] = []
    held = 0
    try:
        for at, body in read_frames(cast("BinaryIO", stream), most_bytes=MAX_ITEM_BYTES):
            frames.append((at, body))
            held += len(body)
            if held > _READ_BYTES:
                yield _verified(frames, name)
                frames, held = [], 0
            if stop.is_set():
                break
    except FramingError as error:
        broken.append(InputFault(f"{name}@{error.offset}", error.rest, error.why))
    if frames or broken:
        last = _verified(frames, name)
        yield replace(last, faults=[*last.faults, *broken])


def _verified(frames: Sequence[tuple[int, bytes]], name: str) -> Chunk:
    """Sound events as payloads, and what is wrong with each of the others."""
    from atom_console.events.scan import verify_many

    payloads: list[bytes] = []
    faults: list[InputFault] = []
    for (at, body), good in zip(frames, verify_many([body for _, body in frames]), strict=True):
        try:
            if not good:
                verify(body)
            payloads.append(body)
        except AtomError as error:
            faults.append(InputFault(f"{name}@{at}", body, error.what))
    return Chunk(payloads=payloads, faults=faults)


def _tables(stream: IO[bytes], name: str, form: Format, stop: Event) -> Iterator[Chunk]:
    import pyarrow as pa

    row = 0
    try:
        for batch in _record_batches(stream, form):
            if stop.is_set():
                return
            yield _encode(batch, name, row)
            row += batch.num_rows
    except pa.ArrowException as error:
        raise InputError(f"{name}: not readable as {form}: {error}") from error


def _record_batches(stream: IO[bytes], form: Format) -> Iterator[Any]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    if form == "parquet":
        yield from pq.ParquetFile(stream).iter_batches(batch_size=_ROWS)
        return
    seekable = stream.seekable()
    is_file = seekable and stream.read(6) == b"ARROW1"
    if seekable:
        stream.seek(0)
    if is_file:
        reader = pa.ipc.open_file(stream)
        batches = (reader.get_batch(i) for i in range(reader.num_record_batches))
    else:
        batches = iter(pa.ipc.open_stream(stream))
    for batch in batches:
        for start in range(0, batch.num_rows, _ROWS):
            yield batch.slice(start, _ROWS)


def _encode(batch: Any, name: str, first: int) -> Chunk:
    """The batch as payloads; refused as a whole, row by row, so that only the bad rows are faults."""
    from atom_console.events import EncodeError, encode_mapping
    from atom_console.events.columns import encode_events

    try:
        return Chunk(payloads=encode_events(batch))
    except EncodeError:
        pass
    payloads: list[bytes] = []
    faults: list[InputFault] = []
    for index, row in enumerate(batch.to_pylist()):
        try:
            payloads.append(encode_mapping(row))
        except AtomError as error:
            faults.append(InputFault(f"{name} row {first + index}", _one_row(batch, index), error.what))
    return Chunk(payloads=payloads, faults=faults)


def _one_row(batch: Any, index: int) -> bytes:
    """A row as an Arrow IPC stream: the exact values, in a form that opens anywhere."""
    import pyarrow as pa

    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, batch.schema) as writer:
        writer.write_batch(batch.slice(index, 1))
    return cast("bytes", sink.getvalue().to_pybytes())


class Pacer:
    """A token bucket: `take(n)` says how many of `n` may go now, and how long to wait where none may.

    Args:
        rate_per_s: events a second, or None for no limit.
    """

    _BURST_S = 0.05

    def __init__(self, rate_per_s: float | None) -> None:
        self.rate_per_s = rate_per_s
        self._tokens = 1.0
        self._at = time.monotonic()

    def take(self, wanted: int) -> tuple[int, float]:
        """(how many may go now, seconds to wait where it is 0)."""
        rate = self.rate_per_s
        if rate is None:
            return wanted, 0.0
        now = time.monotonic()
        self._tokens = min(max(1.0, rate * self._BURST_S), self._tokens + (now - self._at) * rate)
        self._at = now
        granted = min(wanted, int(self._tokens))
        self._tokens -= granted
        return granted, 0.0 if granted else (1.0 - self._tokens) / rate
