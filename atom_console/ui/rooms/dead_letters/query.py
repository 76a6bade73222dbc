"""What is typed after `/`: `field=value` conditions that all must hold, and words that the sentence of a group has."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable
from dataclasses import dataclass, replace
from difflib import get_close_matches

from atom_console.dlq.filters import Filter
from atom_console.dlq.record import Group
from atom_console.errors import InputError
from atom_console.times import parse_ns

_FIELDS = {
    "id": "ids",
    "group": "groups",
    "state": "states",
    "class": "classes",
    "code": "codes",
    "topic": "topics",
    "tenant": "tenants",
    "key": "keys",
    "origin": "origins",
    "dlq-topic": "dlq_topics",
    "event-id": "event_ids",
}
_TIMES = ("since", "until")
_EVERYTHING = Filter()
_AGO = re.compile(r"(\d+)(s|min|m|h|d)")
_UNITS_MS = {"s": 1000, "m": 60_000, "min": 60_000, "h": 3_600_000, "d": 86_400_000}


class QueryError(InputError):
    """A filter that cannot be understood: the message quotes the part that was not."""


@dataclass(frozen=True, slots=True)
class Query:
    """A filter as it was typed. `words` are looked for in what broke, without regard to case."""

    text: str = ""
    filter: Filter = _EVERYTHING
    words: tuple[str, ...] = ()

    def wants(self, group: Group) -> bool:
        """Whether a group has all the words."""
        label = f"{group.label} {group.err_class} {group.err_name} {group.topic or ''}".lower()
        return all(word in label for word in self.words)

    def narrowed(self, groups: Iterable[Group]) -> Filter:
        """The filter of the records that the query means: words choose groups."""
        if not self.words:
            return self.filter
        found = tuple(group.fingerprint for group in groups if self.wants(group))
        return replace(self.filter, groups=found or ("0" * 40,))


def parse_query(text: str, now_ms: int) -> Query:
    """`state=ready tenant=t-41 since=2h timeout` → the query; several values of a field: `state=ready,failed`.

    Raises:
        QueryError: an unknown field, or a value that cannot be.
    """
    try:
        parts = shlex.split(text)
    except ValueError as error:
        raise QueryError(f"{text!r}: {error}", next_step="close the quotation mark") from error
    values: dict[str, tuple[str, ...]] = {}
    times: dict[str, int] = {}
    words = []
    for part in parts:
        field, equals, value = part.partition("=")
        if not equals and (before := part.partition(":")[0]) in (*_FIELDS, *_TIMES) and before != part:
            raise QueryError(f"{part!r}: a field takes an equals sign", next_step=f"{before}={part[len(before) + 1 :]}")
        if not equals:
            words.append(part.lower())
        elif field in _TIMES:
            times[field] = _time(part, value, now_ms)
        elif field in _FIELDS:
            values[_FIELDS[field]] = values.get(_FIELDS[field], ()) + tuple(value.split(","))
        else:
            near = get_close_matches(field, [*_FIELDS, *_TIMES], n=1)
            hint = f"did you mean {near[0]}=…?" if near else f"fields: {', '.join([*_FIELDS, *_TIMES])}"
            raise QueryError(f"{part!r}: there is no field {field}", next_step=hint)
    keys = tuple(key.encode() for key in values.pop("keys", ()))
    wanted = Filter(keys=keys, since=times.get("since"), until=times.get("until"), **values)
    wanted.check()
    return Query(text.strip(), wanted, tuple(words))


def _time(part: str, value: str, now_ms: int) -> int:
    if ago := _AGO.fullmatch(value):
        return now_ms - int(ago[1]) * _UNITS_MS[ago[2]]
    try:
        return parse_ns(value) // 1_000_000
    except ValueError as error:
        raise QueryError(
            f"{part!r}: {error}", next_step="a time such as 2026-11-24T02:14:07Z, or how long ago: 90s, 15m, 2h, 3d"
        ) from error
