"""Lives, states and notices of certificates as text: pure functions of the snapshot."""

from __future__ import annotations

from math import floor

from atom_console.engine.snapshot import CertificateRow, CertificateSection
from atom_console.ui.drawing import Line, Role, Span, bar, duration, foreign, line

BAR = 11
_DAY_S = 86_400


def days_text(days: float | None) -> str:
    """Whole days that are left: `54`, `<1`, `0` for what is over, `?`."""
    if days is None:
        return "?"
    return "<1" if 0 < days < 1 else str(max(floor(days), 0))


def life_text(row: CertificateRow) -> str:
    """The share of its life that is left as a bar, and the days."""
    drawn = bar(max(row.left, 0.0) if row.left is not None else None, 1.0, BAR)
    return f"{drawn} {days_text(row.days_left):>5}"


def life_role(row: CertificateRow) -> Role:
    """Red for the last tenth, yellow below three tenths; the words say it too."""
    if row.status == "expired" or row.alarm in {"critical", "over"}:
        return "error"
    if row.status in {"renew now", "not yet valid"} or row.alarm == "soon":
        return "warn"
    return "ok" if row.status == "ok" else ""


def about_the_ca(section: CertificateSection) -> list[Span]:
    """Who signs, where the root's key is, and a rotation under way."""
    if section.age_s is None:
        return [Span(" · not read yet", "dim")]
    if section.issuer is None:
        return [Span(" · no CA here", "dim")]
    spans = [Span(" · issuer "), foreign(section.issuer, 40)]
    if section.root_key_here is not None:
        spans.append(Span(" · root's key here" if section.root_key_here else " · root offline"))
    if section.rotation_step is not None:
        spans.append(Span(f" · rotation: step {section.rotation_step} of 3 done", "warn"))
    return spans


def next_expiry(section: CertificateSection) -> Line:
    """When the first certificate that is still valid ends; how many are over stands in the line of rooms."""
    alive = [row.days_left for row in section.rows if row.days_left is not None and row.days_left > 0]
    return line(f"next expiry {duration(min(alive) * _DAY_S)}") if alive else ()


def nothing_here(section: CertificateSection, query: str) -> list[Line]:
    """What stands where rows would."""
    if query:
        return [
            line(""),
            line("  Nothing matches ", foreign(query, 100, "strong"), "."),
            line(Span("  esc clears the filter", "info")),
        ]
    if section.age_s is None:
        return [line(""), line(Span("  Reading…", "dim"))]
    return [
        line(""),
        line("  No certificates were issued here."),
        line("  ", foreign(section.directory or "", 200, "dim")),
        line(""),
        line("  → ", Span("atom-console certs init makes a root, an issuing CA and what this host needs", "info")),
    ]


def unreadable(section: CertificateSection) -> list[Line]:
    """Lines above the list where the inventory cannot be read; the rows below are then the last that were."""
    if section.detail is None:
        return []
    rows = [line(" ", Span("NOT READ", "error"), " · ", foreign(section.detail, 400))]
    if section.rows:
        rows.append(line(Span(f" what follows was read {duration(section.age_s)} ago", "warn")))
    if section.next_step:
        rows.append(line(" → ", foreign(section.next_step, 300, "info")))
    return rows
