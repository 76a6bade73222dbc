"""The producer with its dead letter queue: the library form, and what every command and screen publishes through."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from threading import Event, Lock, Thread
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, Self, TypeVar

from atom_console.dlq.store import Store
from atom_console.engine import rotation
from atom_console.engine.rotation import KafkaIdentity, Refusal, Renewed
from atom_console.events import AtomEvent
from atom_console.kafka.publisher import Publisher
from atom_console.kafka.snapshots import DrainReport, PublisherSnapshot

if TYPE_CHECKING:
    from atom_console.config import Settings
    from atom_console.kafka.failure import Headers

T = TypeVar("T")

DRAIN_S: Final = 5.0
_IDLE_S: Final = 0.1
_SOON_S: Final = 0.001
_LATE_S: Final = 0.05
_TURN_S: Final = 0.01
_METADATA_S: Final = 1.0


class Producer:
    """Publishes events; what the broker does not take is in the dead letter queue of this host.

    Any thread may publish. Nothing waits for the network: an event is accepted when this returns, and then ends
    acknowledged by the broker or in the store, where `atom-console dlq ls` and the console show it.

    Args:
        settings: None loads them as every command does (environment, profile, `config.toml`).
        component: the name that dead letters of this producer carry.
        dlq_dir: where the store is; None is the place of the settings' profile.

    Raises:
        AtomError: settings that no client can be made of, or a store that cannot be opened.
    """

    def __init__(
        self, settings: Settings | None = None, *, component: str = "producer", dlq_dir: Path | None = None
    ) -> None:
        from atom_console.config import load, paths

        identity = KafkaIdentity(settings or load().settings)
        settings = self.settings = identity.settings
        self.store: Final = Store.open(dlq_dir or paths.dlq_dir(settings), settings.dlq, component=component)
        self._lock = Lock()
        self._published_s = 0.0
        self._watching = False
        self._wake = Event()
        try:
            durable = settings.dlq.mode == "durable"
            self._publisher = Publisher(settings, self.store, self.store if durable else None, component=component)
        except BaseException:
            self.store.close()
            raise
        self._certificates = Renewed(identity, self._renewed, lambda _: None, settings)
        self.cluster_id: str | None = None
        """The id of the cluster that answered, or None before one did."""
        self._stop = Event()
        self._idle = Thread(target=self._serve_when_idle, name=f"{component}-idle", daemon=True)
        self._idle.start()
        Thread(target=self._learn_cluster, name=f"{component}-cluster", daemon=True).start()
        if identity.watched:
            Thread(target=self._follow_certificates, name=f"{component}-certificates", daemon=True).start()

    def publish(self, event: AtomEvent | Mapping[str, Any]) -> None:
        """Accept one event.

        Raises:
            EncodeError: a field that the schema does not hold; nothing was accepted.
            IntakeRefusedError: the dead letter queue cannot take a failure any more, so nothing new is accepted.
            NotAcceptedError: durable mode, and the disk did not take it.
            PublisherClosedError: after `close`.
        """
        self.store.require_intake()
        with self._lock:
            self._note()
            if isinstance(event, AtomEvent):
                self._publisher.publish(event)
            else:
                self._publisher.publish_mapping(event)

    def publish_many(self, events: Sequence[AtomEvent]) -> None:
        """Accept a batch, all of it or none; in durable mode with one group commit. Raises as `publish`."""
        self.store.require_intake()
        with self._lock:
            self._note()
            self._publisher.publish_many(events)

    def publish_payloads(self, values: Sequence[bytes], topic: str | None = None) -> None:
        """Accept a batch of encoded events, all of it or none. Raises as `Publisher.publish_payloads`."""
        self.store.require_intake()
        with self._lock:
            self._note()
            self._publisher.publish_payloads(values, topic)

    def publish_encoded(
        self,
        value: bytes | None,
        key: bytes | None = None,
        headers: Headers = (),
        timestamp_ms: int | None = None,
        topic: str | None = None,
    ) -> None:
        """Accept a payload as it is. Raises as `Publisher.publish_encoded`, and IntakeRefusedError."""
        self.store.require_intake()
        with self._lock:
            self._note()
            self._publisher.publish_encoded(value, key, headers, timestamp_ms, topic)

    def keep_invalid(self, raw: bytes, why: str, topic: str | None = None) -> None:
        """Keep input that is no event in the dead letter queue, as it came, with the reason."""
        self.store.require_intake()
        with self._lock:
            self._note()
            self._publisher.keep_invalid(raw, why, topic)

    def wait_for_room(self, timeout_s: float) -> bool:
        """For callers that can slow down: wait until the queue has room. False when the time passed first."""
        end_s = time.monotonic() + timeout_s
        while not self._turn(lambda: self._publisher.wait_for_room(_TURN_S)):
            if time.monotonic() >= end_s:
                return False
        return True

    def wait_for_reports(self, timeout_s: float) -> None:
        """For callers that have nothing to publish any more: wait until nothing is in flight, or the time passed."""
        end_s = time.monotonic() + timeout_s
        while self._publisher.snapshot().in_flight and time.monotonic() < end_s:
            self._turn(lambda: self._publisher.poll(_TURN_S))

    @property
    def refused(self) -> Refusal | None:
        """Why new certificates are not in use, or None where they are."""
        return self._certificates.refused

    def warm_up(self, timeout_s: float = 2.0) -> bool:
        """Connect before the first event. Whether the cluster answered in time."""
        with self._lock:
            return self._publisher.warm_up(timeout_s)

    def snapshot(self) -> PublisherSnapshot:
        """The figures of this moment, frozen."""
        return self._publisher.snapshot()

    def drain(self, deadline_s: float = DRAIN_S) -> DrainReport:
        """Stop intake, flush until the deadline, keep what is left in the store, and commit. Later calls repeat it."""
        self._stop.set()
        self._wake.set()
        self._idle.join()
        with self._lock:
            report = self._publisher.drain(deadline_s)
        self.store.flush()
        return report

    def close(self, deadline_s: float = DRAIN_S) -> DrainReport:
        """`drain`, then close the store."""
        report = self.drain(deadline_s)
        self.store.close()
        return report

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _learn_cluster(self) -> None:
        """Dead letters carry the id of their cluster, so that a replay to another one can be refused."""
        while self.cluster_id is None and not self._stop.is_set():
            self.cluster_id = self._publisher.cluster_id(_METADATA_S)
            self._stop.wait(0.0 if self.cluster_id else _METADATA_S)
        self.store.set_cluster(self.cluster_id)

    def _follow_certificates(self) -> None:
        while not self._stop.wait(rotation.LOOK_S):
            self._certificates.current()

    def _renewed(self, settings: Settings) -> Settings:
        """Put a client with other certificates in place; publishing goes on while it connects."""
        successor = self._publisher.successor(settings.kafka, rotation.PROBE_S)
        with self._lock:
            self._publisher.take_over(settings.kafka, successor)
        self.settings = settings
        return settings

    def _turn(self, work: Callable[[], T]) -> T:
        """A short wait inside the lock; other publishing threads come in between."""
        with self._lock:
            return work()

    def _note(self) -> None:
        """Something is published now: its report has to be served."""
        self._published_s = time.monotonic()
        if not self._watching:
            self._watching = True
            self._wake.set()

    def _serve_when_idle(self) -> None:
        """Serves reports while nobody publishes; a publishing thread serves its own, and is never kept waiting.

        librdkafka measures a latency when its report is served, so the pauses are short while answers are due soon.
        """
        while not self._stop.is_set():
            if not self._wake.wait(_IDLE_S):
                self._serve()
                continue
            self._wake.clear()
            while self._watching and not self._stop.is_set():
                quiet_s = time.monotonic() - self._published_s
                if quiet_s >= _SOON_S:
                    self._serve()
                    self._watching = self._publisher.snapshot().in_flight > 0
                time.sleep(_SOON_S if quiet_s < _LATE_S else _TURN_S)

    def _serve(self) -> None:
        if self._lock.acquire(blocking=False):
            try:
                self._publisher.poll()
            finally:
                self._lock.release()
