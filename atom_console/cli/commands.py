"""The table of commands: a line each, read without importing what it names."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Entry:
    """One top-level command.

    Attributes:
        target: `module:attribute` of the click command, loaded when it is called or asked for help.
        summary: the line that `atom-console --help` shows.
    """

    target: str
    summary: str


COMMANDS: dict[str, Entry] = {
    "console": Entry("atom_console.cli.console_command:console", "The screen; also what runs without a command."),
    "demo": Entry("atom_console.cli.demo_command:demo", "Try it on the embedded sandbox: no broker needed."),
    "produce": Entry("atom_console.cli.produce_commands:produce", "Publish events from a file or a pipe."),
    "tail": Entry("atom_console.cli.tail_command:tail", "The records of a topic, decoded, as JSON Lines."),
    "topics": Entry("atom_console.cli.topics_command:topics", "Topics, rates, partitions, consumer lag."),
    "dlq": Entry("atom_console.cli.dlq_commands:dlq", "Dead letters: list, group, look at, check."),
    "events": Entry("atom_console.cli.events_commands:events", "JSON Lines to FlatBuffers and back; verify them."),
    "schema": Entry("atom_console.cli.schema_commands:schema", "Schemas: tree, differences, verdict, decode."),
    "flight": Entry("atom_console.cli.flight_commands:flight", "Arrow Flight: list, schema, get, put, ping, serve."),
    "certs": Entry("atom_console.cli.certs_commands:certs", "Certificates: issue, renew, rotate, verify, export."),
    "doctor": Entry("atom_console.cli.doctor_command:doctor", "Everything this console depends on, looked at once."),
    "sandbox": Entry("atom_console.cli.sandbox_command:sandbox", "Hold the embedded cluster open for scripts."),
    "bench": Entry("atom_console.cli.bench_command:bench", "The budgets, measured beside their baselines."),
    "config": Entry("atom_console.cli.config_commands:config", "Settings, and where each came from."),
}
"""In the order in which `--help` lists them. `console`, once here, is also what runs without a command."""
