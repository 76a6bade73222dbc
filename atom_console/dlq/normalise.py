"""A failed delivery → the record that is stored, with what its payload tells about the event, where it can be read."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from atom_console.dlq.record import NewRecord, Origin, PayloadKind
from atom_console.dlq.text import storable, storable_or_none
from atom_console.dlq.troubles import trouble

if TYPE_CHECKING:
    from atom_console.kafka.failure import FailedDelivery

_INT64 = range(-(1 << 63), 1 << 63)
_MOST_TEXT = 512


class EventFacts(NamedTuple):
    """What a payload says about its event; None where it says nothing or cannot be read. `timestamp` in nanoseconds."""

    event_id: str | None = None
    tenant_id: str | None = None
    type: int | None = None
    timestamp: int | None = None


UNREADABLE = EventFacts()


def event_facts(value: bytes | None) -> EventFacts:
    """Read the few fields that lists show. Best effort: whatever is wrong with the bytes, the facts are absent."""
    if not value:
        return UNREADABLE
    from atom_console.events.errors import DecodeError
    from atom_console.events.payload import peek

    try:
        seen = peek(value)
    except DecodeError:
        return UNREADABLE
    timestamp = seen.timestamp if seen.timestamp is not None and seen.timestamp in _INT64 else None
    return EventFacts(_short(seen.event_id), _short(seen.tenant_id), int(seen.type or 0), timestamp)


def _short(text: str | None) -> str | None:
    """Bytes that are no event at all can still look like one with an enormous id."""
    return None if text is None or len(text) > _MOST_TEXT else storable(text)


def from_failure(failure: FailedDelivery, cluster_id: str | None, *, read_event: bool = True) -> NewRecord:
    """The record of a failure of our own producer.

    At stage `encode` the value is input that never became an event, so it is kept as it came and not decoded.
    """
    raw_input = failure.stage == "encode"
    facts = UNREADABLE if raw_input or not read_event else event_facts(failure.value)
    if raw_input:
        kind = PayloadKind.INPUT
    else:
        kind = PayloadKind.FULL if failure.value is not None else PayloadKind.TOMBSTONE
    return NewRecord(
        trouble=trouble(
            origin=Origin.LOCAL,
            err_class=failure.err_class,
            err_name=failure.name,
            message=failure.message,
            stage=failure.stage,
            component=failure.component,
            err_code=failure.code,
            dest_topic=failure.topic,
            cluster_id=storable_or_none(cluster_id),
        ),
        captured_at=failure.at_ns // 1_000_000,
        key=failure.key,
        value=failure.value,
        headers=failure.headers,
        maybe_persisted=failure.maybe_persisted,
        tenant_id=facts.tenant_id,
        event_id=facts.event_id,
        event_type=facts.type,
        event_ts=facts.timestamp,
        orig_partition=failure.partition,
        orig_timestamp=failure.timestamp_ms,
        payload_kind=kind.value,
        journal_id=failure.journal_id,
    )
