"""One tree of fields over FlatBuffers and Arrow schemas, for showing and searching."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from atom_console.events.reflection import Enum, Field, Object, Schema
from atom_console.safe_text import safe_text
from atom_console.schema.flat_types import default_text, named_type, type_text

if TYPE_CHECKING:
    import pyarrow as pa

_MAX_DEPTH = 32


@dataclass(frozen=True, slots=True)
class Node:
    """A field, or a member of an enum.

    Attributes:
        name: harmless text, like all others here.
        type: as its language writes it.
        slot: place in the vtable, or position of the column, or number of an enum's member.
        nullable: whether it can be absent.
        default: what its absence means, or None.
        flags: such as `required`, `key`, `deprecated`, `recursive`.
        docs: comment lines of the source.
        metadata: Arrow metadata or FlatBuffers attributes.
        children: the fields inside.
    """

    name: str
    type: str
    slot: int | None = None
    nullable: bool = True
    default: str | None = None
    flags: tuple[str, ...] = ()
    docs: tuple[str, ...] = ()
    metadata: tuple[tuple[str, str], ...] = ()
    children: tuple[Node, ...] = ()


@dataclass(frozen=True, slots=True)
class Tree:
    """A whole schema.

    Attributes:
        root: name of the root table; empty for Arrow.
        identifier: FlatBuffers file identifier, or empty.
        fields: of the root.
        types: FlatBuffers only: every other table, struct, enum and union.
    """

    language: Literal["flatbuffers", "arrow"]
    root: str
    identifier: str
    fields: tuple[Node, ...]
    types: tuple[Node, ...] = ()
    docs: tuple[str, ...] = ()
    metadata: tuple[tuple[str, str], ...] = ()


def search(tree: Tree, text: str) -> Iterator[tuple[str, Node]]:
    """Path and node of each field or type whose name, type or docs contain `text`, in any case."""
    wanted = text.casefold()
    for node in (*tree.fields, *tree.types):
        yield from _search("", node, wanted)


def flat_tree(schema: Schema) -> Tree:
    """The tree of a FlatBuffers schema, from its root down."""
    root = schema.objects[schema.root] if schema.root is not None else None
    others = [obj for obj in schema.objects if obj is not root]
    return Tree(
        "flatbuffers",
        safe_text(root.name) if root else "",
        safe_text(schema.file_ident),
        _fields(schema, root, ()) if root else (),
        (*(_object_node(schema, obj) for obj in others), *map(_enum_node, schema.enums)),
        _texts(root.documentation) if root else (),
    )


def arrow_tree(schema: pa.Schema) -> Tree:
    """The tree of an Arrow schema."""
    fields = tuple(_arrow_node(field, position, 0) for position, field in enumerate(schema))
    return Tree("arrow", "", "", fields, metadata=_arrow_metadata(schema.metadata))


def _search(parent: str, node: Node, wanted: str) -> Iterator[tuple[str, Node]]:
    path = f"{parent}.{node.name}" if parent else node.name
    if any(wanted in text.casefold() for text in (node.name, node.type, *node.docs)):
        yield path, node
    for child in node.children:
        yield from _search(path, child, wanted)


def _fields(schema: Schema, obj: Object, above: tuple[str, ...]) -> tuple[Node, ...]:
    return tuple(_field_node(schema, obj, field, (*above, obj.name)) for field in obj.fields)


def _field_node(schema: Schema, parent: Object, field: Field, above: tuple[str, ...]) -> Node:
    named = named_type(schema, field.type)
    flags = [name for name in ("required", "key", "deprecated") if getattr(field, name)]
    children: tuple[Node, ...] = ()
    if isinstance(named, Object):
        if named.name in above or len(above) >= _MAX_DEPTH:
            flags.append("recursive")
        else:
            children = _fields(schema, named, above)
    return Node(
        safe_text(field.name),
        safe_text(type_text(schema, field.type)),
        field.offset if parent.is_struct else field.slot,
        not (field.required or parent.is_struct),
        default_text(schema, field),
        tuple(flags),
        _texts(field.documentation),
        _pairs(field.attributes),
        children,
    )


def _object_node(schema: Schema, obj: Object) -> Node:
    kind = f"struct, {obj.bytesize} bytes" if obj.is_struct else "table"
    docs, attributes = _texts(obj.documentation), _pairs(obj.attributes)
    return Node(safe_text(obj.name), kind, docs=docs, metadata=attributes, children=_fields(schema, obj, ()))


def _enum_node(enum: Enum) -> Node:
    members = tuple(
        Node(safe_text(value.name), "member", value.value, docs=_texts(value.documentation)) for value in enum.values
    )
    kind = "union" if enum.is_union else f"enum : {enum.underlying.base.name.lower()}"
    docs, attributes = _texts(enum.documentation), _pairs(enum.attributes)
    return Node(safe_text(enum.name), kind, docs=docs, metadata=attributes, children=members)


def _texts(lines: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(safe_text(line.strip()) for line in lines)


def _pairs(attributes: tuple[tuple[str, str], ...]) -> tuple[tuple[str, str], ...]:
    return tuple((safe_text(key), safe_text(value)) for key, value in attributes)


def _arrow_node(field: pa.Field, position: int, depth: int) -> Node:
    from atom_console.schema.arrow_diff import type_children
    from atom_console.schema.arrow_diff import type_text as arrow_type_text

    inside = type_children(field.type) if depth < _MAX_DEPTH else []
    return Node(
        safe_text(field.name),
        safe_text(arrow_type_text(field.type)),
        position,
        field.nullable,
        metadata=_arrow_metadata(field.metadata),
        children=tuple(_arrow_node(child, index, depth + 1) for index, child in enumerate(inside)),
    )


def _arrow_metadata(metadata: dict[bytes, bytes] | None) -> tuple[tuple[str, str], ...]:
    return tuple((safe_text(key), safe_text(value)) for key, value in (metadata or {}).items())
