"""A small rule file that repairs many records alike: set, rename, default, drop a field. TOML, one table a rule.

    [[rule]]
    set = { tenant_id = "tenant-41" }
    default = { user_id = "unknown" }
    rename = { "molecules[].error_value" = "molecules[].text_commentary" }
    drop = ["molecules[].text_commentary"]

A path is a field of the event, or `molecules[].FIELD` for that field of every molecule. Within a rule the order is
rename, set, default, drop; rules apply one after the other.
"""

from __future__ import annotations

import copy
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from atom_console.errors import InputError
from atom_console.events.layout import EVENT_FIELDS, MOLECULE_FIELDS

_EACH: Final = "molecules[]."
_VERBS: Final = ("rename", "set", "default", "drop")


class RuleFileError(InputError):
    """The rule file cannot be used."""


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule, checked."""

    rename: Mapping[str, str]
    set: Mapping[str, Any]
    default: Mapping[str, Any]
    drop: tuple[str, ...]


def load_rules(path: Path) -> tuple[Rule, ...]:
    """Read and check a rule file.

    Raises:
        RuleFileError: unreadable, not TOML, an unknown verb or field.
    """
    try:
        document = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise RuleFileError(f"{path}: cannot be read: {error}") from error
    tables = document.get("rule")
    if not isinstance(tables, list) or not tables or set(document) != {"rule"}:
        raise RuleFileError(f"{path}: expected [[rule]] tables and nothing else")
    return tuple(_rule(table, f"{path}: rule {number}") for number, table in enumerate(tables, 1))


def apply_rules(document: Mapping[str, Any], rules: tuple[Rule, ...]) -> dict[str, Any]:
    """The changed event, in its JSON form; the given one stays as it is."""
    event: dict[str, Any] = copy.deepcopy(dict(document))
    for rule in rules:
        for old, new in rule.rename.items():
            for place, name in _places(event, old):
                if name in place:
                    place[_field(new)] = place.pop(name)
        for path, value in rule.set.items():
            for place, name in _places(event, path):
                place[name] = copy.deepcopy(value)
        for path, value in rule.default.items():
            for place, name in _places(event, path):
                place.setdefault(name, copy.deepcopy(value))
        for path in rule.drop:
            for place, name in _places(event, path):
                place.pop(name, None)
    return event


def _rule(table: Mapping[str, Any], where: str) -> Rule:
    unknown = set(table) - set(_VERBS)
    if unknown or not table:
        raise RuleFileError(f"{where}: {', '.join(sorted(unknown)) or 'empty'}; allowed: {', '.join(_VERBS)}")
    maps = {verb: table.get(verb, {}) for verb in ("rename", "set", "default")}
    drop = table.get("drop", [])
    for verb, mapping in maps.items():
        if not isinstance(mapping, dict):
            raise RuleFileError(f"{where}: {verb} is not a table")
        for path in mapping:
            _check(path, f"{where}: {verb}")
    if not isinstance(drop, list):
        raise RuleFileError(f"{where}: drop is not a list")
    for path in drop:
        _check(path, f"{where}: drop")
    for old, new in maps["rename"].items():
        _check(new, f"{where}: rename")
        if old.startswith(_EACH) != str(new).startswith(_EACH):
            raise RuleFileError(f"{where}: rename {old} to {new}: both of the event, or both of a molecule")
    return Rule(maps["rename"], maps["set"], maps["default"], tuple(drop))


def _check(path: object, where: str) -> None:
    if isinstance(path, str):
        names = MOLECULE_FIELDS if path.startswith(_EACH) else EVENT_FIELDS
        if _field(path) in names:
            return
    raise RuleFileError(f"{where}: {path!r} is no field", next_step="Name a field, or molecules[].FIELD.")


def _field(path: str) -> str:
    return path.removeprefix(_EACH)


def _places(event: dict[str, Any], path: str) -> Iterator[tuple[dict[str, Any], str]]:
    if not path.startswith(_EACH):
        yield event, path
        return
    for molecule in event.get("molecules") or ():
        yield molecule, _field(path)
