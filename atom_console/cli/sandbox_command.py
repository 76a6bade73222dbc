"""`sandbox`: the embedded cluster, held open for scripts."""

from __future__ import annotations

import sys
import time
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import click

from atom_console.cli import signals
from atom_console.cli.frame import CliContext, Command, json_option, pass_context
from atom_console.cli.output import print_json, print_line, say

if TYPE_CHECKING:
    from atom_console.sandbox.flight import FlightSandbox

_LOOK_S = 0.2


@click.command(
    cls=Command, examples=("atom-console sandbox --brokers 3", "atom-console sandbox --flight --mtls --json")
)
@click.option("--brokers", type=click.IntRange(1, 9), default=1, show_default=True)
@click.option("--flight", is_flag=True, help="The reference Flight server as well.")
@click.option("--mtls", is_flag=True, help="It over mutual TLS, with certificates made for the occasion.")
@json_option
@pass_context
def sandbox(cli: CliContext, brokers: int, flight: bool, mtls: bool) -> int:
    """Hold a mock Kafka cluster open on loopback, print its address, and stop on ctrl-c.

    It speaks the protocol and keeps at most 5 MiB a partition; no TLS, no admin requests. For first contact and tests.
    What is printed are settings as variables; the certificates they name are gone when it stops.
    """
    from atom_console.sandbox.mock_cluster import MockCluster

    with signals.held() as stop, ExitStack() as open_things:
        cluster = open_things.enter_context(MockCluster(brokers))
        served = _serve_flight(open_things, mtls=mtls) if flight or mtls else None
        variables = {} if served is None else served.environment
        if cli.json:
            uri = None if served is None else served.uri
            print_json({"bootstrap_servers": cluster.bootstrap_servers, "flight_uri": uri, "environment": variables})
        else:
            print_line(f"ATOM_KAFKA_BOOTSTRAP_SERVERS={cluster.bootstrap_servers}")
            for name, value in variables.items():
                print_line(f"{name}={value}")
            say("ctrl-c stops it")
        sys.stdout.flush()
        while not stop.requested:
            time.sleep(_LOOK_S)
    return stop.exit_code


def _serve_flight(open_things: ExitStack, *, mtls: bool) -> FlightSandbox:
    from atom_console.sandbox.flight import FlightSandbox

    directory = open_things.enter_context(TemporaryDirectory(prefix="atom-console-sandbox-"))
    return open_things.enter_context(FlightSandbox(Path(directory), mtls=mtls))
