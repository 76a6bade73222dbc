"""`demo`: the console on the embedded sandbox, or a narrated tour without a terminal."""

from __future__ import annotations

import os
import sys
from dataclasses import asdict

import click

from atom_console.cli import signals
from atom_console.cli.console_command import open_on
from atom_console.cli.frame import CliContext, Command, json_option, pass_context
from atom_console.cli.output import print_json, say

_CHECK_FAILED = 6


@click.command(cls=Command, examples=("atom-console demo", "atom-console demo --headless --json"))
@click.option("--headless", is_flag=True, help="The narrated tour, also on a terminal.")
@click.option(
    "--seconds", type=click.FloatRange(6, 600), default=12.0, show_default=True, help="Of the tour's workload."
)
@json_option
@pass_context
def demo(cli: CliContext, headless: bool, seconds: float) -> int:
    """Try it without a broker: an embedded cluster, a workload, and faults on a schedule.

    On a terminal this is the console itself. Elsewhere, or with --headless, it is a tour that ends by itself: events
    flow, batches are rejected, an event is too large, a topic is forbidden, the brokers go away and come back; at the
    end every event is accounted for. Nothing is left behind.
    """
    terminal = os.isatty(0) and os.isatty(1) and os.environ.get("TERM", "dumb") != "dumb"
    if terminal and not headless and not cli.json:
        return _screen()
    from atom_console.sandbox.tour import run_tour

    with signals.held() as stop:
        report = run_tour(seconds, say, lambda: stop.requested)
    if cli.json:
        print_json(asdict(report))
    sys.stdout.flush()
    if stop.requested:
        return stop.exit_code
    return 0 if report.ok else _CHECK_FAILED


def _screen() -> int:
    from atom_console.config import paths
    from atom_console.engine.engine import Engine
    from atom_console.sandbox.demo import Demo

    with Demo() as demonstration:
        engine = Engine(demonstration.loaded, coach=demonstration.coach)
        engine.start()
        engine.feed(demonstration.chunks(), "sandbox workload", None)
        return open_on(engine, demonstration.loaded, paths.log_file(demonstration.loaded.settings))
