"""Fast reading of exact ranges of offsets, with an account of what was found: did a record arrive, or not."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import compress
from threading import Event
from typing import TYPE_CHECKING, Final

from confluent_kafka import Message

from atom_console.kafka.reading import PartitionReader

if TYPE_CHECKING:
    from atom_console.config import KafkaSettings

_SLICE_S: Final = 0.1


@dataclass(frozen=True, slots=True)
class RangeAccount:
    """What was read of one partition.

    Attributes:
        low: the first offset asked for.
        high: the offset after the last one asked for.
        records: how many records came.
        complete: the range was read to its end: an offset at or beyond it came, or the broker said that the log ends
            there. False also where the log ended before `high`: it was cut, or made again.
    """

    low: int
    high: int
    records: int
    complete: bool

    @property
    def missing(self) -> int:
        """Offsets without a record: compaction, transaction markers, aborted transactions, or a gap."""
        return self.high - self.low - self.records


class RangeReader:
    """Iterates over lists of messages, all inside the ranges; `account` tells afterwards what was covered.

    The lists hold the client's own `Message` objects, in the order of each partition: making values of ours would halve
    the speed. `record_of` makes one where it is wanted.

    Args:
        kafka: how to connect.
        topic: an existing topic.
        ranges: partition → (first offset, offset after the last).
        read_committed: leave out records of aborted and open transactions. The default sees every copy: for the
            question whether a record arrived, an open transaction of somebody else must not hide it.
        stop: ends the iteration early when set; the account is then incomplete.
        stall_s: seconds without a sign of the broker after which it counts as unreachable.
    """

    def __init__(
        self,
        kafka: KafkaSettings,
        topic: str,
        ranges: Mapping[int, tuple[int, int]],
        *,
        read_committed: bool = False,
        stop: Event | None = None,
        stall_s: float = 15.0,
    ) -> None:
        self._kafka = kafka
        self._topic = topic
        self._ranges = dict(ranges)
        self._read_committed = read_committed
        self._stop = stop or Event()
        self._stall_s = stall_s
        self._records = dict.fromkeys(ranges, 0)
        self._complete = {number for number, (low, high) in ranges.items() if low >= high}

    @property
    def account(self) -> dict[int, RangeAccount]:
        """What was read so far, by partition."""
        return {
            number: RangeAccount(low, high, self._records[number], number in self._complete)
            for number, (low, high) in self._ranges.items()
        }

    def __iter__(self) -> Iterator[list[Message]]:
        """The lists.

        Raises:
            BrokerUnreachableError: nothing came for `stall_s` seconds although an end was not reached. Without
                permission to read, a broker may answer with nothing at all: that ends here too, never as "not found".
            LostOffsetsError: an offset of a range is gone.
            TopicRefusedError, UnknownTopicError, UnreadableError: see `PartitionReader.batch`.
        """
        due = {number: low for number, (low, _) in self._ranges.items() if number not in self._complete}
        if not due:
            return
        ends = {number: self._ranges[number][1] for number in due}
        with PartitionReader(self._kafka, self._topic, due, read_committed=self._read_committed) as reader:
            open_ones = set(due)
            while open_ones and not self._stop.is_set():
                # Where no more can come than are asked for, the client does not wait for company.
                most = sum(ends[number] - due[number] for number in open_ones)
                messages = reader.batch(_SLICE_S, max(1, most))
                inside = self._inside(messages, due, ends)
                if inside:
                    yield inside
                    reader.start_waiting()
                self._note_ends(reader, ends)
                reached = open_ones & (self._complete | set(reader.ended))
                if reached:
                    reader.pause(reached)
                    open_ones -= reached
                if open_ones and reader.waited_s > self._stall_s:
                    raise reader.reachability.error(reader.waited_s)

    def _inside(self, messages: list[Message], due: dict[int, int], ends: Mapping[int, int]) -> list[Message]:
        """Those of the ranges, counted. Only the last of each partition can be outside, as a rule: one look for all.

        Args:
            due: partition → the next offset, moved on here.
        """
        numbers: list[int] = list(map(Message.partition, messages))  # type: ignore[arg-type]  # set in what was consumed
        offsets: list[int] = list(map(Message.offset, messages))  # type: ignore[arg-type]
        last = dict(zip(numbers, offsets, strict=True))
        due.update((number, offset + 1) for number, offset in last.items())
        self._complete.update(number for number, offset in last.items() if offset >= ends[number] - 1)
        if any(offset >= ends[number] for number, offset in last.items()):
            within = [offset < ends[number] for number, offset in zip(numbers, offsets, strict=True)]
            messages, numbers = list(compress(messages, within)), list(compress(numbers, within))
        for number, count in Counter(numbers).items():
            self._records[number] += count
        return messages

    def _note_ends(self, reader: PartitionReader, ends: Mapping[int, int]) -> None:
        self._complete.update(number for number, offset in reader.ended.items() if offset >= ends[number])


def read_range(
    kafka: KafkaSettings,
    topic: str,
    ranges: Mapping[int, tuple[int, int]],
    *,
    read_committed: bool = False,
    stop: Event | None = None,
    stall_s: float = 15.0,
) -> RangeReader:
    """Read exact ranges of offsets; see `RangeReader`."""
    return RangeReader(kafka, topic, ranges, read_committed=read_committed, stop=stop, stall_s=stall_s)
