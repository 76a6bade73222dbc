"""Makes the pictures in `docs/screens` and the page that shows them, from the running console at 120×40.

`python docs/make_screens.py` writes an SVG of each room on the embedded sandbox, and one of each state from the tests
that hold its frame (a broken store or an expired certificate is staged there). It takes about a minute and a half.
"""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from pathlib import Path

from atom_console.engine.engine import Engine
from atom_console.sandbox.demo import Demo
from atom_console.ui.app import ConsoleApp
from atom_console.ui.options import UiOptions

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests" / "ui"))

from picture import write_picture

HERE = Path(__file__).resolve().parent / "screens"
STATES = HERE / "states"
CHECKOUT = HERE.parents[1]
TESTS = CHECKOUT / "tests" / "ui"
SIZE = (120, 40)
_UNTIL_OUTAGE_S = 22.0
_UNTIL_BACK_S = 12.0
_SETTLE_S = 1.5
_HEAD = """# Screens

Every room in every state, 120×40, drawn by the running console on the data of its tests. This page and its pictures are
generated (`python docs/make_screens.py`).
"""
_ROOMS = {
    "Overview": ("overview", "event"),
    "Dead letters": ("groups", "records", "record", "filter", "reason", "store"),
    "Replay": ("plan", "run", "runs", "pending"),
    "Flight": ("flight",),
    "Schemas": ("schemas",),
    "Certificates": ("certificates",),
    "Everywhere": ("help", "themes", "settings", "command", "confirm", "ascii"),
}


async def shoot(demo: Demo, engine: Engine) -> None:
    """Walk through the rooms as an operator would."""
    app = ConsoleApp(engine, UiOptions(theme="dark"))
    async with app.run_test(size=SIZE) as pilot:

        async def picture(name: str, *keys: str) -> None:
            for key in keys:
                await pilot.press(key)
            await pilot.pause(_SETTLE_S)
            write_picture(app, HERE / f"{name}.svg", {demo.directory: "demo", CHECKOUT: "~/checkout"})

        await pilot.pause(_UNTIL_OUTAGE_S)
        await picture("overview-disconnected")
        await pilot.pause(_UNTIL_BACK_S)
        await picture("overview", "1")
        await picture("dead-letters", "2")
        await picture("records", "enter")
        await picture("record", "enter")
        await picture("flight", "escape", "escape", "3")
        await picture("schemas", "4")
        await picture("certificates", "5")
        await picture("help", "question_mark")


def states() -> None:
    """Each state that a test holds a frame of."""
    for old in STATES.glob("*.svg"):
        old.unlink()
    environ = os.environ | {"ATOM_PICTURES": str(STATES)}
    command = [sys.executable, "-m", "pytest", "-q", "-n", "2", str(TESTS), "-k", "120x40"]
    subprocess.run(command, cwd=CHECKOUT, env=environ, check=True)  # noqa: S603 (our own arguments)


def index() -> str:
    """The page that shows every picture, by room; a picture belongs where its first word is named."""
    left = {path.stem: path.stem.split("-")[0] for path in sorted(STATES.glob("*.svg"))}
    parts = [_HEAD]
    for title, words in _ROOMS.items():
        names = [name for name, first in left.items() if first in words]
        parts.append(f"\n## {title}\n")
        parts += [f"\n### {name.replace('-', ' ')}\n\n![{name}](screens/states/{name}.svg)\n" for name in names]
        left = {name: first for name, first in left.items() if name not in names}
    assert not left, f"of no room: {', '.join(left)}"
    return "".join(parts)


def main() -> None:
    """Make them all."""
    STATES.mkdir(parents=True, exist_ok=True)
    states()
    (HERE.parent / "screens.md").write_text(index(), encoding="utf-8")
    with Demo() as demo:
        engine = Engine(demo.loaded, coach=demo.coach)
        engine.start()
        engine.feed(demo.chunks(), "sandbox workload", None)
        try:
            asyncio.run(shoot(demo, engine))
        finally:
            demo.close()
            engine.drain(5.0)
            engine.stop()


if __name__ == "__main__":
    main()
