"""Which of several blocks tells where the original lies."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

from atom_console.dlq.adapters.blocks import Block
from atom_console.dlq.adapters.letter import Context, Letter, Reading

_HOP: Final = re.compile(r".+[-._](?:dlt|dlq|retry)(?:[-._]?\d+)*", re.IGNORECASE)


class Place(NamedTuple):
    """Where a block says that the original lies; None where it does not, or not readably."""

    topic: str | None
    partition: int | None
    offset: int | None


def raw(letter: Letter, block: Block, name: str) -> bytes | None:
    """The value of one header of a block; None where it is null or missing."""
    index = block.at.get(name)
    return None if index is None else letter.headers[index][1]


def newest(newest_first: Sequence[Block]) -> Block:
    """The newest complete block, or the newest at all: it tells the error."""
    return next((block for block in newest_first if block.complete), newest_first[0])


def choose(
    reading: Reading, letter: Letter, newest_first: Sequence[Block], place: Callable[[Block], Place], context: Context
) -> Block | None:
    """Give the reading the place of the newest complete block that does not name a retry or DLQ topic.

    A hop is left out only if another block is left. Blocks that name different sources are a warning: one of them is
    forged, or the record went through several topics that we do not know as hops.
    """
    blocks = [(block, place(block)) for block in newest_first if block.complete]
    if not blocks:
        return None
    sources = [found for found in blocks if not _is_hop(found[1].topic, letter, context)] or blocks[-1:]
    block, where = sources[0]
    reading.topic, reading.partition, reading.offset = where
    others = {found.topic for _, found in sources if found.topic is not None} - {where.topic}
    if others:
        reading.warnings.append(f"earlier headers name other sources too: {', '.join(sorted(others))}")
    return block


def _is_hop(topic: str | None, letter: Letter, context: Context) -> bool:
    return topic is not None and (
        topic == letter.topic or topic in context.dlq_topics or _HOP.fullmatch(topic) is not None
    )
