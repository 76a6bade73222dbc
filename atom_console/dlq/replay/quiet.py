"""Keeps the interpreter out of the way of a replay or an ingest: threads hand over to each other all the time.

Measured on a busy two-core host: collecting garbage took a third of the time, as every record allocates containers and
none of them is in a cycle; and a database thread waited up to 5 ms for the interpreter after each statement.
"""

from __future__ import annotations

import gc
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

_ALLOCATIONS: Final = 100_000
SWITCH_S: Final = 0.001
"""For a replay: its sending thread serves a broker that waits, and must not be interrupted more often."""

SWITCH_OFTEN_S: Final = 0.000_01
"""For an ingest: one thread decodes without a pause, and the database thread needs the interpreter between any two of
its statements (measured: a third more records a second than with 1 ms)."""


@contextmanager
def quiet_interpreter(switch_s: float = SWITCH_S) -> Iterator[None]:
    """Rarer collections and quicker hand-overs within the block.

    Args:
        switch_s: seconds after which a thread that waits may have the interpreter.
    """
    thresholds, interval = gc.get_threshold(), sys.getswitchinterval()
    gc.set_threshold(max(_ALLOCATIONS, thresholds[0]), 50, 100)
    sys.setswitchinterval(min(switch_s, interval))
    try:
        yield
    finally:
        gc.set_threshold(*thresholds)
        sys.setswitchinterval(interval)
