"""How long an operator waits for `atom-console --help`, beside a Python that does nothing."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator

from benchmarks.harness import Result, in_turn

_BUDGET_MS = 150.0


def run() -> Iterator[Result]:
    """Wall time of whole processes, run in turn."""
    nothing, root, leaf = (
        1000 * each
        for each in in_turn(
            lambda: _process("-c", "pass"),
            lambda: _process("-m", "atom_console", "--help"),
            lambda: _process("-m", "atom_console", "config", "show", "--help"),
            rounds=15,
        )
    )
    for name, measured in (("atom-console --help", root), ("atom-console config show --help", leaf)):
        yield Result(name, measured, "ms", nothing, nothing / measured, f"< {_BUDGET_MS:.0f} ms", measured < _BUDGET_MS)


def _process(*arguments: str) -> None:
    subprocess.run([sys.executable, *arguments], stdout=subprocess.DEVNULL, check=True)
