"""`events`: JSON Lines to FlatBuffers and back, and whether buffers are sound."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

import click

from atom_console.cli.frame import CliContext, Group, json_option, pass_context
from atom_console.cli.output import print_fields, print_json, say, to_json
from atom_console.errors import CheckError, InputError, PartialError

_MOST_FAULTS = 1_000


@click.group(cls=Group)
def events() -> None:
    """JSON Lines to FlatBuffers and back; verify them.

    Several FlatBuffers in one file stand each behind its size in 32 bits, little-endian (format `atomfb`); --bare
    reads a file that is one FlatBuffer, such as the value of a Kafka message. Nothing is masked: this converts what
    you already hold.
    """


_source = click.argument("file", type=click.File("rb"), default="-")
_out = click.option("--out", metavar="FILE", type=click.Path(path_type=Path), help="A new file, instead of stdout.")
_bare = click.option("--bare", is_flag=True, help="The input is one FlatBuffer, without its size in front.")


@events.command(examples=("atom-console events encode events.jsonl --out events.atomfb",))
@_source
@_out
@json_option
@pass_context
def encode(cli: CliContext, file: BinaryIO, out: Path | None) -> None:
    """JSON Lines to FlatBuffers.

    A line that cannot be encoded is named on stderr with its field, the others are written, and the exit code is 3.
    """
    from atom_console.events import EncodeError
    from atom_console.events import encode as to_flatbuffer
    from atom_console.events.framing import frame
    from atom_console.events.jsonl import parse_line

    if cli.json and out is None:
        raise click.UsageError("--json describes what was written: give --out FILE, stdout holds the events")
    if out is None and sys.stdout.isatty():
        raise click.UsageError("the events are binary: give --out FILE, or pipe them")
    encoded = invalid = size = 0
    with _sink(out) as sink:
        for number, line in enumerate(file, start=1):
            if not line.strip():
                continue
            try:
                buffer = frame(to_flatbuffer(parse_line(line, where=f"{file.name}:{number}")))
            except EncodeError as error:
                invalid += 1
                say(str(error))
                continue
            sink.write(buffer)
            encoded += 1
            size += len(buffer)
    if cli.json:
        print_json({"encoded": encoded, "invalid": invalid, "bytes": size})
    if invalid:
        raise PartialError(
            f"{file.name}: {encoded} lines encoded, {invalid} not", next_step="correct the lines named above"
        )
    if not cli.json:
        say(f"{encoded} events encoded, {size} bytes")


@events.command(examples=("atom-console events decode events.atomfb", "atom-console events decode --bare value.bin"))
@_source
@_bare
@_out
@json_option
def decode(file: BinaryIO, bare: bool, out: Path | None) -> None:
    """FlatBuffers to JSON Lines.

    A buffer that cannot be decoded is named on stderr, the others are written, and the exit code is 6.
    """
    from atom_console.events import DecodeError
    from atom_console.events import decode as from_flatbuffer
    from atom_console.events.jsonl import to_json as document_of
    from atom_console.events.jsonl import to_line

    # A terminal gets ASCII: text of an event must not steer it.
    render = (lambda event: to_json(document_of(event))) if out is None and sys.stdout.isatty() else to_line
    decoded = bad = 0
    with _sink(out) as sink:
        for number, (offset, buffer) in enumerate(_buffers(file, bare), start=1):
            try:
                line = render(from_flatbuffer(buffer))
            except DecodeError as error:
                bad += 1
                say(f"{file.name}: buffer {number} at byte {offset}: {error.what}")
                continue
            sink.write(line.encode() + b"\n")
            decoded += 1
    if bad:
        raise CheckError(
            f"{file.name}: {decoded} buffers decoded, {bad} not", next_step="`schema decode` reads other schemas"
        )


@events.command(
    examples=("atom-console events verify events.atomfb", "atom-console events verify --bare value.bin --json")
)
@_source
@_bare
@json_option
@pass_context
def verify(cli: CliContext, file: BinaryIO, bare: bool) -> int:
    """Whether every buffer is a sound AtomEvent: bounds, tables, UTF-8. Exit 6 if one is not."""
    from atom_console.events import DecodeError
    from atom_console.events import verify as check
    from atom_console.events.framing import FramingError

    checked = bad = 0
    faults: list[dict[str, object]] = []
    try:
        for offset, buffer in _buffers(file, bare):
            checked += 1
            try:
                check(buffer)
            except DecodeError as error:
                bad += 1
                if len(faults) < _MOST_FAULTS:
                    faults.append({"buffer": checked, "offset": offset, "path": error.path, "why": error.why})
    except FramingError as error:
        bad += 1
        faults.append({"buffer": checked + 1, "offset": error.offset, "path": "", "why": error.why})
    if cli.json:
        print_json({"ok": not bad, "checked": checked, "undecodable": bad, "faults": faults})
    else:
        for fault in faults:
            field = f"{fault['path']}: " if fault["path"] else ""
            say(f"{file.name}: buffer {fault['buffer']} at byte {fault['offset']}: {field}{fault['why']}")
        print_fields({"checked": checked, "undecodable": bad})
    return CheckError.exit_code if bad else 0


def _buffers(file: BinaryIO, bare: bool) -> Iterator[tuple[int, bytes]]:
    from atom_console.events.framing import read_frames

    if bare:
        yield 0, file.read()
    else:
        yield from read_frames(file)


@contextmanager
def _sink(out: Path | None) -> Iterator[BinaryIO]:
    """stdout, or a new file; an existing one is never overwritten."""
    if out is None:
        yield sys.stdout.buffer
        return
    try:
        descriptor = os.open(out, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except OSError as error:
        raise InputError(f"{out}: cannot be made: {error.strerror}", next_step="name a new file with --out") from None
    with os.fdopen(descriptor, "wb") as file:
        yield file
