"""What each field may hold, one function a kind. They return the value in its exact wire type or raise EncodeError.

Only `bool` is a truth value, and a `bool` is never a number: Python's `True == 1` must not reach the wire. Subclasses
of str, int and bytes count by their real content, not by what their methods say.
"""

from __future__ import annotations

import difflib
import operator
from collections.abc import Callable, Iterable
from typing import Final

from atom_console.events.errors import EncodeError
from atom_console.events.layout import EVENT_FIELDS, HASH_BYTES, MOLECULE_FIELDS
from atom_console.events.model import EventType

INT64: Final = (-(1 << 63), (1 << 63) - 1)
UINT64: Final = (0, (1 << 64) - 1)
TYPE_NAMES: Final = ", ".join(f"{member.name} ({member.value})" for member in EventType)


def describe(value: object) -> str:  # noqa: PLR0911 (one a kind)
    """A value in words for an error. Text and bytes are told by length only: they can be sensitive."""
    if value is None:
        return "nothing"
    kind = type(value).__name__
    if isinstance(value, str):
        return f"{kind} of {str.__len__(value)} characters"
    if isinstance(value, (bytes, bytearray)):
        return f"{kind} of {len(value)} bytes"
    if isinstance(value, bool):
        return f"bool {bool(value)}"
    if isinstance(value, int):
        return f"{kind} {int(value)}" if int(value).bit_length() < 200 else f"{kind} of {int(value).bit_length()} bits"
    if isinstance(value, float):
        return f"{kind} {float(value)!r}"
    return kind


def integer(value: object, path: str, bounds: tuple[int, int], what: str) -> int:
    """An integer of `bounds`, never a bool; anything with `__index__` counts (numpy)."""
    allowed = f"{what}, {bounds[0]} to {bounds[1]}"
    if isinstance(value, bool):
        raise EncodeError(path, describe(value), allowed)
    try:
        exact = operator.index(value)  # type: ignore[arg-type]  # what has no __index__ raises TypeError
    except TypeError:
        raise EncodeError(path, describe(value), allowed) from None
    if not bounds[0] <= exact <= bounds[1]:
        raise EncodeError(path, describe(exact), allowed)
    return int(exact)


def time_ns(value: object, path: str) -> int:
    """Unix nanoseconds."""
    return integer(value, path, INT64, "an integer of Unix nanoseconds")


def mask_bits(value: object, path: str) -> int:
    """64 access bits."""
    return integer(value, path, UINT64, "an integer of 64 access bits")


def event_type(value: object, path: str) -> int:
    """A number of `EventType`."""
    if isinstance(value, bool) or not isinstance(value, int) or int(value) not in _TYPE_NUMBERS:
        raise EncodeError(path, describe(value), TYPE_NAMES)
    return int(value)


def number(value: object, path: str) -> float:
    """A double. An integer is taken only where the double is exactly that integer: nothing is rounded in silence."""
    if isinstance(value, float):
        return float.__float__(value)
    if isinstance(value, int) and not isinstance(value, bool):
        try:
            nearest = float(int(value))
        except OverflowError:
            nearest = 0.5
        if nearest == int(value):
            return nearest
        raise EncodeError(path, describe(value), "a number that a 64-bit double holds exactly")
    raise EncodeError(path, describe(value), "a float, or an integer that a 64-bit double holds exactly")


def truth(value: object, path: str) -> bool:
    """True or False, and nothing that merely equals them."""
    if value is True or value is False:
        return value
    raise EncodeError(path, describe(value), "True or False")


def coordinate_hash(value: object, path: str) -> bytes:
    """Exactly 16 bytes."""
    if isinstance(value, (bytes, bytearray)):
        raw = memoryview(value).tobytes()
        if len(raw) == HASH_BYTES:
            return raw
    raise EncodeError(path, describe(value), f"{HASH_BYTES} bytes")


def text(value: object, path: str) -> bytes:
    """The UTF-8 of a str; a lone surrogate has none."""
    if not isinstance(value, str):
        raise EncodeError(path, describe(value), "a str")
    try:
        return str.encode(value, "utf-8")
    except UnicodeEncodeError as error:
        found = f"a lone surrogate U+{ord(error.object[error.start]):04X} at character {error.start}"
        raise EncodeError(path, found, "text that UTF-8 can hold") from None


Rule = Callable[[object, str], object]
EVENT_RULES: Final[dict[str, Rule]] = {
    "event_id": text,
    "trace_id": text,
    "timestamp": time_ns,
    "type": event_type,
    "tenant_id": text,
    "user_id": text,
    "schema_payload": text,
}
MOLECULE_RULES: Final[dict[str, Rule]] = {
    "coordinate_hash": coordinate_hash,
    "numeric_value": number,
    "text_commentary": text,
    "date_value": time_ns,
    "boolean_value": truth,
    "error_value": text,
    "timestamp": time_ns,
    "security_mask": mask_bits,
}
_TYPE_NUMBERS: Final = frozenset(int(member) for member in EventType)


def refuse_unknown(names: Iterable[object], known: tuple[str, ...], prefix: str) -> None:
    """Raise for the first name that is not a field: a misspelt key would lose its value in silence."""
    for name in names:
        if name in known:
            continue
        if not isinstance(name, str):
            raise EncodeError(prefix.rstrip("."), f"a key of type {type(name).__name__}", "field names as str")
        near = difflib.get_close_matches(name[:64], known, n=1)
        hint = f" (nearest: {near[0]})" if near else ""
        raise EncodeError(prefix + name[:64], f"an unknown field{hint}", ", ".join(known))


def refuse_unknown_event_fields(names: Iterable[object]) -> None:
    """`refuse_unknown` for the event itself."""
    refuse_unknown(names, EVENT_FIELDS, "")


def refuse_unknown_molecule_fields(names: Iterable[object], prefix: str) -> None:
    """`refuse_unknown` for one molecule; `prefix` is such as `molecules[3].`."""
    refuse_unknown(names, MOLECULE_FIELDS, prefix)
