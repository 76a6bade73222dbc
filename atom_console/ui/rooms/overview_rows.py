"""The overview as lines: a pure function of the snapshot and the size.

The first line answers the question of the room: is it flowing, and is every event accounted for?
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from rich.cells import cell_len

from atom_console.engine.snapshot import CertificateRow, EngineSnapshot, ProducerSection, Series
from atom_console.ui.chrome import stale
from atom_console.ui.drawing import (
    Line,
    Role,
    Span,
    bar,
    clock,
    count,
    cut_line,
    duration,
    fit,
    foreign,
    justify,
    line,
    millis,
    plain,
    rate,
    size,
    sparkline,
    wrap,
)
from atom_console.ui.rooms.dead_letters.words import ROLES, state_word

_LABEL = 17
_NUMBERS = 28
SOON_DAYS = 30


def overview(snapshot: EngineSnapshot, width: int, height: int) -> list[Line]:
    """At most `height` lines of at most `width` cells; under the producer two columns from 110 cells, 3 from 180."""
    head = [cut_line(verdict(snapshot), width)]
    if snapshot.coach:
        head.append(cut_line(line(Span(" ▸ ", "info"), foreign(snapshot.coach, 300, "info")), width))
    if width < 110:
        rest = _fill([producer, dead_letters, topics, errors, certificates], snapshot, width, height - len(head))
        return [*head, *rest]
    head += [cut_line(text, width) for text in (*producer(snapshot, width, roomy=True), ())]
    room = height - len(head)
    if width < 180:
        half = (width - 2) // 2
        left = _fill([dead_letters, certificates, brokers], snapshot, half, room)
        right = _fill([topics, errors], snapshot, width - half - 2, room)
        return [*head, *_beside(left, right, half)]
    third = (width - 4) // 3
    left = _fill([dead_letters, certificates], snapshot, third, room)
    middle = _fill([topics, brokers], snapshot, third, room)
    right = _fill([errors, settings], snapshot, width - 2 * third - 4, room)
    return [*head, *_beside(_beside(left, middle, third), right, 2 * third + 2)]


Section = Callable[[EngineSnapshot, int], list[Line]]


def _fill(sections: Sequence[Section], snapshot: EngineSnapshot, width: int, room: int) -> list[Line]:
    """The sections below each other; what is too tall gives up its last lines, the longest section first."""
    made = [section(snapshot, width) for section in sections]
    while sum(len(part) for part in made) > room:
        longest = max(made[1:] or made, key=len)
        if len(longest) <= 1:
            break
        longest.pop()
    return [cut_line(text, width) for part in made for text in part][:room]


def _beside(left: Sequence[Line], right: Sequence[Line], left_width: int) -> list[Line]:
    rows = []
    for number in range(max(len(left), len(right))):
        first = left[number] if number < len(left) else ()
        second = right[number] if number < len(right) else ()
        gap = Span(" " * (left_width + 2 - _cells(first)))
        rows.append((*first, gap, *second) if second else first)
    return rows


def _cells(spans: Line) -> int:
    return cell_len(plain(spans))


def verdict(snapshot: EngineSnapshot) -> Line:
    """One sentence: flowing or not, and where every accepted event is."""
    made, link = snapshot.producer, snapshot.cluster.connection
    if made.fatal:
        return line(" ", Span("STOPPED", "error"), " · the producer met a fatal error: ", foreign(made.fatal, 200))
    if link.state == "disconnected":
        cause = f"{link.reason or 'no answer'} {link.address or ''}".rstrip()
        waiting = f"{count(made.queue_depth)} wait, {count(made.captured)} kept in the DLQ"
        return line(" ", Span("NOT FLOWING", "error"), f" · {waiting} · ", foreign(cause, 200))
    if made.accepted is None:
        return line(" ", Span("NOT KNOWN", "warn"), " · the producer has not reported yet")
    if made.accepted == 0:
        return _idle(snapshot)
    return _accounts(made)


def _idle(snapshot: EngineSnapshot) -> Line:
    flow = [topic.per_s.now for topic in snapshot.cluster.topics if topic.per_s.now is not None]
    text = f"the cluster takes {rate(sum(flow))} msg/s" if flow else "the cluster's rates are not known yet"
    return line(" ", Span("IDLE", "strong"), f" · nothing was produced from here; {text}")


def _accounts(made: ProducerSection) -> Line:
    known = made.acked is not None and made.captured is not None
    still_open = (made.accepted or 0) - (made.acked or 0) - (made.captured or 0)
    sums = f"{count(made.accepted)} in = {count(made.acked)} acked + {count(made.captured)} kept"
    sums += f" + {count(still_open if known else None)} open"
    if stale(made.age_s):
        return line(" ", Span("NOT KNOWN", "warn"), f" · numbers are {duration(made.age_s)} old · {sums}")
    if (made.acked_per_s.now or 0) > 0:
        return line(" ", Span("FLOWING", "ok"), f" {rate(made.acked_per_s.now)}/s · {sums}")
    return line(" ", Span("QUIET", "strong"), f" · {sums}")


def producer(snapshot: EngineSnapshot, width: int, *, roomy: bool = False) -> list[Line]:
    """What goes in, what is acknowledged, how long it takes, what waits; roomy: also the wire and the DLQ's growth."""
    made = snapshot.producer
    numbers = f"{'now':>9}{'p50':>6}{'p99':>6}{'max':>6} "
    facts = ""
    for fact in _producer_facts(snapshot, roomy):
        longer = f"{facts} · {fact}" if facts else fact
        if len(longer) + len(" PRODUCER ") + len(numbers) < width:
            facts = longer
    head = justify([Span(" PRODUCER ", "title"), foreign(facts, 100)], [Span(numbers, "dim")], width)
    old = made.age_s if stale(made.age_s) else None
    ack = made.ack
    window = "" if ack.window_s is None else f", {duration(ack.window_s)}"
    last = next((value for value in reversed(ack.p99_history) if value is not None), None)
    rows = [
        head,
        _trend_row("events in /s", made.in_per_s, width, f"{rate(made.in_per_s.now):>9}", old),
        _trend_row("acknowledged /s", made.acked_per_s, width, f"{rate(made.acked_per_s.now):>9}", old),
        _trend_row(
            f"ack ms{window}",
            Series(last, ack.p99_history),
            width,
            f"{millis(last):>9}{millis(ack.p50_ms):>6}{millis(ack.p99_ms):>6}{millis(ack.max_ms):>6}",
            old,
        ),
    ]
    if roomy:
        wire, growth = made.wire_bytes_per_s, snapshot.dlq.growth_per_min
        rows.append(_trend_row("on the wire /s", wire, width, f"{size(wire.now):>9}", old))
        rows.append(_trend_row("to the DLQ /min", growth, width, f"{rate(growth.now):>9}", old))
    rows.append(_queue_row(snapshot, width))
    if made.errors_by_class:
        words = " · ".join(f"{name} {count(number)}" for name, number in made.errors_by_class)
        rows.append(line(f"  {'errors':<{_LABEL}}", foreign(words, width)))
    work = snapshot.workload
    if work.state != "none":
        of = "" if work.total is None else f" of {count(work.total)}"
        pace = "" if work.rate_per_s is None else f" at {rate(work.rate_per_s)}/s"
        rows.append(
            line(f"  {'workload':<{_LABEL}}", Span(work.state, "info"), " ", foreign(work.name or "?", 60))
            + line(f" · {count(work.sent)}{of}{pace}")
        )
    return rows


def _producer_facts(snapshot: EngineSnapshot, roomy: bool) -> Iterator[str]:
    made = snapshot.producer
    ratio = "" if made.compression_ratio is None else f" ÷{made.compression_ratio:.1f}"
    yield f"{made.compression or '?'}{ratio}"
    yield f"linger {'?' if made.linger_ms is None else f'{made.linger_ms:g}'} ms"
    if made.wire_bytes_per_s.now is not None and not roomy:
        yield f"{size(made.wire_bytes_per_s.now)}/s"
    if made.idempotent:
        yield "idempotent"


def _trend_row(label: str, series: Series, width: int, numbers: str, old: float | None) -> Line:
    room = max(width - _LABEL - _NUMBERS - 4, 4)
    trend = sparkline(series.history, room)
    if old is not None:
        trend = fit(f"last known {duration(old)} ago", room)
    return line(f"  {label:<{_LABEL}}", Span(trend, "warn" if old is not None else "trend"), f" {numbers}")


def _queue_row(snapshot: EngineSnapshot, width: int) -> Line:
    made = snapshot.producer
    room = max(min(width - _LABEL - 46, 40), 6)
    full = (made.queue_depth or 0) / made.queue_limit if made.queue_limit else 0.0
    text = f" {count(made.queue_depth)} of {count(made.queue_limit)} · in flight {count(made.in_flight)}"
    role: Role = "error" if full > 0.9 else "warn" if full > 0.5 else "trend"
    words = [Span(" nearly full", "error")] if full > 0.9 else []
    return (*line(f"  {'queue':<{_LABEL}}", Span(bar(made.queue_depth, made.queue_limit, room), role), text), *words)


def dead_letters(snapshot: EngineSnapshot, width: int) -> list[Line]:
    """How much waits, since when, how fast it grows, and why."""
    store = snapshot.dlq
    if store.state not in {"ok", "full"}:
        rows = [line(Span(" DEAD LETTERS ", "title"), Span(_STORE_WORDS[store.state], "error"))]
        return rows + _detail(store.detail, store.next_step)
    if store.total is None:
        return [line(Span(" DEAD LETTERS ", "title"), Span("? not read yet", "dim"))]
    limit = "" if store.limit_bytes is None else f" of {size(store.limit_bytes)}"
    now = snapshot.taken_at_ms
    facts = [Span(" DEAD LETTERS ", "title"), Span(count(store.total), "warn" if store.total else "ok")]
    if store.total:
        oldest = None if store.oldest_at_ms is None else (now - store.oldest_at_ms) / 1000
        grow = store.growth_per_min.now
        facts.append(Span(f" · oldest {duration(oldest)} · {'?' if grow is None else f'{grow:+,.0f}'}/min"))
        facts.append(Span(f" · {size(store.size_bytes)}{limit}"))
    elif store.last_at_ms is not None:
        facts.append(Span(f" · last one {duration((now - store.last_at_ms) / 1000)} ago"))
    if stale(store.age_s):
        facts.append(Span(f" · {duration(store.age_s)} old", "warn"))
    rows = [tuple(facts)]
    if store.state == "full":
        rows += [line("  ", Span("FULL: new events are not taken", "error")), *_detail(store.detail, store.next_step)]
    for group in store.groups[:6]:
        word = state_word(group.state, group.err_class)
        state = Span(fit(word, 13), ROLES.get(word, ""))
        rows.append(line("  ", state, fit(count(group.count), 9, "right"), f"  {fit(group.label, max(width - 27, 8))}"))
    return rows


_STORE_WORDS = {
    "off": "off",
    "locked": "LOCKED",
    "corrupt": "DAMAGED",
    "missing": "NOT THERE",
    "full": "FULL",
    "ok": "ok",
}


def _detail(detail: str | None, next_step: str | None) -> list[Line]:
    rows = [line("  ", foreign(detail, 300))] if detail else []
    return [*rows, line("  → ", foreign(next_step, 300, "info"))] if next_step else rows


def topics(snapshot: EngineSnapshot, width: int) -> list[Line]:
    """What the cluster does, also where nothing is produced from here."""
    cluster = snapshot.cluster
    trend_width = 8 if width >= 70 else 0
    name_width = max(min(width - 42 - trend_width, 40), 18)
    old = bool(cluster.topics) and (stale(cluster.age_s) or cluster.connection.state == "disconnected")
    title = f"TOPICS {duration(cluster.age_s)} old" if old else "TOPICS"
    head = f" {title:<{name_width + 2}}{'msg/s':>7}  {'':{trend_width}}  {'partitions':<11} behind"
    rows = [line(Span(fit(head, width), "warn" if old else "title"))]
    if not cluster.topics:
        rows.append(line(Span("  ? not read yet" if cluster.age_s is None else "  none", "dim")))
    for topic in cluster.topics:
        trend = fit(f"{duration(cluster.age_s)} old", 8) if old else sparkline(topic.per_s.history, 8)
        bad = topic.under_replicated or 0
        state = "ok" if topic.under_replicated == 0 else f"{bad} under" if bad else "?"
        row = line(f"  {fit(topic.name, name_width)} ", fit(rate(topic.per_s.now), 7, "right"), "  ")
        row += line(Span(trend[:trend_width], "warn" if old else "trend"), "  ")
        row += line(fit(count(topic.partitions), 3, "right"), " ", Span(fit(state, 7), "warn" if bad else ""), " ")
        rows.append(row + _lag(topic.group, topic.lag, topic.lag_change))
    return rows


def _lag(group: str | None, lag: int | None, change: int | None) -> Line:
    if group is None:
        return ()
    arrow = "" if not change else " ↑" if change > 0 else " ↓"
    return line(foreign(group, 14), " ", Span(count(lag) + arrow, "warn" if change and change > 0 else ""))


def errors(snapshot: EngineSnapshot, width: int) -> list[Line]:
    """The last errors: what each means and what to do."""
    rows = [line(Span(" LAST ERRORS", "title"))]
    if not snapshot.errors and snapshot.producer.age_s is None:
        return [line(Span(" LAST ERRORS ", "title"), Span("? not known yet", "dim"))]
    if not snapshot.errors:
        return [line(Span(" LAST ERRORS ", "title"), Span("none", "ok"))]
    for error in snapshot.errors[:5]:
        times = "" if error.count == 1 else f"{count(error.count)}× "
        rows.append(
            line(
                f"  {clock(error.at_ms)[:-1]}  {times}", foreign(error.name, 60, "error"), " ", foreign(error.where, 60)
            )
        )
        rows += [line(f"  {'':8}  {text}") for text in wrap(error.next_step or error.meaning, width - 12)]
    return rows


def brokers(snapshot: EngineSnapshot, width: int) -> list[Line]:
    """Each broker with the state that the client sees."""
    rows = [line(Span(" BROKERS", "title"))]
    gone = snapshot.cluster.connection.state == "disconnected"
    for broker in snapshot.cluster.brokers:
        state = f"was {broker.state}" if gone else broker.state
        role: Role = "ok" if broker.state == "UP" and not gone else "warn"
        rows.append(
            line(f"  {broker.node_id:>4}  {fit(broker.address, max(width - 24, 12))} ", foreign(state, 14, role))
        )
    return rows if snapshot.cluster.brokers else []


def certificates(snapshot: EngineSnapshot, width: int) -> list[Line]:
    """Only those that need something."""
    section = snapshot.certificates
    due = [row for row in section.rows if _ends_soon(row)]
    if section.age_s is None:
        return []
    if not due:
        words = f"{len(section.rows)} ok" if section.rows else "none here"
        return [line(Span(" CERTIFICATES ", "title"), Span(words, "ok" if section.rows else "dim"))]
    rows = []
    for number, row in enumerate(due[:3]):
        days = row.days_left or 0
        text = f"expires in {days:.0f} d" if days > 0 else f"EXPIRED {-days:.0f} d ago"
        start = " CERTIFICATES " if number == 0 else " " * 14
        role: Role = "error" if row.alarm in {"critical", "over"} or (row.left is None and days < 7) else "warn"
        rows.append(
            line(Span(start, "title"), foreign(row.name, 40), " ", Span(text, role), " · ", foreign(row.status, 30))
        )
    return rows


def _ends_soon(row: CertificateRow) -> bool:
    """By the share of its life where that is known: two weeks are all that some certificates ever have."""
    if row.left is not None:
        return bool(row.alarm)
    return row.days_left is not None and row.days_left < SOON_DAYS


def settings(snapshot: EngineSnapshot, width: int) -> list[Line]:
    """Settings in force, with where each came from."""
    rows = [
        line(f"  {fit(row.key, 26)} {fit(row.value, max(width - 52, 8))} ", foreign(row.origin, 22, "dim"))
        for row in snapshot.session.settings
    ]
    return [line(Span(" SETTINGS", "title")), *rows] if rows else []
