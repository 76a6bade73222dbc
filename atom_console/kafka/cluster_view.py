"""What was read from a cluster, frozen. None always means *not known*; it is never shown as 0."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Broker:
    """One broker; `state` is librdkafka's word for our connection to it (`UP`, `DOWN`, `INIT` = never needed)."""

    node_id: int
    address: str
    state: str | None = None


@dataclass(frozen=True, slots=True)
class Partition:
    """One partition; `leader` is a node id, None while there is none."""

    number: int
    leader: int | None
    replicas: tuple[int, ...]
    in_sync: tuple[int, ...]
    error: str | None = None

    @property
    def under_replicated(self) -> bool:
        """Fewer replicas in sync than there should be."""
        return len(self.in_sync) < len(self.replicas)


@dataclass(frozen=True, slots=True)
class Topic:
    """One topic; `error` is the broker's word where its partitions could not be read."""

    name: str
    partitions: tuple[Partition, ...]
    error: str | None = None

    @property
    def under_replicated(self) -> int:
        """How many partitions lack a replica."""
        return sum(partition.under_replicated for partition in self.partitions)


@dataclass(frozen=True, slots=True)
class ClusterView:
    """The metadata of a cluster at one moment.

    Attributes:
        cluster_id: None with brokers that name none.
        controller_id: node id, None where the brokers do not tell.
        read_at_ns: Unix nanoseconds.
    """

    cluster_id: str | None
    controller_id: int | None
    brokers: tuple[Broker, ...]
    topics: Mapping[str, Topic]
    read_at_ns: int


@dataclass(frozen=True, slots=True)
class Watermark:
    """The first offset that is still there, and the one that the next record will get."""

    low: int
    high: int


@dataclass(frozen=True, slots=True)
class Watermarks:
    """Watermarks of many partitions, read together.

    Attributes:
        at_s: monotonic seconds of the read: for rates, not for the clock.
        by_topic: topic → partition → watermark, None for a partition whose leader did not tell.
    """

    at_s: float
    by_topic: Mapping[str, Mapping[int, Watermark | None]]

    def messages(self, topic: str) -> int | None:
        """High minus low over all partitions: an upper bound where compaction or transactions leave gaps."""
        marks = list(self.by_topic.get(topic, {}).values())
        known = [mark.high - mark.low for mark in marks if mark is not None]
        return sum(known) if marks and len(known) == len(marks) else None


def rates(before: Watermarks, after: Watermarks) -> dict[str, float | None]:
    """Records a second that each topic of `after` grew by; None where a watermark is missing or went back."""
    elapsed = after.at_s - before.at_s
    return {topic: _growth(before.by_topic.get(topic, {}), marks, elapsed) for topic, marks in after.by_topic.items()}


def _growth(
    before: Mapping[int, Watermark | None], after: Mapping[int, Watermark | None], elapsed: float
) -> float | None:
    if elapsed <= 0 or not after:
        return None
    total = 0
    for number, now in after.items():
        then = before.get(number)
        if now is None or then is None or now.high < then.high:
            return None
        total += now.high - then.high
    return total / elapsed


@dataclass(frozen=True, slots=True)
class Group:
    """One consumer group.

    Attributes:
        state: Kafka's word in lower case: `stable`, `empty`, `dead` …
        lag: records between its commits and the high watermarks; None where it has no commit or one is not known.
        lag_by_topic: the same for each topic that it has committed to.
        error: why its commits could not be read.
    """

    group_id: str
    state: str
    lag: int | None
    lag_by_topic: Mapping[str, int | None] = field(default_factory=dict)
    error: str | None = None


@dataclass(frozen=True, slots=True)
class TopicConfig:
    """Settings of a topic; each None where not known.

    Attributes:
        retention_ms: milliseconds, -1 = for ever.
        max_message_bytes: the largest batch, compressed, that the broker takes.
        cleanup_policy: `delete`, `compact` or both with a comma.
        entries: every setting that the broker named.
    """

    retention_ms: int | None = None
    max_message_bytes: int | None = None
    cleanup_policy: str | None = None
    entries: Mapping[str, str | None] = field(default_factory=dict)
