"""Named places where a test may end the process with SIGKILL, to prove that a replay survives it there.

`ATOM_FAILPOINT=after_intent:3` kills at the third time that the place is reached. Without the variable nothing is
counted and nothing can happen: callers on a hot path ask `ARMED` first.
"""

from __future__ import annotations

import os
import signal
from typing import Final

NAMES: Final = (
    "before_intent",
    "after_intent",
    "mid_produce",
    "after_acknowledgement",
    "before_outcome",
    "after_outcome",
    "in_recovery",
    "after_recovery",
    "before_verify",
    "before_end",
)
"""Every place, in the order of a run."""


def _wanted(text: str) -> tuple[str, int]:
    name, _, times = text.partition(":")
    return name, int(times) if times.isdecimal() else 1


_name, _left = _wanted(os.environ.get("ATOM_FAILPOINT", ""))
ARMED: Final = _name in NAMES


def reach(name: str) -> None:
    """End the process here, if a test asked for it."""
    global _left  # noqa: PLW0603 -- counts down to the one kill
    if not ARMED or name != _name:
        return
    _left -= 1
    if _left == 0:
        os.kill(os.getpid(), signal.SIGKILL)
