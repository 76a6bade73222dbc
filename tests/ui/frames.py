"""Frames of the screen as text, compared with those that are stored.

`ATOM_UPDATE_FRAMES=1` stores what is drawn now; look at the difference before you commit it. `ATOM_PICTURES=DIRECTORY`
writes an SVG of each frame of 120×40 there.
"""

from __future__ import annotations

import asyncio
import contextlib
import difflib
import os
from collections.abc import AsyncIterator, Awaitable
from pathlib import Path
from typing import Any, Protocol

import pytest
from picture import write_picture
from scripted import ScriptedEngine
from textual.app import App
from textual.pilot import Pilot

from atom_console.ui.app import ConsoleApp
from atom_console.ui.options import UiOptions


class Press(Protocol):
    def __call__(self, *keys: str) -> Awaitable[None]: ...


# A round takes every message that waits; what it sets off in turn (a parent, a redraw, a read) is for the next.
_ROUNDS = 8
STORED = Path(__file__).parent / "frames"
SIZES = [(80, 24), (120, 40), (200, 60)]
sizes = pytest.mark.parametrize("size", SIZES, ids=lambda size: f"{size[0]}x{size[1]}")
"""A test at each size that is promised."""


def frame(app: App[Any]) -> str:
    """What is on the screen, one line a line, without trailing blanks."""
    strips = app.screen._compositor.render_strips()
    return "\n".join(strip.text.rstrip() for strip in strips) + "\n"


def check_frame(app: App[Any], name: str) -> None:
    """Compare with the stored frame of this name and the screen's size."""
    width, height = app.size
    if (pictures := os.environ.get("ATOM_PICTURES")) and app.size == (120, 40):
        write_picture(app, Path(pictures) / f"{name}.svg")
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


async def settle(pilot: Pilot[Any]) -> None:
    """Until nothing is on its way: messages, reads, commands."""
    app = pilot.app
    for _ in range(_ROUNDS):
        await pilot.pause()
        while not all(loader.idle for loader in app._loaders):  # type: ignore[attr-defined]
            await asyncio.sleep(0.002)


@contextlib.asynccontextmanager
async def console(
    engine: ScriptedEngine, size: tuple[int, int] = (80, 24), **options: Any
) -> AsyncIterator[tuple[ConsoleApp, Press]]:
    """A running console that looks at the engine only when asked, and a function that presses keys."""
    app = ConsoleApp(engine, UiOptions(**{"refresh_s": 0, **options}))
    async with app.run_test(size=size, notifications=True) as pilot:
        await settle(pilot)

        async def press(*keys: str) -> None:
            for key in keys:
                await pilot.press(key)
                await settle(pilot)

        yield app, press
