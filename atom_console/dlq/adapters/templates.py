"""Many dead letters that differ only in their place: read one in full, fill in the others.

A flood of dead letters has one cause, so all of a framework's headers but offset, partition and timestamp repeat. A
template is what the adapters made of the first of them; a letter that fits gets its own numbers and bytes, and anything
unusual goes through `decode`. Tests hold both ways to equal results.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from atom_console.dlq.adapters.decode import decode, recognise
from atom_console.dlq.adapters.letter import Context, Letter, Reading
from atom_console.dlq.adapters.records import PARENT_HEADER, to_records
from atom_console.dlq.adapters.strip import stripped_indices
from atom_console.dlq.headers import Headers
from atom_console.dlq.normalise import event_facts_many
from atom_console.dlq.record import NewRecord, Origin, PayloadKind, Provenance, Trouble

_MOST_SHAPES: Final = 256
_MOST_TEMPLATES: Final = 2_048
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
    ts_type: str | None


class _Shape:
    """Everything that the header names alone decide."""

    __slots__ = ("fixed", "keep", "numbers", "offset", "origin", "partition", "templates", "timestamp")

    def __init__(self, names: tuple[str, ...], numbers: _Numbers, origin: Origin) -> None:
        gone = stripped_indices(names)
        varying = {names.index(one) for one in (numbers.partition, numbers.offset, numbers.timestamp) if one in names}
        self.numbers, self.origin = numbers, origin
        self.partition, self.offset = names.index(numbers.partition), names.index(numbers.offset)
        self.timestamp = names.index(numbers.timestamp) if numbers.timestamp in names else None
        self.fixed = [index for index in sorted(gone) if index not in varying]
        kept = [index for index in range(len(names)) if index not in gone]
        self.keep = _slice_of(kept) or kept
        self.templates: dict[tuple[bytes | None, ...], _Template] = {}


def _slice_of(indices: list[int]) -> slice | None:
    if not indices:
        return slice(0, 0)
    run = indices[-1] - indices[0] + 1 == len(indices)
    return slice(indices[0], indices[-1] + 1) if run else None


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
        """The records of a batch, in order.

        Args:
            now_ms: Unix milliseconds.
            improve: fetches originals into the readings that ask for it.
            loops: finds how often the parents of letters had returned (see `to_records`).
        """
        facts = event_facts_many([letter.value for letter in letters])
        found: list[NewRecord | None] = [
            self._quick(letter, seen, now_ms) for letter, seen in zip(letters, facts, strict=True)
        ]
        rest = [index for index, record in enumerate(found) if record is None]
        if rest:
            slow = [letters[index] for index in rest]
            readings = [decode(letter, self._context, spare=self._spare) for letter in slow]
            improve(list(zip(slow, readings, strict=True)))
            made = to_records(slow, readings, cluster_id=self._cluster_id, now_ms=now_ms, loops=loops(slow))
            for index, letter, reading, record in zip(rest, slow, readings, made, strict=True):
                found[index] = record
                self._learn(letter, reading, record)
        return [record for record in found if record is not None]

    def _quick(self, letter: Letter, facts: tuple[Any, ...], now_ms: int) -> NewRecord | None:
        headers = letter.headers
        if not headers:
            return None
        names, values = zip(*headers, strict=True)
        shape = self._shapes.get(names)
        if shape is None or not shape.numbers.plain(letter):
            return None
        template = shape.templates.get(tuple([values[index] for index in shape.fixed]))
        partition = shape.numbers.partition_of(values[shape.partition])
        offset = shape.numbers.offset_of(values[shape.offset])
        if template is None or partition is None or offset is None:
            return None
        timestamp = letter.timestamp if shape.origin in _FROM_THE_LETTER else None
        if shape.timestamp is not None:
            raw = values[shape.timestamp]
            timestamp = _EIGHT(raw)
            if timestamp is None and raw is not None:
                return None
        keep = shape.keep
        kept: Headers = headers[keep] if isinstance(keep, slice) else tuple([headers[index] for index in keep])
        event_id, tenant_id, event_type, event_ts = facts
        at, came = letter.offset, letter.timestamp
        return NewRecord(
            template.trouble, now_ms, letter.key, letter.value, kept, False, tenant_id, event_id, event_type, event_ts,
            partition, timestamp, _FULL if letter.value is not None else _TOMBSTONE, b"", template.state,
            template.state_reason,
            Provenance(letter.partition, at, came, headers, offset, template.ts_type, template.stack),
        )  # fmt: skip

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
        key = tuple([letter.headers[index][1] for index in shape.fixed])
        shape.templates[key] = _Template(record.trouble, record.state, record.state_reason, p.err_stack, p.ts_type)

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


_EIGHT: Final = _binary(8)
_FULL: Final = PayloadKind.FULL.value
_TOMBSTONE: Final = PayloadKind.TOMBSTONE.value
_ORDINARY: Final = frozenset({PayloadKind.FULL, PayloadKind.TOMBSTONE})
