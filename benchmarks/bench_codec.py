"""The codec: encode, decode, scan and verify, each beside the generated code in the same run; and a fuzz run.

The fuzz takes 200,000 damaged payloads; set `ATOM_BENCH_FUZZ` to another number.
"""

from __future__ import annotations

import os
import struct
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from random import Random
from time import perf_counter
from typing import Any
from uuid import UUID

import pyarrow as pa

from atom_console.events import AtomEvent, DecodeError, EventType, Molecule, decode_mapping, encode, encode_mapping
from atom_console.events.columns import encode_events, encode_molecules
from atom_console.events.layout import MOLECULE_FIELDS
from atom_console.events.scan import any_of_masks, scan, verify_many
from benchmarks.harness import Result, in_turn
from benchmarks.stock_codec import StockCodec

_MANY = 10_000
_RECORDS = 50_000
_SCANNED = ("timestamp", "type", "event_id", "tenant_id", "molecules", "molecules.security_mask")


def run() -> Iterator[Result]:
    """Every budget of the codec."""
    rng = Random(20261124)
    with tempfile.TemporaryDirectory() as room:
        stock = StockCodec(Path(room))
        yield from _one_molecule(rng, stock)
        yield _block(rng, stock)
        yield _batch(rng)
        yield from _decode(rng, stock)
        yield from _scan(rng)
        yield _fuzz(rng, stock)


def _molecule(rng: Random, *, texts: bool = True) -> Molecule:
    """Realistic: 20 % with commentary, 5 % with an error text."""
    return Molecule(
        coordinate_hash=rng.randbytes(16),
        numeric_value=rng.gauss(0, 1e6),
        text_commentary="checked against the ledger, see note" if texts and rng.random() < 0.2 else None,
        date_value=1_795_000_000_000_000_000 + rng.randrange(10**15),
        boolean_value=rng.random() < 0.5,
        error_value="#DIV/0!" if texts and rng.random() < 0.05 else None,
        timestamp=1_795_000_000_000_000_000 + rng.randrange(10**15),
        security_mask=rng.getrandbits(64),
    )


def _event(rng: Random, molecules: int = 1, *, texts: bool = True) -> AtomEvent:
    return AtomEvent(
        event_id=str(UUID(int=rng.getrandbits(128))),
        trace_id=rng.randbytes(16).hex(),
        timestamp=1_795_000_000_000_000_000 + rng.randrange(10**15),
        type=EventType.MOLECULE_WRITE,
        tenant_id=f"tenant-{rng.randrange(20):04d}",
        user_id=f"user-{rng.randrange(5000):05d}",
        molecules=[_molecule(rng, texts=texts) for _ in range(molecules)],
    )


def _rate(name: str, count: int, seconds: float, unit: str, budget: float) -> Result:
    rate = count / seconds
    return Result(name, rate, unit, None, None, f">= {budget:,.0f} {unit}", rate >= budget)


def _ratio(name: str, count: int, ours: float, theirs: float, unit: str, budget: float) -> Result:
    ratio = theirs / ours
    return Result(
        name, count / ours, unit, count / theirs, ratio, f">= {budget:g}x the generated code", ratio >= budget
    )


def _one_molecule(rng: Random, stock: StockCodec) -> Iterator[Result]:
    events = [_event(rng) for _ in range(1000)]
    mappings = [asdict(event) for event in events]
    objects, dicts, theirs = in_turn(
        lambda: [encode(event) for event in events],
        lambda: [encode_mapping(mapping) for mapping in mappings],
        lambda: [stock.encode(event) for event in events],
        rounds=9,
    )
    yield _ratio("encode one molecule from a dict", 1000, dicts, theirs, "events/s", 12)
    yield _ratio("encode one molecule from an object", 1000, objects, theirs, "events/s", 12)


_MOLECULE_TYPES = (pa.binary(16), pa.float64(), pa.utf8(), pa.int64(), pa.bool_(), pa.utf8(), pa.int64(), pa.uint64())


def _block(rng: Random, stock: StockCodec) -> Result:
    event = _event(rng, _MANY)
    molecules = event.molecules or []
    columns = {
        name: pa.array([getattr(molecule, name) for molecule in molecules], kind)
        for name, kind in zip(MOLECULE_FIELDS, _MOLECULE_TYPES, strict=True)
    }
    batch = pa.record_batch(columns)
    head = AtomEvent(event.event_id, event.trace_id, event.timestamp, event.type, event.tenant_id, event.user_id)
    repeat = 20

    def blocks() -> None:
        for _ in range(repeat):
            encode_molecules(head, batch)  # let go before the next, as `stock` lets go of its one

    ours, theirs = in_turn(blocks, lambda: stock.encode(event), rounds=7)
    return _ratio("encode 10,000 molecules from columns", _MANY, ours / repeat, theirs, "molecules/s", 200)


def _batch(rng: Random) -> Result:
    events = [_event(rng, rng.choice((1, 2, 3))) for _ in range(_MANY)]
    molecule = pa.struct(list(zip(MOLECULE_FIELDS, _MOLECULE_TYPES, strict=True)))
    kinds = {"timestamp": pa.int64(), "type": pa.int8(), "molecules": pa.list_(molecule)}
    schema = pa.schema([(name, kinds.get(name, pa.utf8())) for name in AtomEvent.__slots__])
    batch = pa.RecordBatch.from_pylist([asdict(event) for event in events], schema)
    repeat = 5  # a stream of batches: one alone would start with cold caches

    def stream() -> None:
        for _ in range(repeat):
            encode_events(batch)

    (ours,) = in_turn(stream, rounds=9)
    return _rate("encode 10,000 small events from columns", _MANY * repeat, ours, "events/s", 1e6)


def _decode(rng: Random, stock: StockCodec) -> Iterator[Result]:
    for molecules, count in ((1, 500), (100, 10)):
        values = [encode(_event(rng, molecules)) for _ in range(count)]
        ours, theirs = in_turn(
            lambda values=values: [decode_mapping(value) for value in values],  # type: ignore[misc]
            lambda values=values: [stock.decode(value) for value in values],  # type: ignore[misc]
            rounds=9,
        )
        yield _ratio(f"decode {molecules} molecule(s), bounds checked", count, ours, theirs, "events/s", 10)


def _scan(rng: Random) -> Iterator[Result]:
    distinct = [encode(_event(rng)) for _ in range(5000)]
    payloads = distinct * (_RECORDS // len(distinct))

    def columns() -> object:
        found = scan(payloads, _SCANNED)
        return any_of_masks(found.columns["molecules.security_mask"])

    scanned, verified = in_turn(columns, lambda: verify_many(payloads), rounds=7)
    yield _rate("scan with two strings, checked", _RECORDS, scanned, "records/s", 1e6)
    yield _rate("verify fully", _RECORDS, verified, "records/s", 7e5)


def _fuzz(rng: Random, stock: StockCodec) -> Result:
    """Damaged payloads are read or refused by `decode_mapping`; anything else ends the run with its traceback."""
    count = int(os.environ.get("ATOM_BENCH_FUZZ", "200000"))
    events = [_event(rng, rng.choice((0, 1, 1, 2, 5))) for _ in range(300)]
    sources = [encode(event) for event in events] + [stock.encode(event) for event in events]
    accepted = refused = 0
    slowest = 0.0
    for _ in range(count):
        value = _damage(rng, sources)
        start = perf_counter()
        try:
            decode_mapping(value)
            accepted += 1
        except DecodeError:
            refused += 1
        slowest = max(slowest, perf_counter() - start)
    met = accepted + refused == count and refused > 0 and slowest < 1
    budget = f"{accepted:,} read, {refused:,} refused, no other exception, none over 1 s ({slowest * 1e3:.0f} ms)"
    return Result("fuzz the decoder", float(count), "payloads", None, None, budget, met)


def _damage(rng: Random, sources: Sequence[bytes]) -> bytes:
    value = bytearray(rng.choice(sources))
    for _ in range(rng.choice((1, 1, 2, 4, 16))):
        at = rng.randrange(len(value))
        kind = rng.randrange(4)
        if kind == 0:
            value[at] = rng.randrange(256)
        elif kind == 1:
            value[at] ^= 1 << rng.randrange(8)
        elif kind == 2:
            word: Any = rng.choice((0, 1, 4, 0x7FFFFFFF, 0xFFFFFFFF, len(value), at))
            value[at & ~3 : (at & ~3) + 4] = struct.pack("<I", word)
        elif len(value) > 20:
            del value[rng.randrange(8, len(value)) :]
    return bytes(value)
