"""One order for the records of several partitions, the same on every reading of the same log."""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Iterator, Mapping
from threading import Event
from typing import Final

from confluent_kafka import Message

from atom_console.kafka.reading import PartitionReader, TailRecord, record_of

_MOST_BUFFERED: Final = 4_000
_FEW_BUFFERED: Final = 500
_SLICE_S: Final = 0.1


class Merge:
    """Merges partitions up to fixed end offsets: always the oldest of the next records, then the lower partition.

    Records of one partition keep their order, whatever their timestamps say. A partition is finished when its end was
    reached or when the broker said that nothing follows, never because nothing came. Memory is bounded: a partition
    that is far ahead of the others is paused.

    Args:
        reader: assigned to the partitions of `ends`.
        ends: partition → offset to stop before.
        stop: ends the iteration early when set.
        stall_s: seconds without any sign of the broker after which it counts as unreachable.
    """

    def __init__(self, reader: PartitionReader, ends: Mapping[int, int], *, stop: Event, stall_s: float) -> None:
        self.next_offsets = dict(ends)
        """Where reading goes on after the merge. Below the end only where the broker said that the log ends earlier."""
        self._reader = reader
        self._ends = ends
        self._stop = stop
        self._stall_s = stall_s
        self._open = set(ends)
        self._paused: set[int] = set()
        self._buffers: dict[int, deque[Message]] = {number: deque() for number in ends}

    def __iter__(self) -> Iterator[TailRecord]:
        """The records in order.

        Raises:
            BrokerUnreachableError: nothing came for `stall_s` seconds although the ends were not reached.
            LostOffsetsError, TopicRefusedError, UnknownTopicError, UnreadableError: see `PartitionReader.batch`.
        """
        heads: list[tuple[int, int]] = []
        empty = set(self._ends)
        while True:
            if empty:
                self._reader.start_waiting()
            while empty and not self._stop.is_set():
                self._fill()
                for number in list(empty):
                    if self._buffers[number]:
                        heapq.heappush(heads, (self._buffers[number][0].timestamp()[1], number))
                        empty.discard(number)
                    elif number not in self._open:
                        empty.discard(number)
            if not heads or self._stop.is_set():
                return
            _, number = heapq.heappop(heads)
            buffer = self._buffers[number]
            yield record_of(buffer.popleft())
            if buffer:
                heapq.heappush(heads, (buffer[0].timestamp()[1], number))
            elif number in self._open:
                empty.add(number)

    def _fill(self) -> None:
        hungry = {number for number in self._paused & self._open if len(self._buffers[number]) < _FEW_BUFFERED}
        if hungry:
            self._reader.resume(hungry)
            self._paused -= hungry
        for message in self._reader.batch(_SLICE_S):
            number, offset = message.partition() or 0, message.offset() or 0
            if number not in self._open:
                continue
            if offset < self._ends[number]:
                self._buffers[number].append(message)
            if offset >= self._ends[number] - 1:
                self._open.discard(number)
        for number in self._open & self._reader.ended.keys():
            self.next_offsets[number] = min(self._reader.ended[number], self._ends[number])
            self._open.discard(number)
        full = {number for number in set(self._ends) - self._paused if self._is_ahead(number)}
        if full:
            self._reader.pause(full)
            self._paused |= full
        if self._open and self._reader.waited_s > self._stall_s:
            raise self._reader.reachability.error(self._reader.waited_s)

    def _is_ahead(self, number: int) -> bool:
        return number not in self._open or len(self._buffers[number]) > _MOST_BUFFERED
