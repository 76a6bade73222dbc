from __future__ import annotations

import struct
import subprocess
from collections.abc import Callable, Sequence
from dataclasses import asdict
from random import Random
from time import perf_counter
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from atom_console.events import (
    AtomEvent,
    DecodeError,
    EventType,
    Molecule,
    decode,
    decode_mapping,
    encode,
    verify,
)
from atom_console.events.decoder import Decoder
from atom_console.events.reflection import bundled_schema, load_schema
from atom_console.events.scan import verify_many
from benchmarks.stock_codec import StockCodec, flatc_path
from tests.events.samples import bits, random_event, usual_event


def _fresh() -> Decoder:
    return Decoder(bundled_schema("atom_event"))


def _sound(value: bytes) -> bool:
    try:
        verify(value)
    except DecodeError:
        return False
    return True


def test_what_the_generated_code_writes_is_read_as_it_reads_it(stock: StockCodec) -> None:
    """Foreign payloads: the generated code drops what equals the default, and -0.0 with it."""
    rng = Random(3)
    for _ in range(1000):
        value = stock.encode(random_event(rng))
        expected = bits(stock.decode(value))
        assert bits(decode(value)) == expected
        assert bits(decode_mapping(value)) == expected
        verify(value)


def test_step_by_step_and_generated_functions_agree() -> None:
    rng = Random(4)
    events = [random_event(rng) for _ in range(300)]
    decoder = _fresh()
    first = [decoder.decode(encode(event)) for event in events]
    for _ in range(3):
        assert [bits(decoder.decode(encode(event))) for event in events] == bits(first)
    assert bits(first) == [bits(event) for event in events]
    assert sum(map(len, decoder._images)) > 20, "functions were generated"


def test_an_unknown_type_stays_a_number() -> None:
    value = bytearray(encode(usual_event(type=EventType.HEARTBEAT)))
    value[52] = 77
    assert decode(bytes(value)).type == 77
    assert not isinstance(decode(bytes(value)).type, EventType)
    assert isinstance(decode(encode(usual_event(type=1))).type, EventType)


def test_other_buffers_than_bytes_are_read() -> None:
    event = usual_event()
    value = encode(event)
    assert decode(bytearray(value)) == decode(memoryview(value)) == event
    verify(bytearray(value))


def test_every_truncation_is_a_typed_error() -> None:
    value = encode(random_event(Random(11))) + b""
    for cut in range(len(value) - 4):
        try:
            decode(value[:cut])
        except DecodeError:
            continue
    for cut in range(60):
        with pytest.raises(DecodeError):
            decode(value[:cut])
        with pytest.raises(DecodeError):
            verify(value[:cut])


def test_an_error_names_the_field_and_the_byte() -> None:
    event = usual_event(text_commentary="some text that is long")
    assert event.molecules
    event.molecules = event.molecules * 3
    value = bytearray(encode(event))
    at = value.rindex(b"some text")
    value[at - 4 : at] = struct.pack("<I", 1 << 30)
    with pytest.raises(DecodeError) as caught:
        decode(bytes(value))
    assert caught.value.path == "molecules[2].text_commentary"
    assert caught.value.position == at - 4
    assert caught.value.exit_code == 6
    value[at - 4 : at + 1] = struct.pack("<I", 22) + b"\xff"
    with pytest.raises(DecodeError, match=r"molecules\[2\]\.text_commentary: a string that is not UTF-8"):
        decode(bytes(value))


def test_the_path_is_whole_where_a_rare_table_lies_in_a_common_one() -> None:
    common = encode(usual_event())
    event = usual_event()
    assert event.molecules
    event.molecules = [Molecule(text_commentary="some text that is long", boolean_value=True)]
    value = bytearray(encode(event))
    at = value.rindex(b"some text")
    value[at - 4 : at] = struct.pack("<I", 1 << 30)
    decoder = Decoder(bundled_schema("atom_event"))
    for _ in range(100):
        decoder.decode(common)
    with pytest.raises(DecodeError) as caught:
        decoder.decode(bytes(value))
    assert (caught.value.path, caught.value.position) == ("molecules[0].text_commentary", at - 4)


def _mutate(rng: Random, value: bytes) -> bytes:
    damaged = bytearray(value)
    for _ in range(rng.choice((1, 1, 2, 4, 16))):
        at = rng.randrange(len(damaged))
        kind = rng.randrange(4)
        if kind == 0:
            damaged[at] = rng.randrange(256)
        elif kind == 1:
            damaged[at] ^= 1 << rng.randrange(8)
        elif kind == 2:
            at &= ~3
            damaged[at : at + 4] = struct.pack("<I", rng.choice((0, 1, 4, 0x7FFFFFFF, 0xFFFFFFFF, len(damaged), at)))
        elif len(damaged) > 20:
            del damaged[rng.randrange(8, len(damaged)) :]
    return bytes(damaged)


@pytest.fixture(scope="module")
def hostile(stock: StockCodec) -> list[bytes]:
    rng = Random(12)
    sources = [encode(random_event(rng)) for _ in range(200)] + [stock.encode(random_event(rng)) for _ in range(200)]
    return [_mutate(rng, rng.choice(sources)) for _ in range(12_000)]


def test_hostile_buffers_are_refused_or_read_and_nothing_else(hostile: list[bytes]) -> None:
    refused = 0
    for value in hostile:
        try:
            decode(value)
        except DecodeError:
            refused += 1
            with pytest.raises(DecodeError):
                verify(value)
    assert 1000 < refused < 11_900


def test_the_scan_judges_each_as_the_single_check_does(hostile: list[bytes]) -> None:
    assert verify_many(hostile).tolist() == [_sound(value) for value in hostile]


def test_nothing_is_accepted_that_the_official_verifier_refuses(
    hostile: list[bytes], cpp_verify: Callable[[Sequence[bytes]], list[bool]]
) -> None:
    official = cpp_verify(hostile)
    ours = verify_many(hostile)
    assert [i for i, (mine, theirs) in enumerate(zip(ours, official, strict=True)) if mine and not theirs] == []
    stricter = sum(theirs and not mine for mine, theirs in zip(ours, official, strict=True))
    assert stricter < len(hostile) // 4, "only text that is not UTF-8, and fields outside of their table"


@given(st.binary(max_size=300), st.integers(0, 200))
@settings(max_examples=400, deadline=None)
def test_any_bytes_give_an_event_or_a_typed_error(raw: bytes, at: int) -> None:
    base = encode(usual_event())
    for value in (raw, base[:at] + raw + base[at + len(raw) :]):
        for read in (decode, decode_mapping, verify):
            try:
                read(value)
            except DecodeError:
                continue


def _shared_text_bomb(tables: int, text: int) -> bytes:
    """A vector of offsets to one and the same molecule, whose text is long: an event that expands without end."""
    one = encode(AtomEvent(timestamp=0, type=0, molecules=[Molecule(text_commentary="x" * text)]))
    (vector,) = struct.unpack_from("<I", one, 44)
    vector += 44
    (table,) = struct.unpack_from("<I", one, vector + 4)
    table += vector + 4
    grown = bytearray(one[: vector + 4])
    shift = 8 * ((4 * (tables - 1) + 7) // 8)
    struct.pack_into("<I", grown, vector, tables)
    for i in range(tables):
        at = vector + 4 + 4 * i
        grown += struct.pack("<I", table + shift - at)
    grown += bytes(shift - 4 * (tables - 1))
    return bytes(grown + one[vector + 8 :])


def test_a_payload_that_expands_without_end_is_refused() -> None:
    sound = _shared_text_bomb(10, 300)
    assert [m.text_commentary for m in decode(sound).molecules or []] == ["x" * 300] * 10
    verify(sound)
    bomb = _shared_text_bomb(60_000, 900_000)
    for check in (decode, decode_mapping, verify):
        start = perf_counter()
        with pytest.raises(DecodeError, match="bomb"):
            check(bomb)
        assert perf_counter() - start < 20
    assert verify_many([bomb, sound]).tolist() == [False, True]


def test_shared_molecules_are_separate_objects() -> None:
    molecules = decode(_shared_text_bomb(3, 10)).molecules
    assert molecules
    molecules[0].text_commentary = "changed"
    assert molecules[1].text_commentary == "x" * 10


def test_many_odd_vtables_do_not_keep_the_compiler_busy() -> None:
    """Each molecule with a vtable of its own: function generation must not run once a table."""
    count, rng = 3000, Random(2)
    body = bytearray(encode(AtomEvent(timestamp=0, type=0, molecules=[])))
    vector = 44 + struct.unpack_from("<I", body, 44)[0]
    body[vector:] = struct.pack("<I", count)
    tables_at = vector + 4 + 4 * count + 20
    for i in range(count):
        body += struct.pack("<I", tables_at + 60 * i - (vector + 4 + 4 * i))
    for _ in range(count):
        number, date, time, mask = (rng.randrange(4, 29) for _ in range(4))
        body += struct.pack("<10H", 20, 36, 0, number, 0, date, 0, 0, time, mask)
        body += struct.pack("<i", 20) + bytes(36)
    decoder = _fresh()
    start = perf_counter()
    for _ in range(3):
        assert len(decoder.decode(bytes(body))["molecules"]) == count
    assert perf_counter() - start < 10
    assert sum(map(len, decoder._images)) == 0


_RICH = """
namespace rich;
enum Colour : ubyte { Red = 1, Green = 2 }
struct Point { x: float; y: double; }
struct Line { a: Point; b: Point; marks: [short:3]; }
table Leaf { name: string; next: Leaf; }
table Word { text: string; }
union Any { Leaf, Word }
table Root {
  line: Line; points: [Point]; names: [string]; leaf: Leaf; any: Any; colour: Colour = Green; flag: bool;
  small: [short]; wide: [ulong]; colours: [Colour]; raw: [ubyte]; old: int (deprecated); number: float = 1.5;
}
root_type Root;
"""
_RICH_JSON = """{
  "line": {"a": {"x": 1.5, "y": 2.5}, "b": {"x": -1, "y": 0}, "marks": [1, -2, 3]},
  "points": [{"x": 0.5, "y": 0.25}, {"x": 4, "y": 8}], "names": ["a", "", "naïve"],
  "leaf": {"name": "top", "next": {"name": "below"}}, "any_type": "Word", "any": {"text": "w"},
  "colour": "Red", "flag": true, "small": [-1, 2], "wide": [18446744073709551615], "colours": ["Red", "Green"],
  "raw": [1, 2, 255]
}"""


@pytest.fixture(scope="module")
def rich(tmp_path_factory: pytest.TempPathFactory) -> tuple[Decoder, bytes]:
    room = tmp_path_factory.mktemp("rich")
    (room / "rich.fbs").write_text(_RICH)
    (room / "rich.json").write_text(_RICH_JSON)
    subprocess.run([flatc_path(), "--binary", "--schema", "-o", str(room), str(room / "rich.fbs")], check=True)
    subprocess.run([flatc_path(), "--binary", "-o", str(room), "rich.fbs", "rich.json"], cwd=room, check=True)
    return Decoder(load_schema((room / "rich.bfbs").read_bytes())), (room / "rich.bin").read_bytes()


def test_any_kind_of_field_is_decoded(rich: tuple[Decoder, bytes]) -> None:
    decoder, value = rich
    decoder.verify(value)
    for _ in range(40):
        found: dict[str, Any] = decoder.decode(value)
        assert found["line"] == {"a": {"x": 1.5, "y": 2.5}, "b": {"x": -1.0, "y": 0.0}, "marks": [1, -2, 3]}
        assert found["points"] == [{"x": 0.5, "y": 0.25}, {"x": 4.0, "y": 8.0}]
        assert found["names"] == ["a", "", "naïve"]
        assert found["leaf"] == {"name": "top", "next": {"name": "below", "next": None}}
        assert found["any"] == {"text": "w"}
        assert (found["colour"], found["flag"], found["number"]) == (1, True, None)
        assert (found["small"], found["wide"]) == ([-1, 2], [2**64 - 1])
        assert found["colours"] == b"\1\2"
        assert found["raw"] == b"\1\2\xff"


def test_hostile_buffers_of_any_schema(rich: tuple[Decoder, bytes]) -> None:
    decoder, value = rich
    rng = Random(8)
    for _ in range(4000):
        damaged = _mutate(rng, value)
        for read in (decoder.decode, decoder.verify):
            try:
                read(damaged)
            except DecodeError:
                continue


def test_a_schema_without_the_root_is_an_error() -> None:
    with pytest.raises(DecodeError, match="no root table nowhere"):
        Decoder(bundled_schema("atom_event"), root="nowhere")
    grid = Decoder(bundled_schema("grid"), root="fbgrid.Grid")
    assert grid.decode(encode(AtomEvent("plan", "view", 0, 0)))["plan_id"] == "plan"


def test_the_caches_of_generated_functions_stay_bounded() -> None:
    decoder = _fresh()
    rng = Random(1)
    value = encode(usual_event())
    for _ in range(1500):
        damaged = bytearray(value)
        struct.pack_into("<H", damaged, 4 + 2 * rng.randrange(2, 10), 4 * rng.randrange(1, 10))
        try:
            decoder.decode(bytes(damaged))
        except DecodeError:
            continue
    assert all(len(images) <= 1000 for images in (*decoder._images, *decoder._rare))
    assert asdict(decode(value)) == decode_mapping(value)
