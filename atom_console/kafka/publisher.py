"""The producer: what it accepts ends acknowledged by the broker or captured on this host, never in neither place."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from operator import attrgetter
from typing import TYPE_CHECKING, Any, Final

from confluent_kafka import KafkaException

from atom_console.errors import AtomError, RefusedError
from atom_console.events import AtomEvent, encode, encode_mapping
from atom_console.kafka.client_config import admin_config, producer_config
from atom_console.kafka.delivery_errors import VALUE_SERIALIZATION, classify
from atom_console.kafka.dispatch import Dispatch
from atom_console.kafka.envelope import NS_PER_MS, TYPE_HEADERS, check_record, described, heads_of, outgoing
from atom_console.kafka.error_book import LOG
from atom_console.kafka.failure import FailureSink, Headers, Journal, JournalEntry
from atom_console.kafka.report_desk import Outgoing
from atom_console.kafka.snapshots import DrainReport, PublisherSnapshot
from atom_console.kafka.statistics import ClientStatistics, parse_statistics
from atom_console.kafka.timestamps import TimeBounds, TimestampGuard, TimestampWarning, out_of_bounds
from atom_console.metrics import RateWindow

if TYPE_CHECKING:
    from atom_console.config import KafkaSettings, Settings
    from atom_console.kafka.lane import Successor

_POLL_EVERY: Final = 64
_TURN_S: Final = 0.05
_TICK_S: Final = 0.05
_IDEMPOTENCE_READY_S: Final = 0.6

_HEADER_NAMES: Final = len("trace_id") + len("type")
_OBJECT_HEAD: Final = attrgetter("tenant_id", "trace_id", "type", "timestamp")
# An encoded event, and its tenant, trace, type and time in nanoseconds; encoding has proved the last two.
_Produce = Callable[[bytes, str | None, str | None, Any, Any], None]


class PublisherClosedError(RefusedError):
    """The publisher has been drained and accepts nothing any more."""


class NotAcceptedError(AtomError):
    """The journal could not commit the event, so it was not accepted: the caller still has it."""


class Publisher:
    """Publishes events without ever waiting for the network.

    Every call belongs to one producing thread; only `snapshot()` may be called from others. That thread calls `poll()`
    at least every 100 ms while it has nothing to publish. Signal handlers must not raise in it (set a flag instead): an
    exception inside a delivery report would lose that report.

    Key = tenant id, so that a tenant's events keep their order within a partition. Three things give that order up: a
    batch that the broker refused for one bad message (its other messages are sent again, alone, after later ones), a
    fatal error of the client (the queue of the dead producer follows the events published meanwhile), and a change of
    certificates (the same, for what is queued at that moment).

    Args:
        settings: `settings.kafka` is used.
        sink: takes what cannot be delivered.
        journal: durable mode: events are committed there before they are accepted.
        component: the name that failures carry.

    Raises:
        ClientConfigError: settings that no client can be made of.
    """

    def __init__(
        self, settings: Settings, sink: FailureSink, journal: Journal | None = None, *, component: str = "producer"
    ) -> None:
        kafka = settings.kafka
        self._kafka = kafka
        self._journal = journal
        self._dispatch = Dispatch(producer_config(kafka), kafka.queue_max_kbytes * 1024, sink, journal, component)
        self._desk = self._dispatch.desk
        self._guard = TimestampGuard(lambda: admin_config(self._kafka))
        self._bounds = self._guard.bounds(kafka.topic)
        self._guard_due_s = 0.0
        self._tick_due_s = 0.0
        self._closed = False
        self._drained: DrainReport | None = None
        self._accepted = 0
        self._accepted_bytes = 0
        self._flagged_old = 0
        self._flagged_ahead = 0
        self._last_flag: TimestampWarning | None = None
        self._produce: _Produce = self._hot_path() if journal is None else self._produce_durably
        self._statistics: tuple[str, ClientStatistics | None] = ("", None)
        self._accepted_rate, self._acked_rate, self._bytes_rate = RateWindow(), RateWindow(), RateWindow()

    # What callers do: publish, poll, and at the end drain.

    def publish(self, event: AtomEvent) -> None:
        """Accept one event.

        Raises:
            EncodeError: it cannot be encoded; nothing was accepted.
            NotAcceptedError: durable mode, and the journal could not commit it.
            PublisherClosedError: after `drain`.
        """
        self._produce(encode(event), event.tenant_id, event.trace_id, event.type, event.timestamp)

    def publish_mapping(self, event: Mapping[str, Any]) -> None:
        """Accept one event given as a mapping of field names. Raises as `publish`."""
        value = encode_mapping(event)
        self._produce(value, event.get("tenant_id"), event.get("trace_id"), event["type"], event["timestamp"])

    def publish_many(self, events: Sequence[AtomEvent]) -> None:
        """Accept a batch, all of it or none; batches of about 100 are fastest, and one group commit in durable mode.

        Raises:
            EncodeError: one of the events cannot be encoded; none was accepted. Publish them one by one to find it.
            NotAcceptedError: durable mode, and the journal could not commit the batch.
            PublisherClosedError: after `drain`.
        """
        values = list(map(encode, events))
        if self._journal is None:
            produce = self._produce
            for value, event in zip(values, events, strict=True):
                produce(value, event.tenant_id, event.trace_id, event.type, event.timestamp)
        else:
            self._accept_encoded(values, map(_OBJECT_HEAD, events))

    def publish_mappings(self, events: Sequence[Mapping[str, Any]]) -> None:
        """Accept a batch of mappings, all of it or none. Raises as `publish_many`."""
        values = list(map(encode_mapping, events))
        if self._journal is None:
            produce = self._produce
            for value, event in zip(values, events, strict=True):
                produce(value, event.get("tenant_id"), event.get("trace_id"), event["type"], event["timestamp"])
        else:
            self._accept_encoded(values, map(_mapping_head, events))

    def publish_payloads(self, values: Sequence[bytes], topic: str | None = None) -> None:
        """Accept a batch of encoded events, all of it or none: key, headers and time of each are its own.

        Args:
            values: the payloads.
            topic: None is `kafka.topic`.

        Raises:
            DecodeError: one of them is no event; none was accepted.
            NotAcceptedError: durable mode, and the journal could not commit the batch.
            PublisherClosedError: after `drain`.
        """
        heads = heads_of(values)
        if self._journal is None and topic in (None, self._kafka.topic):
            for value, head in zip(values, heads, strict=True):
                if head[-1]:
                    self._produce(value, *head)
                else:
                    self._accept_encoded([value], [head])
        else:
            self._accept_encoded(values, heads, topic)

    def publish_encoded(
        self,
        value: bytes | None,
        key: bytes | None = None,
        headers: Headers = (),
        timestamp_ms: int | None = None,
        topic: str | None = None,
    ) -> None:
        """Accept a payload as it is.

        Args:
            value: the payload, or None for a tombstone.
            key: the Kafka key.
            headers: in order; names may repeat.
            timestamp_ms: Unix milliseconds; None or 0 is now.
            topic: None is `kafka.topic`.

        Raises:
            InputError: an argument that no Kafka record can hold; nothing was accepted.
            NotAcceptedError: durable mode, and the journal could not commit it.
            PublisherClosedError: after `drain`.
        """
        self._refuse_when_closed()
        check_record(value, key, headers, timestamp_ms)
        self._accept([outgoing(topic or self._kafka.topic, value, key, tuple(headers), timestamp_ms)])

    def keep_invalid(self, raw: bytes, why: str, topic: str | None = None) -> None:
        """Capture input that could not be encoded, as it came; it counts as accepted and captured.

        Args:
            raw: the input.
            why: what was wrong, with line and field.
            topic: where it was to go; None is `kafka.topic`.
        """
        self._refuse_when_closed()
        self._accepted += 1
        verdict = classify(VALUE_SERIALIZATION, stage="encode")
        outgoing = Outgoing(topic or self._kafka.topic, raw, None, (), None, 0)
        self._dispatch.capture(outgoing, verdict, "encode", message=why)

    def poll(self, timeout_s: float = 0.0) -> None:
        """Serve delivery reports; waits up to `timeout_s` for the first.

        Called by `publish…` itself every 64 events. While nothing is published, call it at least every 100 ms.
        """
        self._dispatch.serve(timeout_s)
        self._dispatch.settle()
        self._tick()

    def wait_for_room(self, timeout_s: float, share: float = 0.8) -> bool:
        """For callers that can slow down, such as a file reader: wait until the queue is at most `share` full.

        Returns:
            False when the time passed first: publish all the same and what does not fit is captured, or wait again.
        """
        end_s = time.monotonic() + timeout_s
        while not self._has_room(share):
            left_s = end_s - time.monotonic()
            if left_s <= 0:
                return False
            self.poll(min(left_s, _TURN_S))
        return True

    def warm_up(self, timeout_s: float = 2.0) -> bool:
        """Connect before the first event: an idempotent producer needs some 500 ms for its id (measured).

        Returns:
            Whether the cluster answered in time. This is the one call beside `drain` that waits for the network.
        """
        end_s = time.monotonic() + timeout_s
        try:
            self._dispatch.main.metadata(self._kafka.topic, timeout_s)
        except KafkaException as raised:
            self._dispatch.client_error(raised.args[0])
            self.poll()
            return False
        ready_s = min(end_s, time.monotonic() + _IDEMPOTENCE_READY_S) if self._kafka.idempotence else 0.0
        while time.monotonic() < ready_s:
            self.poll(_TURN_S)
            statistics = self._latest_statistics()
            if statistics is not None and statistics.idempotence == "Assigned":
                break
        return True

    def cluster_id(self, timeout_s: float) -> str | None:
        """The id of the cluster behind the brokers, or None where none answered in time. Any thread may ask.

        No topic is named: naming one would make it where brokers create topics on demand.
        """
        try:
            found: str | None = self._dispatch.main.metadata(None, timeout_s).cluster_id
        except KafkaException:
            return None
        return found

    def successor(self, kafka: KafkaSettings, timeout_s: float) -> Successor:
        """A connected producer with other certificates, which `take_over` then puts in place. Any thread may make it.

        Raises:
            ClientConfigError: no client can be made of these settings.
            KafkaException: no broker answered within `timeout_s` seconds.
        """
        return self._dispatch.main.successor(producer_config(kafka), kafka.topic, timeout_s)

    def take_over(self, kafka: KafkaSettings, successor: Successor) -> None:
        """Publish through the successor from now on. The old producer sends what it holds; nothing is lost.

        Topic, limits and time-outs stay those of the publisher's beginning.
        """
        if self._closed:
            return
        self._kafka = kafka
        self._dispatch.take_over(successor)
        self._guard.reconnect()

    def drain(self, deadline_s: float) -> DrainReport:
        """Stop intake, flush until the deadline, give up what is left, and capture it. The publisher is then closed.

        Args:
            deadline_s: seconds for the flush; collecting the last reports may take one second more.
        """
        if self._drained is not None:
            return self._drained
        start_s = time.monotonic()
        self._closed = True
        self._produce = self._produce_no_more
        self._dispatch.finish(deadline_s)
        desk = self._desk
        self._drained = DrainReport(
            accepted=self._accepted,
            acked=desk.acked,
            captured=desk.captured,
            unsaved=len(desk.unsaved),
            unreported=self._accepted - desk.acked - desk.captured - len(desk.unsaved),
            seconds=time.monotonic() - start_s,
        )
        self._tick()
        self._guard.close()
        _log_drain(self._drained)
        return self._drained

    def snapshot(self) -> PublisherSnapshot:
        """The figures of this moment, frozen; may be called from any thread."""
        desk = self._desk
        # Read in this order: what is in flight may be shown an instant too large, never too small.
        acked, captured, unsaved = desk.acked, desk.captured, len(desk.unsaved)
        accepted = self._accepted
        return PublisherSnapshot(
            mode="async" if self._journal is None else "durable",
            accepted=accepted,
            accepted_bytes=self._accepted_bytes,
            acked=acked,
            captured=captured,
            unsaved=unsaved,
            in_flight=accepted - acked - captured - unsaved,
            in_flight_bytes=desk.charged,
            queue_max_messages=self._kafka.queue_max_messages,
            queue_max_bytes=self._dispatch.limit,
            retried_alone=self._dispatch.retried_alone,
            rebuilt=self._dispatch.rebuilt,
            flagged_old=self._flagged_old,
            flagged_ahead=self._flagged_ahead,
            last_flag=self._last_flag,
            accepted_rate=self._accepted_rate.snapshot(),
            acked_rate=self._acked_rate.snapshot(),
            bytes_rate=self._bytes_rate.snapshot(),
            ack=desk.latency.snapshot(),
            captured_by_class=self._dispatch.book.by_class,
            captured_by_code=self._dispatch.book.by_name,
            recent_errors=self._dispatch.book.recent,
            statistics=self._latest_statistics(),
        )

    # The way in.

    def _hot_path(self) -> _Produce:
        """One event to librdkafka; a closure, as looking up attributes would cost as much as encoding.

        It builds no object and no callback an event: the report brings key and value back. A text counts one byte a
        character against the queue limit, which is exact for ids in ASCII.
        """
        desk, bounds, dispatch, lane = self._desk, self._bounds, self._dispatch, self._dispatch.main
        callbacks, topic, limit = desk.callbacks, self._kafka.topic, dispatch.limit
        types = [(header, len(header[1]) + _HEADER_NAMES) for header in TYPE_HEADERS]

        def produce(value: bytes, tenant: str | None, trace: str | None, kind: Any, time_ns: Any) -> None:
            time_ms = time_ns // NS_PER_MS
            if not bounds.oldest_ms <= time_ms <= bounds.newest_ms:
                self._flag(topic, time_ms, bounds)
            if tenant is not None and trace is not None:
                type_header, extra = types[kind]
                extra += len(tenant) + len(trace)
                size = len(value)
                charged = desk.charged + size + extra
                if charged <= limit:
                    try:
                        # By position, as keywords cost more: topic, value, key, partition, callback, on_delivery,
                        # timestamp, headers. The documentation names another order; a test pins this one.
                        lane.produce(
                            topic, value, tenant, -1, callbacks[extra], None, time_ms,
                            [("trace_id", trace), type_header],
                        )  # fmt: skip
                    except (BufferError, KafkaException):
                        pass  # `deliver` finds out what it was
                    else:
                        desk.charged = charged
                        self._accepted_bytes += size
                        accepted = self._accepted = self._accepted + 1
                        if accepted % _POLL_EVERY == 0:
                            self.poll()
                        return
            self._hand_over(self._described(value, tenant, trace, kind, time_ns))

        return produce

    def _accept_encoded(
        self, values: Sequence[bytes], heads: Iterable[tuple[Any, Any, Any, Any]], topic: str | None = None
    ) -> None:
        self._refuse_when_closed()
        topic = topic or self._kafka.topic
        self._accept([described(topic, value, *head) for value, head in zip(values, heads, strict=True)])

    def _produce_durably(self, value: bytes, tenant: str | None, trace: str | None, kind: Any, time_ns: Any) -> None:
        self._accept([self._described(value, tenant, trace, kind, time_ns)])

    def _produce_no_more(self, value: bytes, tenant: str | None, trace: str | None, kind: Any, time_ns: Any) -> None:
        self._refuse_when_closed()

    def _hand_over(self, event: Outgoing) -> None:
        self._accepted += 1
        self._accepted_bytes += len(event.value or b"")
        self._dispatch.deliver(event)
        if self._accepted % _POLL_EVERY == 0:
            self.poll()

    def _accept(self, events: list[Outgoing]) -> None:
        """The way in for events with an `Outgoing`: journalled where there is a journal, then sent."""
        if self._journal is not None:
            _write_ahead(self._journal, events)
        for event in events:
            if event.timestamp_ms:
                bounds = self._guard.bounds(event.topic)
                if not bounds.oldest_ms <= event.timestamp_ms <= bounds.newest_ms:
                    self._flag(event.topic, event.timestamp_ms, bounds)
            self._hand_over(event)

    def _described(self, value: bytes, tenant: str | None, trace: str | None, kind: Any, time_ns: Any) -> Outgoing:
        return described(self._kafka.topic, value, tenant, trace, kind, time_ns)

    def _refuse_when_closed(self) -> None:
        if self._closed:
            raise PublisherClosedError("the publisher has been drained", next_step="make a new one")

    # The figures.

    def _has_room(self, share: float) -> bool:
        desk = self._desk
        in_flight = self._accepted - desk.acked - desk.captured - len(desk.unsaved)
        return in_flight <= share * self._kafka.queue_max_messages and desk.charged <= share * self._dispatch.limit

    def _tick(self) -> None:
        now_s = time.monotonic()
        if now_s < self._tick_due_s and not self._closed:
            return
        self._tick_due_s = now_s + _TICK_S
        self._accepted_rate.observe(self._accepted, now_s)
        self._acked_rate.observe(self._desk.acked, now_s)
        self._bytes_rate.observe(self._accepted_bytes, now_s)
        self._desk.latency.rotate(now_s)
        if now_s >= self._guard_due_s and not self._closed and self._accepted:
            self._guard_due_s = now_s + 1.0
            self._guard.refresh()

    def _flag(self, topic: str, timestamp_ms: int, bounds: TimeBounds) -> None:
        warning = out_of_bounds(topic, timestamp_ms, bounds)
        if timestamp_ms > bounds.newest_ms:
            self._flagged_ahead += 1
        else:
            self._flagged_old += 1
        if self._last_flag is None or warning.at_ms - self._last_flag.at_ms >= 1000:
            LOG.warning("%s", warning.why, extra={"event": "timestamp.flagged", "topic": topic})
        self._last_flag = warning

    def _latest_statistics(self) -> ClientStatistics | None:
        text = self._dispatch.statistics_text
        parsed_text, parsed = self._statistics
        if text != parsed_text:
            parsed = parse_statistics(text)
            self._statistics = (text, parsed)
        return parsed


def _mapping_head(event: Mapping[str, Any]) -> tuple[Any, Any, Any, Any]:
    return event.get("tenant_id"), event.get("trace_id"), event["type"], event["timestamp"]


def _write_ahead(journal: Journal, events: list[Outgoing]) -> None:
    entries = [JournalEntry(one.topic, one.key, one.value, one.headers, one.timestamp_ms) for one in events]
    try:
        ids = journal.append(entries)
    except Exception as error:
        raise NotAcceptedError(
            f"the journal did not commit {len(entries)} events: {error}",
            next_step="look at the disk of the dead letter queue; the events were not accepted",
        ) from error
    for event, row in zip(events, ids, strict=True):
        event.journal_id = row


def _log_drain(report: DrainReport) -> None:
    level = logging.INFO if report.complete else logging.CRITICAL
    LOG.log(
        level,
        "drained: %d accepted, %d acknowledged, %d captured, %d not saved",
        report.accepted,
        report.acked,
        report.captured,
        report.unsaved + report.unreported,
        extra={"event": "drain.finished", "seconds": report.seconds},
    )
