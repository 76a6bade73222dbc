"""The same tables through Apache Arrow's Go and Rust libraries, both ways; built only where it is asked for."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pyarrow as pa
import pytest

from atom_console.flight.client import FlightConsole
from atom_console.flight.connection import Identity
from atom_console.flight.download import Download
from atom_console.flight.errors import UnimplementedRpcError
from atom_console.flight.mdf import MDF_SCHEMA, GeneratedPlan
from atom_console.flight.server import ReferenceServer
from atom_console.flight.sinks import FileSink
from tests.flight.conftest import TestCa

pytestmark = [
    pytest.mark.skipif(os.environ.get("ATOM_TEST_PEERS") != "1", reason="ATOM_TEST_PEERS=1 builds and runs the peers"),
    pytest.mark.timeout(1800),
    pytest.mark.xdist_group("flight-peers"),
]

_PLAN = GeneratedPlan("mdf-100k", 100_000)


@pytest.fixture(scope="module", params=["go", "rust"])
def peer(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    source = Path(__file__).parent / "peers" / request.param
    if request.param == "go":
        binary = tmp_path_factory.mktemp("go") / "peer"
        command = ["go", "build", "-o", str(binary), "."]
        environment = dict(os.environ)
    else:
        target = Path(os.environ.get("CARGO_TARGET_DIR") or tmp_path_factory.mktemp("rust"))
        binary = target / "release" / "peer"
        command = ["cargo", "build", "--release"]
        environment = os.environ | {"CARGO_TARGET_DIR": str(target)}
    if shutil.which(command[0]) is None:
        pytest.skip(f"{command[0]} is not installed")
    subprocess.run(command, cwd=source, check=True, timeout=1700, env=environment)
    return binary


@pytest.fixture
def tls_files(tmp_path: Path, test_ca: TestCa) -> Callable[..., list[str]]:
    def write(*, server: bool) -> list[str]:
        pair = test_ca.issue("peer", server=server)
        for name, data in (("ca", test_ca.pem), ("cert", pair.certificate), ("key", pair.key)):
            (tmp_path / name).write_bytes(data)
        return [str(tmp_path / name) for name in ("ca", "cert", "key")]

    return write


@pytest.mark.parametrize("transport", ["plaintext", "mTLS"])
def test_a_client_in_another_language_gets_the_same_table(
    peer: Path,
    serve: Callable[..., ReferenceServer],
    tls_files: Callable[..., list[str]],
    tmp_path: Path,
    transport: str,
) -> None:
    server = serve(transport)
    address = server.uri.partition("://")[2]
    out = tmp_path / "got.arrow"
    files = tls_files(server=False) if transport == "mTLS" else []
    ticket = '{"plan_id":"mdf-100k","jwt_scope":""}'
    done = subprocess.run(
        [str(peer), "get", address, ticket, str(out), *files], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    with pa.ipc.open_file(out) as reader:
        table = reader.read_all()
    assert table.schema.equals(MDF_SCHEMA)
    assert table.equals(pa.Table.from_batches(_PLAN.batches()))


@contextmanager
def _serving(peer: Path, *arguments: str) -> Iterator[str]:
    process = subprocess.Popen([str(peer), "serve", *arguments], stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        yield process.stdout.readline().strip()
    finally:
        process.kill()
        process.communicate()


@pytest.mark.parametrize("transport", ["plaintext", "mTLS"])
def test_a_server_in_another_language_gives_the_same_table(
    peer: Path,
    console: Callable[..., FlightConsole],
    tls_files: Callable[..., list[str]],
    tmp_path: Path,
    transport: str,
    client_identity: Identity,
) -> None:
    source, target = tmp_path / "source.arrow", tmp_path / "got.arrow"
    with pa.ipc.new_file(source, MDF_SCHEMA) as writer:
        for batch in _PLAN.batches():
            writer.write_batch(batch)
    files = tls_files(server=True) if transport == "mTLS" else []
    with _serving(peer, str(source), *files) as address:
        client = console(f"grpc{'+tls' if files else ''}://{address}", transport)
        promised = client.schema("any")
        assert promised.source == "server"
        with pytest.raises(UnimplementedRpcError):
            client.list_flights()
        assert not client.info("any").described
        Download(client, "any", FileSink(target), promised=promised).run()
    with pa.ipc.open_file(target) as reader:
        assert reader.read_all().equals(pa.Table.from_batches(_PLAN.batches()))
