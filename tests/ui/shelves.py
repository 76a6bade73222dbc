"""A shelf of schemas with fixed names and places: a bundled one, a changed one of the operator, Arrow, a broken one."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import pyarrow as pa
from flights import other_schema

from atom_console.config.model import KafkaSettings
from atom_console.engine.schema_shelf import SchemaShelf, ShelfRow
from atom_console.events.reflection import bundled_schema, load_schema
from atom_console.flight.mdf import MDF_SCHEMA
from atom_console.resources import resource_dir
from atom_console.schema.compiler import compile_fbs
from atom_console.schema.loading import AnySchema


@cache
def changed() -> AnySchema:
    """`atom_event` with a field appended, one of another type, one removed."""
    text = (resource_dir("schemas") / "atom_event.fbs").read_text(encoding="utf-8")
    text = text.replace("numeric_value: double", "numeric_value: float")
    text = text.replace(
        "  schema_payload: string;", "  schema_payload: string;\n  /// Who approved it.\n  approved_by: string;"
    )
    with TemporaryDirectory() as directory:
        path = Path(directory) / "atom_event_next.fbs"
        path.write_text(text, encoding="utf-8")
        return AnySchema(
            "atom_event_next", "/home/ops/schemas/atom_event_next.fbs", flat=load_schema(compile_fbs(path))
        )


class FixedShelf(SchemaShelf):
    """Rows that are the same everywhere; comparing, mapping and fitting are real."""

    def __init__(self) -> None:
        super().__init__((), KafkaSettings())

    def rows(self) -> list[ShelfRow]:
        bundled = "/opt/atom/schemas"
        event = AnySchema("atom_event", f"{bundled}/atom_event.bfbs", flat=bundled_schema("atom_event"))
        grid = AnySchema("grid", f"{bundled}/grid.bfbs", flat=bundled_schema("grid"))
        mine = changed()
        plan = AnySchema("q3-actuals@engine-1:50051", "grpc+tls://engine-1:50051/q3-actuals", arrow=other_schema())
        fits = "atom_event: 20 of 20 fit"
        drift = "atom_event: 17 of 20 fit; else newer writer: It uses what the schema does not have: AtomEvent slot 8."
        return [
            ShelfRow("atom_event", "bundled", event.source, event),
            ShelfRow("grid", "bundled", grid.source, grid),
            ShelfRow(
                "mdf", "bundled", "declared MDF schema", AnySchema("mdf", "declared MDF schema", arrow=MDF_SCHEMA)
            ),
            ShelfRow("atom_event_next", "directory", mine.source, mine),
            ShelfRow("old", "directory", "/home/ops/schemas/old.bfbs", None, "old.bfbs: not a reflection schema"),
            ShelfRow(plan.name, "flight", plan.source, plan),
            ShelfRow("atom.write.raw", "topic", "the newest records of atom.write.raw", event, fits),
            ShelfRow("atom.calc.trigger", "topic", "the newest records of atom.calc.trigger", event, drift, True),
            ShelfRow("audit.log", "topic", "the newest records of audit.log", None, "no records yet"),
        ]


def hostile() -> pa.Schema:
    """Names that would do something to a terminal."""
    return pa.schema(
        [pa.field("\x1b]52;c;cHduZWQ=\x07", pa.utf8()), pa.field("[/bold]\u202e", pa.int8(), metadata={"\x1b[2J": "x"})]
    )
