"""`flight`: everything of the transport that the screen can do, and the reference server."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

import click

from atom_console.cli import signals
from atom_console.cli.flight_transfer import (
    differences,
    keepalive_json,
    print_transfer,
    run_transfer,
    transfer_json,
)
from atom_console.cli.frame import CliContext, Group, json_option, pass_context
from atom_console.cli.output import print_fields, print_json, print_line, print_table, say
from atom_console.errors import AtomError, CheckError, InputError, RefusedError, UnreachableError

if TYPE_CHECKING:
    from atom_console.engine.rotation import Mark
    from atom_console.flight.client import FlightConsole, ServerSchema
    from atom_console.flight.connection import Connection
    from atom_console.flight.fetch_plan import FetchPlan
    from atom_console.flight.server import ReferenceServer, ServerTls
    from atom_console.flight.sinks import Sink

_LOOK_S = 0.2
_FILE = click.Path(path_type=Path)


@click.group(cls=Group)
def flight() -> None:
    """Arrow Flight: look, fetch, send, measure, serve.

    URI is HOST:PORT, grpc://…, grpc+tls://… or flight://HOST:PORT/PLAN; without one the configured server is meant.
    TLS material comes from ATOM_FLIGHT_CA, _CERT and _KEY, or by name from the inventory (ATOM_FLIGHT_CERTIFICATE).
    """


@flight.command("ls", examples=("atom-console flight ls", "atom-console flight ls grpc://engine:50051 --json"))
@click.argument("uri", required=False)
@json_option
@pass_context
def list_plans(cli: CliContext, uri: str | None) -> None:
    """What the server offers."""
    with _console(cli, uri) as console:
        entries = console.list_flights()
    if cli.json:
        names = ("plan_id", "descriptor", "rows", "bytes", "endpoints")
        print_json({"flights": [{name: getattr(entry, name) for name in names} for entry in entries]})
        return
    rows = [(entry.plan_id, entry.rows, entry.bytes, entry.endpoints) for entry in entries]
    print_table(("PLAN", "ROWS", "BYTES", "ENDPOINTS"), rows)


@flight.command(examples=("atom-console flight info flight://engine:50051/q3-forecast",))
@click.argument("uri")
@click.argument("plan", required=False)
@json_option
@pass_context
def info(cli: CliContext, uri: str, plan: str | None) -> None:
    """Endpoints, rows and order of a plan."""
    server, plan_id = _server_and_plan(cli, uri, plan)
    with _console(cli, server) as console:
        found = console.info(plan_id)
        transport = console.connection.transport
    endpoints = [
        {"ticket": part.ticket, "locations": list(part.locations), "resume": part.resume}
        for part in found.fetch.endpoints
    ]
    document = {
        "plan_id": plan_id,
        "described": found.described,
        "rows": found.fetch.rows,
        "bytes": found.fetch.bytes,
        "ordered": found.fetch.ordered,
        "transport": transport,
    }
    if cli.json:
        print_json({**document, "endpoints": endpoints})
        return
    print_fields({**document, "endpoints": len(endpoints)})
    if not found.described:
        say("the server has no GetFlightInfo: the ticket is made from the plan id")


@flight.command("schema", examples=("atom-console flight schema flight://engine:50051/q3-forecast",))
@click.argument("uri")
@click.argument("plan", required=False)
@json_option
@pass_context
def show_schema(cli: CliContext, uri: str, plan: str | None) -> int:
    """What GetSchema promises. Exit 6 where the server's is invalid and the declared MDF schema stands in."""
    server, plan_id = _server_and_plan(cli, uri, plan)
    with _console(cli, server) as console:
        found = console.schema(plan_id)
    if cli.json:
        fields = [{"name": field.name, "type": str(field.type), "nullable": field.nullable} for field in found.schema]
        print_json({"source": found.source, "mark": found.mark, "problem": found.problem, "fields": fields})
    else:
        rows = [(field.name, str(field.type), "" if field.nullable else "not null") for field in found.schema]
        print_table(("FIELD", "TYPE", "NULLS"), rows)
        _say_mark(found)
    return 0 if found.source == "server" else 6


@flight.command(
    examples=(
        "atom-console flight get flight://engine:50051/q3-forecast --out q3.parquet",
        "atom-console flight get engine:50051 q3-forecast --json",
    )
)
@click.argument("uri")
@click.argument("plan", required=False)
@click.option("--out", type=_FILE, metavar="FILE", help=".parquet or .arrow; without it the rows are only counted.")
@click.option("--ticket", type=_FILE, metavar="FILE", help="These bytes instead of a ticket for the plan.")
@click.option("--accept-schema", is_flag=True, help="Take the stream's schema though it is not the promised one.")
@click.option("--deadline", type=click.FloatRange(min=0.1), metavar="SECONDS", help="The most that it may take.")
@json_option
@pass_context
def get(
    cli: CliContext,
    uri: str,
    plan: str | None,
    out: Path | None,
    ticket: Path | None,
    accept_schema: bool,
    deadline: float | None,
) -> int:
    """Fetch a plan: the schema first, then the rows, compared with it before any is kept.

    Exit 6 where the stream is not what GetSchema promised; then nothing is written.
    """
    from atom_console.flight.compare import SchemaMismatchError
    from atom_console.flight.download import Download
    from atom_console.flight.sinks import Discard, FileSink

    server, plan_id = _server_and_plan(cli, uri, plan, ticket)
    sink: Sink = FileSink(out) if out is not None else Discard()
    with _console(cli, server, deadline_s=deadline) as console:
        promised = console.schema(plan_id)
        _say_mark(promised)
        wanted = _from_ticket(plan_id, ticket) if ticket is not None else plan_id
        expected = None if accept_schema else promised
        download = Download(console, wanted, sink, promised=expected, on_restart=_say_restart)
        try:
            summary, stop = run_transfer(download)
        except SchemaMismatchError as error:
            if cli.json:
                print_json(transfer_json(console, promised, None, error.changes, out))
            raise
        if summary is None:
            return stop.exit_code
        changes = differences(promised, summary)
        document = transfer_json(console, promised, summary, changes, out)
    if cli.json:
        print_json(document)
    else:
        print_transfer(document)
    return 0


@flight.command(examples=("atom-console flight put flight://engine:50051/upload --from plan.parquet",))
@click.argument("uri")
@click.argument("plan", required=False)
@click.option("--from", "file", type=_FILE, metavar="FILE", required=True, help="A .parquet or .arrow file.")
@json_option
@pass_context
def put(cli: CliContext, uri: str, plan: str | None, file: Path) -> None:
    """Send a Parquet or Arrow file as a plan."""
    from atom_console.flight.plans import open_file

    settings = cli.settings()
    if settings.read_only:
        raise RefusedError(
            f"profile {settings.profile} is read-only: nothing is put", next_step="Use a profile that may write."
        )
    server, plan_id = _server_and_plan(cli, uri, plan)
    if not file.is_file():
        raise InputError(f"{file}: no such file", next_step="Check the path.")
    source = open_file(file)
    with _console(cli, server) as console:
        result = console.put(plan_id, source.schema, source.read(0, source.units))
        transport = console.connection.transport
    document = {
        "rows": result.rows,
        "batches": result.batches,
        "bytes": result.bytes,
        "seconds": round(result.seconds, 6),
        "gb_per_s": round(result.bytes / 1e9 / result.seconds, 3),
        "transport": transport,
        "acknowledgement": result.acknowledgement,
    }
    if cli.json:
        print_json(document)
    else:
        print_fields(document)


@flight.command(examples=("atom-console flight ping", "atom-console flight ping grpc+tls://engine:50051"))
@click.argument("uri", required=False)
@json_option
@pass_context
def ping(cli: CliContext, uri: str | None) -> None:
    """Connect, call twice, and say how long each took."""
    with _console(cli, uri) as console:
        pong = console.ping()
        document = {
            "uri": console.connection.uri,
            "transport": console.connection.transport,
            "connect_ms": round(pong.connect_ms, 3),
            "call_ms": round(pong.call_ms, 3),
            "answered_by": pong.answered_by,
            "keepalive": keepalive_json(console.connection),
        }
    if cli.json:
        print_json(document)
    else:
        print_fields({name: value for name, value in document.items() if name != "keepalive"})


@flight.command(examples=("atom-console flight bench flight://engine:50051/mdf-10M --rounds 5",))
@click.argument("uri")
@click.argument("plan", required=False)
@click.option("--rounds", type=click.IntRange(1, 100), default=5, show_default=True)
@json_option
@pass_context
def bench(cli: CliContext, uri: str, plan: str | None, rounds: int) -> int:
    """Fetch a plan again and again, beside a bare TCP socket on this host's loopback."""
    from statistics import median

    from atom_console.flight.download import Download
    from atom_console.flight.measure import raw_socket_gb_per_s
    from atom_console.flight.sinks import Discard

    server, plan_id = _server_and_plan(cli, uri, plan)
    ours: list[float] = []
    raw: list[float] = []
    with _console(cli, server) as console:
        for _ in range(rounds):
            summary, stop = run_transfer(Download(console, plan_id, Discard()))
            if summary is None:
                return stop.exit_code
            ours.append(summary.progress.gb_per_s)
            raw.append(raw_socket_gb_per_s(256 << 20))
        transport, where = console.connection.transport, console.connection.uri
    speed, ceiling = median(ours), median(raw)
    document = {
        "uri": where,
        "transport": transport,
        "rounds": rounds,
        "gb_per_s": round(speed, 3),
        "ms_per_gb": round(1e3 / speed, 1),
        "raw_loopback_gb_per_s": round(ceiling, 3),
        "share_of_raw": round(speed / ceiling, 3),
    }
    if cli.json:
        print_json({**document, "each_gb_per_s": [round(value, 3) for value in ours]})
    else:
        print_fields(document)
    return 0


@flight.command(
    examples=(
        "atom-console flight serve --plan mdf-10M --endpoints 4",
        "atom-console flight serve --mtls --certificate flight-1 --folder ./plans",
    )
)
@click.option("--listen", metavar="URI", help="Default: grpc://127.0.0.1:50051, or grpc+tls with a certificate.")
@click.option("--plan", "plans", multiple=True, metavar="NAME", help="mdf-ROWS, e.g. mdf-10M; may be repeated.")
@click.option("--folder", type=_FILE, help="Serve its Parquet and Arrow files, and keep there what is put.")
@click.option("--endpoints", type=click.IntRange(1, 64), default=1, show_default=True, help="Of each plan.")
@click.option("--mtls", is_flag=True, help="Let in only who shows a certificate that the CA issued.")
@click.option("--certificate", metavar="NAME", help="The server's, from the inventory.")
@click.option("--cert", type=_FILE, help="The server's, as a PEM file, with --key.")
@click.option("--key", type=_FILE, help="Its key.")
@click.option("--client-ca", type=_FILE, help="Roots of the clients, with --mtls; default: the inventory's.")
@click.option("--token-file", type=_FILE, help="Bearer token that each call must bring.")
@json_option
@pass_context
def serve(
    cli: CliContext,
    listen: str | None,
    plans: tuple[str, ...],
    folder: Path | None,
    endpoints: int,
    mtls: bool,
    certificate: str | None,
    cert: Path | None,
    key: Path | None,
    client_ca: Path | None,
    token_file: Path | None,
) -> int:
    """The reference server: generated plans and files, until ctrl-c. Running streams end first.

    A certificate of the inventory is followed: after a renewal or a change of the trust bundle a new listener on the
    same port shows the new one, and open streams go on.
    """
    from atom_console.engine.rotation import LOOK_S
    from atom_console.flight.connection import read_token
    from atom_console.flight.plans import generated
    from atom_console.flight.server import ReferenceServer, ServerOptions

    for name in plans:
        if generated(name) is None:
            raise InputError(f"{name!r} is not a generated plan", next_step="Use mdf-ROWS, e.g. mdf-500k or mdf-10M.")
    tls = _server_tls(cli, certificate, cert, key, client_ca, mtls=mtls)
    options = ServerOptions(
        listen=listen or f"grpc{'+tls' if tls else ''}://127.0.0.1:50051",
        plans=plans or ("mdf-1M",),
        folder=folder,
        endpoints=endpoints,
        tls=tls,
        token=read_token(token_file) if token_file else None,
    )
    with signals.held() as stop:
        server = ReferenceServer(options)
        transport = "plaintext" if tls is None else "mTLS" if tls.client_ca else "TLS"
        if cli.json:
            print_json({"uri": server.uri, "transport": transport})
        else:
            print_line(server.uri)
            say(f"{transport}; ctrl-c stops it")
        sys.stdout.flush()
        followed = _certificate_mark(cli, certificate)
        due_s = time.monotonic() + LOOK_S
        while not stop.requested:
            time.sleep(_LOOK_S)
            if certificate is not None and time.monotonic() >= due_s:
                due_s = time.monotonic() + LOOK_S
                followed = _follow_certificate(cli, server, certificate, followed, mtls=mtls, client_ca=client_ca)
        if not server.stop():
            say("streams were still open and were ended")
    return stop.exit_code


def _certificate_mark(cli: CliContext, name: str | None) -> Mark:
    from atom_console.engine.rotation import server_mark

    return () if name is None else server_mark(cli.settings(), name)


def _follow_certificate(
    cli: CliContext, server: ReferenceServer, name: str, followed: Mark, *, mtls: bool, client_ca: Path | None
) -> Mark:
    """Show the newest version, if there is a newer one; what cannot be used leaves the old one in place."""
    try:
        mark = _certificate_mark(cli, name)
        if mark == followed:
            return followed
        tls = _server_tls(cli, name, None, None, client_ca, mtls=mtls)
        assert tls is not None
        server.renew(tls)
    except (AtomError, OSError) as error:
        say(f"the old certificate stays: {error}")
        return followed
    say(f"showing the new certificate of {name}")
    return mark


@contextmanager
def _console(cli: CliContext, uri: str | None, *, deadline_s: float | None = None) -> Iterator[FlightConsole]:
    from atom_console.engine.tls_advice import advised, explain_flight
    from atom_console.flight.client import FlightConsole
    from atom_console.flight.fetch_plan import Limits

    settings = cli.settings().flight
    limits = Limits(ring_batches=settings.ring_batches, idle_timeout_s=settings.idle_timeout_s, deadline_s=deadline_s)
    with FlightConsole(connection(cli, uri), deadline_s=settings.deadline_s, limits=limits) as console:
        try:
            yield console
        except (UnreachableError, CheckError) as error:
            with suppress(AtomError, OSError):  # of the inventory: the error itself is what has to be told
                advised(error, explain_flight(cli.settings(), error, uri))
            raise


def connection(cli: CliContext, uri: str | None) -> Connection:
    """The configured connection, to another address where one is given; `schema` commands use it too."""
    from atom_console.engine.flight_link import flight_connection

    return flight_connection(cli.settings(), uri)


def _server_tls(
    cli: CliContext,
    certificate: str | None,
    cert: Path | None,
    key: Path | None,
    client_ca: Path | None,
    *,
    mtls: bool,
) -> ServerTls | None:
    from atom_console.engine.flight_link import inventory_identity
    from atom_console.flight.connection import Identity, check_pair, read_pem
    from atom_console.flight.server import ServerTls

    roots = read_pem(client_ca, "--client-ca") if client_ca else None
    if certificate is not None:
        trust, identity = inventory_identity(cli.settings(), certificate)
        roots = roots or trust
    elif cert is not None and key is not None:
        identity = Identity(read_pem(cert, "--cert"), read_pem(key, "--key"))
        check_pair(identity, f"{cert} and {key}")
    elif mtls or cert is not None or key is not None:
        raise InputError("a server with TLS needs a certificate", next_step="Give --certificate, or --cert and --key.")
    else:
        return None
    if mtls and roots is None:
        raise InputError("--mtls needs the roots of the clients", next_step="Give --client-ca.")
    return ServerTls(identity.certificate, identity.key, roots if mtls else None)


def _server_and_plan(cli: CliContext, uri: str, plan: str | None, ticket: Path | None = None) -> tuple[str | None, str]:
    """The server (None: as configured) and the plan; a single word without a port is a plan."""
    from atom_console.flight.connection import parse_target

    if plan is None and "://" not in uri and ":" not in uri:
        return None, uri
    target = parse_target(uri, secure=False)
    chosen = plan or target.plan or (ticket.name if ticket is not None else None)
    if not chosen:
        raise InputError(f"{uri} names no plan", next_step="Write it behind, or as flight://HOST:PORT/PLAN.")
    return uri, chosen


def _from_ticket(name: str, ticket: Path) -> FetchPlan:
    from atom_console.flight.fetch_plan import Endpoint, FetchPlan
    from atom_console.flight.tickets import file_ticket

    return FetchPlan(name, (Endpoint(file_ticket(ticket)),))


def _say_mark(schema: ServerSchema) -> None:
    if schema.mark:
        say(f"{schema.mark}: the declared MDF schema stands in ({schema.problem})")


def _say_restart(error: AtomError) -> None:
    say(f"starting anew: {error.what}")
