"""Errors made observable: counted by class and code, the last ones kept, and a log line that cannot flood."""

from __future__ import annotations

import logging
import time
from collections import Counter
from dataclasses import dataclass, replace
from typing import Final

from atom_console.kafka.delivery_errors import ErrorClass, Stage, Verdict
from atom_console.kafka.failure import FailedDelivery

LOG: Final = logging.getLogger("atom_console.kafka.producer")
LOG.addHandler(logging.NullHandler())

_CHECK: Final = "Check the addresses, the network and the brokers; events wait meanwhile."
_KEPT = 50
_LOG_EVERY_S = 1.0


@dataclass(frozen=True, slots=True)
class SeenError:
    """One kind of error and how often it came.

    Attributes:
        code: librdkafka's (below zero) or the broker's.
        name: its name.
        err_class: the kind of failure.
        stage: where events failed, or None for an error of the client itself (a connection, a name).
        topic: the topic, or None for an error of the client itself.
        count: how often it was seen.
        first_ns: Unix nanoseconds of the first.
        last_ns: Unix nanoseconds of the last.
        message: what was said the last time. Foreign text: make it safe before it is shown.
        meaning: one sentence.
        next_step: one sentence.
    """

    code: int
    name: str
    err_class: ErrorClass
    stage: Stage | None
    topic: str | None
    count: int
    first_ns: int
    last_ns: int
    message: str
    meaning: str
    next_step: str


class ErrorBook:
    """Counts and remembers errors. One thread writes; another may read at any time."""

    def __init__(self, component: str) -> None:
        self._component = component
        self._by_class: Counter[ErrorClass] = Counter()
        self._by_name: Counter[str] = Counter()
        self._seen: dict[tuple[int, Stage | None, str | None], SeenError] = {}
        self._logged: dict[tuple[int, Stage | None, str | None], tuple[float, int]] = {}

    def delivery(self, failure: FailedDelivery, verdict: Verdict) -> None:
        """An event that could not be delivered."""
        self._by_class[failure.err_class] += 1
        self._by_name[failure.name] += 1
        self._note(verdict, failure.err_class, failure.stage, failure.topic, failure.message)

    def client(self, verdict: Verdict, message: str) -> None:
        """An error of the client itself, such as a lost connection: no event has failed by it yet."""
        if verdict.err_class is ErrorClass.OUTAGE:
            verdict = replace(verdict, next_step=_CHECK)
        self._note(verdict, verdict.err_class, None, None, message)

    @property
    def by_class(self) -> dict[ErrorClass, int]:
        """Failed events by class."""
        return dict(self._by_class)

    @property
    def by_name(self) -> dict[str, int]:
        """Failed events by the name of the code."""
        return dict(self._by_name)

    @property
    def recent(self) -> tuple[SeenError, ...]:
        """The last kinds of error, newest first."""
        return tuple(self._seen.values())[::-1]

    def _note(
        self, verdict: Verdict, err_class: ErrorClass, stage: Stage | None, topic: str | None, message: str
    ) -> None:
        key = (verdict.code, stage, topic)
        now_ns = time.time_ns()
        seen = self._seen.pop(key, None)
        if seen is None:
            seen = SeenError(
                verdict.code,
                verdict.name,
                err_class,
                stage,
                topic,
                1,
                now_ns,
                now_ns,
                message,
                verdict.meaning,
                verdict.next_step,
            )
        else:
            seen = replace(seen, count=seen.count + 1, last_ns=now_ns, message=message, err_class=err_class)
        self._seen[key] = seen
        if len(self._seen) > _KEPT:
            oldest = next(iter(self._seen))
            del self._seen[oldest]
            self._logged.pop(oldest, None)
        self._log(key, seen)

    def _log(self, key: tuple[int, Stage | None, str | None], seen: SeenError) -> None:
        """The first at once, then at most one line a second for each kind, with how many it stands for."""
        now_s = time.monotonic()
        last_s, logged = self._logged.get(key, (-_LOG_EVERY_S, 0))
        if now_s - last_s < _LOG_EVERY_S:
            return
        self._logged[key] = (now_s, seen.count)
        LOG.warning(
            "%s: %s",
            seen.name,
            seen.meaning,
            extra={
                "event": "delivery.failed" if seen.stage else "client.error",
                "component": self._component,
                "code": seen.code,
                "err_name": seen.name,
                "err_class": str(seen.err_class),
                "stage": seen.stage,
                "topic": seen.topic,
                "count": seen.count - logged,
                "total": seen.count,
                "detail": seen.message,
                "next_step": seen.next_step,
            },
        )
