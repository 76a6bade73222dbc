"""Several real brokers as one cluster, for tests of replication and of a leader's death."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.broker.broker import KafkaBroker, new_cluster_id
from tests.broker.handle import BrokerHandle, wait_until
from tests.broker.ports import free_ports


class KafkaCluster:
    """Brokers 1 … `count` of one cluster (a static quorum), replication factor `count`, at least two in sync.

    Each broker of `brokers` can be killed, paused and restarted on its own.
    """

    def __init__(self, directory: Path, *, count: int = 3, properties: Mapping[str, object] | None = None) -> None:
        ports = free_ports(3 * count)
        per_broker = [ports[3 * i : 3 * i + 3] for i in range(count)]
        voters = [f"{i}@127.0.0.1:{three[2]}" for i, three in enumerate(per_broker, 1)]
        replicated = {
            "default.replication.factor": count,
            "min.insync.replicas": min(2, count),
            "offsets.topic.replication.factor": count,
            "transaction.state.log.replication.factor": count,
            "transaction.state.log.min.isr": min(2, count),
        }
        self.directory = directory
        self._cluster_id = new_cluster_id()
        self.brokers = [
            KafkaBroker(
                directory / f"broker-{i}",
                node_id=i,
                authority_dir=directory / "ca",
                cluster_id=self._cluster_id,
                voters=voters,
                ports=three,
                properties=replicated | dict(properties or {}),
            )
            for i, three in enumerate(per_broker, 1)
        ]

    @property
    def handle(self) -> BrokerHandle:
        """All addresses, and the administration of the cluster."""
        each = [broker.handle for broker in self.brokers]
        return replace(
            each[0],
            bootstrap=",".join(one.bootstrap for one in each),
            ssl_bootstrap=",".join(one.ssl_bootstrap for one in each),
            directory=self.directory,
        )

    def __enter__(self) -> Self:
        with contextlib.ExitStack() as on_error:
            on_error.callback(self.close)
            for broker in self.brokers:
                broker.launch()
            for broker in self.brokers:
                broker.wait_ready()
            admin = self.handle.admin()
            wait_until(lambda: len(admin.list_topics(timeout=2).brokers) == len(self.brokers), 30, "all brokers are up")
            on_error.pop_all()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def leader(self, topic: str, partition: int = 0) -> KafkaBroker:
        """The broker that leads a partition now."""
        admin = self.handle.admin()
        node = admin.list_topics(topic, timeout=5).topics[topic].partitions[partition].leader
        return self.brokers[node - 1]

    def close(self) -> None:
        """End every broker and remove the data."""
        for broker in self.brokers:
            broker.close()
