"""Typed settings, profiles and paths, each value with its origin. Names load on first use."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from atom_console.config.loading import Loaded, check, dotted, load
    from atom_console.config.model import (
        DlqSettings,
        FlightSettings,
        KafkaSettings,
        PkiSettings,
        Settings,
        UiSettings,
    )
    from atom_console.config.origins import ConfigError, Fault, Origin

__all__ = [
    "ConfigError",
    "DlqSettings",
    "Fault",
    "FlightSettings",
    "KafkaSettings",
    "Loaded",
    "Origin",
    "PkiSettings",
    "Settings",
    "UiSettings",
    "check",
    "dotted",
    "load",
]

_HOMES = {
    **dict.fromkeys(("Loaded", "check", "dotted", "load"), "loading"),
    **dict.fromkeys(("ConfigError", "Fault", "Origin"), "origins"),
}


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f"{__name__}.{_HOMES.get(name, 'model')}"), name)
