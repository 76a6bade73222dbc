"""Feeding a source through the producer: paced, in order, with every bad piece of input kept."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from threading import Event
from typing import TYPE_CHECKING, Any

from atom_console.engine.sources import Chunk, InputFault, Pacer
from atom_console.events import encode

if TYPE_CHECKING:
    from atom_console.engine.producer import Producer

_SLICE = 500
_ROOM_S = 0.5


@dataclass(slots=True)
class FeedProgress:
    """How far a feed is. `faults` holds the first few, for the edge to name; `invalid` counts all."""

    sent: int = 0
    invalid: int = 0


def feed(
    producer: Producer,
    chunks: Iterable[Chunk],
    *,
    topic: str | None = None,
    pacer: Pacer | None = None,
    limit: int | None = None,
    stop: Event | None = None,
    on_fault: Callable[[InputFault], None] = lambda fault: None,
    progress: FeedProgress | None = None,
) -> FeedProgress:
    """Publish everything that the chunks hold.

    It waits while the queue is full, as a file can wait; with the broker away it waits until events time out into the
    dead letter queue and make room.

    Args:
        producer: where events go.
        chunks: from `sources.read`.
        topic: instead of `kafka.topic`.
        pacer: limits the rate.
        limit: the most events taken.
        stop: ends the feed between two slices.
        on_fault: told of every piece of input that is no event; it is kept in the dead letter queue as it came.
        progress: updated as it goes, for another thread to read.

    Returns:
        The progress at the end.
    """
    stop = stop or Event()
    pacer = pacer or Pacer(None)
    progress = progress if progress is not None else FeedProgress()
    for chunk in chunks:
        for fault in chunk.faults:
            producer.keep_invalid(fault.raw, f"{fault.where}: {fault.message}", chunk.topic or topic)
            progress.invalid += 1
            on_fault(fault)
        items: Sequence[Any] = chunk.events or chunk.payloads
        at = 0
        while at < len(items) and not stop.is_set():
            wanted = min(_SLICE, len(items) - at, _left(limit, progress))
            if not wanted:
                return progress
            granted, wait_s = pacer.take(wanted)
            if not granted:
                stop.wait(min(wait_s, _ROOM_S))
                continue
            if not _room(producer, stop):
                break
            _publish(producer, items[at : at + granted], chunk.topic or topic)
            at += granted
            progress.sent += granted
        if stop.is_set() or not _left(limit, progress):
            break
    return progress


def _left(limit: int | None, progress: FeedProgress) -> int:
    return _SLICE if limit is None else max(0, limit - progress.sent)


def _room(producer: Producer, stop: Event) -> bool:
    while not producer.wait_for_room(_ROOM_S):
        if stop.is_set():
            return False
    return True


def _publish(producer: Producer, items: Sequence[Any], topic: str | None) -> None:
    if isinstance(items[0], bytes):
        producer.publish_payloads(items, topic)
    elif topic is None:
        producer.publish_many(items)
    else:
        producer.publish_payloads(list(map(encode, items)), topic)
