from __future__ import annotations

import json
import math
from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from atom_console.events import AtomEvent, EncodeError, EventType, Molecule, encode
from atom_console.events.jsonl import from_json, parse_line, to_json, to_line
from tests.events.samples import NAN_WITH_PAYLOAD, NUMBERS, SIGNALLING_NAN, bits, events, random_event

_HASH = "00112233445566778899aabbccddeeff"


def _line(molecule: str = "", **fields: Any) -> str:
    document = {"timestamp": 1, "type": 1, **fields}
    text = json.dumps(document)
    return text if not molecule else text[:-1] + f', "molecules": [{{}}, {{{molecule}}}]}}'


@given(events)
@settings(max_examples=200, deadline=None)
def test_every_event_comes_back_from_its_line(event: AtomEvent) -> None:
    line = to_line(event)
    assert "\n" not in line
    assert bits(parse_line(line)) == bits(event)
    assert bits(parse_line(line.encode())) == bits(event)


def test_thousands_of_lines_are_json_and_come_back() -> None:
    rng = Random(77)
    for _ in range(2000):
        event = random_event(rng)
        line = to_line(event)
        json.loads(line, parse_constant=lambda name: pytest.fail(f"{name} is not JSON"))
        back = parse_line(line + "\n")
        assert bits(back) == bits(event)
        assert encode(back) == encode(event)


def test_the_form_is_as_documented() -> None:
    molecule = Molecule(bytes.fromhex(_HASH), 2.0, "note", 1, True, "#REF!", 1_700_000_000_123_456_789, 2**64 - 1)
    event = AtomEvent("id", "trace", 0, EventType.SCHEMA_CHANGE, "t", "u", [molecule, Molecule()], "{}")
    assert to_json(event) == {
        "event_id": "id",
        "trace_id": "trace",
        "timestamp": "1970-01-01T00:00:00.000000000Z",
        "type": "SCHEMA_CHANGE",
        "tenant_id": "t",
        "user_id": "u",
        "molecules": [
            {
                "coordinate_hash": _HASH,
                "numeric_value": 2.0,
                "text_commentary": "note",
                "date_value": "1970-01-01T00:00:00.000000001Z",
                "boolean_value": True,
                "error_value": "#REF!",
                "timestamp": "2023-11-14T22:13:20.123456789Z",
                "security_mask": 18446744073709551615,
            },
            {},
        ],
        "schema_payload": "{}",
    }
    assert list(to_json(event)) == list(AtomEvent.__slots__)


@pytest.mark.parametrize(
    ("number", "written"),
    [
        (math.nan, "NaN"),
        (math.inf, "Infinity"),
        (-math.inf, "-Infinity"),
        (-0.0, -0.0),
        (NAN_WITH_PAYLOAD, "nan:fff8c00000000001"),
        (SIGNALLING_NAN, "nan:7ff0000000000001"),
        (-math.nan, "nan:fff8000000000000"),
    ],
)
def test_numbers_beyond_json(number: float, written: object) -> None:
    event = AtomEvent(timestamp=1, type=1, molecules=[Molecule(numeric_value=number)])
    assert to_json(event)["molecules"][0]["numeric_value"] == written
    assert bits(parse_line(to_line(event))) == bits(event)


@pytest.mark.parametrize("number", NUMBERS)
def test_numbers_keep_every_bit(number: float) -> None:
    event = AtomEvent(timestamp=1, type=1, molecules=[Molecule(numeric_value=number)])
    assert bits(parse_line(to_line(event))) == bits(event)


@pytest.mark.parametrize(
    ("time", "ns"),
    [
        ("2026-11-24T02:14:07Z", 1_795_486_447_000_000_000),
        ("2026-11-24T02:14:07.123456789+01:00", 1_795_482_847_123_456_789),
        (1_795_486_447_000_000_001, 1_795_486_447_000_000_001),
        ("1795486447000000001", 1_795_486_447_000_000_001),
        (-(2**63), -(2**63)),
        (2**63 - 1, 2**63 - 1),
    ],
)
def test_times(time: object, ns: int) -> None:
    assert parse_line(_line(timestamp=time)).timestamp == ns


def test_types_by_name_or_number() -> None:
    assert parse_line(_line(type="HEARTBEAT")).type is EventType.HEARTBEAT
    assert parse_line(_line(type=4)).type is EventType.HEARTBEAT
    assert parse_line(_line(type=0)).type is EventType.UNKNOWN


def test_null_and_missing_are_absent_and_whole_numbers_are_numbers() -> None:
    event = parse_line(_line('"numeric_value": 3, "text_commentary": null, "security_mask": "18446744073709551615"'))
    assert event.molecules == [Molecule(), Molecule(numeric_value=3.0, security_mask=2**64 - 1)]
    assert isinstance(event.molecules[1].numeric_value, float)
    assert parse_line(_line(tenant_id=None, molecules=None)) == AtomEvent(timestamp=1, type=EventType.MOLECULE_WRITE)
    assert parse_line(_line(molecules=[])).molecules == []


_BAD: list[tuple[str | bytes, str, str]] = [
    ("", "", "an empty line"),
    ("   \n", "", "an empty line"),
    ("{", "", "at column 2"),
    ("[1]", "", "an array"),
    ("7", "", "int 7"),
    ("{} {}", "", "Extra data"),
    (b"{\xff", "", "byte 0xff at 1"),
    ("[" * 100_000, "", "nested without end"),
    (_line(timestamp=0)[:-1] + ', "timestamp": 2}', "timestamp", "the key twice"),
    (_line('"numeric_value": NaN'), "", "NaN, which is not JSON"),
    (_line('"security_mask": ' + "9" * 5000), "", "thousands of digits"),
    ('{"type": 1}', "timestamp", "nothing"),
    ('{"timestamp": 1}', "type", "nothing"),
    (_line(tennant_id="x"), "tennant_id", "nearest: tenant_id"),
    (_line(timestamp="yesterday"), "timestamp", "'yesterday'"),
    (_line(timestamp="2026-11-24T02:14:07"), "timestamp", "not an RFC 3339 time"),
    (_line(timestamp="2026-02-30T00:00:00Z"), "timestamp", "2026-02-30"),
    (_line(timestamp="2400-01-01T00:00:00Z"), "timestamp", "2400-01-01"),
    (_line(timestamp=1.0), "timestamp", "float 1.0"),
    (_line(timestamp=True), "timestamp", "bool True"),
    (_line(timestamp=2**63), "timestamp", str(2**63)),
    (_line(type="MOLECULE"), "type", "'MOLECULE'"),
    (_line(type=9), "type", "int 9"),
    (_line(type=1.0), "type", "float"),
    (_line(type=True), "type", "bool True"),
    (_line(type=[1]), "type", "an array"),
    (_line(event_id=5), "event_id", "int 5"),
    (_line(user_id="\ud800"), "user_id", "lone surrogate U+D800"),
    (_line(molecules={}), "molecules", "an object"),
    (_line(molecules=[1]), "molecules[0]", "int 1"),
    (_line('"coordinate_hash": "00"'), "molecules[1].coordinate_hash", "2 characters"),
    (_line(f'"coordinate_hash": "{_HASH[:-1]}g"'), "molecules[1].coordinate_hash", "'g' at character 31"),
    (_line('"coordinate_hash": [1]'), "molecules[1].coordinate_hash", "an array"),
    (_line('"numeric_value": "12,5"'), "molecules[1].numeric_value", "str of 4 characters"),
    (_line('"numeric_value": 1e400'), "molecules[1].numeric_value", "beyond the range"),
    (_line('"numeric_value": 9007199254740993'), "molecules[1].numeric_value", "9007199254740993"),
    (_line('"numeric_value": "nan:7ff0000000000000"'), "molecules[1].numeric_value", "str"),
    (_line('"numeric_value": true'), "molecules[1].numeric_value", "bool True"),
    (_line('"numeric_value": {}'), "molecules[1].numeric_value", "an object"),
    (_line('"boolean_value": 1'), "molecules[1].boolean_value", "int 1"),
    (_line('"boolean_value": "true"'), "molecules[1].boolean_value", "a string"),
    (_line('"security_mask": -1'), "molecules[1].security_mask", "-1"),
    (_line('"security_mask": "0x10"'), "molecules[1].security_mask", "'0x10'"),
    (_line('"security_mask": 1.5'), "molecules[1].security_mask", "float 1.5"),
    (_line('"text": "x"'), "molecules[1].text", "unknown field"),
    (_line('"text_commentary": 3'), "molecules[1].text_commentary", "int 3"),
    (_line('"error_value": null, "error_value": "#REF!"'), "error_value", "the key twice"),
]


@pytest.mark.parametrize(("line", "path", "found"), _BAD)
def test_a_bad_line_is_named_by_file_line_and_field(line: str | bytes, path: str, found: str) -> None:
    with pytest.raises(EncodeError) as caught:
        parse_line(line, where="events.jsonl:12")
    error = caught.value
    assert error.path == path
    assert found in error.found
    assert error.where == "events.jsonl:12"
    assert str(error).startswith(f"events.jsonl:12: {path or 'event'}: found ")
    assert error.allowed in str(error)
    assert len(str(error)) < 400
    with pytest.raises(EncodeError):
        parse_line(line)


@given(st.binary(max_size=80) | st.text(max_size=80))
@settings(max_examples=300, deadline=None)
def test_any_line_gives_an_event_or_a_typed_error(line: bytes | str) -> None:
    with pytest.raises(EncodeError):
        parse_line(line)


_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(Molecule.__slots__), inner, max_size=3),
    max_leaves=6,
)


@given(st.dictionaries(st.sampled_from(AtomEvent.__slots__), _json))
@settings(max_examples=300, deadline=None)
def test_any_document_gives_an_event_that_encodes_or_a_typed_error(document: dict[str, Any]) -> None:
    try:
        event = from_json(document)
    except EncodeError:
        return
    encode(event)


def test_foreign_values_are_shown_as_they_are() -> None:
    event = AtomEvent(timestamp=1, type=77, molecules=[Molecule(coordinate_hash=b"\x01\x02")])
    document = to_json(event)
    assert document["type"] == 77
    assert document["molecules"] == [{"coordinate_hash": "0102"}]
