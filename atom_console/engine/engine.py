"""The engine: owns the producer, the store and the pollers; commands in, frozen snapshots and receipts out."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from threading import Lock, Thread
from typing import TYPE_CHECKING, Final

from atom_console.config import paths
from atom_console.dlq.reader import Reader
from atom_console.engine import sections, sources
from atom_console.engine.certificate_desk import CertificateDesk
from atom_console.engine.certificate_watch import TICK_S as CERTIFICATES_TICK_S
from atom_console.engine.certificate_watch import InventoryFacts, read_inventory
from atom_console.engine.cluster_watch import TICK_S as CLUSTER_TICK_S
from atom_console.engine.cluster_watch import ClusterFacts, ClusterWatch
from atom_console.engine.commands import (
    CertificateCommand,
    Command,
    DeadLetterCommand,
    FlightCommand,
    PaceWorkload,
    PublishEvent,
    Receipt,
    Refresh,
    StartWorkload,
)
from atom_console.engine.dead_letter_desk import DeadLetterDesk
from atom_console.engine.dlq_watch import TICK_S as STORE_TICK_S
from atom_console.engine.dlq_watch import StoreFacts, StoreWatch
from atom_console.engine.flight_desk import FlightDesk
from atom_console.engine.last_look import LastLook
from atom_console.engine.poller import Poller
from atom_console.engine.producer import Producer
from atom_console.engine.protocol import DrainReport
from atom_console.engine.rotation import KafkaIdentity
from atom_console.engine.schema_shelf import SchemaShelf
from atom_console.engine.session import session_section
from atom_console.engine.snapshot import EngineSnapshot, ProducerSection
from atom_console.engine.tls_advice import TlsAdvisor, explain_kafka
from atom_console.engine.wire import WireMeter
from atom_console.engine.workload import WorkloadRunner
from atom_console.errors import AtomError, InputError, RefusedError
from atom_console.events import encode_mapping
from atom_console.kafka.snapshots import PublisherSnapshot

if TYPE_CHECKING:
    from atom_console.config import Loaded

_REPORT_S: Final = 2.0
_STEP_S: Final = 0.02
_TURN_S: Final = 0.2
_LAST_FLUSH_S: Final = 0.5
_STOP_S: Final = 0.3
_P99_HISTORY: Final = 120


class Engine:
    """See `EngineLike`. `start` returns at once: what takes time happens in the engine's own threads.

    Args:
        loaded: the settings with their origins.
        produce: open the producer; False for a console that only looks (read-only profiles never produce).
        coach: one line of advice for the screen, asked at every snapshot; the demo uses it.
    """

    def __init__(self, loaded: Loaded, *, produce: bool = True, coach: Callable[[], str | None] = lambda: None) -> None:
        self._loaded, self._coach = loaded, coach
        identity = KafkaIdentity(loaded.settings)
        self._settings = identity.settings
        self._session = session_section(loaded)
        self._produce = produce and not self._settings.read_only
        self._producer: Producer | None = None
        self._producer_fault: AtomError | None = None
        self._opening: Thread | None = None
        self._p99: deque[float | None] = deque(maxlen=_P99_HISTORY)
        self._p99_due_s = 0.0
        self._wire = WireMeter()
        self._receipts: deque[Receipt] = deque(maxlen=100)
        self._workload = WorkloadRunner(self._receipts.append)
        self._drained: DrainReport | None = None
        self._ending = Lock()
        directory = paths.dlq_dir(self._settings)
        self._reader = Reader(directory)
        self._dead_letter_desk = DeadLetterDesk(
            lambda: identity.settings, self._reader, lambda: self._open().store, self._receipts.append
        )
        store_watch = StoreWatch(directory, LastLook(directory))
        self._store: Poller[StoreFacts] = Poller("store-watch", store_watch.read, STORE_TICK_S, store_watch.close)
        self._cluster_watch = cluster_watch = ClusterWatch(identity)
        self._kafka_advice = TlsAdvisor(lambda error: explain_kafka(loaded.settings, error))
        self._cluster: Poller[ClusterFacts] = Poller(
            "cluster-watch", self._kafka_advice.watching(cluster_watch.read), CLUSTER_TICK_S, cluster_watch.close
        )
        self._certificates: Poller[InventoryFacts] = Poller(
            "certificate-watch", lambda: read_inventory(loaded.settings), CERTIFICATES_TICK_S
        )
        self._authority = CertificateDesk(loaded.settings)
        self._schemas = SchemaShelf([paths.config_dir() / "schemas"], self._settings.kafka)
        self._flight = FlightDesk(self._settings, self._receipts.append, self._schemas.add_flight)

    @property
    def dead_letters(self) -> Reader:
        """Reads of the profile's store; a missing store reads as empty."""
        return self._reader

    @property
    def schemas(self) -> SchemaShelf:
        """Every schema that this console has met."""
        return self._schemas

    def start(self) -> None:
        """Start the threads."""
        self._certificates.start()
        self._store.start()
        self._cluster.start()
        if self._produce:
            self._opening = Thread(target=self._open_producer, name="producer-open", daemon=True)
            self._opening.start()

    def snapshot(self) -> EngineSnapshot:
        """The present state. Never blocks."""
        now_s, now_ms = time.monotonic(), time.time_ns() // 1_000_000
        producer = self._producer
        seen = None if producer is None else producer.snapshot()
        if seen is not None:
            self._observe(seen, now_s)
        fault = self._producer_fault
        return EngineSnapshot(
            taken_at_ms=now_ms,
            session=self._session,
            producer=ProducerSection(fatal=None if fault is None else fault.what)
            if seen is None
            else sections.producer_section(seen, self._loaded, self._wire, tuple(self._p99)),
            dlq=sections.dead_letter_section(
                self._store.reading,
                None if producer is None else producer.store.health,
                fault,
                now_s,
                now_ms,
                int(self._settings.dlq.max_bytes),
            ),
            replay=sections.replay_section(
                self._store.reading, self._dead_letter_desk.active, self._dead_letter_desk.job, now_s
            ),
            cluster=sections.cluster_section(
                self._cluster.reading, self._settings.kafka.bootstrap_servers, now_s, self._kafka_advice.advice
            ),
            flight=self._flight.section(),
            certificates=sections.certificate_section(self._certificates.reading, now_s),
            workload=self._workload.section(),
            errors=(
                *sections.advice_rows(self._kafka_advice.advice),
                *sections.refusal_rows(self._cluster_watch.refused if producer is None else producer.refused),
                *(() if seen is None else sections.error_rows(seen)),
            ),
            coach=self._coach(),
        )

    def submit(self, command: Command) -> Receipt:  # noqa: PLR0911 - one return for each kind of command
        """Do it, or start it, and say what was done. Raises AtomError where it is refused or failed."""
        if command.changes and self._settings.read_only:
            raise RefusedError(
                f"profile {self._settings.profile} is read-only: {type(command).__name__} was refused",
                next_step="start the console with a profile that may write",
            )
        match command:
            case Refresh():
                self._store.refresh()
                self._cluster.refresh()
                self._certificates.refresh()
                self._flight.refresh()
                return Receipt.now("Asked the cluster and the store again.")
            case PublishEvent():
                return self._publish(command)
            case StartWorkload():
                chunks = sources.read(command.path)
                self.feed(chunks, command.path.name, command.rate_per_s)
                return Receipt.now(f"Started {command.path.name}.")
            case PaceWorkload():
                return self._pace(command)
            case CertificateCommand():
                return self._certify(command)
            case FlightCommand():
                return self._flight.do(command)
            case DeadLetterCommand():
                return self._dead_letter_desk.do(command)
            case _:
                raise InputError(f"this version does not know the command {type(command).__name__}")

    def feed(self, chunks: Iterable[sources.Chunk], name: str, rate_per_s: float | None) -> None:
        """Publish everything that the chunks hold, in a thread of its own.

        Raises:
            RefusedError: another workload is running, or this console does not produce.
        """
        self._workload.start(self._open(), chunks, name, rate_per_s)

    def receipts(self) -> Sequence[Receipt]:
        """Receipts of what ended since the last call, oldest first."""
        found = []
        while self._receipts:
            found.append(self._receipts.popleft())
        return found

    def drain(self, deadline_s: float) -> DrainReport:
        """Flush, purge, collect the last reports, keep what is left in the DLQ."""
        with self._ending:
            if self._drained is None:
                self._drained = self._drain(deadline_s)
            return self._drained

    def stop(self) -> None:
        """Stop the threads. Call `drain` first."""
        self._flight.stop()
        pollers = (self._certificates, self._store, self._cluster)
        for poller in pollers:
            poller.end()
        for poller in pollers:
            poller.stop(_STOP_S)

    def _observe(self, seen: PublisherSnapshot, now_s: float) -> None:
        """Histories that only a reader wants: kept while somebody reads."""
        if seen.statistics is not None:
            self._wire.observe(seen.statistics, now_s)
        if now_s >= self._p99_due_s:
            self._p99_due_s = now_s + 1.0
            self._p99.append(seen.ack.p99_ms)

    def _open_producer(self) -> None:
        try:
            self._producer = Producer(self._loaded.settings, component="console")
        except AtomError as error:
            self._producer_fault = error

    def _open(self) -> Producer:
        """The producer, waiting for it to be open.

        Raises:
            AtomError: it could not be opened, or this console does not produce.
        """
        if self._opening is not None:
            self._opening.join(_REPORT_S)
        if self._producer_fault is not None:
            raise self._producer_fault
        if self._producer is None:
            raise RefusedError("this console does not produce", next_step="open it without a read-only profile")
        return self._producer

    def _publish(self, command: PublishEvent) -> Receipt:
        producer = self._open()
        value = encode_mapping(command.event)
        topic = command.topic or self._settings.kafka.topic
        before = producer.snapshot()
        producer.publish_payloads([value], topic)
        end_s = time.monotonic() + _REPORT_S
        while producer.snapshot().in_flight and time.monotonic() < end_s:
            time.sleep(_STEP_S)
        after = producer.snapshot()
        if after.in_flight:
            return Receipt.now(f"Accepted one event for {topic}; the broker has not acknowledged it yet.")
        if after.captured > before.captured:
            return Receipt.now(f"Kept the event for {topic} in the dead letter queue: it was not delivered.", ok=False)
        return Receipt.now(f"Sent one event to {topic}; the broker acknowledged it.")

    def _certify(self, command: CertificateCommand) -> Receipt:
        try:
            return self._authority.do(command)
        finally:
            if command.changes:
                self._certificates.refresh()

    def _pace(self, command: PaceWorkload) -> Receipt:
        match command.action:
            case "pause":
                self._workload.pause()
                return Receipt.now("Paused the workload.")
            case "resume":
                self._workload.resume()
                return Receipt.now("Resumed the workload.")
            case "stop":
                return self._workload.stop()
            case "rate":
                self._workload.pace(command.rate_per_s)
                rate = "no limit" if command.rate_per_s is None else f"{command.rate_per_s:,g} events/s"
                return Receipt.now(f"Set the workload to {rate}.")

    def _drain(self, deadline_s: float) -> DrainReport:
        end_s = time.monotonic() + deadline_s
        self._workload.end(deadline_s)
        self._dead_letter_desk.stop()
        if self._opening is not None:
            self._opening.join(deadline_s)
        if self._producer is None:
            return DrainReport("Nothing was in flight.")
        self._await_reports(self._producer, end_s - _LAST_FLUSH_S)
        try:
            report = self._producer.close(_LAST_FLUSH_S)
        except AtomError as error:
            return DrainReport(error.what, saved=False)
        text = f"{report.accepted:,} accepted: {report.acked:,} acknowledged, {report.captured:,} in the DLQ."
        if report.complete:
            return DrainReport(text)
        return DrainReport(f"{text} {report.unsaved + report.unreported:,} could not be saved.", saved=False)

    def _await_reports(self, producer: Producer, end_s: float) -> None:
        """Until nothing is in flight, for as long as the brokers answer: where they do not, waiting saves nothing."""
        self._cluster.refresh()
        while producer.snapshot().in_flight and time.monotonic() < end_s and self._cluster.reading.error is None:
            producer.wait_for_reports(_TURN_S)
