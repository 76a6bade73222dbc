"""The console in a process on a pseudo terminal, and the clock beside it: keys in, bytes out."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import select
import struct
import subprocess
import sys
import termios
import time
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from atom_console.errors import CheckError

_STYLE: Final = re.compile(rb"\x1b\[[\d;]*m")
_LIMIT_S: Final = 20.0


def bare_environ() -> dict[str, str]:
    """Our environment without settings: a variable of the bench alone would be refused as one that does not exist."""
    return {name: value for name, value in os.environ.items() if not name.startswith("ATOM_") and name != "NO_COLOR"}


class Console:
    """`atom-console` at 120×40 with a home of its own. Use it as a context manager.

    Args:
        home: its configuration, state and dead letters.
        bootstrap: its `kafka.bootstrap_servers`.
        environ: further variables.
    """

    def __init__(self, home: Path, bootstrap: str, **environ: str) -> None:
        self._master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 120, 0, 0))
        own = {
            "TERM": "xterm-256color",
            "LC_ALL": "C.UTF-8",
            "HOME": str(home),
            "XDG_CONFIG_HOME": str(home / "config"),
            "XDG_STATE_HOME": str(home / "state"),
            "ATOM_DLQ_DIR": str(home / "dlq"),
            "ATOM_DLQ_MIN_FREE_BYTES": "1048576",
            "ATOM_KAFKA_BOOTSTRAP_SERVERS": bootstrap,
        }
        self.started_s = time.perf_counter()
        self.process = subprocess.Popen(
            [sys.executable, "-m", "atom_console"],
            stdin=slave,
            stdout=slave,
            stderr=slave,
            env=bare_environ() | own | environ,
            start_new_session=True,
        )
        os.close(slave)
        self.written = 0
        self._new = bytearray()

    def press(self, keys: str) -> float:
        """Type; what was drawn before is forgotten. Returns when, `time.perf_counter()` seconds."""
        self.read_for(0.0)
        self._new.clear()
        os.write(self._master, keys.encode())
        return time.perf_counter()

    def until(self, words: str) -> float:
        """Read until these words were drawn (again). Returns when, `time.perf_counter()` seconds.

        Raises:
            CheckError: they were not, for 20 s.
        """
        end_s = time.perf_counter() + _LIMIT_S
        wanted = words.encode()
        while wanted not in _STYLE.sub(b"", bytes(self._new)):
            if time.perf_counter() > end_s or not self._read(0.1):
                raise CheckError(f"the console did not show {words!r} within {_LIMIT_S:.0f} s")
        return time.perf_counter()

    def after(self, keys: str, words: str) -> float:
        """Milliseconds from a key to its words on the terminal."""
        pressed_s = self.press(keys)
        return (self.until(words) - pressed_s) * 1000

    def read_for(self, seconds: float) -> None:
        """Read what comes for so long."""
        end_s = time.perf_counter() + seconds
        while self._read(max(end_s - time.perf_counter(), 0.0)) and time.perf_counter() < end_s:
            continue

    @property
    def drawn(self) -> str:
        """What was drawn since the last key, without styles."""
        return _STYLE.sub(b"", bytes(self._new)).decode("utf-8", "replace")

    def leave(self) -> float:
        """Quit. Seconds from the key to the end of the process."""
        pressed_s = self.press("q")
        while self.process.poll() is None:
            self._read(0.01)
        return time.perf_counter() - pressed_s

    def _read(self, timeout_s: float) -> bool:
        """One read; False at the end of the line."""
        if select.select([self._master], [], [], timeout_s)[0]:
            try:
                data = os.read(self._master, 65536)
            except OSError:
                return False
            self.written += len(data)
            self._new += data
        return True

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        os.close(self._master)
