"""The screen as an SVG file: small, the same at every run, and without fonts from the network."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from textual.app import App

FONT = "DejaVu Sans Mono, Menlo, Consolas, monospace"


def write_picture(app: App[Any], path: Path, shown: Mapping[Path, str] | None = None) -> None:
    """Write what is on the screen.

    Args:
        app: the running console.
        path: the file.
        shown: what stands in the picture for a directory of this machine.
    """
    text = app.export_screenshot(title="Atom Console")
    for place, words in (shown or {}).items():
        text = text.replace(str(place), words)
    text = re.sub(r"@font-face \{.*?\}", "", text, flags=re.DOTALL)
    text = re.sub(r"font-family: [^;]*;", f"font-family: {FONT};", text)
    text = re.sub(r"terminal-\d+", "t", text)
    text = text.replace("<svg ", '<svg xml:space="preserve" ', 1)  # some renderers cut spaces at the ends
    path.write_text(re.sub(r"[ \t]+$", "", text, flags=re.MULTILINE), encoding="utf-8")
