"""What the room's two tables show: the schemas, and the fields of one of them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice
from typing import NamedTuple

from atom_console.engine.schema_shelf import Origin, ShelfRow
from atom_console.schema.tree import Node, Tree, search
from atom_console.ui.drawing import Role, count
from atom_console.ui.rows import Cell, Column, Row

SHELF_COLUMNS = (
    Column("name", 22, 44),
    Column("language", 11, 11, priority=2),
    Column("from", 9, 9),
    Column("fields", 6, 6, priority=3, align="right"),
    Column("about", 24, 120, priority=2),
)
TREE_COLUMNS = (
    Column("field", 24, 44),
    Column("type", 12, 40),
    Column("slot", 4, 4, priority=2, align="right"),
    Column("nulls", 8, 8, priority=3),
    Column("default", 8, 20, priority=4),
)
MOST_FIELDS = 5_000
"""A schema can refer to itself so that its tree has no end worth showing."""

_ORIGINS: dict[Origin, str] = {
    "bundled": "bundled",
    "directory": "yours",
    "file": "file",
    "flight": "Flight",
    "topic": "topic",
}


class TreeLine(NamedTuple):
    """A field with its place."""

    depth: int
    path: str
    node: Node


def shelf_rows(rows: Sequence[ShelfRow], query: str) -> list[Row]:
    """The schemas whose name, origin or source hold the words; a row's key is origin and name."""
    wanted = query.casefold().split()
    return [
        _shelf_row(row)
        for row in rows
        if all(word in f"{row.name} {_ORIGINS[row.origin]} {row.source}".casefold() for word in wanted)
    ]


def _shelf_row(row: ShelfRow) -> Row:
    schema = row.schema
    role: Role = "error" if schema is None and row.origin != "topic" else "warn" if row.drifts else ""
    about = row.note or ("" if schema is None else schema.tree.root or row.source)
    return Row(
        (row.origin, row.name),
        (
            row.name,
            "?" if schema is None else schema.language,
            Cell(_ORIGINS[row.origin], "info" if row.origin in {"flight", "topic"} else "dim"),
            "?" if schema is None else count(len(schema.tree.fields)),
            Cell(about, role),
        ),
    )


def flattened(tree: Tree) -> list[TreeLine]:
    """Every field below its holder; the other types of a FlatBuffers schema come after the root's fields."""
    return list(islice(_walk((*tree.fields, *tree.types), 0, ""), MOST_FIELDS))


def found(tree: Tree, text: str) -> list[TreeLine]:
    """Fields and types that contain the text, with their paths."""
    hits = islice(search(tree, text), MOST_FIELDS)
    return [TreeLine(0, path, node) for path, node in hits]


def tree_rows(lines: Sequence[TreeLine], *, paths: bool) -> list[Row]:
    """The rows of a tree, or of what was found in it."""
    return [_tree_row(number, at, paths=paths) for number, at in enumerate(lines)]


def _tree_row(number: int, at: TreeLine, *, paths: bool) -> Row:
    node = at.node
    holds = bool(node.children)
    name = at.path if paths else f"{'  ' * at.depth}{node.name}"
    role: Role = "dim" if "deprecated" in node.flags else "strong" if holds and not at.depth else ""
    return Row(
        number,
        (
            Cell(name, role),
            Cell(node.type, "dim"),
            "" if node.slot is None else str(node.slot),
            "" if node.nullable else "not null",
            node.default or "",
        ),
    )


def _walk(nodes: Sequence[Node], depth: int, above: str) -> Iterator[TreeLine]:
    for node in nodes:
        path = f"{above}.{node.name}" if above else node.name
        yield TreeLine(depth, path, node)
        yield from _walk(node.children, depth + 1, path)
