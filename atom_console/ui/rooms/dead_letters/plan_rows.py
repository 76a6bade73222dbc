"""A plan as lines: everything that an operator must have seen before anything is sent."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from atom_console.ui.drawing import (
    Line,
    Role,
    Span,
    clock,
    count,
    duration,
    foreign,
    line,
    many,
    size,
    wrap,
)

if TYPE_CHECKING:
    from atom_console.dlq.replay.options import ReplayOptions
    from atom_console.dlq.replay.plan import Plan
    from atom_console.engine.plans import StoredPlan
    from atom_console.engine.snapshot import EngineSnapshot

_LABEL = 13
HELD_WORDS = {
    "superseded": "superseded by newer events",
    "not_ready": "not ready: release them, or they are sent already",
    "no_payload": "without a payload that could be sent",
    "too_large": "larger than their topic takes",
    "blocked": "behind an earlier event of their key that stays",
    "loop": "sent by a replay before, and dead again",
}


def title(found: StoredPlan, part_of: str | None) -> tuple[Line, Line]:
    """What it is, and who made it when."""
    made = found.plan
    whole = f" · the first of plan {part_of}" if part_of else ""
    state = "nothing sent yet" if found.state == "planned" else found.state
    left = line(" ", Span(f"Plan {made.run_id}", "strong"), f"{whole} · ", Span(state, "info"))
    return left, line("made ", clock(made.created_at), " by ", foreign(made.created_by, 30), " ")


def plan_lines(found: StoredPlan, snapshot: EngineSnapshot, width: int) -> list[Line]:
    """The whole plan: what stops it first, then what is sent, what is not, how, where to, and whose it is."""
    made, options = found.plan, found.options
    rows = [row for text in made.refusals for row in _field("refused", text, width, "error")]
    rows += [row for text in made.warnings for row in _field("warning", text, width, "warn")]
    rows += _field("send", _amount(made), width, "strong")
    rows += _held(made.held, width)
    first = f"{count(made.may_duplicate)} may already be there; each is looked for before it is sent"
    rows += _field("check first", first if made.may_duplicate else "none: no broker can have any of them", width)
    rows += _field("order", _order(options, made), width)
    rows += _field("rate", _rate(options), width)
    rows += _field("takes", _takes(made), width)
    rows += _field("target", _cluster(made, snapshot), width)
    for topic, amount in made.by_topic.items():
        rows += _field("", f"{topic}: {_topic(amount, made, made.targets[topic])}", width)
    stamps = (
        "the original ones"
        if options.timestamps == "preserve"
        else "new; the original goes into the header x-atom-orig-ts"
    )
    rows += _field("timestamps", stamps, width)
    rows += _field("tenants", _largest(made.by_tenant), width)
    names = {group.fingerprint: group.label for group in snapshot.dlq.groups}
    for number, (fingerprint, amount) in enumerate(list(made.by_group.items())[:5]):
        name = names.get(fingerprint, fingerprint[:12])
        rows += _field("" if number else "groups", f"{count(amount)} {name}", width)
    return rows


def how_to_send(found: StoredPlan, word: str) -> Line:
    """The line above the keys: what sends it, or why nothing does."""
    made = found.plan
    if found.state != "planned":
        return line(f" This plan is {found.state}. ", Span("esc", "key"), " back")
    if made.refusals:
        return line(" ", Span("It may not run", "error"), f": {many(len(made.refusals), 'reason')} above.")
    if made.confirm_count:
        return line(f" {word}: ", Span("y", "key"), f", then type the number of events to send them: {made.count:,}")
    return line(" ", Span("y", "key"), f" sends {many(made.count, 'event')}.")


def _amount(made: Plan) -> str:
    parts = [
        many(made.count, "event"),
        size(made.bytes),
        many(len(made.by_topic), "topic"),
        f"{many(len(made.by_tenant), 'tenant')}{'+' if len(made.by_tenant) >= 1000 else ''}",
        many(made.keys, "key"),
    ]
    return " · ".join(parts)


def _held(held: Mapping[str, int], width: int) -> list[Line]:
    if not held:
        return _field("hold back", "none", width)
    rows: list[Line] = []
    for number, (why, amount) in enumerate(held.items()):
        text = f"{count(amount)} {HELD_WORDS.get(why, why)}{' (s lists them)' if number == 0 else ''}"
        rows += _field("hold back" if number == 0 else "", text, width, "warn")
    return rows


def _order(options: ReplayOptions, made: Plan) -> str:
    if options.order == "partition":
        return "by partition: where an event fails, later ones of its key may have landed"
    return f"strict per key · {count(made.blocked)} blocked"


def _rate(options: ReplayOptions) -> str:
    rate = f"{options.rate:g} /s" if options.rate else "as fast as it goes"
    first = f", first {options.canary:,} alone" if options.canary else ", no event first alone"
    return f"{rate}{first}, stop after {options.breaker_consec} failures in a row or {options.breaker_ratio * 100:g} %"


def _takes(made: Plan) -> str:
    checks = f"checks ≈ {duration(made.check_s)}"
    if made.eta_s is None:
        return f"not known (unpaced) + {checks}"
    return f"≈ {duration(max(made.eta_s - made.check_s, 0))} + {checks}"


def _cluster(made: Plan, snapshot: EngineSnapshot) -> str:
    name = snapshot.cluster.name or snapshot.cluster.cluster_id or made.cluster_id or "?"
    here = snapshot.cluster.cluster_id
    if made.cluster_id is None:
        return f"{name} (it does not say which cluster it is)"
    if here is not None and here != made.cluster_id:
        return f"cluster {made.cluster_id}; this console is connected to {here} now"
    return f"{name} (cluster id {made.cluster_id}, checked)"


def _topic(amount: int, made: Plan, target: Mapping[str, Any]) -> str:
    if not target["partitions"]:
        return f"{many(amount, 'event')} · does not exist"
    granted = {True: "granted", False: "NOT granted", None: "? (the cluster does not say)"}
    limit = size(target["max_message_bytes"])
    return " · ".join(
        [
            many(amount, "event"),
            many(target["partitions"], "partition"),
            f"WRITE {granted[target['can_write']]}",
            f"READ {granted[target['can_read']]}",
            f"largest {size(made.largest_bytes)} of {limit}",
        ]
    )


def _largest(counts: Mapping[str, int], most: int = 6) -> str:
    shown = [f"{name or '(none)'} {count(amount)}" for name, amount in list(counts.items())[:most]]
    more = len(counts) - len(shown)
    return " · ".join(shown) + (f" · {count(more)} more" if more > 0 else "") or "–"


def _field(name: str, text: str, width: int, role: Role = "") -> list[Line]:
    parts = wrap(text, max(width - _LABEL - 2, 10), 4) or ["–"]
    return [
        line(Span(f"  {name if number == 0 else '':<{_LABEL - 2}} ", "dim"), Span(part, role))
        for number, part in enumerate(parts)
    ]
