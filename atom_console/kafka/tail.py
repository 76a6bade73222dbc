"""The records of a topic, from a place on and as they come."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import chain, islice
from threading import Event
from typing import TYPE_CHECKING, Final, Literal, TypeVar

from confluent_kafka import OFFSET_BEGINNING

from atom_console.errors import InputError, UnreachableError
from atom_console.kafka.cluster import ClusterReader
from atom_console.kafka.merging import Merge
from atom_console.kafka.reachability import BrokerUnreachableError
from atom_console.kafka.reading import PartitionReader, TailRecord, record_of
from atom_console.times import parse_ns

if TYPE_CHECKING:
    from atom_console.config import KafkaSettings

_NEWEST: Final = re.compile(r"-(\d{1,9})", re.ASCII)
_SLICE_S: Final = 0.1
_T = TypeVar("_T")


class StartError(InputError):
    """Not a place to start reading from."""


class NoLeaderError(UnreachableError):
    """A partition has no leader that could be asked."""


@dataclass(frozen=True, slots=True)
class Start:
    """Where to begin: `value` is a count for `newest`, Unix milliseconds for `time`."""

    kind: Literal["beginning", "end", "newest", "time"]
    value: int = 0


def parse_start(text: str) -> Start:
    """`beginning`, `end`, `-N` (the newest N records) or an RFC 3339 time (the first record not older).

    Raises:
        StartError: none of these.
    """
    if text == "beginning":
        return Start("beginning")
    if text == "end":
        return Start("end")
    newest = _NEWEST.fullmatch(text)
    if newest:
        return Start("newest", int(newest[1]))
    try:
        # Upwards: a record of the very millisecond may be older than a time within it.
        return Start("time", -(-parse_ns(text) // 1_000_000))
    except ValueError as error:
        raise StartError(
            f"cannot start from {text!r}: {error}", next_step="use beginning, end, -N or a time with its zone"
        ) from None


def tail(
    kafka: KafkaSettings,
    topic: str,
    *,
    start: Start = Start("end"),
    follow: bool = True,
    limit: int | None = None,
    key: bytes | None = None,
    stop: Event | None = None,
    read_committed: bool = True,
    timeout_s: float = 5.0,
    stall_s: float = 15.0,
    on_lost: Callable[[BrokerUnreachableError], None] | None = None,
) -> Generator[TailRecord, None, None]:
    """Read a topic by assignment: no group is joined, nothing is committed, no topic is created.

    What was in the topic at the call comes first, in one order that is the same each time: the oldest of the next
    records of all partitions, then the lower partition, and within a partition by offset. With `follow`, later records
    come after it as they arrive, until `limit` or `stop`. Without it the iteration ends where the topic ended at the
    call; that end is known from the watermarks, so an empty result means an empty range and nothing else. The call
    itself finds out where to begin and end; close the generator, or drop it, to disconnect.

    Args:
        kafka: how to connect.
        topic: an existing topic; partitions that are added later are not read.
        start: where to begin. `newest` counts offsets: compaction and transactions can leave fewer records.
        follow: go on after the present end.
        limit: most records to give.
        key: only records with exactly this key.
        stop: set it, from any thread, to end the iteration within a moment.
        read_committed: leave out records of aborted and open transactions.
        timeout_s: the longest that a question about the topic waits.
        stall_s: seconds without a sign of the broker, while older records are still due, before it counts as gone.
            While following, silence is no error.
        on_lost: called while following, once each time that every connection has failed; reading goes on by itself.

    Raises:
        UnknownTopicError: no such topic, or hidden from us.
        TopicRefusedError: no permission to read.
        NoLeaderError: a partition cannot be asked.
        BrokerUnreachableError: no broker answered.
        LostOffsetsError: retention overtook the reading.
        UnreadableError: a damaged batch.
    """
    stopped = stop or Event()
    begins, ends = _range(kafka, topic, start, read_committed=read_committed, timeout_s=timeout_s)
    due = {number: offset for number, offset in begins.items() if offset < ends[number]}

    def read() -> Generator[TailRecord, None, None]:
        with PartitionReader(kafka, topic, due, read_committed=read_committed) as reader:
            merge = Merge(reader, {number: ends[number] for number in due}, stop=stopped, stall_s=stall_s)
            records = _newest(merge, start.value) if start.kind == "newest" else iter(merge)
            if follow:
                records = chain(records, _live(reader, ends, merge, stopped, on_lost))
            yield from islice((record for record in records if key is None or record.key == key), limit)

    return read()


def _range(
    kafka: KafkaSettings, topic: str, start: Start, *, read_committed: bool, timeout_s: float
) -> tuple[dict[int, int], dict[int, int]]:
    """First offsets and ends of every partition."""
    with ClusterReader(kafka, timeout_s=timeout_s) as cluster:
        cluster.topic(topic)
        marks = _all_known(topic, cluster.watermarks([topic], read_committed=read_committed).by_topic[topic])
        ends = {number: mark.high for number, mark in marks.items()}
        if start.kind == "time":
            return _all_known(topic, cluster.offsets_at(topic, start.value)), ends
    if start.kind == "end":
        return dict(ends), ends
    if start.kind == "newest":
        return {number: max(mark.low, mark.high - start.value) for number, mark in marks.items()}, ends
    # Not the low watermark by number: retention may move it before the first fetch.
    return {n: OFFSET_BEGINNING if mark.low < mark.high else mark.high for n, mark in marks.items()}, ends


def _all_known(topic: str, marks: Mapping[int, _T | None]) -> dict[int, _T]:
    known = {number: mark for number, mark in marks.items() if mark is not None}
    unknown = sorted(set(marks) - set(known))
    if unknown:
        raise NoLeaderError(
            f"topic {topic!r}: nobody answers for partition {', '.join(map(str, unknown))}",
            next_step="`atom-console topics` shows which brokers are missing",
        )
    return known


def _newest(records: Iterable[TailRecord], count: int) -> Iterator[TailRecord]:
    yield from deque(records, maxlen=count)


def _live(
    reader: PartitionReader,
    ends: Mapping[int, int],
    merge: Merge,
    stop: Event,
    on_lost: Callable[[BrokerUnreachableError], None] | None,
) -> Iterator[TailRecord]:
    reader.move({**ends, **merge.next_offsets})
    lost = False
    while not stop.is_set():
        for message in reader.batch(_SLICE_S):
            yield record_of(message)
        if reader.reachability.down and not lost and on_lost is not None:
            on_lost(reader.reachability.error(reader.waited_s))
        lost = reader.reachability.down
