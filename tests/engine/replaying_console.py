"""A second console without a screen: runs a plan on a store until somebody kills it."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

from atom_console.config import load
from atom_console.engine.commands import StartReplay
from atom_console.engine.engine import Engine


class OtherConsole:
    """The process; `kill` is SIGKILL."""

    def __init__(self, config: Path, directory: Path, bootstrap: str, run_id: str, count: int) -> None:
        arguments = [str(config), str(directory), bootstrap, run_id, str(count)]
        self._process = subprocess.Popen([sys.executable, "-m", "tests.engine.replaying_console", *arguments])

    @property
    def pid(self) -> int:
        return self._process.pid

    def kill(self) -> None:
        self._process.kill()
        self._process.wait(10)


def _main(config: str, directory: str, bootstrap: str, run_id: str, count: str) -> None:
    overrides = (f"kafka.bootstrap_servers={bootstrap}", f"dlq.dir={directory}", "dlq.min_free_bytes=1MiB")
    engine = Engine(load(config_file=Path(config), environ={}, overrides=overrides))
    engine.start()
    engine.submit(StartReplay(run_id=run_id, confirmed=int(count)))
    while True:
        time.sleep(60)


if __name__ == "__main__":
    _main(*sys.argv[1:])
