from __future__ import annotations

import os
import struct
import threading
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from atom_console.engine import sources
from atom_console.engine.sources import Pacer
from atom_console.errors import InputError
from atom_console.events import AtomEvent, decode, encode, encode_mapping
from atom_console.events.jsonl import to_line
from atom_console.sandbox.workload import Workload


def _lines(events: list[AtomEvent]) -> bytes:
    return b"".join(to_line(event).encode() + b"\n" for event in events)


def _events(workload: Workload, count: int) -> list[AtomEvent]:
    return [decode(encode_mapping(event)) for event in workload.events(count)]


def _read(
    path: Path, form: sources.Format | None = None
) -> tuple[list[AtomEvent], list[bytes], list[sources.InputFault]]:
    chunks = list(sources.read(path, form))
    return (
        [event for chunk in chunks for event in chunk.events],
        [payload for chunk in chunks for payload in chunk.payloads],
        [fault for chunk in chunks for fault in chunk.faults],
    )


def test_json_lines_come_in_order_and_without_a_final_newline(tmp_path: Path, workload: Workload) -> None:
    events = _events(workload, 3_000)
    path = tmp_path / "in.jsonl"
    path.write_bytes(_lines(events).rstrip(b"\n"))
    assert _read(path) == (events, [], [])


def test_a_bad_line_is_kept_as_it_came_and_named_by_file_line_and_field(tmp_path: Path, workload: Workload) -> None:
    good = _events(workload, 2)
    bad = b'{"event_id": 5, "type": 1, "timestamp": 1}'
    path = tmp_path / "in.jsonl"
    path.write_bytes(_lines(good[:1]) + b"\n" + bad + b"\r\n" + _lines(good[1:]))
    events, _, (fault,) = _read(path)
    assert events == good
    assert fault.where == "in.jsonl:3"
    assert fault.raw.rstrip(b"\r") == bad
    assert fault.message.startswith("event_id: ")


def test_a_line_longer_than_the_limit_is_a_fault_and_the_next_line_is_read(
    tmp_path: Path, workload: Workload, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sources, "MAX_ITEM_BYTES", 2_000)
    good = _events(workload, 1)
    path = tmp_path / "in.jsonl"
    path.write_bytes(b"x" * 3_000 + b"\n" + _lines(good))
    events, _, (fault,) = _read(path)
    assert events == good
    assert (fault.where, len(fault.raw)) == ("in.jsonl:1", 3_000)


def test_following_gives_lines_as_they_are_appended_until_it_is_stopped(tmp_path: Path, workload: Workload) -> None:
    first, second = _events(workload, 2)
    path = tmp_path / "in.jsonl"
    path.write_bytes(_lines([first]))
    stop = threading.Event()
    chunks = sources.read(path, follow=True, stop=stop)
    assert next(chunks).events == [first]
    line = _lines([second])
    with path.open("ab") as file:
        file.write(line[:10])
        file.flush()
        file.write(line[10:])
    assert next(chunks).events == [second]
    stop.set()
    assert list(chunks) == []


def test_framed_flatbuffers_keep_their_bytes_and_a_torn_tail_is_a_fault(tmp_path: Path, workload: Workload) -> None:
    payloads = [encode_mapping(event) for event in workload.events(50)]
    framed = b"".join(struct.pack("<I", len(payload)) + payload for payload in payloads)
    path = tmp_path / "in.atomfb"
    path.write_bytes(framed[:-7])
    _, found, (fault,) = _read(path)
    assert found == payloads[:-1]
    assert fault.raw == framed[-7 - len(payloads[-1]) + 3 : -7]
    assert fault.where == f"in.atomfb@{len(framed) - len(payloads[-1]) - 4}"


def test_a_damaged_frame_is_a_fault_of_its_own(tmp_path: Path, workload: Workload) -> None:
    good = encode_mapping(workload.event())
    path = tmp_path / "in.atomfb"
    path.write_bytes(b"".join(struct.pack("<I", len(p)) + p for p in (good, b"\xff" * 40, good)))
    _, found, (fault,) = _read(path)
    assert found == [good, good]
    assert fault.raw == b"\xff" * 40


def _table(workload: Workload, count: int) -> pa.Table:
    rows = workload.events(count)
    for row in rows:
        row["type"] = int(row["type"])
    return pa.Table.from_pylist(rows)


@pytest.mark.parametrize("suffix", ["parquet", "arrow", "stream.arrow"])
def test_columns_become_the_events_that_they_hold(tmp_path: Path, suffix: str) -> None:
    table = _table(Workload(seed=5, clock=lambda: 1_795_000_000_000_000_000), 300)
    path = tmp_path / f"in.{suffix}"
    if suffix == "parquet":
        pq.write_table(table, path)
    else:
        make = pa.ipc.new_stream if "stream" in suffix else pa.ipc.new_file
        with pa.OSFile(str(path), "wb") as sink, make(sink, table.schema) as writer:
            writer.write_table(table, max_chunksize=100)
    _, payloads, faults = _read(path)
    assert faults == []
    assert [decode(payload) for payload in payloads] == [
        decode(encode_mapping(event)) for event in Workload(seed=5, clock=lambda: 1_795_000_000_000_000_000).events(300)
    ]


def test_a_bad_row_among_columns_is_a_fault_and_the_others_are_events(tmp_path: Path, workload: Workload) -> None:
    rows = [row | {"type": int(row["type"])} for row in workload.events(3)]
    rows[1]["timestamp"] = None
    path = tmp_path / "in.parquet"
    pq.write_table(pa.Table.from_pylist(rows), path)
    _, payloads, (fault,) = _read(path)
    assert [decode(payload).event_id for payload in payloads] == [rows[0]["event_id"], rows[2]["event_id"]]
    assert fault.where == "in.parquet row 1"
    assert pa.ipc.open_stream(fault.raw).read_all().to_pylist() == [rows[1] | {"timestamp": None}]


@pytest.mark.parametrize(
    ("name", "content", "needle"),
    [("in.txt", b"", "cannot tell the format"), ("in.parquet", b"no parquet", "not readable as parquet")],
)
def test_an_unusable_file_is_one_error(tmp_path: Path, name: str, content: bytes, needle: str) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(InputError, match=needle):
        list(sources.read(path))


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="No such file"):
        list(sources.read(tmp_path / "nothing.jsonl"))


def test_a_pipe_gives_what_has_arrived_without_waiting_for_more(workload: Workload, tmp_path: Path) -> None:
    (event,) = _events(workload, 1)
    fifo = tmp_path / "in.jsonl"
    os.mkfifo(fifo)
    arrived = threading.Event()

    def write() -> None:
        with fifo.open("wb", buffering=0) as file:
            file.write(_lines([event]))
            arrived.wait(20)

    writer = threading.Thread(target=write)
    writer.start()
    chunks = sources.read(fifo)
    assert next(chunks).events == [event]
    arrived.set()
    assert list(chunks) == []
    writer.join()


def test_the_pacer_keeps_its_rate_and_never_bursts(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [100.0]
    monkeypatch.setattr(sources.time, "monotonic", lambda: now[0])
    pacer = Pacer(200.0)
    granted = 0
    for _ in range(1_000):
        granted += pacer.take(500)[0]
        now[0] += 0.01
    assert 1_990 <= granted <= 2_011
    now[0] += 60
    assert pacer.take(500)[0] <= 10


def test_every_event_round_trips_through_its_line(workload: Workload) -> None:
    for event in _events(workload, 200):
        assert encode(sources.parse_line(to_line(event))) == encode(event)
