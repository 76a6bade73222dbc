"""On which line of a TOML file each key is."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator
from typing import Any

Path = tuple[str, ...]


def key_lines(text: str) -> dict[Path, int]:
    """Path of every table and value → the line of its statement, from 1.

    A TOML statement (a header, or `key = value`) ends with a line, and is complete as soon as its lines parse on their
    own: the parser itself finds where multi-line strings and arrays end. An element of an array of tables has the
    path of its array.

    Args:
        text: a document that `tomllib` accepts.
    """
    lines: dict[Path, int] = {}
    table: Path = ()
    for number, statement in _statements(text):
        parsed = tomllib.loads(statement)
        if statement.lstrip().startswith("["):
            table = _header(parsed)
            lines.setdefault(table, number)
            continue
        for path in _paths(parsed):
            lines.setdefault(table + path, number)
    return lines


def _statements(text: str) -> Iterator[tuple[int, str]]:
    pending: list[str] = []
    start = 1
    for number, line in enumerate(text.replace("\r\n", "\n").split("\n"), start=1):
        if not pending:
            start = number
        pending.append(line)
        statement = "\n".join(pending)
        try:
            tomllib.loads(statement)
        except tomllib.TOMLDecodeError:
            continue
        pending.clear()
        yield start, statement


def _header(parsed: dict[str, Any]) -> Path:
    path: list[str] = []
    inner: Any = parsed
    while inner:
        if isinstance(inner, list):
            inner = inner[0]
            continue
        name, inner = next(iter(inner.items()))
        path.append(name)
    return tuple(path)


def _paths(parsed: dict[str, Any], above: Path = ()) -> Iterator[Path]:
    for name, value in parsed.items():
        yield (*above, name)
        if isinstance(value, dict):
            yield from _paths(value, (*above, name))
