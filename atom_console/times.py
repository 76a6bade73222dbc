"""Times as the wire has them (integers since the epoch) and as people read them (RFC 3339, UTC)."""

from __future__ import annotations

import re
from datetime import UTC, datetime

_RFC3339 = re.compile(
    r"(\d{4})-(\d{2})-(\d{2})[Tt ](\d{2}):(\d{2}):(\d{2})(?:\.(\d{1,9}))?([Zz]|[+-]\d{2}:\d{2})", re.ASCII
)
_EPOCH_ORDINAL = datetime(1970, 1, 1, tzinfo=UTC).toordinal()


def format_ms(ms: int) -> str:
    """Unix milliseconds → `2026-11-24T02:14:07.123Z`; out of the calendar's range → the integer as text."""
    seconds, milli = divmod(ms, 1000)
    return _format(seconds, f"{milli:03d}", str(ms))


def format_ns(ns: int) -> str:
    """Unix nanoseconds → RFC 3339 with nine digits, exact; out of the calendar's range → the integer as text."""
    seconds, nano = divmod(ns, 1_000_000_000)
    return _format(seconds, f"{nano:09d}", str(ns))


def parse_ns(text: str) -> int:
    """RFC 3339 → Unix nanoseconds, exact to the nanosecond (a float never touches it).

    Raises:
        ValueError: not RFC 3339, or not a date of the calendar. The zone is required: a local time is ambiguous.
    """
    match = _RFC3339.fullmatch(text)
    if match is None:
        raise ValueError("not an RFC 3339 time such as 2026-11-24T02:14:07.123Z")
    year, month, day, hour, minute, second = (int(match[i]) for i in range(1, 7))
    days = datetime(year, month, day, hour, minute, second, tzinfo=UTC).toordinal() - _EPOCH_ORDINAL
    seconds = days * 86_400 + hour * 3600 + minute * 60 + second
    zone = match[8]
    if zone not in "Zz":
        hours, minutes = int(zone[1:3]), int(zone[4:6])
        if hours > 23 or minutes > 59:
            raise ValueError(f"no such zone: {zone}")
        seconds -= (hours * 3600 + minutes * 60) * (-1 if zone[0] == "-" else 1)
    return seconds * 1_000_000_000 + int((match[7] or "").ljust(9, "0"))


def _format(seconds: int, fraction: str, otherwise: str) -> str:
    try:
        moment = datetime.fromtimestamp(seconds, tz=UTC)
    except (OverflowError, OSError, ValueError):
        return otherwise
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{fraction}Z" if moment.year >= 1000 else otherwise
