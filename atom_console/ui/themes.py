"""Themes: one TOML file each, the bundled ones and the user's own; a broken file is named and skipped."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable
from dataclasses import fields
from pathlib import Path

from textual.color import Color, ColorParseError
from textual.theme import Theme

from atom_console.resources import resource_dir

_COLOURS = frozenset(
    {"primary", "secondary", "warning", "error", "success", "accent", "foreground", "background", "surface", "panel"}
    | {"boost"}
)
_FLAGS = frozenset({"dark", "ansi"})
_NUMBERS = frozenset({"luminosity_spread", "text_alpha"})
_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,30}")
_REQUIRED = ("primary", "warning", "error", "success", "foreground", "background")
assert {"name", "variables"} | _COLOURS | _FLAGS | _NUMBERS == {field.name for field in fields(Theme)}


class ThemeError(ValueError):
    """A theme file that cannot be used: the message names the file and the field."""


def load_themes(directories: Iterable[Path]) -> tuple[list[Theme], list[str]]:
    """All usable themes of the directories (a later one replaces an earlier of the same name) and what was wrong.

    A directory that is not there is no fault.
    """
    themes: dict[str, Theme] = {}
    problems: list[str] = []
    for directory in directories:
        for path in sorted(directory.glob("*.toml")) if directory.is_dir() else ():
            try:
                theme = read_theme(path)
            except ThemeError as error:
                problems.append(str(error))
            else:
                themes[theme.name] = theme
    return list(themes.values()), problems


def bundled_dir() -> Path:
    """Where the themes that ship are."""
    return resource_dir("themes")


def read_theme(path: Path) -> Theme:
    """The theme of a file; its name is the file's.

    Raises:
        ThemeError: not readable, not TOML, an unknown field, a colour that is none.
    """
    name = path.stem
    if not _NAME.fullmatch(name):
        raise ThemeError(f"theme {path}: a name has small letters, digits and hyphens only")
    try:
        data = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ThemeError(f"theme {path}: {error}") from error
    variables = data.pop("variables", {})
    if not isinstance(variables, dict) or not all(isinstance(value, str) for value in variables.values()):
        raise ThemeError(f"theme {path}: `variables` must be a table of strings")
    for field, value in data.items():
        _check(path, field, value)
    for field in _REQUIRED:
        if field not in data:
            raise ThemeError(f"theme {path}: {field} is missing")
    return Theme(name=name, variables=variables, **data)


def _check(path: Path, field: str, value: object) -> None:
    if field in _COLOURS:
        if not _is_colour(value):
            raise ThemeError(f'theme {path}: {field} = {value!r} is not a colour such as "#7aa2f7"')
    elif field in _FLAGS:
        if not isinstance(value, bool):
            raise ThemeError(f"theme {path}: {field} must be true or false")
    elif field in _NUMBERS:
        if not isinstance(value, (int, float)) or isinstance(value, bool) or not 0 <= value <= 1:
            raise ThemeError(f"theme {path}: {field} must be a number from 0 to 1")
    else:
        known = ", ".join(sorted(_COLOURS | _FLAGS | _NUMBERS | {"variables"}))
        raise ThemeError(f"theme {path}: there is no field {field}; known are {known}")


def _is_colour(value: object) -> bool:
    try:
        return isinstance(value, str) and bool(Color.parse(value))
    except ColorParseError:
        return False
