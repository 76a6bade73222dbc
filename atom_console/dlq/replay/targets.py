"""What the cluster says of the topics that a replay writes to."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from confluent_kafka import KafkaException, TopicCollection
from confluent_kafka.admin import AdminClient

from atom_console.kafka.client_config import admin_config
from atom_console.kafka.client_log import CLIENT_LOG
from atom_console.kafka.cluster import ClusterReader

if TYPE_CHECKING:
    from atom_console.config import KafkaSettings

_TIMEOUT_S: Final = 5.0


@dataclass(frozen=True, slots=True)
class Target:
    """One topic; None where the cluster did not tell.

    Attributes:
        partitions: how many, 0 where the topic does not exist.
        topic_id: changes when the topic is deleted and made again.
        can_read, can_write: what this principal may do.
    """

    topic: str
    partitions: int
    topic_id: str | None
    max_message_bytes: int | None
    retention_ms: int | None
    cleanup_policy: str | None
    can_read: bool | None
    can_write: bool | None

    @property
    def exists(self) -> bool:
        """The cluster lists it."""
        return self.partitions > 0

    @property
    def compacted(self) -> bool:
        """Records may vanish although they are within the retention."""
        return self.cleanup_policy is not None and "compact" in self.cleanup_policy


@dataclass(frozen=True, slots=True)
class Targets:
    """The cluster and the topics, at one moment."""

    cluster_id: str | None
    by_topic: dict[str, Target]

    @property
    def smallest_limit(self) -> int | None:
        """The smallest `max.message.bytes`, where one is known."""
        return min((t.max_message_bytes for t in self.by_topic.values() if t.max_message_bytes), default=None)

    @property
    def largest_limit(self) -> int | None:
        """The largest one."""
        return max((t.max_message_bytes for t in self.by_topic.values() if t.max_message_bytes), default=None)


def look_up(kafka: KafkaSettings, topics: Iterable[str]) -> Targets:
    """Ask the cluster.

    Raises:
        BrokerUnreachableError: no broker answered.
    """
    names = sorted(set(topics))
    with ClusterReader(kafka, timeout_s=_TIMEOUT_S) as cluster:
        view = cluster.view()
        there = [name for name in names if name in view.topics and view.topics[name].error is None]
        configs = cluster.topic_configs(there)
    described = _describe(kafka, there) if view.controller_id is not None else {}
    found = {}
    for name in names:
        topic, config, said = view.topics.get(name), configs.get(name), described.get(name)
        allowed = _allowed(said)
        found[name] = Target(
            topic=name,
            partitions=len(topic.partitions) if topic is not None and name in there else 0,
            topic_id=None if said is None else str(said.topic_id),
            max_message_bytes=None if config is None else config.max_message_bytes,
            retention_ms=None if config is None else config.retention_ms,
            cleanup_policy=None if config is None else config.cleanup_policy,
            can_read=None if allowed is None else "READ" in allowed,
            can_write=None if allowed is None else "WRITE" in allowed,
        )
    return Targets(view.cluster_id, found)


def _describe(kafka: KafkaSettings, topics: list[str]) -> dict[str, Any]:
    if not topics:
        return {}
    admin = AdminClient(admin_config(kafka), logger=CLIENT_LOG)
    asked = admin.describe_topics(
        TopicCollection(topics), include_authorized_operations=True, request_timeout=_TIMEOUT_S
    )
    found: dict[str, Any] = {}
    for name, future in asked.items():
        with suppress(KafkaException, TimeoutError):  # then nothing is known of this topic
            found[name] = future.result(_TIMEOUT_S + 1)
    return found


def _allowed(described: Any) -> set[str] | None:
    operations = getattr(described, "authorized_operations", None)
    return {one.name for one in operations} if operations else None
