"""`produce`: events in; each ends acknowledged or in the dead letter queue."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Event, Thread
from typing import TYPE_CHECKING, Any

import click

from atom_console.cli import signals
from atom_console.cli.frame import CliContext, Command, json_option, pass_context
from atom_console.cli.output import print_fields, print_json, say

if TYPE_CHECKING:
    from atom_console.engine.feed import FeedProgress
    from atom_console.engine.producer import Producer
    from atom_console.engine.sources import InputFault
    from atom_console.kafka.snapshots import DrainReport

_MOST_FAULTS_TOLD = 100
_TICK_S = 0.2
_DONE_IN_PART = 3
_COULD_NOT_SAVE = 1


@click.command(
    cls=Command,
    examples=(
        "atom-console produce events.jsonl --json",
        "generate-events | atom-console produce - --mode durable --rate 500",
    ),
)
@click.argument("file", default="-", type=click.Path(path_type=Path))
@click.option(
    "--format",
    "form",
    type=click.Choice(["jsonl", "atomfb", "arrow", "parquet"]),
    help="By default the file's suffix says it; standard input is jsonl.",
)
@click.option("--topic", metavar="T", help="Instead of kafka.topic.")
@click.option("--mode", type=click.Choice(["async", "durable"]), help="Durable commits to disk before it accepts.")
@click.option("--preset", type=click.Choice(["latency", "throughput"]), help="Linger 0 or 5 ms.")
@click.option("--rate", type=click.FloatRange(min=0, min_open=True), metavar="N", help="Events a second.")
@click.option("--limit", type=click.IntRange(min=1), metavar="N", help="Stop after N events.")
@click.option("--follow", is_flag=True, help="At the end of the file wait for more, until ctrl-c.")
@json_option
@pass_context
def produce(
    cli: CliContext,
    file: Path,
    form: Any,
    topic: str | None,
    mode: str | None,
    preset: str | None,
    rate: float | None,
    limit: int | None,
    follow: bool,
) -> int:
    """Publish the events of FILE, or of standard input.

    Accepted is acknowledged plus captured: what the broker does not take goes to the dead letter queue on this host,
    and so does input that is no event, as it came. Exit 3 if anything did.
    """
    from atom_console.engine import feed, sources
    from atom_console.engine.producer import Producer

    overrides = [f"dlq.mode={mode}"] if mode else []
    overrides += [f"kafka.preset={preset}"] if preset else []
    overrides += [f"kafka.topic={topic}"] if topic else []
    settings = cli.overridden(overrides).settings()
    if settings.read_only:
        from atom_console.errors import RefusedError

        raise RefusedError(f"profile {settings.profile} is read-only: nothing is produced")
    told = _FaultTeller()
    progress = feed.FeedProgress()
    with signals.passed_on() as (stop, halt):
        chunks = sources.read(None if str(file) == "-" else file, form, follow=follow, stop=halt)
        started_s = time.monotonic()
        producer = Producer(settings, component="produce")
        try:
            with _watched(producer):
                feed.feed(
                    producer,
                    chunks,
                    pacer=sources.Pacer(rate),
                    limit=limit,
                    stop=halt,
                    on_fault=told.tell,
                    progress=progress,
                )
                report = _finish(producer, settings.kafka.message_timeout_ms / 1000, stop)
        finally:
            producer.close()
    seconds = time.monotonic() - started_s
    _print(cli, producer, report, progress, seconds)
    return _exit_code(report, stop)


def _finish(producer: Producer, timeout_s: float, stop: signals.Stop) -> DrainReport:
    """All input is in: wait for its reports, as long as the broker may take for one; a signal shortens that."""
    end_s = time.monotonic() + timeout_s + 1.0
    while producer.snapshot().in_flight and not stop.requested and time.monotonic() < end_s:
        producer.wait_for_reports(_TICK_S)
    return producer.drain()


@contextmanager
def _watched(producer: Producer) -> Iterator[None]:
    """Beside the work: the progress, on a terminal."""
    if not sys.stderr.isatty():
        yield
        return
    over = Event()

    def watch() -> None:
        while not over.wait(_TICK_S):
            seen = producer.snapshot()
            line = f"{seen.accepted:,} accepted · {seen.acked:,} acked · {seen.captured:,} in the DLQ"
            sys.stderr.write(f"\r{line} · {seen.in_flight:,} in flight\x1b[K")
            sys.stderr.flush()

    watcher = Thread(target=watch, name="produce-watch", daemon=True)
    watcher.start()
    try:
        yield
    finally:
        over.set()
        watcher.join()
        sys.stderr.write("\r\x1b[K")


class _FaultTeller:
    """Names bad input on stderr, the first hundred of it."""

    def __init__(self) -> None:
        self._count = 0

    def tell(self, fault: InputFault) -> None:
        self._count += 1
        if self._count <= _MOST_FAULTS_TOLD:
            say(f"{fault.where}: {fault.message}")
        elif self._count == _MOST_FAULTS_TOLD + 1:
            say("more bad input follows; `atom-console dlq ls --code _VALUE_SERIALIZATION` lists it all")


def _print(cli: CliContext, producer: Producer, report: DrainReport, progress: FeedProgress, seconds: float) -> None:
    seen = producer.snapshot()
    ack_ms = {"p50": seen.ack.p50_ms, "p99": seen.ack.p99_ms, "max": seen.ack.max_ms}
    document = {
        "accepted": report.accepted,
        "acked": report.acked,
        "captured": report.captured,
        "invalid": progress.invalid,
        "unsaved": report.unsaved,
        "bytes": seen.accepted_bytes,
        "seconds": round(seconds, 3),
        "events_per_s": round(report.accepted / seconds) if seconds else None,
        "ack_ms": ack_ms,
        "captured_by_class": {str(name): count for name, count in seen.captured_by_class.items()},
        "mode": seen.mode,
        "cluster_id": producer.cluster_id,
    }
    if cli.json:
        print_json(document)
        return
    flat = {name: value for name, value in document.items() if not isinstance(value, dict)}
    flat["ack ms p50/p99/max"] = " / ".join("?" if v is None else f"{v:.2f}" for v in ack_ms.values())
    print_fields(flat)
    for error in seen.recent_errors:
        say(f"{error.count} × {error.name}: {error.meaning}")
        if error.next_step:
            say(f"next: {error.next_step}")


def _exit_code(report: DrainReport, stop: signals.Stop) -> int:
    if not report.complete:
        say(f"{report.unsaved + report.unreported} events are neither acknowledged nor in the dead letter queue")
        return _COULD_NOT_SAVE
    if stop.requested:
        return stop.exit_code
    return _DONE_IN_PART if report.captured else 0
