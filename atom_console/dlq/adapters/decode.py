"""Any dead letter → what is known about it: the one door to the adapters. Pure; no input makes it raise."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Final, NamedTuple

from atom_console.dlq.adapters import apache, others, own, scs, spring
from atom_console.dlq.adapters.apache import Found
from atom_console.dlq.adapters.blocks import Block, Family, find_blocks
from atom_console.dlq.adapters.causes import innermost
from atom_console.dlq.adapters.letter import Context, Letter, Reading
from atom_console.dlq.adapters.strip import strip, stripped_indices
from atom_console.dlq.adapters.values import Values
from atom_console.dlq.record import Origin, PayloadKind


@dataclass(frozen=True)
class Adapter:
    """One framework: its families of headers, the first of which names the source, and how to read them.

    Attributes:
        prepends: its block stands in front of the record's own headers.
        whole: a block that is not complete is somebody else's headers.
    """

    origin: Origin
    families: tuple[Family, ...]
    read: Callable[[Reading, Letter, Found, Context, Values], None]
    prepends: bool = False
    whole: bool = False


ADAPTERS: Final = (
    Adapter(Origin.LOCAL, (own.OWN,), own.read_own),
    Adapter(Origin.CONNECT, (apache.CONNECT,), apache.read_connect),
    Adapter(Origin.STREAMS, (apache.STREAMS,), apache.read_streams),
    Adapter(Origin.SHARE_GROUP, (apache.SHARE,), apache.read_share),
    Adapter(
        Origin.SPRING,
        (spring.RETRYABLE.origin, spring.RETRYABLE.errors, spring.RETRY, spring.GROUP),
        spring.read_retryable,
    ),
    Adapter(Origin.SPRING, (spring.PLAIN.origin, spring.PLAIN.errors), spring.read_plain),
    Adapter(Origin.SCS, (scs.SCS,), scs.read_headers),
    Adapter(Origin.SMALLRYE, (others.SMALLRYE,), others.read_smallrye, prepends=True),
    Adapter(Origin.SMALLRYE, (others.SMALLRYE_RETRY, others.RETRY_END), others.read_smallrye_retry, prepends=True),
    Adapter(Origin.KARAFKA, (others.KARAFKA,), others.read_karafka, whole=True),
    Adapter(Origin.KARAFKA, (others.KARAFKA_OLD,), others.read_karafka, whole=True),
    Adapter(Origin.ARROYO, (others.ARROYO,), others.read_arroyo, whole=True),
)


class Recognised(NamedTuple):
    """What header names alone tell: whose they are, where the blocks are, whether somebody else's are there too."""

    adapter: Adapter
    found: Found
    rivals: tuple[str, ...]


@lru_cache(maxsize=4096)
def recognise(names: tuple[str, ...]) -> Recognised | None:
    """The framework that wrote last, or None.

    A complete block beats any incomplete one. Of several, the one that ends last wins, as writers append; a block of a
    writer that prepends wins when it is the very first.
    """
    best: tuple[tuple[bool, int, int], Adapter, Found] | None = None
    seen: list[tuple[str, Block]] = []
    for order, adapter in enumerate(ADAPTERS):
        found = tuple(find_blocks(names, one) for one in adapter.families)
        whole = [block for block in found[0] if block.complete]
        if not any(found[:2]) or (adapter.whole and not whole):
            continue
        if whole:
            seen += [(adapter.origin.value, block) for block in whole]
        blocks = whole or [block for one in found for block in one]
        front = adapter.prepends and min(block.start for block in blocks) == 0
        ends = len(names) + 1 if front else max(block.stop for block in blocks)
        rank = (bool(whole), ends, -order)
        if best is None or rank > best[0]:
            best = (rank, adapter, found)
    if best is None:
        return None
    mine = {index for block in best[2][0] for index in block.at.values()}
    rivals = {name for name, block in seen if name != best[1].origin and mine.isdisjoint(block.at.values())}
    return Recognised(best[1], best[2], tuple(sorted(rivals)))


def decode(letter: Letter, context: Context, *, spare: bool = False) -> Reading:
    """Read a dead letter.

    Args:
        letter: the record as it lies in the DLQ topic.
        context: what configuration knows.
        spare: keep headers that look like a framework's but are in no block of the one that wrote (a producer's own).

    Returns:
        A reading with everything that could be read; whatever could not be is a warning.
    """
    reading = Reading(key=letter.key, value=letter.value)
    if letter.value is None:
        reading.kind = PayloadKind.TOMBSTONE
    values = Values(reading.warnings)
    names = tuple([name for name, _ in letter.headers])
    reading.headers = strip(letter.headers)[0]
    own_map = next((one for one in context.maps if one.applies(letter)), None)
    if own_map is not None:
        own_map.read(reading, letter, values)
    else:
        seen = recognise(names)
        if seen is not None:
            _read(seen, reading, letter, context, values, spare=spare)
        elif not scs.read_embedded(reading, letter, values):
            reading.warnings.append(_nothing_known(reading, letter, context))
    if reading.stack and reading.drained is None:
        found = innermost(reading.stack)
        reading.cause, reading.frames = found.name or reading.cause, found.frames
    if not reading.addressable:
        reading.refetch = False
    return reading


def _read(seen: Recognised, reading: Reading, letter: Letter, context: Context, values: Values, *, spare: bool) -> None:
    if spare:
        ours = {index for blocks in seen.found for block in blocks for index in range(block.start, block.stop)}
        gone = stripped_indices(tuple(name for name, _ in letter.headers))
        reading.headers = strip(letter.headers, spare=gone - _current(seen, ours))[0]
    reading.origin = seen.adapter.origin
    seen.adapter.read(reading, letter, seen.found, context, values)
    if reading.topic is None and not reading.warnings:
        reading.warnings.append("the headers do not say where the record came from")
    if seen.rivals:
        reading.warnings.append(f"headers of other frameworks are there too: {', '.join(seen.rivals)}")


def _current(seen: Recognised, ours: set[int]) -> frozenset[int]:
    """Indices of the blocks that the framework wrote itself: complete ones; incomplete ones only where no other is."""
    whole = {index for block in seen.found[0] if block.complete for index in range(block.start, block.stop)}
    rest = {index for blocks in seen.found[1:] for block in blocks for index in range(block.start, block.stop)}
    return frozenset(whole | rest) if whole else frozenset(ours)


def _nothing_known(reading: Reading, letter: Letter, context: Context) -> str:
    """A record without context headers (Connect's default): what configuration says, or that nothing is known."""
    reading.topic = context.source_of(letter.topic)
    if reading.topic is None:
        return "no headers of a known framework: where the record came from is not known"
    return f"no headers of a known framework: the topic {reading.topic} is taken from dlq.header_map"
