from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import psutil
import pyarrow as pa
import pytest

from atom_console.errors import AtomError
from atom_console.flight.channel import fl
from atom_console.flight.client import SERVER_SCHEMA_INVALID, FlightConsole
from atom_console.flight.compare import SchemaMismatchError
from atom_console.flight.download import Download
from atom_console.flight.errors import (
    BrokenStreamError,
    FlightServerError,
    FlightTimeoutError,
    PeerUnreachableError,
    UnimplementedRpcError,
)
from atom_console.flight.fetch import Fetch, IncompleteTransferError
from atom_console.flight.fetch_plan import FetchPlan, Limits
from atom_console.flight.mdf import MDF_SCHEMA
from atom_console.flight.sinks import Discard, FileSink, Preview
from tests.flight.faulty_servers import (
    PLAN,
    BrokenSchema,
    DoGetOnly,
    Lying,
    NoSchema,
    StopsAfterThree,
    Streams,
)
from tests.flight.upstream_stub import UpstreamStub

Connect = Callable[..., FlightConsole]


@pytest.fixture
def run() -> Iterator[Callable[[Any], Any]]:
    with ExitStack() as running:

        def start(server: Any) -> Any:
            running.callback(server.close if isinstance(server, UpstreamStub) else server.shutdown)
            return server

        yield start


def test_a_lying_schema_is_a_diff_and_no_row_is_shown(run: Any, console: Connect) -> None:
    client = console(run(Lying()).uri)
    preview = Preview()
    with pytest.raises(SchemaMismatchError) as caught:
        Download(client, "q3", preview, promised=client.schema("q3")).run()
    assert {(change.path, change.kind) for change in caught.value.changes} == {
        ("numeric_value", "type changed"),
        ("source_system", "nullability changed"),
        ("is_locked", "metadata changed"),
    }
    assert caught.value.exit_code == 6
    assert preview.batches == []
    on_purpose = Download(client, "q3", preview, promised=None).run()
    assert on_purpose.schema.field("numeric_value").type == pa.float32()


def test_the_upstream_stub_falls_back_and_its_stream_is_named(run: Any, console: Connect) -> None:
    client = console(run(UpstreamStub()).uri)
    schema = client.schema("q3")
    assert (schema.source, schema.mark) == ("declared", SERVER_SCHEMA_INVALID)
    assert schema.schema.equals(MDF_SCHEMA)
    info = client.info("q3")
    assert not info.described
    assert info.fetch.endpoints[0].ticket == b'{"plan_id":"q3","jwt_scope":""}'
    with pytest.raises(BrokenStreamError, match="does not send an Arrow stream") as caught:
        Download(client, "q3", Discard(), promised=schema).run()
    assert caught.value.next_step
    for call in (client.list_flights, client.actions, lambda: client.action("health")):
        with pytest.raises(UnimplementedRpcError):
            call()
    assert client.ping().answered_by == "ListActions (unimplemented)"


def test_a_broken_schema_does_not_stop_the_stream(run: Any, console: Connect) -> None:
    for server, mark in ((BrokenSchema(), SERVER_SCHEMA_INVALID), (NoSchema(), "no GetSchema")):
        client = console(run(server).uri)
        schema = client.schema("q3")
        assert (schema.source, schema.mark) == ("declared", mark)
        assert Download(client, "q3", Discard(), promised=schema).run().progress.rows == PLAN.rows


def test_without_list_flights_a_plan_id_by_hand_works(run: Any, console: Connect) -> None:
    server = run(DoGetOnly())
    client = console(server.uri, token="t0")
    with pytest.raises(UnimplementedRpcError, match="ListFlights") as caught:
        client.list_flights()
    assert "by hand" in str(caught.value.next_step)
    assert Download(client, "q3", Discard(), promised=client.schema("q3")).run().progress.rows == PLAN.rows
    assert server.tickets == [b'{"plan_id":"q3","jwt_scope":"Bearer t0"}']


def test_a_stream_that_fails_after_three_batches_says_so(run: Any, console: Connect, tmp_path: Path) -> None:
    client = console(run(StopsAfterThree(error=RuntimeError)).uri)
    with pytest.raises(FlightServerError, match="three were enough"):
        Download(client, "q3", FileSink(tmp_path / "out.arrow")).run()
    assert list(tmp_path.iterdir()) == []


def test_a_stream_that_ends_short_is_not_taken_for_whole(run: Any, console: Connect, tmp_path: Path) -> None:
    client = console(run(StopsAfterThree(error=None, announce=True)).uri)
    with pytest.raises(IncompleteTransferError, match="24,576 of 81,920"):
        Download(client, "q3", FileSink(tmp_path / "out.parquet")).run()
    assert list(tmp_path.iterdir()) == []


def test_a_broken_link_restarts_visibly_or_resumes_where_the_server_allows(
    run: Any, console: Connect, tmp_path: Path
) -> None:
    seen: list[AtomError] = []
    client = console(run(StopsAfterThree(error=fl.FlightUnavailableError)).uri)
    target = tmp_path / "out.arrow"
    summary = Download(client, "q3", FileSink(target), on_restart=seen.append).run()
    assert (summary.restarts, summary.progress.resumes) == (1, 0)
    assert [type(error) for error in seen] == [PeerUnreachableError]
    expected = pa.Table.from_batches(PLAN.batches())
    with pa.ipc.open_file(target) as reader:
        assert reader.read_all().equals(expected)

    client = console(run(StopsAfterThree(error=fl.FlightUnavailableError, announce=True, expiring=True)).uri)
    summary = Download(client, "q3", FileSink(target)).run()
    assert (summary.restarts, summary.progress.resumes) == (0, 1)
    with pa.ipc.open_file(target) as reader:
        assert reader.read_all().equals(expected)


def test_batches_of_60_mb_stay_bounded(run: Any, console: Connect) -> None:
    batch = pa.record_batch({"blob": pa.array([b"x" * 1_000_000] * 60, pa.binary())})
    client = console(run(Streams(batch.schema, [batch] * 12)).uri)
    process = psutil.Process()
    with client.fetch("big") as fetch:
        before, highest, rows = process.memory_info().rss, 0, 0
        for received in fetch:
            rows += received.num_rows
            highest = max(highest, process.memory_info().rss - before)
    assert rows == 720
    assert highest < 400 << 20  # of 720 MB; the server of this test lives in the same process


def test_a_slow_stream_is_not_killed_but_a_silent_one_is(run: Any, console: Connect) -> None:
    batch = PLAN.batch(0)
    server = run(Streams(MDF_SCHEMA, [batch] * 4, pause_s=0.4))
    patient = console(server.uri, limits=Limits(idle_timeout_s=2.0))
    assert Download(patient, "slow", Discard()).run().progress.batches == 4
    hasty = console(server.uri, limits=Limits(idle_timeout_s=0.1))
    with pytest.raises(FlightTimeoutError, match="nothing came for"):
        Download(hasty, "slow", Discard()).run()
    hurried = console(server.uri, limits=Limits(idle_timeout_s=5, deadline_s=0.5))
    with pytest.raises(FlightTimeoutError):
        Download(hurried, "slow", Discard()).run()


def _nested(depth: int) -> pa.DataType:
    kind: pa.DataType = pa.int32()
    for level in range(depth):
        kind = pa.struct([pa.field(f"level{level}", kind), pa.field("more", pa.list_(pa.utf8()))])
    return kind


class Celsius(pa.ExtensionType):
    def __init__(self) -> None:
        super().__init__(pa.float64(), "atom.test.celsius")

    def __arrow_ext_serialize__(self) -> bytes:
        return b"v1"

    @classmethod
    def __arrow_ext_deserialize__(cls, storage: pa.DataType, serialized: bytes) -> Celsius:
        return cls()


_SCHEMAS = {
    "nested": pa.schema([("deep", _nested(10))]),
    "dictionary": pa.schema([("code", pa.dictionary(pa.int16(), pa.utf8())), ("map", pa.map_(pa.utf8(), pa.int8()))]),
    "extension": pa.schema([pa.field("temperature", Celsius())], metadata={"source": "test"}),
    "no columns": pa.schema([]),
    "wide": pa.schema([(f"c{number}", pa.int8()) for number in range(1500)]),
}


@pytest.mark.parametrize("name", _SCHEMAS)
@pytest.mark.parametrize("batches", [0, 1, 3])
def test_odd_schemas_pass_through_unchanged(
    run: Any, console: Connect, tmp_path: Path, name: str, batches: int
) -> None:
    schema = _SCHEMAS[name]
    batch = pa.RecordBatch.from_arrays([_some(field.type) for field in schema], schema=schema)
    client = console(run(Streams(schema, [batch] * batches)).uri)
    target = tmp_path / "out.arrow"
    Download(client, "odd", FileSink(target), promised=client.schema("odd")).run()
    local = pa.BufferOutputStream()
    with pa.ipc.new_file(local, schema) as writer:
        writer.write_table(pa.Table.from_batches([batch] * batches, schema))
    with pa.ipc.open_file(target) as reader, pa.ipc.open_file(local.getvalue()) as expected:
        assert reader.schema.equals(expected.schema, check_metadata=True)
        assert reader.read_all().equals(expected.read_all())


def _some(kind: pa.DataType) -> pa.Array:
    if pa.types.is_dictionary(kind):
        return pa.array(["a", None, "b"]).dictionary_encode().cast(kind)
    if isinstance(kind, pa.ExtensionType):
        return pa.ExtensionArray.from_storage(kind, pa.array([20.5, None, 21.0], kind.storage_type))
    return pa.nulls(3, kind)


def test_a_fetch_without_anyone_to_ask_fails_at_once() -> None:
    from atom_console.flight.connection import Connection
    from atom_console.flight.fetch_plan import Endpoint

    plan = FetchPlan("q3", (Endpoint(b"q3"),))
    with Fetch(Connection("grpc://127.0.0.1:1"), plan) as fetch:
        with pytest.raises(PeerUnreachableError, match="nothing listens"):
            _ = fetch.schema
