"""A user's own header names, from the TOML file of `dlq.header_map`.

    [[map]]
    topics = ["orders-errors"]                                    # DLQ topics, `*` allowed
    topic = "x-src-topic"                                         # the headers; values are text by default
    partition = { header = "x-src-partition", type = "int32" }    # text | int32 | int64 | shortest
    offset = { header = "x-src-offset", type = "int64" }
    exception = "x-error-class"                                   # also: message, stack, cause, stage, component,
    source = "orders"                                             #       timestamp, attempts
    occurrence = "last"                                           # of repeated headers: last | first
    strip = ["x-src-", "x-error-"]                                # more prefixes that are not replayed
    payload = "original"                                          # original | derived

`source` names the source topic where no header does; a map with only `topics` and `source` adds that to a known
framework (Sentry Arroyo needs it). The headers named here are never replayed.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, Final

from atom_console.dlq.adapters.letter import Context, Letter, Reading
from atom_console.dlq.adapters.strip import strip
from atom_console.dlq.adapters.values import Values
from atom_console.dlq.record import Origin, PayloadKind
from atom_console.errors import InputError

_TEXTS: Final = ("exception", "message", "stack", "cause", "stage", "component")
_NUMBERS: Final = ("partition", "offset", "timestamp", "attempts")
_FIELDS: Final = ("topic", *_NUMBERS, *_TEXTS)
_TYPES: Final = ("text", "int32", "int64", "shortest")
_OTHER: Final = ("topics", "source", "occurrence", "strip", "payload")


class HeaderMapError(InputError):
    """The header map cannot be read or used."""


@dataclass(frozen=True, slots=True)
class HeaderMap:
    """One `[[map]]`: field → (header name, type)."""

    topics: tuple[str, ...]
    fields: Mapping[str, tuple[str, str]]
    source: str | None
    first: bool
    prefixes: tuple[str, ...]
    derived: bool

    def applies(self, letter: Letter) -> bool:
        """Whether the topic is one of its own and the record carries one of its headers."""
        if not any(fnmatchcase(letter.topic, pattern) for pattern in self.topics):
            return False
        wanted = {name for name, _ in self.fields.values()}
        return any(name in wanted for name, _ in letter.headers)

    def read(self, reading: Reading, letter: Letter, values: Values) -> None:
        """Fill the reading from the headers of this map."""
        reading.origin = Origin.CUSTOM
        for field, (name, kind) in self.fields.items():
            value = self._find(letter, name)
            if field == "topic":
                reading.topic = values.topic(name, value)
            elif field in _NUMBERS:
                setattr(reading, field, _number(values, kind, field, name, value))
            else:
                text = values.text(value)
                setattr(reading, field, text if field in {"stack", "cause"} else text or "")
        reading.topic = reading.topic or self.source
        names = tuple(name for name, _ in self.fields.values())
        reading.headers = tuple(pair for pair in strip(letter.headers, also=self.prefixes)[0] if pair[0] not in names)
        if self.derived and reading.kind is not PayloadKind.ABSENT:
            reading.kind, reading.refetch = PayloadKind.DERIVED, reading.addressable

    def _find(self, letter: Letter, wanted: str) -> bytes | None:
        found = [value for name, value in letter.headers if name == wanted]
        return None if not found else found[0 if self.first else -1]


def load_context(path: Path | None, dlq_topics: tuple[str, ...] = ()) -> Context:
    """The header map as the adapters use it; without a file only the topics.

    Raises:
        HeaderMapError: no such file, not TOML, an unknown key or value; names the file and the key.
    """
    if path is None:
        return Context(frozenset(dlq_topics))
    try:
        with path.open("rb") as file:
            document = tomllib.load(file)
    except OSError as error:
        raise HeaderMapError(f"{path}: {error.strerror}", next_step="correct dlq.header_map") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise HeaderMapError(f"{path}: not TOML: {error}", next_step="correct the file") from None
    tables = document.pop("map", None)
    if document or not isinstance(tables, list) or not all(isinstance(table, dict) for table in tables):
        raise HeaderMapError(f"{path}: it consists of [[map]] tables and nothing else", next_step="correct the file")
    maps = [_parse(table, f"{path}: map {number}") for number, table in enumerate(tables, start=1)]
    sources = {topic: one.source for one in maps if one.source for topic in one.topics}
    return Context(frozenset(dlq_topics), sources, tuple(one for one in maps if one.fields))


def _parse(table: dict[str, Any], where: str) -> HeaderMap:
    for key in table:
        if key not in _FIELDS and key not in _OTHER:
            raise HeaderMapError(f"{where}: unknown key {key!r}", next_step=f"known: {', '.join(_OTHER + _FIELDS)}")
    topics = table.get("topics")
    if not _texts(topics) or not topics:
        raise HeaderMapError(f"{where}: topics is missing", next_step='say topics = ["the-dlq-topic"]')
    fields: dict[str, tuple[str, str]] = {
        key: _header(table[key], f"{where}: {key}", number=key in _NUMBERS) for key in _FIELDS if key in table
    }
    source = table.get("source")
    if source is not None and not isinstance(source, str):
        raise HeaderMapError(f"{where}: source is not a topic name")
    if not fields and source is None:
        raise HeaderMapError(
            f"{where}: it names neither a header nor a source", next_step="add topic, partition, offset"
        )
    prefixes = table.get("strip", [])
    if not _texts(prefixes) or "" in prefixes:
        raise HeaderMapError(f"{where}: strip is not a list of prefixes")
    return HeaderMap(
        tuple(topics),
        fields,
        source,
        _one_of(table, "occurrence", ("last", "first"), where) == "first",
        tuple(prefixes),
        _one_of(table, "payload", ("original", "derived"), where) == "derived",
    )


def _header(value: Any, where: str, *, number: bool) -> tuple[str, str]:
    if isinstance(value, str):
        return value, "text"
    if isinstance(value, dict) and isinstance(value.get("header"), str) and not value.keys() - {"header", "type"}:
        kind = value.get("type", "text")
        if kind in _TYPES and (number or kind == "text"):
            return value["header"], kind
    allowed = "a header name, or { header = …, type = text | int32 | int64 | shortest }"
    raise HeaderMapError(f"{where}: neither a header name nor a table that fits", next_step=f"write {allowed}")


def _one_of(table: dict[str, Any], key: str, allowed: tuple[str, ...], where: str) -> str:
    value = table.get(key, allowed[0])
    if value not in allowed:
        raise HeaderMapError(f"{where}: {key} is {value!r}", next_step=f"allowed: {', '.join(allowed)}")
    return str(value)


def _texts(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(item, str) for item in value)


def _number(values: Values, kind: str, field: str, name: str, value: bytes | None) -> int | None:
    if kind == "text":
        read = values.decimal32 if field in {"partition", "attempts"} else values.decimal64
        return read(name, value)
    return {"int32": values.int32, "int64": values.int64, "shortest": values.shortest}[kind](name, value)
