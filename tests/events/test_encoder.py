from __future__ import annotations

import json
import math
import subprocess
from collections.abc import Callable, Sequence
from dataclasses import asdict
from enum import Enum, IntEnum
from pathlib import Path
from random import Random
from threading import Thread
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings

from atom_console.events import AtomEvent, EncodeError, EventType, Molecule, decode, encode, encode_mapping, verify
from atom_console.events import encoder as encoder_module
from atom_console.resources import resource_dir
from benchmarks.stock_codec import StockCodec, flatc_path
from tests.events.samples import NUMBERS, TEXTS, bits, events, random_event, usual_event


@pytest.fixture(scope="module")
def bulk() -> list[AtomEvent]:
    rng = Random(20261124)
    return [random_event(rng) for _ in range(3000)]


def test_thousands_of_events_read_equal_in_the_generated_code(bulk: list[AtomEvent], stock: StockCodec) -> None:
    for event in bulk:
        value = encode(event)
        assert bits(stock.decode(value)) == bits(event)
        assert encode_mapping(asdict(event)) == value
        verify(value)


def test_the_official_verifier_accepts_every_buffer(
    bulk: list[AtomEvent], cpp_verify: Callable[[Sequence[bytes]], list[bool]]
) -> None:
    assert all(cpp_verify([encode(event) for event in bulk]))


def test_flatc_turns_every_buffer_into_the_same_json(tmp_path: Path) -> None:
    rng = Random(5)
    made = [random_event(rng) for _ in range(200)]
    for molecule in (molecule for event in made for molecule in event.molecules or []):
        if molecule.numeric_value is not None and not math.isfinite(molecule.numeric_value):
            molecule.numeric_value = -0.0  # flatc writes nan and inf, which are not JSON
    for index, event in enumerate(made):
        (tmp_path / f"e{index}.bin").write_bytes(encode(event))
    schema = str(resource_dir("schemas") / "atom_event.fbs")
    files = [str(tmp_path / f"e{index}.bin") for index in range(len(made))]
    command = [flatc_path(), "--json", "--raw-binary", "--strict-json", "-o", str(tmp_path), schema, "--", *files]
    subprocess.run(command, check=True)
    for index, event in enumerate(made):
        found = json.loads((tmp_path / f"e{index}.json").read_bytes())
        assert found.get("event_id") == event.event_id
        assert found.get("timestamp") == event.timestamp
        assert found["type"] == EventType(event.type or 0).name
        assert len(found.get("molecules", [])) == len(event.molecules or [])
        for shown, molecule in zip(found.get("molecules", []), event.molecules or [], strict=True):
            assert shown.get("numeric_value") == pytest.approx(molecule.numeric_value)  # flatc prints 12 digits
            assert shown.get("text_commentary") == molecule.text_commentary
            assert shown.get("security_mask") == molecule.security_mask
            assert bytes(shown.get("coordinate_hash", b"")) == (molecule.coordinate_hash or b"")


@given(events)
@settings(max_examples=200, deadline=None)
def test_any_event_comes_back_as_it_was(event: AtomEvent) -> None:
    value = encode(event)
    assert bits(decode(value)) == bits(event)
    assert encode_mapping(asdict(event)) == value
    assert encoder_module._general_object(event) == value
    assert encoder_module._general_mapping(asdict(event)) == value


@pytest.mark.parametrize("text", [None, *TEXTS])
@pytest.mark.parametrize("error", [None, "", "#REF!"])
def test_the_fast_and_the_general_path_write_the_same_bytes(text: str | None, error: str | None) -> None:
    for seed in range(20):
        event = usual_event(Random(seed), text_commentary=text, error_value=error)
        assert encode(event) == encoder_module._general_object(event) == encode_mapping(asdict(event))


@pytest.mark.parametrize("name", ["event_id", "trace_id", "tenant_id", "user_id"])
@pytest.mark.parametrize("length", [0, 1, 31, 32, 36, 127, 128, 255, 256, 1000])
@pytest.mark.parametrize("letter", ["a", "é"])
def test_ids_of_any_length(name: str, length: int, letter: str) -> None:
    event = usual_event(**{name: letter * length})
    assert decode(encode(event)) == event
    assert encode(event) == encoder_module._general_object(event) == encode_mapping(asdict(event))


@pytest.mark.parametrize("number", NUMBERS)
def test_numbers_keep_every_bit(number: float) -> None:
    event = usual_event(numeric_value=number)
    assert bits(decode(encode(event))) == bits(event)


def test_a_default_that_was_set_is_present_and_none_is_absent() -> None:
    zeros = Molecule(b"\0" * 16, 0.0, "", 0, False, "", 0, 0)
    event = AtomEvent("", "", 0, EventType.UNKNOWN, "", "", [zeros, Molecule()], "")
    back = decode(encode(event))
    assert back == event
    assert decode(encode(AtomEvent(timestamp=0, type=0))) == AtomEvent(timestamp=0, type=EventType.UNKNOWN)
    assert decode(encode(AtomEvent(timestamp=0, type=0, molecules=[]))).molecules == []


class _Liar(str):
    """Text whose methods tell something else than its content."""

    def __format__(self, spec: str) -> str:
        return "x" * str.__len__(self)

    def __str__(self) -> str:
        return "lies"

    def __len__(self) -> int:
        return 36

    def encode(self, *_: Any) -> bytes:  # type: ignore[override]
        return b"lies"


class _Tenant(str, Enum):  # noqa: UP042 (its format differs between Python versions: the trap)
    ACME = "acme"


class _Number(IntEnum):
    SEVEN = 7


@pytest.mark.parametrize("name", ["event_id", "trace_id", "tenant_id", "user_id", "text_commentary", "schema_payload"])
@pytest.mark.parametrize("value", [_Liar("truth"), _Tenant.ACME])
def test_text_counts_by_its_content(name: str, value: str) -> None:
    event = usual_event(**{name: value})
    content = {"truth": "truth", "acme": "acme"}["acme" if value is _Tenant.ACME else "truth"]
    back = decode(encode(event))
    assert getattr(back, name) == content if name != "text_commentary" else back.molecules[0].text_commentary == content  # type: ignore[index]
    assert encode_mapping(asdict(event) | {}) == encode(event)


def test_integers_count_by_their_value() -> None:
    event = usual_event(security_mask=_Number.SEVEN, date_value=np.int64(-5), timestamp=np.int64(9))
    back = decode(encode(event))
    assert back.molecules is not None
    assert (back.timestamp, back.molecules[0].security_mask, back.molecules[0].date_value) == (9, 7, -5)


def test_what_merely_equals_a_cached_value_is_still_refused() -> None:
    """1 == True == 1.0 with equal hashes: a cache key alone cannot tell them apart."""
    encode(usual_event(type=1, boolean_value=True))
    for name, wrong in (
        ("type", True),
        ("type", 1.0),
        ("boolean_value", 1),
        ("boolean_value", 1.0),
        ("boolean_value", 0),
    ):
        event = usual_event(**({"type": 1, "boolean_value": True} | {name: wrong}))
        for attempt in (lambda e=event: encode(e), lambda e=event: encode_mapping(asdict(e))):
            with pytest.raises(EncodeError) as caught:
                attempt()
            assert caught.value.path.endswith(name)


_WRONG: list[tuple[str, Any, str]] = [
    ("timestamp", None, "timestamp"),
    ("timestamp", True, "timestamp"),
    ("timestamp", 1.0, "timestamp"),
    ("timestamp", 2**63, "timestamp"),
    ("timestamp", "1", "timestamp"),
    ("type", None, "type"),
    ("type", 5, "type"),
    ("type", -1, "type"),
    ("type", "MOLECULE_WRITE", "type"),
    ("event_id", 7, "event_id"),
    ("event_id", b"bytes", "event_id"),
    ("event_id", "\ud800", "event_id"),
    ("tenant_id", ["unhashable"], "tenant_id"),
    ("user_id", 1.5, "user_id"),
    ("schema_payload", {}, "schema_payload"),
    ("coordinate_hash", b"15 bytes only!!", "molecules[0].coordinate_hash"),
    ("coordinate_hash", "0" * 16, "molecules[0].coordinate_hash"),
    ("numeric_value", "1.0", "molecules[0].numeric_value"),
    ("numeric_value", True, "molecules[0].numeric_value"),
    ("numeric_value", 2**53 + 1, "molecules[0].numeric_value"),
    ("numeric_value", 10**400, "molecules[0].numeric_value"),
    ("text_commentary", 1, "molecules[0].text_commentary"),
    ("text_commentary", "ok\udfff", "molecules[0].text_commentary"),
    ("date_value", -(2**63) - 1, "molecules[0].date_value"),
    ("date_value", False, "molecules[0].date_value"),
    ("boolean_value", "true", "molecules[0].boolean_value"),
    ("error_value", b"#REF!", "molecules[0].error_value"),
    ("security_mask", -1, "molecules[0].security_mask"),
    ("security_mask", 2**64, "molecules[0].security_mask"),
    ("security_mask", np.bool_(True), "molecules[0].security_mask"),
    ("molecules", {}, "molecules"),
    ("molecules", "text", "molecules"),
    ("molecules", [None], "molecules[0]"),
    ("molecules", 3, "molecules"),
]


@pytest.mark.parametrize(("name", "value", "path"), _WRONG)
def test_what_does_not_fit_is_named(name: str, value: Any, path: str) -> None:
    event = usual_event(**{name: value})
    mapping = {field: getattr(event, field) for field in AtomEvent.__slots__}
    if name != "molecules":
        mapping["molecules"] = [asdict(molecule) for molecule in event.molecules or []]
    for attempt in (lambda: encode(event), lambda: encode_mapping(mapping)):
        with pytest.raises(EncodeError) as caught:
            attempt()
        assert caught.value.path == path
        assert caught.value.found
        assert caught.value.allowed
        assert path in str(caught.value)
        assert caught.value.exit_code == 2


def test_the_index_of_the_molecule_is_named() -> None:
    event = usual_event()
    assert event.molecules
    event.molecules = [*event.molecules * 17, Molecule(coordinate_hash=b"short")]
    with pytest.raises(
        EncodeError, match=r"molecules\[17\]\.coordinate_hash: found bytes of 5 bytes; allowed: 16 bytes"
    ):
        encode(event)


def test_content_is_not_repeated_in_errors() -> None:
    with pytest.raises(EncodeError) as caught:
        encode(usual_event(numeric_value="salary 90000"))
    assert "90000" not in str(caught.value)


def test_a_generator_of_molecules_is_refused_not_lost() -> None:
    event = usual_event(schema_payload="{}")
    assert event.molecules
    event.molecules = (molecule for molecule in event.molecules * 2)  # type: ignore[assignment]
    with pytest.raises(EncodeError, match="molecules: found generator"):
        encode(event)


@pytest.mark.parametrize("count", [1, 2])
def test_an_unknown_key_is_named_with_the_nearest(count: int) -> None:
    mapping = asdict(usual_event())
    mapping["molecules"] *= count
    with pytest.raises(EncodeError, match=r"tennant_id: found an unknown field \(nearest: tenant_id\)"):
        encode_mapping({**mapping, "tennant_id": "x"})
    wrong = {**mapping["molecules"][0], "numeric": 1.0}
    with pytest.raises(
        EncodeError, match=r"molecules\[0\]\.numeric: found an unknown field \(nearest: numeric_value\)"
    ):
        encode_mapping({**mapping, "molecules": [wrong, *mapping["molecules"][1:]]})
    with pytest.raises(EncodeError, match="a key of type int"):
        encode_mapping({**mapping, 3: "x"})  # type: ignore[dict-item]


def test_missing_keys_are_absent() -> None:
    assert decode(encode_mapping({"timestamp": 1, "type": 2, "molecules": [{"numeric_value": 1.0}]})) == AtomEvent(
        timestamp=1, type=EventType.CALC_REQUEST, molecules=[Molecule(numeric_value=1.0)]
    )


def test_exact_integers_are_numbers() -> None:
    back = decode(encode(usual_event(numeric_value=2**53)))
    assert back.molecules is not None
    assert back.molecules[0].numeric_value == 2.0**53
    assert not math.isnan(back.molecules[0].numeric_value)


def test_the_caches_stay_bounded() -> None:
    for index in range(5000):
        encode(usual_event(tenant_id=f"bounded-{index}"))
        encode(usual_event(tenant_id=f"bounded-{index}", text_commentary="x"))
    assert len(encoder_module._plain_shapes) <= 4096
    assert len(encoder_module._text_shapes) <= 4096
    encode(usual_event(tenant_id="t" * 100_000))
    assert all(len(str(key[0])) < 300 for key in encoder_module._plain_shapes)


def test_the_size_limit_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(encoder_module, "MAX_BYTES", 1000)
    event = usual_event(text_commentary="x" * 2000, schema_payload="")
    with pytest.raises(EncodeError, match="at most 1000 bytes"):
        encode(event)


def test_threads_do_not_disturb_each_other() -> None:
    expected = {seed: encode(random_event(Random(seed))) for seed in range(50)}
    wrong: list[int] = []

    def work() -> None:
        for _ in range(20):
            wrong.extend(seed for seed, value in expected.items() if encode(random_event(Random(seed))) != value)

    threads = [Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong
