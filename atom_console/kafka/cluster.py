"""Questions to a cluster, each answered within a deadline: metadata, watermarks, groups with lag, configuration."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Mapping
from concurrent.futures import Future
from concurrent.futures import wait as wait_for
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, Self

from confluent_kafka import (
    ConsumerGroupTopicPartitions,
    IsolationLevel,
    KafkaException,
    TopicCollection,
    TopicPartition,
)
from confluent_kafka.admin import (  # type: ignore[attr-defined]  # public by documentation, not by `__all__`
    AdminClient,
    ConfigResource,
    OffsetSpec,
    ResourceType,
)

from atom_console.errors import InputError, RefusedError
from atom_console.kafka.client_config import admin_config
from atom_console.kafka.client_log import CLIENT_LOG
from atom_console.kafka.cluster_view import (
    Broker,
    ClusterView,
    Group,
    Partition,
    Topic,
    TopicConfig,
    Watermark,
    Watermarks,
)
from atom_console.kafka.group_lag import group_lag
from atom_console.kafka.reachability import Reachability

if TYPE_CHECKING:
    from atom_console.config import KafkaSettings

_FIRST_STEP_S: Final = 0.2
_PAUSE_S: Final = 0.02
_EARLIEST: Final = OffsetSpec.earliest()  # type: ignore[no-untyped-call]
_LATEST: Final = OffsetSpec.latest()  # type: ignore[no-untyped-call]
# A leader is being elected, or metadata is a moment old (NOT_LEADER, LEADER_EPOCH and the like, Kafka protocol).
_TRANSIENT: Final = frozenset({3, 5, 6, 9, 74, 75, 78})
_TRANSIENT_S: Final = 1.0


class UnknownTopicError(InputError):
    """The cluster has no such topic, or hides it: brokers list only what the principal may describe."""

    def __init__(self, topic: str, servers: str) -> None:
        super().__init__(
            f"topic {topic!r} is not known at {servers}, or this principal may not describe it",
            next_step="`atom-console topics` lists what is there; ask for DESCRIBE and READ if it exists",
        )
        self.topic = topic


class TopicRefusedError(RefusedError):
    """The broker does not let us see or read the topic."""

    def __init__(self, topic: str, reason: str) -> None:
        super().__init__(
            f"topic {topic!r}: {reason}", next_step="ask for READ and DESCRIBE on the topic for this principal"
        )
        self.topic = topic


class ClusterReader:
    """One admin client, for one thread. Use it as a context manager, or `close` it.

    Args:
        kafka: how to connect.
        timeout_s: the longest that one question waits, seconds.
    """

    def __init__(self, kafka: KafkaSettings, *, timeout_s: float = 5.0) -> None:
        self._servers = kafka.bootstrap_servers
        self._timeout_s = timeout_s
        self._reachability = Reachability(kafka.bootstrap_servers)
        self._states: dict[int, str] = {}
        self._view: ClusterView | None = None
        own: dict[str, Any] = {"reconnect.backoff.ms": 50, "reconnect.backoff.max.ms": 1000}
        told = {
            "error_cb": self._reachability.on_error,
            "stats_cb": self._on_statistics,
            "statistics.interval.ms": 1000,
        }
        self._admin = AdminClient(own | admin_config(kafka) | told, logger=CLIENT_LOG)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Drop the client; questions after it fail."""
        del self._admin

    def view(self) -> ClusterView:
        """The cluster's metadata now.

        All topics are asked for: naming one in a request would create it where brokers create topics on demand.

        Raises:
            BrokerUnreachableError: within a second when every connection is refused, otherwise at the deadline.
        """
        metadata = self._metadata()
        brokers = sorted(metadata.brokers.values(), key=lambda broker: broker.id)
        self._view = ClusterView(
            cluster_id=metadata.cluster_id,
            controller_id=metadata.controller_id if metadata.controller_id in metadata.brokers else None,
            brokers=tuple(Broker(one.id, f"{one.host}:{one.port}", self._states.get(one.id)) for one in brokers),
            topics={name: _topic(name, metadata.topics[name]) for name in sorted(metadata.topics)},
            read_at_ns=time.time_ns(),
        )
        return self._view

    def topic(self, name: str) -> Topic:
        """One topic with its partitions, from fresh metadata.

        Raises:
            UnknownTopicError: the cluster does not list it.
            TopicRefusedError: listed, and not ours to see.
            BrokerUnreachableError: no broker answered.
        """
        found = self.view().topics.get(name)
        if found is None:
            raise UnknownTopicError(name, self._servers)
        if found.error is not None:
            raise TopicRefusedError(name, found.error)
        return found

    def watermarks(
        self, topics: Iterable[str] | None = None, *, view: ClusterView | None = None, read_committed: bool = False
    ) -> Watermarks:
        """Low and high watermarks of every partition of the topics (of all, by default), two requests a broker.

        Args:
            topics: names; unknown ones get no partitions.
            view: metadata read a moment ago, to save asking again.
            read_committed: high is then the last stable offset: the end for a reader of committed records.

        Raises:
            BrokerUnreachableError: no broker answered.
        """
        view = view or self.view()
        wanted = {
            name: [partition.number for partition in view.topics[name].partitions]
            for name in (view.topics if topics is None else topics)
            if name in view.topics
        }
        low = self._offsets(wanted, _EARLIEST, read_committed=read_committed)
        high = self._offsets(wanted, _LATEST, read_committed=read_committed)
        return Watermarks(
            at_s=time.monotonic(),
            by_topic={
                name: {number: _mark(low.get((name, number)), high.get((name, number))) for number in numbers}
                for name, numbers in wanted.items()
            },
        )

    def offsets_at(self, topic: str, time_ms: int) -> dict[int, int | None]:
        """The offset of the first record of each partition that is not older than a time.

        Args:
            topic: an existing topic.
            time_ms: Unix milliseconds.

        Returns:
            Partition → offset; the high watermark where every record is older, None where the broker did not tell.
        """
        numbers = [partition.number for partition in self.topic(topic).partitions]
        # The end first: a record that arrives in between is then read rather than skipped.
        ends = self._offsets({topic: numbers}, _LATEST)
        found = self._offsets({topic: numbers}, OffsetSpec.for_timestamp(time_ms))
        return {
            number: ends.get((topic, number)) if found.get((topic, number)) == -1 else found.get((topic, number))
            for number in numbers
        }

    def groups(self, watermarks: Watermarks | None = None) -> tuple[Group, ...]:
        """Every consumer group with its lag, by id; empty where the brokers know no groups (the embedded cluster).

        Args:
            watermarks: read a moment ago, to save asking again; topics that it lacks get no lag.

        Raises:
            BrokerUnreachableError: no broker answered.
        """
        marks = watermarks or self.watermarks()
        asked = self._admin.list_consumer_groups(request_timeout=self._timeout_s)
        listing = self._settled([asked])[0]
        if listing is None:
            return ()
        found = sorted(listing.valid, key=lambda group: group.group_id)
        commits = [
            self._admin.list_consumer_group_offsets(
                [ConsumerGroupTopicPartitions(group.group_id)], request_timeout=self._timeout_s
            )[group.group_id]
            for group in found
        ]
        wait_for(commits, self._timeout_s)
        return tuple(
            group_lag(group.group_id, group.state.name.lower(), answer, marks)
            for group, answer in zip(found, commits, strict=True)
        )

    def topic_configs(self, topics: Iterable[str]) -> dict[str, TopicConfig]:
        """The settings of topics; all None for a topic whose settings the broker does not tell.

        Raises:
            BrokerUnreachableError: no broker answered.
        """
        names = list(topics)
        view = self._view or self.view()
        if view.controller_id is None:  # the embedded cluster: the client would wait for a controller in vain
            return {name: TopicConfig() for name in names}
        resources = [ConfigResource(ResourceType.TOPIC, name) for name in names]
        if not resources:
            return {}
        asked = self._admin.describe_configs(resources, request_timeout=self._timeout_s)
        answers = self._settled([asked[resource] for resource in resources])
        return {name: _topic_config(answer) for name, answer in zip(names, answers, strict=True)}

    def topic_ids(self, topics: Iterable[str]) -> dict[str, str | None]:
        """Kafka's id of each topic (KIP-516); it changes when a topic is deleted and made again. None: not known."""
        names = list(topics)
        view = self._view or self.view()
        if view.controller_id is None or not names:
            return dict.fromkeys(names)
        asked = self._admin.describe_topics(TopicCollection(names), request_timeout=self._timeout_s)
        answers = self._settled([asked[name] for name in names])
        return {name: answer and str(answer.topic_id) for name, answer in zip(names, answers, strict=True)}

    def _metadata(self) -> Any:
        """`list_topics` in growing steps, so that refused connections are noticed long before the deadline."""
        begun = time.monotonic()
        step = _FIRST_STEP_S
        while True:
            left = begun + self._timeout_s - time.monotonic()
            try:
                answer = self._admin.list_topics(timeout=max(0.01, min(step, left)))
            except KafkaException:
                self._admin.poll(0)
                waited = time.monotonic() - begun
                if self._reachability.down or waited >= self._timeout_s:
                    raise self._reachability.error(waited) from None
                step = _FIRST_STEP_S if self._reachability.failing else 2 * step
            else:
                self._admin.poll(0)
                self._reachability.answered()
                return answer

    def _offsets(
        self, wanted: Mapping[str, Iterable[int]], spec: Any, *, read_committed: bool = False
    ) -> dict[tuple[str, int], int]:
        """ListOffsets for many partitions at once; what fails for a moment is asked again, the rest is left out."""
        isolation = IsolationLevel.READ_COMMITTED if read_committed else IsolationLevel.READ_UNCOMMITTED
        open_ones = [(name, number) for name, numbers in wanted.items() for number in numbers]
        found: dict[tuple[str, int], int] = {}
        last_try = time.monotonic() + min(_TRANSIENT_S, self._timeout_s)
        while open_ones:
            partitions = {TopicPartition(*one): spec for one in open_ones}
            asked = self._admin.list_offsets(partitions, isolation_level=isolation, request_timeout=self._timeout_s)
            wait_for(asked.values(), self._timeout_s)
            open_ones = []
            for partition, future in asked.items():
                one = (partition.topic, partition.partition)
                failure = future.exception() if future.done() else None
                if future.done() and failure is None:
                    found[one] = future.result().offset
                elif isinstance(failure, KafkaException) and failure.args[0].code() in _TRANSIENT:
                    open_ones.append(one)
            if time.monotonic() > last_try:
                break
            if open_ones:
                time.sleep(_PAUSE_S)
        return found

    def _settled(self, futures: list[Future[Any]]) -> list[Any]:
        """The results within the deadline, None for what failed or did not come."""
        wait_for(futures, self._timeout_s)
        return [future.result() if future.done() and future.exception() is None else None for future in futures]

    def _on_statistics(self, text: str) -> None:
        brokers = json.loads(text).get("brokers", {}).values()
        self._states = {one["nodeid"]: one["state"] for one in brokers if one["nodeid"] >= 0}


def _topic(name: str, metadata: Any) -> Topic:
    partitions = tuple(
        Partition(
            number=one.id,
            leader=one.leader if one.leader >= 0 else None,
            replicas=tuple(one.replicas),
            in_sync=tuple(one.isrs),
            error=None if one.error is None else one.error.str(),
        )
        for _, one in sorted(metadata.partitions.items())
    )
    return Topic(name, partitions, None if metadata.error is None else metadata.error.str())


def _mark(low: int | None, high: int | None) -> Watermark | None:
    return None if low is None or high is None or low < 0 or high < 0 else Watermark(min(low, high), high)


def _topic_config(answer: Mapping[str, Any] | None) -> TopicConfig:
    if answer is None:
        return TopicConfig()
    entries = {name: entry.value for name, entry in answer.items()}
    return TopicConfig(
        retention_ms=_integer(entries.get("retention.ms")),
        max_message_bytes=_integer(entries.get("max.message.bytes")),
        cleanup_policy=entries.get("cleanup.policy"),
        entries=entries,
    )


def _integer(text: str | None) -> int | None:
    try:
        return None if text is None else int(text)
    except ValueError:
        return None
