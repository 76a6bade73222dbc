"""A reading → the record that the store keeps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from atom_console.dlq.adapters.causes import err_class
from atom_console.dlq.adapters.letter import Letter, Reading
from atom_console.dlq.ids import id_bytes
from atom_console.dlq.normalise import EventFacts, event_facts_many
from atom_console.dlq.record import NewRecord, PayloadKind, Provenance, State, Trouble
from atom_console.dlq.text import storable, storable_or_none
from atom_console.dlq.troubles import trouble

PARENT_HEADER: Final = "x-atom-dlq-id"
"""What a replay puts on every record, and what brings it back to its parent when it fails again."""

LOOP_LIMIT: Final = 2
"""Returns after a replay from which on a record is set aside."""

_LOOKS: Final = "a dead letter of another system: look at its cause, then release it"
_OUTAGE: Final = "its consumer met an outage; the record itself is sound"
_NO_PLACE: Final = "where it came from is not known, so it cannot be replayed"
_NO_PAYLOAD: Final = "its payload is not here: only the place of the original is known"


def to_records(
    letters: Sequence[Letter],
    readings: Sequence[Reading],
    *,
    cluster_id: str,
    now_ms: int,
    loops: Mapping[str, int] | None = None,
) -> list[NewRecord]:
    """`to_record` of many; their payloads are looked into by column."""
    facts = event_facts_many([None if r.kind is PayloadKind.INPUT else r.value for r in readings])
    return [
        to_record(letter, reading, seen, cluster_id=cluster_id, now_ms=now_ms, loops=loops)
        for letter, reading, seen in zip(letters, readings, facts, strict=True)
    ]


def to_record(
    letter: Letter,
    reading: Reading,
    facts: EventFacts,
    *,
    cluster_id: str,
    now_ms: int,
    loops: Mapping[str, int] | None = None,
) -> NewRecord:
    """What is stored of a dead letter.

    Args:
        facts: what the payload says about its event.
        cluster_id: of the cluster that it was read from.
        now_ms: Unix milliseconds, when it is taken in.
        loops: id of a parent that this store holds → how often that one had returned itself.
    """
    parent = parent_of(letter)
    returned = 0 if parent is None else (loops or {}).get(parent, 0) + 1
    drained = reading.drained
    if drained is not None:
        parent, returned = parent or drained.parent_id, max(returned, drained.loops)
    found = err_class(reading.cause, reading.exception) if drained is None else drained.err_class
    state, reason = _state(found, reading, returned)
    return NewRecord(
        trouble=_trouble(reading, letter.topic, cluster_id, found),
        captured_at=now_ms if drained is None else drained.captured_at,
        key=reading.key,
        value=reading.value,
        headers=reading.headers,
        maybe_persisted=drained is not None and drained.maybe_persisted,
        tenant_id=facts.tenant_id,
        event_id=facts.event_id,
        event_type=facts.type,
        event_ts=facts.timestamp,
        orig_partition=reading.partition,
        orig_timestamp=reading.timestamp,
        payload_kind=reading.kind.value,
        id=b"" if drained is None else drained.id,
        state=state,
        state_reason=reason,
        provenance=Provenance(
            partition=letter.partition,
            offset=letter.offset,
            timestamp=letter.timestamp,
            headers=letter.headers,
            orig_offset=reading.offset,
            ts_type=storable_or_none(reading.ts_type),
            err_stack=reading.stack,
            warnings=tuple(reading.warnings),
            parent_id=parent,
            loops=returned,
        ),
    )


def parent_of(letter: Letter) -> str | None:
    """The id of the record whose replay this is, where its header says so readably."""
    for name, value in reversed(letter.headers):
        if name == PARENT_HEADER and value is not None:
            try:
                text = value.decode("ascii")
                id_bytes(text)
            except ValueError:
                return None
            return text
    return None


def _state(found: str, reading: Reading, returned: int) -> tuple[str, str | None]:
    """The first state, with its reason."""
    if returned >= LOOP_LIMIT:
        return State.QUARANTINED.value, f"loop: it came back {returned} times after a replay"
    if reading.drained is not None:
        return reading.drained.state, reading.drained.state_reason
    if reading.topic is None:
        return State.QUARANTINED.value, _NO_PLACE
    if reading.kind in {PayloadKind.POINTER, PayloadKind.ABSENT}:
        return State.QUARANTINED.value, _NO_PAYLOAD
    return (State.READY.value, _OUTAGE) if found == "outage" else (State.QUARANTINED.value, _LOOKS)


def _trouble(reading: Reading, dlq_topic: str, cluster_id: str, found: str) -> Trouble:
    drained = reading.drained
    return trouble(
        origin=reading.origin.value,
        err_class=found,
        err_name=reading.exception or reading.cause or "UNKNOWN",
        err_code=None if drained is None else drained.err_code,
        message=reading.message,
        stage=storable(reading.stage),
        component=reading.component,
        dest_topic=reading.topic,
        cluster_id=cluster_id if drained is None else drained.cluster_id,
        dlq_topic=dlq_topic,
        cause=None if drained is not None else storable_or_none(reading.cause),
        frames=tuple(map(storable, reading.frames)),
    )
