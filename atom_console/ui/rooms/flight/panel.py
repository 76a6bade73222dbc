"""The transfer as lines: how far, how fast, over what, and what became of it."""

from __future__ import annotations

from atom_console.engine.flight_view import TransferState, TransferView
from atom_console.ui.drawing import (
    Line,
    Role,
    Span,
    bar,
    count,
    cut_line,
    duration,
    foreign,
    line,
    size,
    sparkline,
    wrap,
)
from atom_console.ui.rooms.flight.words import address

HEIGHT = 4
_STATE_ROLES: dict[TransferState, Role] = {
    "opening": "info",
    "measuring the socket": "info",
    "streaming": "info",
    "cancelling": "warn",
    "done": "ok",
    "failed": "error",
    "cancelled": "warn",
    "mismatch": "error",
}
_IDLE_S = 2.0


def transfer_lines(
    view: TransferView | None, socket_gb_per_s: float | None, host: str | None, width: int
) -> list[Line]:
    """Exactly four lines."""
    if view is None:
        rows = [
            line(Span(" TRANSFER ", "title"), Span("none yet", "dim")),
            line(Span("  d fetches the plan and drops it, which measures the transport", "dim")),
            line(Span("  w writes it to a .parquet or .arrow file · b measures this host's socket first", "dim")),
        ]
    elif view.state in {"failed", "mismatch"}:
        rows = [_head(view), *_trouble(view, width)]
    else:
        rows = [_head(view), _amount(view, width), _speed(view, width), _summary(view, socket_gb_per_s, host)]
    rows = [cut_line(row, width) for row in rows[:HEIGHT]]
    return [*rows, *([()] * (HEIGHT - len(rows)))]


def _head(view: TransferView) -> Line:
    target = {"discard": "dropped", "bench": "dropped (bench)", "preview": "preview"}.get(view.to, "")
    words = [Span(" TRANSFER ", "title"), foreign(view.plan_id, 40, "strong"), Span(" → "), Span(target)]
    if view.target is not None:
        words[-1] = foreign(view.target, 60)
    words += [Span(" · "), Span(view.state, _STATE_ROLES[view.state])]
    if view.state == "failed" and view.batches:
        words.append(Span(f" after {count(view.rows)} rows"))
    if view.idle_s is not None and view.idle_s > _IDLE_S and view.state == "streaming":
        words.append(Span(f" · nothing for {duration(view.idle_s)}", "warn"))
    if view.mark:
        words += [Span(" · "), foreign(view.mark, 40, "error")]
    elif view.accepted:
        words.append(Span(" · the stream's own schema, on purpose", "warn"))
    elif view.schema_equal and view.state in {"streaming", "done"}:
        words.append(Span(" · schema as promised", "ok"))
    if view.restarts or view.resumes:
        words.append(Span(f" · resumed {view.resumes}×, anew {view.restarts}×", "warn"))
    return tuple(words)


def _trouble(view: TransferView, width: int) -> list[Line]:
    if view.state == "mismatch":
        first = view.changes[0]
        return [
            line("  It streams another schema than it promised. No row was kept."),
            line("  ", foreign(f"{len(view.changes)} differences, the first: {first.path} {first.kind}", 200, "warn")),
            line("  ", Span("m", "key"), " shows them, ", Span("a", "key"), " goes on with the stream's schema"),
        ]
    rows = [line("  ", foreign(text, width)) for text in wrap(view.detail or "", width - 4, 2)]
    step = wrap(view.next_step or "", width - 6, HEIGHT - 1 - len(rows))
    return [*rows, *(line("  → ", foreign(text, width, "info")) for text in step)]


def _amount(view: TransferView, width: int) -> Line:
    share = "" if view.rows_expected is None else f" of {count(view.rows_expected)}"
    words = f" {count(view.rows)}{share} rows · {count(view.batches)} batches · {size(view.bytes)}"
    room = max(min(width - len(words) - 4, 40), 0)
    done = view.state == "done"
    drawn = bar(1 if done else view.rows, 1 if done else view.rows_expected, room)
    return line("  ", Span(drawn if view.rows_expected is not None or done else " " * room, "trend"), words)


def _speed(view: TransferView, width: int) -> Line:
    now = view.live_gb_per_s if view.running else view.gb_per_s
    ring = f" · ring {view.waiting} of {view.room}" if view.running and view.room else ""
    words = f" {'?' if now is None else f'{now:.2f}'} GB/s{' over all' if not view.running else ''}{ring}"
    words += f" · {duration(view.seconds)}"
    room = max(width - len(words) - 4, 4)
    return line("  ", Span(sparkline(view.speeds, room), "trend"), words)


def _summary(view: TransferView, socket_gb_per_s: float | None, host: str | None) -> Line:
    """What a gigabyte took, never without the transport and the two hosts."""
    if view.state == "cancelled":
        return line("  Nothing was kept.")
    if not view.gb_per_s:
        return ()
    if view.first_gb_ms is not None:
        words = f"  1 GB in {view.first_gb_ms:,.0f} ms"
    else:
        words = f"  1 GB in ≈ {1e3 / view.gb_per_s:,.0f} ms"
    words += f" · {view.transport} {address(view.uri)} → {host or '?'}"
    if socket_gb_per_s:
        words += f" · {view.gb_per_s / socket_gb_per_s:.0%} of its socket"
    return line(foreign(words, 300))
