"""Any table of a compiled schema → dicts (or objects): safe from hostile bytes, ten times as fast as generated code.

For each vtable image in use one Python function is generated: all scalars come from one `struct` read, and the bounds
of every field are proved when the function is made. Images that are still rare are read step by step, so that a
payload full of odd vtables cannot keep the compiler busy. Presence is kept: an absent field is None, never its default.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping
from typing import Any, Final

from atom_console.events.errors import DecodeError
from atom_console.events.reader import Reader, Table
from atom_console.events.reflection import SCALARS, WIDTHS, BaseType, Field, Object, Schema, Type

_MAX_DEPTH: Final = 64
_MAX_IMAGES: Final = 1000
# Reading a table step by step 32 times costs about as much as generating its function once.
_WARM: Final = 32
_SHORT: Final = 256

_u32 = struct.Struct("<I").unpack_from
_i32 = struct.Struct("<i").unpack_from
_u16 = struct.Struct("<H").unpack_from
_vtable_head = struct.Struct("<HH").unpack_from

_TableFunction = Callable[[bytes, int, Reader, int], Any]


class _FaultError(ValueError):
    """A read that went wrong in generated code; what exactly is found out afterwards."""


class Decoder:
    """Reads payloads whose root is a table of `schema`.

    Args:
        schema: from `reflection.load_schema`.
        root: full name of the root table; by default the schema's own.
        makers: by full table name, what to call with a table's values in slot order instead of making a dict.

    Raises:
        DecodeError: the schema names no such root table.
    """

    def __init__(
        self, schema: Schema, *, root: str | None = None, makers: Mapping[str, Callable[..., Any]] | None = None
    ) -> None:
        try:
            index = schema.root if root is None else schema.object_index(root)
        except KeyError:
            index = None
        if index is None:
            raise DecodeError(None, f"the schema has no root table {root or ''}".rstrip())
        self.schema = schema
        self._root = index
        self._makers = [(makers or {}).get(obj.name) for obj in schema.objects]
        self._images: list[dict[bytes, _TableFunction]] = [{} for _ in schema.objects]
        self._rare: list[dict[bytes, int]] = [{} for _ in schema.objects]

    def decode(self, value: bytes) -> Any:
        """The payload as nested dicts (or what the makers make).

        None where a field is absent, enums as numbers, bytes for [ubyte].

        Raises:
            DecodeError: whatever is wrong with the bytes; no other exception.
        """
        if type(value) is not bytes:
            value = memoryview(value).tobytes()
        reader = Reader(value)
        try:
            return self._table(value, _u32(value, 0)[0], reader, self._root, _MAX_DEPTH)
        except (struct.error, UnicodeDecodeError, _FaultError, DecodeError) as error:
            # Generated code does not know where it is; a walk from the root finds the same fault with its whole path.
            self.verify(value)
            if isinstance(error, DecodeError):
                raise
            raise DecodeError(None, str(error) or "a read outside of the buffer") from error

    def verify(self, value: bytes) -> None:
        """Everything that a FlatBuffers verifier holds (bounds, alignment, NUL behind strings), and UTF-8 and bombs.

        Raises:
            DecodeError: the first fault, with its field path.
        """
        reader = Reader(memoryview(value).tobytes(), strict=True)
        self._walk(reader, reader.root().position, self._root, _MAX_DEPTH)

    # Generated functions and their parts: `b` is the buffer, `p` a position, `r` the reader that counts.

    def _table(self, b: bytes, p: int, r: Reader, index: int, depth: int) -> Any:
        r.visits_left -= 1
        if r.visits_left < 0 or depth < 0:
            raise DecodeError(p, "tables nested or shared beyond reason (a bomb)")
        function = self._function(b, p, index)
        return self._walk(r, p, index, depth) if function is None else function(b, p, r, depth)

    def _function(self, b: bytes, p: int, index: int) -> _TableFunction | None:
        """The function for the vtable of the table at `p`; None while its image is rare."""
        vtable = p - _i32(b, p)[0]
        if vtable < 0:
            raise _FaultError
        image = b[vtable : vtable + _u16(b, vtable)[0]]
        return self._images[index].get(image) or self._warm(index, image)

    def _warm(self, index: int, image: bytes) -> _TableFunction | None:
        rare = self._rare[index]
        seen = rare.get(image, 0) + 1
        if seen < _WARM:
            if len(rare) >= _MAX_IMAGES:
                rare.clear()
            rare[image] = seen
            return None
        rare.pop(image, None)
        function = self._generate(index, image)
        images = self._images[index]
        if len(images) >= _MAX_IMAGES:
            images.clear()
        images[image] = function
        return function

    def _tables(self, b: bytes, q: int, n: int, r: Reader, index: int, depth: int) -> list[Any]:
        """A vector of `n` tables whose offsets start at `q`."""
        if n == 1:
            return [self._table(b, q + _u32(b, q)[0], r, index, depth)]
        r.visits_left -= n
        if r.visits_left < 0 or depth < 0:
            raise DecodeError(q, "tables nested or shared beyond reason (a bomb)")
        out = []
        functions: dict[int, _TableFunction] = {}
        for offset in struct.unpack_from(f"<{n}I", b, q):
            p = q + offset
            q += 4
            vtable = p - _i32(b, p)[0]
            function = functions.get(vtable)
            if function is None:
                function = self._function(b, p, index)
                if function is None:
                    out.append(self._walk(r, p, index, depth))
                    continue
                functions[vtable] = function
            out.append(function(b, p, r, depth))
        return out

    def _other(self, b: bytes, q: int, r: Reader, field: Field, depth: int) -> Any:
        """A vector that is neither bytes nor tables; `b` is not needed, the reader has it."""
        return self._vector(r, q, field.type, depth)

    def _generate(self, index: int, image: bytes) -> _TableFunction:
        """The function that reads tables with this vtable.

        Raises:
            _FaultError: not a vtable, or a field outside of its table.
        """
        if len(image) < 4 or len(image) & 1 or _vtable_head(image)[0] != len(image) or _vtable_head(image)[1] < 4:
            raise _FaultError
        size = _vtable_head(image)[1]
        offsets = struct.unpack_from(f"<{len(image) // 2 - 2}H", image, 4)
        obj = self.schema.objects[index]
        present = sorted((offsets[f.slot], f) for f in obj.fields if f.slot < len(offsets) and offsets[f.slot])
        if any(self._needs_steps(field.type) for _, field in present):
            return lambda _b, p, r, depth: self._walk(r, p, index, depth)

        layout, at, lines = "<", 0, []
        scope: dict[str, Any] = {"u32": _u32, "Fault": _FaultError, "long": _long, "table": self._table}
        scope |= {"tables": self._tables, "other": self._other, "make": self._makers[index]}
        for offset, field in present:
            code = SCALARS.get(field.type.base, "I")
            width = struct.calcsize(f"<{code}")
            if offset < 4 or offset + width > size:
                raise _FaultError
            if offset < at:  # fields that overlap: odd, but a verifier lets them pass
                return lambda _b, p, r, depth: self._walk(r, p, index, depth)
            layout += f"{offset - at}x{code}"
            at = offset + width
            if field.type.base not in SCALARS:
                scope[f"field{field.slot}"] = field
                lines += self._child_lines(field, offset)
        names = [f"v{field.slot}" for _, field in present]
        scope["unpack"] = struct.Struct(f"{layout}{size - at}x").unpack_from
        head = f" {', '.join(names)}, = unpack(b, p)" if names else " unpack(b, p)"
        source = "\n".join(("def read(b, p, r, depth):", head, *lines, f" return {self._result(index, names)}"))
        exec(compile(source, "<generated reader>", "exec"), scope)  # noqa: S102 (the source holds only our own text and repr of field names)
        function: _TableFunction = scope["read"]
        return function

    def _needs_steps(self, kind: Type) -> bool:
        """Whether a field is of a kind that no function is generated for."""
        if kind.base is BaseType.OBJ:
            return self.schema.objects[kind.index].is_struct
        return kind.base in (BaseType.UNION, BaseType.VECTOR64, BaseType.ARRAY)

    def _child_lines(self, field: Field, offset: int) -> list[str]:
        """Source lines that follow the offset in `v<slot>` and put the value there."""
        name, kind = f"v{field.slot}", field.type
        follow = f" q = p + {offset} + {name}"
        if kind.base is BaseType.OBJ:
            return [follow, f" {name} = table(b, q, r, {kind.index}, depth - 1)"]
        text = kind.base is BaseType.STRING
        if text or kind.element is BaseType.UBYTE:
            return [
                follow,
                " n, = u32(b, q)",
                " q += 4",
                f" if n < {_SHORT}:",
                "  s = b[q:q + n]",
                "  if len(s) != n: raise Fault",
                f"  {name} = s{'.decode()' if text else ''}",
                f" else: {name} = long(r, q, n, {text})",
            ]
        if kind.element is BaseType.OBJ and not self.schema.objects[kind.index].is_struct:
            return [follow, f" {name} = tables(b, q + 4, u32(b, q)[0], r, {kind.index}, depth - 1)"]
        return [follow, f" {name} = other(b, q, r, field{field.slot}, depth)"]

    def _result(self, index: int, names: list[str]) -> str:
        fields = self.schema.objects[index].fields
        values = [(field.name, f"v{field.slot}" if f"v{field.slot}" in names else "None") for field in fields]
        if self._makers[index] is not None:
            return f"make({', '.join(value for _, value in values)})"
        return "{" + ", ".join(f"{name!r}: {value}" for name, value in values) + "}"

    # Step by step: for rare vtables, unusual types, and to find and name a fault.

    def _walk(self, r: Reader, p: int, index: int, depth: int) -> Any:
        if depth < 0:
            raise DecodeError(p, "tables nested beyond reason")
        table = r.table(p)
        obj = self.schema.objects[index]
        values: dict[str, Any] = {}
        for field in obj.fields:
            try:
                values[field.name] = self._field(r, table, obj, field, depth)
            except DecodeError as error:
                raise error.inside(field.name) from None
        maker = self._makers[index]
        return values if maker is None else maker(*values.values())

    def _field(self, r: Reader, table: Table, obj: Object, field: Field, depth: int) -> Any:  # noqa: PLR0911 (one a kind)
        kind = field.type
        struct_index = kind.index if kind.base is BaseType.OBJ and self.schema.objects[kind.index].is_struct else None
        width = WIDTHS.get(kind.base, 4) if struct_index is None else self.schema.objects[struct_index].bytesize
        at = table.field(field.slot, width)
        if at is None:
            return None
        if kind.base in SCALARS:
            return r.scalar(SCALARS[kind.base], at)
        if struct_index is not None:
            return self._struct(r, at, struct_index)
        target = r.offset(at)
        if kind.base is BaseType.STRING:
            return r.text(target)
        if kind.base is BaseType.OBJ:
            return self._child(r, target, kind.index, depth)
        if kind.base is BaseType.VECTOR:
            return self._vector(r, target, kind, depth)
        if kind.base is BaseType.UNION:
            return self._union(r, table, obj, field, target, depth)
        raise DecodeError(at, f"fields of type {kind.base.name} cannot be read here")

    def _child(self, r: Reader, p: int, index: int, depth: int) -> Any:
        """A table below: careful all the way down in a check, generated again otherwise."""
        if r.strict:
            r.visit(1, p)
            return self._walk(r, p, index, depth - 1)
        return self._table(r.buffer, p, r, index, depth - 1)

    def _vector(self, r: Reader, p: int, kind: Type, depth: int) -> Any:
        element = kind.element
        if element in SCALARS:
            code = SCALARS[element]
            start, count = r.span(p, WIDTHS[element])
            r.charge(count * WIDTHS[element], p)
            raw = r.buffer[start : start + count * WIDTHS[element]]
            return raw if element is BaseType.UBYTE else list(struct.unpack(f"<{count}{code}", raw))
        if element is BaseType.OBJ and self.schema.objects[kind.index].is_struct:
            size = self.schema.objects[kind.index].bytesize
            start, count = r.span(p, size)
            r.charge(count * size, p)
            return [self._struct(r, start + size * i, kind.index) for i in range(count)]
        if element not in (BaseType.OBJ, BaseType.STRING):
            raise DecodeError(p, f"vectors of {element.name} cannot be read here")
        start, count = r.span(p, 4)
        out = []
        for i in range(count):
            try:
                target = r.offset(start + 4 * i)
                if element is BaseType.STRING:
                    r.visit(1, target)
                    out.append(r.text(target))
                else:
                    out.append(self._child(r, target, kind.index, depth))
            except DecodeError as error:
                raise error.inside(f"[{i}]") from None
        return out

    def _struct(self, r: Reader, p: int, index: int) -> dict[str, Any]:
        obj = self.schema.objects[index]
        if r.strict and p % max(obj.minalign, 1):
            raise DecodeError(p, "a struct that is not aligned")
        return {field.name: self._struct_field(r, p + field.offset, field.type) for field in obj.fields}

    def _struct_field(self, r: Reader, p: int, kind: Type) -> Any:
        if kind.base in SCALARS:
            return r.scalar(SCALARS[kind.base], p)
        if kind.base is BaseType.OBJ:
            return self._struct(r, p, kind.index)
        if kind.base is not BaseType.ARRAY:
            raise DecodeError(p, f"struct fields of type {kind.base.name} cannot be read here")
        item = Type(kind.element, index=kind.index)
        width = WIDTHS.get(kind.element) or self.schema.objects[kind.index].bytesize
        return [self._struct_field(r, p + width * i, item) for i in range(kind.fixed_length)]

    def _union(self, r: Reader, table: Table, obj: Object, field: Field, target: int, depth: int) -> Any:
        """What the union holds; which member that is stands in the field before it."""
        selector = next((f for f in obj.fields if f.slot == field.slot - 1 and f.type.base is BaseType.UTYPE), None)
        chosen = 0 if selector is None else table.integer(selector.slot, "B")
        for member in self.schema.enums[field.type.index].values:
            kind = member.union_type
            if member.value != chosen or kind is None or kind.base is BaseType.NONE:
                continue
            if kind.base is BaseType.STRING:
                return r.text(target)
            if self.schema.objects[kind.index].is_struct:
                return self._struct(r, target, kind.index)
            return self._child(r, target, kind.index, depth)
        raise DecodeError(target, f"a union member {chosen} that the schema does not have")


def _long(r: Reader, q: int, n: int, text: bool) -> str | bytes:
    """A long string or byte vector at `q`; kept by position, so that shared ones do not multiply."""
    if q + n > r.size:
        raise _FaultError
    r.charge(n, q)
    known = r.long_texts.get((q, text))
    if known is not None:
        return known
    raw = r.buffer[q : q + n]
    value: str | bytes = raw.decode() if text else raw
    r.long_texts[q, text] = value
    return value
