"""How far a consumer group is behind, from its commits and the high watermarks."""

from __future__ import annotations

from concurrent.futures import Future
from typing import Any

from atom_console.kafka.cluster_view import Group, Watermarks


def group_lag(group_id: str, state: str, answer: Future[Any], marks: Watermarks) -> Group:
    """A group with its lag; where its commits could not be read, without, and with the reason.

    Args:
        answer: the settled answer to ListConsumerGroupOffsets.
        marks: high watermarks; a topic that is missing in them has an unknown lag.
    """
    if not answer.done():
        return Group(group_id, state, None, error="the coordinator did not answer in time")
    failure = answer.exception()
    if failure is not None:
        cause = failure.args[0] if failure.args else failure
        return Group(group_id, state, None, error=cause.str() if hasattr(cause, "str") else str(cause))
    by_topic: dict[str, int | None] = {}
    for committed in answer.result().topic_partitions:
        if committed.offset < 0:
            continue  # assigned and never committed
        mark = marks.by_topic.get(committed.topic, {}).get(committed.partition)
        behind = None if mark is None or committed.offset > mark.high else mark.high - committed.offset
        so_far = by_topic.get(committed.topic, 0)
        by_topic[committed.topic] = None if behind is None or so_far is None else so_far + behind
    known = [lag for lag in by_topic.values() if lag is not None]
    return Group(group_id, state, sum(known) if known and len(known) == len(by_topic) else None, by_topic)
