"""Whose console it is: known from the settings, before anything is opened."""

from __future__ import annotations

from typing import TYPE_CHECKING

from atom_console.engine.snapshot import SessionSection, SettingRow

if TYPE_CHECKING:
    from atom_console.config import Loaded


def session_section(loaded: Loaded) -> SessionSection:
    """The profile and what it may do; settings with their origins, secrets hidden."""
    from atom_console.config import dotted

    settings = loaded.settings
    return SessionSection(
        profile=settings.profile,
        word=settings.word,
        colour=settings.colour,
        read_only=settings.read_only,
        confirm=settings.confirm,
        clearance=settings.clearance,
        allow_edit=settings.edits_allowed,
        settings=tuple(
            SettingRow(key, str(value), str(loaded.origins.get(key, "default"))) for key, value in dotted(settings)
        ),
    )
