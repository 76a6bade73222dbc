"""`tail`: the records of a topic as JSON Lines, decoded."""

from __future__ import annotations

import sys
from base64 import b64encode
from typing import TYPE_CHECKING, Literal

import click

from atom_console.cli import signals
from atom_console.cli.frame import CliContext, Command, json_option, pass_context
from atom_console.cli.output import say, to_json
from atom_console.times import format_ms

if TYPE_CHECKING:
    from collections.abc import Iterator

    from atom_console.kafka.reading import TailRecord


@click.command(
    cls=Command,
    examples=(
        "atom-console tail atom.write.raw",
        "atom-console tail atom.write.raw --from beginning --key tenant-7 | jq .event",
        "atom-console tail atom.write.raw --from 2026-11-24T02:00:00Z --limit 10",
    ),
)
@click.argument("topic")
@click.option(
    "--from", "start", default="end", show_default=True, metavar="beginning|end|-N|TIME", help="Where to begin."
)
@click.option("--limit", type=click.IntRange(min=1), metavar="N", help="Stop after N records.")
@click.option("--key", metavar="K", help="Only records with exactly this key, UTF-8.")
@click.option("--decode", type=click.Choice(["auto", "hex"]), default="auto", show_default=True)
@click.option("--follow/--no-follow", default=None, help="Wait for more; by default only with --from end.")
@json_option
@pass_context
def tail(
    cli: CliContext,
    topic: str,
    start: str,
    limit: int | None,
    key: str | None,
    decode: Literal["auto", "hex"],
    follow: bool | None,
) -> int:
    """The records of TOPIC, one JSON object a line, oldest first.

    Read by assignment: no consumer group is joined and nothing is committed. Where it began in the past it stops at the
    present end of the topic, which the watermarks tell; a time-out is never taken for it. Molecules that ask for a
    clearance which the profile does not have are masked, and then the raw value is left out.
    """
    from atom_console.kafka.tail import parse_start
    from atom_console.kafka.tail import tail as read

    settings = cli.settings()
    place = parse_start(start)
    with signals.passed_on() as (stop, halt):
        records = read(
            cli.kafka(),
            topic,
            start=place,
            follow=place.kind == "end" if follow is None else follow,
            limit=limit,
            key=None if key is None else key.encode(),
            stop=halt,
            on_lost=lambda error: say(f"{error.what}; waiting for it to come back"),
        )
        _write(records, settings.clearance, decode)
    return stop.exit_code


def _write(records: Iterator[TailRecord], clearance: int, decode: Literal["auto", "hex"]) -> None:
    out = sys.stdout
    prompt = out.isatty()
    for record in records:
        out.write(to_json(_document(record, clearance, decode)) + "\n")
        if prompt:
            out.flush()


def _document(record: TailRecord, clearance: int, decode: Literal["auto", "hex"]) -> dict[str, object]:
    from atom_console.dlq.view import shown_event

    value = record.value
    seen = shown_event(value, clearance)
    document: dict[str, object] = {
        "topic": record.topic,
        "partition": record.partition,
        "offset": record.offset,
        "timestamp": None if record.timestamp_ms is None else format_ms(record.timestamp_ms),
        "key": None if record.key is None else record.key.decode("utf-8", errors="backslashreplace"),
        "key_base64": _base64(record.key),
        "headers": [[name, _base64(held)] for name, held in record.headers],
        "value_base64": _base64(value) if seen.whole else None,
        "event": seen.event,
        "masked": not seen.whole,
    }
    if seen.undecodable is not None:
        document["undecodable"] = seen.undecodable
    if decode == "hex":
        del document["event"]
        document["value_hex"] = value.hex() if value is not None and seen.whole else None
    return document


def _base64(raw: bytes | None) -> str | None:
    return None if raw is None else b64encode(raw).decode()
