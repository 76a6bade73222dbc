"""Spring Cloud Stream's Kafka binder: `x-original-*` and `x-exception-*`, as headers or embedded in the value."""

from __future__ import annotations

from typing import Final

from atom_console.dlq.adapters import embedded
from atom_console.dlq.adapters.apache import Found
from atom_console.dlq.adapters.blocks import Block, family
from atom_console.dlq.adapters.letter import Context, Letter, Reading
from atom_console.dlq.adapters.origin import Place, choose, newest, raw
from atom_console.dlq.adapters.values import Values
from atom_console.dlq.record import Origin, PayloadKind

SCS: Final = family(
    "x-",
    "original-topic original-partition original-offset original-timestamp original-timestamp-type exception-fqcn"
    " exception-message exception-stacktrace",
    "original-topic original-partition original-offset",
)
_OURS: Final = ("x-original-", "x-exception-")


def read_headers(reading: Reading, letter: Letter, found: Found, context: Context, values: Values) -> None:
    """Header mode `headers`: partition int32, offset and timestamp int64, big endian, the rest text; appended."""
    reading.stage = "listener"

    def place(block: Block) -> Place:
        return Place(
            values.topic("x-original-topic", raw(letter, block, "x-original-topic")),
            values.int32("x-original-partition", raw(letter, block, "x-original-partition")),
            values.int64("x-original-offset", raw(letter, block, "x-original-offset")),
        )

    block = choose(reading, letter, found[0][::-1], place, context) or newest(found[0][::-1])
    last = newest(found[0][::-1])
    reading.timestamp = values.int64("x-original-timestamp", raw(letter, block, "x-original-timestamp"))
    reading.ts_type = values.text(raw(letter, block, "x-original-timestamp-type"))
    reading.exception = values.text(raw(letter, last, "x-exception-fqcn")) or ""
    reading.message = values.text(raw(letter, last, "x-exception-message")) or ""
    reading.stack = values.text(raw(letter, last, "x-exception-stacktrace"))


def read_embedded(reading: Reading, letter: Letter, values: Values) -> bool:
    """Header mode `embeddedHeaders`; False where the value holds no dead letter's headers."""
    parts = embedded.parse(letter.value)
    if parts is None or not {f"x-original-{n}" for n in ("topic", "partition", "offset")} <= {
        n for n, _ in parts.headers
    }:
        return False
    reading.origin, reading.stage = Origin.SCS, "listener"
    reading.topic = values.topic("x-original-topic", _text(parts, "x-original-topic"))
    reading.partition = values.decimal32("x-original-partition", _text(parts, "x-original-partition"))
    reading.offset = values.decimal64("x-original-offset", _text(parts, "x-original-offset"))
    reading.timestamp = values.decimal64("x-original-timestamp", _text(parts, "x-original-timestamp"))
    reading.ts_type = values.text(_text(parts, "x-original-timestamp-type"))
    reading.exception = values.text(_text(parts, "x-exception-fqcn")) or ""
    reading.message = values.text(_text(parts, "x-exception-message")) or ""
    reading.stack = values.text(_text(parts, "x-exception-stacktrace"))
    rest = tuple(dict(pair for pair in parts.headers if not pair[0].startswith(_OURS)).items())
    if rest:
        reading.value, reading.kind = embedded.Embedded(rest, parts.payload).encode(), PayloadKind.DERIVED
        reading.refetch = reading.addressable
        values.warnings.append("other headers are embedded in the value; their order in the original is not known")
    else:
        reading.value, reading.kind = parts.payload, PayloadKind.EMBEDDED
    return True


def _text(parts: embedded.Embedded, name: str) -> bytes | None:
    found = parts.scalar(name)
    return None if found is None else str(found).encode("utf-8", "surrogatepass")
