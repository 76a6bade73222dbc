"""Events for the tests: seeded random ones in bulk, and strategies for hypothesis."""

from __future__ import annotations

import math
import struct
import uuid
from dataclasses import asdict
from random import Random
from typing import Any

from hypothesis import strategies as st

from atom_console.events import AtomEvent, EventType, Molecule

INT64 = (-(2**63), 2**63 - 1)
UINT64 = (0, 2**64 - 1)
NAN_WITH_PAYLOAD: float = struct.unpack("<d", bytes.fromhex("0100000000c0f8ff"))[0]
SIGNALLING_NAN: float = struct.unpack("<d", bytes.fromhex("010000000000f07f"))[0]
NUMBERS = (0.0, -0.0, 1.5, -1e300, 5e-324, math.inf, -math.inf, math.nan, -math.nan, NAN_WITH_PAYLOAD, SIGNALLING_NAN)
TEXTS = ("", "a", "abc", "abcd", "naïve", "日本語", "😀" * 3, "nul\0inside", "x" * 300, "#DIV/0!", '"quoted"\n\t')


def usual_event(rng: Random | None = None, **changes: Any) -> AtomEvent:
    """One molecule, every scalar set, ASCII ids."""
    rng = rng or Random(7)
    molecule = Molecule(
        coordinate_hash=rng.randbytes(16),
        numeric_value=rng.random(),
        date_value=rng.randrange(*INT64),
        boolean_value=rng.random() < 0.5,
        timestamp=rng.randrange(*INT64),
        security_mask=rng.randrange(2**64),
    )
    event = AtomEvent(
        event_id=str(uuid.UUID(int=rng.getrandbits(128))),
        trace_id=rng.randbytes(16).hex(),
        timestamp=rng.randrange(*INT64),
        type=EventType(rng.randrange(5)),
        tenant_id=f"tenant-{rng.randrange(50)}",
        user_id=f"user-{rng.randrange(1000)}",
        molecules=[molecule],
    )
    for name, value in changes.items():
        setattr(molecule if name in Molecule.__slots__ and name != "timestamp" else event, name, value)
    return event


def random_molecule(rng: Random) -> Molecule:
    """Any fields, present or not, with a liking for extremes."""

    def some(value: Any) -> Any:
        return value if rng.random() < 0.8 else None

    def integer(low: int, high: int) -> int:
        return rng.choice((low, high, 0, rng.randrange(low, high)))

    return Molecule(
        coordinate_hash=some(rng.randbytes(16)),
        numeric_value=some(rng.choice((*NUMBERS, rng.gauss(0, 1e6)))),
        text_commentary=some(rng.choice(TEXTS)),
        date_value=some(integer(*INT64)),
        boolean_value=some(rng.random() < 0.5),
        error_value=some(rng.choice(TEXTS)),
        timestamp=some(integer(*INT64)),
        security_mask=some(integer(*UINT64)),
    )


def random_event(rng: Random) -> AtomEvent:
    """Any event that can be encoded; a third of them usual ones."""
    if rng.random() < 0.33:
        event = usual_event(rng)
        if rng.random() < 0.5:
            assert event.molecules
            event.molecules[0].text_commentary = rng.choice((None, *TEXTS))
            event.molecules[0].error_value = rng.choice((None, *TEXTS))
        return event
    texts = [rng.choice((None, *TEXTS)) for _ in range(5)]
    molecules = None if rng.random() < 0.15 else [random_molecule(rng) for _ in range(rng.choice((0, 1, 1, 2, 3, 9)))]
    return AtomEvent(
        event_id=texts[0],
        trace_id=texts[1],
        timestamp=rng.choice((*INT64, 0, rng.randrange(*INT64))),
        type=EventType(rng.randrange(5)),
        tenant_id=texts[2],
        user_id=texts[3],
        molecules=molecules,
        schema_payload=texts[4],
    )


def bits(value: Any) -> Any:
    """A mapping or object with floats as their bits, so that NaN and -0.0 compare."""
    if isinstance(value, (AtomEvent, Molecule)):
        return bits(asdict(value))
    if isinstance(value, dict):
        return {name: bits(item) for name, item in value.items()}
    if isinstance(value, list):
        return [bits(item) for item in value]
    return struct.pack("<d", value).hex() if isinstance(value, float) else value


_text = st.none() | st.text(max_size=40)
_int64 = st.none() | st.integers(*INT64)
molecules = st.builds(
    Molecule,
    coordinate_hash=st.none() | st.binary(min_size=16, max_size=16),
    numeric_value=st.none() | st.floats() | st.sampled_from(NUMBERS),
    text_commentary=_text,
    date_value=_int64,
    boolean_value=st.none() | st.booleans(),
    error_value=_text,
    timestamp=_int64,
    security_mask=st.none() | st.integers(*UINT64),
)
events = st.builds(
    AtomEvent,
    event_id=_text,
    trace_id=_text,
    timestamp=st.integers(*INT64),
    type=st.sampled_from(EventType),
    tenant_id=_text,
    user_id=_text,
    molecules=st.none() | st.lists(molecules, max_size=4),
    schema_payload=_text,
)
