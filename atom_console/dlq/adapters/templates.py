"""Many dead letters that differ only in their place: read one in full, fill in the others.

A flood of dead letters has one cause, so all of a framework's headers but offset, partition and timestamp repeat. A
template is what the adapters made of the first of them; a letter that fits gets its own numbers and bytes, and anything
unusual goes through `decode`. Tests hold both ways to equal results.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from operator import itemgetter
from typing import Any, Final

from atom_console.dlq.adapters.decode import decode, recognise
from atom_console.dlq.adapters.letter import Context, Letter, Reading
from atom_console.dlq.adapters.records import PARENT_HEADER, to_records
from atom_console.dlq.adapters.strip import stripped_indices
from atom_console.dlq.headers import Headers
from atom_console.dlq.normalise import event_columns
from atom_console.dlq.record import NewRecord, Origin, PayloadKind, Provenance, Trouble
from atom_console.dlq.stacks import stored_stack

_MOST_SHAPES: Final = 256
_MOST_TEMPLATES: Final = 2_048
_TEACHERS: Final = 16
_REPLACED: Final = "\ufffd".encode()

Pair = tuple[Letter, Reading]
Number = Callable[[bytes | None], int | None]


@dataclass(frozen=True, slots=True)
class _Numbers:
    """Where a framework keeps the numbers of a place, and how they are written. A letter that does not fit is None."""

    partition: str
    offset: str
    timestamp: str | None
    partition_of: Number
    offset_of: Number
    plain: Callable[[Letter], bool]


def _text(most: int) -> Number:
    return lambda raw: int(raw) if raw and len(raw) <= most and raw.isdigit() else None


def _binary(size: int) -> Number:
    return lambda raw: int.from_bytes(raw, "big", signed=True) if raw is not None and len(raw) == size else None


def _texts(prefix: str, plain: Callable[[Letter], bool]) -> _Numbers:
    return _Numbers(f"{prefix}partition", f"{prefix}offset", None, _text(9), _text(18), plain)


def _binaries(prefix: str, plain: Callable[[Letter], bool]) -> _Numbers:
    names = (f"{prefix}partition", f"{prefix}offset", f"{prefix}timestamp")
    return _Numbers(*names, _binary(4), _binary(8), plain)


def _always(_letter: Letter) -> bool:
    return True


def _not_nothing(letter: Letter) -> bool:
    return letter.key is not None or letter.value is not None


def _unreplaced(letter: Letter) -> bool:
    return _REPLACED not in (letter.key or b"") and _REPLACED not in (letter.value or b"")


def _not_empty(letter: Letter) -> bool:
    return letter.value != b""


_PLACES: Final[Mapping[str, _Numbers]] = {
    "__connect.errors.topic": _texts("__connect.errors.", _always),
    "__streams.errors.topic": _texts("__streams.errors.", _not_nothing),
    "kafka_dlt-original-topic": _binaries("kafka_dlt-original-", _unreplaced),
    "kafka_original-topic": _binaries("kafka_original-", _unreplaced),
    "x-original-topic": _binaries("x-original-", _always),
    "dead-letter-topic": _texts("dead-letter-", _always),
    "source_topic": _texts("source_", _always),
    "original_partition": _texts("original_", _not_empty),
}
"""A header that only the framework's own block has → its numbers."""

_FROM_THE_LETTER: Final = frozenset({Origin.CONNECT, Origin.STREAMS})


@dataclass(frozen=True, slots=True)
class _Template:
    trouble: Trouble
    state: str
    state_reason: str | None
    stack: str | None
    said: bool
    ts_type: str | None


class _Shape:
    """Everything that the header names alone decide.

    Attributes:
        fixed: values → those that choose the template.
        kept: headers → those of the record itself.
    """

    __slots__ = ("_at", "_from_letter", "fixed", "kept", "numbers", "templates")

    def __init__(self, names: tuple[str, ...], numbers: _Numbers, origin: Origin) -> None:
        gone = stripped_indices(names)
        timestamp = names.index(numbers.timestamp) if numbers.timestamp in names else None
        self.numbers, self._from_letter = numbers, origin in _FROM_THE_LETTER
        self._at = (names.index(numbers.partition), names.index(numbers.offset), timestamp)
        self.fixed = _picker([index for index in sorted(gone) if index not in self._at])
        self.kept: Callable[[Headers], Headers] = _picker([index for index in range(len(names)) if index not in gone])
        self.templates: dict[object, _Template] = {}

    def place(self, values: tuple[bytes | None, ...], came: int | None) -> tuple[int, int, int | None] | None:
        """Partition, offset and timestamp of the original; None where they are not written as they should be."""
        at_partition, at_offset, at_timestamp = self._at
        partition, offset = self.numbers.partition_of(values[at_partition]), self.numbers.offset_of(values[at_offset])
        if partition is None or offset is None:
            return None
        timestamp = came if self._from_letter else None
        if at_timestamp is not None:
            raw = values[at_timestamp]
            timestamp = _EIGHT(raw)
            if timestamp is None and raw is not None:
                return None
        return partition, offset, timestamp


def _picker(indices: list[int]) -> Callable[[tuple[Any, ...]], tuple[Any, ...]]:
    """A tuple → a tuple of its items at these indices."""
    if indices and indices[-1] - indices[0] + 1 == len(indices):
        return itemgetter(slice(indices[0], indices[-1] + 1))
    return itemgetter(*indices) if indices else _nothing


def _nothing(_items: tuple[Any, ...]) -> tuple[Any, ...]:
    return ()


class Decoder:
    """Decodes batches of one DLQ topic. Remembers templates; for one thread."""

    def __init__(self, context: Context, *, cluster_id: str, spare: bool = False) -> None:
        self._context, self._cluster_id, self._spare = context, cluster_id, spare
        self._shapes: dict[tuple[str, ...], _Shape | None] = {}

    def records(
        self,
        letters: Sequence[Letter],
        *,
        now_ms: int,
        improve: Callable[[list[Pair]], None],
        loops: Callable[[Sequence[Letter]], Mapping[str, int]],
    ) -> list[NewRecord]:
        """The records of a batch, in order. The first few that fit no template teach those that the others mostly fit.

        Args:
            now_ms: Unix milliseconds.
            improve: fetches originals into the readings that ask for it.
            loops: finds how often the parents of letters had returned (see `to_records`).
        """
        found: list[NewRecord | None] = [None] * len(letters)
        for most in (_TEACHERS, len(letters)):
            rest = _missing(found)
            quick = self._quick([letters[index] for index in rest], now_ms)
            for index, record in zip(rest, quick, strict=True):
                found[index] = record
            rest = _missing(found)[:most]
            if not rest:
                break
            slow = [letters[index] for index in rest]
            readings = [decode(letter, self._context, spare=self._spare) for letter in slow]
            improve(list(zip(slow, readings, strict=True)))
            made = to_records(slow, readings, cluster_id=self._cluster_id, now_ms=now_ms, loops=loops(slow))
            for index, letter, reading, new in zip(rest, slow, readings, made, strict=True):
                found[index] = new
                self._learn(letter, reading, new)
        return [record for record in found if record is not None]

    def _quick(self, letters: Sequence[Letter], now_ms: int) -> list[NewRecord | None]:
        """What the templates make of letters; None for one that does not fit.

        Neighbours mostly have the same names and the same fixed values: comparing them is cheaper than a look-up, which
        hashes the whole stack trace.
        """
        found: list[NewRecord | None] = []
        names: tuple[str, ...] | None = None
        fixed: object = None
        shape: _Shape | None = None
        template: _Template | None = None
        columns = event_columns([letter.value for letter in letters])
        for letter, event_id, tenant_id, event_type, event_ts in zip(letters, *columns, strict=True):
            _, came_partition, at, came, key, value, headers = letter
            own_names, values = zip(*headers) if headers else ((), ())  # noqa: B905 -- pairs; strict takes twice as long
            if own_names != names:
                names, shape, template, fixed = own_names, self._shapes.get(own_names), None, None
            if shape is None or not shape.numbers.plain(letter):
                found.append(None)
                continue
            own_fixed = shape.fixed(values)
            if own_fixed != fixed:
                fixed, template = own_fixed, shape.templates.get(own_fixed)
            place = None if template is None else shape.place(values, came)
            if place is None or template is None:
                found.append(None)
                continue
            partition, offset, timestamp = place
            found.append(
                NewRecord(
                    template.trouble, now_ms, key, value, shape.kept(headers), False, tenant_id, event_id, event_type,
                    event_ts, partition, timestamp, _TOMBSTONE if value is None else _FULL, b"", template.state,
                    template.state_reason,
                    Provenance(
                        came_partition, at, came, headers, offset, template.ts_type, template.stack,
                        stack_said=template.said,
                    ),
                )
            )  # fmt: skip
        return found

    def _learn(self, letter: Letter, reading: Reading, record: NewRecord) -> None:
        """Remember what was made of a letter, if others like it can be made of that."""
        if reading.warnings or reading.drained is not None or reading.kind not in _ORDINARY or self._context.maps:
            return
        names = tuple(name for name, _ in letter.headers)
        shape = self._shapes.get(names)
        if shape is None:
            shape = self._shape(names)
            if shape is None:
                return
            if len(self._shapes) >= _MOST_SHAPES:
                self._shapes.clear()
            self._shapes[names] = shape
        if len(shape.templates) >= _MOST_TEMPLATES:
            shape.templates.clear()
        p = record.provenance or Provenance()
        key = shape.fixed(tuple(value for _, value in letter.headers))
        said = stored_stack(p.err_stack, letter.headers) is None
        shape.templates[key] = _Template(
            record.trouble, record.state, record.state_reason, p.err_stack, said, p.ts_type
        )

    def _shape(self, names: tuple[str, ...]) -> _Shape | None:
        """The shape, where one whole block of one framework says everything."""
        seen = recognise(names)
        if seen is None or len(seen.found[0]) != 1 or seen.rivals or self._spare or PARENT_HEADER in names:
            return None
        block = seen.found[0][0]
        numbers = next((_PLACES[name] for name in block.at if name in _PLACES), None)
        if not block.complete or numbers is None or seen.adapter.origin is Origin.LOCAL or "__TypeId__" in names:
            return None
        varying = [one for one in (numbers.partition, numbers.offset, numbers.timestamp) if one is not None]
        if any(names.count(one) > 1 for one in varying):
            return None
        return _Shape(names, numbers, seen.adapter.origin)


def _missing(found: Sequence[NewRecord | None]) -> list[int]:
    return [index for index, record in enumerate(found) if record is None]


_EIGHT: Final = _binary(8)
_FULL: Final = PayloadKind.FULL.value
_TOMBSTONE: Final = PayloadKind.TOMBSTONE.value
_ORDINARY: Final = frozenset({PayloadKind.FULL, PayloadKind.TOMBSTONE})
