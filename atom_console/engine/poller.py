"""Reading something again and again in a thread of its own, and keeping the last answer with its age."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from threading import Event, Thread
from typing import Final, Generic, TypeVar

from atom_console.errors import AtomError

T = TypeVar("T")

LOG: Final = logging.getLogger("atom_console.engine")


@dataclass(frozen=True, slots=True)
class Reading(Generic[T]):
    """The last answer, and how it stands now. Times are `time.monotonic()` seconds.

    Attributes:
        value: the last good answer, or None before the first.
        read_s: when that was.
        error: why the newest attempt failed, or None where it did not.
        since_s: since when it is as it is: failing, or well.
    """

    value: T | None = None
    read_s: float | None = None
    error: AtomError | None = None
    since_s: float | None = None

    def age_s(self, now_s: float) -> float | None:
        """Seconds since the value was read; None where it never was."""
        return None if self.read_s is None else max(0.0, now_s - self.read_s)


class Poller(Generic[T]):
    """Calls `read` every `interval_s` seconds in a daemon thread; `reading` is safe to look at from any thread.

    Args:
        name: of the thread.
        read: one question; an AtomError is kept and asked again, anything else is a fault and logged.
        interval_s: from the end of one question to the next.
        close: called in the thread at its end.
    """

    def __init__(
        self, name: str, read: Callable[[], T], interval_s: float, close: Callable[[], None] = lambda: None
    ) -> None:
        self.reading: Reading[T] = Reading()
        self._read, self._interval_s, self._close = read, interval_s, close
        self._wake, self._stopping = Event(), False
        self._thread = Thread(target=self._run, name=name, daemon=True)

    def start(self) -> None:
        """Begin with a first question at once."""
        self._thread.start()

    def refresh(self) -> None:
        """Ask now instead of at the next tick."""
        self._wake.set()

    def end(self) -> None:
        """End after the question that is being asked; returns at once."""
        self._stopping = True
        self._wake.set()

    def stop(self, timeout_s: float = 2.0) -> None:
        """`end`, and wait for it; a hanging question is left behind (the thread is a daemon)."""
        self.end()
        if self._thread.is_alive():
            self._thread.join(timeout_s)

    def _run(self) -> None:
        while not self._stopping:
            self._wake.clear()
            self._ask()
            self._wake.wait(self._interval_s)
        self._close()

    def _ask(self) -> None:
        before = self.reading
        error: AtomError | None = None
        try:
            value = self._read()
        except AtomError as raised:
            error = raised
        except Exception as raised:  # a poller must outlive a fault in what it asks
            LOG.exception("%s: a fault of ours", self._thread.name, extra={"event": "poller.fault"})
            error = AtomError(f"{self._thread.name}: a fault of ours ({type(raised).__name__}); see the log")
        now_s = time.monotonic()
        same = (before.error is None) == (error is None) and before.since_s is not None
        since_s = before.since_s if same else now_s
        if error is None:
            self.reading = Reading(value, now_s, None, since_s)
        else:
            self.reading = Reading(before.value, before.read_s, error, since_s)
