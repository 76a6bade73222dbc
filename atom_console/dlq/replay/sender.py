"""The producer of a replay: its own, so that live traffic cannot starve it, with one request in flight a broker."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from confluent_kafka import KafkaError, KafkaException, Producer

from atom_console.dlq.replay import failpoints
from atom_console.kafka.client_config import producer_config
from atom_console.kafka.client_log import CLIENT_LOG

if TYPE_CHECKING:
    from atom_console.config import KafkaSettings
    from atom_console.dlq.replay.items import Item
    from atom_console.dlq.replay.targets import Targets

_BATCH_BYTES: Final = 1_000_000
_BATCH_OVERHEAD: Final = 512
_QUEUE: Final = 500_000


class Sender:
    """Produces items and collects their reports. For one thread.

    Attributes:
        done: items that were reported and not taken yet; `error` is None where the broker has it.
        in_flight: items without a report.
        fatal: why this producer can send nothing more, or None.
        throttled_until: `time.monotonic` until which the broker asked us to wait.

    Args:
        kafka: how to connect; partitioner and compression as live traffic has them.
        targets: the topics, whose limits the batches must stay below.
        largest_bytes: of the records that are sent.
    """

    def __init__(self, kafka: KafkaSettings, targets: Targets, largest_bytes: int) -> None:
        self.done: list[Item] = []
        self._reported = self.done.append
        self.in_flight = 0
        self.fatal: KafkaError | None = None
        self.throttled_until = 0.0
        self.heard_at = time.monotonic()
        ours = _ours(kafka, targets, largest_bytes) | {"error_cb": self._on_error, "throttle_cb": self._on_throttle}
        self._producer: Producer = Producer(producer_config(kafka) | ours, logger=CLIENT_LOG)
        self._produce: Callable[..., None] = self._producer.produce

    def send(self, item: Item) -> bool:
        """Hand one item over. False: no room now, poll first. A refusal by the client itself is a report."""
        reported = self._reported

        def on_delivery(error: KafkaError | None, message: Any) -> None:
            if error is None:
                item.partition, item.offset = message.partition(), message.offset()
            else:
                item.error, item.reported = error, True
            reported(item)

        try:
            self._produce(
                item.topic, item.value, item.key, item.target, on_delivery, None, item.timestamp, item.headers
            )
        except BufferError:
            return False
        except KafkaException as error:
            item.error = error.args[0]
            self.done.append(item)
            return True
        self.in_flight += 1
        if failpoints.ARMED:
            failpoints.reach("mid_produce")
        return True

    def take(self) -> list[Item]:
        """The items in `done`, which is empty after."""
        taken = self.done[:]
        self.done.clear()
        return taken

    def poll(self, wait_s: float) -> None:
        """Serve reports; waits for the first one at most `wait_s`."""
        before = len(self.done)
        self._producer.poll(wait_s)
        heard = len(self.done) - before
        if heard:
            self.in_flight -= heard
            self.heard_at = time.monotonic()

    def give_up(self, wait_s: float = 1.0) -> None:
        """Purge queue and flight and collect the last reports; what has none is unknown."""
        self._producer.purge()
        end = time.monotonic() + wait_s
        while self.in_flight and time.monotonic() < end:
            self.poll(0.05)

    def _on_error(self, error: KafkaError) -> None:
        if error.fatal() or error.code() == KafkaError._FATAL:
            self.fatal = error

    def _on_throttle(self, event: Any) -> None:
        self.throttled_until = time.monotonic() + event.throttle_time
        self.heard_at = time.monotonic()


def _ours(kafka: KafkaSettings, targets: Targets, largest_bytes: int) -> dict[str, Any]:
    """What the promises of a replay rest on, whatever live traffic is set to."""
    smallest, largest = targets.smallest_limit, targets.largest_limit
    batch = _BATCH_BYTES if smallest is None else max(1, min(_BATCH_BYTES, smallest - _BATCH_OVERHEAD))
    # A strict order makes small batches, and zstd or gzip begin each of them anew (measured: lz4 replays a fifth more
    # events a second). Where the topic might refuse a record without the better compression, the profile's stays.
    quick = kafka.compression in ("zstd", "gzip") and 2 * largest_bytes < batch
    return {
        **({"compression.type": "lz4", "compression.level": -1} if quick else {}),
        "enable.idempotence": True,
        "acks": "all",
        "max.in.flight": 1,
        # No time-out: as long as the run lives, no outcome becomes unknown. A stall is the breaker's business.
        "message.timeout.ms": 0,
        "linger.ms": 0.1,
        # A batch beyond the topic's limit fails whole, small records and all.
        "batch.size": batch,
        "message.max.bytes": max(kafka.message_max_bytes, largest or 0, 1000),
        "queue.buffering.max.messages": _QUEUE,
        "queue.buffering.max.kbytes": 1_048_576,
        "reconnect.backoff.max.ms": 1000,
        "retries": 2_147_483_647,
        "statistics.interval.ms": 0,
    }
