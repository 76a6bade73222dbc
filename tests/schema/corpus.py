"""Pairs of FlatBuffers schemas, before and after, to be judged by us and by `flatc --conform`.

`MORE` holds the pairs that `flatc` lets pass although one side then misreads the other, with what it overlooks.
"""

from __future__ import annotations

from typing import NamedTuple


class Pair(NamedTuple):
    old: str
    new: str


def _table(old: str, new: str, before: str = "", after: str | None = None) -> Pair:
    after = before if after is None else after
    return Pair(f"{before} table T {{ {old} }} root_type T;", f"{after} table T {{ {new} }} root_type T;")


def _enum(old: str, new: str, kind: str = "byte", new_kind: str | None = None) -> Pair:
    enums = (f"enum E : {kind} {{ {old} }}", f"enum E : {new_kind or kind} {{ {new} }}")
    return _table("e: E;", "e: E;", *enums)


def _union(old: str, new: str) -> Pair:
    tables = "table A { a: int; } table B { b: int; } table C { c: int; }"
    return _table("u: U;", "u: U;", f"{tables} union U {{ {old} }}", f"{tables} union U {{ {new} }}")


def _struct(old: str, new: str) -> Pair:
    return _table("s: S;", "s: S;", f"struct S {{ {old} }}", f"struct S {{ {new} }}")


_TYPES = ("bool", "byte", "ubyte", "short", "ushort", "int", "uint", "long", "ulong", "float", "double", "string")
_RETYPED = [
    ("int", "long"), ("int", "uint"), ("long", "ulong"), ("int", "short"), ("float", "double"), ("double", "long"),
    ("string", "[ubyte]"), ("[ubyte]", "[byte]"), ("[int]", "[long]"), ("string", "int"), ("bool", "byte"),
    ("[string]", "string"), ("ubyte", "bool"), ("[float]", "[double]"),
]  # fmt: skip

PAIRS: dict[str, Pair] = {
    "nothing": _table("a: int; b: string;", "a: int; b: string;"),
    "comment added": _table("a: int;", "\n/// the answer\na: int;\n"),
    **{f"append {kind}": _table("a: int;", f"a: int; b: {kind};") for kind in _TYPES},
    **{f"{old} to {new}": _table(f"a: {old}; b: int;", f"a: {new}; b: int;") for old, new in _RETYPED},
    "append table": _table("a: int;", "a: int; b: N;", "table N { n: int; }"),
    "append vector of tables": _table("a: int;", "a: int; b: [N];", "table N { n: int; }"),
    "insert in front": _table("a: int; b: int;", "z: int; a: int; b: int;"),
    "insert in the middle": _table("a: int; b: int;", "a: int; z: int; b: int;"),
    "insert with ids": _table("a: int (id: 0); b: int (id: 1);", "a: int (id: 0); z: int (id: 2); b: int (id: 1);"),
    "ids swapped": _table("a: int (id: 0); b: int (id: 1);", "a: int (id: 1); b: int (id: 0);"),
    "reorder": _table("a: int; b: int;", "b: int; a: int;"),
    "reorder with other types": _table("a: int; b: string;", "b: string; a: int;"),
    "remove last": _table("a: int; b: int;", "a: int;"),
    "remove first": _table("a: int; b: int;", "b: int;"),
    "remove first of other type": _table("a: string; b: int;", "b: int;"),
    "deprecate": _table("a: int; b: int;", "a: int (deprecated); b: int;"),
    "deprecate and append": _table("a: int; b: int;", "a: int (deprecated); b: int; c: int;"),
    "revive": _table("a: int (deprecated); b: int;", "a: int; b: int;"),
    "rename": _table("a: int; b: int;", "x: int; b: int;"),
    "rename last": _table("a: int; b: string;", "a: int; text: string;"),
    "rename to other type": _table("a: int; b: int;", "x: long; b: int;"),
    "slot reused by string": _table("a: int; b: double;", "a: int; s: string;"),
    "default changed": _table("a: int = 1;", "a: int = 2;"),
    "default added": _table("a: int;", "a: int = 5;"),
    "default removed": _table("a: double = 1.5;", "a: double;"),
    "default of bool": _table("a: bool = true;", "a: bool;"),
    "default to null": _table("a: int;", "a: int = null;"),
    "null to default": _table("a: double = null;", "a: double;"),
    "default of enum": _table("e: E = A;", "e: E = B;", "enum E : byte { A, B }"),
    "same default, other spelling": _table("a: double = 1.5;", "a: double = 1.50;"),
    "enum grows": _enum("A, B", "A, B, C"),
    "enum grows in the middle": _enum("A, B", "A, C, B"),
    "enum grows with numbers": _enum("A = 0, B = 5", "A = 0, C = 3, B = 5"),
    "enum reordered": _enum("A, B", "B, A"),
    "enum renumbered": _enum("A = 0, B = 1", "A = 0, B = 2"),
    "enum value renamed": _enum("A, B", "A, X"),
    "enum widened": _enum("A, B", "A, B", "byte", "short"),
    "enum made unsigned": _enum("A, B", "A, B", "byte", "ubyte"),
    "enum for its number": _table("e: E;", "e: byte;", "enum E : byte { A, B }", ""),
    "number for an enum": _table("e: byte;", "e: E;", "", "enum E : byte { A, B }"),
    "other enum": _table("e: E;", "e: F;", "enum E : byte { A } enum F : byte { A }"),
    "unused enum added": _table("a: int;", "a: int;", "", "enum E : byte { A }"),
    "union grows": _union("A, B", "A, B, C"),
    "union grows in front": _union("A, B", "C, A, B"),
    "union reordered": _union("A, B", "B, A"),
    "union appended as field": _table("a: int;", "a: int; u: U;", "table A { a: int; } union U { A }"),
    "struct reordered": _struct("a: int; b: int;", "b: int; a: int;"),
    "struct retyped": _struct("a: int; b: int;", "a: int; b: float;"),
    "struct shrinks": _struct("a: int; b: int;", "a: int;"),
    "struct widened": _struct("a: int;", "a: long;"),
    "struct array longer": _struct("a: [int:3];", "a: [int:4];"),
    "struct field renamed": _struct("a: int; b: int;", "a: int; c: int;"),
    "struct to table": _table("s: S;", "s: S;", "struct S { a: int; }", "table S { a: int; }"),
    "nested table grows": _table("n: N;", "n: N;", "table N { a: int; }", "table N { a: int; b: int; }"),
    "nested table retyped": _table("n: N;", "n: N;", "table N { a: int; }", "table N { a: string; }"),
    "nested table reordered": _table("n: N;", "n: N;", "table N { a: int; b: int; }", "table N { b: int; a: int; }"),
    "other nested table": _table("n: N;", "n: M;", "table N { a: int; } table M { a: int; }"),
    "one to many": _table("n: N;", "n: [N];", "table N { a: int; }"),
    "unused table added": _table("a: int;", "a: int;", "", "table N { a: int; }"),
    "unused table removed": _table("a: int;", "a: int;", "table N { a: int; }", ""),
    "recursive table grows": _table("t: T;", "t: T; more: [T];"),
    "namespace, grows": Pair(
        "namespace a.b; table T { a: int; } root_type T;", "namespace a.b; table T { a: int; b: long; } root_type T;"
    ),
    "namespace, retyped": Pair(
        "namespace a.b; table T { a: int; } root_type T;", "namespace a.b; table T { a: uint; } root_type T;"
    ),
    "namespace moved": Pair(
        "namespace a; table T { a: int; } root_type T;", "namespace b; table T { a: int; } root_type T;"
    ),
    "required dropped": _table("s: string (required);", "s: string;"),
    "required set": _table("s: string;", "s: string (required);"),
    "required appended": _table("a: int;", "a: int; s: string (required);"),
    "key set": _table("a: int; b: int;", "a: int (key); b: int;"),
    "key dropped": _table("a: int (key); b: int;", "a: int; b: int;"),
    "enum shrinks": _enum("A, B, C", "A, B"),
    "union shrinks": _union("A, B, C", "A, B"),
    "struct grows": _struct("a: int;", "a: int; b: int;"),
    "struct realigned": Pair(
        "struct S { a: int; } table T { s: S; } root_type T;",
        "struct S (force_align: 16) { a: int; } table T { s: S; } root_type T;",
    ),
    "root changed": Pair(
        "table T { a: int; } table R { a: string; } root_type T;",
        "table T { a: int; } table R { a: string; } root_type R;",
    ),
    "identifier set": Pair(
        "table T { a: int; } root_type T;", 'table T { a: int; } root_type T; file_identifier "ATOM";'
    ),
    "identifier changed": Pair(
        'table T { a: int; } root_type T; file_identifier "ATOM";',
        'table T { a: int; } root_type T; file_identifier "MOTA";',
    ),
    "nested buffer changed": _table(
        'd: [ubyte] (nested_flatbuffer: "N");',
        'd: [ubyte] (nested_flatbuffer: "M");',
        "table N { a: int; } table M { a: string; }",
    ),
    "namespace moved, retyped": Pair(
        "namespace a; table T { a: int; } root_type T;", "namespace b; table T { a: string; } root_type T;"
    ),
}

MORE: dict[str, str] = {
    "required dropped": "old readers refuse payloads without it",
    "required set": "old payloads may lack it",
    "required appended": "old payloads lack it",
    "key set": "old vectors are not sorted by it",
    "key dropped": "old readers search as if sorted",
    "enum shrinks": "old payloads hold the removed value",
    "union shrinks": "old payloads hold the removed member",
    "struct grows": "its size is part of its holder",
    "struct realigned": "its size is part of its holder",
    "struct array longer": "its size is part of its holder",
    "root changed": "payloads are read from another table",
    "identifier set": "readers check it",
    "identifier changed": "readers check it",
    "nested buffer changed": "the bytes inside are another table",
    "namespace moved, retyped": "the same table under another name is not compared",
}

LESS: dict[str, str] = {"same default, other spelling": "flatc compares defaults as text"}
"""What `flatc` refuses although the bytes are the same."""
