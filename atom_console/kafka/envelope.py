"""What a Kafka record carries beside an event's payload: key, headers and time, made from the event itself."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from atom_console.errors import InputError
from atom_console.events import peek
from atom_console.kafka.failure import Headers
from atom_console.kafka.report_desk import Outgoing

NS_PER_MS: Final = 1_000_000
_INT64: Final = 2**63

# By event type; the negative ones of a signed byte are found from the end.
TYPE_HEADERS: Final = [("type", b"%d" % kind) for kind in (*range(128), *range(-128, 0))]
"""The `type` header of each event type."""


def described(topic: str, value: bytes, tenant: str | None, trace: str | None, kind: int, time_ns: int) -> Outgoing:
    """An encoded event with its envelope spelled out: key = tenant id, headers `trace_id` and `type`, its own time."""
    headers: Headers = (TYPE_HEADERS[kind],)
    if trace is not None:
        headers = (("trace_id", trace.encode()), *headers)
    key = None if tenant is None else tenant.encode()
    return outgoing(topic, value, key, headers, time_ns // NS_PER_MS or None)


def heads_of(values: Sequence[bytes]) -> list[tuple[str | None, str | None, int, int]]:
    """Of encoded events: tenant, trace, type and time in nanoseconds (0 where absent or before 1970: now), all at once.

    Raises:
        DecodeError: one of them cannot be read.
    """
    from atom_console.events.scan import scan

    if not values:
        return []
    found = scan(values, ("tenant_id", "trace_id", "type", "timestamp"))
    tenants, traces, kinds, times = (found.columns[name] for name in ("tenant_id", "trace_id", "type", "timestamp"))
    heads = list(
        zip(
            tenants.to_pylist(),
            traces.to_pylist(),
            kinds.fill_null(0).to_pylist(),
            [max(0, time_ns) for time_ns in times.fill_null(0).to_pylist()],
            strict=True,
        )
    )
    for index in map(int, (~found.good).nonzero()[0]):
        seen = peek(values[index])
        heads[index] = (seen.tenant_id, seen.trace_id, seen.type or 0, max(0, seen.timestamp or 0))
    return heads


def outgoing(topic: str, value: bytes | None, key: bytes | None, headers: Headers, time_ms: int | None) -> Outgoing:
    """A record with the bytes that it counts against the queue limit."""
    charge = len(value or b"") + len(key or b"")
    charge += sum(len(name.encode()) + len(held or b"") for name, held in headers)
    return Outgoing(topic, value, key, headers, time_ms, charge)


def check_record(value: object, key: object, headers: Headers, timestamp_ms: object) -> None:
    """Refuse in words, before anything is accepted, what `produce` would refuse with a TypeError.

    Raises:
        InputError: a value, key or header that is not bytes or null, or a time that is not Unix milliseconds.
    """
    for what, found in (("value", value), ("key", key), *((f"header {name}", held) for name, held in headers)):
        if not isinstance(found, bytes | None):
            raise InputError(f"the {what} of a Kafka record is bytes or null, not {type(found).__name__}")
    if not isinstance(timestamp_ms, int | None) or not 0 <= (timestamp_ms or 0) < _INT64:
        raise InputError(f"{timestamp_ms!r} is not a Kafka timestamp", next_step="give Unix milliseconds, 0 or more")
