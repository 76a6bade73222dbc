"""The FILTER options, the same for every `dlq` command."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

import click

if TYPE_CHECKING:
    from atom_console.dlq.filters import Filter

F = TypeVar("F", bound=Callable[..., Any])

_NS_PER_MS = 1_000_000
_UNITS_S = {"s": 1, "m": 60, "h": 3_600, "d": 86_400}

_OPTIONS = (
    click.option("--id", "ids", multiple=True, metavar="ID", help="Record id."),
    click.option(
        "--group", "groups", multiple=True, metavar="FINGERPRINT", help="From `dlq groups`; 8 digits will do."
    ),
    click.option("--state", "states", multiple=True, metavar="STATE", help="captured, ready, quarantined, unknown, …"),
    click.option("--class", "classes", multiple=True, metavar="CLASS", help="outage, poison, config, …"),
    click.option("--code", "codes", multiple=True, metavar="CODE", help="Number or name: -192, _MSG_TIMED_OUT."),
    click.option("--topic", "topics", multiple=True, metavar="T", help="Destination."),
    click.option("--tenant", "tenants", multiple=True, metavar="T", help="Tenant id."),
    click.option("--key", "keys", multiple=True, metavar="K", help="Message key, UTF-8."),
    click.option("--origin", "origins", multiple=True, metavar="O", help="local, connect, streams, spring, …"),
    click.option("--dlq-topic", "dlq_topics", multiple=True, metavar="T", help="The DLQ topic it was read from."),
    click.option("--event-id", "event_ids", multiple=True, metavar="ID", help="Event id."),
    click.option("--since", metavar="TIME", help="Captured at or after: RFC 3339, or an age such as 90m."),
    click.option("--until", metavar="TIME", help="Captured before."),
)
_NAMES = ("ids", "groups", "states", "classes", "codes", "topics", "tenants", "origins", "dlq_topics", "event_ids")


def filter_options(function: F) -> F:
    """Adds the options; the command receives them as keyword arguments for `make_filter`."""
    for option in reversed(_OPTIONS):
        function = option(function)
    return function


def make_filter(options: dict[str, Any]) -> Filter:
    """The filter that the options say, checked.

    Raises:
        FilterError: a value that can match nothing.
        click.BadParameter: a time that is none.
    """
    from atom_console.dlq.filters import Filter

    wanted = Filter(
        **{name: tuple(options[name]) for name in _NAMES},
        keys=tuple(key.encode() for key in options["keys"]),
        since=_time_ms("--since", options["since"]),
        until=_time_ms("--until", options["until"]),
    )
    wanted.check()
    return wanted


def _time_ms(option: str, text: str | None) -> int | None:
    """RFC 3339, or an age (`90s`, `15m`, `2h`, `3d`) counted back from now."""
    import time

    from atom_console.times import parse_ns

    if text is None:
        return None
    number, unit = text[:-1], text[-1:]
    if number.isascii() and number.isdecimal() and unit in _UNITS_S:
        return time.time_ns() // _NS_PER_MS - int(number) * _UNITS_S[unit] * 1_000
    try:
        return parse_ns(text) // _NS_PER_MS
    except ValueError as error:
        raise click.BadParameter(f"{text!r} is {error}, nor an age such as 90m", param_hint=option) from error
