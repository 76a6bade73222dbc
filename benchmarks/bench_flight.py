"""Arrow Flight: our client beside a bare pyarrow loop, a raw socket and raw TLS, in turn, in one run.

The server is a process of its own, and so is the bare loop: it has pyarrow as anybody has it, without the setting of
the allocator that comes with our client. Beside it the same loop in our own process is printed. The server's plan
repeats after 32 batches, so that it costs no time to make.
"""

from __future__ import annotations

import contextlib
import resource
import socket
import ssl
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from itertools import pairwise
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from atom_console.flight.channel import fl
from atom_console.flight.client import FlightConsole
from atom_console.flight.connection import Connection, Identity
from atom_console.flight.download import Download
from atom_console.flight.fetch_plan import Endpoint
from atom_console.flight.mdf import MDF_SCHEMA, GeneratedPlan
from atom_console.flight.plans import Generated
from atom_console.flight.server import DISCARD, ReferenceServer, ServerOptions, ServerTls
from atom_console.flight.sinks import Discard
from benchmarks import bare_flight
from benchmarks.harness import Result, in_turn, seconds

_ROWS = 10_500_000
_PLAN = GeneratedPlan("bench", _ROWS, period=32)
_BYTES = sum(batch.get_total_buffer_size() for batch in _PLAN.batches(0, 32)) * _ROWS / (32 * 8192)
_CHUNK = 900_000
_ROUNDS = 5


def run() -> Iterator[Result]:
    """Each budget of the Flight room, each in its own interleaved rounds."""
    with tempfile.TemporaryDirectory() as directory:
        pair = _make_certificate(directory)
        with _child("serve") as uri, _child("raw") as port:
            yield from _get("plaintext", Connection(uri), "socket", _raw_socket(int(port)))
            yield from _endpoints(Connection(uri))
            yield from _put(Connection(uri))
            yield from _schema(Connection(uri))
            yield from _memory(Connection(uri))
        with _child("serve", directory) as uri, _child("raw", directory) as port:
            connection = Connection(uri, ca=pair.certificate, identity=pair)
            yield from _get("mTLS", connection, "TLS", _raw_tls(int(port)), directory)


def _get(
    transport: str, connection: Connection, below: str, raw: Callable[[], object], directory: str = ""
) -> Iterator[Result]:
    with FlightConsole(connection) as console, bare_flight.started(connection.uri, directory) as bare_s:
        plan = console.info("bench").fetch
        ticket = plan.endpoints[0].ticket
        client = connection.open()

        def ours_s() -> float:
            return seconds(Download(console, plan, Discard()).run)

        def beside_s() -> float:
            return seconds(lambda: bare_flight.drain(client, ticket))

        turns = [(ours_s(), bare_s(ticket), beside_s(), bare_s(ticket), ours_s()) for _ in range(_ROUNDS + 1)][1:]
    ours, bare, beside, bare_again, ours_again = (median(times) for times in zip(*turns, strict=True))
    ours, bare = (ours + ours_again) / 2, (bare + bare_again) / 2
    (raw_s,) = in_turn(raw, rounds=_ROUNDS)
    ratio = bare / ours
    name = f"DoGet to discard, {transport}"
    yield Result(
        f"{name}, against a bare pyarrow loop", _gb(ours), "GB/s", _gb(bare), ratio, ">= 0.95x",
        ratio >= 0.95,
    )  # fmt: skip
    for what, other_s in (("the loop in our process", beside), (f"raw {below}", raw_s)):
        yield Result(f"{name}, against {what}", _gb(ours), "GB/s", _gb(other_s), other_s / ours, "printed, none", None)


def _endpoints(connection: Connection) -> Iterator[Result]:
    """The same rows in four endpoints; two cores feed both ends, so more than one brings nothing on such a machine."""
    with FlightConsole(connection) as console:
        one = console.info("bench").fetch
        edges = [_PLAN.batch_count * cut // 4 for cut in range(5)]
        tickets = [f'{{"plan_id":"bench","units":[{a},{b}]}}' for a, b in pairwise(edges)]
        four = replace(one, endpoints=tuple(Endpoint(ticket.encode()) for ticket in tickets))
        four_s, one_s = _balanced(
            lambda: Download(console, four, Discard()).run(),
            lambda: Download(console, one, Discard()).run(),
        )
    ratio = one_s / four_s
    yield Result(
        "4 endpoints in parallel, against one", _gb(four_s), "GB/s", _gb(one_s), ratio, ">= 0.95x", ratio >= 0.95
    )


def _put(connection: Connection) -> Iterator[Result]:
    batches = list(_PLAN.batches(0, 32)) * 16
    size = sum(batch.get_total_buffer_size() for batch in batches)
    client = connection.open()

    def bare() -> None:
        writer, answers = client.do_put(fl.FlightDescriptor.for_path(DISCARD), MDF_SCHEMA)
        with writer:
            for batch in batches:
                writer.write_batch(batch)
            writer.done_writing()
            while answers.read() is not None:
                pass

    with FlightConsole(connection) as console:
        ours_s, bare_s = _balanced(lambda: console.put(DISCARD, MDF_SCHEMA, batches), bare)
    ratio = bare_s / ours_s
    yield Result(
        "DoPut, against a bare pyarrow loop", size / 1e9 / ours_s, "GB/s", size / 1e9 / bare_s, ratio, ">= 0.9x",
        ratio >= 0.9,
    )  # fmt: skip


def _schema(connection: Connection) -> Iterator[Result]:
    descriptor = fl.FlightDescriptor.for_path("bench")
    bare_client = connection.open()
    ours: list[float] = []
    bare: list[float] = []
    with FlightConsole(connection) as console:
        for _ in range(2_000):
            for call, kept in (
                (lambda: console.schema("bench"), ours),
                (lambda: _bare_schema(bare_client, descriptor), bare),
            ):
                started = perf_counter()
                call()
                kept.append(perf_counter() - started)
    p99, bare_p99 = (sorted(kept)[int(len(kept) * 0.99)] * 1e3 for kept in (ours, bare))
    yield Result("warm GetSchema, p99, against bare pyarrow", p99, "ms", bare_p99, bare_p99 / p99, "< 2 ms", p99 < 2)


def _bare_schema(client: Any, descriptor: Any) -> Any:
    return client.get_schema(descriptor).schema


def _balanced(ours: Callable[[], object], other: Callable[[], object]) -> tuple[float, float]:
    """Median seconds of both, as A B B A: whoever comes second finds the server warm."""
    first, second, third, fourth = in_turn(ours, other, other, ours, rounds=_ROUNDS)
    return (first + fourth) / 2, (second + third) / 2


def _memory(connection: Connection) -> Iterator[Result]:
    """Resident memory while the plan is read again and again, 4 GB in all."""
    with FlightConsole(connection) as console:
        plan = console.info("bench").fetch
        idle = highest = _resident()
        for _ in range(int(4e9 / _BYTES) + 1):
            with console.fetch(plan) as fetch:
                for number, _batch in enumerate(fetch):
                    if number % 50 == 0:
                        highest = max(highest, _resident())
    above = (highest - idle) / 1e6
    yield Result("resident memory above idle, 4 GB", above, "MB", None, None, "< 200 MB", above < 200)


def _resident() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()


def _gb(seconds: float) -> float:
    return float(_BYTES) / 1e9 / seconds


def _drain(port: int, wrap: Callable[[socket.socket], socket.socket]) -> None:
    buffer = bytearray(1 << 20)
    with wrap(socket.create_connection(("127.0.0.1", port))) as opened:
        while opened.recv_into(buffer):
            pass


def _raw_socket(port: int) -> Callable[[], None]:
    return lambda: _drain(port, lambda opened: opened)


def _raw_tls(port: int) -> Callable[[], None]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return lambda: _drain(port, context.wrap_socket)


@contextlib.contextmanager
def _child(role: str, *arguments: str) -> Iterator[str]:
    """Another process of this module; yields the line that it prints first."""
    command = [sys.executable, "-m", "benchmarks.bench_flight", role, *arguments]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stdin=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        yield process.stdout.readline().strip()
    finally:
        process.kill()
        process.communicate()


def _serve(directory: str | None = None) -> None:
    tls = ServerTls(*(Path(directory, name).read_bytes() for name in ("cert", "key", "cert"))) if directory else None
    listen = f"grpc{'+tls' if tls else ''}://127.0.0.1:0"
    options = ServerOptions(listen=listen, tls=tls, extra={"bench": Generated(_PLAN)})
    print(ReferenceServer(options).uri, flush=True)
    sys.stdin.read()


def _serve_raw(directory: str | None = None) -> None:
    """Sends as many bytes as the plan has to everybody who connects."""
    context = None
    if directory:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(Path(directory, "cert"), Path(directory, "key"))
    chunk = bytes(_CHUNK)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        print(listener.getsockname()[1], flush=True)
        while True:
            accepted, _ = listener.accept()
            with context.wrap_socket(accepted, server_side=True) if context else accepted as opened:
                for _ in range(int(_BYTES) // _CHUNK):
                    opened.sendall(chunk)


def _make_certificate(directory: str) -> Identity:
    """One self-signed pair that is root, server and client at once."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "benchmark")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(minutes=5))
        .not_valid_after(now + timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False)
        .sign(key, hashes.SHA256())
    )
    pem, no_password = serialization.Encoding.PEM, serialization.NoEncryption()
    pair = Identity(
        certificate.public_bytes(pem), key.private_bytes(pem, serialization.PrivateFormat.PKCS8, no_password)
    )
    Path(directory, "cert").write_bytes(pair.certificate)
    Path(directory, "key").write_bytes(pair.key)
    return pair


if __name__ == "__main__":
    {"serve": _serve, "raw": _serve_raw}[sys.argv[1]](*sys.argv[2:])
