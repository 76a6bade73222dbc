"""Reads originals at their source, where a dead letter holds only their place or a poorer copy."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Final

from atom_console.dlq.adapters import Letter, Reading, strip
from atom_console.dlq.record import Origin, PayloadKind
from atom_console.errors import AtomError
from atom_console.kafka.cluster import ClusterReader
from atom_console.kafka.reading import LostOffsetsError, PartitionReader, TailRecord, record_of

if TYPE_CHECKING:
    from confluent_kafka import Message

    from atom_console.config import KafkaSettings
    from atom_console.kafka.cluster_view import Watermark

_READ_THROUGH: Final = 500
_SLICE_S: Final = 0.1
_STALL_S: Final = 10.0

Pair = tuple[Letter, Reading]


class Sources:
    """Keeps a consumer a source topic; for one thread. Close it when done.

    Attributes:
        fetched: originals that were read; `gone` those that are not there any more or could not be read.
    """

    def __init__(self, kafka: KafkaSettings) -> None:
        self._kafka = kafka
        self._readers: dict[str, PartitionReader] = {}
        self.fetched = self.gone = 0

    def close(self) -> None:
        """Disconnect."""
        for reader in self._readers.values():
            reader.close()
        self._readers.clear()

    def improve(self, pairs: Iterable[Pair]) -> None:
        """Put the original into every reading that asks for it; where it cannot be had, say why on the record."""
        by_topic: dict[str, list[Pair]] = defaultdict(list)
        for letter, reading in pairs:
            if reading.refetch and reading.topic is not None:
                by_topic[reading.topic].append((letter, reading))
        for topic, wanted in by_topic.items():
            try:
                self._improve(topic, wanted)
            except AtomError as error:
                for _, reading in wanted:
                    if reading.refetch:
                        self._missing(reading, error.what)

    def _improve(self, topic: str, wanted: list[Pair]) -> None:
        with ClusterReader(self._kafka) as cluster:
            cluster.topic(topic)
            marks = cluster.watermarks([topic]).by_topic[topic]
        by_partition: dict[int, list[Pair]] = defaultdict(list)
        for pair in wanted:
            number, offset = pair[1].partition, pair[1].offset
            mark = None if number is None else marks.get(number)
            if number is None or offset is None or mark is None:
                self._missing(pair[1], f"{topic} has no partition {number} that answers")
            elif not mark.low <= offset < mark.high:
                self._missing(pair[1], _outside(topic, number, offset, mark))
            else:
                by_partition[number].append(pair)
        for number, pairs in by_partition.items():
            for run in _runs(pairs):
                self._read_run(topic, number, run)

    def _read_run(self, topic: str, number: int, run: list[Pair]) -> None:
        waiting: dict[int, list[Pair]] = defaultdict(list)
        for pair in run:
            waiting[pair[1].offset or 0].append(pair)
        first, last = min(waiting), max(waiting)
        try:
            for message in self._messages(topic, number, first, last):
                for letter, reading in waiting.pop(message.offset() or 0, ()):
                    self._apply(letter, reading, message)
        except LostOffsetsError as error:
            for pair in (pair for pairs in waiting.values() for pair in pairs):
                self._missing(pair[1], error.what)
            return
        for offset, pairs in waiting.items():
            for _, reading in pairs:
                self._missing(reading, f"{topic} [{number}] has no record at {offset} any more (compaction)")

    def _messages(self, topic: str, number: int, first: int, last: int) -> Iterator[Message]:
        reader = self._readers.get(topic)
        if reader is None:
            reader = self._readers[topic] = PartitionReader(self._kafka, topic, {number: first}, read_committed=False)
        else:
            reader.move({number: first})
        reader.start_waiting()
        while number not in reader.ended:
            for message in reader.batch(_SLICE_S):
                offset = message.offset() or 0
                if offset <= last:
                    yield message
                if offset >= last:
                    return
            if reader.waited_s > _STALL_S:
                raise reader.reachability.error(reader.waited_s)

    def _apply(self, letter: Letter, reading: Reading, message: Message) -> None:
        found = record_of(message)
        if not _same(letter, reading, found):
            self._missing(
                reading, f"the record at {reading.topic} [{reading.partition}] {reading.offset} is another one"
            )
            return
        reading.key, reading.value, reading.headers = found.key, found.value, strip(found.headers)[0]
        reading.timestamp = found.timestamp_ms
        reading.kind = PayloadKind.FULL if found.value is not None else PayloadKind.TOMBSTONE
        reading.refetch = False
        self.fetched += 1

    def _missing(self, reading: Reading, why: str) -> None:
        self.gone += 1
        reading.refetch = False
        reading.warnings.append(f"the original could not be read at its source: {why}")


def _same(letter: Letter, reading: Reading, found: TailRecord) -> bool:
    """Whether the record at the source can be the original, by what the dead letter kept of it."""
    if reading.timestamp is not None and reading.timestamp != found.timestamp_ms:
        return False
    if reading.kind is PayloadKind.POINTER:
        return True
    if reading.origin is Origin.SHARE_GROUP:
        return found.key == letter.key and found.value == letter.value
    return reading.origin is not Origin.ARROYO or found.key == letter.key


def _outside(topic: str, number: int, offset: int, mark: Watermark) -> str:
    return f"{topic} [{number}] holds {mark.low} to {mark.high - 1}, it was {offset}"


def _runs(pairs: list[Pair]) -> Iterator[list[Pair]]:
    """Neighbours that are cheaper read through than sought one by one."""
    run: list[Pair] = []
    for pair in sorted(pairs, key=lambda one: one[1].offset or 0):
        if run and (pair[1].offset or 0) - (run[-1][1].offset or 0) > _READ_THROUGH:
            yield run
            run = []
        run.append(pair)
    if run:
        yield run
