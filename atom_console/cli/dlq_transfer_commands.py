"""`dlq ingest`, `drain`, `export`: dead letters in from DLQ topics, out to a shared one, out to files."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Event
from typing import TYPE_CHECKING, Any

import click

from atom_console.cli import signals
from atom_console.cli.dlq_filter import filter_options, make_filter
from atom_console.cli.dlq_store import open_reader, open_store
from atom_console.cli.frame import CliContext, Command, json_option, pass_context
from atom_console.cli.output import print_fields, print_json, print_table, say
from atom_console.errors import PartialError, RefusedError

if TYPE_CHECKING:
    from atom_console.dlq.adapters import Context
    from atom_console.dlq.ingest import TopicReport


@click.command(
    cls=Command,
    examples=("atom-console dlq ingest orders-dlt connect-errors --json", "atom-console dlq ingest"),
)
@click.argument("topics", nargs=-1, metavar="[TOPIC...]")
@click.option("--source", metavar="T", help="The topic that the records came from, where their headers do not say it.")
@click.option("--again", is_flag=True, help="From the beginning of the topics; nothing is stored twice.")
@click.option("--no-fetch", is_flag=True, help="Do not read originals at their source.")
@click.option(
    "--keep-lookalikes", is_flag=True, help="Replay a producer's own headers that look like a framework's too."
)
@json_option
@pass_context
def ingest(
    cli: CliContext, topics: tuple[str, ...], source: str | None, again: bool, no_fetch: bool, keep_lookalikes: bool
) -> int:
    """Dead letters of others, from DLQ topics on the broker; by default those of dlq.topics.

    No group is joined and nothing is committed; each record is stored once, from where the last ingest ended. Read
    early: Connect and Streams keep the source's timestamp, and the topic's retention counts from it.
    """
    from atom_console.dlq.ingest import ingest as take_in

    settings = cli.settings()
    wanted = topics or settings.dlq.topics
    context = _context(cli, wanted, source)
    with open_store(cli, "ingest") as store, _interruptible() as (stop, halt):
        reports = take_in(
            store,
            cli.kafka(),
            wanted,
            context,
            again=again,
            fetch=not no_fetch,
            spare=keep_lookalikes,
            stop=halt,
            on_progress=_progress("read"),
        )
    _print_ingest(cli, reports)
    if stop.requested:
        return stop.exit_code
    lost = sum(report.skipped for report in reports)
    if lost:
        raise PartialError(
            f"{lost} offsets were deleted by the broker before they were read",
            next_step="ingest more often, or raise retention.ms of the DLQ topics",
        )
    return 0


@click.command(cls=Command, examples=("atom-console dlq drain --to team-dlq --class outage --json",))
@filter_options
@click.option("--to", "topic", required=True, metavar="TOPIC", help="The shared DLQ topic; it must exist.")
@click.option("--all", "everything", is_flag=True, help="Every ready and quarantined record of this host.")
@json_option
@pass_context
def drain(cli: CliContext, /, topic: str, everything: bool, **options: Any) -> int:
    """Publish local records to a shared DLQ topic, so that a team triages in one place.

    `dlq ingest` of the topic reads them back without loss, and knows those of this host by their id. A drained record
    is discarded here, which can be undone.
    """
    from atom_console.dlq.drain import drain as drain_to

    wanted = make_filter(options)
    wanted.require_something(everything=everything)
    with open_store(cli, "drain") as store, _interruptible() as (stop, halt):
        report = drain_to(store, cli.kafka(), wanted, topic, stop=halt, on_progress=_progress("drained"))
    document = {
        "topic": report.topic,
        "read": report.read,
        "written": report.written,
        "skipped": report.skipped,
        "failed": report.failed,
    }
    if cli.json:
        failures = [{"id": failure.record_id, "why": failure.why} for failure in report.failures]
        print_json(document | {"failures": failures})
    else:
        print_fields(document)
    if stop.requested:
        return stop.exit_code
    for failure in report.failures[:10]:
        say(f"{failure.record_id}: {failure.why}")
    if report.failed:
        raise PartialError(f"{report.failed} records were not taken by {topic}", next_step="they stay as they were")
    return 0


@click.command(
    cls=Command,
    examples=(
        "atom-console dlq export --state quarantined --out dead.jsonl",
        'atom-console dlq export --all --out dead.parquet --reveal --reason "INC-4711"',
    ),
)
@filter_options
@click.option(
    "--out", "path", required=True, metavar="FILE", type=click.Path(path_type=Path), help="A new file, mode 0600."
)
@click.option(
    "--format", "form", type=click.Choice(["jsonl", "parquet", "spill"]), help="By default the file's suffix says it."
)
@click.option("--all", "everything", is_flag=True, help="Every record.")
@click.option("--reveal", is_flag=True, help="Leave nothing out; audited.")
@click.option("--reason", metavar="R", help="Why, for the audit; required with --reveal.")
@json_option
@pass_context
def export(
    cli: CliContext, /, path: Path, form: Any, everything: bool, reveal: bool, reason: str | None, **options: Any
) -> None:
    """Records to a file: JSON Lines (bytes in base64), Parquet, spill. `dlq import` reads them back byte for byte.

    What this profile's clearance hides is left out, unless --reveal; an export with something left out cannot be
    imported.
    """
    from atom_console.dlq import transfer

    wanted = make_filter(options)
    wanted.require_something(everything=everything)
    form = form or transfer.form_of(path)
    if form is None:
        raise click.UsageError(f"{path.name}: its suffix names no format; say --format jsonl, parquet or spill")
    if reveal and not (reason and reason.strip()):
        raise click.UsageError("--reveal needs --reason: it goes into the audit")
    if path.exists():
        raise transfer.ExportFileError(f"{path}: exists already", next_step="name a new file")
    with open_reader(cli) as reader:
        if reveal:
            with open_store(cli, "export --reveal") as store:
                transfer.audit_reveal(store, reader, wanted, path, reason or "")
        clearance = cli.settings().clearance
        report = transfer.export(reader, wanted, path, form, clearance=clearance, reveal=reveal)
    document = {"written": report.written, "masked": report.masked, "format": form, "path": str(report.path)}
    if cli.json:
        print_json(document)
    else:
        print_fields(document)
    if report.masked:
        say(f"{report.masked} records are masked for this profile's clearance; --reveal --reason R exports them whole")


def _context(cli: CliContext, topics: tuple[str, ...], source: str | None) -> Context:
    from atom_console.dlq.adapters import Context, load_context

    settings = cli.settings().dlq
    context = load_context(settings.header_map, settings.topics)
    if source is None:
        return context
    if source in topics:
        raise RefusedError(f"--source {source}: that is a DLQ topic", next_step="name the topic the records came from")
    return Context(context.dlq_topics, dict.fromkeys(topics, source), context.maps)


def _print_ingest(cli: CliContext, reports: list[TopicReport]) -> None:
    names = ("read", "added", "known", "skipped", "fetched", "gone", "expiring")
    totals = {name: sum(getattr(report, name) for report in reports) for name in names}
    if cli.json:
        by_topic = [
            {"topic": r.topic, **{name: getattr(r, name) for name in names}, "made_again": r.made_again}
            for r in reports
        ]
        print_json(totals | {"topics": by_topic})
        return
    print_table(("TOPIC", *map(str.upper, names)), ((r.topic, *(getattr(r, n) for n in names)) for r in reports))
    for report in reports:
        if report.made_again:
            say(f"{report.topic} was deleted and made again: it was read from its beginning")
    if totals["expiring"]:
        say(f"{totals['expiring']} records may be deleted from their topics within a day; they are safe here")
    if totals["gone"]:
        say(f"{totals['gone']} originals are not at their source any more: `dlq show ID` says why")


@contextmanager
def _interruptible() -> Iterator[tuple[signals.Stop, Event]]:
    """A signal ends the work after what is in hand; the line of the progress goes with it."""
    with signals.passed_on() as both:
        try:
            yield both
        finally:
            if sys.stderr.isatty():
                sys.stderr.write("\r\x1b[K")


def _progress(verb: str) -> Callable[[int, int], None] | None:
    if not sys.stderr.isatty():
        return None

    def show(done: int, total: int) -> None:
        sys.stderr.write(f"\r{done:,} of ≈ {total:,} {verb}\x1b[K")
        sys.stderr.flush()

    return show
