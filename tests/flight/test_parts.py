from __future__ import annotations

import errno
import os
import threading
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from atom_console.config import load
from atom_console.errors import CheckError, InputError
from atom_console.flight import tickets
from atom_console.flight.channel import ChannelOptions
from atom_console.flight.compare import SchemaMismatchError, check_stream
from atom_console.flight.connection import Connection, Identity, parse_target
from atom_console.flight.mdf import BATCH_ROWS, MDF_SCHEMA, GeneratedPlan
from atom_console.flight.plans import generated, split
from atom_console.flight.ring import Ring, RingClosed
from atom_console.flight.sinks import FileSink, OutputError, Preview
from tests.flight.conftest import TestCa
from tests.flight.content import digest


def test_options_are_the_measured_ones() -> None:
    assert ChannelOptions().arguments() == [
        ("grpc.keepalive_time_ms", 10_000),
        ("grpc.keepalive_timeout_ms", 1_000),
        ("grpc.keepalive_permit_without_calls", 1),
        ("grpc.http2.max_pings_without_data", 0),
        ("grpc.http2.ping_timeout_ms", 1_000),
        ("grpc.http2.bdp_probe", 0),
        ("grpc.http2.lookahead_bytes", 16_777_216),
        ("grpc.max_reconnect_backoff_ms", 2_000),
    ]
    assert ChannelOptions.from_settings(load(environ={}).settings.flight) == ChannelOptions()


@pytest.mark.parametrize(
    "wrong",
    [
        {"keepalive_time_ms": 999},
        {"keepalive_time_ms": "10000"},
        {"keepalive_time_ms": 1e4},
        {"http2_ping_timeout_ms": True},
        {"keepalive_timeout_ms": -1},
        {"lookahead_bytes": 0},
        {"bdp_probe": 0},
        {"keepalive_permit_without_calls": "yes"},
    ],
)
def test_what_grpc_would_swallow_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(InputError, match=next(iter(wrong))):
        ChannelOptions(**wrong)


@pytest.mark.parametrize(
    ("text", "secure", "uri", "plan"),
    [
        ("engine:50051", False, "grpc://engine:50051", None),
        ("engine:50051", True, "grpc+tls://engine:50051", None),
        ("flight://engine:50051/q3", True, "grpc+tls://engine:50051", "q3"),
        ("grpc://engine:50051/a/b", True, "grpc://engine:50051", "a/b"),
        ("grpc://[::1]:1", False, "grpc://[::1]:1", None),
        ("grpc+unix:///run/atom.sock", True, "grpc+unix:///run/atom.sock", None),
    ],
)
def test_addresses(text: str, secure: bool, uri: str, plan: str | None) -> None:
    assert parse_target(text, secure=secure) == (uri, plan)


@pytest.mark.parametrize(
    "text", ["", "engine", "http://engine:1", "grpc://:50051", "grpc://engine:port", "grpc://", "grpc://me:pw@engine:1"]
)
def test_what_is_no_address_is_refused(text: str) -> None:
    with pytest.raises(InputError):
        parse_target(text, secure=False)


def test_a_location_never_leads_from_tls_to_plaintext() -> None:
    secure = Connection("grpc+tls://engine:1", token="s3cret")
    assert secure.at("grpc+tls://other:2").uri == "grpc+tls://other:2"
    assert secure.at("other:2").transport == "TLS"
    assert secure.at("arrow-flight-reuse-connection://?") is secure
    with pytest.raises(CheckError, match="plaintext"):
        secure.at("grpc://other:2")
    assert "s3cret" not in repr(secure)


def test_a_connection_is_built_from_files(tmp_path: Path, test_ca: TestCa) -> None:
    pair, other = test_ca.issue("operator"), test_ca.issue("other")
    files = {"ca": test_ca.pem, "cert": pair.certificate, "key": pair.key, "token": b" secret \n", "other": other.key}
    for name, data in files.items():
        (tmp_path / name).write_bytes(data)

    def build(**given: str) -> Connection:
        environ = {f"ATOM_FLIGHT_{name.upper()}": str(value) for name, value in given.items()}
        return Connection.from_settings(load(environ=environ).settings.flight)

    whole = build(
        ca=tmp_path / "ca", cert=tmp_path / "cert", key=tmp_path / "key", token_file=tmp_path / "token"
    )  # fmt: skip
    assert (whole.transport, whole.authorization) == ("mTLS", "Bearer secret")
    assert build().transport == "plaintext"
    with pytest.raises(CheckError, match="do not belong together"):
        build(cert=tmp_path / "cert", key=tmp_path / "other")
    with pytest.raises(InputError, match="not PEM"):
        build(ca=tmp_path / "token")
    (tmp_path / "token").write_bytes(b"\n")
    with pytest.raises(InputError, match="no token"):
        build(token_file=tmp_path / "token")


def test_an_encrypted_key_is_named_and_nobody_is_prompted(tmp_path: Path, test_ca: TestCa) -> None:
    from atom_console.flight.connection import check_pair

    pair = test_ca.issue("operator")
    with pytest.raises(CheckError, match="encrypted"):
        check_pair(Identity(pair.certificate, b"-----BEGIN ENCRYPTED PRIVATE KEY-----\n"), "here")


def test_tickets(tmp_path: Path) -> None:
    assert tickets.plan_ticket("plän", "Bearer x") == '{"plan_id":"plän","jwt_scope":"Bearer x"}'.encode()
    assert tickets.from_batch(b'{"plan_id":"p","first_batch":2}', 3) == b'{"plan_id":"p","first_batch":5}'
    for whole in (b"q3", b"[1]", b"\xff", b"7"):
        assert tickets.read_plan_ticket(whole)["plan_id"]
    (tmp_path / "empty").touch()
    (tmp_path / "ticket").write_bytes(b"\x00raw")
    assert tickets.file_ticket(tmp_path / "ticket") == b"\x00raw"
    for wrong in ("empty", "missing"):
        with pytest.raises(InputError):
            tickets.file_ticket(tmp_path / wrong)


def test_a_plan_is_the_same_from_any_batch_and_on_any_machine() -> None:
    plan = GeneratedPlan("p", 3 * BATCH_ROWS + 5, seed=9)
    whole = pa.Table.from_batches(plan.batches())
    assert whole.schema.equals(MDF_SCHEMA)
    assert whole.slice(2 * BATCH_ROWS).equals(pa.Table.from_batches(plan.batches(first=2)))
    for batch in plan.batches():
        batch.validate(full=True)
    assert whole["embedding_vector"].null_count < len(whole) > whole["numeric_value"].null_count > 0
    assert not any(whole[field.name].null_count for field in MDF_SCHEMA if not field.nullable)
    assert digest(MDF_SCHEMA, plan.batches())[:16] == "cb208364919e0e59"
    assert digest(MDF_SCHEMA, GeneratedPlan("p", plan.rows, seed=8).batches())[:16] != "cb208364919e0e59"
    assert 600_000 < plan.batch(0).nbytes < 1_000_000


def test_names_of_generated_plans() -> None:
    assert [generated(name).rows for name in ("mdf-5", "mdf-2k", "mdf-3M-seed7")] == [5, 2_000, 3_000_000]  # type: ignore[union-attr]
    assert [generated(name) for name in ("mdf-", "mdf-5G", "mdf--5", "MDF-5", "mdf-5-seed")] == [None] * 5


def test_large_batches_are_split_and_a_row_is_never_cut() -> None:
    batch = pa.record_batch({"blob": pa.array([b"x" * size for size in (10, 2_000_000, 10, 800_000, 800_000)])})
    parts = list(split(batch))
    assert pa.Table.from_batches(parts).equals(pa.Table.from_batches([batch]))
    assert [part.num_rows for part in parts] == [1, 1, 1, 1, 1] or max(p.nbytes for p in parts if p.num_rows > 1) < 9e5


@settings(max_examples=30, deadline=None)
@given(st.lists(st.integers(1, 100), max_size=60), st.integers(1, 4), st.integers(1, 150), st.integers(1, 3))
def test_a_ring_hands_over_everything_within_its_bounds(
    sizes: list[int], most_items: int, most_bytes: int, producers: int
) -> None:
    ring: Ring[tuple[int, int]] = Ring(most_items, most_bytes, producers)

    def produce(number: int) -> None:
        for place, size in enumerate(sizes):
            ring.put((number, place), size)
        ring.finish()

    threads = [threading.Thread(target=produce, args=(number,)) for number in range(producers)]
    for thread in threads:
        thread.start()
    got: list[tuple[int, int]] = []
    while (item := ring.get(idle_s=10)) is not None:
        got.append(item)
    for thread in threads:
        thread.join()
    for number in range(producers):
        assert [place for owner, place in got if owner == number] == list(range(len(sizes)))


def test_a_ring_blocks_when_full_and_close_wakes_everybody() -> None:
    ring: Ring[int] = Ring(2, 100)
    ring.put(1, 500)  # one always fits

    def put_another() -> None:
        with pytest.raises(RingClosed):
            ring.put(2, 500)

    blocked = threading.Thread(target=put_another, daemon=True)
    blocked.start()
    blocked.join(0.05)
    assert blocked.is_alive()
    ring.close()
    blocked.join(5)
    assert not blocked.is_alive()
    with pytest.raises(RingClosed):
        ring.get()


def test_a_ring_gives_what_came_before_an_error_and_times_out() -> None:
    ring: Ring[int] = Ring(8, 100)
    with pytest.raises(TimeoutError):
        ring.get(idle_s=0.01)
    ring.put(1, 1)
    ring.finish(KeyError("broken"))
    assert ring.get() == 1
    with pytest.raises(KeyError):
        ring.get()


class _FullDisk:
    """A file on a disk that has room for `room` bytes."""

    closed = False

    def __init__(self, file: Any, room: int) -> None:
        self._file = file
        self._room = room

    def write(self, data: Any) -> int:
        self._room -= len(memoryview(data).cast("B"))
        if self._room < 0:
            raise OSError(errno.ENOSPC, "No space left on device")
        return int(self._file.write(data))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)


def _write(sink: FileSink, plan: GeneratedPlan) -> None:
    sink.open(plan.schema)
    for batch in plan.batches():
        sink.write(batch)
    sink.commit()


@pytest.mark.parametrize("suffix", [".parquet", ".arrow"])
@pytest.mark.parametrize("room", [0, 10, 300_000, 2_000_000])
def test_a_full_disk_leaves_the_old_file_and_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, suffix: str, room: int
) -> None:
    target = tmp_path / f"out{suffix}"
    target.write_bytes(b"old")
    real = os.fdopen
    monkeypatch.setattr(os, "fdopen", lambda *given: _FullDisk(real(*given), room))
    sink = FileSink(target)
    plan = GeneratedPlan("p", 20 * BATCH_ROWS)
    with pytest.raises(OutputError, match="the disk is full"):
        _write(sink, plan)
    assert [path.name for path in tmp_path.iterdir()] == [target.name]
    assert target.read_bytes() == b"old"


def test_files_are_written_in_groups_and_refused_where_they_cannot_be(tmp_path: Path) -> None:
    plan = GeneratedPlan("p", 60 * BATCH_ROWS, custom_dimensions=True)
    sink = FileSink(tmp_path / "out.parquet")
    sink.open(plan.schema)
    assert not (tmp_path / "out.parquet").exists()
    for batch in plan.batches():
        sink.write(batch)
    sink.commit()
    with pq.ParquetFile(tmp_path / "out.parquet") as file:
        assert file.metadata.num_row_groups == 2
        assert file.metadata.row_group(0).column(0).compression == "ZSTD"
        assert file.schema_arrow.equals(plan.schema)
    with pytest.raises(InputError, match="no such format"):
        FileSink(tmp_path / "out.csv")
    with pytest.raises(InputError, match="not a directory"):
        FileSink(tmp_path / "no" / "out.arrow")
    with pytest.raises(InputError, match="exists"):
        FileSink(tmp_path / "out.parquet", overwrite=False)


def test_a_preview_keeps_its_rows_and_lets_the_message_go() -> None:
    plan = GeneratedPlan("p", 3 * BATCH_ROWS)
    preview = Preview(BATCH_ROWS + 7)
    preview.open(plan.schema)
    for batch in plan.batches():
        preview.write(batch.slice(0, BATCH_ROWS))
    assert sum(batch.num_rows for batch in preview.batches) == BATCH_ROWS + 7
    assert preview.batches[1].get_total_buffer_size() < 100_000


def test_a_stream_is_compared_field_by_field() -> None:
    check_stream(MDF_SCHEMA, MDF_SCHEMA, "q3")
    changed = pa.schema([*list(MDF_SCHEMA)[:9], pa.field("a", pa.int8()), pa.field("b", pa.int8())])
    with pytest.raises(SchemaMismatchError, match=r"security_mask: field removed .* and 2 more") as caught:
        check_stream(MDF_SCHEMA, changed, "q3")
    assert [change.kind for change in caught.value.changes] == ["field removed"] * 3 + ["field added"] * 2
