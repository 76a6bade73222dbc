from __future__ import annotations

import logging
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest


@pytest.fixture(autouse=True)
def _own_surroundings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """No test reads the settings of whoever runs it, nor leaves a log handler behind."""
    for name in [name for name in os.environ if name.startswith("ATOM_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    yield
    logger = logging.getLogger("atom_console")
    for handler in list(logger.handlers):
        logger.removeHandler(handler)
        handler.close()
    logger.propagate = True
    logger.setLevel(logging.NOTSET)


@dataclass(frozen=True)
class Ended:
    """What one command line left."""

    code: int
    out: bytes
    err: str

    @property
    def text(self) -> str:
        return self.out.decode()


@pytest.fixture
def atom(capfdbinary: pytest.CaptureFixture[bytes], monkeypatch: pytest.MonkeyPatch) -> Callable[..., Ended]:
    """Runs a command line in this process: `atom("config", "show", stdin=b"")`."""
    from atom_console.cli.main import main

    def run(*arguments: str, stdin: Path | None = None) -> Ended:
        if stdin is not None:
            monkeypatch.setattr(sys, "stdin", stdin.open())
        code = main(list(arguments))
        sys.stdout.flush()
        out, err = capfdbinary.readouterr()
        return Ended(code, out, err.decode())

    return run


@pytest.fixture
def atom_process(tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[bytes]]:
    """Runs a command line in a process of its own; with `script=`, that Python text instead."""

    def run(*arguments: str, script: str | None = None, **options: Any) -> subprocess.CompletedProcess[bytes]:
        head = [sys.executable, "-c", script] if script else [sys.executable, "-m", "atom_console"]
        defaults: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "timeout": 60}
        return subprocess.run([*head, *arguments], check=False, **(defaults | options))

    return run
