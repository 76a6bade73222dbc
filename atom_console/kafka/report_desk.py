"""Where delivery reports arrive. Callbacks only hand over: they never raise, never wait, keep no object an event."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from atom_console.kafka.error_book import LOG
from atom_console.kafka.failure import FailedDelivery, FailureSink, Headers, Journal
from atom_console.metrics import LatencyWindow

if TYPE_CHECKING:
    from confluent_kafka import KafkaError, Message

Report = Callable[["KafkaError | None", "Message"], None]

_MOST_CALLBACKS: Final = 4096


@dataclass(slots=True)
class Outgoing:
    """An event whose report cannot be understood from the report alone: foreign headers, a journal row, a second try.

    Attributes:
        topic: where it goes.
        value: the payload.
        key: the Kafka key.
        headers: the Kafka headers; a report carries none.
        timestamp_ms: Unix milliseconds; a report of a failure carries none.
        charge: bytes of value, key and headers, counted against the queue limit.
        journal_id: its row in the journal (durable mode).
        alone: it has a batch of its own, as its first batch was refused.
    """

    topic: str
    value: bytes | None
    key: bytes | None
    headers: Headers
    timestamp_ms: int | None
    charge: int
    journal_id: int | None = None
    alone: bool = False


@dataclass(frozen=True, slots=True)
class FailedReport:
    """A report that says no.

    Attributes:
        error: why.
        message: the event as far as the report carries it: topic, partition, key and value.
        outgoing: the rest of it, or None where the event was sent without.
        extra: bytes of key and headers where `outgoing` is None.
    """

    error: KafkaError
    message: Message
    outgoing: Outgoing | None
    extra: int


class _Callbacks(dict[int, Report]):
    """A callback for each size of key plus headers, so that memory is accounted exactly without a closure an event."""

    def __init__(self, make: Callable[[int], Report]) -> None:
        super().__init__()
        self._make = make

    def __missing__(self, extra: int) -> Report:
        callback = self._make(extra)
        if len(self) < _MOST_CALLBACKS:
            self[extra] = callback
        return callback


class ReportDesk:
    """Counts what reports say, frees what they return, and hands failures on. Used by one thread, read by any."""

    def __init__(self, sink: FailureSink, journal: Journal | None) -> None:
        self._sink = sink
        self._journal = journal
        self._latencies: list[float] = []
        self._freed: list[int] = []
        self._journal_acks: list[int] = []
        self.failures: deque[FailedReport] = deque()
        self.unsaved: deque[FailedDelivery] = deque()
        self.callbacks = _Callbacks(self._plain_callback)
        self.latency = LatencyWindow()
        self.acked = 0
        self.captured = 0
        self.charged = 0

    def callback(self, outgoing: Outgoing) -> Report:
        """The callback of an event that has an `Outgoing`."""
        return partial(self._report, outgoing)

    def collect(self) -> None:
        """Take in the acknowledgements that the callbacks have put down."""
        if self._latencies:
            latencies, self._latencies[:] = self._latencies.copy(), ()
            self.acked += len(latencies)
            self.charged -= sum(self._freed)
            self._freed.clear()
            self.latency.record_many(latencies, time.monotonic(), scale=1e6)
        if self._journal_acks and self._journal is not None:
            try:
                self._journal.acknowledge(self._journal_acks.copy())
            except Exception:  # noqa: BLE001 - whatever a foreign journal raises
                # The rows stay: they are replayed with read-back rather than lost.
                LOG.exception("the journal did not take acknowledgements", extra={"event": "journal.failed"})
            else:
                self._journal_acks.clear()

    def capture(self, failure: FailedDelivery) -> None:
        """Hand a failure to the dead letter queue; what it does not take is kept and tried again by `retry_unsaved`."""
        if not self._captured(failure):
            self.unsaved.append(failure)

    def retry_unsaved(self) -> None:
        """Offer the oldest failure that was not taken again, and the rest if it is taken now."""
        while self.unsaved and self._captured(self.unsaved[0]):
            self.unsaved.popleft()

    def _captured(self, failure: FailedDelivery) -> bool:
        try:
            self._sink.capture(failure)
        except Exception:  # noqa: BLE001 - whatever a foreign sink raises, the event must stay
            LOG.critical("the dead letter queue refused an event", exc_info=True, extra={"event": "capture.failed"})
            return False
        self.captured += 1
        return True

    def _plain_callback(self, extra: int) -> Report:
        latency, freed, failed = self._latencies.append, self._freed.append, self.failures.append

        def report(error: KafkaError | None, message: Any) -> None:
            if error is None:
                latency(message.latency())
                freed(len(message) + extra)
            else:
                failed(FailedReport(error, message, None, extra))

        return report

    def _report(self, outgoing: Outgoing, error: KafkaError | None, message: Any) -> None:
        if error is None:
            self._latencies.append(message.latency())
            self._freed.append(outgoing.charge)
            if outgoing.journal_id is not None:
                self._journal_acks.append(outgoing.journal_id)
        else:
            self.failures.append(FailedReport(error, message, outgoing, 0))
