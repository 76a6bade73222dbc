from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from atom_console.events import DecodeError, EventType
from atom_console.events.layout import EVENT_FIELDS, MOLECULE_FIELDS
from atom_console.events.reflection import BaseType, bundled_schema, load_schema
from atom_console.resources import resource_dir
from benchmarks.stock_codec import flatc_path


@pytest.mark.parametrize("name", ["atom_event", "grid"])
def test_the_compiled_schema_is_that_of_its_source(name: str, tmp_path: Path) -> None:
    flags = ["--binary", "--schema", "--bfbs-comments", "--bfbs-builtins"]
    source = resource_dir("schemas")
    subprocess.run([flatc_path(), *flags, "-o", str(tmp_path), f"{name}.fbs"], cwd=source, check=True)
    assert (tmp_path / f"{name}.bfbs").read_bytes() == (source / f"{name}.bfbs").read_bytes()


def test_the_code_knows_the_same_fields_as_the_schema() -> None:
    schema = bundled_schema("atom_event")
    event, molecule = (
        schema.objects[schema.object_index(f"quantatomai.event.v1.{n}")] for n in ("AtomEvent", "FlatMolecule")
    )
    assert tuple(field.name for field in event.fields) == EVENT_FIELDS
    assert tuple(field.name for field in molecule.fields) == MOLECULE_FIELDS
    assert [field.slot for field in (*event.fields, *molecule.fields)] == [*range(8), *range(8)]
    assert {value.name: value.value for value in schema.enums[0].values} == {m.name: m.value for m in EventType}
    assert schema.root == schema.object_index("quantatomai.event.v1.AtomEvent")


def test_the_grid_schema_holds_its_wire_types() -> None:
    schema = bundled_schema("grid")
    envelope = schema.objects[schema.root or 0]
    kinds = {field.name: field.type.base for field in envelope.fields}
    assert kinds["wire_version"] is BaseType.USHORT
    assert kinds["content_checksum"] is BaseType.UINT
    assert envelope.fields[4].type.element is BaseType.UBYTE


def test_a_damaged_compiled_schema_is_a_typed_error() -> None:
    whole = (resource_dir("schemas") / "atom_event.bfbs").read_bytes()
    for cut in range(0, len(whole), 7):
        with pytest.raises(DecodeError):
            load_schema(whole[:cut])
    for at in range(8, len(whole)):
        for value in (0, 0xFF, whole[at] ^ 0x80):
            damaged = bytearray(whole)
            damaged[at] = value
            try:
                load_schema(bytes(damaged))
            except DecodeError:
                continue
