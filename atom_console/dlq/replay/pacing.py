"""How fast, how many at once, and when to stop: the token bucket, the size of windows, the breaker."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from typing import Final

_BURST_S: Final = 0.25
_LAST: Final = 50
_FIRST_WINDOW: Final = 64
_FIRST_S: Final = 0.125
_FAST_S: Final = 0.3
_SLOW_S: Final = 1.0


class Bucket:
    """Lets `rate` events a second through, and catches up on at most 250 ms; a rate of 0 lets everything through."""

    def __init__(self, rate: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._rate, self._clock = rate, clock
        self._most = max(1.0, rate * _BURST_S)
        self._tokens = 1.0
        self._at = clock()

    @property
    def paced(self) -> bool:
        """There is a rate."""
        return self._rate > 0

    def available(self) -> int:
        """How many may be sent now."""
        now = self._clock()
        self._tokens = min(self._most, self._tokens + (now - self._at) * self._rate)
        self._at = now
        return int(self._tokens)

    def take(self, count: int) -> None:
        """So many were sent."""
        self._tokens -= count

    def wait_s(self) -> float:
        """Seconds until the next one may be sent."""
        return 0.0 if not self._rate or self._tokens >= 1 else (1 - self._tokens) / self._rate


class WindowSize:
    """Grows while windows are quick, shrinks while they are slow: a crash then leaves no more open than it must."""

    def __init__(self, most: int, rate: float) -> None:
        # At a given rate, two windows are never worth more than about two seconds.
        self._most = most if rate <= 0 else max(1, min(most, round(rate)))
        self.size = min(self._most, max(_FIRST_WINDOW, round(rate * _FIRST_S)))

    def took(self, seconds: float, records: int) -> None:
        """A window of so many records was closed after so long."""
        if records >= self.size and seconds < _FAST_S:
            self.size = min(self._most, 2 * self.size)
        elif seconds > _SLOW_S:
            self.size = max(1, min(self._most, self.size // 2))


class Breaker:
    """Opens on failures in a row, on their share of the last 50, or at once on a fault of configuration.

    Attributes:
        in_a_row: failures since the last success.
        reason: why it is open; empty while it is closed.
    """

    def __init__(self, consecutive: int, ratio: float) -> None:
        self.limit, self._ratio = consecutive, ratio
        self.in_a_row = 0
        self.reason = ""
        self._last: deque[bool] = deque(maxlen=_LAST)

    def succeeded(self, count: int) -> None:
        """So many were acknowledged."""
        self.in_a_row = 0
        self._last.extend([False] * min(count, _LAST))

    def failed(self, what: str, *, config: bool) -> None:
        """One was refused; `config` = by a permission, topic or setting, so the next one will be too."""
        self.in_a_row += 1
        self._last.append(True)
        if self.reason:
            return
        bad = sum(self._last)
        if config:
            self.reason = what
        elif self.in_a_row >= self.limit:
            self.reason = f"{self.in_a_row} failures in a row, the last: {what}"
        elif len(self._last) == _LAST and bad > self._ratio * _LAST:
            self.reason = f"{bad} of the last {_LAST} failed, the last: {what}"

    def open(self, reason: str) -> None:
        """Open it for another reason."""
        self.reason = self.reason or reason
