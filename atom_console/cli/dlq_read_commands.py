"""`dlq ls`, `groups`, `show`, `stats`: what is there."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from atom_console.cli.dlq_documents import (
    counts_line,
    detail_document,
    group_document,
    print_detail,
    row_document,
    stats_document,
)
from atom_console.cli.dlq_filter import filter_options, make_filter
from atom_console.cli.dlq_store import open_reader, open_store
from atom_console.cli.frame import CliContext, Command, json_option, pass_context
from atom_console.cli.output import print_fields, print_json, print_table, say
from atom_console.errors import InputError, RefusedError
from atom_console.times import format_ms

if TYPE_CHECKING:
    from atom_console.dlq.record import RecordDetail
    from atom_console.dlq.view import View


@click.command(
    cls=Command, examples=("atom-console dlq ls --state ready --limit 20", "atom-console dlq ls --since 90m --json")
)
@filter_options
@click.option("--limit", type=click.IntRange(1, 10_000), default=50, show_default=True, metavar="N")
@click.option("--cursor", metavar="C", help="From the `next` of the page before.")
@click.option("--oldest-first", is_flag=True, help="In order of arrival.")
@json_option
@pass_context
def ls(cli: CliContext, /, limit: int, cursor: str | None, oldest_first: bool, **options: Any) -> None:
    """One page of records, newest first."""
    wanted = make_filter(options)
    with open_reader(cli) as reader:
        page = reader.page(wanted, limit=limit, cursor=cursor, order="oldest" if oldest_first else "newest")
    if cli.json:
        print_json(
            {"records": [row_document(record) for record in page.records], "next": page.next, "total": page.total}
        )
        return
    if not page.records:
        say("no dead letters match" if not wanted.empty else "no dead letters")
        return
    print_table(
        ("ID", "STATE", "CODE", "TOPIC", "KEY", "CAPTURED", "BYTES"),
        (
            (r.id, r.state, r.err_name, r.topic, r.key_preview, format_ms(r.captured_at), r.size_bytes)
            for r in page.records
        ),
    )
    if page.next:
        say(f"more: --cursor {page.next}")


@click.command(cls=Command, examples=("atom-console dlq groups", "atom-console dlq groups --class outage --json"))
@filter_options
@json_option
@pass_context
def groups(cli: CliContext, /, **options: Any) -> None:
    """Records that failed alike, by fingerprint, the most numerous first."""
    with open_reader(cli) as reader:
        found = reader.groups(make_filter(options))
    if cli.json:
        print_json({"groups": [group_document(group) for group in found]})
        return
    if not found:
        say("no dead letters")
        return
    print_table(
        ("GROUP", "COUNT", "CLASS", "STATES", "LAST SEEN", "WHAT BROKE"),
        (
            (g.fingerprint[:8], g.count, g.err_class, counts_line(g.states), format_ms(g.last_seen), g.label)
            for g in found
        ),
    )


@click.command(
    cls=Command,
    examples=(
        "atom-console dlq show 01933e5c-7a10-7000-8000-3f2a90c1d2e4",
        'atom-console dlq show ID --raw value.bin --reveal --reason "INC-4711"',
    ),
)
@click.argument("record_id", metavar="ID")
@click.option("--raw", metavar="FILE", type=click.Path(path_type=Path), help="Write the payload's bytes to a new file.")
@click.option("--reveal", is_flag=True, help="Show what is masked; it is audited.")
@click.option("--reason", metavar="R", help="Why, for the audit; required with --reveal.")
@json_option
@pass_context
def show(cli: CliContext, record_id: str, raw: Path | None, reveal: bool, reason: str | None) -> None:
    """One record: error, headers, event, attempts, audit. Masked by the clearance unless --reveal."""
    from atom_console.dlq.errors import FilterError
    from atom_console.dlq.view import view

    if reveal and not (reason and reason.strip()):
        raise click.UsageError("--reveal needs --reason: it goes into the audit")
    with open_reader(cli) as reader:
        record = reader.record(record_id)
        if record is None:
            raise FilterError(f"{record_id}: no such record in this store", next_step="take an id from `dlq ls`")
        if reveal:
            _audit_reveal(cli, record, reason or "")
            record = reader.record(record_id) or record
    seen = view(record, cli.settings().clearance, reveal=reveal)
    if raw is not None:
        _write_raw(raw, seen)
    if cli.json:
        print_json(detail_document(record, seen))
    else:
        print_detail(record, seen)


@click.command(cls=Command, examples=("atom-console dlq stats --json",))
@json_option
@pass_context
def stats(cli: CliContext) -> None:
    """Depth, oldest, growth, bytes, free disk, lease."""
    with open_reader(cli) as reader:
        found = reader.stats()
    document = stats_document(found)
    if cli.json:
        print_json(document)
        return
    print_fields(
        document
        | {"by_state": counts_line(found.by_state), "by_class": counts_line(found.by_class)}
        | {"lease": ", ".join(f"{lease.owner}@{lease.host}: {lease.purpose}" for lease in found.leases) or None}
    )


def _audit_reveal(cli: CliContext, record: RecordDetail, reason: str) -> None:
    from atom_console.dlq import audit

    def write(conn: Any) -> None:
        audit.append(
            conn,
            actor=audit.present_actor(),
            at=time.time_ns() // 1_000_000,
            action="reveal",
            subject=record.row.id,
            records=1,
            reason=reason,
            seqs=(record.row.seq,),
        )

    with open_store(cli, "reveal") as store:
        store.run(write)


def _write_raw(path: Path, seen: View) -> None:
    if not seen.shown.whole:
        raise RefusedError(
            "the payload is masked for this profile's clearance", next_step="add --reveal --reason R; it is audited"
        )
    if seen.value is None:
        raise InputError("the payload is null: there are no bytes to write")
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except OSError as error:
        raise InputError(f"{path}: cannot be made: {error.strerror}", next_step="name a new file") from error
    with os.fdopen(descriptor, "wb") as file:
        file.write(seen.value)
    say(f"wrote {len(seen.value):,} bytes to {path}")
