"""`dlq`: dead letters of this host, listed, grouped, looked at, checked."""

from __future__ import annotations

import os
from base64 import b64encode
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from atom_console.cli.dlq_filter import filter_options, make_filter
from atom_console.cli.frame import CliContext, Group, json_option, pass_context
from atom_console.cli.output import print_fields, print_json, print_line, print_table, say
from atom_console.errors import InputError, PartialError, RefusedError
from atom_console.safe_text import safe_text
from atom_console.times import format_ms

if TYPE_CHECKING:
    from atom_console.dlq.reader import Reader
    from atom_console.dlq.record import RecordDetail, RecordRow
    from atom_console.dlq.store import Store
    from atom_console.dlq.view import View

_NOT_SOUND = 6


@click.group(cls=Group)
def dlq() -> None:
    """Dead letters: what the broker did not take, kept on this host until somebody decides.

    FILTER is the same everywhere: --group, --state, --class, --code, --topic, --tenant, --key, --since, …; several
    values of one option are alternatives, different options must all hold.
    """


@contextmanager
def open_reader(cli: CliContext) -> Iterator[Reader]:
    """A reader of the profile's store."""
    from atom_console.config import paths
    from atom_console.dlq.reader import Reader

    reader = Reader(paths.dlq_dir(cli.settings()))
    try:
        yield reader
    finally:
        reader.close()


@contextmanager
def open_store(cli: CliContext, doing: str) -> Iterator[Store]:
    """The profile's store for writing.

    Raises:
        RefusedError: the profile is read-only.
    """
    from atom_console.config import paths
    from atom_console.dlq.store import Store

    settings = cli.settings()
    if settings.read_only:
        raise RefusedError(
            f"profile {settings.profile} is read-only: {doing} is refused", next_step="use a profile that may write"
        )
    with Store.open(paths.dlq_dir(settings), settings.dlq, component="atom-console") as store:
        yield store


@dlq.command(examples=("atom-console dlq ls --state ready --limit 20", "atom-console dlq ls --since 90m --json"))
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
        print_json({"records": [_row(record) for record in page.records], "next": page.next, "total": page.total})
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


@dlq.command(examples=("atom-console dlq groups", "atom-console dlq groups --class outage --json"))
@filter_options
@json_option
@pass_context
def groups(cli: CliContext, /, **options: Any) -> None:
    """Records that failed alike, by fingerprint, the most numerous first."""
    with open_reader(cli) as reader:
        found = reader.groups(make_filter(options))
    if cli.json:
        print_json(
            {
                "groups": [
                    {
                        "fingerprint": g.fingerprint,
                        "label": g.label,
                        "class": g.err_class,
                        "code": g.err_name,
                        "origin": g.origin,
                        "count": g.count,
                        "bytes": g.bytes,
                        "first_seen": format_ms(g.first_seen),
                        "last_seen": format_ms(g.last_seen),
                        "tenants": g.tenants,
                        "topics": g.topics,
                        "topic": g.topic,
                        "states": dict(g.states),
                    }
                    for g in found
                ]
            }
        )
        return
    if not found:
        say("no dead letters")
        return
    print_table(
        ("GROUP", "COUNT", "CLASS", "STATES", "LAST SEEN", "WHAT BROKE"),
        ((g.fingerprint[:8], g.count, g.err_class, _states(g.states), format_ms(g.last_seen), g.label) for g in found),
    )


@dlq.command(
    examples=(
        "atom-console dlq show 01933e5c-7a10-7000-8000-3f2a90c1d2e4",
        'atom-console dlq show ID --raw value.bin --reveal --reason "INC-4711"',
    )
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
        print_json(_detail(record, seen))
    else:
        _print_detail(record, seen)


@dlq.command(examples=("atom-console dlq stats --json",))
@json_option
@pass_context
def stats(cli: CliContext) -> None:
    """Depth, oldest, growth, bytes, free disk, lease."""
    with open_reader(cli) as reader:
        found = reader.stats()
    lease = found.leases[0] if found.leases else None
    document = {
        "total": found.total,
        "depth": found.depth,
        "by_state": dict(found.by_state),
        "by_class": dict(found.by_class),
        "bytes": found.bytes,
        "oldest_at": None if found.oldest_at is None else format_ms(found.oldest_at),
        "growth_per_s": round(found.growth_per_s, 3),
        "journal": found.journal,
        "file_bytes": found.file_bytes,
        "free_bytes": found.free_bytes,
        "lease": None
        if lease is None
        else {
            "name": lease.name,
            "owner": lease.owner,
            "host": lease.host,
            "pid": lease.pid,
            "purpose": lease.purpose,
            "acquired_at": format_ms(lease.acquired_at),
            "heartbeat_at": format_ms(lease.heartbeat_at),
            "fencing": lease.fencing,
        },
    }
    if cli.json:
        print_json(document)
        return
    print_fields(
        document
        | {"by_state": _states(found.by_state), "by_class": _states(found.by_class)}
        | {"lease": None if lease is None else f"{lease.owner}@{lease.host}: {lease.purpose}"}
    )


@dlq.command("import", examples=("atom-console dlq import /var/spool/svc-grid/*.spill --json",))
@click.argument("files", nargs=-1, required=True, type=click.Path(path_type=Path), metavar="PATH...")
@json_option
@pass_context
def import_(cli: CliContext, files: tuple[Path, ...]) -> None:
    """Take in spill files, or directories of them, each record exactly once; the files stay where they are."""
    with open_store(cli, "import") as store:
        reports = [report for path in files for report in store.import_path(path)]
    faults = [(report.path, fault) for report in reports for fault in report.faults]
    if cli.json:
        print_json(
            {
                "read": sum(r.read for r in reports),
                "added": sum(r.added for r in reports),
                "known": sum(r.known for r in reports),
                "skipped": len(faults),
                "faults": [
                    {"path": str(path), "offset": f.offset, "bytes": f.length, "why": f.why} for path, f in faults
                ],
            }
        )
    else:
        print_table(("FILE", "READ", "ADDED", "KNOWN"), ((str(r.path), r.read, r.added, r.known) for r in reports))
    for path, fault in faults:
        say(f"{path}@{fault.offset}: {fault.why}")
    if faults:
        raise PartialError(
            f"{len(faults)} parts of the files could not be read", next_step="keep the files, and look at the offsets"
        )


@dlq.command(examples=("atom-console dlq check", "atom-console dlq check --repair"))
@click.option("--repair", is_flag=True, help="Make wrong counters anew.")
@json_option
@pass_context
def check(cli: CliContext, repair: bool) -> int:
    """Whether the store is whole: SQLite's own check, payload digests, counters, the audit chain. Exit 6 if not."""
    from atom_console.config import paths
    from atom_console.dlq.check import check_store

    if repair:
        with open_store(cli, "repair") as store:
            report = check_store(store.directory, repair_with=store)
    else:
        report = check_store(paths.dlq_dir(cli.settings()))
    if cli.json:
        print_json({"ok": report.ok, "rows": report.rows, "first_bad": report.first_bad, "faults": report.faults})
    else:
        for fault in report.faults:
            print_line(fault)
        print_fields({"rows": report.rows, "ok": report.ok})
    return 0 if report.ok else _NOT_SOUND


def _row(record: RecordRow) -> dict[str, object]:
    return {
        "id": record.id,
        "state": record.state,
        "state_reason": record.state_reason,
        "class": record.err_class,
        "code": record.err_name,
        "code_number": record.err_code,
        "topic": record.topic,
        "key_preview": None if record.key_preview is None else safe_text(record.key_preview, 64),
        "tenant_id": record.tenant_id,
        "event_id": record.event_id,
        "captured_at": format_ms(record.captured_at),
        "size_bytes": record.size_bytes,
        "attempts": record.attempts,
        "maybe_persisted": record.maybe_persisted,
        "origin": record.origin,
        "fingerprint": record.fingerprint,
        "label": record.label,
        "version": record.version,
    }


def _detail(record: RecordDetail, seen: View) -> dict[str, object]:
    row, current = record.row, record.current
    return {
        "record": {
            **_row(row),
            "dlq_topic": record.dlq_topic,
            "dlq_partition": record.dlq_partition,
            "dlq_offset": record.dlq_offset,
            "dest_topic": row.topic,
            "orig_partition": record.orig_partition,
            "orig_offset": record.orig_offset,
            "orig_timestamp": None if record.orig_timestamp is None else format_ms(record.orig_timestamp),
            "payload_kind": record.payload_kind,
            "err_class": row.err_class,
            "err_name": row.err_name,
            "err_message": seen.message,
            "err_stack": seen.stack,
            "stage": record.stage,
            "component": record.component,
            "cluster_id": record.cluster_id,
            "key_base64": _base64(current.key),
            "headers": [[name, _base64(value)] for name, value in current.headers],
            "dlq_headers": [[name, _base64(value)] for name, value in seen.dlq_headers],
            "warnings": list(record.warnings),
            "masked": not seen.shown.whole,
            "meaning": _meaning(record),
        },
        "payload": {
            "sha256": current.sha256,
            "size_bytes": row.size_bytes,
            "revision": current.rev,
            "value_base64": _base64(seen.value),
            "undecodable": seen.shown.undecodable,
        },
        "event": seen.shown.event,
        "attempts": [
            {
                "run_id": a.run_id,
                "sent_at": format_ms(a.sent_at),
                "ended_at": None if a.ended_at is None else format_ms(a.ended_at),
                "outcome": a.outcome,
                "code": a.err_name,
                "partition": a.partition,
                "offset": a.offset,
            }
            for a in record.attempts
        ],
        "audit": [
            {
                "seq": a.seq,
                "at": format_ms(a.at),
                "user": a.os_user,
                "sudo_user": a.sudo_user,
                "ssh_client": a.ssh_client,
                "host": a.host,
                "pid": a.pid,
                "action": a.action,
                "subject": a.subject,
                "reason": a.reason,
            }
            for a in record.audit
        ],
    }


def _print_detail(record: RecordDetail, seen: View) -> None:
    from atom_console.cli.output import to_json

    row = record.row
    meaning = _meaning(record)
    print_fields(
        {
            "id": row.id,
            "state": f"{row.state}: {row.state_reason}" if row.state_reason else row.state,
            "what": f"{row.err_name}: {seen.message}",
            "meaning": meaning["meaning"],
            "next": meaning["next_step"],
            "arrived": "perhaps: the broker may hold it already" if row.maybe_persisted else "no",
            "goes to": row.topic,
            "key": record.current.key,
            "captured": f"{format_ms(row.captured_at)} by {record.component} ({record.stage})",
            "attempts": row.attempts,
            "bytes": f"{row.size_bytes:,}, sha256 {record.current.sha256}",
        }
    )
    for warning in record.warnings:
        print_line(f"warning  {warning}")
    for name, value in record.current.headers:
        print_line(f"header   {safe_text(name)}: {'null' if value is None else safe_text(value, 200)}")
    if seen.shown.event is not None:
        print_line(f"event    {to_json(seen.shown.event)}")
    elif seen.shown.undecodable and not seen.shown.whole:
        print_line(f"event    not an event ({seen.shown.undecodable}); masked as a whole: --reveal --reason R shows it")
    elif seen.value is not None:
        print_line(f"value    {seen.value[:256].hex(' ')}{' …' if len(seen.value) > 256 else ''}")
    if seen.shown.masked_molecules:
        print_line(
            f"masked   {seen.shown.masked_molecules} molecules ask for a clearance that this profile does not have"
        )
    for entry in record.audit:
        print_line(f"audit    {format_ms(entry.at)} {entry.os_user} {entry.action} {entry.reason}")


def _meaning(record: RecordDetail) -> dict[str, str | None]:
    from atom_console.kafka.delivery_errors import classify

    if record.row.err_code is None or record.row.origin != "local":
        return {"meaning": None, "next_step": None}
    verdict = classify(record.row.err_code, stage="delivery")
    return {"meaning": verdict.meaning, "next_step": verdict.next_step}


def _audit_reveal(cli: CliContext, record: RecordDetail, reason: str) -> None:
    import time

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


def _base64(value: bytes | None) -> str | None:
    return None if value is None else b64encode(value).decode()


def _states(states: Any) -> str:
    return " ".join(f"{name} {count:,}" for name, count in states.items()) or "-"
