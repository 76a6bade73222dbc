"""A console in a child process on a pseudo terminal: keys in, the screen (by pyte) and the raw bytes out."""

from __future__ import annotations

import fcntl
import os
import pty
import select
import struct
import subprocess
import sys
import termios
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType

import pyte

CHILD = Path(__file__).parent / "console_child.py"
_MARK = b"\x1b]777;read\x07"
"""A sequence that changes nothing on the screen."""


class PtySession:
    """`command` is what runs there; without one, the console on a scripted engine."""

    def __init__(
        self, home: Path, size: tuple[int, int] = (80, 24), command: Sequence[str] | None = None, **environ: str
    ) -> None:
        self.home = home
        width, height = size
        self.master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", height, width, 0, 0))
        self.slave = os.dup(slave)
        self.before = termios.tcgetattr(self.slave)
        env = {key: value for key, value in os.environ.items() if key not in {"NO_COLOR", "COLORTERM"}}
        env |= {"TERM": "xterm-256color", "LANG": "C.UTF-8", "LC_ALL": "C.UTF-8", **environ}
        self.process = subprocess.Popen(
            command or [sys.executable, str(CHILD), str(home)],
            stdin=slave,
            stdout=slave,
            stderr=slave,
            env=env,
            start_new_session=True,
            preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),  # noqa: PLW1509 (one call, no Python lock)
        )
        os.close(slave)
        self.screen = pyte.Screen(width, height)
        self.raw = bytearray()
        self._stream = pyte.ByteStream(self.screen)
        self._lock = threading.Lock()
        self._closing = False
        self.reading = threading.Event()
        self.reading.set()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        while True:
            self.reading.wait()
            if self._closing:
                return
            if not select.select([self.master], [], [], 0.1)[0] or not self.reading.is_set():
                continue
            try:
                data = os.read(self.master, 65536)
            except OSError:
                return
            if not data:
                return
            with self._lock:
                self.raw += data
                # pyte does not know the kitty keyboard protocol and prints its private sequences.
                self._stream.feed(data.replace(b"\x1b[>25u", b"").replace(b"\x1b[<u", b""))

    def text(self) -> str:
        with self._lock:
            return "\n".join(line.rstrip() for line in self.screen.display)

    def wait(self, condition: Callable[[], object], what: str, seconds: float = 15) -> None:
        deadline = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < deadline, f"not within {seconds} s: {what}\n{self.text()}"
            time.sleep(0.02)

    def wait_for(self, words: str, seconds: float = 15) -> None:
        self.wait(lambda: words in self.text(), words, seconds)

    def press(self, keys: str | bytes) -> None:
        os.write(self.master, keys.encode() if isinstance(keys, str) else keys)

    def resize(self, width: int, height: int) -> None:
        with self._lock:  # what is drawn for the new size is not read before pyte has it
            self.screen.resize(height, width)
            fcntl.ioctl(self.slave, termios.TIOCSWINSZ, struct.pack("HHHH", height, width, 0, 0))

    def hang_up(self) -> None:
        """The other end of the line goes away, as in a dropped SSH session."""
        self._closing = True
        self._reader.join(5)
        self._release_slave()
        os.close(self.master)
        self.master = -1

    def end(self, seconds: float = 10) -> int:
        """Wait for the process, and until all that it wrote is read: a mark written behind it has come."""
        code = self.process.wait(seconds)
        if self.slave >= 0 and self.reading.is_set():
            os.write(self.slave, _MARK)
            self.wait(lambda: _MARK in self.raw, "the end of the output")
            with self._lock:
                self.raw[:] = self.raw.replace(_MARK, b"")
        return code

    @property
    def restored(self) -> bool:
        """Modes as before, alternate screen left, cursor shown."""
        raw = bytes(self.raw)
        same = termios.tcgetattr(self.slave)[:4] == self.before[:4]
        return (
            same
            and raw.rfind(b"\x1b[?1049l") > raw.rfind(b"\x1b[?1049h")
            and raw.rfind(b"\x1b[?25h") > raw.rfind(b"\x1b[?25l")
        )

    @property
    def journal(self) -> str:
        path = self.home / "journal"
        return path.read_text() if path.exists() else ""

    def _release_slave(self) -> None:
        if self.slave >= 0:
            os.close(self.slave)
            self.slave = -1

    def __enter__(self) -> PtySession:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.reading.set()
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait(10)
        self._release_slave()
        self._closing = True
        if self.master >= 0:
            self._reader.join(5)
            os.close(self.master)
