"""The stack trace of a dead letter is stored once: its archived headers hold it already, mostly.

Connect, Kafka Streams and Spring put kilobytes of it on every record; a second copy costs room below the size cap, and
time (measured with 2 KB of Connect's: 35 µs of CPU a record in the transaction, 19 without it).
"""

from __future__ import annotations

from typing import Final

from atom_console.dlq.headers import Headers

_NAMES: Final = frozenset(
    {
        "__connect.errors.exception.stacktrace",
        "__streams.errors.stacktrace",
        "kafka_dlt-exception-stacktrace",
        "kafka_exception-stacktrace",
        "x-exception-stacktrace",
    }
)


def stored_stack(stack: str | None, headers: Headers | None) -> str | None:
    """What the column `err_stack` holds.

    NULL: what the headers say, or nothing where they say nothing. Empty: nothing, although they say something.
    """
    said = _said(headers)
    return None if stack == said else stack or ""


def read_stack(stored: str | None, headers: Headers | None) -> str | None:
    """The inverse of `stored_stack`."""
    if stored:
        return stored
    said = _said(headers)
    if stored is None:
        return said
    return "" if said is None else None


def _said(headers: Headers | None) -> str | None:
    """The last stack trace of the headers, as the adapters decode it."""
    for name, value in reversed(headers or ()):
        if name in _NAMES and value is not None:
            return value.decode("utf-8", "backslashreplace")
    return None
