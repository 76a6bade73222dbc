"""The speed of a transfer in steps of a tenth of a second: most transfers are over before a screen has looked twice."""

from __future__ import annotations

from collections import deque
from typing import Final

STEP_S: Final = 0.1
_KEPT: Final = 1_200
_LIVE_STEPS: Final = 10
_GB: Final = 1_000_000_000


class SpeedTrace:
    """One thread adds, any thread reads. Times are `time.monotonic()` seconds.

    Attributes:
        total: bytes so far.
        first_gb_s: when the first 10⁹ bytes were here, from the start; None before.
    """

    def __init__(self, start_s: float) -> None:
        self.start_s = start_s
        self.total = 0
        self.first_gb_s: float | None = None
        self._step = 0
        self._steps: deque[int] = deque([0], maxlen=_KEPT)

    def add(self, size: int, now_s: float) -> None:
        """`size` bytes came."""
        passed = int((now_s - self.start_s) / STEP_S) - self._step
        if passed > 0:
            self._steps.extend([0] * min(passed, _KEPT))
            self._step += passed
        self._steps[-1] += size
        self.total += size
        if self.first_gb_s is None and self.total >= _GB:
            self.first_gb_s = now_s - self.start_s

    def speeds(self, now_s: float) -> tuple[float, ...]:
        """GB/s of each whole step up to now, silent ones included, oldest first."""
        step, steps = self._step, self._steps.copy()
        passed = int((now_s - self.start_s) / STEP_S) - step
        if passed > 0:
            steps.extend([0] * min(passed, _KEPT))
        steps.pop()
        return tuple(size / STEP_S / 1e9 for size in steps)

    def live(self, now_s: float) -> float | None:
        """GB/s over the last second; None within the first tenth."""
        last = self.speeds(now_s)[-_LIVE_STEPS:]
        return sum(last) / len(last) if last else None
