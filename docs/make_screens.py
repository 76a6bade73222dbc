"""Makes the pictures in `docs/screens` from the running console on the embedded sandbox.

`python docs/make_screens.py` writes an SVG of each room at 120×40; it takes about half a minute.
"""

from __future__ import annotations

import asyncio
import re
from pathlib import Path

from atom_console.engine.engine import Engine
from atom_console.sandbox.demo import Demo
from atom_console.ui.app import ConsoleApp
from atom_console.ui.options import UiOptions

HERE = Path(__file__).resolve().parent / "screens"
CHECKOUT = HERE.parents[1]
SIZE = (120, 40)
FONT = "DejaVu Sans Mono, Menlo, Consolas, monospace"
_UNTIL_OUTAGE_S = 22.0
_UNTIL_BACK_S = 12.0
_SETTLE_S = 1.5


async def shoot(demo: Demo, engine: Engine) -> None:
    """Walk through the rooms as an operator would."""
    app = ConsoleApp(engine, UiOptions(theme="dark"))
    async with app.run_test(size=SIZE) as pilot:

        async def picture(name: str, *keys: str) -> None:
            for key in keys:
                await pilot.press(key)
            await pilot.pause(_SETTLE_S)
            text = app.export_screenshot(title="Atom Console")
            for place, shown in ((demo.directory, "demo"), (CHECKOUT, "~/checkout")):
                text = text.replace(str(place), shown)
            text = re.sub(r"@font-face \{.*?\}", "", text, flags=re.DOTALL)  # the fonts would come from the network
            text = re.sub(r"font-family: [^;]*;", f"font-family: {FONT};", text)
            text = text.replace("<svg ", '<svg xml:space="preserve" ', 1)  # some renderers cut spaces at the ends
            text = re.sub(r"[ \t]+$", "", text, flags=re.MULTILINE)
            (HERE / f"{name}.svg").write_text(text, encoding="utf-8")

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


def main() -> None:
    """Make them all."""
    HERE.mkdir(exist_ok=True)
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
