"""The Flight part of the tour: a plan over mutual TLS, its schema compared, and a stranger turned away."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from atom_console.engine.flight_link import flight_connection
from atom_console.errors import AtomError

if TYPE_CHECKING:
    from atom_console.flight.client import FlightConsole
    from atom_console.sandbox.demo import Demo

PLAN: Final = "q3-forecast"
_DEADLINE_S: Final = 10.0
Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class FlightProof:
    """What was fetched: `schema_equal` is whether the stream was what GetSchema had promised."""

    rows: int
    bytes: int
    seconds: float
    gb_per_s: float
    transport: str
    schema_equal: bool


@dataclass(frozen=True, slots=True)
class CertificateProof:
    """Certificates made here, whether both sides accepted each other, and whether a client without one was refused."""

    issued: int
    handshake: bool
    stranger_refused: bool


def fly(demo: Demo, say: Say) -> tuple[FlightProof, CertificateProof]:
    """Fetch a plan from the demonstration's server.

    Raises:
        AtomError: it does not answer, or streams another schema.
    """
    from atom_console.flight.client import FlightConsole
    from atom_console.flight.download import Download
    from atom_console.flight.sinks import Discard

    connection = flight_connection(demo.loaded.settings)
    with FlightConsole(connection, deadline_s=_DEADLINE_S) as console:
        say(f"{demo.flight.issued} certificates issued; {connection.uri} takes only clients that show one of them.")
        pong = console.ping()
        say(f"{connection.transport} handshake in {pong.connect_ms:.1f} ms, a call in {pong.call_ms:.1f} ms.")
        promised = console.schema(PLAN)
        ended = Download(console, PLAN, Discard(), promised=promised).run()
    progress = ended.progress
    equal = promised.source == "server" and promised.schema.equals(ended.schema, check_metadata=True)
    say(
        f"{PLAN}: {progress.rows:,} rows, {progress.bytes / 1e6:,.0f} MB in {progress.seconds * 1e3:,.0f} ms = "
        f"{progress.gb_per_s:.2f} GB/s over {connection.transport} on this host's loopback; "
        f"schema {'as promised' if equal else 'NOT as promised'}."
    )
    refused = _is_refused(FlightConsole(replace(connection, identity=None), deadline_s=_DEADLINE_S))
    say(f"A client without a certificate was {'turned away' if refused else 'LET IN'}.")
    proof = FlightProof(
        rows=progress.rows,
        bytes=progress.bytes,
        seconds=round(progress.seconds, 6),
        gb_per_s=round(progress.gb_per_s, 3),
        transport=connection.transport,
        schema_equal=equal,
    )
    return proof, CertificateProof(demo.flight.issued, connection.transport == "mTLS", refused)


def _is_refused(stranger: FlightConsole) -> bool:
    with stranger:
        try:
            stranger.list_flights()
        except AtomError:
            return True
    return False
