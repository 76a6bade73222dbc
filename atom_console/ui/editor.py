"""The operator's own editor, on the terminal that the screen has just left."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from textual.app import App, SuspendNotSupported

from atom_console.errors import InputError


def edit_text(app: App[Any], text: str, suffix: str) -> str | None:
    """`text` as `$VISUAL`, `$EDITOR` or vi left it, or None where it saved nothing. The screen waits meanwhile.

    The file is the operator's alone (0600), and gone afterwards.

    Raises:
        InputError: the terminal cannot be left, or the editor cannot be started or failed.
    """
    words = shlex.split(os.environ.get("VISUAL") or os.environ.get("EDITOR") or "vi")
    with tempfile.TemporaryDirectory(prefix="atom-console-") as room:
        path = Path(room) / f"edit{suffix}"
        path.touch(mode=0o600)
        path.write_text(text, encoding="utf-8")
        before = path.stat().st_mtime_ns
        try:
            with app.suspend():
                # Descriptors 1 and 2 lead to the log while the screen is open; the terminal is behind this one.
                terminal = sys.__stdout__
                done = subprocess.run([*words, path], stdout=terminal, stderr=terminal, check=False)  # noqa: S603
        except SuspendNotSupported as error:
            raise InputError("this terminal cannot be left to an editor", next_step="Use a shell.") from error
        except OSError as error:
            raise InputError(f"{words[0]}: {error.strerror}", next_step="Name an editor in $EDITOR.") from error
        if done.returncode:
            raise InputError(f"{words[0]} ended with {done.returncode}: nothing was taken from it")
        if path.stat().st_mtime_ns == before:
            return None
        try:
            return path.read_text(encoding="utf-8")
        except UnicodeDecodeError as error:
            raise InputError(f"what {words[0]} saved is not UTF-8: {error}") from error
