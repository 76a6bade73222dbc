"""What a delivery that failed looks like, and who takes it: the seam between the producer and the dead letter queue."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from atom_console.kafka.delivery_errors import ErrorClass, Stage, Verdict

Headers = tuple[tuple[str, bytes | None], ...]
"""Kafka headers in order; names may repeat, a value may be null."""


@dataclass(frozen=True, slots=True)
class FailedDelivery:
    """One event that the broker does not have for certain, with everything needed to send it again.

    Attributes:
        topic: where it was to go.
        partition: the partition it was given, or None where none was chosen yet.
        key: the Kafka key (tenant id, UTF-8), or None.
        value: the payload, exactly as given; at stage `encode` the input as it came.
        headers: the Kafka headers.
        timestamp_ms: Unix milliseconds of the record, or None.
        code: librdkafka's (below zero) or the broker's error code.
        name: its name, e.g. `_MSG_TIMED_OUT`.
        err_class: the kind of failure.
        message: what the client or the broker said. Foreign text: make it safe before it is shown.
        maybe_persisted: the broker may hold the event all the same.
        stage: where it failed.
        component: which producer of ours it was, e.g. `producer`.
        at_ns: Unix nanoseconds of the failure.
        journal_id: the row of the write-ahead journal that holds the event (durable mode), or None.
    """

    topic: str
    partition: int | None
    key: bytes | None
    value: bytes | None
    headers: Headers
    timestamp_ms: int | None
    code: int
    name: str
    err_class: ErrorClass
    message: str
    maybe_persisted: bool
    stage: Stage
    component: str
    at_ns: int
    journal_id: int | None = None


@dataclass(frozen=True, slots=True)
class JournalEntry:
    """One event as the write-ahead journal keeps it before it is accepted (durable mode)."""

    topic: str
    key: bytes | None
    value: bytes | None
    headers: Headers
    timestamp_ms: int | None


class FailureSink(Protocol):
    """Takes what could not be delivered."""

    def capture(self, failure: FailedDelivery, /) -> None:
        """Take over one failure. Never raises and never waits for the network; may wait for the disk when full."""


class Journal(Protocol):
    """The write-ahead journal of durable mode."""

    def append(self, entries: Sequence[JournalEntry], /) -> Sequence[int]:
        """Commit the entries to disk; their ids, in order, on return. Raises if it cannot."""

    def acknowledge(self, ids: Sequence[int], /) -> None:
        """The broker has these; they are deleted in a later group commit. Cheap, never raises."""


def failed(
    verdict: Verdict,
    *,
    topic: str,
    value: bytes | None,
    key: bytes | None = None,
    headers: Headers = (),
    timestamp_ms: int | None = None,
    partition: int | None = None,
    message: str | None = None,
    stage: Stage,
    component: str,
    journal_id: int | None = None,
) -> FailedDelivery:
    """A failure stamped with the present time and the verdict of the table."""
    return FailedDelivery(
        topic=topic,
        partition=partition,
        key=key,
        value=value,
        headers=headers,
        timestamp_ms=timestamp_ms,
        code=verdict.code,
        name=verdict.name,
        err_class=verdict.err_class,
        message=message or verdict.meaning,
        maybe_persisted=verdict.maybe_persisted,
        stage=stage,
        component=component,
        at_ns=time.time_ns(),
        journal_id=journal_id,
    )
