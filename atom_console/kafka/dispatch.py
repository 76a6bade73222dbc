"""Behind the publisher: events to librdkafka, and every report of a failure to its end."""

from __future__ import annotations

import time
from collections import deque
from typing import Any, Final

from confluent_kafka import KafkaError, KafkaException

from atom_console.events import DecodeError, headers_of, peek
from atom_console.kafka.client_config import Properties
from atom_console.kafka.delivery_errors import (
    PURGE_INFLIGHT,
    PURGE_QUEUE,
    QUEUE_FULL,
    ErrorClass,
    Stage,
    Verdict,
    classify,
)
from atom_console.kafka.error_book import LOG, ErrorBook
from atom_console.kafka.failure import FailureSink, Headers, Journal, failed
from atom_console.kafka.lane import Lane, Successor, is_fatal
from atom_console.kafka.report_desk import FailedReport, Outgoing, ReportDesk

_NS_PER_MS: Final = 1_000_000
_LAST_REPORTS_S: Final = 1.0
_TURN_S: Final = 0.05


class Dispatch:
    """Two ways to the broker (the second for events that must travel alone) and one desk for their reports.

    Used by one thread. An event that is handed over here ends acknowledged, captured, or in `desk.unsaved`.

    Args:
        properties: of the producer.
        limit: bytes of values, keys and headers that may be on their way.
        sink: takes what cannot be delivered.
        journal: takes acknowledgements in durable mode.
        component: the name that failures carry.
    """

    def __init__(
        self, properties: Properties, limit: int, sink: FailureSink, journal: Journal | None, component: str
    ) -> None:
        self.desk = ReportDesk(sink, journal)
        self.book = ErrorBook(component)
        self.limit = limit
        self.retried_alone = 0
        self.statistics_text = ""
        self._component = component
        self._properties = properties
        self._client_errors: deque[KafkaError] = deque()
        self._stopping = False
        self._purged = False
        self.main = Lane(properties, self._client_errors.append, self._take_statistics)
        self._alone: Lane | None = None
        self._alone_before: list[Lane] = []

    @property
    def rebuilt(self) -> int:
        """Producers that were replaced after a fatal error."""
        return sum(lane.renewals for lane in self._lanes())

    def deliver(self, event: Outgoing, lane: Lane | None = None) -> None:
        """Hand one event to librdkafka, or capture it. The second attempt comes after reports have made room."""
        lane = self.main if lane is None else lane
        refused: KafkaError | None = None
        for _ in range(2):
            if self.desk.charged + event.charge <= self.limit:
                try:
                    lane.produce(
                        topic=event.topic,
                        value=event.value,
                        key=event.key,
                        timestamp=event.timestamp_ms or 0,
                        headers=list(event.headers),
                        callback=self.desk.callback(event),
                    )
                except BufferError:
                    refused = None
                except KafkaException as raised:
                    refused = raised.args[0]
                    if not is_fatal(refused):
                        break
                    lane.renew()
                    continue
                else:
                    self.desk.charged += event.charge
                    return
            self.serve()
        if refused is None:
            self.capture(event, classify(QUEUE_FULL, stage="queue"), "queue")
        else:
            verdict = classify(refused.code(), stage="produce", name=refused.name())
            self.capture(event, verdict, "produce", message=refused.str())

    def take_over(self, successor: Successor) -> None:
        """Send through another producer from now on; what the old ones hold they send and report themselves."""
        self._properties = successor.properties
        self.main.take_over(successor)
        if self._alone is not None:
            self._alone_before.append(self._alone)
            self._alone = None

    def serve(self, timeout_s: float = 0.0) -> None:
        """Let reports in; waits up to `timeout_s` for the first. Decides about none of them."""
        self.main.serve(timeout_s)
        if self._alone is not None:
            self._alone.serve()
        if self._alone_before:
            for lane in self._alone_before:
                lane.serve()
            self._alone_before = [lane for lane in self._alone_before if lane.outstanding]
        self.desk.collect()

    def settle(self) -> None:
        """Decide about every failure that has been reported."""
        while self._client_errors:
            error = self._client_errors.popleft()
            self.book.client(classify(error.code(), stage="delivery", name=error.name()), error.str())
        failures = self.desk.failures
        while failures:
            self._judge(failures.popleft())
        if self.desk.unsaved:
            self.desk.retry_unsaved()

    def client_error(self, error: KafkaError) -> None:
        """Note an error of the client that did not come through a callback."""
        self._client_errors.append(error)

    def finish(self, deadline_s: float) -> None:
        """Flush until the deadline, then give up what is left and collect the reports that say so (1 s at most)."""
        self._stopping = True
        end_s = time.monotonic() + deadline_s
        while (left_s := end_s - time.monotonic()) > 0 and self._busy():
            self._flush(min(left_s, _TURN_S))
        self._purged = True
        for lane in self._lanes():
            lane.purge()
        end_s = time.monotonic() + _LAST_REPORTS_S
        while self._busy() and time.monotonic() < end_s:
            self._flush(_TURN_S)
        self.desk.collect()
        self.settle()

    def capture(
        self,
        event: Outgoing,
        verdict: Verdict,
        stage: Stage,
        *,
        message: str | None = None,
        partition: int | None = None,
    ) -> None:
        """Hand an event to the dead letter queue and count why."""
        failure = failed(
            verdict,
            topic=event.topic,
            value=event.value,
            key=event.key,
            headers=event.headers,
            timestamp_ms=event.timestamp_ms,
            partition=partition,
            message=message,
            stage=stage,
            component=self._component,
            journal_id=event.journal_id,
        )
        self.book.delivery(failure, verdict)
        self.desk.capture(failure)

    def _judge(self, report: FailedReport) -> None:
        error, partition = report.error, report.message.partition()
        event = report.outgoing or self._recovered(report)
        code, message = error.code(), error.str()
        stage: Stage = "drain" if self._purged and code in (PURGE_QUEUE, PURGE_INFLIGHT) else "delivery"
        verdict = classify(code, stage=stage, alone=event.alone, name=error.name())
        self.desk.charged -= event.charge
        if verdict.suspect and not self._purged:
            self._send_alone(event)
        elif code == PURGE_QUEUE and not self._purged:
            # A fatal error: this one waited in the queue, so it goes on with the new producer.
            self.deliver(event, self._alone if event.alone else None)
        else:
            if verdict.suspect:
                verdict = verdict.as_class(ErrorClass.UNKNOWN)
                message = f"{message}; its batch was refused, and no time was left to try it alone"
            elif code == PURGE_INFLIGHT and not self._purged:
                verdict = verdict.as_class(ErrorClass.CLIENT_FATAL)
                message = f"{message} by a fatal error of the producer"
            self.capture(event, verdict, stage, message=message, partition=partition)

    def _send_alone(self, event: Outgoing) -> None:
        if self._alone is None:
            alone = {"batch.num.messages": 1, "linger.ms": 0, "statistics.interval.ms": 0}
            self._alone = Lane(self._properties | alone, self._client_errors.append)
        event.alone = True
        self.retried_alone += 1
        self.deliver(event, self._alone)

    @staticmethod
    def _recovered(report: FailedReport) -> Outgoing:
        """An event from its report: headers and time are in the payload, as reports of failures carry neither."""
        message: Any = report.message
        value: bytes = message.value()
        headers: Headers = ()
        time_ms = None
        try:
            headers = tuple(headers_of(value))
            time_ms = (peek(value).timestamp or 0) // _NS_PER_MS
        except DecodeError:
            LOG.exception("a payload of ours cannot be read back", extra={"event": "payload.unreadable"})
        return Outgoing(message.topic(), value, message.key(), headers, time_ms, len(value) + report.extra)

    def _flush(self, timeout_s: float) -> None:
        for lane in self._lanes():
            if lane.outstanding:
                lane.flush(timeout_s)
        self.desk.collect()
        self.settle()

    def _busy(self) -> bool:
        return any(lane.outstanding for lane in self._lanes())

    def _lanes(self) -> tuple[Lane, ...]:
        return (self.main, *(() if self._alone is None else (self._alone,)), *self._alone_before)

    def _take_statistics(self, text: str) -> None:
        self.statistics_text = text
