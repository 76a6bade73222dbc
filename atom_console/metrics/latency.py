"""A latency histogram that costs the same whatever it is fed: log-linear buckets, as HdrHistogram has them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

_SUB_BITS = 5
_LINEAR = 1 << (_SUB_BITS + 1)
_MAX_US = (1 << 36) - 1
_SHIFTS = 36 - (_SUB_BITS + 1)
_BUCKETS = _LINEAR + (_SHIFTS << _SUB_BITS)


def _index(us: int) -> int:
    if us < _LINEAR:
        return us
    shift = us.bit_length() - (_SUB_BITS + 1)
    return (shift << _SUB_BITS) + (us >> shift)


def _upper_us(index: int) -> int:
    """The largest microsecond value of a bucket: a percentile is never shown better than it was."""
    if index < _LINEAR:
        return index
    shift = (index >> _SUB_BITS) - 1
    return (((index - (shift << _SUB_BITS)) + 1) << shift) - 1


# The bucket of every value below 32.8 ms, looked up rather than computed: 126 ns a value against 366 (measured).
_TABLED = 1 << 15
_TABLE = list(range(_LINEAR))
for _bucket in range(_LINEAR, _index(_TABLED)):
    _TABLE += [_bucket] * (_upper_us(_bucket) - _upper_us(_bucket - 1))


@dataclass(frozen=True, slots=True)
class LatencySnapshot:
    """Milliseconds at one moment; the percentiles are None while nothing was measured."""

    count: int
    p50_ms: float | None
    p99_ms: float | None
    max_ms: float | None


class LatencyHistogram:
    """Counts of microseconds from 0 to 19 hours; a bucket is exact below 64 µs and within 3.2 % above.

    One thread records; another may read at any time and sees a count or two less.
    """

    __slots__ = ("_counts", "_max_us")

    def __init__(self) -> None:
        self._counts = [0] * _BUCKETS
        self._max_us = 0

    def record(self, us: float) -> None:
        """Count one latency in microseconds; below zero counts as zero."""
        self.record_many((us,))

    def record_many(self, values: Iterable[float], *, scale: float = 1.0) -> None:
        """Count many at once: the cost a value is what matters at hundreds of thousands a second.

        Args:
            values: latencies.
            scale: microseconds a unit of `values`; 1e6 where they are seconds.
        """
        counts, table = self._counts, _TABLE
        largest = self._max_us
        for value in values:
            us = int(value * scale)
            if 0 <= us < _TABLED:
                counts[table[us]] += 1
            else:
                us = min(max(us, 0), _MAX_US)
                counts[_index(us)] += 1
            if us > largest:  # noqa: PLR1730 - max() is a call per event
                largest = us
        self._max_us = largest

    @property
    def count(self) -> int:
        """How many were recorded."""
        return sum(self._counts)

    def percentile(self, percent: float) -> float | None:
        """Milliseconds that `percent` of the recorded latencies do not exceed, or None while there are none.

        Raises:
            ValueError: not within 0 to 100.
        """
        if not 0 <= percent <= 100:
            raise ValueError(f"a percentile lies between 0 and 100, not {percent}")
        counts = list(self._counts)
        total = sum(counts)
        if total == 0:
            return None
        rank = max(1, -(-total * percent // 100))
        seen = 0
        for index, count in enumerate(counts):
            seen += count
            if seen >= rank:
                return min(_upper_us(index), self._max_us) / 1000
        return self._max_us / 1000

    def merge(self, other: LatencyHistogram) -> None:
        """Add the counts of another histogram to this one."""
        self._counts = [mine + theirs for mine, theirs in zip(self._counts, other._counts, strict=True)]
        self._max_us = max(self._max_us, other._max_us)

    def snapshot(self) -> LatencySnapshot:
        """The usual figures, frozen."""
        return LatencySnapshot(
            count=self.count,
            p50_ms=self.percentile(50),
            p99_ms=self.percentile(99),
            max_ms=self._max_us / 1000 if any(self._counts) else None,
        )


class LatencyWindow:
    """The latencies of the last while: histograms of equal spans, of which the oldest is dropped.

    Args:
        span_s: seconds a histogram covers.
        spans: how many are kept: what is shown covers between `span_s * (spans - 1)` and `span_s * spans` seconds.
    """

    __slots__ = ("_current", "_due_s", "_kept", "_span_s", "_spans")

    def __init__(self, span_s: float = 5.0, spans: int = 12) -> None:
        self._span_s = span_s
        self._spans = spans
        self._current = LatencyHistogram()
        self._kept: tuple[LatencyHistogram, ...] = ()
        self._due_s: float | None = None

    def record_many(self, values: Iterable[float], now_s: float, *, scale: float = 1.0) -> None:
        """Count latencies at a moment of a monotonic clock."""
        self.rotate(now_s)
        self._current.record_many(values, scale=scale)

    def rotate(self, now_s: float) -> None:
        """Begin new spans for the time that has passed."""
        if self._due_s is None:
            self._due_s = now_s + self._span_s
        if now_s < self._due_s:
            return
        passed = int((now_s - self._due_s) // self._span_s) + 1
        self._due_s += passed * self._span_s
        if passed >= self._spans:
            self._kept = ()
        else:
            empties = tuple(LatencyHistogram() for _ in range(passed - 1))
            self._kept = (*self._kept, self._current, *empties)[-(self._spans - 1) :] if self._spans > 1 else ()
        self._current = LatencyHistogram()

    def histogram(self) -> LatencyHistogram:
        """All spans together, as a histogram of its own."""
        merged = LatencyHistogram()
        for part in (*self._kept, self._current):
            merged.merge(part)
        return merged

    def snapshot(self) -> LatencySnapshot:
        """The usual figures over the window, frozen."""
        return self.histogram().snapshot()
