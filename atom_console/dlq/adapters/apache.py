"""Apache Kafka's own dead letters: Connect sinks (KIP-298), Streams (KIP-1034), share groups (KIP-1191).

All their values are text, numbers in decimal; the block is appended, so the last one is current.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Callable
from typing import Final

from atom_console.dlq.adapters.blocks import Block, family
from atom_console.dlq.adapters.letter import Context, Letter, Reading
from atom_console.dlq.adapters.origin import Place, choose, newest, raw
from atom_console.dlq.adapters.values import Values
from atom_console.dlq.record import PayloadKind

Found = tuple[tuple[Block, ...], ...]

CONNECT: Final = family(
    "__connect.errors.",
    "topic partition offset connector.name task.id stage class.name exception.class.name exception.message"
    " exception.stacktrace",
    "topic partition offset",
)
STREAMS: Final = family(
    "__streams.errors.",
    "exception message stacktrace topic partition offset",
    "topic partition offset",
    any_order=True,
)
SHARE: Final = family("__dlq.errors.", "topic partition offset group delivery.count message", "topic partition offset")

_TOPIC_ID: Final = re.compile(r"[A-Za-z0-9_-]{22}")
_CLASS_AND_TEXT: Final = re.compile(r"([\w$.]+): (.*)", re.DOTALL)


def text_place(prefix: str, letter: Letter, values: Values) -> Callable[[Block], Place]:
    """Reads topic, partition and offset of a block whose numbers are decimal text."""

    def place(block: Block) -> Place:
        names = [prefix + part for part in ("topic", "partition", "offset")]
        topic, partition, offset = (raw(letter, block, name) for name in names)
        return Place(
            values.topic(names[0], topic), values.decimal32(names[1], partition), values.decimal64(names[2], offset)
        )

    return place


def read_connect(reading: Reading, letter: Letter, found: Found, context: Context, values: Values) -> None:
    """A sink's dead letter. Connect reports one constant message for all bad JSON: the cause is in the stack."""
    prefix = "__connect.errors."
    reading.timestamp = letter.timestamp
    choose(reading, letter, found[0][::-1], text_place(prefix, letter, values), context)
    block = newest(found[0][::-1])

    def text(name: str) -> str | None:
        return values.text(raw(letter, block, prefix + name))

    reading.stage = text("stage") or ""
    reading.component = "/".join(part for part in (text("connector.name"), text("task.id")) if part)
    reading.exception = text("exception.class.name") or ""
    reading.message = text("exception.message") or ""
    reading.stack = text("exception.stacktrace")


def read_streams(reading: Reading, letter: Letter, found: Found, context: Context, values: Values) -> None:
    """A topology's dead letter: never sent to an internal topic, and a null record is looked up at its source."""
    prefix = "__streams.errors."
    reading.timestamp = letter.timestamp
    choose(reading, letter, found[0][::-1], text_place(prefix, letter, values), context)
    block = newest(found[0][::-1])

    def text(name: str) -> str | None:
        return values.text(raw(letter, block, prefix + name))

    reading.exception = text("exception") or ""
    reading.message = text("message") or ""
    reading.stack = text("stacktrace")
    old_build = _CLASS_AND_TEXT.fullmatch(reading.exception)
    if old_build:  # Kafka before 4.2 wrote `Throwable.toString()`
        reading.exception, reading.message = old_build[1], reading.message or old_build[2]
    nothing = letter.key is None and letter.value is None
    if reading.offset is not None and reading.offset < 0:
        reading.topic = reading.partition = reading.offset = None
        reading.warnings.append("made by a punctuator or without a source record: it cannot be replayed")
        if nothing:
            reading.kind = PayloadKind.ABSENT
    elif reading.topic is not None and reading.topic.endswith(("-repartition", "-changelog")):
        reading.warnings.append(
            f"the source is the internal topic {reading.topic} [{reading.partition}] at {reading.offset}: the key was"
            " changed before, and nothing is ever replayed there"
        )
        reading.topic = reading.partition = reading.offset = None
        reading.kind = PayloadKind.DERIVED
    elif nothing:
        reading.kind, reading.refetch = PayloadKind.POINTER, reading.addressable


def read_share(reading: Reading, letter: Letter, found: Found, context: Context, values: Values) -> None:
    """A share group's dead letter: a pointer to the record, or in copy mode its key and value without its headers."""
    prefix = "__dlq.errors."
    choose(reading, letter, found[0][::-1], text_place(prefix, letter, values), context)
    block = newest(found[0][::-1])
    reading.component = values.text(raw(letter, block, prefix + "group")) or ""
    reading.message = values.text(raw(letter, block, prefix + "message")) or ""
    reading.attempts = values.decimal32(prefix + "delivery.count", raw(letter, block, prefix + "delivery.count"))
    reading.stage = "share group"
    if reading.topic is not None and _is_topic_id(reading.topic):
        reading.warnings.append(f"the source topic is known by its id only: {reading.topic}")
        reading.topic = None
    reading.refetch = reading.addressable
    if letter.key is None and letter.value is None:
        reading.kind = PayloadKind.POINTER
    else:
        reading.kind = PayloadKind.DERIVED
        reading.warnings.append("a share group copies key and value, the headers of the record are not here")


def _is_topic_id(text: str) -> bool:
    """Whether it is a random UUID as Kafka prints topic ids; the broker falls back to it when the name is gone."""
    if not _TOPIC_ID.fullmatch(text):
        return False
    raw_id = base64.urlsafe_b64decode(text + "==")
    return raw_id[6] >> 4 == 4 and raw_id[8] >> 6 == 2
