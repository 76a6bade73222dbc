"""Atom Console: the operator's console for an event backbone, and the producer it embeds.

`from atom_console import Producer` is the library form. Names load on first use: importing the package costs nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from atom_console._version import __version__

if TYPE_CHECKING:
    from atom_console.engine.producer import Producer
    from atom_console.events import AtomEvent, EventType, Molecule

__all__ = ["AtomEvent", "EventType", "Molecule", "Producer", "__version__"]

_HOMES = {
    "Producer": "atom_console.engine.producer",
    "AtomEvent": "atom_console.events",
    "EventType": "atom_console.events",
    "Molecule": "atom_console.events",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(_HOMES[name]), name)
