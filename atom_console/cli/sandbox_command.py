"""`sandbox`: the embedded cluster, held open for scripts."""

from __future__ import annotations

import sys
import time
from contextlib import ExitStack

import click

from atom_console.cli import signals
from atom_console.cli.frame import CliContext, Command, json_option, pass_context
from atom_console.cli.output import print_json, print_line, say

_LOOK_S = 0.2


@click.command(cls=Command, examples=("atom-console sandbox --brokers 3",))
@click.option("--brokers", type=click.IntRange(1, 9), default=1, show_default=True)
@json_option
@pass_context
def sandbox(cli: CliContext, brokers: int) -> int:
    """Hold a mock Kafka cluster open on loopback, print its address, and stop on ctrl-c.

    It speaks the protocol and keeps at most 5 MiB a partition; no TLS, no admin requests. For first contact and tests.
    """
    from atom_console.sandbox.mock_cluster import MockCluster

    with signals.held() as stop, ExitStack() as open_things:
        cluster = open_things.enter_context(MockCluster(brokers))
        if cli.json:
            print_json({"bootstrap_servers": cluster.bootstrap_servers, "flight_uri": None})
        else:
            print_line(f"ATOM_KAFKA_BOOTSTRAP_SERVERS={cluster.bootstrap_servers}")
            say("ctrl-c stops it")
        sys.stdout.flush()
        while not stop.requested:
            time.sleep(_LOOK_S)
    return stop.exit_code
