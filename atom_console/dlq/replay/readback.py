"""Looks on the topics for records that may have arrived: the only thing that may decide an unknown outcome.

Reads uncommitted records too: an open transaction of somebody else must not hide ours. "Found" is always sound; "not
found" only where every range was read to its end and nothing could have vanished from it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import compress, repeat
from threading import Event
from typing import TYPE_CHECKING, Any

from confluent_kafka import Message

from atom_console.dlq.replay.items import ID_HEADER, id_of
from atom_console.dlq.replay.quiet import quiet_interpreter
from atom_console.dlq.replay.targets import Target, Targets, look_up
from atom_console.errors import AtomError, UnreachableError
from atom_console.kafka.cluster import ClusterReader
from atom_console.kafka.read_back import read_range

if TYPE_CHECKING:
    from atom_console.config import KafkaSettings

Place = tuple[str, int, int]
"""(topic, partition, offset)."""


@dataclass(frozen=True, slots=True)
class Doubt:
    """Why "not found" may not be believed; `passing`: another look may help."""

    what: str
    passing: bool = False


@dataclass(slots=True)
class Found:
    """What a read-back saw.

    Attributes:
        places: record id (text, as bytes) → where its first copy is.
        more: record id → how many further copies there are.
        doubts: empty where "not found" may be believed.
        read: how many records were read.
    """

    places: dict[bytes, Place] = field(default_factory=dict)
    more: Counter[bytes] = field(default_factory=Counter)
    doubts: list[Doubt] = field(default_factory=list)
    read: int = 0

    def note(self, topic: str, messages: Sequence[Message], wanted: Collection[bytes]) -> None:
        """Take in every copy of a wanted record. Hardly one is there twice: what is new is added without a loop."""
        all_headers: Iterator[Any] = map(Message.headers, messages)
        names: list[Any] = [
            headers[-1][1] if headers and headers[-1][0] == ID_HEADER else id_of(headers) for headers in all_headers
        ]
        ours = [name in wanted for name in names]
        if not all(ours):
            messages, names = list(compress(messages, ours)), list(compress(names, ours))
        places: list[Any] = list(zip(repeat(topic), map(Message.partition, messages), map(Message.offset, messages)))
        fresh = dict(zip(names, places, strict=True))
        if len(fresh) == len(names) and self.places.keys().isdisjoint(fresh):
            self.places |= fresh
        else:
            for name, place in zip(names, places, strict=True):
                if self.places.setdefault(name, place) is not place:
                    self.more[name] += 1


def find(
    kafka: KafkaSettings,
    lows: Mapping[str, Mapping[int, int]],
    topic_ids: Mapping[str, str | None],
    wanted: Collection[bytes],
    *,
    stop: Event | None = None,
) -> Found:
    """Read from the low offsets to the high watermarks of now and note every copy of the wanted records.

    Args:
        lows: topic → partition → first offset.
        topic_ids: the topics' ids when the lows were taken.
        wanted: record ids as text in bytes.

    Raises:
        BrokerUnreachableError: no broker answered.
    """
    found = Found()
    targets = look_up(kafka, lows)
    with ClusterReader(kafka) as cluster:
        marks = cluster.watermarks(lows).by_topic
    for topic, by_partition in lows.items():
        doubt = _doubt(targets.by_topic[topic], topic_ids.get(topic))
        if doubt is not None:
            found.doubts.append(Doubt(doubt))
        if not targets.by_topic[topic].exists or made_again(targets.by_topic[topic], topic_ids.get(topic)):
            continue
        ranges: dict[int, tuple[int, int]] = {}
        for partition, mark in marks.get(topic, {}).items():
            low = by_partition.get(partition, 0)
            if mark is None:
                found.doubts.append(Doubt(f"{topic}[{partition}]: nobody answers for it", passing=True))
            elif mark.low > low:
                found.doubts.append(Doubt(f"{topic}[{partition}]: offsets {low} to {mark.low} are gone (retention)"))
                ranges[partition] = (mark.low, mark.high)
            elif mark.high < low:
                found.doubts.append(Doubt(f"{topic}[{partition}]: ends at {mark.high}, it was at {low}: it was cut"))
            else:
                ranges[partition] = (low, mark.high)
        with quiet_interpreter():
            _read(kafka, topic, ranges, wanted, found, targets, stop)
    return found


def _read(
    kafka: KafkaSettings,
    topic: str,
    ranges: Mapping[int, tuple[int, int]],
    wanted: Collection[bytes],
    found: Found,
    targets: Targets,
    stop: Event | None,
) -> None:
    reader = read_range(kafka, topic, ranges, stop=stop)
    try:
        for messages in reader:
            found.note(topic, messages, wanted)
    except AtomError as error:
        found.doubts.append(Doubt(f"{topic}: {error.what}", passing=isinstance(error, UnreachableError)))
    deletes_only = targets.by_topic[topic].cleanup_policy == "delete"
    for partition, account in reader.account.items():
        found.read += account.records
        where = f"{topic}[{partition}]"
        if not account.complete:
            asked = account.high - account.low
            what = f"{where} was not read to its end ({account.records} of {asked} offsets)"
            found.doubts.append(Doubt(what, passing=True))
        elif account.missing and not deletes_only:
            what = f"{where}: {account.missing} offsets of {account.low} to {account.high} hold no record"
            found.doubts.append(Doubt(what))


def _doubt(target: Target, topic_id: str | None) -> str | None:
    topic = target.topic
    if not target.exists:
        return f"topic {topic} is not there, or may not be described"
    if target.can_read is False:
        return f"topic {topic}: READ is not granted, so nobody can look"
    if made_again(target, topic_id):
        return f"topic {topic} was deleted and made again: what was sent before went with it"
    if target.compacted:
        return f"topic {topic} is compacted: copies vanish from it"
    return None


def made_again(target: Target, topic_id: str | None) -> bool:
    """Whether the topic is another one than it was."""
    return topic_id is not None and target.topic_id is not None and target.topic_id != topic_id
