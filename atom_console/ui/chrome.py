"""The lines around every room, as pure functions of the snapshot."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from rich.cells import cell_len

from atom_console.engine.snapshot import CertificateSection, ClusterSection, EngineSnapshot
from atom_console.ui.commands import CommandSpec, keys_of, shown_key
from atom_console.ui.drawing import (
    Line,
    Role,
    Span,
    clock,
    count,
    cut_line,
    duration,
    foreign,
    justify,
    line,
    plain,
)

if TYPE_CHECKING:
    from atom_console.engine.commands import Receipt

STALE_AFTER_S = 2.0
"""Live numbers older than this are marked with their age."""

ROOMS: tuple[tuple[str, str, str], ...] = (
    ("1", "overview", "Overview"),
    ("2", "dead-letters", "Dead letters"),
    ("3", "flight", "Flight"),
    ("4", "schemas", "Schemas"),
    ("5", "certificates", "Certificates"),
)


def stale(age_s: float | None) -> bool:
    """True where the values were never read, or too long ago to be taken for the present."""
    return age_s is None or age_s > STALE_AFTER_S


def status_line(snapshot: EngineSnapshot, width: int) -> Line:
    """Profile, cluster, connection with age; badges; UTC clock. A lost connection takes the middle and stays."""
    session, cluster = snapshot.session, snapshot.cluster
    left = [Span(f" {session.word} ", "profile"), Span(" "), foreign(cluster.name or "cluster ?", 30, "strong")]
    left += [Span(" · "), *connection_words(cluster)]
    badges: list[Span] = []
    if snapshot.producer.mode:
        badges.append(Span(snapshot.producer.mode, "info"))
    if (lease := snapshot.dlq.lease) is not None:
        badges.append(foreign(f"LEASE {lease.owner}@{lease.host}", 30, "warn"))
    if session.read_only:
        badges.append(Span("READ-ONLY", "warn"))
    right: list[Span] = []
    for badge in badges:
        right += [badge, Span("  ")]
    return justify(left, [*right, Span(clock(snapshot.taken_at_ms), "dim"), Span(" ")], width)


def connection_words(cluster: ClusterSection) -> list[Span]:
    """`connected · 3 brokers`, or `DISCONNECTED 12 s · data 14 s old · retry in 2 s · refused 10.0.0.7:9093`."""
    link = cluster.connection
    if link.state == "connected":
        words = [Span("connected", "ok")]
        if cluster.brokers:
            up = sum(broker.state == "UP" for broker in cluster.brokers)
            total = len(cluster.brokers)
            some_down = up < total
            text = f"{up} of {total} brokers up" if some_down else f"{total} broker{'s' if total > 1 else ''}"
            words += [Span(" · "), Span(text, "warn" if some_down else "")]
        if stale(cluster.age_s):
            words += [Span(" · "), Span(f"data {duration(cluster.age_s)} old", "warn")]
        return words
    if link.state == "connecting":
        words = [Span("connecting", "warn")]
        if link.since_s is not None:
            words.append(Span(f" for {duration(link.since_s)}", "warn"))
    else:
        words = [Span(f"DISCONNECTED {duration(link.since_s)}", "error")]
        if cluster.age_s is not None:
            words.append(Span(f" · data {duration(cluster.age_s)} old", "error"))
        if link.retry_in_s is not None:
            words.append(Span(f" · retry in {duration(link.retry_in_s)}"))
    if link.reason:
        words += [Span(" · "), foreign(link.reason, 120)]
    if link.address:
        words += [Span(" "), foreign(link.address, 60)]
    return words


def rooms_line(snapshot: EngineSnapshot, active: str, width: int) -> Line:
    """The rooms, the active one in brackets' place (strong and underlined), with a count where something waits."""
    waiting: dict[str, tuple[str, Role]] = {}
    if snapshot.dlq.total is None:
        waiting["dead-letters"] = ("?", "dim")
    elif snapshot.dlq.total:
        waiting["dead-letters"] = (count(snapshot.dlq.total), "warn")
    if (expiry := expiry_words(snapshot.certificates)) is not None:
        waiting["certificates"] = expiry
    roomy = _rooms(waiting, active, " ")
    fits = cell_len(plain(roomy)) <= width
    return cut_line(roomy if fits else _rooms(waiting, active, ""), width)


def _rooms(waiting: Mapping[str, tuple[str, Role]], active: str, pad: str) -> list[Span]:
    """Each room with what waits in it; `pad` stands where the brackets of the active one would."""
    spans: list[Span] = [Span(" ")]
    for key, room, title in ROOMS:
        here = room == active
        spans.append(Span(f"[{key} {title}]" if here else f"{pad}{key} {title}{pad}", "active" if here else ""))
        if room in waiting:
            text, role = waiting[room]
            spans.append(Span(f" {text}", role))
        spans.append(Span(" "))
    return spans


def expiry_words(section: CertificateSection) -> tuple[str, Role] | None:
    """From three tenths of a life on, when the first certificate ends; `!` in the last tenth."""
    alarmed = [row for row in section.rows if row.alarm]
    if not alarmed:
        return None
    over = sum(row.alarm == "over" for row in alarmed)
    if over:
        return f"{over} expired", "error"
    words = f"{duration(min(row.days_left or 0.0 for row in alarmed) * 86_400)} left"
    return (f"{words}!", "error") if any(row.alarm == "critical" for row in alarmed) else (words, "warn")


def receipt_line(receipt: Receipt | None, width: int) -> Line:
    """What the last command did, in the past tense, with its time; it stays until the next one."""
    if receipt is None:
        return ()
    text = receipt.text if receipt.next_step is None else f"{receipt.text} → {receipt.next_step}"
    return justify(
        [Span(" "), foreign(text, 400, "ok" if receipt.ok else "error")],
        [Span(clock(receipt.at_ms), "dim"), Span(" ")],
        width,
    )


def footer_line(
    specs: Sequence[CommandSpec], keymap: Mapping[str, str], width: int, *, read_only: bool = False
) -> Line:
    """Keys of the focus, the narrowest scope first; what does not fit is left out whole, `? help` never."""
    kept = [spec for spec in specs if spec.footer and keys_of(spec, keymap)]
    if read_only:
        kept = [spec for spec in kept if spec.danger == "none"]
    last = [spec for spec in kept if spec.id in {"app.help", "app.quit"}]
    spans: list[Span] = [Span(" ")]
    room = width - 2 - sum(len(plain(_hint(spec, keymap))) for spec in last)
    for spec in kept:
        if spec in last:
            continue
        hint = _hint(spec, keymap)
        if len(plain(hint)) > room:
            break
        spans += hint
        room -= len(plain(hint))
    for spec in last:
        spans += _hint(spec, keymap)
    return cut_line(spans, width)


def _hint(spec: CommandSpec, keymap: Mapping[str, str]) -> Line:
    return line(Span(shown_key(keys_of(spec, keymap)[0]), "key"), f" {spec.title.lower()}  ")
