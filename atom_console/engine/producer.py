"""The producer with its dead letter queue: the library form, and what every command and screen publishes through."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from threading import Event, Lock, Thread
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, Self

from atom_console.dlq.store import Store
from atom_console.events import AtomEvent
from atom_console.kafka.publisher import Publisher
from atom_console.kafka.snapshots import DrainReport, PublisherSnapshot

if TYPE_CHECKING:
    from atom_console.config import Settings
    from atom_console.kafka.failure import Headers

DRAIN_S: Final = 5.0
_IDLE_POLL_S: Final = 0.1
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

        settings = settings or load().settings
        self.settings: Final = settings
        self.store: Final = Store.open(dlq_dir or paths.dlq_dir(settings), settings.dlq, component=component)
        self._lock = Lock()
        self._published_s = 0.0
        try:
            durable = settings.dlq.mode == "durable"
            self._publisher = Publisher(settings, self.store, self.store if durable else None, component=component)
        except BaseException:
            self.store.close()
            raise
        self.cluster_id: str | None = None
        """The id of the cluster that answered, or None before one did."""
        self._stop = Event()
        self._idle = Thread(target=self._poll_when_idle, name=f"{component}-idle", daemon=True)
        self._idle.start()
        Thread(target=self._learn_cluster, name=f"{component}-cluster", daemon=True).start()

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
            self._published_s = time.monotonic()
            if isinstance(event, AtomEvent):
                self._publisher.publish(event)
            else:
                self._publisher.publish_mapping(event)

    def publish_many(self, events: Sequence[AtomEvent]) -> None:
        """Accept a batch, all of it or none; in durable mode with one group commit. Raises as `publish`."""
        self.store.require_intake()
        with self._lock:
            self._published_s = time.monotonic()
            self._publisher.publish_many(events)

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
            self._published_s = time.monotonic()
            self._publisher.publish_encoded(value, key, headers, timestamp_ms, topic)

    def keep_invalid(self, raw: bytes, why: str, topic: str | None = None) -> None:
        """Keep input that is no event in the dead letter queue, as it came, with the reason."""
        self.store.require_intake()
        with self._lock:
            self._publisher.keep_invalid(raw, why, topic)

    def wait_for_room(self, timeout_s: float) -> bool:
        """For callers that can slow down: wait until the queue has room. False when the time passed first."""
        with self._lock:
            return self._publisher.wait_for_room(timeout_s)

    def wait_for_reports(self, timeout_s: float) -> None:
        """Wait up to `timeout_s` for the next delivery report; for callers that have nothing to publish any more."""
        with self._lock:
            self._publisher.poll(timeout_s)

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

    def _poll_when_idle(self) -> None:
        """Serves reports while nobody publishes; a publishing thread serves its own, and is never kept waiting."""
        while not self._stop.wait(_IDLE_POLL_S):
            if time.monotonic() - self._published_s < _IDLE_POLL_S:
                continue
            if self._lock.acquire(blocking=False):
                try:
                    self._publisher.poll()
                finally:
                    self._lock.release()
