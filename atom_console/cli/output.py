"""How commands speak: data on stdout (JSON or plain text), everything else on stderr; foreign text made harmless."""

from __future__ import annotations

import json
import math
import shutil
import sys
from base64 import b64encode
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from atom_console.safe_text import safe_text

_GAP = "  "
_WIDEST_CELL = 400


def print_json(document: object) -> None:
    """One JSON document on stdout: an indented one for people on a terminal, else one line."""
    sys.stdout.write(to_json(document, indent=2 if sys.stdout.isatty() else None) + "\n")


def print_json_line(document: object) -> None:
    """One line of JSON Lines on stdout."""
    sys.stdout.write(to_json(document) + "\n")


def to_json(document: object, indent: int | None = None) -> str:
    """Valid JSON, ASCII only, whatever is in it: bytes become base64, numbers that JSON lacks become null."""
    try:
        return json.dumps(document, default=_plain, indent=indent, allow_nan=False)
    except ValueError:
        return json.dumps(_finite(document), default=_plain, indent=indent, allow_nan=False)


def print_table(columns: Sequence[str], rows: Iterable[Sequence[object]], *, width: int | None = None) -> None:
    """Aligned columns on stdout; numbers to the right, and the last column cut where the terminal ends.

    Nothing is cut when stdout is not a terminal: a script reads whole values.

    Args:
        columns: the headings, in capitals by custom.
        rows: the cells; None is shown as `-`, other foreign text through `safe_text`.
        width: characters of a line; by default those of the terminal.
    """
    body = [[_cell(value) for value in row] for row in rows]
    numeric = [_is_numeric(index, rows_of=body) for index in range(len(columns))]
    widths = [max([len(head), *(len(row[i]) for row in body)]) for i, head in enumerate(columns)]
    if width is None and sys.stdout.isatty():
        width = shutil.get_terminal_size().columns
    for row in [list(columns), *body]:
        cells = [
            cell.rjust(size) if right else cell.ljust(size)
            for cell, size, right in zip(row, widths, numeric, strict=True)
        ]
        line = _GAP.join(cells).rstrip()
        sys.stdout.write((line if width is None or len(line) <= width else line[: width - 1] + "…") + "\n")


def print_fields(fields: Mapping[str, object]) -> None:
    """One `name  value` line each, aligned."""
    size = max(map(len, fields), default=0)
    for name, value in fields.items():
        sys.stdout.write(f"{name.ljust(size)}{_GAP}{_cell(value)}\n")


def print_line(text: str) -> None:
    """One line of foreign text on stdout."""
    sys.stdout.write(safe_text(text) + "\n")


def say(text: str) -> None:
    """A diagnostic on stderr; each of its lines passes `safe_text`. Fails silently where stderr is gone."""
    try:
        for line in text.split("\n"):
            sys.stderr.write(safe_text(line) + "\n")
        sys.stderr.flush()
    except (OSError, ValueError):
        return


def _cell(value: object) -> str:
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return safe_text(value if isinstance(value, bytes) else str(value), _WIDEST_CELL)


def _is_numeric(index: int, *, rows_of: Sequence[Sequence[str]]) -> bool:
    cells = [row[index] for row in rows_of if row[index] != "-"]
    return bool(cells) and all(cell.replace(",", "").replace(".", "", 1).lstrip("-").isdigit() for cell in cells)


def _plain(value: Any) -> Any:
    if isinstance(value, bytes | bytearray | memoryview):
        return b64encode(value).decode()
    if isinstance(value, set | frozenset):
        return sorted(value)
    return str(value)


def _finite(value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, Mapping):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    return value
