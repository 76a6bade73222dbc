"""How a stop is asked for: SIGINT, SIGTERM and SIGHUP, and the exit codes that tell."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from threading import Event, Thread
from types import FrameType

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_LOOK_S = 0.05


class Stopped(KeyboardInterrupt):
    """A signal asked for the end; a prompt aborts on it as on ctrl-c."""

    def __init__(self, signum: int) -> None:
        super().__init__(signum)
        self.signum = signum


@dataclass(slots=True)
class Stop:
    """The wish to stop, as a loop looks at it.

    Attributes:
        signum: the first signal that came, or None.
    """

    signum: int | None = None

    @property
    def requested(self) -> bool:
        """Whether to take in nothing more, drain, and end."""
        return self.signum is not None

    @property
    def exit_code(self) -> int:
        """130, 143 or 129 after a signal; 0 without one."""
        return 0 if self.signum is None else exit_code(self.signum)


_last: int | None = None


def exit_code(signum: int) -> int:
    """128 plus the signal, as shells count."""
    return 128 + signum


def last_exit_code() -> int:
    """The exit code of the last signal; of SIGINT where the terminal stopped us without one (ctrl-d at a prompt)."""
    return exit_code(_last or signal.SIGINT)


def install() -> None:
    """A signal raises `Stopped` in the main thread; one that the caller ignores (nohup, a job) stays ignored."""
    for signum in _SIGNALS:
        if signal.getsignal(signum) is not signal.SIG_IGN:
            signal.signal(signum, _raise)


@contextmanager
def held() -> Iterator[Stop]:
    """Within it a first signal is only noted, so that a command can drain and save; a second one raises `Stopped`."""
    stop = Stop()

    def note(signum: int, frame: FrameType | None) -> None:
        if stop.requested:
            _raise(signum, frame)
        global _last  # noqa: PLW0603 - one process has one last signal
        _last = stop.signum = signum

    before = {signum: signal.getsignal(signum) for signum in _SIGNALS}
    for signum, handler in before.items():
        if handler is not signal.SIG_IGN:
            signal.signal(signum, note)
    try:
        yield stop
    finally:
        for signum, handler in before.items():
            signal.signal(signum, handler)


@contextmanager
def passed_on() -> Iterator[tuple[Stop, Event]]:
    """`held`, with an event that is set soon after the signal, for work that runs elsewhere and looks at an event.

    A thread does it: a handler that sets an event which its own thread is about to wait for would lock itself out.
    """
    halt, over = Event(), Event()
    with held() as stop:

        def watch() -> None:
            while not over.wait(_LOOK_S):
                if stop.requested:
                    halt.set()
                    return

        watcher = Thread(target=watch, name="signals", daemon=True)
        watcher.start()
        try:
            yield stop, halt
        finally:
            over.set()
            watcher.join()


def _raise(signum: int, _frame: FrameType | None) -> None:
    global _last  # noqa: PLW0603 - one process has one last signal
    _last = signum
    raise Stopped(signum)
