from __future__ import annotations

from dataclasses import asdict
from random import Random
from threading import Thread
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from atom_console.events import AtomEvent, EncodeError, EventType, Molecule, decode, encode, verify
from atom_console.events.columns import encode_events, encode_molecules
from atom_console.events.layout import MOLECULE_FIELDS
from tests.events.samples import NAN_WITH_PAYLOAD, bits, random_event, random_molecule

_TYPES = (pa.binary(16), pa.float64(), pa.utf8(), pa.int64(), pa.bool_(), pa.utf8(), pa.int64(), pa.uint64())
_MOLECULE = pa.struct(list(zip(MOLECULE_FIELDS, _TYPES, strict=True)))
_EVENT = pa.schema(
    [
        ("event_id", pa.utf8()),
        ("trace_id", pa.utf8()),
        ("timestamp", pa.int64()),
        ("type", pa.int8()),
        ("tenant_id", pa.utf8()),
        ("user_id", pa.utf8()),
        ("molecules", pa.list_(_MOLECULE)),
        ("schema_payload", pa.utf8()),
    ]
)
_HEAD = AtomEvent("event", "trace", 5, EventType.MOLECULE_WRITE, "tenant", None, None, "{}")


def _arrays(molecules: list[Molecule]) -> dict[str, Any]:
    columns = zip(MOLECULE_FIELDS, _TYPES, strict=True)
    return {name: pa.array([getattr(m, name) for m in molecules], kind) for name, kind in columns}


def _molecules(count: int, seed: int = 1) -> list[Molecule]:
    rng = Random(seed)
    return [random_molecule(rng) for _ in range(count)]


def _expected(molecules: list[Molecule]) -> Any:
    return bits({**asdict(_HEAD), "molecules": [asdict(molecule) for molecule in molecules]})


@pytest.mark.parametrize("count", [0, 1, 2, 31, 32, 33, 500, 4096, 4097, 10_000])
def test_a_block_of_molecules_is_one_event(count: int) -> None:
    molecules = _molecules(count)
    value = encode_molecules(_HEAD, pa.record_batch(_arrays(molecules)))
    verify(value) if count <= 500 else None
    assert bits(decode(value)) == _expected(molecules)


@pytest.mark.parametrize("seed", range(60))
def test_any_mix_of_present_columns(seed: int) -> None:
    rng = Random(seed)
    molecules = _molecules(rng.randrange(1, 60), seed)
    keep = [name for name in MOLECULE_FIELDS if rng.random() < 0.7]
    full = rng.random() < 0.4
    for molecule in molecules:
        for name in MOLECULE_FIELDS:
            if name not in keep:
                setattr(molecule, name, None)
            elif full and getattr(molecule, name) is None:
                setattr(molecule, name, getattr(_FULL, name))
    arrays = _arrays(molecules)
    shuffled = {name: arrays[name] for name in rng.sample(keep, len(keep))}
    value = encode_molecules(asdict(_HEAD), shuffled or {"numeric_value": arrays["numeric_value"]})
    verify(value)
    assert bits(decode(value)) == _expected(molecules)


_FULL = Molecule(b"f" * 16, NAN_WITH_PAYLOAD, "text", 1, True, "#REF!", 2, 3)


@pytest.mark.parametrize(
    "layout",
    [
        lambda a: pa.concat_arrays([a.slice(0, 3), a]).slice(3),
        lambda a: pa.chunked_array([a.slice(0, 7), a.slice(7)]),
        lambda a: a.cast(pa.large_utf8()) if a.type == pa.utf8() else a,
        lambda a: a.cast(pa.string_view()) if a.type == pa.utf8() else a,
        lambda a: a.cast(pa.binary()) if a.type == pa.binary(16) else a,
        lambda a: a.cast(pa.binary()).cast(pa.large_binary()) if a.type == pa.binary(16) else a,
        lambda a: a.dictionary_encode() if a.type in (pa.utf8(), pa.binary(16)) else a,
    ],
    ids=["sliced", "chunked", "large", "view", "binary", "large binary", "dictionary"],
)
def test_arrow_layouts(layout: Any) -> None:
    molecules = _molecules(100, 9)
    arrays = {name: layout(array) for name, array in _arrays(molecules).items()}
    assert bits(decode(encode_molecules(_HEAD, pa.table(arrays)))) == _expected(molecules)


def test_binary_of_equal_length_is_taken_as_it_lies() -> None:
    hashes = pa.array([bytes([i]) * 16 for i in range(20)], pa.binary())
    for column in (hashes, hashes.slice(5)):
        back = decode(encode_molecules(_HEAD, {"coordinate_hash": column})).molecules or []
        assert [molecule.coordinate_hash for molecule in back] == column.to_pylist()


def test_numpy_columns() -> None:
    raw = np.frombuffer(Random(3).randbytes(160), np.uint8).reshape(10, 16).copy()
    raw[0, 8:] = 0
    numbers = np.array([0.0, -0.0, np.nan, np.inf, 1, 2, 3, 4, 5, NAN_WITH_PAYLOAD])
    times = np.arange(10).astype("datetime64[ms]")
    for hashes in (raw, raw.view("S16")[:, 0], raw.view("V16")[:, 0], np.asfortranarray(raw)):
        columns = {
            "coordinate_hash": hashes,
            "numeric_value": numbers,
            "boolean_value": np.arange(10) % 2 == 0,
            "date_value": times,
            "timestamp": np.arange(10, dtype=np.int32),
            "security_mask": np.full(10, 2**64 - 1, np.uint64),
            "text_commentary": np.array(["a", "bc"] * 5),
        }
        back = decode(encode_molecules(_HEAD, columns)).molecules or []
        assert [molecule.coordinate_hash for molecule in back] == [row.tobytes() for row in raw]
        assert bits([m.numeric_value for m in back]) == bits(numbers.tolist())
        assert [m.date_value for m in back] == [1_000_000 * i for i in range(10)]
        assert [m.timestamp for m in back] == list(range(10))
        assert {m.security_mask for m in back} == {2**64 - 1}
        assert [m.boolean_value for m in back] == [True, False] * 5
        assert back[1].text_commentary == "bc"


def test_values_under_nulls_do_not_leak() -> None:
    array = pa.array([1, 2, 3], pa.uint64())
    secret = pa.Array.from_buffers(pa.uint64(), 3, [pa.py_buffer(b"\x05"), array.buffers()[1]])
    value = encode_molecules(_HEAD, {"security_mask": secret})
    assert [m.security_mask for m in decode(value).molecules or []] == [1, None, 3]
    assert (2).to_bytes(8, "little") not in value[-144:]


_FAULTS: list[tuple[str, Any, str, str]] = [
    ("coordinate_hash", pa.array([b"x" * 16, b"short"]), "molecules[1].coordinate_hash", "5 bytes"),
    ("coordinate_hash", pa.array([b"x" * 17], pa.binary(17)), "molecules[0].coordinate_hash", "a column of fixed"),
    ("numeric_value", pa.array([1, 2**53 + 1]), "molecules[1].numeric_value", str(2**53 + 1)),
    ("numeric_value", pa.array(["1.0"]), "molecules[0].numeric_value", "a column of string"),
    ("numeric_value", pa.array([True]), "molecules[0].numeric_value", "a column of bool"),
    ("boolean_value", pa.array([1]), "molecules[0].boolean_value", "a column of int64"),
    ("security_mask", pa.array([1, 2, None, -1]), "molecules[3].security_mask", "-1"),
    ("timestamp", pa.array([0, 2**63], pa.uint64()), "molecules[1].timestamp", str(2**63)),
    ("date_value", pa.array([2**62], pa.timestamp("s")), "molecules[0].date_value", "timestamp[s]"),
    ("text_commentary", pa.array([1]), "molecules[0].text_commentary", "a column of int64"),
]


@pytest.mark.parametrize(("name", "array", "path", "found"), _FAULTS)
def test_the_first_row_at_fault_is_named(name: str, array: Any, path: str, found: str) -> None:
    with pytest.raises(EncodeError) as caught:
        encode_molecules(_HEAD, {name: array})
    assert caught.value.path == path
    assert found in caught.value.found
    events = pa.table({"timestamp": [1, 2], "type": [1, 1], "molecules": _lists(name, array)})
    with pytest.raises(EncodeError) as caught:
        encode_events(events)
    assert caught.value.path == f"events[1].{path}"


def _lists(name: str, array: Any) -> Any:
    struct = pa.StructArray.from_arrays([array], names=[name])
    return pa.ListArray.from_arrays(pa.array([0, 0, len(array)], pa.int32()), struct)


@pytest.mark.parametrize("kind", [pa.utf8(), pa.large_utf8()])
def test_text_that_is_not_utf8_is_found(kind: Any) -> None:
    raw = pa.array([b"fine", None, b"\xff\xfe", b"ok"], pa.binary() if kind == pa.utf8() else pa.large_binary())
    text = pa.Array.from_buffers(kind, 4, raw.buffers())
    with pytest.raises(EncodeError, match=r"molecules\[2\]\.text_commentary: found bytes that are not UTF-8"):
        encode_molecules(_HEAD, {"text_commentary": text})


def test_damaged_offsets_are_found() -> None:
    broken = pa.py_buffer(np.array([0, 900, 4], np.int32))
    text = pa.Array.from_buffers(pa.utf8(), 2, [None, broken, pa.py_buffer(b"abcd")])
    with pytest.raises(EncodeError):
        encode_molecules(_HEAD, {"text_commentary": text})
    struct = pa.StructArray.from_arrays([pa.array([1.0, 2.0])], names=["numeric_value"])
    broken = pa.py_buffer(np.array([0, 900, 1, 2], np.int32))
    lists = pa.Array.from_buffers(pa.list_(struct.type), 3, [None, broken], children=[struct])
    with pytest.raises(EncodeError, match="damaged list offsets"):
        encode_events(pa.table({"timestamp": [1, 2, 3], "type": [1, 1, 1], "molecules": lists}))


@pytest.mark.parametrize(
    ("head", "columns", "match"),
    [
        (_HEAD, {"numeric_valu": [1.0]}, r"molecules\.numeric_valu: found an unknown field \(nearest: numeric_value\)"),
        (_HEAD, {"numeric_value": [1.0], "timestamp": [1, 2]}, r"columns of \[1, 2\] rows"),
        (AtomEvent(timestamp=1, type=1, molecules=[Molecule()]), {}, "molecules in the head too"),
        ({"timestamp": 1}, {}, "type: found nothing"),
        ({"timestamp": 1, "type": 1, "tenant": "x"}, {}, "nearest: tenant_id"),
        (_HEAD, {"numeric_value": [object()]}, r"molecules\.numeric_value: found list"),
        (_HEAD, {"coordinate_hash": np.zeros((2, 15), np.uint8)}, "uint8 of shape"),
    ],
)
def test_what_cannot_be_a_block(head: Any, columns: Any, match: str) -> None:
    with pytest.raises(EncodeError, match=match):
        encode_molecules(head, columns)


@pytest.mark.parametrize("count", [0, 1, 300, 9000])
def test_a_batch_of_events(count: int) -> None:
    rng = Random(count)
    events = [random_event(rng) for _ in range(count)]
    batch = pa.RecordBatch.from_pylist([asdict(event) for event in events], _EVENT)
    values = encode_events(batch)
    assert [bits(decode(value)) for value in values] == [bits(event) for event in events]
    for value in values[:300]:
        verify(value)
    assert encode_events(batch.slice(count // 3)) == values[count // 3 :]


def test_a_table_and_large_lists_are_taken_too() -> None:
    rng = Random(6)
    events = [random_event(rng) for _ in range(200)]
    table = pa.Table.from_pylist([asdict(event) for event in events], _EVENT)
    chunked = pa.concat_tables([table.slice(0, 50), table.slice(50)])
    large = table.set_column(6, "molecules", table["molecules"].cast(pa.large_list(_MOLECULE)))
    expected = [bits(event) for event in events]
    for form in (chunked, large):
        assert [bits(decode(value)) for value in encode_events(form)] == expected


def test_columns_that_are_missing_are_absent() -> None:
    (value,) = encode_events(pa.table({"timestamp": [1], "type": [4]}))
    assert decode(value) == AtomEvent(timestamp=1, type=EventType.HEARTBEAT)
    assert value == encode(AtomEvent(timestamp=1, type=4))


@pytest.mark.parametrize(
    ("columns", "match"),
    [
        ({"type": [1]}, r"events\[0\]\.timestamp: found nothing"),
        ({"timestamp": [1, None], "type": [1, 1]}, r"events\[1\]\.timestamp: found nothing"),
        ({"timestamp": [1, 2], "type": [1, 5]}, r"events\[1\]\.type: found 5"),
        ({"timestamp": [1], "type": [300]}, r"events\[0\]\.type: found int64 300"),
        ({"timestamp": [1], "type": [1], "tenant": ["a"]}, "nearest: tenant_id"),
        ({"timestamp": [1], "type": [1], "molecules": [3]}, "a list of structs"),
        ({"timestamp": [1], "type": [1], "molecules": [[{"numeric": 1.0}]]}, "nearest: numeric_value"),
        (
            {"timestamp": [1, 1], "type": [1, 1], "molecules": [[], [{"timestamp": 1}, None]]},
            r"events\[1\]\.molecules\[1\]: found nothing",
        ),
        ({"timestamp": [1], "type": [1], "tenant_id": [7]}, r"events\[0\]\.tenant_id: found a column of int64"),
    ],
)
def test_what_cannot_be_a_batch(columns: Any, match: str) -> None:
    with pytest.raises(EncodeError, match=match):
        encode_events(pa.table(columns))


def test_rows_beyond_the_first_block_keep_their_number() -> None:
    types = [1] * 10_000
    types[9_876] = 9
    with pytest.raises(EncodeError, match=r"events\[9876\]\.type"):
        encode_events(pa.table({"timestamp": list(range(10_000)), "type": types}))


def test_threads_have_their_own_scratch() -> None:
    blocks = [pa.record_batch(_arrays(_molecules(3000, seed))) for seed in range(4)]
    expected = [encode_molecules(_HEAD, block) for block in blocks]
    wrong: list[int] = []

    def work(index: int) -> None:
        values = (encode_molecules(_HEAD, blocks[index]) for _ in range(15))
        wrong.extend(index for value in values if value != expected[index])

    threads = [Thread(target=work, args=(index,)) for index in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong
