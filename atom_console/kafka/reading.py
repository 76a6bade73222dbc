"""A consumer that reads given partitions from given offsets: no group, no commits, and no error passed over."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, Self

from confluent_kafka import Consumer, KafkaError, Message, TopicPartition

from atom_console.errors import CheckError, PartialError
from atom_console.kafka.client_config import consumer_config
from atom_console.kafka.client_log import CLIENT_LOG
from atom_console.kafka.cluster import TopicRefusedError, UnknownTopicError
from atom_console.kafka.reachability import Reachability

if TYPE_CHECKING:
    from atom_console.config import KafkaSettings

_BATCH: Final = 1_000
_GONE: Final = frozenset({KafkaError.UNKNOWN_TOPIC_OR_PART, KafkaError._UNKNOWN_PARTITION, KafkaError._UNKNOWN_TOPIC})
# librdkafka asks for a group's coordinator even where partitions are assigned by hand: a refusal changes nothing.
_PASSING: Final = frozenset(
    {
        KafkaError._TRANSPORT,
        KafkaError._ALL_BROKERS_DOWN,
        KafkaError._RESOLVE,
        KafkaError.GROUP_AUTHORIZATION_FAILED,
        KafkaError.COORDINATOR_NOT_AVAILABLE,
        KafkaError.NOT_COORDINATOR,
    }
)
_NO_TIMESTAMP: Final = 0


class LostOffsetsError(PartialError):
    """Offsets that were to be read are not on the broker any more: retention, or a topic that was made again.

    Attributes:
        topic: the topic.
        partition: the partition.
        offset: the first offset that is missing.
    """

    def __init__(self, topic: str, partition: int, offset: int) -> None:
        super().__init__(
            f"{topic}[{partition}]: offset {offset} is not there any more (retention, or the topic was made again)",
            next_step="read from the beginning, or from a time that the topic still holds",
        )
        self.topic = topic
        self.partition = partition
        self.offset = offset


class UnreadableError(CheckError):
    """The broker sent something that is not a record: a damaged batch, an unknown compression."""


@dataclass(frozen=True, slots=True)
class TailRecord:
    """One record as it is on the broker, undecoded.

    Attributes:
        topic: its topic.
        partition: its partition.
        offset: its offset.
        timestamp_ms: Unix milliseconds as stored (event time, or append time by the topic's setting); None without one.
        key: the bytes of the key, or None.
        headers: names and values in order; a name may repeat, a value may be None.
        value: the payload; None is a tombstone.
    """

    topic: str
    partition: int
    offset: int
    timestamp_ms: int | None
    key: bytes | None
    headers: tuple[tuple[str, bytes | None], ...]
    value: bytes | None


def record_of(message: Message) -> TailRecord:
    """A consumed message as a value of ours."""
    kind, timestamp_ms = message.timestamp()
    raw: Any = message  # its type hints allow for None and text where a consumed message has neither
    return TailRecord(
        topic=raw.topic(),
        partition=raw.partition(),
        offset=raw.offset(),
        timestamp_ms=None if kind == _NO_TIMESTAMP else timestamp_ms,
        key=raw.key(),
        headers=tuple(raw.headers() or ()),
        value=raw.value(),
    )


class PartitionReader:
    """Reads partitions of one topic, for one thread. Use it as a context manager, or `close` it.

    Args:
        kafka: how to connect.
        topic: an existing topic.
        positions: partition → first offset (`confluent_kafka.OFFSET_BEGINNING` is allowed).
        read_committed: leave out records of aborted and open transactions.
    """

    def __init__(self, kafka: KafkaSettings, topic: str, positions: Mapping[int, int], *, read_committed: bool) -> None:
        self.topic = topic
        self.ended: dict[int, int] = {}
        """Partition → offset at which its end was seen; the broker said so, no time-out did."""
        self.reachability = Reachability(kafka.bootstrap_servers)
        self._servers = kafka.bootstrap_servers
        self._waiting_since = time.monotonic()
        ours: dict[str, Any] = {
            "enable.partition.eof": True,
            # The end of a partition is told after an empty fetch, which waits this long.
            "fetch.wait.max.ms": 100,
            "isolation.level": "read_committed" if read_committed else "read_uncommitted",
            "error_cb": self.reachability.on_error,
        }
        self._consumer = Consumer(consumer_config(kafka) | ours, logger=CLIENT_LOG)
        self.move(positions)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Disconnect; nothing is committed."""
        self._consumer.close()

    def move(self, positions: Mapping[int, int]) -> None:
        """Read these partitions from these offsets from now on, and no others."""
        self.ended.clear()
        self._consumer.assign([TopicPartition(self.topic, number, offset) for number, offset in positions.items()])
        self.resume(positions)  # a pause outlives an assignment

    def pause(self, partitions: Iterable[int]) -> None:
        """Fetch no more of these; what is in `batch` later begins where it ended."""
        self._consumer.pause([TopicPartition(self.topic, number) for number in partitions])

    def resume(self, partitions: Iterable[int]) -> None:
        """The reverse of `pause`."""
        self._consumer.resume([TopicPartition(self.topic, number) for number in partitions])

    @property
    def waited_s(self) -> float:
        """Seconds since a record, or the end of a partition, last arrived."""
        return time.monotonic() - self._waiting_since

    def start_waiting(self) -> None:
        """Count `waited_s` from now: the caller was busy, not the broker."""
        self._waiting_since = time.monotonic()

    def batch(self, wait_s: float, most: int = _BATCH) -> list[Message]:
        """Up to `most` records (a thousand at a time) as they came; fewer, also none, after `wait_s` seconds.

        Raises:
            LostOffsetsError: an offset is gone.
            TopicRefusedError: no permission to read.
            UnknownTopicError: the topic was deleted.
            UnreadableError: a damaged batch.
        """
        messages = self._consumer.consume(min(most, _BATCH), wait_s)
        if not messages:
            return messages
        records = [message for message in messages if message.error() is None]
        if len(records) < len(messages):
            for message in messages:
                self._judge(message)
        if records:
            self.reachability.answered()
            self.start_waiting()
        return records

    def _judge(self, message: Message) -> None:
        error = message.error()
        if error is None or error.code() in _PASSING:
            return
        partition, offset = message.partition() or 0, message.offset() or 0
        if error.code() == KafkaError._PARTITION_EOF:
            self.ended[partition] = offset
            self.reachability.answered()
            self.start_waiting()
        elif error.code() == KafkaError._AUTO_OFFSET_RESET:
            raise LostOffsetsError(self.topic, partition, offset)
        elif error.code() == KafkaError.TOPIC_AUTHORIZATION_FAILED:
            raise TopicRefusedError(self.topic, error.str())
        elif error.code() in _GONE:
            raise UnknownTopicError(self.topic, self._servers)
        else:
            raise UnreadableError(f"{self.topic}[{partition}] at offset {offset}: {error.str()}")
