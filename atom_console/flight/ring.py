"""A bounded ring between the threads that receive and the one that consumes.

A thread is woken when the ring is half full or half empty, not for each item: at 2 GB/s an item comes each 0.4 ms, and
on a busy machine the switches cost more than the rest. What comes slowly is handed over at once all the same.
"""

from __future__ import annotations

from collections import deque
from threading import Condition, Lock
from time import monotonic
from typing import Generic, TypeVar

T = TypeVar("T")

# Faster than one item in this time counts as fast; then the consumer looks by itself each _LOOK_S, for a while.
_FAST_S = 0.005
_LOOK_S = 0.02
_LOOK_FOR_S = 0.1


class RingClosed(Exception):  # noqa: N818 - a signal between threads, not a fault
    """The ring takes no more: the consumer has gone."""


class Ring(Generic[T]):
    """At most `max_items` items and `max_bytes` bytes wait here; one item always fits, however large.

    Args:
        max_items: most items that wait.
        max_bytes: most bytes that wait.
        producers: how many times `finish` must be called until the end is reached.
    """

    def __init__(self, max_items: int, max_bytes: int, producers: int = 1) -> None:
        lock = Lock()
        self._filled = Condition(lock)
        self._emptied = Condition(lock)
        self._items: deque[tuple[T, int]] = deque()
        self._bytes = 0
        self._max_items = max_items
        self._max_bytes = max_bytes
        self._producers = producers
        self._error: BaseException | None = None
        self._closed = False
        self._last_put = self._last_get = 0.0

    def put(self, item: T, size: int) -> None:
        """Add an item, waiting while the ring is full.

        Raises:
            RingClosed: the consumer has gone.
        """
        with self._filled:
            while not self._closed and self._full(size):
                self._filled.notify()
                self._emptied.wait()
            if self._closed:
                raise RingClosed
            self._items.append((item, size))
            self._bytes += size
            now = monotonic()
            slow = now - self._last_put > _FAST_S
            self._last_put = now
            if slow or 2 * len(self._items) >= self._max_items or 2 * self._bytes >= self._max_bytes:
                self._filled.notify()

    def finish(self, error: BaseException | None = None) -> None:
        """One producer has ended; its error, if any, is raised to the consumer after what had arrived before it."""
        with self._filled:
            self._producers -= 1
            self._error = self._error or error
            self._filled.notify()

    def get(self, idle_s: float | None = None, until: float | None = None) -> T | None:
        """The next item, or None at the end.

        Args:
            idle_s: the longest wait for an item.
            until: the moment (`monotonic`) at which to give up.

        Raises:
            TimeoutError: one of the two passed.
            RingClosed: `close` was called.
            BaseException: what a producer ended with.
        """
        with self._filled:
            if self._items:
                return self._take()
            moments = [moment for moment in (monotonic() + idle_s if idle_s else None, until) if moment is not None]
            latest = min(moments) if moments else None
            while not self._items:
                if self._closed:
                    raise RingClosed
                if self._error is not None:
                    raise self._error
                if self._producers <= 0:
                    return None
                self._filled.wait(self._patience(latest))
            self._last_get = monotonic()
            return self._take()

    @property
    def waiting(self) -> int:
        """Items that wait now."""
        return len(self._items)

    def close(self) -> None:
        """Wake everybody: producers and consumer get `RingClosed`, and what waits is dropped."""
        with self._filled:
            self._closed = True
            self._items.clear()
            self._bytes = 0
            self._filled.notify_all()
            self._emptied.notify_all()

    def _full(self, size: int) -> bool:
        return bool(self._items) and (len(self._items) >= self._max_items or self._bytes + size > self._max_bytes)

    def _patience(self, latest: float | None) -> float | None:
        """How long to wait for the next item.

        Raises:
            TimeoutError: no longer.
        """
        now = monotonic()
        if latest is not None and latest <= now:
            raise TimeoutError
        if now - self._last_get < _LOOK_FOR_S:
            return _LOOK_S if latest is None else min(_LOOK_S, latest - now)
        return None if latest is None else latest - now

    def _take(self) -> T:
        item, size = self._items.popleft()
        self._bytes -= size
        if 2 * len(self._items) <= self._max_items and 2 * self._bytes <= self._max_bytes:
            self._emptied.notify_all()
        return item
