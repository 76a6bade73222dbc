"""The JSON Lines form of events: one JSON object a line, exact both ways.

- `coordinate_hash` is hexadecimal, times are RFC 3339 (written with nine digits) or integer Unix nanoseconds, `type` is
  a name of `EventType` or its number.
- 64-bit integers are JSON integers and exact; a decimal string is taken too, for writers whose numbers are doubles.
- `numeric_value` is a JSON number. What JSON cannot say is a string: `"NaN"`, `"Infinity"`, `"-Infinity"`, and
  `"nan:7ff8000000000001"` (the 64 bits in hexadecimal) for a NaN with a payload or a sign. `-0.0` is kept.
- null and a missing key mean absent; absent fields are not written. Unknown and doubled keys are errors.
"""

from __future__ import annotations

import json
import math
import re
import struct
from collections.abc import Callable, Mapping
from functools import cache, lru_cache
from typing import Any, Final

from atom_console.events import rules
from atom_console.events.errors import EncodeError
from atom_console.events.layout import EVENT_FIELDS, HASH_BYTES, MOLECULE_FIELDS
from atom_console.events.model import AtomEvent, EventType, Molecule
from atom_console.times import format_ns, parse_ns

_OURS: Final = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{9}Z", re.ASCII)
_HEX: Final = re.compile(r"[0-9a-fA-F]*", re.ASCII)
_DECIMAL: Final = re.compile(r"-?(0|[1-9][0-9]{0,24})", re.ASCII)
_NAN_BITS: Final = re.compile(r"nan:([0-9a-f]{16})", re.ASCII | re.IGNORECASE)
_PLAIN_NAN: Final = struct.pack(">d", math.nan)
_SPECIAL: Final = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}
_EVENT_NAMES: Final = frozenset(EVENT_FIELDS)
_MOLECULE_NAMES: Final = frozenset(MOLECULE_FIELDS)


def parse_line(line: bytes | str, *, where: str | None = None) -> AtomEvent:
    """One line → the event, every value checked as the encoder would.

    Args:
        line: with or without its newline; bytes are UTF-8.
        where: the source, such as `events.jsonl:12`, put into the error.

    Raises:
        EncodeError: the path of the field, what was found and what is allowed.
    """
    try:
        return from_json(_load(line))
    except EncodeError as error:
        raise (error if where is None else error.at(where)) from None


def from_json(document: object) -> AtomEvent:
    """A parsed JSON object → the event.

    Raises:
        EncodeError: as `parse_line`.
    """
    if not isinstance(document, dict):
        raise EncodeError("", _found(document), "a JSON object with the fields of an event")
    if not document.keys() <= _EVENT_NAMES:
        rules.refuse_unknown_event_fields(document)
    values = _values(document, _EVENT_READERS, "")
    molecules = document.get("molecules")
    if molecules is not None:
        if not isinstance(molecules, list):
            raise EncodeError("molecules", _found(molecules), "a JSON array of objects")
        values["molecules"] = [_molecule(molecule, i) for i, molecule in enumerate(molecules)]
    for name, allowed in (("timestamp", _TIMES), ("type", rules.TYPE_NAMES)):
        if name not in values:
            raise EncodeError(name, "nothing", f"{allowed} (required)")
    return AtomEvent(**values)


def to_json(event: AtomEvent) -> dict[str, Any]:
    """The event as a JSON object: only what is set, in slot order. Foreign values (an unknown type, a hash of another
    length) are written as they are; `parse_line` then says what is wrong with them.
    """
    document = _document(event, EVENT_FIELDS, _EVENT_WRITERS)
    if event.molecules is not None:
        document["molecules"] = [_document(m, MOLECULE_FIELDS, _MOLECULE_WRITERS) for m in event.molecules]
        if event.schema_payload is not None:
            document["schema_payload"] = document.pop("schema_payload")
    return document


def to_line(event: AtomEvent) -> str:
    """`to_json` as one line, without the newline."""
    return _encoder().encode(to_json(event))


@cache
def _encoder() -> json.JSONEncoder:
    return json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), allow_nan=False)


def _load(line: bytes | str) -> object:
    try:
        text = line if isinstance(line, str) else line.decode("utf-8")
    except UnicodeDecodeError as error:
        raise EncodeError("", f"byte 0x{error.object[error.start]:02x} at {error.start}", "JSON in UTF-8") from None
    try:
        return _decoder().decode(text)
    except json.JSONDecodeError as error:
        found = "an empty line" if not text.strip() else f"{error.msg} at column {error.colno}"
        raise EncodeError("", found, "one JSON object a line") from None
    except RecursionError:
        raise EncodeError("", "JSON nested without end", "one JSON object a line") from None
    except ValueError:
        raise EncodeError("", "a number of thousands of digits", "64-bit numbers") from None


@cache
def _decoder() -> json.JSONDecoder:
    return json.JSONDecoder(object_pairs_hook=_object, parse_constant=_refuse_constant)


def _object(pairs: list[tuple[str, object]]) -> dict[str, object]:
    found = dict(pairs)
    if len(found) != len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise EncodeError(twice[:64], "the key twice in one object", "each key once")
    return found


def _refuse_constant(name: str) -> object:
    raise EncodeError("", f"{name}, which is not JSON", f'numbers, or "{name}" in quotes for numeric_value')


def _molecule(document: object, index: int) -> Molecule:
    if not isinstance(document, dict):
        raise EncodeError(f"molecules[{index}]", _found(document), "a JSON object with the fields of a molecule")
    prefix = f"molecules[{index}]."
    if not document.keys() <= _MOLECULE_NAMES:
        rules.refuse_unknown_molecule_fields(document, prefix)
    return Molecule(**_values(document, _MOLECULE_READERS, prefix))


_Read = Callable[[object, str], Any]


def _values(document: Mapping[str, object], readers: Mapping[str, _Read], prefix: str) -> dict[str, Any]:
    return {
        name: readers[name](value, prefix + name)
        for name, value in document.items()
        if value is not None and name in readers
    }


_TIMES: Final = "an RFC 3339 time with its zone, or integer Unix nanoseconds"


def _read_time(value: object, path: str) -> int:
    if isinstance(value, str) and ("-" in value[1:] or not _DECIMAL.fullmatch(value)):
        try:
            time = _second_ns(value[:19]) + int(value[20:29]) if _OURS.fullmatch(value) else parse_ns(value)
        except ValueError as error:
            raise EncodeError(path, f"{_short(value)} ({error})", _TIMES) from None
        if not rules.INT64[0] <= time <= rules.INT64[1]:
            raise EncodeError(path, format_ns(time), "a time from 1677-09-21 to 2262-04-11")
        return time
    return rules.integer(_plain_integer(value, path, _TIMES), path, rules.INT64, _TIMES)


@lru_cache(maxsize=4096)
def _second_ns(second: str) -> int:
    """The whole second of a time in our own form; those of a file are mostly near each other."""
    return parse_ns(second + "Z")


def _read_mask(value: object, path: str) -> int:
    return rules.mask_bits(_plain_integer(value, path, "an integer of 64 access bits"), path)


def _plain_integer(value: object, path: str, allowed: str) -> object:
    """A decimal string as its integer, a JSON integer as it is."""
    if isinstance(value, str):
        if not _DECIMAL.fullmatch(value):
            raise EncodeError(path, _short(value), allowed)
        return int(value)
    if isinstance(value, int):
        return value
    raise EncodeError(path, _found(value), allowed)


def _read_type(value: object, path: str) -> EventType:
    if isinstance(value, str):
        member = EventType.__members__.get(value)
        if member is None:
            raise EncodeError(path, _short(value), rules.TYPE_NAMES)
        return member
    if isinstance(value, (list, dict, float)):
        raise EncodeError(path, _found(value), rules.TYPE_NAMES)
    return EventType(rules.event_type(value, path))


_NUMBERS: Final = 'a JSON number within a 64-bit double, or "NaN", "Infinity", "-Infinity", "nan:<16 hex digits>"'


def _read_number(value: object, path: str) -> float:
    if isinstance(value, float):
        if math.isinf(value):
            raise EncodeError(path, "a number beyond the range of a double", _NUMBERS)
        return value
    if isinstance(value, str):
        special = _SPECIAL.get(value)
        if special is not None:
            return special
        match = _NAN_BITS.fullmatch(value)
        if match:
            bits: float = struct.unpack(">d", bytes.fromhex(match[1]))[0]
            if math.isnan(bits):
                return bits
        raise EncodeError(path, rules.describe(value), _NUMBERS)
    if isinstance(value, int):
        return rules.number(value, path)
    raise EncodeError(path, _found(value), _NUMBERS)


def _read_truth(value: object, path: str) -> bool:
    if isinstance(value, bool):
        return value
    raise EncodeError(path, _found(value), "true or false")


def _read_hash(value: object, path: str) -> bytes:
    allowed = f"{2 * HASH_BYTES} hexadecimal digits"
    if not isinstance(value, str):
        raise EncodeError(path, _found(value), allowed)
    if len(value) != 2 * HASH_BYTES:
        raise EncodeError(path, f"{len(value)} characters", allowed)
    if not _HEX.fullmatch(value):
        at = next(i for i, char in enumerate(value) if not _HEX.fullmatch(char))
        raise EncodeError(path, f"{value[at]!r} at character {at}", allowed)
    return bytes.fromhex(value)


def _read_text(value: object, path: str) -> str:
    if not isinstance(value, str):
        raise EncodeError(path, _found(value), "a JSON string")
    if not value.isascii():
        rules.text(value, path)
    return value


_EVENT_READERS: Final[dict[str, _Read]] = {
    "event_id": _read_text,
    "trace_id": _read_text,
    "timestamp": _read_time,
    "type": _read_type,
    "tenant_id": _read_text,
    "user_id": _read_text,
    "schema_payload": _read_text,
}
_MOLECULE_READERS: Final[dict[str, _Read]] = {
    "coordinate_hash": _read_hash,
    "numeric_value": _read_number,
    "text_commentary": _read_text,
    "date_value": _read_time,
    "boolean_value": _read_truth,
    "error_value": _read_text,
    "timestamp": _read_time,
    "security_mask": _read_mask,
}


def _document(source: object, names: tuple[str, ...], writers: Mapping[str, Callable[[Any], Any]]) -> dict[str, Any]:
    document = {}
    for name in names:
        value = getattr(source, name)
        if value is not None and name != "molecules":
            writer = writers.get(name)
            document[name] = value if writer is None else writer(value)
    return document


def _write_time(value: int) -> str:
    if not rules.INT64[0] <= value <= rules.INT64[1]:
        return format_ns(value)
    second, nano = divmod(value, 1_000_000_000)
    return f"{_second_text(second)}.{nano:09d}Z"


@lru_cache(maxsize=4096)
def _second_text(second: int) -> str:
    return format_ns(second * 1_000_000_000).removesuffix(".000000000Z")


def _write_type(value: int) -> str | int:
    member = _TYPE_NAMES.get(value)
    return value if member is None else member


def _write_number(value: float) -> float | str:
    if math.isfinite(value):
        return value
    if math.isinf(value):
        return "Infinity" if value > 0 else "-Infinity"
    bits = struct.pack(">d", value)
    return "NaN" if bits == _PLAIN_NAN else f"nan:{bits.hex()}"


_TYPE_NAMES: Final = {member.value: member.name for member in EventType}
_EVENT_WRITERS: Final[dict[str, Callable[[Any], Any]]] = {"timestamp": _write_time, "type": _write_type}
_MOLECULE_WRITERS: Final[dict[str, Callable[[Any], Any]]] = {
    "coordinate_hash": bytes.hex,
    "numeric_value": _write_number,
    "date_value": _write_time,
    "timestamp": _write_time,
}

_JSON_KINDS: Final = {dict: "an object", list: "an array", str: "a string", type(None): "null"}


def _found(value: object) -> str:
    """A JSON value in words."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return _JSON_KINDS.get(type(value)) or rules.describe(value)


def _short(value: str) -> str:
    """A short text that is no content (a time, a name of a type), quoted."""
    return repr(value if len(value) <= 40 else value[:39] + "…")
