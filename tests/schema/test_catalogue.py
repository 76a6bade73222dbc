from __future__ import annotations

import os
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from atom_console.errors import CheckError, InputError
from atom_console.events.reflection import bundled_schema
from atom_console.schema.catalogue import Catalogue
from atom_console.schema.compiler import compile_fbs
from atom_console.schema.loading import AnySchema, diff, load
from atom_console.schema.mapping import compare_with_arrow
from atom_console.schema.tree import arrow_tree, flat_tree, search

_ARROW = pa.schema(
    [
        pa.field("id", pa.int64(), nullable=False),
        pa.field("deep", pa.struct([("text", pa.utf8())]), metadata={"k": "v"}),
    ]
)


def test_bundled_schemas_are_there() -> None:
    catalogue = Catalogue()
    assert [(entry.name, entry.origin) for entry in catalogue.entries()] == [
        ("atom_event", "bundled"),
        ("grid", "bundled"),
    ]
    assert catalogue.get("atom_event").tree.root == "quantatomai.event.v1.AtomEvent"
    with pytest.raises(InputError) as caught:
        catalogue.get("atom_evnt")
    assert caught.value.next_step == "Did you mean atom_event?"


def test_directories_are_seen_as_they_change(tmp_path: Path) -> None:
    folder = tmp_path / "schemas"
    catalogue = Catalogue([folder])
    assert not catalogue.refresh()
    folder.mkdir()
    source = folder / "mine.fbs"
    source.write_text("table T { a: int; } root_type T;")
    (folder / "notes.txt").write_text("not a schema")
    assert catalogue.refresh()
    assert not catalogue.refresh()
    assert catalogue.get("mine").tree.fields[0].type == "int"
    source.write_text("table T { a: long; } root_type T;")
    os.utime(source, ns=(1, 1))
    assert catalogue.refresh()
    assert catalogue.get("mine").tree.fields[0].type == "long"
    source.write_text("table T { a: ; }")
    assert catalogue.refresh()
    with pytest.raises(InputError, match=r"cannot be used: .*flatc refuses it"):
        catalogue.get("mine")
    source.unlink()
    assert catalogue.refresh()
    assert "mine" not in {entry.name for entry in catalogue.entries()}


def test_a_compiled_schema_goes_before_its_source_and_hides_a_bundled_one(tmp_path: Path) -> None:
    (tmp_path / "grid.fbs").write_text("table Mine { a: int; } root_type Mine;")
    (tmp_path / "grid.bfbs").write_bytes(compile_fbs(tmp_path / "grid.fbs"))
    catalogue = Catalogue([tmp_path])
    entry = next(entry for entry in catalogue.entries() if entry.name == "grid")
    assert (entry.origin, Path(entry.source).suffix) == ("directory", ".bfbs")
    catalogue.add(AnySchema("seen", "topic", arrow=_ARROW))
    assert catalogue.get("seen").language == "arrow"
    assert [schema.name for schema in catalogue.flat()] == ["atom_event", "grid"]


def test_arrow_schemas_come_from_each_kind_of_file(tmp_path: Path) -> None:
    table = _ARROW.empty_table()
    pq.write_table(table, tmp_path / "a.parquet")
    with pa.ipc.new_file(tmp_path / "b.arrow", _ARROW) as writer:
        writer.write_table(table)
    with pa.OSFile(str(tmp_path / "c.arrows"), "wb") as sink, pa.ipc.new_stream(sink, _ARROW) as writer:
        writer.write_table(table)
    for name in ("b.arrow", "c.arrows"):
        assert load(tmp_path / name).arrow.equals(_ARROW, check_metadata=True)
    assert load(tmp_path / "a.parquet").arrow.equals(_ARROW)
    (tmp_path / "no.parquet").write_bytes(b"PAR1 and no more")
    (tmp_path / "no.bfbs").write_bytes(b"....BFBS and no more")
    for name in ("no.parquet", "no.bfbs", "missing.arrow", "missing.fbs"):
        with pytest.raises(InputError):
            load(tmp_path / name)
    with pytest.raises(CheckError, match="no common versions"):
        diff(load(tmp_path / "b.arrow"), Catalogue().get("grid"))


def test_the_tree_of_flatbuffers(tmp_path: Path) -> None:
    source = tmp_path / "t.fbs"
    source.write_text(
        "/// colours\nenum E : byte { A, B }\nstruct P { x: float; }\n"
        "table T {\n/// the name\nname: string (required, key);\ne: E = B;\np: P;\nmore: [T];\nold: int (deprecated);\n"
        "n: int = null;\n}\nroot_type T;"
    )
    tree = flat_tree(load(source).flat)  # type: ignore[arg-type]
    fields = {node.name: node for node in tree.fields}
    assert (fields["name"].docs, fields["name"].flags, fields["name"].nullable) == (
        ("the name",),
        ("required", "key"),
        False,
    )
    assert (fields["e"].type, fields["e"].default, fields["e"].slot) == ("E", "B", 1)
    assert fields["p"].children[0].type == "float"
    assert (fields["more"].type, fields["more"].flags) == ("[T]", ("recursive",))
    assert (fields["old"].flags, fields["n"].default) == (("deprecated",), "null")
    assert {(node.name, node.type) for node in tree.types} == {("P", "struct, 4 bytes"), ("E", "enum : byte")}
    assert [path for path, _ in search(tree, "NAME")] == ["name"]
    assert "E.A" in [path for path, _ in search(tree, "a")]


def test_the_tree_of_arrow() -> None:
    tree = arrow_tree(_ARROW)
    assert [(node.name, node.type, node.nullable) for node in tree.fields] == [
        ("id", "int64", False),
        ("deep", "struct", True),
    ]
    assert tree.fields[1].children[0].name == "text"
    assert tree.fields[1].metadata == (("k", "v"),)
    hostile = arrow_tree(pa.schema([("\x1b[31mred", pa.int8())]))
    assert "\x1b" not in hostile.fields[0].name


def test_events_map_to_the_format_where_they_meet() -> None:
    arrow = pa.schema(
        [
            pa.field("coordinate_hash", pa.binary(), nullable=False),
            pa.field("numeric_value", pa.float64()),
            pa.field("date_value", pa.int64()),
            pa.field("boolean_value", pa.int8()),
            pa.field("timestamp", pa.int64(), nullable=False),
            pa.field("security_mask", pa.int64(), nullable=False),
            pa.field("source_system", pa.utf8(), nullable=False),
            pa.field("causality_clock", pa.binary()),
        ]
    )
    found = {
        item.name: item
        for item in compare_with_arrow(bundled_schema("atom_event"), "quantatomai.event.v1.FlatMolecule", arrow)
    }
    assert {name: item.status for name, item in found.items()} == {
        "coordinate_hash": "convert",
        "numeric_value": "same",
        "text_commentary": "only in events",
        "date_value": "convert",
        "boolean_value": "differs",
        "error_value": "only in events",
        "timestamp": "convert",
        "security_mask": "differs",
        "source_system": "only in arrow",
        "causality_clock": "only in arrow",
    }
    assert "sign" in found["security_mask"].why
    assert "1,000,000" in found["date_value"].why
    assert "filled" in found["source_system"].why
    with pytest.raises(KeyError):
        compare_with_arrow(bundled_schema("grid"), "nope", arrow)
