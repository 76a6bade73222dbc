"""Numbers, times, bars and columns as text: pure functions, no terminal.

`None` is *not known* and shows as `?`. Foreign text enters a line through `fit` or `foreign` only.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Literal, NamedTuple

from rich.cells import cell_len, set_cell_size

from atom_console.safe_text import safe_text
from atom_console.times import format_ms

Role = Literal[
    "", "dim", "strong", "title", "ok", "warn", "error", "info", "key", "trend", "cursor", "profile", "active", "marked"
]
ROLES: tuple[Role, ...] = (
    "dim",
    "strong",
    "title",
    "ok",
    "warn",
    "error",
    "info",
    "key",
    "trend",
    "cursor",
    "profile",
    "active",
    "marked",
)  # fmt: skip

UNKNOWN = "?"
_BLOCKS = "▁▂▃▄▅▆▇█"
_ASCII_BLOCKS = "_.-=+*%#"
_ASCII = {
    **dict(zip(_BLOCKS, _ASCII_BLOCKS, strict=True)),
    **dict.fromkeys("▌▐▎▊", "="),
    **dict.fromkeys("░▒▓", "."),
    **dict.fromkeys("│┃║▏▕", "|"),
    **dict.fromkeys("─━═▔–—", "-"),
    **dict.fromkeys("┌┐└┘├┤┬┴┼╭╮╰╯╔╗╚╝╸╺╹╻", "+"),
    **dict.fromkeys("▸›→", ">"),
    **dict.fromkeys("‹←", "<"),
    **dict.fromkeys("…≈", "~"),
    **dict.fromkeys("·•", "-"),
    **dict.fromkeys("‘’", "'"),
    **dict.fromkeys("“”", '"'),
    **dict.fromkeys("↑␛", "^"),
    "↓": "v",
    "÷": "/",
    "×": "x",
    "✓": "+",
    "✗": "x",
    "≥": ">",
    "≤": "<",
    "µ": "u",
}


class Span(NamedTuple):
    """A piece of a line and the role that colours it; the role repeats what the words say."""

    text: str
    role: Role = ""


Line = tuple[Span, ...]


def line(*parts: str | Span) -> Line:
    """A line from our own words and spans."""
    return tuple(Span(part) if isinstance(part, str) else part for part in parts)


def foreign(value: str | bytes, limit: int = 200, role: Role = "") -> Span:
    """A span of text that is not ours."""
    return Span(safe_text(value, limit), role)


def plain(spans: Iterable[Span]) -> str:
    """The words of a line."""
    return "".join(span.text for span in spans)


def ascii_only(text: str) -> str:
    """`text` for a terminal without UTF-8, of the same width: our signs have twins, anything else becomes `?`."""
    if text.isascii():
        return text
    return "".join(c if c.isascii() else _ASCII.get(c, UNKNOWN * cell_len(c)) for c in text)


def fit(value: str, width: int, align: Literal["left", "right"] = "left") -> str:
    """Exactly `width` cells of harmless text: cut with `…` (the start is kept), or padded."""
    if width <= 0:
        return ""
    text = safe_text(value, max(width * 2, 8))
    length = cell_len(text)
    if length > width:
        return set_cell_size(text, width - 1) + "…"
    return text + " " * (width - length) if align == "left" else " " * (width - length) + text


def wrap(value: str | bytes, width: int, most: int = 3) -> list[str]:
    """Foreign text on up to `most` lines of `width` cells, broken at spaces; what does not fit ends in `…`."""
    words = safe_text(value, width * most * 2).split()
    rows: list[str] = []
    for number, word in enumerate(words):
        if rows and cell_len(rows[-1]) + 1 + cell_len(word) <= width:
            rows[-1] += f" {word}"
        elif len(rows) < most:
            rows.append(word)
        else:
            rows[-1] = fit(f"{rows[-1]} {' '.join(words[number:])}", width)
            break
    return [fit(row, width).rstrip() for row in rows]


def cut_line(spans: Sequence[Span], width: int) -> Line:
    """The line, at most `width` cells wide; what is cut ends in `…`."""
    out: list[Span] = []
    left = width
    for span in spans if width > 0 else ():
        length = cell_len(span.text)
        if not length:
            continue
        if length > left:
            if left > 0:
                out.append(Span(fit(span.text, left), span.role))
            elif out:
                last = out.pop()
                out.append(Span(set_cell_size(last.text, max(cell_len(last.text) - 1, 0)) + "…", last.role))
            return tuple(out)
        out.append(span)
        left -= length
    return tuple(out)


def justify(left: Sequence[Span], right: Sequence[Span], width: int) -> Line:
    """`left` and `right` at the two ends; where both do not fit, `left` is cut, for the right end holds the state."""
    right_width = cell_len(plain(right))
    kept = cut_line(left, max(width - right_width - 1, 0))
    gap = width - cell_len(plain(kept)) - right_width
    return cut_line((*kept, Span(" " * max(gap, 0)), *right), width)


def count(value: int | None) -> str:
    """`1,284`, or `?`."""
    return UNKNOWN if value is None else f"{value:,}"


def many(number: int, noun: str) -> str:
    """`1 topic`, `41 tenants`."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def rate(value: float | None) -> str:
    """Events a second without the unit: `4,812`, `0.4`, or `?`."""
    if value is None:
        return UNKNOWN
    return f"{value:,.0f}" if value >= 9.95 or value == 0 else f"{value:.1f}"


def millis(value: float | None) -> str:
    """Milliseconds without the unit, two or three significant digits: `0.31`, `4.2`, `130`, or `?`."""
    if value is None:
        return UNKNOWN
    if value < 1:
        return f"{value:.2f}"
    return f"{value:.1f}" if value < 100 else f"{value:,.0f}"


def size(value: float | None) -> str:
    """Bytes in decimal units: `288 B`, `3.0 MB`, `214 MB`, or `?`."""
    if value is None:
        return UNKNOWN
    for unit in ("B", "kB", "MB", "GB", "TB"):
        if value < 999.5 or unit == "TB":
            return f"{value:.0f} {unit}" if unit == "B" or value >= 99.5 else f"{value:.1f} {unit}"
        value /= 1000
    raise AssertionError("unreachable: TB takes any value")


def duration(seconds: float | None) -> str:
    """`0.4 s`, `12 s`, `41 min`, `3 h 20 min`, `6 d`, or `?`."""
    if seconds is None:
        return UNKNOWN
    if seconds < 9.95:
        return f"{seconds:.0f} s" if seconds == int(seconds) else f"{seconds:.1f} s"
    if seconds < 120:
        return f"{seconds:.0f} s"
    if seconds < 7200:
        return f"{seconds / 60:.0f} min"
    if seconds < 36 * 3600:
        hours, minutes = divmod(int(seconds / 60), 60)
        return f"{hours} h {minutes} min" if minutes else f"{hours} h"
    return f"{seconds / 86400:.0f} d"


def clock(ms: int | None) -> str:
    """`02:14:07Z` of Unix milliseconds, or `?`."""
    return UNKNOWN if ms is None else f"{_of_day(ms)}Z"


def moment(ms: int | None, now_ms: int) -> str:
    """A time beside `now`: `02:13` today, `11-23` (month and day) otherwise, all UTC, or `?`."""
    if ms is None:
        return UNKNOWN
    if ms // 86_400_000 == now_ms // 86_400_000:
        return _of_day(ms)[:5]
    return format_ms(ms)[5:10]


def _of_day(ms: int) -> str:
    seconds = ms // 1000 % 86_400
    return f"{seconds // 3600:02d}:{seconds // 60 % 60:02d}:{seconds % 60:02d}"


def sparkline(history: Sequence[float | None], width: int) -> str:
    """The last values as `width` blocks, scaled from 0 to the largest; a second without a measurement is blank.

    A history longer than the width is cut into buckets of which the largest value shows: no peak is hidden.
    """
    if width <= 0:
        return ""
    columns = _buckets(history, width)
    top = max((value for value in columns if value is not None), default=0.0)
    signs = []
    for value in columns:
        if value is None:
            signs.append(" ")
        else:
            share = max(0.0, value / top) if top > 0 else 0.0
            signs.append(_BLOCKS[min(int(share * len(_BLOCKS)), len(_BLOCKS) - 1)])
    return "".join(signs).rjust(width)


def _buckets(history: Sequence[float | None], width: int) -> list[float | None]:
    if len(history) <= width:
        return list(history)
    per = -(-len(history) // width)
    tail = history[-per * width :]
    first = len(tail) % per
    cuts = [tail[:first]] if first else []
    cuts += [tail[i : i + per] for i in range(first, len(tail), per)]
    tops: list[float | None] = []
    for part in cuts[-width:]:
        known = [value for value in part if value is not None]
        tops.append(max(known) if known else None)
    return tops


def bar(value: float | None, limit: float | None, width: int) -> str:
    """A filled bar of `width` cells; anything above 0 shows at least half a cell, and not known is blank."""
    if value is None or not limit or width <= 0:
        return " " * max(width, 0)
    halves = round(min(max(value / limit, 0.0), 1.0) * width * 2)
    if value > 0:
        halves = max(halves, 1)
    full, half = divmod(halves, 2)
    return ("█" * full + "▌" * half).ljust(width, "·")
