"""How `flight get` runs a transfer under signals, and tells what it did."""

from __future__ import annotations

import sys
from pathlib import Path
from threading import Thread
from typing import TYPE_CHECKING, Any

from atom_console.cli import signals
from atom_console.cli.output import print_line, say

if TYPE_CHECKING:
    from atom_console.flight.client import FlightConsole, ServerSchema
    from atom_console.flight.connection import Connection
    from atom_console.flight.download import Download, Summary
    from atom_console.schema.changes import Change

_LOOK_S = 0.2


def run_transfer(download: Download) -> tuple[Summary | None, signals.Stop]:
    """Runs it in a thread of its own, so that a signal can cancel it; None where one did."""
    results: list[Summary] = []
    errors: list[BaseException] = []

    def work() -> None:
        try:
            results.append(download.run())
        except BaseException as error:  # noqa: BLE001 - it is raised again in the main thread
            errors.append(error)

    with signals.held() as stop:
        thread = Thread(target=work, name="flight-get", daemon=True)
        thread.start()
        while thread.is_alive():
            thread.join(_LOOK_S)
            if stop.requested:
                download.cancel()
            elif sys.stderr.isatty():
                _show_progress(download)
    if sys.stderr.isatty():
        sys.stderr.write("\r\x1b[K")
    if results:
        return results[0], stop
    if stop.requested:
        say("stopped; nothing was kept")
        return None, stop
    raise errors[0]


def _show_progress(download: Download) -> None:
    progress = download.progress()
    if progress is not None:
        share = f" of {progress.rows_expected:,}" if progress.rows_expected else ""
        line = f"{progress.rows:,}{share} rows, {progress.bytes / 1e6:,.0f} MB, {progress.gb_per_s:.2f} GB/s"
        sys.stderr.write(f"\r\x1b[K{line}")
        sys.stderr.flush()


def differences(promised: ServerSchema, summary: Summary) -> tuple[Change, ...]:
    """From the promised to the received schema; none where only the declared one is known."""
    from atom_console.schema.arrow_diff import diff_arrow

    return diff_arrow(promised.schema, summary.schema) if promised.source == "server" else ()


def transfer_json(
    console: FlightConsole,
    promised: ServerSchema,
    summary: Summary | None,
    changes: tuple[Change, ...],
    out: Path | None,
) -> dict[str, Any]:
    """What `flight get --json` prints; without a summary, of a transfer that did not begin."""
    from atom_console.cli.schema_commands import change_json

    progress = summary.progress if summary is not None else None
    return {
        "rows": progress.rows if progress else 0,
        "batches": progress.batches if progress else 0,
        "bytes": progress.bytes if progress else 0,
        "seconds": round(progress.seconds, 6) if progress else 0.0,
        "gb_per_s": round(progress.gb_per_s, 3) if progress else 0.0,
        "transport": console.connection.transport,
        "uri": console.connection.uri,
        "schema_source": promised.source,
        "schema_mark": promised.mark,
        "schema_equal": not changes if promised.source == "server" else None,
        "schema_diff": [change_json(change) for change in changes],
        "keepalive": keepalive_json(console.connection),
        "restarts": summary.restarts if summary else 0,
        "resumes": progress.resumes if progress else 0,
        "out": out if summary else None,
    }


def print_transfer(document: dict[str, Any]) -> None:
    """The same for people: speed with transport and host, then what was odd."""
    milliseconds = document["seconds"] * 1e3
    size = document["bytes"] / 1e9
    print_line(
        f"{document['rows']:,} rows, {size:.3f} GB in {milliseconds:,.0f} ms = {document['gb_per_s']} GB/s"
        f" over {document['transport']} from {document['uri']}"
    )
    for change in document["schema_diff"]:
        say(f"{change['path']}: {change['kind']} ({change['before']} → {change['after']})")
    if document["restarts"] or document["resumes"]:
        say(f"started anew {document['restarts']} times, resumed {document['resumes']} times")
    if document["out"] is not None:
        say(f"wrote {document['out']}")


def keepalive_json(connection: Connection) -> dict[str, Any]:
    """The keep-alive in force."""
    options = connection.options
    return {
        "time_ms": options.keepalive_time_ms,
        "timeout_ms": options.keepalive_timeout_ms,
        "ping_timeout_ms": options.http2_ping_timeout_ms,
        "without_calls": options.keepalive_permit_without_calls,
    }
