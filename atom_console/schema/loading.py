"""A schema from a file: `.bfbs`, `.fbs`, Arrow IPC (file or stream) or Parquet, told apart by content."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from atom_console.errors import CheckError, InputError
from atom_console.events.errors import DecodeError
from atom_console.events.reflection import Schema, load_schema
from atom_console.schema.changes import Change
from atom_console.schema.tree import Tree, arrow_tree, flat_tree

if TYPE_CHECKING:
    import pyarrow as pa

_MAX_SCHEMA_BYTES = 64 << 20
SUFFIXES = (".bfbs", ".fbs", ".arrow", ".arrows", ".ipc", ".feather", ".parquet")


@dataclass(frozen=True)
class AnySchema:
    """A schema of one of the two languages; exactly one of `flat` and `arrow` is set.

    Attributes:
        name: in the catalogue.
        source: where it came from, e.g. a path or `flight://host:port/plan`.
    """

    name: str
    source: str
    flat: Schema | None = None
    arrow: pa.Schema | None = None

    @property
    def language(self) -> Literal["flatbuffers", "arrow"]:
        """Which of the two."""
        return "arrow" if self.flat is None else "flatbuffers"

    @cached_property
    def tree(self) -> Tree:
        """Its fields."""
        return arrow_tree(self.arrow) if self.flat is None else flat_tree(self.flat)


def diff(old: AnySchema, new: AnySchema) -> tuple[Change, ...]:
    """Each difference from `old` to `new`.

    Raises:
        CheckError: one is a FlatBuffers schema and the other an Arrow schema.
    """
    if old.flat is not None and new.flat is not None:
        from atom_console.schema.flat_diff import diff_flat

        return diff_flat(old.flat, new.flat)
    if old.arrow is not None and new.arrow is not None:
        from atom_console.schema.arrow_diff import diff_arrow

        return diff_arrow(old.arrow, new.arrow)
    raise CheckError(
        f"{old.name} is {old.language} and {new.name} is {new.language}: they have no common versions",
        next_step="Compare two of the same language; `schema check` compares events with the MDF format.",
    )


def load(path: Path, name: str | None = None) -> AnySchema:
    """The schema in a file.

    Raises:
        InputError: unreadable, of no known form, or refused by flatc.
    """
    called = name or path.stem
    if path.suffix == ".fbs":
        from atom_console.schema.compiler import compile_fbs

        return AnySchema(called, str(path), flat=load_schema(compile_fbs(path)))
    try:
        with path.open("rb") as file:
            head = file.read(8)
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror}", next_step="Check the path.") from None
    if head[4:8] == b"BFBS":
        return AnySchema(called, str(path), flat=_load_bfbs(path))
    return AnySchema(called, str(path), arrow=_load_arrow(path, head))


def _load_bfbs(path: Path) -> Schema:
    if path.stat().st_size > _MAX_SCHEMA_BYTES:
        raise InputError(f"{path} is larger than any schema", next_step="Check the file.")
    try:
        return load_schema(path.read_bytes())
    except DecodeError as error:
        raise InputError(f"{path}: {error.what}", next_step="Compile it again with flatc --binary --schema.") from None


def _load_arrow(path: Path, head: bytes) -> pa.Schema:
    import pyarrow as pa

    try:
        if head[:4] == b"PAR1":
            import pyarrow.parquet as pq

            return pq.read_schema(path)
        with pa.memory_map(str(path)) as mapped:
            if head[:6] == b"ARROW1":
                with pa.ipc.open_file(mapped) as reader:
                    return reader.schema
            with pa.ipc.open_stream(mapped) as reader:
                return reader.schema
    except (OSError, pa.ArrowException) as error:
        raise InputError(
            f"{path} holds no schema that can be read: {error}",
            next_step="Give a .fbs, .bfbs, Arrow IPC or Parquet file.",
        ) from None
