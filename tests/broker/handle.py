"""What tests know of a running broker: its addresses, and the helpers of an administrator."""

from __future__ import annotations

import itertools
import json
import logging
import os
import subprocess
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from confluent_kafka import KafkaException, TopicPartition
from confluent_kafka.admin import (  # type: ignore[attr-defined]  # public by documentation, not by `__all__`
    AclBinding,
    AclBindingFilter,
    AclOperation,
    AclPermissionType,
    AdminClient,
    NewTopic,
    OffsetSpec,
    ResourcePatternType,
    ResourceType,
)

from tests.broker.libraries import BrokerError, classpath
from tests.broker.tls import Identity, TestAuthority

# Clients of the tests report through exceptions and callbacks; what librdkafka logs goes nowhere.
SILENT = logging.getLogger("tests.librdkafka")
SILENT.addHandler(logging.NullHandler())
SILENT.propagate = False

_numbers = itertools.count(1)


@dataclass(frozen=True)
class BrokerHandle:
    """Addresses and administration of one broker or cluster; holds no connection.

    The plaintext listener is the administrator's: its clients (`User:ANONYMOUS`) may do everything. Clients of the SSL
    listener are `User:CN=<name>` and may do nothing until `grant` says so.
    """

    bootstrap: str
    ssl_bootstrap: str
    cluster_id: str
    directory: Path
    authority_dir: Path

    def to_json(self) -> str:
        """For another process of the same session."""
        return json.dumps(asdict(self), default=str)

    @classmethod
    def from_json(cls, text: str) -> BrokerHandle:
        """The reverse of `to_json`."""
        fields = json.loads(text)
        fields |= {name: Path(fields[name]) for name in ("directory", "authority_dir")}
        return cls(**fields)

    def identity(self, common_name: str) -> Identity:
        """A new client certificate for `User:CN=common_name`."""
        return TestAuthority(self.authority_dir).issue(common_name)

    def ssl_properties(self, common_name: str) -> dict[str, str]:
        """librdkafka properties of a client of the SSL listener."""
        return {"bootstrap.servers": self.ssl_bootstrap, **self.identity(common_name).librdkafka}

    def admin(self) -> AdminClient:
        """A new administrator's client; keep it until its futures are done, dropping it fails them."""
        return AdminClient({"bootstrap.servers": self.bootstrap, "log_level": 0}, logger=SILENT)

    def topic_name(self, prefix: str = "t") -> str:
        """A name that no other test of the session uses."""
        return f"{prefix}-{os.getpid()}-{next(_numbers)}"

    def create_topic(
        self,
        name: str | None = None,
        *,
        partitions: int = 1,
        replication: int = 1,
        configs: Mapping[str, object] | None = None,
    ) -> str:
        """Create a topic and wait until every partition has a leader; returns its name."""
        topic = name or self.topic_name()
        admin = self.admin()
        settings = {key: str(value) for key, value in (configs or {}).items()}
        created = NewTopic(topic, num_partitions=partitions, replication_factor=replication, config=settings)
        admin.create_topics([created], request_timeout=10)[topic].result(timeout=15)

        # A broker takes a moment longer than the controller to know that it leads.
        wait_until(lambda: len(self.end_offsets(topic)) == partitions, 15, f"every partition of {topic} has a leader")
        return topic

    def delete_topic(self, topic: str) -> None:
        """Delete a topic and wait until the metadata does not name it."""
        admin = self.admin()
        admin.delete_topics([topic], request_timeout=10)[topic].result(timeout=15)
        wait_until(lambda: topic not in admin.list_topics(timeout=5).topics, 15, f"topic {topic} is gone")

    def grant(self, common_name: str, topic: str, *operations: AclOperation) -> None:
        """Allow `User:CN=common_name` these operations on a topic (write and describe if none is named)."""
        bindings = [
            AclBinding(
                ResourceType.TOPIC,
                topic,
                ResourcePatternType.LITERAL,
                f"User:CN={common_name}",
                "*",
                operation,
                AclPermissionType.ALLOW,
            )
            for operation in operations or (AclOperation.WRITE, AclOperation.DESCRIBE)
        ]
        admin = self.admin()
        for done in admin.create_acls(bindings, request_timeout=10).values():
            done.result(timeout=15)

    def revoke(self, common_name: str, topic: str) -> None:
        """Take every grant of `User:CN=common_name` on a topic away."""
        everything = AclBindingFilter(
            ResourceType.TOPIC,
            topic,
            ResourcePatternType.LITERAL,
            f"User:CN={common_name}",
            "*",
            AclOperation.ANY,
            AclPermissionType.ANY,
        )
        admin = self.admin()
        for done in admin.delete_acls([everything], request_timeout=10).values():
            done.result(timeout=15)

    def end_offsets(self, topic: str) -> dict[int, int]:
        """The high watermark of every partition."""
        admin = self.admin()
        partitions = admin.list_topics(topic, timeout=5).topics[topic].partitions
        asked: dict[Any, Any] = {
            TopicPartition(topic, number): OffsetSpec.latest()  # type: ignore[no-untyped-call]
            for number in partitions
        }
        found = admin.list_offsets(asked, request_timeout=10)
        return {partition.partition: future.result(timeout=15).offset for partition, future in found.items()}

    def dump_log(self, *topics: str) -> dict[str, str]:
        """Topic → its batches as Kafka's own `DumpLogSegments` prints them: offsets, `compresscodec`, sizes."""
        segments = {
            str(path): topic
            for topic in topics
            for folder in self.directory.glob(f"**/data/{topic}-*")
            if folder.name.removeprefix(f"{topic}-").isdecimal()
            for path in folder.glob("*.log")
        }
        command = ["java", "-Xmx256m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-cp", classpath()]
        done = subprocess.run(
            [*command, "org.apache.kafka.tools.DumpLogSegments", "--files", ",".join(segments)],
            capture_output=True,
            text=True,
            timeout=60,
            check=True,
        )
        printed = dict.fromkeys(topics, "")
        for part in done.stdout.split("Dumping ")[1:]:
            path, _, text = part.partition("\n")
            printed[segments[path.strip()]] += text
        return printed

    def log_tail(self, lines: int = 40) -> str:
        """The last lines of the broker's own log (of each broker of a cluster)."""
        return "\n".join(tail_of(path, lines) for path in sorted(self.directory.glob("**/broker.log")))


def tail_of(path: Path, lines: int = 40) -> str:
    """The last lines of a log file, or a note that it is not there."""
    if not path.exists():
        return f"({path} was not written)"
    return f"{path}:\n" + "\n".join(path.read_text(errors="replace").splitlines()[-lines:])


def wait_until(condition: Callable[[], bool], deadline_s: float, what: str) -> None:
    """Poll a condition; refusals of a broker that is not ready yet count as "not yet".

    Raises:
        BrokerError: it did not hold within `deadline_s` seconds.
    """
    end = time.monotonic() + deadline_s
    last: Exception | None = None
    while time.monotonic() < end:
        try:
            if condition():
                return
        except (KafkaException, KeyError, OSError) as error:
            last = error
        time.sleep(0.02)
    raise BrokerError(f"not within {deadline_s} s: {what}" + (f" (last: {last})" if last else ""))
