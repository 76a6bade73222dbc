"""The bounded queue between whoever hands over work and the one thread that writes it."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    import apsw

    from atom_console.kafka.failure import FailedDelivery, JournalEntry

MOST_FAILURES: Final = 20_000
MOST_BYTES: Final = 64 * 2**20
_BATCH: Final = 4_000
_COMPANY: Final = 1_000
_BATCH_BYTES: Final = 8 * 2**20
_ACKS_AT_ONCE: Final = 1_000


@dataclass(frozen=True, slots=True)
class Append:
    """Journal entries; the future gives their numbers once they are committed."""

    entries: Sequence[JournalEntry]
    done: Future[Sequence[int]]


@dataclass(frozen=True, slots=True)
class Call:
    """A function to run in a transaction of its own; the future gives its result once that is committed."""

    work: Callable[[apsw.Connection], Any]
    done: Future[Any]


@dataclass(slots=True)
class Batch:
    """What one commit takes."""

    failures: list[FailedDelivery] = field(default_factory=list)
    appends: list[Append] = field(default_factory=list)
    acks: list[int] = field(default_factory=list)
    calls: list[Call] = field(default_factory=list)

    def __bool__(self) -> bool:
        return bool(self.failures or self.appends or self.acks or self.calls)


class Intake:
    """Thread-safe; `take` is for the writer alone."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._work = threading.Condition(self._lock)
        self._room = threading.Condition(self._lock)
        self._failures: deque[FailedDelivery] = deque()
        self._weights: deque[int] = deque()
        self._bytes = 0
        self._appends: deque[Append] = deque()
        self._calls: deque[Call] = deque()
        self._acks: deque[int] = deque()
        self._urgent = False
        self._closed = False
        self._unbounded = False

    def put(self, failure: FailedDelivery) -> bool:
        """Queue one failure; waits while the queue is full and the disk is being written. False: closed, not taken."""
        size = weight(failure)
        with self._lock:
            if len(self._failures) >= MOST_FAILURES or self._bytes >= MOST_BYTES:
                self._wait_for_room()
            if self._closed:
                return False
            self._failures.append(failure)
            self._weights.append(size)
            self._bytes += size
            if len(self._failures) == 1:
                self._work.notify()
            return True

    def _wait_for_room(self) -> None:
        while self._full() and not self._closed and not self._unbounded:
            self._room.wait()

    def append(self, item: Append) -> bool:
        """Queue journal entries; False: closed, not taken."""
        return self._urgently(self._appends, item)

    def call(self, item: Call) -> bool:
        """Queue a call; False: closed, not taken."""
        return self._urgently(self._calls, item)

    def acknowledge(self, ids: Sequence[int]) -> None:
        """Queue deletions; nobody waits for them."""
        with self._lock:
            self._acks.extend(ids)
            if len(self._acks) >= _ACKS_AT_ONCE:
                self._work.notify()

    def _urgently(self, queue: deque[Any], item: Append | Call) -> bool:
        with self._lock:
            if self._closed:
                return False
            queue.append(item)
            self._urgent = True
            self._work.notify()
            return True

    def unbounded(self, on: bool) -> None:
        """While nothing can be written, waiting would only hang the producer: let the queue grow instead."""
        with self._lock:
            self._unbounded = on
            self._room.notify_all()

    def close(self) -> None:
        """Take nothing more in; what is queued can still be taken."""
        with self._lock:
            self._closed = True
            self._work.notify_all()
            self._room.notify_all()

    @property
    def closed(self) -> bool:
        """Whether nothing more comes."""
        return self._closed

    @property
    def queued(self) -> int:
        """Failures that wait."""
        return len(self._failures)

    def take(self, wait_s: float, *, linger_s: float = 0.0) -> Batch:
        """The next batch: at most 4,000 failures or 8 MiB; empty when nothing came in `wait_s` seconds.

        Failures alone linger a little for company, because nobody waits for them; journal entries and calls do not.
        """
        with self._lock:
            if not (self._failures or self._urgent or self._closed or len(self._acks) >= _ACKS_AT_ONCE):
                self._work.wait(wait_s)
            if linger_s and self._failures and len(self._failures) < _COMPANY and not (self._urgent or self._closed):
                self._work.wait(linger_s)
            return self._drain()

    def take_now(self) -> Batch:
        """What is there at this moment."""
        with self._lock:
            return self._drain()

    def _drain(self) -> Batch:
        batch = Batch(self._some_failures())
        rows = 0
        while self._appends and rows < _COMPANY:
            item = self._appends.popleft()
            rows += len(item.entries)
            batch.appends.append(item)
        batch.calls.extend(self._calls)
        self._calls.clear()
        batch.acks.extend(self._acks)
        self._acks.clear()
        self._urgent = bool(self._appends)
        if batch.failures and len(self._failures) <= MOST_FAILURES // 2 and self._bytes <= MOST_BYTES // 2:
            self._room.notify_all()  # not before: each waking of the producer takes the interpreter away for a while
        return batch

    def _some_failures(self) -> list[FailedDelivery]:
        """The oldest; all of them where they fit, without a step for each."""
        if len(self._failures) <= _BATCH and self._bytes <= _BATCH_BYTES:
            taken = list(self._failures)
            self._failures.clear()
            self._weights.clear()
            self._bytes = 0
            return taken
        taken, size = [], 0
        while self._failures and len(taken) < _BATCH and size < _BATCH_BYTES:
            taken.append(self._failures.popleft())
            size += self._weights.popleft()
        self._bytes -= size
        return taken

    def _full(self) -> bool:
        return len(self._failures) >= MOST_FAILURES or self._bytes >= MOST_BYTES


def weight(failure: FailedDelivery) -> int:
    """Bytes that a failure holds, roughly."""
    value, key = failure.value, failure.key
    size = 512 + (len(value) if value else 0) + (len(key) if key else 0)
    for name, value in failure.headers:
        size += len(name) + (len(value) if value else 0)
    return size
