from __future__ import annotations

import base64
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from atom_console.cli.commands import COMMANDS, Entry
from atom_console.events import encode_mapping
from atom_console.flight.server import ReferenceServer, ServerOptions

Atom = Callable[..., Any]

_EVENT = {
    "event_id": "e-1", "trace_id": "t-1", "timestamp": 7, "type": 1, "tenant_id": "acme", "user_id": "u",
    "molecules": [{"coordinate_hash": b"x" * 16, "numeric_value": 1.5, "timestamp": 7, "security_mask": 1}],
    "schema_payload": "{}",
}  # fmt: skip


@pytest.fixture(autouse=True)
def _commands(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("flight", "schema"):
        monkeypatch.setitem(COMMANDS, name, Entry(f"atom_console.cli.{name}_commands:{name}", name))


@pytest.fixture
def versions(tmp_path: Path) -> tuple[str, str, str]:
    texts = ("a: int; b: string;", "a: int; b: string; c: long;", "a: int; c: long;")
    paths = [tmp_path / f"v{number}.fbs" for number in range(3)]
    for path, text in zip(paths, texts, strict=True):
        path.write_text(f"table T {{ {text} }} root_type T;")
    first, second, third = map(str, paths)
    return first, second, third


def test_the_catalogue_has_bundled_and_own_schemas(atom: Atom, tmp_path: Path) -> None:
    own = tmp_path / "config" / "atom-console" / "schemas"
    own.mkdir(parents=True)
    (own / "mine.fbs").write_text("table T { a: int; } root_type T;")
    (own / "broken.fbs").write_text("table T {")
    listed = json.loads(atom("schema", "ls", "--json").out)["schemas"]
    assert {row["name"]: row["origin"] for row in listed} == {
        "atom_event": "bundled",
        "broken": "directory",
        "grid": "bundled",
        "mine": "directory",
    }
    assert "flatc refuses it" in next(row["problem"] for row in listed if row["name"] == "broken")


def test_a_tree_and_a_search(atom: Atom) -> None:
    document = json.loads(atom("schema", "show", "atom_event", "--json").out)
    assert (document["language"], document["root"]) == ("flatbuffers", "quantatomai.event.v1.AtomEvent")
    assert [field["name"] for field in document["fields"]][:3] == ["event_id", "trace_id", "timestamp"]
    found = json.loads(atom("schema", "show", "atom_event", "--find", "HASH", "--json").out)["found"]
    assert found[0]["path"] == "molecules.coordinate_hash"
    assert "  coordinate_hash" in atom("schema", "show", "atom_event").text


def test_differences_and_verdicts(atom: Atom, versions: tuple[str, str, str]) -> None:
    first, second, third = versions
    document = json.loads(atom("schema", "diff", first, second, "--json").out)
    assert document["verdict"] == "compatible"
    change = document["changes"][0]
    assert {"path", "kind", "before", "after", "breaking", "why"} <= set(change)
    assert (change["path"], change["kind"], change["breaking"]) == ("T.c", "field added", False)
    assert atom("schema", "check", first, second).code == 0
    ended = atom("schema", "check", second, third)
    assert ended.code == 6
    assert ended.text.splitlines()[-1] == "breaking"
    assert json.loads(atom("schema", "diff", first, first, "--json").out) == {"changes": [], "verdict": "identical"}
    assert atom("schema", "diff", first, "nothing").code == 2


def test_a_live_schema_against_a_file(atom: Atom, tmp_path: Path) -> None:
    schema = pa.schema([("a", pa.int64())])
    with pa.ipc.new_file(tmp_path / "a.arrow", schema) as writer:
        writer.write_table(schema.empty_table())
    with ReferenceServer(ServerOptions()) as server:
        live = server.uri.replace("grpc://", "flight://") + "/mdf-1k"
        document = json.loads(atom("schema", "diff", str(tmp_path / "a.arrow"), live, "--json").out)
        assert document["verdict"] == "breaking"
        assert len(document["changes"]) == 13
        assert json.loads(atom("schema", "diff", live, live, "--json").out)["verdict"] == "identical"
    assert atom("schema", "diff", "grid", str(tmp_path / "a.arrow")).code == 6


def test_decode_names_the_fit(atom: Atom, tmp_path: Path) -> None:
    payload = encode_mapping(_EVENT)
    file = tmp_path / "payload.bin"
    file.write_bytes(payload)
    document = json.loads(atom("schema", "decode", "atom_event", str(file), "--json").out)
    assert (document["fit"], document["event"]["tenant_id"]) == ("fits", "acme")
    assert base64.b64decode(document["event"]["molecules"][0]["coordinate_hash"]) == b"x" * 16
    assert json.loads(atom("schema", "decode", "auto", str(file), "--json").out)["schema"] == "atom_event"
    wrong = atom("schema", "decode", "grid", str(file), "--json")
    document = json.loads(wrong.out)
    assert (wrong.code, document["fit"], document["fits_better"]) == (6, "other schema", "atom_event")
    file.write_bytes(payload[:-40])
    cut = atom("schema", "decode", "atom_event", str(file), "--json")
    assert (cut.code, json.loads(cut.out)["fit"]) == (6, "truncated")


def test_events_map_to_the_declared_format(atom: Atom) -> None:
    ended = atom("schema", "mapping", "--json")
    fields = {field["name"]: field["status"] for field in json.loads(ended.out)["fields"]}
    assert ended.code == 0
    assert fields["numeric_value"] == "same"
    assert fields["date_value"] == "convert"
    assert fields["source_system"] == "only in arrow"
