"""Events as a planning platform produces them: many tenants, a few of them busy, some comments, a few errors."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from random import Random
from typing import Any, Final

from atom_console.events import EventType

_COMMENTS: Final = (
    "Adjusted after the board meeting",
    "FX effect, see the treasury note",
    "Prior-year accrual released",
    "Übertrag aus dem Vorquartal",
    "Headcount freeze in effect until further notice",
    "予算の見直し",
    "Provisional: waiting for the regional controller",
)
_ERRORS: Final = ("#DIV/0!", "#REF!", "#VALUE!", "#N/A")
_MASKS: Final = (0b0001, 0b0001, 0b0001, 0b0011, 0b0101, 0b1000_0001)
_COMMENT_SHARE: Final = 0.20
_ERROR_SHARE: Final = 0.05
_DAY_NS: Final = 86_400_000_000_000
_LEAST_BYTES_A_MOLECULE: Final = 72

Event = dict[str, Any]


class Workload:
    """A stream of realistic events, the same for the same seed but for their times.

    Args:
        seed: of the random choices.
        tenants: how many there are; the first are the busiest.
        clock: Unix nanoseconds, the time that events carry.
    """

    def __init__(self, seed: int = 1, tenants: int = 50, clock: Callable[[], int] = time.time_ns) -> None:
        self._random = Random(seed)  # noqa: S311 - test data, no secret
        self._tenants = [f"tenant-{number:04d}" for number in range(tenants)]
        self._clock = clock

    def event(self) -> Event:
        """The next event: 96 of 100 are writes of one molecule, the others of the other types."""
        draw = self._random.random()
        if draw < 0.96:
            return self.write()
        if draw < 0.98:
            return self._head(EventType.CALC_REQUEST)
        if draw < 0.99:
            change = {"dimension": "cost_center", "action": "add", "member": f"CC-{self._random.randrange(10_000):04d}"}
            return self._head(EventType.SCHEMA_CHANGE) | {"schema_payload": json.dumps(change)}
        return self._head(EventType.HEARTBEAT)

    def events(self, count: int) -> list[Event]:
        """The next `count` events."""
        return [self.event() for _ in range(count)]

    def write(self, molecules: int = 1) -> Event:
        """A MOLECULE_WRITE; more than one molecule is a pasted block."""
        event = self._head(EventType.MOLECULE_WRITE)
        event["molecules"] = [self._molecule(event["timestamp"]) for _ in range(molecules)]
        return event

    def writes(self, count: int) -> list[Event]:
        """The next `count` writes of one molecule each."""
        return [self.write() for _ in range(count)]

    def oversize(self, least_bytes: int) -> Event:
        """A pasted block whose payload is larger than `least_bytes`."""
        return self.write(molecules=least_bytes // _LEAST_BYTES_A_MOLECULE + 1)

    def _head(self, kind: EventType) -> Event:
        draw = self._random
        tenant = self._tenants[int(draw.random() ** 2 * len(self._tenants))]
        return {
            "event_id": self._uuid(),
            "trace_id": self._uuid(),
            "timestamp": self._clock(),
            "type": kind,
            "tenant_id": tenant,
            "user_id": f"user-{draw.randrange(100_000):05d}",
            "molecules": None,
            "schema_payload": None,
        }

    def _molecule(self, time_ns: int) -> dict[str, Any]:
        draw = self._random
        return {
            "coordinate_hash": draw.randbytes(16),
            "numeric_value": round(draw.gauss(10_000, 4_000), 2),
            "text_commentary": draw.choice(_COMMENTS) if draw.random() < _COMMENT_SHARE else None,
            "date_value": time_ns - draw.randrange(365) * _DAY_NS,
            "boolean_value": draw.random() < 0.5,
            "error_value": draw.choice(_ERRORS) if draw.random() < _ERROR_SHARE else None,
            "timestamp": time_ns,
            "security_mask": draw.choice(_MASKS),
        }

    def _uuid(self) -> str:
        text = f"{self._random.getrandbits(128):032x}"
        return f"{text[:8]}-{text[8:12]}-4{text[13:16]}-a{text[17:20]}-{text[20:]}"
