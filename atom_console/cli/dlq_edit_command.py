"""`dlq edit`: a new revision of a record, or of many by a rule file; a dry run unless it is confirmed."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from atom_console.cli.dlq_filter import filter_options, make_filter
from atom_console.cli.dlq_store import open_store
from atom_console.cli.frame import CliContext, Command, json_option, pass_context
from atom_console.cli.output import print_json, print_line, say
from atom_console.errors import AtomError, InputError, PartialError

if TYPE_CHECKING:
    from atom_console.dlq.edit import Difference, Edit
    from atom_console.dlq.reader import Reader
    from atom_console.dlq.record import RecordDetail


@click.command(
    cls=Command,
    examples=(
        'atom-console dlq edit ID --reason "INC-4711: wrong tenant"',
        'atom-console dlq edit ID --event fixed.json --reason "INC-4711: wrong tenant" --yes',
        'atom-console dlq edit --rules fix.toml --group 1f3a77c0 --reason "INC-4711"',
    ),
)
@click.argument("record_id", metavar="[ID]", required=False)
@click.option("--event", "event_file", metavar="FILE", type=click.Path(path_type=Path), help="The whole event, JSON.")
@click.option("--rules", metavar="FILE", type=click.Path(path_type=Path), help="Rules for what the filter matches.")
@filter_options
@click.option("--all", "everything", is_flag=True, help="Every record of the store.")
@click.option("--reason", required=True, metavar="R", help="Why, for the audit.")
@click.option("--yes", is_flag=True, help="Store the revisions; without it the differences are shown.")
@json_option
@pass_context
def edit(
    cli: CliContext,
    /,
    record_id: str | None,
    event_file: Path | None,
    rules: Path | None,
    everything: bool,
    reason: str,
    yes: bool,
    **options: Any,
) -> None:
    """Change a record: decoded, changed, rebuilt, verified. Off unless the profile allows it; the original stays.

    With an ID alone the event opens in $VISUAL or $EDITOR, and what changes is shown before you are asked.
    """
    from atom_console.dlq.edit import not_allowed, store_edit

    settings = cli.settings()
    if not settings.edits_allowed:
        raise not_allowed(settings)
    if (record_id is None) == (rules is None) or (event_file and rules):
        raise click.UsageError("give ID, with or without --event FILE, or --rules FILE with a filter")
    by_hand = rules is None and event_file is None
    if by_hand and not (sys.stdin.isatty() and sys.stderr.isatty()):
        raise click.UsageError("an editor needs a terminal: give --event FILE")
    failures: list[tuple[str, str]] = []
    with open_store(cli, "edit") as store:
        reader = store.reader()
        try:
            if rules is None:
                edits = [_one(_found(reader, record_id or ""), event_file, settings.clearance)]
            else:
                wanted = make_filter(options)
                wanted.require_something(everything=everything)
                edits, failures = _many(reader, wanted, rules)
        finally:
            reader.close()
        if by_hand and not yes:
            for one in edits:
                _show(one, settings.clearance, say)
            yes = click.confirm("Store this revision?", err=True)
        stored = [store_edit(store, settings, one, reason) for one in edits] if yes else []
    revisions = {one.record_id: one.rev for one in stored}
    _print(cli, edits, revisions, failures)
    if failures:
        raise PartialError(f"{len(failures)} records could not be edited", next_step="see the reasons above")
    if not yes:
        say(f"dry run: {len(edits)} records would change; --yes stores the revisions")


def _found(reader: Reader, record_id: str) -> RecordDetail:
    from atom_console.dlq.errors import FilterError

    record = reader.record(record_id)
    if record is None:
        raise FilterError(f"{record_id}: no such record in this store", next_step="take an id from `dlq ls`")
    return record


def _one(record: RecordDetail, path: Path | None, clearance: int) -> Edit:
    from atom_console.dlq.edit import document_from_text, document_text, prepare

    if path is not None:
        try:
            document = document_from_text(path.read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError) as error:
            raise InputError(f"{path}: cannot be read: {error}") from error
        except InputError as error:
            raise InputError(f"{path}: {error.what}") from error
        return prepare(record, document)
    text = document_text(record, clearance)
    while True:
        changed = click.edit(text, extension=".json")
        if changed is None:
            raise click.Abort
        try:
            return prepare(record, document_from_text(changed))
        except AtomError as error:
            say(error.what)
            click.confirm("Open the editor again?", default=True, abort=True, err=True)
            text = changed


def _many(reader: Reader, wanted: Any, path: Path) -> tuple[list[Edit], list[tuple[str, str]]]:
    from atom_console.dlq.edit import current_document, prepare
    from atom_console.dlq.edit_rules import apply_rules, load_rules

    rules = load_rules(path)
    edits: list[Edit] = []
    failures: list[tuple[str, str]] = []
    cursor: str | None = None
    while True:
        page = reader.page(wanted, limit=500, cursor=cursor, order="oldest")
        for row in page.records:
            record = reader.record(row.id)
            if record is None:
                continue
            try:
                edits.append(prepare(record, apply_rules(current_document(record), rules)))
            except AtomError as error:
                failures.append((row.id, error.what))
        cursor = page.next
        if cursor is None:
            return edits, failures


def _print(cli: CliContext, edits: list[Edit], revisions: dict[str, int], failures: list[tuple[str, str]]) -> None:
    documents = [
        {
            "record": one.record_id,
            "revision": revisions.get(one.record_id),
            "event_id": one.event_id,
            "new_event_id": one.new_id,
            "changes": [_change(change, cli.settings().clearance) for change in one.differences],
        }
        for one in edits
    ]
    if cli.json:
        single = len(documents) == 1 and not failures
        failed = [{"record": record, "why": why} for record, why in failures]
        print_json(documents[0] if single else {"edits": documents, "failures": failed})
        return
    for one in edits:
        _show(one, cli.settings().clearance, print_line)
    for record, why in failures:
        say(f"{record}: {why}")


def _show(edit: Edit, clearance: int, write: Callable[[str], None]) -> None:
    write(f"{edit.record_id}{' (new event id)' if edit.new_id else ''}")
    for difference in edit.differences:
        shown = _change(difference, clearance)
        write(f"  {difference.path}: {shown['before']!r} → {shown['after']!r}")


def _change(difference: Difference, clearance: int) -> dict[str, Any]:
    """A difference as an operator with this clearance may see it."""
    if difference.security_mask & ~clearance:
        return {"path": difference.path, "before": "masked", "after": "masked", "masked": True}
    return {"path": difference.path, "before": difference.before, "after": difference.after}
