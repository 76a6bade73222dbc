"""A run as lines: how far, how fast, who holds it, what stops it, and what is proven."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Literal

from atom_console.ui.drawing import (
    Line,
    Role,
    Span,
    bar,
    clock,
    count,
    duration,
    foreign,
    line,
    millis,
    moment,
    rate,
    wrap,
)
from atom_console.ui.rows import Cell, Column, Row

if TYPE_CHECKING:
    from atom_console.dlq.replay.runs import RunProgress
    from atom_console.engine.snapshot import LeaseRow, ReplaySection

Standing = Literal["ours", "watched", "silent", "gone", "idle"]
"""Who has a run in hand: this console, another one that lives, one that lives but is silent, one that died, nobody."""

RUN_COLUMNS = (
    Column("run", 9, 10),
    Column("state", 9, 10),
    Column("made", 5, 6, priority=3),
    Column("arrived", 9, 10, align="right"),
    Column("of", 9, 10, align="right"),
    Column("failed", 7, 9, priority=2, align="right"),
    Column("unknown", 7, 9, priority=2, align="right"),
    Column("left", 7, 10, priority=4, align="right"),
    Column("held back", 9, 10, priority=5, align="right"),
    Column("result", 12, 90),
)
_PROVEN = "verified: 0 lost, 0 duplicates"
_STATE_ROLES: dict[str, Role] = {
    "running": "info",
    "finished": "ok",
    "stopped": "error",
    "failed": "error",
    "paused": "warn",
    "cancelled": "dim",
    "planned": "dim",
}
_DOING = {
    "checking": "looking what is there",
    "sending": "sending",
    "waiting": "waiting for outcomes",
    "verifying": "counting copies",
}


def standing(run: RunProgress, replay: ReplaySection, lease: LeaseRow | None) -> Standing:
    """Who has it in hand."""
    if replay.active is not None and replay.active.run_id == run.run_id:
        return "ours"
    if lease is not None and lease.run_id == run.run_id and lease.alive:
        return "silent" if lease.stale else "watched"
    return "gone" if run.state in {"running", "paused"} else "idle"


def title(run: RunProgress, replay: ReplaySection, lease: LeaseRow | None) -> tuple[Line, Line]:
    """What it does, and who holds it since when."""
    if standing(run, replay, lease) == "gone":
        state = "interrupted" if run.state == "running" else run.state
        return line(" ", Span(f"Run {run.run_id}", "strong"), " · ", Span(state, "warn")), line("nobody holds it ")
    state = _DOING.get(run.reason, run.state) if run.state == "running" else run.state
    left = line(" ", Span(f"Run {run.run_id}", "strong"), " · ", Span(state, _STATE_ROLES.get(run.state, "")))
    if lease is None or lease.run_id != run.run_id:
        return left, ()
    which = "(this console)" if lease.mine else f"pid {'?' if lease.pid is None else lease.pid}"
    who = foreign(f"{lease.owner}@{lease.host} {which}", 40, "" if lease.mine else "warn")
    return left, line("lease ", who, f" since {clock(lease.since_ms)} ")


def run_lines(
    run: RunProgress, replay: ReplaySection, lease: LeaseRow | None, width: int, *, rest_of: str | None = None
) -> list[Line]:
    """Progress, then numbers that add up to the whole, then what holds it up, the proof, and what to do next."""
    who = standing(run, replay, lease)
    ours = who == "ours"
    done = run.total - run.left
    figures = f"  {count(done)} of {count(run.total)}"
    if run.state == "running" and who != "gone":
        eta = "" if run.eta_s is None else f"   ≈ {duration(run.eta_s)} left"
        figures += f"   {rate(run.rate_per_s)} /s{eta}"
    cells = max(min(width - len(figures) - 4, 60), 8)
    found = run.duplicates_avoided
    rows = [
        line("  ", Span(bar(done, run.total, cells), "trend"), Span(figures, "strong")),
        line(
            f"  sent {count(run.replayed - found)} · ",
            Span(f"failed {count(run.failed)}", "error" if run.failed else ""),
            " · ",
            Span(f"unknown {count(run.unknown)}", "warn" if run.unknown else ""),
            f" · found already there {count(found)} · left {count(run.left)}",
        ),
    ]
    breaker = f"{run.breaker} of {run.breaker_limit}" if ours else f"? of {run.breaker_limit}"
    numbers = [f"held back {count(run.held)}", f"window {count(replay.windows.get(run.run_id))}"]
    if run.state == "running" and who != "gone":
        numbers += [f"ack p99 {millis(run.ack_p99_ms)} ms", f"breaker {breaker}"]
    rows.append(line(f"  {' · '.join(numbers)}"))
    if run.stalled_s >= 1:
        rows.append(line("  ", Span(f"the broker has not answered for {duration(run.stalled_s)}", "warn")))
    if lease is not None and lease.run_id == run.run_id and not ours:
        rows.append(_holder(lease))
    rows.append(line(""))
    if run.state != "running" and run.reason and run.reason not in _DOING:
        rows += _wrapped("why", run.reason, width, "error" if run.state in {"stopped", "failed"} else "warn")
    if run.verified:
        rows += _wrapped("result", run.verified, width, "ok" if run.verified == _PROVEN else "error")
    elif run.state == "finished":
        rows += _wrapped("result", "not verified: copies were not counted", width, "warn")
    rows += _wrapped("next", _next(run, who, rest_of), width, "info")
    return rows


def _holder(lease: LeaseRow) -> Line:
    age = duration(None if lease.heartbeat_age_s is None else round(lease.heartbeat_age_s, 1))
    if not lease.alive:
        return line("  ", Span(f"its process {lease.pid} is gone; last heard of {age} ago", "warn"))
    role: Role = "error" if lease.stale else ""
    return line("  ", Span(f"another console runs it; last heard of {age} ago", role), " · this one watches")


def _next(run: RunProgress, who: Standing, rest_of: str | None) -> str:  # noqa: PLR0911 -- one sentence for each case
    if who == "silent":
        return "end that process, or T takes over: what it has in hand is looked for before anything is sent again"
    if who == "gone":
        return "r goes on here: what was in flight is looked for first, nothing is sent twice"
    if run.state == "running":
        whose = "" if who == "ours" else " (asks the console that runs it)"
        return f"p pauses, k cancels and keeps what is sent{whose}"
    if run.state == "paused":
        return "r goes on, k cancels and keeps what is sent"
    if run.unknown:
        return "P lists what may have arrived, c looks on the broker; then r goes on"
    if run.state == "stopped":
        return "correct the cause, then r goes on exactly there; k cancels, the rest stays ready"
    if run.state == "planned":
        return "enter shows the plan; nothing is sent before y there"
    if rest_of is not None and not run.failed:
        return f"look at these on the topic; then a plans the rest of {rest_of}"
    if run.failed:
        return f"esc, then / state=failed lists {count(run.failed)} that failed, with the reason of each"
    if run.left:
        return "what is left stays ready: plan it again from the groups"
    return "nothing: every event of the plan is accounted for"


def _wrapped(name: str, text: str, width: int, role: Role) -> list[Line]:
    parts = wrap(text, max(width - 12, 10), 4)
    return [
        line(Span(f"  {name if number == 0 else '':<8} ", "dim"), Span(part, role)) for number, part in enumerate(parts)
    ]


def run_row(run: RunProgress, made_at: Mapping[str, int], now_ms: int) -> Row:
    """One row of the list of runs."""
    result = run.verified or run.reason
    cells: tuple[str | Cell, ...] = (
        run.run_id,
        Cell(run.state, _STATE_ROLES.get(run.state, "")),
        moment(made_at.get(run.run_id), now_ms),
        count(run.replayed),
        count(run.total),
        Cell(count(run.failed), "error" if run.failed else ""),
        Cell(count(run.unknown), "warn" if run.unknown else ""),
        count(run.left),
        count(run.held),
        Cell(result, "ok" if run.verified == _PROVEN else ""),
    )
    return Row(run.run_id, cells)
