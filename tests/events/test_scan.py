from __future__ import annotations

from functools import reduce
from operator import or_
from random import Random
from typing import Any

import numpy as np
import pytest

from atom_console.events import AtomEvent, EventType, Molecule, decode, encode
from atom_console.events import scan as scan_module
from atom_console.events.layout import EVENT_FIELDS, MOLECULE_FIELDS
from atom_console.events.reflection import bundled_schema
from atom_console.events.scan import any_of_masks, scan, verify_many
from benchmarks.stock_codec import StockCodec
from tests.events.samples import bits, random_event, usual_event

_OWN = tuple(name for name in EVENT_FIELDS if name != "molecules")
_INNER = tuple(f"molecules.{name}" for name in MOLECULE_FIELDS)


@pytest.fixture(scope="module")
def events() -> list[AtomEvent]:
    rng = Random(31)
    return [random_event(rng) for _ in range(2000)]


def _inner(event: AtomEvent | None, name: str) -> list[Any] | None:
    if event is None or event.molecules is None:
        return None
    return [getattr(molecule, name) for molecule in event.molecules]


def _check(found: scan_module.Scanned, events: list[AtomEvent | None]) -> None:
    for name in _OWN:
        assert found.columns[name].to_pylist() == [None if e is None else getattr(e, name) for e in events], name
    counts = [None if e is None or e.molecules is None else len(e.molecules) for e in events]
    assert found.columns["molecules"].to_pylist() == counts
    for path in _INNER:
        expected = [_inner(event, path.partition(".")[2]) for event in events]
        assert bits(found.columns[path].to_pylist()) == bits(expected), path


def test_every_field_of_many_payloads(events: list[AtomEvent], stock: StockCodec) -> None:
    found = scan([encode(event) for event in events], (*_OWN, "molecules", *_INNER))
    assert found.good.all()
    _check(found, list(events))
    foreign = [stock.encode(event) for event in events[:300]]
    found = scan(foreign, (*_OWN, "molecules", *_INNER))
    assert found.good.all()
    _check(found, [decode(value) for value in foreign])


def test_a_bad_record_moves_no_other(events: list[AtomEvent], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scan_module, "_SLICE", 97)
    rng = Random(5)
    payloads: list[bytes] = []
    kept: list[AtomEvent | None] = []
    for event in events[:1000]:
        value = encode(event)
        if rng.random() < 0.3:
            value = rng.choice((b"", b"\0", rng.randbytes(40), value[:30], value[:70], b"\xff" * len(value)))
            kept.append(None)
        else:
            kept.append(event)
        payloads.append(value)
    found = scan(payloads, (*_OWN, "molecules", *_INNER))
    assert found.good.tolist() == [event is not None for event in kept]
    assert verify_many(payloads).tolist() == found.good.tolist()
    _check(found, kept)


def test_text_that_is_not_utf8_takes_its_record_out() -> None:
    good = usual_event(text_commentary="some commentary that is long")
    value = encode(good)
    payloads = [value, value.replace(b"some", b"so\xffe"), value.replace(b"tenant", b"tenan\xc0"), value]
    paths = ("tenant_id", "timestamp", "molecules.text_commentary", "molecules.security_mask")
    found = scan(payloads, paths)
    assert found.good.tolist() == [True, False, False, True]
    for path in paths:
        assert [item is None for item in found.columns[path].to_pylist()] == [False, True, True, False]
    assert verify_many(payloads).tolist() == [True, False, False, True]


def test_only_what_was_asked_for_is_checked() -> None:
    value = encode(usual_event(text_commentary="some commentary that is long")).replace(b"some", b"so\xffe")
    assert scan([value], ("timestamp", "type")).good.all()


def test_the_masks_of_an_event_add_up(events: list[AtomEvent]) -> None:
    found = scan([encode(event) for event in events], ("molecules.security_mask",))
    masks = any_of_masks(found.columns["molecules.security_mask"])
    assert masks.dtype == np.uint64
    expected = [reduce(or_, (m.security_mask or 0 for m in event.molecules or []), 0) for event in events]
    assert masks.tolist() == expected


@pytest.mark.parametrize("payloads", [[], [b""], [encode(AtomEvent(timestamp=1, type=0))] * 3])
def test_nothing_to_find(payloads: list[bytes]) -> None:
    paths = ("event_id", "molecules", "molecules.security_mask", "molecules.text_commentary", "molecules.boolean_value")
    found = scan(payloads, paths)
    assert len(found.good) == len(verify_many(payloads)) == len(payloads)
    for path in paths:
        assert found.columns[path].to_pylist() == [None] * len(payloads)
    assert any_of_masks(found.columns["molecules.security_mask"]).tolist() == [0] * len(payloads)


def test_empty_lists_are_not_absent() -> None:
    payloads = [encode(AtomEvent(timestamp=1, type=0, molecules=m)) for m in ([], None, [Molecule(security_mask=4)])]
    found = scan(payloads, ("molecules.security_mask", "molecules"))
    assert found.columns["molecules.security_mask"].to_pylist() == [[], None, [4]]
    assert found.columns["molecules"].to_pylist() == [0, None, 1]


def test_large_payloads_are_cut_into_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scan_module, "_SLICE_BYTES", 1000)
    events = [usual_event(Random(i), text_commentary="x" * (400 * (i % 4))) for i in range(50)]
    found = scan([encode(event) for event in events], ("event_id", "type"))
    assert found.columns["event_id"].to_pylist() == [event.event_id for event in events]
    assert [EventType(kind) for kind in found.columns["type"].to_pylist()] == [event.type for event in events]


@pytest.mark.parametrize("path", ["nothing", "molecules.nothing", "timestamp.nothing", "molecules.timestamp.x"])
def test_an_unknown_path_is_an_error(path: str) -> None:
    with pytest.raises(KeyError):
        scan([], (path,))


def test_another_schema() -> None:
    grid = bundled_schema("grid")
    assert verify_many([encode(AtomEvent(timestamp=1, type=1))], schema=grid).tolist() in ([True], [False])
    assert scan([b"junk"], ("wire_version", "payload"), schema=grid).good.tolist() == [False]
