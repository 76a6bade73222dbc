from __future__ import annotations

import subprocess
import sys
from random import Random

import pytest

from atom_console.events import AtomEvent, DecodeError, EncodeError, Peek, encode, headers, headers_of, peek
from benchmarks.stock_codec import StockCodec
from tests.events.samples import random_event, usual_event


def test_headers_of_an_event_and_of_its_payload_are_the_same(stock: StockCodec) -> None:
    rng = Random(2)
    for _ in range(500):
        event = random_event(rng)
        assert headers(event) == headers_of(encode(event)) == headers_of(stock.encode(event))


def test_the_form_of_the_headers() -> None:
    event = usual_event(trace_id="4bf92f3577b34da6a3ce929d0e0e4736", type=1)
    assert headers(event) == [("trace_id", b"4bf92f3577b34da6a3ce929d0e0e4736"), ("type", b"1")]
    assert headers(AtomEvent(timestamp=1, type=3)) == [("type", b"3")]
    assert headers(AtomEvent(trace_id="ü", type=0)) == [("trace_id", "ü".encode()), ("type", b"0")]
    with pytest.raises(EncodeError, match="trace_id"):
        headers(AtomEvent(trace_id="\ud800", type=0))


def test_peek_reads_the_fields_of_the_event_itself(stock: StockCodec) -> None:
    rng = Random(3)
    for _ in range(300):
        event = random_event(rng)
        expected = Peek(event.event_id, event.trace_id, event.timestamp, event.type, event.tenant_id, event.user_id)
        assert peek(encode(event)) == expected
    assert peek(stock.encode(AtomEvent(timestamp=0, type=0))) == Peek(None, None, None, None, None, None)


def test_damaged_payloads_are_typed_errors() -> None:
    value = encode(usual_event())
    rng = Random(4)
    for read in (headers_of, peek):
        for bad in (b"", b"\0" * 7, value[:20], b"\xff" * 100):
            with pytest.raises(DecodeError):
                read(bad)
        for _ in range(3000):
            damaged = bytearray(value)
            damaged[rng.randrange(len(damaged))] = rng.randrange(256)
            try:
                read(bytes(damaged[: rng.randrange(1, len(damaged) + 1)]))
            except DecodeError:
                continue


def test_the_room_is_light_to_import() -> None:
    """Commands that only encode or decode do not pay for numpy and pyarrow."""
    code = (
        "import sys; from atom_console.events import *; from atom_console.events import jsonl, masking\n"
        "decode(encode(AtomEvent(timestamp=1, type=1)))\n"
        "sys.exit(any(name in sys.modules for name in ('numpy', 'pyarrow', 'flatbuffers')))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
