from __future__ import annotations

import json
import random
import subprocess
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from atom_console.events import encode_mapping
from atom_console.events.reflection import Schema, bundled_schema, load_schema
from atom_console.schema.compiler import compile_fbs, find_flatc
from atom_console.schema.drift import Fit, best_fit, examine
from atom_console.schema.loading import AnySchema
from atom_console.schema.payload import decode, decode_checked

_RIGHT = (Path(__file__).parents[2] / "schemas" / "atom_event.fbs").read_text()
_NEWER = _RIGHT.replace("schema_payload: string;", "schema_payload: string; region: string; priority: int;")
_OLDER = _RIGHT.replace("  user_id: string;\n", "").replace("  molecules: [FlatMolecule];\n", "").replace(
    "  schema_payload: string;\n", ""
)  # fmt: skip


def _compile(directory: Path, name: str, text: str) -> Schema:
    source = directory / f"{name}.fbs"
    source.write_text(text)
    return load_schema(compile_fbs(source))


@pytest.fixture(scope="module")
def versions(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Schema]:
    directory = tmp_path_factory.mktemp("versions")
    return {
        "right": _compile(directory, "right", _RIGHT),
        "newer": _compile(directory, "newer", _NEWER),
        "older": _compile(directory, "older", _OLDER),
        "grid": bundled_schema("grid"),
    }


def _event(chance: random.Random) -> dict[str, Any]:
    molecule: dict[str, Any] = {
        "coordinate_hash": chance.randbytes(16),
        "numeric_value": chance.uniform(-1e9, 1e9),
        "timestamp": chance.randrange(1, 2**60),
        "security_mask": chance.randrange(1, 2**63),
    }
    if chance.random() < 0.3:
        molecule |= {"text_commentary": "größer " * chance.randrange(1, 9), "error_value": "#REF!"}
    return {
        "event_id": f"{chance.getrandbits(128):032x}",
        "trace_id": f"{chance.getrandbits(64):016x}",
        "timestamp": chance.randrange(1, 2**60),
        "type": chance.choice([1, 2, 3, 4]),
        "tenant_id": f"tenant-{chance.randrange(100)}",
        "user_id": f"user{chance.randrange(1000)}@example.com",
        "molecules": [molecule] * chance.randrange(1, 4),
        "schema_payload": json.dumps({"add": chance.randrange(100)}),
    }


def test_ten_thousand_mixed_payloads_are_named_for_what_they_are(versions: dict[str, Schema]) -> None:
    chance = random.Random(7)
    named: dict[str, Counter[Fit]] = {name: Counter() for name in (*versions, "cut")}
    for number in range(10_000):
        payload = encode_mapping(_event(chance))
        against = ("right", "older", "newer", "grid", "cut")[number % 5]
        if against == "cut":
            payload = payload[: chance.randrange(len(payload) // 2, len(payload) - 16)]
        schema = versions["right" if against == "cut" else against]
        named[against][examine(payload, schema).fit] += 1
    assert named["right"] == {Fit.FITS: 2000}
    assert named["older"] == {Fit.NEWER_WRITER: 2000}
    assert named["newer"] == {Fit.OLDER_WRITER: 2000}
    assert named["grid"] == {Fit.OTHER_SCHEMA: 2000}
    assert named["cut"] == {Fit.TRUNCATED: 2000}


def test_what_is_unknown_and_what_is_absent_is_named(versions: dict[str, Schema]) -> None:
    payload = encode_mapping(_event(random.Random(1)))
    assert examine(payload, versions["older"]).unknown == ("AtomEvent slot 5", "AtomEvent slot 6", "AtomEvent slot 7")
    assert examine(payload, versions["newer"]).absent == ("AtomEvent.region", "AtomEvent.priority")
    right = examine(payload, versions["right"])
    assert (right.unknown, right.absent, right.fault) == ((), (), "")
    assert right.reached > 0.85


def test_the_catalogue_finds_the_schema_that_fits_best(versions: dict[str, Schema]) -> None:
    schemas = [AnySchema(name, "test", flat=schema) for name, schema in versions.items()]
    chance = random.Random(3)
    for _ in range(50):
        best, *others = best_fit(encode_mapping(_event(chance)), schemas)
        assert best.schema.name == "right"
        assert [other.schema.name for other in others] == ["newer", "older", "grid"]


def test_a_generic_decode_keeps_presence(versions: dict[str, Schema]) -> None:
    event = _event(random.Random(2))
    payload = encode_mapping(event)
    decoded, examination = decode_checked(payload, versions["newer"])
    assert examination.fit is Fit.OLDER_WRITER
    assert (decoded["region"], decoded["priority"]) == (None, None)
    assert decoded["molecules"][0]["coordinate_hash"] == event["molecules"][0]["coordinate_hash"]
    assert "molecules" not in decode(payload, versions["older"])
    assert decode(payload, "atom_event")["tenant_id"] == event["tenant_id"]


_ODD = """
enum Colour : ubyte { RED = 1, GREEN, BLUE }
enum Flags : ubyte (bit_flags) { A, B, C }
struct Point { x: float; y: [short:3]; }
table Dot { at: Point; colour: Colour = RED; }
table Line { dots: [Point]; names: [string]; flags: Flags; }
union Shape { Dot, Line }
table Drawing { shape: Shape; many: [Line]; title: string (required); ok: bool; }
root_type Drawing;
file_identifier "DRAW";
"""


def test_structs_unions_and_flags_are_followed(tmp_path: Path) -> None:
    schema = _compile(tmp_path, "odd", _ODD)
    line = {"dots": [{"x": 1.5, "y": [1, 2, 3]}] * 2, "names": ["a", "b"], "flags": "A C"}
    (tmp_path / "odd.json").write_text(
        json.dumps({"shape_type": "Line", "shape": line, "many": [line], "title": "t", "ok": True})
    )
    subprocess.run([str(find_flatc()), "-b", "odd.fbs", "odd.json"], cwd=tmp_path, check=True, capture_output=True)
    payload = (tmp_path / "odd.bin").read_bytes()
    assert examine(payload, schema).fit is Fit.FITS
    assert decode(payload, schema)["shape"]["names"] == ["a", "b"]
    assert "identifier" in examine(payload[:4] + b"XXXX" + payload[8:], schema).why


@settings(max_examples=150, deadline=None)
@given(st.binary(max_size=300))
def test_rubbish_never_raises_and_never_fits(payload: bytes) -> None:
    for name in ("atom_event", "grid"):
        assert examine(payload, bundled_schema(name)).fit in {Fit.OTHER_SCHEMA, Fit.TRUNCATED, Fit.OLDER_WRITER} or (
            len(payload) < 32
        )


@settings(max_examples=100, deadline=None)
@given(st.integers(0, 10_000), st.integers(0, 255), st.integers(0, 2**31))
def test_a_changed_byte_never_raises(position: int, value: int, seed: int) -> None:
    payload = bytearray(encode_mapping(_event(random.Random(seed))))
    payload[position % len(payload)] = value
    examine(bytes(payload), bundled_schema("atom_event"))
