from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from atom_console.errors import AtomError
from atom_console.flight.client import FlightConsole
from atom_console.flight.connection import Connection
from atom_console.flight.download import Download
from atom_console.flight.errors import PeerUnreachableError, PermissionDeniedError, PlanNotFoundError
from atom_console.flight.fetch_plan import Limits
from atom_console.flight.mdf import CUSTOM_DIMENSIONS, MDF_SCHEMA, GeneratedPlan
from atom_console.flight.plans import Generated
from atom_console.flight.server import ReferenceServer
from atom_console.flight.sinks import Discard, FileSink, Preview
from tests.flight.content import ContentDigest, digest

Serve = Callable[..., ReferenceServer]
Connect = Callable[..., FlightConsole]


@pytest.mark.parametrize("transport", ["plaintext", "TLS", "mTLS"])
def test_schema_and_rows_arrive_over_each_transport(
    serve: Serve, console: Connect, transport: str, tmp_path: Path
) -> None:
    server = serve(transport, plans=("mdf-200k",), endpoints=3)
    client = console(server.uri, transport)
    assert client.connection.transport == transport
    promised = client.schema("mdf-200k")
    assert promised.source == "server"
    assert promised.schema.equals(MDF_SCHEMA, check_metadata=True)
    target = tmp_path / "plan.parquet"
    summary = Download(client, "mdf-200k", FileSink(target), promised=promised).run()
    assert (summary.progress.rows, summary.progress.endpoints_done, summary.restarts) == (200_000, 3, 0)
    plan = GeneratedPlan("mdf-200k", 200_000)
    assert pq.read_table(target).equals(pa.Table.from_batches(plan.batches()), check_metadata=True)
    assert [path.name for path in tmp_path.iterdir()] == ["plan.parquet"]


def test_one_gigabyte_is_the_same_discarded_and_in_parquet(serve: Serve, console: Connect, tmp_path: Path) -> None:
    plan = GeneratedPlan("gigabyte", 10_600_000, period=32)
    client = console(serve(extra={"gigabyte": Generated(plan)}).uri)
    promised = client.schema("gigabyte")
    sink = ContentDigest()
    summary = Download(client, "gigabyte", sink, promised=promised).run()
    assert summary.progress.bytes > 1_000_000_000
    target = tmp_path / "gigabyte.parquet"
    Download(client, "gigabyte", FileSink(target), promised=promised).run()
    with pq.ParquetFile(target) as file:
        assert digest(file.schema_arrow, file.iter_batches(8192)) == sink.hex()


def test_order_is_kept_across_endpoints_and_free_without(serve: Serve, console: Connect) -> None:
    client = console(serve(endpoints=7).uri, limits=Limits(parallel=3, ring_batches=2, idle_timeout_s=20))
    info = client.info("mdf-300k")
    assert (len(info.fetch.endpoints), info.fetch.ordered, info.described) == (7, True, True)
    with client.fetch(info.fetch, expected=MDF_SCHEMA) as fetch:
        stamps = [batch["timestamp"][0].as_py() for batch in fetch]
    assert stamps == sorted(stamps)
    assert len(stamps) == 37


def test_a_reading_thread_connects_once_for_all_its_endpoints(
    serve: Serve, console: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = console(serve(endpoints=7).uri, limits=Limits(parallel=2, idle_timeout_s=20))
    plan = client.info("mdf-300k").fetch
    opened: list[str] = []
    connect = Connection.open
    monkeypatch.setattr(Connection, "open", lambda self: opened.append(self.uri) or connect(self))
    with client.fetch(plan) as fetch:
        assert sum(batch.num_rows for batch in fetch) == 300_000
    assert 1 <= len(opened) <= 2


def test_locations_are_followed_to_another_server_and_past_a_dead_one(serve: Serve, console: Connect) -> None:
    from dataclasses import replace

    first, second = serve(), serve()
    client = console(first.uri)
    plan = client.info("mdf-50k").fetch
    moved = replace(plan, endpoints=(replace(plan.endpoints[0], locations=("grpc://127.0.0.1:1", second.uri)),))
    with client.fetch(moved) as fetch:
        assert sum(batch.num_rows for batch in fetch) == 50_000
    assert second.stats()["rows_sent"] == 50_000
    assert first.stats()["rows_sent"] == 0


def test_what_is_put_can_be_got(serve: Serve, console: Connect, tmp_path: Path) -> None:
    plan = GeneratedPlan("upload", 20_000, custom_dimensions=True)
    client = console(serve(folder=tmp_path).uri)
    result = client.put("upload", plan.schema, plan.batches())
    assert (result.rows, result.batches) == (20_000, 3)
    assert '"rows": 20000' in result.acknowledgement
    assert client.schema("upload").schema.field("custom_dimensions").equals(CUSTOM_DIMENSIONS)
    assert "upload" in {entry.plan_id for entry in client.list_flights()}
    preview = Preview(100)
    Download(client, "upload", preview).run()
    assert pa.Table.from_batches(preview.batches).equals(pa.Table.from_batches([plan.batch(0).slice(0, 100)]))


@pytest.mark.parametrize("name", ["../escape", ".hidden", "a/b", "", "x" * 200])
def test_a_put_never_leaves_the_folder(serve: Serve, console: Connect, tmp_path: Path, name: str) -> None:
    folder = tmp_path / "served"
    folder.mkdir()
    plan = GeneratedPlan("upload", 10)
    with pytest.raises(AtomError):
        console(serve(folder=folder).uri).put(name, plan.schema, plan.batches())
    assert [path.name for path in tmp_path.rglob("*")] == ["served"]


def test_files_of_a_folder_are_served_in_small_batches(serve: Serve, console: Connect, tmp_path: Path) -> None:
    plan = GeneratedPlan("big", 100_000)
    table = pa.Table.from_batches(plan.batches()).combine_chunks()
    pq.write_table(table, tmp_path / "p.parquet", row_group_size=30_000)
    with pa.ipc.new_file(tmp_path / "a.arrow", table.schema) as writer:
        writer.write_table(table)
    client = console(serve(folder=tmp_path, endpoints=2).uri)
    assert {entry.plan_id: entry.rows for entry in client.list_flights()} == {"mdf-1M": 10**6, "a": 10**5, "p": 10**5}
    for name in ("p", "a"):
        with client.fetch(name) as fetch:
            batches = list(fetch)
        assert max(batch.nbytes for batch in batches) < 4 << 20
        assert pa.Table.from_batches(batches).equals(table)


def test_a_token_is_asked_for_each_call(serve: Serve, console: Connect) -> None:
    server = serve(token="right")
    for token in (None, "wrong"):
        client = console(server.uri, token=token)
        for call in (client.list_flights, client.actions, lambda c=client: c.schema("mdf-1k"), client.ping):
            with pytest.raises(PermissionDeniedError):
                call()
    client = console(server.uri, token="right")
    assert set(client.actions()) == {"health", "stats"}
    assert client.action("health") == [b'{"status": "ok"}']
    with client.fetch("mdf-1k") as fetch:
        assert sum(batch.num_rows for batch in fetch) == 1000


def test_unknown_names_are_named(serve: Serve, console: Connect) -> None:
    client = console(serve().uri)
    for call in (lambda: client.info("q3"), lambda: client.schema("q3"), lambda: client.action("reboot")):
        with pytest.raises(PlanNotFoundError):
            call()
    assert client.ping().answered_by == "ListActions"


def test_stop_ends_running_streams_after_the_grace(serve: Serve, console: Connect) -> None:
    server = serve()
    client = console(server.uri, limits=Limits(reconnects=0))
    with client.fetch("mdf-900M") as fetch:
        batches = iter(fetch)
        next(batches)
        assert server.stop(grace_s=0.05) is False
        with pytest.raises(PeerUnreachableError, match="stopping"):
            for _ in batches:
                pass


def test_a_transfer_resumes_at_a_batch_boundary_when_the_server_comes_back(serve: Serve, console: Connect) -> None:
    server = serve()
    plan = GeneratedPlan("mdf-400k", 400_000)
    sink = ContentDigest()
    sink.open(plan.schema)
    with console(server.uri, limits=Limits(ring_batches=2)).fetch("mdf-400k") as fetch:
        for number, batch in enumerate(fetch):
            sink.write(batch)
            if number == 10:
                server.stop(grace_s=0)
                serve(listen=server.uri)
    sink.commit()
    assert fetch.progress().resumes >= 1
    assert sink.hex() == digest(plan.schema, plan.batches())


def test_discard_keeps_nothing_and_reports_speed(serve: Serve, console: Connect) -> None:
    progress = Download(console(serve().uri), "mdf-100k", Discard()).run().progress
    assert (progress.state, progress.rows, progress.batches) == ("done", 100_000, 13)
    assert progress.gb_per_s > 0
