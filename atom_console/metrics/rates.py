"""Rates from totals: a figure a second, kept for a sparkline."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class RateSnapshot:
    """A rate at one moment.

    Attributes:
        total: the counter itself.
        per_s: the increase in the last whole second, or None before one has passed.
        history: increases per second, oldest first.
    """

    total: int
    per_s: int | None
    history: tuple[int, ...]


class RateWindow:
    """Turns a counter that only grows into increases per second.

    `observe` is fed the total, as often as convenient; whoever counts does not pay for the clock. Whole seconds without
    an observation share the increase evenly, as nothing better is known. One thread observes, any thread reads.

    Args:
        seconds: how much history is kept.
    """

    __slots__ = ("_at_second", "_history", "_second", "_total")

    def __init__(self, seconds: int = 120) -> None:
        self._history: deque[int] = deque(maxlen=seconds)
        self._second: int | None = None
        self._at_second = 0
        self._total = 0

    def observe(self, total: int, now_s: float) -> None:
        """The counter's value at a moment of a monotonic clock."""
        second = int(now_s)
        if self._second is None:
            self._second = second
            self._at_second = self._total
        elif second > self._second:
            passed = second - self._second
            increase = self._total - self._at_second if passed == 1 else total - self._at_second
            share, rest = divmod(increase, passed)
            kept = min(passed, self._history.maxlen or passed)
            self._history.extend(share + (1 if n < rest else 0) for n in range(passed - kept, passed))
            self._at_second += increase
            self._second = second
        self._total = total

    def snapshot(self) -> RateSnapshot:
        """The total, the last whole second and the history, frozen."""
        history = tuple(self._history.copy())
        return RateSnapshot(self._total, history[-1] if history else None, history)
