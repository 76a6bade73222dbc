"""`dlq`: dead letters of this host and of others."""

from __future__ import annotations

import click

from atom_console.cli.commands import Entry
from atom_console.cli.frame import LazyGroup

_READ = "atom_console.cli.dlq_read_commands"
_KEEP = "atom_console.cli.dlq_keep_commands"
_TRANSFER = "atom_console.cli.dlq_transfer_commands"
_REPLAY = "atom_console.cli.dlq_replay_commands"
_TRIAGE = "atom_console.cli.dlq_triage_commands"

TABLE: dict[str, Entry] = {
    "ls": Entry(f"{_READ}:ls", "One page of records, newest first."),
    "groups": Entry(f"{_READ}:groups", "Records that failed alike."),
    "show": Entry(f"{_READ}:show", "One record: error, headers, event, attempts, audit."),
    "stats": Entry(f"{_READ}:stats", "Depth, oldest, growth, bytes, free disk, lease."),
    "plan": Entry(f"{_REPLAY}:plan", "The dry run before any send; freezes the list."),
    "replay": Entry(f"{_REPLAY}:replay", "Run a plan: in order, paced, resumable, counted."),
    "runs": Entry(f"{_REPLAY}:runs", "The last runs, and who runs one now."),
    "pause": Entry(f"{_REPLAY}:pause", "Hold a run, wherever it runs."),
    "resume": Entry(f"{_REPLAY}:resume", "Go on with a run exactly where it was left."),
    "cancel": Entry(f"{_REPLAY}:cancel", "End a run; what was sent stays sent."),
    "recover": Entry(f"{_REPLAY}:recover", "Look on the broker for records of unknown outcome."),
    "release": Entry(f"{_TRIAGE}:release", "Make records ready for a replay."),
    "quarantine": Entry(f"{_TRIAGE}:quarantine", "Set records aside."),
    "discard": Entry(f"{_TRIAGE}:discard", "Give records up; can be undone until they are purged."),
    "restore": Entry(f"{_TRIAGE}:restore", "Undo a discard."),
    "edit": Entry("atom_console.cli.dlq_edit_command:edit", "A new revision of a record; off unless allowed."),
    "ingest": Entry(f"{_TRANSFER}:ingest", "Read dead letters that others left on DLQ topics."),
    "drain": Entry(f"{_TRANSFER}:drain", "Publish local records to a shared DLQ topic."),
    "import": Entry(f"{_KEEP}:import_", "Take in spill files, each record exactly once."),
    "export": Entry(f"{_TRANSFER}:export", "Write records to a file: JSON Lines, Parquet, spill."),
    "audit": Entry(f"{_TRIAGE}:audit", "The hash chain of what was done: verify, export."),
    "purge": Entry(f"{_TRIAGE}:purge", "Delete replayed and discarded records after their retention."),
    "check": Entry(f"{_KEEP}:check", "Whether the store is whole."),
}


@click.group(cls=LazyGroup, table=TABLE)
def dlq() -> None:
    """Dead letters: what the broker did not take, kept on this host until somebody decides.

    FILTER is the same everywhere: --group, --state, --class, --code, --topic, --tenant, --key, --since, …; several
    values of one option are alternatives, different options must all hold.
    """
