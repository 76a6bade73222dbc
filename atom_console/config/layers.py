"""The layers that settings come from, read into dotted keys with their origin; faults are collected, never raised."""

from __future__ import annotations

import re
import stat
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from atom_console.config.keys import PROPERTIES, is_secret, keys, sections, suggest
from atom_console.config.origins import Fault, Origin, Sourced
from atom_console.config.profiles import BUILT_IN
from atom_console.config.values import property_pairs

NOT_SETTINGS = frozenset({"ATOM_CONFIG"})
"""Variables of ours that are read before any setting."""
_TEST_PREFIX = "ATOM_TEST_"
_NEVER_ON_ARGV = "a secret is never given on the command line, where every user of the host can read it"
_TOML_PLACE = re.compile(r"^(.*) \(at line (\d+), column \d+\)$", re.DOTALL)


@dataclass(slots=True)
class Layer:
    """Values of one source by dotted key, with what was wrong in it and what deserves a warning."""

    values: dict[str, Sourced] = field(default_factory=dict)
    faults: list[Fault] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)


@dataclass(slots=True)
class ConfigFile:
    """A configuration file: what holds for all profiles, and the tables of each profile."""

    common: Layer = field(default_factory=Layer)
    profiles: dict[str, Layer] = field(default_factory=dict)

    @property
    def faults(self) -> Iterator[Fault]:
        """Of the whole file, whichever profile is in use."""
        for layer in (self.common, *self.profiles.values()):
            yield from layer.faults


def from_flags(overrides: Iterable[str]) -> Layer:
    """`--set KEY=VALUE`, the last of a key wins."""
    layer = Layer()
    for text in overrides:
        name, sign, value = text.partition("=")
        name = name.strip()
        shown = Origin("flag", f"--set {name}=…" if is_secret(name) else f"--set {text}")
        if not sign:
            written = Origin("flag", "--set …" if is_secret(text) else f"--set {text}")
            layer.faults.append(Fault(written, "", "not KEY=VALUE"))
        elif is_secret(name) and _known(name):
            variable = keys()[name].env if name in keys() else "ATOM_KAFKA_PROPERTIES"
            layer.faults.append(Fault(shown, name, f"{_NEVER_ON_ARGV}: use {variable} or the configuration file"))
        elif name == PROPERTIES:
            _take_pairs(layer, value, Origin("flag", f"--set {name}=…"), on_argv=True)
        elif _known(name):
            layer.values[name] = Sourced(value, shown)
        else:
            layer.faults.append(Fault(shown, name, _unknown("key", name, keys())))
    return layer


def from_environment(environ: Mapping[str, str]) -> Layer:
    """`ATOM_…` variables; an empty one counts as not set.

    An unknown name is a fault where it is surely meant for us (one of our tables, or near one of our names), and a
    warning otherwise: other programs use the prefix too.
    """
    layer = Layer()
    by_variable = {key.env: key for key in keys().values()}
    tables = tuple(f"ATOM_{name.upper()}_" for name in sections())
    for variable, value in sorted(environ.items()):
        if (
            not variable.startswith("ATOM_")
            or variable.startswith(_TEST_PREFIX)
            or variable in NOT_SETTINGS
            or not value
        ):
            continue
        origin = Origin("env", variable)
        known = by_variable.get(variable)
        if known is not None and known.name == PROPERTIES:
            _take_pairs(layer, value, origin)
            continue
        if known is not None:
            layer.values[known.name] = Sourced(value, origin)
            continue
        near = suggest(variable.removeprefix("ATOM_"), (name.removeprefix("ATOM_") for name in by_variable))
        problem = "no such variable" + (f"; did you mean ATOM_{near}?" if near else "")
        if near or variable.startswith(tables):
            layer.faults.append(Fault(origin, "", problem))
        else:
            layer.warnings.append(f"{variable} is not a setting of atom-console and is ignored")
    return layer


def from_file(path: Path) -> ConfigFile:
    """A TOML file; one that cannot be read or parsed is a single fault."""
    from atom_console.config.toml_lines import key_lines

    read = ConfigFile()
    try:
        raw = path.read_bytes()
        mode = path.stat().st_mode
    except OSError as error:
        read.common.faults.append(Fault(Origin("file", str(path)), "", f"cannot be read: {error.strerror}"))
        return read
    try:
        text = raw.decode()
        document = tomllib.loads(text)
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        read.common.faults.append(Fault(Origin("file", f"{path}:{line}"), "", "not UTF-8"))
        return read
    except tomllib.TOMLDecodeError as error:
        read.common.faults.append(_syntax_fault(path, text, error))
        return read

    places = key_lines(text)

    def origin(at: tuple[str, ...]) -> Origin:
        return Origin("file", f"{path}:{places.get(at, 1)}")

    profiles = document.pop("profiles", {})
    _fill(read.common, document, (), origin)
    if not isinstance(profiles, dict):
        read.common.faults.append(Fault(origin(("profiles",)), "profiles", "must be tables, such as [profiles.prod]"))
        profiles = {}
    for name, table in profiles.items():
        layer = read.profiles[name] = Layer()
        if isinstance(table, dict):
            _fill(layer, table, ("profiles", name), origin)
        else:
            layer.faults.append(Fault(origin(("profiles", name)), f"profiles.{name}", "must be a table"))
        if "profile" in layer.values:
            at = layer.values.pop("profile").origin
            layer.faults.append(Fault(at, "profile", "stands at the top of the file, not inside a profile"))
    if mode & (stat.S_IRWXG | stat.S_IRWXO) and any(map(is_secret, _all_keys(read))):
        read.common.warnings.append(f"{path} holds a secret and others can read it: chmod 600 {path}")
    return read


def profile_fault(name: Sourced, known: Iterable[str]) -> Fault | None:
    """The fault of choosing a profile that nobody defined."""
    names = sorted({*BUILT_IN, *known})
    if name.value in names:
        return None
    hint = suggest(str(name.value), names)
    problem = f"no profile {name.value!r}" + (f"; did you mean {hint}?" if hint else "")
    return Fault(name.origin, "profile", f"{problem} (there are {', '.join(names)})")


def _all_keys(read: ConfigFile) -> Iterator[str]:
    for layer in (read.common, *read.profiles.values()):
        yield from layer.values


def _fill(layer: Layer, table: dict[str, Any], above: tuple[str, ...], origin: Any) -> None:
    """Takes the values of one level of settings: the top, or one profile."""
    for name, value in table.items():
        at = (*above, name)
        if name in sections():
            if not isinstance(value, dict):
                layer.faults.append(Fault(origin(at), name, f"must be a table: [{'.'.join(at)}]"))
                continue
            for field_name, item in value.items():
                _take(layer, f"{name}.{field_name}", item, (*at, field_name), origin)
        else:
            _take(layer, name, value, at, origin)


def _take(layer: Layer, key: str, value: Any, at: tuple[str, ...], origin: Any) -> None:
    if key == PROPERTIES and isinstance(value, dict):
        for path, item in _leaves(value):
            layer.values[f"{PROPERTIES}.{'.'.join(path)}"] = Sourced(item, origin((*at, *path)))
    elif key == PROPERTIES:
        _take_pairs(layer, value, origin(at))
    elif key in keys():
        layer.values[key] = Sourced(value, origin(at))
    else:
        noun, known = ("table", [*sections(), "profiles"]) if isinstance(value, dict) else ("key", list(keys()))
        layer.faults.append(Fault(origin(at), key, _unknown(noun, key, known)))


def _take_pairs(layer: Layer, value: Any, origin: Origin, *, on_argv: bool = False) -> None:
    """`name=value` pairs, or a JSON object, as one key for each property."""
    try:
        pairs = property_pairs(value)
    except ValueError as error:
        layer.faults.append(Fault(origin, PROPERTIES, str(error)))
        return
    if not isinstance(pairs, dict):
        layer.faults.append(Fault(origin, PROPERTIES, "not name=value pairs"))
        return
    for name, text in pairs.items():
        key = f"{PROPERTIES}.{name}"
        if on_argv and is_secret(key):
            layer.faults.append(Fault(origin, key, f"{_NEVER_ON_ARGV}: use ATOM_KAFKA_PROPERTIES or the file"))
        else:
            layer.values[key] = Sourced(text, origin)


def _leaves(table: dict[str, Any], above: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    for name, value in table.items():
        if isinstance(value, dict):
            yield from _leaves(value, (*above, name))
        else:
            yield (*above, name), value


def _known(key: str) -> bool:
    return key in keys() or (key.startswith(f"{PROPERTIES}.") and len(key) > len(PROPERTIES) + 1)


def _unknown(noun: str, name: str, known: Iterable[str]) -> str:
    near = suggest(name, known)
    return f"no such {noun}" + (f"; did you mean {near}?" if near else "")


def _syntax_fault(path: Path, text: str, error: tomllib.TOMLDecodeError) -> Fault:
    match = _TOML_PLACE.match(str(error))
    problem, line = (match[1], match[2]) if match else (str(error).partition(" (at end")[0], str(text.count("\n") + 1))
    return Fault(Origin("file", f"{path}:{line}"), "", f"not TOML: {problem}")
