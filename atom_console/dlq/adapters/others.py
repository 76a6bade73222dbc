"""SmallRye (Quarkus), Karafka, Sentry Arroyo: all text."""

from __future__ import annotations

import re
from typing import Final

from atom_console.dlq.adapters.apache import Found, text_place
from atom_console.dlq.adapters.blocks import Block, Family, family
from atom_console.dlq.adapters.letter import Context, Letter, Reading
from atom_console.dlq.adapters.origin import choose, newest, raw
from atom_console.dlq.adapters.strip import GROUPS
from atom_console.dlq.adapters.values import Values
from atom_console.dlq.record import PayloadKind

_SEVEN: Final = "exception-class-name reason cause-class-name cause topic partition offset"
SMALLRYE: Final = family("dead-letter-", _SEVEN, "topic partition offset")
SMALLRYE_RETRY: Final = family("delayed-retry-", _SEVEN, "topic partition offset")
RETRY_END: Final = family("delayed-retry-", "original-timestamp first-processing-timestamp count")
KARAFKA: Final = GROUPS[0]
KARAFKA_OLD: Final = GROUPS[1]
ARROYO: Final = Family(("original_partition", "original_offset"), frozenset({"original_partition", "original_offset"}))
_PREFIX: Final = re.compile(r"[a-z]+_")


def read_smallrye(reading: Reading, letter: Letter, found: Found, context: Context, values: Values) -> None:
    """Strategy dead-letter-queue: the block is put in front, so the first one is the newest."""
    reading.stage = "processing"
    _smallrye("dead-letter-", reading, letter, found[0], context, values)


def read_smallrye_retry(reading: Reading, letter: Letter, found: Found, context: Context, values: Values) -> None:
    """Strategy delayed-retry-topic: a block a hop in front, the first of them tells the error, and three at the end."""
    reading.stage = "retry"
    _smallrye("delayed-retry-", reading, letter, found[0], context, values)
    if found[1]:
        end, names = found[1][-1], RETRY_END.names
        reading.timestamp = values.decimal64(names[0], raw(letter, end, names[0]))
        values.decimal64(names[1], raw(letter, end, names[1]))
        reading.attempts = values.decimal32(names[2], raw(letter, end, names[2]))


def _smallrye(
    prefix: str, reading: Reading, letter: Letter, blocks: tuple[Block, ...], context: Context, values: Values
) -> None:
    if not blocks:
        return
    choose(reading, letter, blocks, text_place(prefix, letter, values), context)
    block = newest(blocks)

    def text(name: str) -> str | None:
        return values.text(raw(letter, block, prefix + name))

    reading.exception = text("exception-class-name") or ""
    reading.message = text("reason") or ""
    reading.cause = text("cause-class-name")
    cause = text("cause")
    if cause and cause not in reading.message:
        reading.message = f"{reading.message}; {cause}" if reading.message else cause


def read_karafka(reading: Reading, letter: Letter, found: Found, context: Context, values: Values) -> None:
    """Karafka Pro: `source_*`, and `original_*` before 2.5."""
    block = newest(found[0][::-1])
    match = _PREFIX.match(next(iter(block.at)))
    prefix = match[0] if match else "source_"
    reading.stage = "consumer"
    choose(reading, letter, found[0][::-1], text_place(prefix, letter, values), context)
    reading.component = values.text(raw(letter, block, f"{prefix}consumer_group")) or ""
    reading.attempts = values.decimal32(f"{prefix}attempts", raw(letter, block, f"{prefix}attempts"))


def read_arroyo(reading: Reading, letter: Letter, found: Found, context: Context, values: Values) -> None:
    """Sentry Arroyo: two headers and no reason; the source topic comes from configuration."""
    block = found[0][-1]
    reading.stage = "consumer"
    reading.topic = context.source_of(letter.topic)
    reading.partition = values.decimal32("original_partition", raw(letter, block, "original_partition"))
    reading.offset = values.decimal64("original_offset", raw(letter, block, "original_offset"))
    if reading.topic is None:
        reading.warnings.append(
            f"Arroyo does not say which topic a record came from: name the source of {letter.topic} in dlq.header_map"
        )
    if letter.value == b"":
        reading.kind, reading.refetch = PayloadKind.DERIVED, reading.addressable
        reading.warnings.append("the empty value may have been a tombstone: Arroyo writes both as empty")
