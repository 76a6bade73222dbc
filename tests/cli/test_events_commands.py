from __future__ import annotations

import json
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from atom_console.events import decode, encode
from atom_console.events.jsonl import parse_line

Atom = Callable[..., Any]
LINES = [
    {
        "event_id": f"e{i}",
        "timestamp": "2026-11-24T02:14:07.123456789Z",
        "type": "MOLECULE_WRITE",
        "tenant_id": "tänant",
        "molecules": [{"coordinate_hash": "00" * 16, "numeric_value": -0.0, "security_mask": 2**64 - 1}],
    }
    for i in range(5)
]


@pytest.fixture
def jsonl(tmp_path: Path) -> Path:
    path = tmp_path / "events.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in LINES))
    return path


def test_there_and_back(atom: Atom, jsonl: Path, tmp_path: Path) -> None:
    out = tmp_path / "events.atomfb"
    ended = atom("events", "encode", str(jsonl), "--out", str(out), "--json")
    assert (ended.code, ended.err) == (0, "")
    assert json.loads(ended.text) == {"encoded": 5, "invalid": 0, "bytes": out.stat().st_size}
    back = atom("events", "decode", str(out))
    assert (back.code, back.err) == (0, "")
    assert [json.loads(line) for line in back.text.splitlines()] == LINES
    assert [str(json.loads(line)["molecules"][0]["numeric_value"]) for line in back.text.splitlines()] == ["-0.0"] * 5
    sound = atom("events", "verify", str(out), "--json")
    assert (sound.code, json.loads(sound.text)) == (0, {"ok": True, "checked": 5, "undecodable": 0, "faults": []})


def test_each_buffer_stands_behind_its_size(atom: Atom, jsonl: Path) -> None:
    raw = atom("events", "encode", str(jsonl)).out
    buffers = []
    while raw:
        (size,) = struct.unpack_from("<I", raw)
        buffers.append(raw[4 : 4 + size])
        raw = raw[4 + size :]
    assert buffers == [encode(parse_line(json.dumps(line))) for line in LINES]
    assert decode(buffers[0]).tenant_id == "tänant"


def test_stdin_and_stdout_through_a_pipe(atom_process: Atom, jsonl: Path) -> None:
    binary = atom_process("events", "encode", "-", input=jsonl.read_bytes())
    assert binary.returncode == 0, binary.stderr
    back = atom_process("events", "decode", input=binary.stdout)
    assert [json.loads(line) for line in back.stdout.splitlines()] == LINES


def test_bad_lines_are_named_and_the_others_kept(atom: Atom, jsonl: Path, tmp_path: Path) -> None:
    text = jsonl.read_text().splitlines()
    text[1] = '{"type":"HEARTBEAT","timestamp":1,"molecules":[{"coordinate_hash":"00"}]}'
    text[3:3] = ["", "not json"]
    jsonl.write_text("\n".join(text))
    out = tmp_path / "out.atomfb"
    ended = atom("events", "encode", str(jsonl), "--out", str(out), "--json")
    assert ended.code == 3
    assert json.loads(ended.text)["encoded"] == 4
    assert json.loads(ended.text)["invalid"] == 2
    named = ended.err.splitlines()
    assert named[0].startswith(f"{jsonl}:2: molecules[0].coordinate_hash: ")
    assert named[1].startswith(f"{jsonl}:5: ")
    assert len(atom("events", "decode", str(out)).out.splitlines()) == 4


def test_a_damaged_buffer_is_named_and_the_others_kept(atom: Atom, jsonl: Path, tmp_path: Path) -> None:
    raw = bytearray(atom("events", "encode", str(jsonl)).out)
    (size,) = struct.unpack_from("<I", raw)
    second = 4 + size + 4
    raw[second : second + 4] = b"\xff\xff\xff\xff"
    path = tmp_path / "damaged.atomfb"
    path.write_bytes(raw)
    ended = atom("events", "decode", str(path))
    assert (ended.code, len(ended.out.splitlines())) == (6, 4)
    assert f"buffer 2 at byte {second}" in ended.err
    checked = atom("events", "verify", str(path), "--json")
    told = json.loads(checked.text)
    assert (checked.code, told["checked"], told["undecodable"]) == (6, 5, 1)
    assert (told["faults"][0]["buffer"], told["faults"][0]["offset"]) == (2, second)


@pytest.mark.parametrize(
    ("tail", "why"),
    [
        (b"\x01\x00", "ends within a size (2 of 4 bytes)"),
        (b"\x10\x00\x00\x00abc", "ends within a buffer (3 of 16 bytes)"),
        (b"\x00\x00\x00\x00", "a size of 0 bytes"),
        (b"\xff\xff\xff\xff", "a size of 4294967295 bytes"),
        (b"\xff\xff\xff\x7f", "ends within a buffer (0 of 2147483647 bytes)"),
    ],
)
def test_input_that_cannot_be_cut(tail: bytes, why: str, atom: Atom, jsonl: Path, tmp_path: Path) -> None:
    whole = atom("events", "encode", str(jsonl)).out
    path = tmp_path / "cut.atomfb"
    path.write_bytes(whole + tail)
    ended = atom("events", "decode", str(path))
    assert (ended.code, len(ended.out.splitlines())) == (6, 5)
    assert f"at byte {len(whole)}: " in ended.err
    assert why in ended.err
    checked = atom("events", "verify", str(path), "--json")
    assert (checked.code, json.loads(checked.text)["faults"][0]["offset"]) == (6, len(whole))


def test_one_bare_buffer(atom: Atom, tmp_path: Path) -> None:
    path = tmp_path / "value.bin"
    path.write_bytes(encode(parse_line(json.dumps(LINES[0]))))
    assert json.loads(atom("events", "decode", "--bare", str(path)).text) == LINES[0]
    assert atom("events", "verify", "--bare", str(path)).code == 0
    without = atom("events", "decode", str(path))
    assert without.code == 6
    assert "--bare" in without.err


def test_an_existing_file_is_never_overwritten(atom: Atom, jsonl: Path, tmp_path: Path) -> None:
    out = tmp_path / "mine"
    out.write_text("mine")
    ended = atom("events", "encode", str(jsonl), "--out", str(out))
    assert ended.code == 2
    assert "File exists" in ended.err
    assert out.read_text() == "mine"


def test_json_and_binary_do_not_share_stdout(atom: Atom, jsonl: Path) -> None:
    ended = atom("events", "encode", str(jsonl), "--json")
    assert (ended.code, ended.out) == (2, b"")
