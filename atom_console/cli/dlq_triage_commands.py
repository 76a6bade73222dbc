"""`dlq release`, `quarantine`, `discard`, `restore`, `purge`, `audit`: decisions about records, and their trace."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from atom_console.cli.dlq_confirm import confirm_options, confirmed_count
from atom_console.cli.dlq_filter import filter_options, make_filter
from atom_console.cli.dlq_store import open_store
from atom_console.cli.frame import CliContext, Command, Group, json_option, pass_context
from atom_console.cli.output import print_fields, print_json, print_json_line, say
from atom_console.errors import RefusedError

if TYPE_CHECKING:
    from atom_console.dlq.triage import Action

_NOT_SOUND = 6
_CONFIRM_ABOVE = 1_000

_ACTIONS: tuple[tuple[Action, str, str], ...] = (
    ("release", "Make quarantined or failed records ready for a replay.", '--group 1f3a77c0 --reason "limit raised"'),
    ("quarantine", "Set records aside until somebody has looked at them.", '--tenant t-9 --reason "INC-4711"'),
    ("discard", "Give records up; they can be restored until they are purged.", '--class poison --reason "test data"'),
    ("restore", "Undo a discard.", '--state discarded --since 1h --reason "wrong group"'),
)


def _command(action: Action, summary: str, example: str) -> click.Command:
    """The four commands differ in their verb alone."""

    @click.command(action, cls=Command, help=summary, examples=(f"atom-console dlq {action} {example} --yes",))
    @filter_options
    @click.option("--all", "everything", is_flag=True, help="Every record of the store.")
    @click.option("--reason", required=True, metavar="R", help="Why, for the audit.")
    @confirm_options
    @json_option
    @pass_context
    def change(
        cli: CliContext, /, everything: bool, reason: str, yes: bool, confirm: int | None, **options: Any
    ) -> None:
        from atom_console.dlq.triage import triage

        wanted = make_filter(options)
        wanted.require_something(everything=everything)
        settings = cli.settings()
        with open_store(cli, action) as store:
            reader = store.reader()
            frozen = reader.matching(wanted)
            reader.close()
            typed = len(frozen) > _CONFIRM_ABOVE or settings.confirm == "typed"
            what = f"{action} {len(frozen):,} records"
            if frozen and confirmed_count(len(frozen), what, typed, yes, confirm) != len(frozen):
                raise RefusedError(
                    f"not confirmed: {what}",
                    next_step=f"add --confirm {len(frozen)}" if typed else "add --yes",
                )
            report = triage(store, action, frozen, reason)
        if cli.json:
            print_json({"changed": report.changed, "skipped": report.skipped_total, "why": dict(report.skipped)})
            return
        print_fields({"changed": report.changed, "skipped": report.skipped_total})
        for why, count in report.skipped.items():
            say(f"skipped {count:,}: {why}")

    return change


release, quarantine, discard, restore = (_command(*one) for one in _ACTIONS)


@click.command(cls=Command, examples=("atom-console dlq purge --dry-run", "atom-console dlq purge --days 7 --yes"))
@click.option("--days", type=click.FloatRange(0), metavar="N", help="Retention; by default dlq.retain_days.")
@click.option("--dry-run", is_flag=True, help="Only count.")
@confirm_options
@json_option
@pass_context
def purge(cli: CliContext, days: float | None, dry_run: bool, yes: bool, confirm: int | None) -> None:
    """Delete replayed and discarded records after their retention; the audit keeps their trace."""
    from atom_console.dlq.purge import purge as remove

    settings = cli.settings()
    keep_days = settings.dlq.retain_days if days is None else days
    with open_store(cli, "purge") as store:
        found = remove(store, keep_days, dry_run=True)
        if not dry_run and (found.records or found.runs):
            typed = found.records > _CONFIRM_ABOVE or settings.confirm == "typed"
            what = f"delete {found.records:,} records for good"
            if confirmed_count(found.records, what, typed, yes, confirm) != found.records:
                raise RefusedError(
                    f"not confirmed: {what}", next_step=f"add --confirm {found.records}" if typed else "add --yes"
                )
            found = remove(store, keep_days)
    document = {"records": found.records, "bytes": found.bytes, "runs": found.runs, "deleted": not dry_run}
    if cli.json:
        print_json(document)
    else:
        print_fields(document)


@click.group(cls=Group)
def audit() -> None:
    """The hash chain of everything that was done to records: verify it, export it."""


@audit.command(examples=("atom-console dlq audit verify --json",))
@json_option
@pass_context
def verify(cli: CliContext) -> int:
    """Recompute every hash; exit 6 and the first bad row where one was changed, removed or moved.

    A chain is tamper-evident, not tamper-proof: who can write the file can rebuild it. Keep `last_hash` elsewhere.
    """
    from atom_console.config import paths
    from atom_console.dlq import audit as chain
    from atom_console.dlq.replay.reading import reading

    with reading(paths.dlq_dir(cli.settings())) as conn:
        report = chain.verify(conn)
    document = {
        "rows": report.rows,
        "ok": report.ok,
        "first_bad": report.first_bad,
        "why": report.why or None,
        "last_hash": report.last_hash.hex(),
    }
    if cli.json:
        print_json(document)
    else:
        print_fields(document)
    return 0 if report.ok else _NOT_SOUND


@audit.command("export", examples=("atom-console dlq audit export > audit.jsonl",))
@pass_context
def export_(cli: CliContext) -> None:
    """Every row as JSON Lines on stdout, with its hash: SHA-256 over prev_hash and the row as a compact JSON array."""
    from atom_console.config import paths
    from atom_console.dlq import audit as chain
    from atom_console.dlq.replay.reading import reading

    with reading(paths.dlq_dir(cli.settings())) as conn:
        for row in chain.export(conn):
            print_json_line(row)
