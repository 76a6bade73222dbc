"""New files of the operator's own: 0600, and never over one that is there."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from atom_console.ui.app import ConsoleApp


def save_new(app: ConsoleApp, path: Path, data: bytes) -> None:
    """Write it, and say on the receipt line where, or why not."""
    try:
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(data)
    except FileExistsError:
        step = f"move it away from {path.parent}, then save again"
        app.say(f"Wrote nothing: {path.name} is there already.", ok=False, next_step=step)
    except OSError as error:
        step = "start the console in a directory of yours"
        app.say(f"Wrote nothing: {error.strerror}: {path}.", ok=False, next_step=step)
    else:
        app.say(f"Wrote {len(data):,} bytes: {path.name} in {path.parent}.")
