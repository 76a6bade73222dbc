from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from atom_console.cli.commands import COMMANDS, Entry
from atom_console.flight.mdf import MDF_SCHEMA, GeneratedPlan
from atom_console.flight.server import ReferenceServer, ServerOptions
from tests.flight.faulty_servers import BrokenSchema, Lying

Atom = Callable[..., Any]


@pytest.fixture(autouse=True)
def _commands(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("flight", "schema"):
        monkeypatch.setitem(COMMANDS, name, Entry(f"atom_console.cli.{name}_commands:{name}", name))


@pytest.fixture
def server(tmp_path: Path) -> Iterator[ReferenceServer]:
    folder = tmp_path / "served"
    folder.mkdir()
    with ReferenceServer(ServerOptions(plans=("mdf-50k",), endpoints=2, folder=folder)) as running:
        yield running


def test_what_the_server_offers(atom: Atom, server: ReferenceServer) -> None:
    ended = atom("flight", "ls", server.uri, "--json")
    assert ended.code == 0
    assert json.loads(ended.out) == {
        "flights": [{"plan_id": "mdf-50k", "descriptor": "mdf-50k", "rows": 50_000, "bytes": None, "endpoints": 2}]
    }
    info = json.loads(atom("flight", "info", server.uri, "mdf-50k", "--json").out)
    assert (info["rows"], info["ordered"], len(info["endpoints"])) == (50_000, True, 2)
    shown = json.loads(atom("flight", "schema", f"{server.uri}/mdf-50k", "--json").out)
    assert [field["name"] for field in shown["fields"]] == MDF_SCHEMA.names
    assert "coordinate_hash" in atom("flight", "schema", f"{server.uri}/mdf-50k").text


def test_get_writes_a_file_and_says_how_fast(
    atom: Atom, server: ReferenceServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = tmp_path / "out.parquet"
    monkeypatch.setenv("ATOM_FLIGHT_URI", server.uri)
    ended = atom("flight", "get", "mdf-50k", "--out", str(target), "--json")
    assert ended.code == 0, ended.err
    document = json.loads(ended.out)
    assert {
        "rows",
        "batches",
        "bytes",
        "seconds",
        "gb_per_s",
        "transport",
        "schema_equal",
        "schema_diff",
        "keepalive",
    } <= set(document)
    assert (document["rows"], document["transport"], document["schema_equal"]) == (50_000, "plaintext", True)
    assert document["keepalive"]["time_ms"] == 10_000
    expected = pa.Table.from_batches(GeneratedPlan("x", 50_000).batches())
    assert pq.read_table(target).equals(expected)
    text = atom("flight", "get", "mdf-50k")
    assert "50,000 rows" in text.text
    assert "over plaintext from grpc://" in text.text


def test_a_schema_that_is_not_as_promised_is_exit_6_with_a_diff(atom: Atom, tmp_path: Path) -> None:
    lying = Lying()
    target = tmp_path / "out.arrow"
    ended = atom("flight", "get", lying.uri, "q3", "--out", str(target), "--json")
    document = json.loads(ended.out)
    assert (ended.code, document["schema_equal"], document["rows"]) == (6, False, 0)
    assert {change["path"] for change in document["schema_diff"]} == {"numeric_value", "source_system", "is_locked"}
    assert not target.exists()
    accepted = atom("flight", "get", lying.uri, "q3", "--out", str(target), "--accept-schema", "--json")
    document = json.loads(accepted.out)
    assert (accepted.code, document["schema_equal"], len(document["schema_diff"])) == (0, False, 3)
    assert target.exists()
    lying.shutdown()


def test_a_broken_schema_is_marked(atom: Atom) -> None:
    broken = BrokenSchema()
    ended = atom("flight", "get", broken.uri, "q3", "--json")
    document = json.loads(ended.out)
    assert (ended.code, document["schema_equal"], document["schema_source"]) == (0, None, "declared")
    assert "server schema invalid" in ended.err
    assert atom("flight", "schema", broken.uri, "q3").code == 6
    listed = atom("flight", "ls", broken.uri)
    assert listed.code == 6
    assert "by hand" in listed.err
    broken.shutdown()


def test_a_ticket_from_a_file(atom: Atom, server: ReferenceServer, tmp_path: Path) -> None:
    (tmp_path / "ticket").write_bytes(b'{"plan_id":"mdf-50k","units":[0,1]}')
    ended = atom("flight", "get", server.uri, "mdf-50k", "--ticket", str(tmp_path / "ticket"), "--json")
    assert json.loads(ended.out)["rows"] == 8192


def test_put_and_read_only(atom: Atom, server: ReferenceServer, tmp_path: Path) -> None:
    file = tmp_path / "up.parquet"
    pq.write_table(pa.Table.from_batches(GeneratedPlan("x", 10_000).batches()), file)
    ended = atom("flight", "put", f"{server.uri}/upload", "--from", str(file), "--json")
    assert ended.code == 0, ended.err
    assert json.loads(ended.out)["rows"] == 10_000
    assert "upload" in atom("flight", "ls", server.uri).text
    assert atom("--read-only", "flight", "put", f"{server.uri}/upload", "--from", str(file)).code == 5


def test_ping_and_bench(atom: Atom, server: ReferenceServer) -> None:
    document = json.loads(atom("flight", "ping", server.uri, "--json").out)
    assert document["transport"] == "plaintext"
    assert document["call_ms"] > 0
    document = json.loads(atom("flight", "bench", server.uri, "mdf-50k", "--rounds", "1", "--json").out)
    assert document["gb_per_s"] > 0
    assert document["share_of_raw"] == pytest.approx(document["gb_per_s"] / document["raw_loopback_gb_per_s"], rel=0.05)


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (("ls", "grpc://127.0.0.1:1"), 4, "nothing listens"),
        (("get", "grpc://127.0.0.1:1", "q3"), 4, "nothing listens"),
        (("get", "grpc://127.0.0.1:1"), 2, "names no plan"),
        (("ls", "http://x:1"), 2, "not a Flight address"),
        (("get", "q3", "--out", "out.csv"), 2, "no such format"),
        (("serve", "--plan", "nope"), 2, "not a generated plan"),
        (("serve", "--mtls"), 2, "needs a certificate"),
        (("put", "q3", "--from", "missing.parquet"), 2, "no such file"),
    ],
)
def test_errors_have_their_exit_code(atom: Atom, arguments: tuple[str, ...], code: int, words: str) -> None:
    ended = atom("flight", *arguments)
    assert ended.code == code
    assert words in ended.err


_SERVE = """
import sys
from atom_console.cli.commands import COMMANDS, Entry
COMMANDS["flight"] = Entry("atom_console.cli.flight_commands:flight", "")
from atom_console.cli.main import run
run()
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_serve_holds_until_it_is_stopped(number: signal.Signals) -> None:
    command = [sys.executable, "-c", _SERVE, "flight", "serve", "--listen", "grpc://127.0.0.1:0", "--json"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout is not None
    uri = json.loads(process.stdout.readline())["uri"]
    get = [sys.executable, "-c", _SERVE, "flight", "get", uri, "mdf-900M", "--json"]
    getting = subprocess.Popen(get, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=dict(os.environ))
    time.sleep(1.0)
    getting.send_signal(number)
    _, words = getting.communicate(timeout=30)
    assert (getting.returncode, "stopped" in words) == (128 + number, True)
    process.send_signal(number)
    _, words = process.communicate(timeout=30)
    assert process.returncode == 128 + number
    assert words == ""


def test_serve_over_mutual_tls_from_files(tmp_path: Path) -> None:
    from tests.flight.conftest import TestCa

    ca = TestCa("root")
    pair, client = ca.issue("flight", server=True), ca.issue("operator")
    files = {"ca": ca.pem, "cert": pair.certificate, "key": pair.key, "ccert": client.certificate, "ckey": client.key}
    for name, data in files.items():
        (tmp_path / name).write_bytes(data)
    at = {name: str(tmp_path / name) for name in files}
    command = [sys.executable, "-c", _SERVE, "flight", "serve", "--listen", "grpc+tls://127.0.0.1:0", "--mtls"]
    command += ["--cert", at["cert"], "--key", at["key"], "--client-ca", at["ca"], "--json"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    served = json.loads(process.stdout.readline())
    assert served["transport"] == "mTLS"
    tls = {"ATOM_FLIGHT_CA": at["ca"], "ATOM_FLIGHT_CERT": at["ccert"], "ATOM_FLIGHT_KEY": at["ckey"]}
    get = [sys.executable, "-c", _SERVE, "flight", "get", served["uri"], "mdf-10k", "--json"]
    done = subprocess.run(get, capture_output=True, text=True, env=os.environ | tls, check=False, timeout=60)
    document = json.loads(done.stdout)
    assert (done.returncode, document["transport"], document["rows"]) == (0, "mTLS", 10_000)
    process.terminate()
    process.communicate(timeout=30)
