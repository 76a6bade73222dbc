"""The profiles that exist without a file, and the careful defaults of one that an operator adds."""

from __future__ import annotations

from typing import Any

BUILT_IN: dict[str, dict[str, Any]] = {
    "dev": {"word": "DEV", "colour": "green", "confirm": "plain"},
    "stage": {"word": "STAGE", "colour": "yellow", "confirm": "plain"},
    "prod": {"word": "PROD", "colour": "red", "confirm": "typed"},
}


def defaults(profile: str) -> dict[str, Any]:
    """What a profile sets before any file does: one of your own confirms like `prod` until it says otherwise."""
    return BUILT_IN.get(profile) or {"word": profile.upper()[:16], "colour": "white", "confirm": "typed"}
