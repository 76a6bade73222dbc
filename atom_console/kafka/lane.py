"""One librdkafka producer that survives its own fatal errors, and its certificates: a new one takes over while the old
one reports."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from math import inf
from threading import Thread
from typing import TYPE_CHECKING, Any, Final

from confluent_kafka import KafkaError, KafkaException, Producer

from atom_console.kafka.client_config import ClientConfigError
from atom_console.kafka.client_log import CLIENT_LOG
from atom_console.kafka.error_book import LOG

if TYPE_CHECKING:
    from atom_console.kafka.client_config import Properties

_FATAL: Final = KafkaError._FATAL
_IDEMPOTENCE_READY_S: Final = 0.6
_TURN_S: Final = 0.05
_RETIRE_S: Final = 2.0
_ABANDON_S: Final = 5.0


@dataclass(slots=True)
class _Retired:
    """A producer that takes nothing new: its last reports are still to come.

    After a fatal error it sends nothing more, and what it holds is purged after a while. After a change of certificates
    it sends what it holds, and every message ends by itself within its time-out.
    """

    producer: Producer
    purge_s: float
    purged: bool = False


@dataclass(frozen=True, slots=True)
class Successor:
    """A connected producer that can take over. `number` tells whose statistics count."""

    producer: Producer
    properties: Properties
    number: int


class Lane:
    """A way to the broker. Used by one thread.

    Args:
        properties: of the producer.
        on_error: takes errors of the client (`error_cb` and whatever `poll` raises).
        on_statistics: takes librdkafka's statistics, as JSON text.

    Raises:
        ClientConfigError: librdkafka refuses the properties.
    """

    def __init__(
        self,
        properties: Properties,
        on_error: Callable[[KafkaError], None],
        on_statistics: Callable[[str], None] | None = None,
    ) -> None:
        self._properties = properties
        self._on_error = on_error
        self._on_statistics = on_statistics
        self._retired: list[_Retired] = []
        self._made = 0
        self._number = 0
        self.renewals = 0
        self._take(self._successor(properties))

    @property
    def outstanding(self) -> int:
        """Messages and reports that are still inside, those of retired producers too."""
        return len(self._producer) + sum(len(old.producer) for old in self._retired)

    def serve(self, timeout_s: float = 0.0) -> None:
        """Let the callbacks of reports run; waits up to `timeout_s` for the first."""
        self._guarded(self._producer, self._producer.poll, timeout_s)
        if self._retired:
            self._serve_retired()

    def flush(self, timeout_s: float) -> None:
        """As `serve`, but what lingers is sent at once."""
        self._guarded(self._producer, self._producer.flush, timeout_s)
        if self._retired:
            self._serve_retired()

    def purge(self) -> None:
        """Give up everything that is not acknowledged; the reports that say so still have to be served."""
        for producer in (self._producer, *(old.producer for old in self._retired)):
            producer.purge(in_queue=True, in_flight=True, blocking=False)

    def renew(self) -> None:
        """Put a new producer in the place of one that had a fatal error; the old one reports in its own time."""
        self._retired.append(_Retired(self._producer, time.monotonic() + _RETIRE_S))
        self.renewals += 1
        self._take(self._successor(self._properties))
        LOG.warning("a new producer has been built", extra={"event": "producer.rebuilt", "total": self.renewals})

    def successor(self, properties: Properties, topic: str, timeout_s: float) -> Successor:
        """A producer with other properties, connected and ready; any thread may make it, while this one works on.

        Args:
            properties: of the producer.
            topic: whose metadata is asked for.
            timeout_s: for the answer.

        Raises:
            ClientConfigError: librdkafka refuses the properties: files that it cannot load.
            KafkaException: no broker answered it.
        """
        made = self._successor(properties)
        made.producer.list_topics(topic, timeout_s)
        # An idempotent one first gets an id from the brokers; until then what it is given waits (measured: 500 ms).
        end_s = time.monotonic() + (_IDEMPOTENCE_READY_S if properties.get("enable.idempotence") else 0.0)
        while time.monotonic() < end_s:
            made.producer.poll(_TURN_S)
        return made

    def take_over(self, successor: Successor) -> None:
        """Send through the successor from now on; the old producer sends and reports what it holds."""
        self._retired.append(_Retired(self._producer, inf))
        self._take(successor)

    def metadata(self, topic: str | None, timeout_s: float) -> Any:
        """The cluster's metadata; waits for the network. Raises KafkaException when no broker answers."""
        if topic is None:
            return self._producer.list_topics(timeout=timeout_s)
        return self._producer.list_topics(topic, timeout_s)

    def _successor(self, properties: Properties) -> Successor:
        self._made += 1
        number = self._made
        own: Properties = {"error_cb": self._on_error, "logger": CLIENT_LOG}
        if (told := self._on_statistics) is not None:
            own["stats_cb"] = lambda text: told(text) if number == self._number else None
        try:
            return Successor(Producer(properties | own), properties, number)
        except KafkaException as raised:
            raise ClientConfigError(
                f"librdkafka refuses the Kafka settings: {raised.args[0].str()}",
                next_step="correct the setting or the property that it names; `config show --origin` says where it is",
            ) from None

    def _take(self, successor: Successor) -> None:
        self._producer, self._properties, self._number = successor.producer, successor.properties, successor.number
        self.produce = self._producer.produce

    def _guarded(self, producer: Producer, call: Callable[[float], int], timeout_s: float) -> None:
        try:
            call(timeout_s)
        except KafkaException as raised:
            error = raised.args[0]
            self._on_error(error)
            if error.fatal() and producer is self._producer:
                self.renew()

    def _serve_retired(self) -> None:
        now_s = time.monotonic()
        done = [old for old in self._retired if self._has_reported(old, now_s)]
        if done:
            self._retired = [old for old in self._retired if old not in done]
            # Closing its connections takes a while, which is not the producing thread's.
            Thread(target=done.clear, name="producer-close", daemon=True).start()

    def _has_reported(self, old: _Retired, now_s: float) -> bool:
        self._guarded(old.producer, old.producer.poll, 0.0)
        if len(old.producer) == 0:
            return True
        if not old.purged and now_s >= old.purge_s:
            old.producer.purge(in_queue=True, in_flight=True, blocking=False)
            old.purged = True
        elif now_s >= old.purge_s + _ABANDON_S:
            LOG.critical(
                "%d events of a producer with a fatal error were never reported",
                len(old.producer),
                extra={"event": "producer.unreported", "count": len(old.producer)},
            )
            return True
        return False


def is_fatal(error: KafkaError) -> bool:
    """Whether `produce` refused because the producer is dead (its error says `_FATAL`, and fatal() says False)."""
    return bool(error.code() == _FATAL or error.fatal())
