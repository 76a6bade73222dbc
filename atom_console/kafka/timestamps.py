"""Events whose own time is a danger: acknowledged and then deleted by retention, or refused for lying ahead.

Measured on a real broker: records stamped before the topic's retention are acknowledged with acks=all and then deleted,
and records over an hour ahead are refused (`message.timestamp.after.max.ms`). They are flagged here, not refused: the
contract says that the Kafka timestamp is the event's own.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from threading import Thread
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from atom_console.kafka.client_config import Properties

_HOUR_MS: Final = 3_600_000
_NEVER_MS: Final = -(2**63)
_ASK_AGAIN_S: Final = 300.0
_REQUEST_S: Final = 10.0


@dataclass(slots=True)
class TimeBounds:
    """The times that a topic can hold at the moment; rewritten in place as time passes.

    Attributes:
        oldest_ms: an event before this is deleted soon after it is acknowledged; unbounded while retention is unknown.
        newest_ms: an event after this is refused.
        retention_ms: the topic's retention.ms, None while it is unknown, infinite or does not apply.
    """

    oldest_ms: int = _NEVER_MS
    newest_ms: int = _NEVER_MS
    retention_ms: int | None = None
    ahead_ms: int = _HOUR_MS


@dataclass(frozen=True, slots=True)
class TimestampWarning:
    """The last event whose time was out of bounds.

    Attributes:
        topic: where it went.
        timestamp_ms: its time, Unix milliseconds.
        at_ms: when that was noticed, Unix milliseconds.
        why: one sentence.
    """

    topic: str
    timestamp_ms: int
    at_ms: int
    why: str


@dataclass(slots=True)
class _Watched:
    bounds: TimeBounds
    asked_s: float = float("-inf")
    answer: Future[Any] | None = None


class TimestampGuard:
    """Knows the bounds of each topic. The broker is asked once in five minutes, and nothing ever waits for the answer.

    Args:
        properties: of an admin client.
    """

    def __init__(self, properties: Callable[[], Properties]) -> None:
        self._properties = properties
        self._admin: Any = None
        self._topics: dict[str, _Watched] = {}

    def bounds(self, topic: str) -> TimeBounds:
        """The bounds of a topic, kept up to date by `refresh`."""
        watched = self._topics.get(topic)
        if watched is None:
            watched = self._topics[topic] = _Watched(TimeBounds())
            self._move(watched.bounds, int(time.time() * 1000))
        return watched.bounds

    def refresh(self) -> None:
        """Take answers that have come, ask what is due, and move the bounds with the clock."""
        now_ms, now_s = int(time.time() * 1000), time.monotonic()
        for topic, watched in self._topics.items():
            if watched.answer is not None and watched.answer.done():
                self._take(watched)
            if watched.answer is None and now_s - watched.asked_s >= _ASK_AGAIN_S:
                watched.asked_s = now_s
                watched.answer = self._ask(topic)
            self._move(watched.bounds, now_ms)

    def reconnect(self) -> None:
        """Ask through a new client from the next question on: the certificates have changed."""
        client, self._admin = [self._admin], None
        for watched in self._topics.values():
            watched.answer = None
        Thread(target=client.clear, name="timestamp-guard-close", daemon=True).start()

    def close(self) -> None:
        """Give up the admin client; open questions end unanswered."""
        self._admin = None
        self._topics.clear()

    def _ask(self, topic: str) -> Future[Any]:
        from confluent_kafka import admin

        from atom_console.kafka.client_log import CLIENT_LOG

        if self._admin is None:
            self._admin = admin.AdminClient(self._properties() | {"logger": CLIENT_LOG})
        # Public by the documentation, though not listed for type checkers.
        resource = admin.ConfigResource(admin.ResourceType.TOPIC, topic)  # type: ignore[attr-defined]
        answers: dict[Any, Future[Any]] = self._admin.describe_configs([resource], request_timeout=_REQUEST_S)
        return answers[resource]

    @staticmethod
    def _take(watched: _Watched) -> None:
        answer, watched.answer = watched.answer, None
        assert answer is not None
        if answer.exception() is not None:
            return  # no permission, no such topic, no admin API: what is known stays
        values = {name: entry.value for name, entry in answer.result().items()}
        own_time = values.get("message.timestamp.type", "CreateTime") == "CreateTime"
        deleted = "delete" in (values.get("cleanup.policy") or "delete")
        retention = _integer(values.get("retention.ms"))
        applies = own_time and deleted and retention is not None and retention >= 0
        watched.bounds.retention_ms = retention if applies else None
        ahead = _integer(values.get("message.timestamp.after.max.ms"))
        watched.bounds.ahead_ms = _HOUR_MS if ahead is None else min(ahead, _HOUR_MS)

    @staticmethod
    def _move(bounds: TimeBounds, now_ms: int) -> None:
        bounds.newest_ms = now_ms + bounds.ahead_ms
        bounds.oldest_ms = _NEVER_MS if bounds.retention_ms is None else now_ms - bounds.retention_ms


def out_of_bounds(topic: str, timestamp_ms: int, bounds: TimeBounds) -> TimestampWarning:
    """The warning about a time that lies outside of the bounds."""
    if timestamp_ms > bounds.newest_ms:
        why = f"the event's time is more than {bounds.ahead_ms / _HOUR_MS:g} h ahead: brokers refuse it by default"
    else:
        days = (bounds.retention_ms or 0) / (24 * _HOUR_MS)
        why = f"the event's time is older than the topic's retention ({days:g} days): it is acknowledged, then deleted"
    return TimestampWarning(topic, timestamp_ms, int(time.time() * 1000), why)


def _integer(text: str | None) -> int | None:
    try:
        return None if text is None else int(text)
    except ValueError:
        return None
