"""Reads every layer and builds the settings: command line, environment, profile, file, built-in profile, default."""

from __future__ import annotations

import os
from collections import ChainMap
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from atom_console.config.origins import DEFAULT, ConfigError, Fault, Origin, Sourced

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails

    from atom_console.config.layers import ConfigFile, Layer
    from atom_console.config.model import Settings


@dataclass(frozen=True, slots=True)
class Loaded:
    """Settings as they are in force.

    Attributes:
        settings: the typed values.
        origins: where the value of every dotted key came from.
        config_file: the file that was read, or None where there is none.
        warnings: sentences for stderr; nothing here stops the program.
    """

    settings: Settings
    origins: Mapping[str, Origin]
    config_file: Path | None
    warnings: tuple[str, ...]


def load(
    profile: str | None = None,
    config_file: Path | None = None,
    overrides: Iterable[str] = (),
    read_only: bool | None = None,
    environ: Mapping[str, str] = os.environ,
    log_file: Path | None = None,
) -> Loaded:
    """Reads the settings.

    Args:
        profile: `--profile`; otherwise ATOM_PROFILE, `profile` of the file, `dev`.
        config_file: `--config`; otherwise ATOM_CONFIG, or `config.toml` of the configuration directory if it is there.
        overrides: `KEY=VALUE` texts of `--set`.
        read_only: True where `--read-only` was given.
        environ: the variables to read.
        log_file: `--log-file`.

    Raises:
        ConfigError: values that cannot be used or keys that nobody knows, all of them at once.
    """
    from atom_console.config import layers

    flags = layers.from_flags(overrides)
    for name, value in (("profile", profile), ("read_only", read_only or None), ("log_file", log_file)):
        if value is not None:
            option = "--" + name.replace("_", "-")
            flags.values[name] = Sourced(value, Origin("flag", option if value is True else f"{option} {value}"))
    env = layers.from_environment(environ)
    path = _file_to_read(config_file, environ)
    file = layers.from_file(path) if path else layers.ConfigFile()

    chosen = _first("profile", flags.values, env.values, file.common.values) or Sourced("dev", DEFAULT)
    wrong_profile = layers.profile_fault(chosen, file.profiles)
    merged = _merge(flags, env, file, str(chosen.value))
    settings, bad_values = _build(merged)
    if wrong_profile:
        bad_values = [wrong_profile, *(fault for fault in bad_values if fault.key != "profile")]
    faults = [*flags.faults, *env.faults, *file.faults, *bad_values]
    if faults or settings is None:
        raise ConfigError(list(dict.fromkeys(faults)))
    return Loaded(
        settings=settings,
        origins=_origins(settings, merged),
        config_file=path,
        warnings=(*env.warnings, *file.common.warnings),
    )


def check(
    profile: str | None = None,
    config_file: Path | None = None,
    overrides: Iterable[str] = (),
    environ: Mapping[str, str] = os.environ,
) -> tuple[list[Fault], list[str]]:
    """Every fault and warning of every profile, not only of the one in use. Arguments as for `load`."""
    from atom_console.config import layers
    from atom_console.config.profiles import BUILT_IN

    path = _file_to_read(config_file, environ)
    file = layers.from_file(path) if path else layers.ConfigFile()
    overrides = tuple(overrides)
    faults: dict[Fault, None] = {}
    warnings: dict[str, None] = {}
    for each in dict.fromkeys([profile, *BUILT_IN, *file.profiles]):
        try:
            loaded = load(each, config_file, overrides, environ=environ)
            warnings |= dict.fromkeys(loaded.warnings)
        except ConfigError as error:
            faults |= dict.fromkeys(error.faults)
    return list(faults), list(warnings)


def dotted(settings: Settings) -> Iterator[tuple[str, Any]]:
    """Every key with its value, in the order of the model; a property passed through has a key of its own."""
    from atom_console.config.keys import PROPERTIES, keys

    for key in keys():
        section, _, name = key.rpartition(".")
        value = getattr(getattr(settings, section) if section else settings, name)
        if key == PROPERTIES:
            yield from ((f"{key}.{item}", text) for item, text in value.items())
        else:
            yield key, value


def _file_to_read(named: Path | None, environ: Mapping[str, str]) -> Path | None:
    from atom_console.config import paths

    if named is not None:
        return named
    if environ.get("ATOM_CONFIG"):
        return Path(environ["ATOM_CONFIG"]).expanduser()
    usual = paths.config_file()
    return usual if usual.exists() else None


def _first(key: str, *layers: Mapping[str, Sourced]) -> Sourced | None:
    return next((layer[key] for layer in layers if key in layer), None)


def _merge(flags: Layer, env: Layer, file: ConfigFile, profile: str) -> Mapping[str, Sourced]:
    from atom_console.config.layers import Layer
    from atom_console.config.profiles import defaults

    built_in = {key: Sourced(value, Origin("profile", profile)) for key, value in defaults(profile).items()}
    own = file.profiles.get(profile, Layer())
    return ChainMap(flags.values, env.values, own.values, file.common.values, built_in)


def _build(merged: Mapping[str, Sourced]) -> tuple[Settings | None, list[Fault]]:
    from pydantic import ValidationError
    from pydantic_settings import InitSettingsSource

    from atom_console.config.model import Settings

    given = InitSettingsSource(Settings, init_kwargs=_nested(merged))
    try:
        # Only what was read here: not the environment of the process, which may be another than `environ`.
        return Settings(_build_sources=((given,), {})), []  # type: ignore[call-arg]
    except ValidationError as error:
        derived = _derived(merged)
        by_key: dict[str, Fault] = {}
        for detail in error.errors(include_url=False):
            fault = _fault(detail, merged, derived)
            by_key.setdefault(fault.key, fault)
        return None, list(by_key.values())


def _nested(merged: Mapping[str, Sourced]) -> dict[str, Any]:
    from atom_console.config.keys import PROPERTIES

    nested: dict[str, Any] = {}
    for key, sourced in merged.items():
        if key.startswith(f"{PROPERTIES}."):
            place = nested.setdefault("kafka", {}).setdefault("properties", {})
            place[key.removeprefix(f"{PROPERTIES}.")] = sourced.value
            continue
        section, _, name = key.rpartition(".")
        (nested.setdefault(section, {}) if section else nested)[name] = sourced.value
    return nested


def _derived(merged: Mapping[str, Sourced]) -> dict[str, Origin]:
    """Origins of the values that followed from others."""
    from atom_console.config.model import Settings

    found = {}
    for key, (_, why) in Settings.derived(_nested(merged)).items():
        kind, _, detail = why.partition(" ")
        found[key] = Origin("preset" if kind == "preset" else "derived", detail)
    return found


def _origins(settings: Settings, merged: Mapping[str, Sourced]) -> dict[str, Origin]:
    derived = _derived(merged)
    return {key: merged[key].origin if key in merged else derived.get(key, DEFAULT) for key, _ in dotted(settings)}


def _fault(error: ErrorDetails, merged: Mapping[str, Sourced], derived: Mapping[str, Origin]) -> Fault:
    """One error of the model as a sentence about what was written, where."""
    from atom_console.config.keys import PROPERTIES, is_secret, keys
    from atom_console.safe_text import safe_text

    key = ".".join(str(part) for part in error["loc"][:2])
    if key == PROPERTIES and len(error["loc"]) > 2:
        key = f"{PROPERTIES}.{error['loc'][2]}"
    known = keys().get(key)
    sourced = merged.get(key)
    origin = sourced.origin if sourced else derived.get(key, DEFAULT)
    problem = str(error.get("ctx", {}).get("problem", ""))
    allowed = known.allowed if known else "text"
    problem = f"{problem} (allowed: {allowed})" if problem else f"not {allowed}"
    if sourced is None or is_secret(key):
        return Fault(origin, key, problem)
    written = error["input"] if len(error["loc"]) > 2 else sourced.value
    value = safe_text(str(written), 120)
    return Fault(origin, key, f"{value!r}: {problem}")
