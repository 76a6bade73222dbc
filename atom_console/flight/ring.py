"""A bounded ring between the threads that receive and the one that consumes."""

from __future__ import annotations

from collections import deque
from threading import Condition
from time import monotonic
from typing import Generic, TypeVar

T = TypeVar("T")


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
        self._changed = Condition()
        self._items: deque[tuple[T, int]] = deque()
        self._bytes = 0
        self._max_items = max_items
        self._max_bytes = max_bytes
        self._producers = producers
        self._error: BaseException | None = None
        self._closed = False

    def put(self, item: T, size: int) -> None:
        """Add an item, waiting while the ring is full.

        Raises:
            RingClosed: the consumer has gone.
        """
        with self._changed:
            while (
                not self._closed
                and self._items
                and (len(self._items) >= self._max_items or self._bytes + size > self._max_bytes)
            ):
                self._changed.wait()
            if self._closed:
                raise RingClosed
            self._items.append((item, size))
            self._bytes += size
            self._changed.notify_all()

    def finish(self, error: BaseException | None = None) -> None:
        """One producer has ended; its error, if any, is raised to the consumer after what had arrived before it."""
        with self._changed:
            self._producers -= 1
            self._error = self._error or error
            self._changed.notify_all()

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
        with self._changed:
            if self._items:
                return self._take()
            moments = [moment for moment in (monotonic() + idle_s if idle_s else None, until) if moment is not None]
            latest = min(moments) if moments else None
            while True:
                if self._items:
                    return self._take()
                if self._closed:
                    raise RingClosed
                if self._error is not None:
                    raise self._error
                if self._producers <= 0:
                    return None
                left = None if latest is None else latest - monotonic()
                if left is not None and left <= 0:
                    raise TimeoutError
                self._changed.wait(left)

    def close(self) -> None:
        """Wake everybody: producers and consumer get `RingClosed`, and what waits is dropped."""
        with self._changed:
            self._closed = True
            self._items.clear()
            self._bytes = 0
            self._changed.notify_all()

    def _take(self) -> T:
        item, size = self._items.popleft()
        self._bytes -= size
        self._changed.notify_all()
        return item
