from __future__ import annotations

import uuid
from collections import Counter

from atom_console.events import EventType, decode_mapping, encode_mapping
from atom_console.sandbox.workload import Workload


def test_the_same_seed_gives_the_same_events() -> None:
    first, second = (Workload(seed=4, clock=lambda: 1).events(50) for _ in range(2))
    assert first == second
    assert Workload(seed=5, clock=lambda: 1).events(50) != first


def test_events_are_realistic() -> None:
    events = Workload(seed=1).events(5_000)
    tenants = Counter(event["tenant_id"] for event in events)
    assert len(tenants) == 50
    assert tenants.most_common(1)[0][1] > 3 * min(tenants.values())
    assert all(len(event[name]) == 36 for event in events for name in ("event_id", "trace_id"))
    assert all(str(uuid.UUID(event["event_id"])) == event["event_id"] for event in events[:100])
    assert len({event["event_id"] for event in events}) == 5_000
    molecules = [molecule for event in events for molecule in event["molecules"] or ()]
    assert 0.17 < sum(m["text_commentary"] is not None for m in molecules) / len(molecules) < 0.23
    assert 0.03 < sum(m["error_value"] is not None for m in molecules) / len(molecules) < 0.07
    assert {event["type"] for event in events} == set(EventType) - {EventType.UNKNOWN}


def test_every_event_can_be_encoded_and_comes_back() -> None:
    for event in Workload(seed=2).events(500):
        assert decode_mapping(encode_mapping(event)) == event


def test_an_oversize_event_is_over_the_size() -> None:
    assert len(encode_mapping(Workload().oversize(1_000_000))) > 1_000_000
