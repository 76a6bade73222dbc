"""Frames of the screen as text, compared with those that are stored.

`ATOM_UPDATE_FRAMES=1` stores what is drawn now; look at the difference before you commit it.
"""

from __future__ import annotations

import difflib
import os
from pathlib import Path
from typing import Any

from textual.app import App

STORED = Path(__file__).parent / "frames"


def frame(app: App[Any]) -> str:
    """What is on the screen, one line a line, without trailing blanks."""
    strips = app.screen._compositor.render_strips()
    return "\n".join(strip.text.rstrip() for strip in strips) + "\n"


def check_frame(app: App[Any], name: str) -> None:
    """Compare with the stored frame of this name and the screen's size."""
    width, height = app.size
    path = STORED / f"{name}-{width}x{height}.txt"
    drawn = frame(app)
    if os.environ.get("ATOM_UPDATE_FRAMES") == "1":
        path.parent.mkdir(exist_ok=True)
        path.write_text(drawn, encoding="utf-8")
        return
    assert path.exists(), f"{path.name} is not stored: run once with ATOM_UPDATE_FRAMES=1 and look at it"
    stored = path.read_text(encoding="utf-8")
    if drawn != stored:
        diff = difflib.unified_diff(stored.splitlines(), drawn.splitlines(), "stored", "drawn", lineterm="")
        raise AssertionError(f"{path.name} differs:\n" + "\n".join(diff))
