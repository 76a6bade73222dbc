"""What the publisher shows of itself: frozen, safe to hand to any thread."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from atom_console.kafka.delivery_errors import ErrorClass
from atom_console.kafka.error_book import SeenError
from atom_console.kafka.statistics import ClientStatistics
from atom_console.kafka.timestamps import TimestampWarning
from atom_console.metrics import LatencySnapshot, RateSnapshot


@dataclass(frozen=True, slots=True)
class PublisherSnapshot:
    """The publisher at one moment.

    Attributes:
        mode: `durable` where a journal is used; only that mode survives kill -9 without loss.
        accepted: events taken over from callers.
        accepted_bytes: bytes of their values.
        acked: acknowledged by the broker.
        captured: handed to the dead letter queue.
        unsaved: failed, and the dead letter queue raised as well; kept in memory and tried again.
        in_flight: accepted and none of the three: what a kill -9 would lose in `async` mode. Never shown too small.
        in_flight_bytes: their values, keys and headers.
        queue_max_messages: the limit of `in_flight`.
        queue_max_bytes: the limit of `in_flight_bytes`.
        retried_alone: events that were sent again, alone, because their batch was refused.
        rebuilt: producers that were replaced after a fatal error.
        flagged_old: events older than the retention of their topic.
        flagged_ahead: events over an hour ahead.
        last_flag: the last of those.
        accepted_rate: events a second.
        acked_rate: events a second.
        bytes_rate: value bytes accepted a second.
        ack: produce to acknowledged, over the last minute.
        captured_by_class: events by error class.
        captured_by_code: events by the name of the code.
        recent_errors: the last kinds of error, newest first.
        statistics: librdkafka's, or None before the first report.
    """

    mode: Literal["async", "durable"]
    accepted: int
    accepted_bytes: int
    acked: int
    captured: int
    unsaved: int
    in_flight: int
    in_flight_bytes: int
    queue_max_messages: int
    queue_max_bytes: int
    retried_alone: int
    rebuilt: int
    flagged_old: int
    flagged_ahead: int
    last_flag: TimestampWarning | None
    accepted_rate: RateSnapshot
    acked_rate: RateSnapshot
    bytes_rate: RateSnapshot
    ack: LatencySnapshot
    captured_by_class: Mapping[ErrorClass, int]
    captured_by_code: Mapping[str, int]
    recent_errors: tuple[SeenError, ...]
    statistics: ClientStatistics | None


@dataclass(frozen=True, slots=True)
class DrainReport:
    """How a publisher ended.

    Attributes:
        accepted: events taken over from callers, in its whole life.
        acked: acknowledged by the broker.
        captured: handed to the dead letter queue.
        unsaved: failed, and the dead letter queue did not take them: lost with this process unless a journal has them.
        unreported: librdkafka never said what became of them; 0 as far as is known.
        seconds: how long the drain took.
    """

    accepted: int
    acked: int
    captured: int
    unsaved: int
    unreported: int
    seconds: float

    @property
    def complete(self) -> bool:
        """Whether every accepted event is acknowledged or captured."""
        return self.accepted == self.acked + self.captured
