"""The one table of headers that belong to a dead letter and not to the record it was made from.

Left on, they decide what happens to the replayed record: Spring's and SmallRye's retry topics are skipped and the
record goes straight back to the DLQ, and each pass adds up to 16 KB (measured with Spring Cloud Stream).
"""

from __future__ import annotations

from functools import lru_cache
from typing import Final

from atom_console.dlq.adapters.blocks import Family, find_blocks
from atom_console.dlq.headers import Headers

OWN_PREFIX: Final = "x-atom-"

PREFIXES: Final[tuple[str, ...]] = (
    "__connect.errors.",
    "__streams.errors.",
    "__dlq.errors.",
    "kafka_dlt-",
    "kafka_original-",
    "kafka_exception-",
    "kafka_key-exception-",
    "retry_topic-",
    "springDeserializerException",
    "x-original-",
    "x-exception-",
    "dead-letter-",
    "delayed-retry-",
    "deserialization-failure-",
    OWN_PREFIX,
)
"""A header whose name begins with one of these is the framework's."""

NAMES: Final = frozenset({"original_partition", "original_offset"})
"""Whole names (Sentry Arroyo)."""

GROUPS: Final = (
    Family(
        ("source_topic", "source_partition", "source_offset", "source_consumer_group", "source_attempts",
         "source_trace_id"),
        frozenset({"source_topic", "source_partition", "source_offset"}),
    ),
    Family(
        ("original_topic", "original_partition", "original_offset", "original_consumer_group", "original_attempts"),
        frozenset({"original_topic", "original_partition", "original_offset"}),
    ),
)  # fmt: skip
"""Names too common to strip alone: only a block that has the required ones is Karafka's."""


def strip(
    headers: Headers, *, also: tuple[str, ...] = (), spare: frozenset[int] = frozenset()
) -> tuple[Headers, Headers]:
    """Take the headers of dead-letter frameworks off.

    Args:
        headers: in order; duplicates and null values are kept as they are.
        also: more prefixes (a user's header map).
        spare: indices to keep whatever their name: headers of the user's own that look like a framework's.

    Returns:
        (what a replay sends, what is archived), each in the original order.
    """
    gone = stripped_indices(tuple(name for name, _ in headers), also)
    if spare:
        gone = gone - spare
    if not gone:
        return headers, ()
    kept = tuple(pair for index, pair in enumerate(headers) if index not in gone)
    return kept, tuple(pair for index, pair in enumerate(headers) if index in gone)


@lru_cache(maxsize=1024)
def stripped_indices(names: tuple[str, ...], also: tuple[str, ...] = ()) -> frozenset[int]:
    """Which of these header names are a framework's, by index."""
    prefixes = PREFIXES + also
    gone = {index for index, name in enumerate(names) if name.startswith(prefixes) or name in NAMES}
    for group in GROUPS:
        for block in find_blocks(names, group):
            if block.complete:
                gone.update(range(block.start, block.stop))
    return frozenset(gone)
