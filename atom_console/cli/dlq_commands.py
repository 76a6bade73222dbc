"""`dlq`: dead letters of this host and of others."""

from __future__ import annotations

import click

from atom_console.cli.commands import Entry
from atom_console.cli.frame import LazyGroup

_READ = "atom_console.cli.dlq_read_commands"
_KEEP = "atom_console.cli.dlq_keep_commands"
_TRANSFER = "atom_console.cli.dlq_transfer_commands"

TABLE: dict[str, Entry] = {
    "ls": Entry(f"{_READ}:ls", "One page of records, newest first."),
    "groups": Entry(f"{_READ}:groups", "Records that failed alike."),
    "show": Entry(f"{_READ}:show", "One record: error, headers, event, attempts, audit."),
    "stats": Entry(f"{_READ}:stats", "Depth, oldest, growth, bytes, free disk, lease."),
    "ingest": Entry(f"{_TRANSFER}:ingest", "Read dead letters that others left on DLQ topics."),
    "drain": Entry(f"{_TRANSFER}:drain", "Publish local records to a shared DLQ topic."),
    "import": Entry(f"{_KEEP}:import_", "Take in spill files, each record exactly once."),
    "export": Entry(f"{_TRANSFER}:export", "Write records to a file: JSON Lines, Parquet, spill."),
    "check": Entry(f"{_KEEP}:check", "Whether the store is whole."),
}


@click.group(cls=LazyGroup, table=TABLE)
def dlq() -> None:
    """Dead letters: what the broker did not take, kept on this host until somebody decides.

    FILTER is the same everywhere: --group, --state, --class, --code, --topic, --tenant, --key, --since, …; several
    values of one option are alternatives, different options must all hold.
    """
