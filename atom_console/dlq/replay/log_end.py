"""Whether the logs hold more than readers may see: records that wait for followers are above the high watermark.

ListOffsets version 1 with replica id −2 (Kafka protocol, "debugging consumer") tells the log end; clients cannot ask
for it, so the request is written here. Measured with frozen followers: the records of a dead producer became visible
8.9 s later, while the high watermark looked stable.
"""

from __future__ import annotations

import logging
import struct
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from atom_console.kafka.cluster import ClusterReader
from atom_console.kafka.raw_connection import RawConnection

if TYPE_CHECKING:
    from atom_console.config import KafkaSettings
    from atom_console.kafka.cluster_view import ClusterView

LOG: Final = logging.getLogger("atom_console.dlq")

_LIST_OFFSETS, _VERSION, _DEBUG_REPLICA, _LATEST = 2, 1, -2, -1


def logs_are_level(kafka: KafkaSettings, lows: Mapping[str, Mapping[int, int]]) -> bool | None:
    """Whether log end and high watermark are the same on every partition; None where nobody can tell.

    A partition with one replica is level by nature.

    Raises:
        BrokerUnreachableError: no broker answered.
    """
    with ClusterReader(kafka) as cluster:
        view = cluster.view()
        by_leader = _replicated(view, lows)
        if not by_leader:
            return None if by_leader is None else True
        ends = _all_log_ends(kafka, by_leader)
        marks = cluster.watermarks(lows, view=view).by_topic
    level = True
    for topic, partition in (one for ones in by_leader.values() for one in ones):
        mark, end = marks.get(topic, {}).get(partition), ends.get((topic, partition))
        if mark is None or end is None:
            return None
        level = level and mark.high >= end
    return level


def _all_log_ends(kafka: KafkaSettings, by_leader: Mapping[str, list[tuple[str, int]]]) -> dict[tuple[str, int], int]:
    """What could be asked: without TLS or with it, and with a password (not with Kerberos or a token)."""
    ends: dict[tuple[str, int], int] = {}
    for address, partitions in by_leader.items():
        try:
            ends |= log_ends(kafka, address, partitions)
        except (OSError, struct.error, ValueError) as error:
            LOG.warning("the log end is not known, %s: %s", address, error, extra={"event": "dlq.log_end"})
    return ends


def _replicated(view: ClusterView, topics: Mapping[str, Any]) -> dict[str, list[tuple[str, int]]] | None:
    """Address of the leader → partitions with more than one replica; None where one has no leader."""
    addresses = {broker.node_id: broker.address for broker in view.brokers}
    found: dict[str, list[tuple[str, int]]] = {}
    for topic in topics:
        for partition in view.topics[topic].partitions if topic in view.topics else ():
            if len(partition.replicas) < 2:
                continue
            if partition.leader is None or partition.leader not in addresses:
                return None
            found.setdefault(addresses[partition.leader], []).append((topic, partition.number))
    return found


def log_ends(kafka: KafkaSettings, address: str, partitions: Sequence[tuple[str, int]]) -> dict[tuple[str, int], int]:
    """(topic, partition) → log end as the leader at `address` tells; without those that it does not tell.

    Raises:
        OSError: no connection, or no login.
        struct.error: an answer that is none.
    """
    with RawConnection(kafka, address) as connection:
        return _ends_in(connection.ask(_LIST_OFFSETS, _VERSION, _body(partitions)))


def _body(partitions: Sequence[tuple[str, int]]) -> bytes:
    by_topic: dict[str, list[int]] = {}
    for topic, partition in partitions:
        by_topic.setdefault(topic, []).append(partition)
    out = [struct.pack(">ii", _DEBUG_REPLICA, len(by_topic))]
    for topic, numbers in by_topic.items():
        name = topic.encode()
        out += [struct.pack(">h", len(name)), name, struct.pack(">i", len(numbers))]
        out += [struct.pack(">iq", number, _LATEST) for number in numbers]
    return b"".join(out)


def _ends_in(data: bytes) -> dict[tuple[str, int], int]:
    """(topic, partition) → log end, of those without an error."""
    found: dict[tuple[str, int], int] = {}
    (topics,) = struct.unpack_from(">i", data)
    at = 4
    for _ in range(topics):
        (length,) = struct.unpack_from(">h", data, at)
        topic = data[at + 2 : at + 2 + length].decode()
        at += 2 + length
        (count,) = struct.unpack_from(">i", data, at)
        at += 4
        for _ in range(count):
            partition, error, _stamp, offset = struct.unpack_from(">ihqq", data, at)
            at += 22
            if error == 0:
                found[topic, partition] = offset
    return found
