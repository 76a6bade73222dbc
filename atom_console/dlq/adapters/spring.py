"""Spring Kafka: DefaultErrorHandler with DeadLetterPublishingRecoverer, and @RetryableTopic.

Numbers are binary: int32 and int64, big endian, except two timestamps of the retry topics, which have minimal length.
"""

from __future__ import annotations

import base64
import binascii
import json
from dataclasses import dataclass
from typing import Final

from atom_console.dlq.adapters.apache import Found
from atom_console.dlq.adapters.blocks import Block, Family, family
from atom_console.dlq.adapters.letter import Context, Letter, Reading
from atom_console.dlq.adapters.origin import Place, choose, raw
from atom_console.dlq.adapters.strip import stripped_indices
from atom_console.dlq.adapters.values import Values
from atom_console.dlq.record import PayloadKind

_GROUP: Final = "kafka_dlt-original-consumer-group"
_REPLACED: Final = "\ufffd".encode()
_ERRORS: Final = (
    "key-exception-fqcn exception-fqcn exception-cause-fqcn key-exception-message exception-message"
    " key-exception-stacktrace exception-stacktrace"
)
_ORIGINAL: Final = "topic partition offset timestamp timestamp-type"


@dataclass(frozen=True)
class Flavour:
    """The header names of one way to set Spring up."""

    prefix: str
    origin: Family
    errors: Family


def _flavour(prefix: str) -> Flavour:
    original = family(f"{prefix}original-", _ORIGINAL, "topic partition offset")
    return Flavour(
        prefix, Family((*original.names, _GROUP), original.required), family(prefix, _ERRORS, any_order=True)
    )


PLAIN: Final = _flavour("kafka_dlt-")
RETRYABLE: Final = _flavour("kafka_")
RETRY: Final = family("retry_topic-", "attempts original-timestamp backoff-timestamp")
GROUP: Final = Family((_GROUP,))


def read_plain(reading: Reading, letter: Letter, found: Found, context: Context, values: Values) -> None:
    """DefaultErrorHandler: one block of `original` a hop is appended, exceptions replace the ones before."""
    block = _read(reading, letter, PLAIN, found, context, values)
    if block is not None:
        reading.component = values.text(raw(letter, block, _GROUP)) or ""


def read_retryable(reading: Reading, letter: Letter, found: Found, context: Context, values: Values) -> None:
    """@RetryableTopic: only the first `original` block is ever written, so a record sent again keeps a stale one."""
    block = _read(reading, letter, RETRYABLE, found, context, values)
    groups = found[3]
    reading.component = (values.text(raw(letter, groups[-1], _GROUP)) if groups else None) or ""
    if found[2]:
        last = found[2][-1]
        reading.attempts = values.int32("retry_topic-attempts", raw(letter, last, "retry_topic-attempts"))
        for name in ("retry_topic-original-timestamp", "retry_topic-backoff-timestamp"):
            values.shortest(name, raw(letter, last, name))
    if block is not None:
        gone = stripped_indices(tuple(name for name, _ in letter.headers))
        if any(index not in gone for index in range(block.stop, len(letter.headers))):
            reading.warnings.append(
                "other headers follow Spring's: it was sent again with them on, so the source offset may be stale"
            )
            reading.refetch = False


def _read(
    reading: Reading, letter: Letter, flavour: Flavour, found: Found, context: Context, values: Values
) -> Block | None:
    reading.stage = "listener"
    prefix = f"{flavour.prefix}original-"

    def place(block: Block) -> Place:
        return Place(
            values.topic(prefix + "topic", raw(letter, block, prefix + "topic")),
            values.int32(prefix + "partition", raw(letter, block, prefix + "partition")),
            values.int64(prefix + "offset", raw(letter, block, prefix + "offset")),
        )

    block = choose(reading, letter, found[0][::-1], place, context)
    if block is not None:
        reading.timestamp = values.int64(prefix + "timestamp", raw(letter, block, prefix + "timestamp"))
        reading.ts_type = values.text(raw(letter, block, prefix + "timestamp-type"))
    if found[1]:
        _read_error(reading, letter, flavour.prefix, found[1][-1], values)
    _judge_payload(reading, letter)
    return block


def _read_error(reading: Reading, letter: Letter, prefix: str, block: Block, values: Values) -> None:
    """A failure of the key has its own names, and no name for the value's beside them."""

    def text(name: str) -> str | None:
        return values.text(raw(letter, block, f"{prefix}{name}"))

    key = "" if f"{prefix}exception-fqcn" in block.at else "key-"
    if key and f"{prefix}key-exception-fqcn" in block.at:
        reading.stage = "key deserializer"
    reading.exception = text(f"{key}exception-fqcn") or text("exception-cause-fqcn") or ""
    reading.message = text(f"{key}exception-message") or ""
    reading.stack = text(f"{key}exception-stacktrace")
    reading.cause = text("exception-cause-fqcn")


def _judge_payload(reading: Reading, letter: Letter) -> None:
    """Typed JSON loses the original bytes: whitespace and unknown fields go, bad text becomes U+FFFD."""
    types = [value for name, value in letter.headers if name == "__TypeId__"]
    if types:
        _derived(reading, "Spring wrote the value anew from an object: it need not be the original bytes")
        if types[-1] == b"[B":
            _unwrap_base64(reading, letter)
    if _REPLACED in (letter.key or b"") or _REPLACED in (letter.value or b""):
        _derived(reading, "key or value holds U+FFFD: a byte of the original may be lost")


def _unwrap_base64(reading: Reading, letter: Letter) -> None:
    """A byte array as JSON: base64 in quotes. Decoded it is what came."""
    try:
        text = json.loads(letter.value or b"")
        reading.value = base64.b64decode(text, validate=True)
    except (ValueError, TypeError, RecursionError, binascii.Error):
        return
    reading.headers = tuple(pair for pair in reading.headers if pair != ("__TypeId__", b"[B"))
    reading.warnings.append("the value was base64 in quotes and is decoded here")


def _derived(reading: Reading, why: str) -> None:
    reading.kind = PayloadKind.DERIVED
    reading.refetch = reading.addressable
    reading.warnings.append(why)
