"""`schema`: the catalogue, field trees, differences and verdicts, and generic decode."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from atom_console.cli.frame import CliContext, Group, json_option, pass_context
from atom_console.cli.output import print_json, print_line, print_table, say
from atom_console.errors import InputError

if TYPE_CHECKING:
    from atom_console.schema.catalogue import Catalogue
    from atom_console.schema.changes import Change
    from atom_console.schema.loading import AnySchema
    from atom_console.schema.tree import Node, Tree

_FILE = click.Path(path_type=Path)
_MAX_PAYLOAD_BYTES = 256 << 20
_BROKEN = 6


@click.group(cls=Group)
def schema() -> None:
    """Schemas: what is this, what changed, does it break me.

    A, B, OLD and NEW are catalogue names, .fbs, .bfbs, Arrow IPC or Parquet files, or flight://HOST:PORT/PLAN.
    Own schemas are read from the directory `schemas` beside config.toml.
    """


@schema.command("ls", examples=("atom-console schema ls",))
@json_option
@pass_context
def list_schemas(cli: CliContext) -> None:
    """The catalogue."""
    rows = [
        {
            "name": entry.name,
            "language": entry.schema.language if entry.schema else None,
            "origin": entry.origin,
            "source": entry.source,
            "problem": entry.problem or None,
        }
        for entry in _catalogue().entries()
    ]
    if cli.json:
        print_json({"schemas": rows})
    else:
        columns = ("name", "language", "origin", "source", "problem")
        print_table([name.upper() for name in columns], [[row[name] for name in columns] for row in rows])


@schema.command(examples=("atom-console schema show atom_event", "atom-console schema show plan.parquet --find hash"))
@click.argument("name")
@click.option("--find", metavar="TEXT", help="Only fields whose name, type or comment contains it.")
@json_option
@pass_context
def show(cli: CliContext, name: str, find: str | None) -> None:
    """A schema's fields: types, slots, defaults, nulls, comments, metadata."""
    from atom_console.schema.tree import search

    found = _resolve(cli, name)
    tree = found.tree
    if find is not None:
        hits = [(path, node) for path, node in search(tree, find)]
        if cli.json:
            print_json({"found": [{"path": path, **_node_json(node)} for path, node in hits]})
        else:
            print_table(("PATH", "TYPE"), [(path, node.type) for path, node in hits])
        return
    if cli.json:
        print_json(_tree_json(found, tree))
        return
    print_table(("FIELD", "TYPE", "SLOT", "NULLS", "DEFAULT", "NOTES"), _tree_rows(tree))


@schema.command("diff", examples=("atom-console schema diff old.fbs atom_event",))
@click.argument("a")
@click.argument("b")
@json_option
@pass_context
def show_diff(cli: CliContext, a: str, b: str) -> None:
    """Each difference from A to B, whether it breaks, and why."""
    _print_changes(cli, *_compare(cli, a, b))


@schema.command(examples=("atom-console schema check main.fbs atom_event.fbs && echo safe to deploy",))
@click.argument("old")
@click.argument("new")
@json_option
@pass_context
def check(cli: CliContext, old: str, new: str) -> int:
    """Whether NEW may replace OLD. Exit 6 where readers or writers of the other version would break."""
    changes, verdict = _compare(cli, old, new)
    _print_changes(cli, changes, verdict)
    return _BROKEN if any(change.breaking for change in changes) else 0


@schema.command(examples=("atom-console schema mapping", "atom-console schema mapping flight://engine:50051/q3"))
@click.argument("arrow", required=False)
@json_option
@pass_context
def mapping(cli: CliContext, arrow: str | None) -> int:
    """Events against the MDF format, field by field. Exit 6 where a field cannot be carried over.

    ARROW is another Arrow schema than the declared one.
    """
    from atom_console.events.reflection import bundled_schema
    from atom_console.flight.mdf import MDF_SCHEMA
    from atom_console.schema.mapping import compare_with_arrow

    columns = MDF_SCHEMA
    if arrow is not None:
        columns = _resolve(cli, arrow).arrow
        if columns is None:
            raise InputError(f"{arrow} is not an Arrow schema", next_step="Give a Parquet or Arrow file.")
    rows = compare_with_arrow(bundled_schema("atom_event"), "quantatomai.event.v1.FlatMolecule", columns)
    names = ("name", "event_type", "arrow_type", "status", "why")
    if cli.json:
        print_json({"fields": [{name: getattr(row, name) for name in names} for row in rows]})
    else:
        print_table(
            ("FIELD", "EVENT", "ARROW", "STATUS", "WHY"), [[getattr(row, name) for name in names] for row in rows]
        )
    return _BROKEN if any(row.status == "differs" for row in rows) else 0


@schema.command(
    examples=("atom-console schema decode atom_event payload.bin", "atom-console schema decode auto - < payload.bin")
)
@click.argument("name")
@click.argument("file", type=click.Path(path_type=Path, allow_dash=True))
@json_option
@pass_context
def decode(cli: CliContext, name: str, file: Path) -> int:
    """Read one payload with a schema; `auto` takes the one of the catalogue that fits best.

    Exit 6 where it was cut off or is of another schema.
    """
    from atom_console.schema.drift import Fit, best_fit, examine

    payload = _read_payload(file)
    catalogue = _catalogue()
    if name == "auto":
        best = best_fit(payload, catalogue.flat())[0]
        chosen, examination = best.schema, best.examination
    else:
        chosen = _resolve(cli, name)
        if chosen.flat is None:
            raise InputError(f"{name} is not a FlatBuffers schema", next_step="Arrow payloads say what they are.")
        if chosen.flat.root is None:
            raise InputError(f"{name} has no root table", next_step="Add a root_type.")
        examination = examine(payload, chosen.flat)
    sound = examination.fit not in {Fit.TRUNCATED, Fit.OTHER_SCHEMA}
    decoded = _decode(payload, chosen) if sound else None
    document = {
        "schema": chosen.name,
        "fit": examination.fit,
        "why": examination.why,
        "unknown": list(examination.unknown),
        "absent": list(examination.absent),
        "reached": round(examination.reached, 3),
        "event": decoded,
    }
    if not sound and name != "auto":
        others = [c for c in best_fit(payload, catalogue.flat()) if c.examination.fit is not Fit.OTHER_SCHEMA]
        document["fits_better"] = others[0].schema.name if others else None
    print_json(document)
    if not cli.json:
        say(f"{chosen.name}: {examination.fit}. {examination.why}")
    return 0 if sound else _BROKEN


def change_json(change: Change) -> dict[str, Any]:
    """A difference as JSON has it."""
    return {
        "path": change.path,
        "kind": change.kind,
        "before": change.before,
        "after": change.after,
        "breaking": change.breaking,
        "breaks_readers": change.breaks_readers,
        "breaks_writers": change.breaks_writers,
        "why": change.why,
    }


def _catalogue() -> Catalogue:
    from atom_console.config import paths
    from atom_console.schema.catalogue import Catalogue

    return Catalogue([paths.config_dir() / "schemas"])


def _resolve(cli: CliContext, name: str) -> AnySchema:
    if "://" not in name:
        return _catalogue().get(name)
    from atom_console.engine.flight_link import flight_connection
    from atom_console.flight.client import FlightConsole
    from atom_console.flight.connection import parse_target
    from atom_console.schema.loading import AnySchema

    plan = parse_target(name, secure=False).plan
    if not plan:
        raise InputError(f"{name} names no plan", next_step="Write flight://HOST:PORT/PLAN.")
    with FlightConsole(flight_connection(cli.settings(), name), deadline_s=cli.settings().flight.deadline_s) as console:
        found = console.schema(plan)
    if found.mark:
        say(f"{name}: {found.mark}, the declared MDF schema stands in ({found.problem})")
    return AnySchema(plan, name, arrow=found.schema)


def _compare(cli: CliContext, old: str, new: str) -> tuple[Sequence[Change], str]:
    from atom_console.schema.changes import verdict
    from atom_console.schema.loading import diff

    changes = diff(_resolve(cli, old), _resolve(cli, new))
    return changes, verdict(changes)


def _print_changes(cli: CliContext, changes: Sequence[Change], verdict: str) -> None:
    if cli.json:
        print_json({"changes": [change_json(change) for change in changes], "verdict": verdict})
        return
    rows = [(change.path or "(schema)", change.kind, change.before, change.after, _breaks(change), change.why)
            for change in changes]  # fmt: skip
    if rows:
        print_table(("PATH", "CHANGE", "BEFORE", "AFTER", "BREAKS", "WHY"), rows)
    print_line(verdict)


def _breaks(change: Change) -> str:
    sides = [
        name for name, broken in (("readers", change.breaks_readers), ("writers", change.breaks_writers)) if broken
    ]
    return "+".join(sides) or "-"


def _decode(payload: bytes, chosen: AnySchema) -> dict[str, Any]:
    from atom_console.schema.payload import decode as decode_payload

    assert chosen.flat is not None
    return decode_payload(payload, chosen.flat)


def _read_payload(file: Path) -> bytes:
    try:
        if str(file) == "-":
            payload = sys.stdin.buffer.read(_MAX_PAYLOAD_BYTES + 1)
        else:
            with file.open("rb") as opened:
                payload = opened.read(_MAX_PAYLOAD_BYTES + 1)
    except OSError as error:
        raise InputError(f"cannot read {file}: {error.strerror}", next_step="Check the path.") from None
    if len(payload) > _MAX_PAYLOAD_BYTES:
        raise InputError(f"{file} is larger than {_MAX_PAYLOAD_BYTES} bytes", next_step="Give a single payload.")
    return payload


def _tree_json(found: AnySchema, tree: Tree) -> dict[str, Any]:
    return {
        "name": found.name,
        "language": tree.language,
        "source": found.source,
        "root": tree.root or None,
        "identifier": tree.identifier or None,
        "fields": [_node_json(node) for node in tree.fields],
        "types": [_node_json(node) for node in tree.types],
        "metadata": dict(tree.metadata),
    }


def _node_json(node: Node) -> dict[str, Any]:
    return {
        "name": node.name,
        "type": node.type,
        "slot": node.slot,
        "nullable": node.nullable,
        "default": node.default,
        "flags": list(node.flags),
        "docs": list(node.docs),
        "metadata": dict(node.metadata),
        "children": [_node_json(child) for child in node.children],
    }


def _tree_rows(tree: Tree) -> list[tuple[object, ...]]:
    rows: list[tuple[object, ...]] = []

    def add(node: Node, depth: int) -> None:
        notes = " ".join((*node.flags, *(f"{key}={value}" for key, value in node.metadata), *node.docs))
        name = f"{'  ' * depth}{node.name}"
        rows.append((name, node.type, node.slot, "" if node.nullable else "not null", node.default or "", notes))
        for child in node.children:
            add(child, depth + 1)

    for node in (*tree.fields, *tree.types):
        add(node, 0)
    return rows
