"""AtomEvent → FlatBuffer, straight into the layout of `layout.py`.

The usual event (one molecule with every scalar set, ASCII ids) is a single `struct.pack`: what does not change between
events of a tenant is kept as constants by shape. Everything else takes the general path, which looks at each field by
its rule and names the one that does not fit. Both give the same bytes.

The two `encode` functions are twins, written out because a call or a getter a field would cost more than the encoding.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping, Sequence
from operator import attrgetter
from typing import Any, Final

from atom_console.events import rules
from atom_console.events.errors import EncodeError
from atom_console.events.layout import (
    EVENT_END,
    EVENT_FIELDS,
    EVENT_HEADS,
    EVENT_OFFSETS,
    EVENT_TABLE,
    HASH_BYTES,
    HASH_OFFSET,
    MAX_BYTES,
    MOLECULE_FIELDS,
    MOLECULE_OFFSETS,
    MOLECULE_SIZE,
    MOLECULE_TABLE,
    MOLECULE_VTABLES,
    ROOT,
    TEXT_SLOTS,
    VTABLE_SIZE,
    align8,
    text_record,
)
from atom_console.events.model import AtomEvent, EventType, Molecule

_MAX_SHAPES: Final = 4096
_NO_TEXT: Final = 0b11011011
_WITH_TEXT: Final = 1 << 2
_WITH_ERROR: Final = 1 << 5
_TEXT_AT, _ERROR_AT = MOLECULE_OFFSETS[2], MOLECULE_OFFSETS[5]

# What an unusual event raises on the fast path; the general path then finds out what it is.
_UNUSUAL: Final = (AttributeError, KeyError, TypeError, ValueError, IndexError, struct.error)

# (pack, head, text before and between the ids, constants before the molecule's values)
_Shape = tuple[Callable[..., bytes], bytes, str, str, str, bytes]
_plain_shapes: dict[tuple[object, ...], _Shape] = {}
_text_shapes: dict[tuple[object, ...], _Shape] = {}
# text offset, error offset, bool, hash length: the end of the constants where a molecule has texts.
_pack_texts = struct.Struct("<IIB3xI").pack


def encode(event: AtomEvent) -> bytes:
    """The FlatBuffer of an event. None is left out; any other value is written, also one that equals the default.

    Raises:
        EncodeError: a field that does not fit, by its path; nothing was written.
    """
    try:
        (m,) = event.molecules  # type: ignore[misc]  # None and other lengths are unusual
        event_id = event.event_id
        trace_id = event.trace_id
        tenant = event.tenant_id
        user = event.user_id
        kind = event.type
        time = event.timestamp
        coordinate = m.coordinate_hash
        number = m.numeric_value
        date = m.date_value
        flag = m.boolean_value
        written = m.timestamp
        mask = m.security_mask
        text = m.text_commentary
        error = m.error_value
        if (
            type(event_id) is type(trace_id) is type(tenant) is type(user) is str
            and type(time) is type(date) is type(written) is type(mask) is int
            and type(number) is float
            and type(coordinate) is bytes
            and len(coordinate) == HASH_BYTES
            and (flag is True or flag is False)
            and (type(kind) is EventType or type(kind) is int)
            and event.schema_payload is None
        ):
            if text is None is error:
                key = (tenant, kind, flag, len(event_id), len(trace_id), len(user))
                shape = _plain_shapes.get(key)
                pack, head, s0, s1, s2, tail = _plain_shape(key) if shape is None else shape
                ids = f"{s0}{event_id}{s1}{trace_id}{s2}{user}".encode("ascii")
                return pack(head, time, ids, tail, coordinate, number, date, written, mask)
            text_key = (tenant, kind, text is None, error is None, len(event_id), len(trace_id), len(user))
            shape = _text_shapes.get(text_key)
            pack, head, s0, s1, s2, tail = _text_shape(text_key) if shape is None else shape
            ids = f"{s0}{event_id}{s1}{trace_id}{s2}{user}".encode("ascii")
            tail, texts = _texts(tail, text, error, flag)
            return pack(head, time, ids, tail, coordinate, number, date, written, mask) + texts
    except _UNUSUAL:
        pass
    return _general_object(event)


def encode_mapping(event: Mapping[str, Any]) -> bytes:
    """The FlatBuffer of an event given as a mapping of field names; `molecules` is a list of mappings.

    A missing key and None are the same: absent. All keys given (with None) is the fast way.

    Raises:
        EncodeError: a field that does not fit or is not known, by its path; nothing was written.
    """
    try:
        (m,) = event["molecules"]
        event_id = event["event_id"]
        trace_id = event["trace_id"]
        tenant = event["tenant_id"]
        user = event["user_id"]
        kind = event["type"]
        time = event["timestamp"]
        coordinate = m["coordinate_hash"]
        number = m["numeric_value"]
        date = m["date_value"]
        flag = m["boolean_value"]
        written = m["timestamp"]
        mask = m["security_mask"]
        text = m["text_commentary"]
        error = m["error_value"]
        if (
            type(event_id) is type(trace_id) is type(tenant) is type(user) is str
            and type(time) is type(date) is type(written) is type(mask) is int
            and type(number) is float
            and type(coordinate) is bytes
            and len(coordinate) == HASH_BYTES
            and (flag is True or flag is False)
            and (type(kind) is EventType or type(kind) is int)
            and event["schema_payload"] is None
            and len(event) == len(m) == 8  # every known key was read: no room for an unknown one
        ):
            if text is None is error:
                key = (tenant, kind, flag, len(event_id), len(trace_id), len(user))
                shape = _plain_shapes.get(key)
                pack, head, s0, s1, s2, tail = _plain_shape(key) if shape is None else shape
                ids = f"{s0}{event_id}{s1}{trace_id}{s2}{user}".encode("ascii")
                return pack(head, time, ids, tail, coordinate, number, date, written, mask)
            text_key = (tenant, kind, text is None, error is None, len(event_id), len(trace_id), len(user))
            shape = _text_shapes.get(text_key)
            pack, head, s0, s1, s2, tail = _text_shape(text_key) if shape is None else shape
            ids = f"{s0}{event_id}{s1}{trace_id}{s2}{user}".encode("ascii")
            tail, texts = _texts(tail, text, error, flag)
            return pack(head, time, ids, tail, coordinate, number, date, written, mask) + texts
    except _UNUSUAL:
        pass
    return _general_mapping(event)


def _texts(tail: bytes, text: str | None, error: str | None, flag: bool) -> tuple[bytes, bytes]:
    """The molecule's strings, and the constants completed by the offsets to them."""
    first = b"" if text is None else text_record(str.encode(text))
    second = b"" if error is None else text_record(str.encode(error))
    text_offset = MOLECULE_SIZE - _TEXT_AT if first else 0
    error_offset = MOLECULE_SIZE - _ERROR_AT + len(first) if second else 0
    return tail + _pack_texts(text_offset, error_offset, flag, HASH_BYTES), first + second


def _plain_shape(key: tuple[Any, ...]) -> _Shape:
    tenant, kind, flag, *lengths = key
    shape = _shape(tenant, kind, lengths, _NO_TEXT, _pack_texts(0, 0, flag, HASH_BYTES))
    return _keep(_plain_shapes, key, shape)


def _text_shape(key: tuple[Any, ...]) -> _Shape:
    tenant, kind, no_text, no_error, *lengths = key
    presence = _NO_TEXT | (0 if no_text else _WITH_TEXT) | (0 if no_error else _WITH_ERROR)
    return _keep(_text_shapes, key, _shape(tenant, kind, lengths, presence, b""))


def _keep(shapes: dict[tuple[object, ...], _Shape], key: tuple[object, ...], shape: _Shape) -> _Shape:
    if len(shapes) >= _MAX_SHAPES:
        shapes.clear()
    shapes[key] = shape
    return shape


def _shape(tenant: str, kind: int, lengths: Sequence[int], presence: int, end: bytes) -> _Shape:
    """The constants of one-molecule events of a tenant and type, whose ids have these lengths.

    Raises:
        ValueError: not a usual event: an id longer than a 7-bit length, or a tenant too long to keep.
    """
    if max(lengths) > 127 or len(tenant) > 255:
        raise ValueError("the general path has no such limit")
    kind = rules.event_type(kind, "type")
    position, starts = EVENT_END, []
    for length in lengths:
        starts.append(position)
        position += len(text_record(bytes(length)))
    tenant_raw = text_record(tenant.encode())
    vector = position + len(tenant_raw)
    table = align8(vector + 8 + VTABLE_SIZE)
    at = {0: starts[0], 1: starts[1], 5: starts[2], 4: position, 6: vector}
    head = EVENT_HEADS[0b01111111] + EVENT_TABLE.pack(*_offsets(at), kind, 0)[:-8]

    padding = ["\0" * (4 - (length & 3)) for length in lengths]
    words = [f"{chr(length)}\0\0\0" for length in lengths]
    tail = b"".join(
        (
            padding[2].encode(),
            tenant_raw,
            struct.pack("<II", 1, table - vector - 4),
            bytes(table - VTABLE_SIZE - vector - 8),
            MOLECULE_VTABLES[presence],
            struct.pack("<iI", VTABLE_SIZE, HASH_OFFSET),
            end,
        )
    )
    ids = sum(lengths) + 12 + len(padding[0]) + len(padding[1])
    size = len(tail) + (0 if end else 16)
    pack = struct.Struct(f"<{len(head)}sq{ids}s{size}s16sdqqQ").pack
    return pack, head, words[0], padding[0] + words[1], padding[1] + words[2], tail


def _offsets(at: Mapping[int, int]) -> tuple[int, ...]:
    """Positions of the event's children by slot → the six offsets of its table, 0 for what is absent."""
    return tuple(at[slot] - ROOT - EVENT_OFFSETS[slot] if slot in at else 0 for slot in (0, 1, 4, 5, 6, 7))


_event_attributes = attrgetter(*EVENT_FIELDS)
_molecule_attributes = attrgetter(*MOLECULE_FIELDS)
_Values = Sequence[Any]


def _general_object(event: AtomEvent) -> bytes:
    try:
        values = _event_attributes(event)
    except AttributeError:
        raise EncodeError("", rules.describe(event), "an AtomEvent") from None
    return _assemble(values, [_object_values(m, i) for i, m in enumerate(_molecule_list(values[6]))])


def _object_values(molecule: Molecule, index: int) -> _Values:
    try:
        return _molecule_attributes(molecule)
    except AttributeError:
        raise EncodeError(f"molecules[{index}]", rules.describe(molecule), "a Molecule") from None


def _general_mapping(event: Mapping[str, Any]) -> bytes:
    if not isinstance(event, Mapping):
        raise EncodeError("", rules.describe(event), "a mapping of field names")
    rules.refuse_unknown_event_fields(event)
    values = [event.get(name) for name in EVENT_FIELDS]
    return _assemble(values, [_mapping_values(m, i) for i, m in enumerate(_molecule_list(values[6]))])


def _mapping_values(molecule: Mapping[str, Any], index: int) -> _Values:
    if not isinstance(molecule, Mapping):
        raise EncodeError(f"molecules[{index}]", rules.describe(molecule), "a mapping of field names")
    if not molecule.keys() <= _MOLECULE_NAMES:
        rules.refuse_unknown_molecule_fields(molecule, f"molecules[{index}].")
    return [molecule.get(name) for name in MOLECULE_FIELDS]


_MOLECULE_NAMES: Final = frozenset(MOLECULE_FIELDS)


def _molecule_list(molecules: object) -> Sequence[Any]:
    """What may be looked at twice; a generator could not."""
    if molecules is None:
        return ()
    if isinstance(molecules, (list, tuple)):
        return molecules
    raise EncodeError("molecules", rules.describe(molecules), "a list or tuple")


def checked_event(values: _Values) -> list[Any]:
    """The event's own fields in wire types (text as UTF-8 bytes, None where absent); `molecules` is left as it is."""
    checked: list[Any] = []
    for name, value in zip(EVENT_FIELDS, values, strict=True):
        if value is not None and name != "molecules":
            checked.append(rules.EVENT_RULES[name](value, name))
        else:
            checked.append(value)
    if checked[2] is None:
        raise EncodeError("timestamp", "nothing", "an integer of Unix nanoseconds (required)")
    if checked[3] is None:
        raise EncodeError("type", "nothing", f"{rules.TYPE_NAMES} (required)")
    return checked


def _checked_molecule(values: _Values, index: int) -> tuple[int, _Values]:
    """Presence bits, and the fields in wire types with zeros where absent (None for an absent text)."""
    coordinate, number, text, date, flag, error, written, mask = values
    if (
        type(coordinate) is bytes
        and len(coordinate) == HASH_BYTES
        and type(number) is float
        and type(date) is type(written) is int
        and -(1 << 63) <= date < 1 << 63
        and -(1 << 63) <= written < 1 << 63
        and type(mask) is int
        and 0 <= mask < 1 << 64
        and (flag is True or flag is False)
    ):
        if text is None is error:
            return _NO_TEXT, values
        presence = _NO_TEXT | (0 if text is None else _WITH_TEXT) | (0 if error is None else _WITH_ERROR)
        text = None if text is None else rules.text(text, f"molecules[{index}].text_commentary")
        error = None if error is None else rules.text(error, f"molecules[{index}].error_value")
        return presence, (coordinate, number, text, date, flag, error, written, mask)
    presence = 0
    checked: list[Any] = [b"", 0.0, None, 0, False, None, 0, 0]
    for slot, (name, value) in enumerate(zip(MOLECULE_FIELDS, values, strict=True)):
        if value is not None:
            presence |= 1 << slot
            checked[slot] = rules.MOLECULE_RULES[name](value, f"molecules[{index}].{name}")
    return presence, checked


def _assemble(event: _Values, molecules: Sequence[_Values]) -> bytes:
    values = checked_event(event)
    presence, strings, at, position = event_texts(values)
    parts: list[bytes] = []
    if values[6] is not None:
        presence |= 1 << 6
        at[6] = position
        parts = _molecule_parts(position, [_checked_molecule(m, i) for i, m in enumerate(molecules)])
    size = position + sum(map(len, parts))
    if size > MAX_BYTES:
        raise EncodeError("", f"{size} bytes of FlatBuffer", f"at most {MAX_BYTES} bytes")
    return b"".join((event_head(values, presence, at), *strings, *parts))


def event_texts(values: _Values) -> tuple[int, list[bytes], dict[int, int], int]:
    """The event's strings: presence bits with timestamp and type, records, positions by slot, the position behind."""
    presence, position = 0b1100, EVENT_END
    records: list[bytes] = []
    at: dict[int, int] = {}
    for slot in TEXT_SLOTS:
        if values[slot] is not None:
            record = text_record(values[slot])
            presence |= 1 << slot
            at[slot] = position
            records.append(record)
            position += len(record)
    return presence, records, at, position


def event_head(values: _Values, presence: int, at: Mapping[int, int]) -> bytes:
    """The first 64 bytes of an event."""
    return EVENT_HEADS[presence] + EVENT_TABLE.pack(*_offsets(at), values[3], values[2])


def _molecule_parts(vector: int, molecules: list[tuple[int, _Values]]) -> list[bytes]:
    """Offsets, vtables, tables and texts of the molecules, for a vector at `vector`."""
    count = len(molecules)
    vtables = {presence: VTABLE_SIZE * i for i, presence in enumerate(dict.fromkeys(p for p, _ in molecules))}
    vtables_size = VTABLE_SIZE * len(vtables)
    first = vector + 4
    table = align8(first + 4 * count + vtables_size)
    stride = MOLECULE_SIZE - 4
    parts = [
        struct.pack(f"<I{count}I", count, *range(table - first, table - first + stride * count, stride)),
        bytes(table - vtables_size - first - 4 * count),
        *(MOLECULE_VTABLES[presence] for presence in vtables),
    ]
    texts: list[bytes] = []
    soffset = vtables_size
    to_texts = MOLECULE_SIZE * count  # from this table to the next free text
    pack = MOLECULE_TABLE.pack
    for presence, (coordinate, number, text, date, flag, error, written, mask) in molecules:
        text_at = error_at = 0
        if text is not None:
            texts.append(text_record(text))
            text_at = to_texts - _TEXT_AT
            to_texts += len(texts[-1])
        if error is not None:
            texts.append(text_record(error))
            error_at = to_texts - _ERROR_AT
            to_texts += len(texts[-1])
        if to_texts > MAX_BYTES:
            raise EncodeError("molecules", f"more than {MAX_BYTES} bytes", f"at most {MAX_BYTES} bytes")
        to_vtable = soffset - vtables[presence]
        values = (flag, HASH_BYTES, coordinate, number, date, written, mask)
        parts.append(pack(to_vtable, HASH_OFFSET, text_at, error_at, *values))
        soffset += MOLECULE_SIZE
        to_texts -= MOLECULE_SIZE
    return parts + texts
