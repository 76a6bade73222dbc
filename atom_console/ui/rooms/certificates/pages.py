"""One certificate, and what a verification found, as lines: pure functions."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Final

from atom_console.engine.certificate_desk import CertificateDetail
from atom_console.pki.findings import Finding, Severity
from atom_console.pki.verify import Report
from atom_console.times import format_ms
from atom_console.ui.drawing import Line, Role, Span, foreign, line, wrap

_LABEL: Final = 14
_MARKS: Final[dict[Severity, tuple[str, Role]]] = {
    Severity.ERROR: ("✗", "error"),
    Severity.WARNING: ("!", "warn"),
    Severity.INFO: ("i", "info"),
}


def detail_lines(detail: CertificateDetail, now: datetime, width: int) -> list[Line]:
    """Everything about one certificate, then its versions."""
    entry = detail.entry
    key = str(entry.key) if entry.key else f"not on this host: it was {entry.origin}"
    fields = {
        "state": f"{entry.state(now)}, {entry.days_left(now):.1f} days left, {max(entry.left(now), 0):.0%} of its life",
        "profile": f"{entry.profile} ({entry.kind.value})",
        "subject": entry.subject,
        "names": ", ".join(entry.sans) or "none",
        "issuer": entry.issuer,
        "valid": f"{format_ms(entry.not_before_ms)} to {format_ms(entry.not_after_ms)}",
        "key type": entry.key_type,
        "serial": entry.serial,
        "SHA-256": entry.fingerprint,
        "chain": str(entry.chain),
        "key": key,
    }
    rows: list[Line] = [line("")]
    for label, value in fields.items():
        for number, text in enumerate(wrap(value, max(width - _LABEL - 3, 20), 4)):
            rows.append(line(Span(f"  {label if number == 0 else '':<{_LABEL}}", "dim"), text))
    if len(detail.versions) > 1:
        rows += [line(""), line(Span("  VERSIONS", "title"))]
        rows += [
            line(f"  {version.state(now):<13}", f" until {format_ms(version.not_after_ms)[:10]}  ", version.serial)
            for version in detail.versions
        ]
    return rows


def report_lines(report: Report, width: int) -> list[Line]:
    """The verdict in one sentence, with got and expected; then each finding with its next step."""
    mark = "✓" if report.ok else "✗"
    role: Role = "ok" if report.ok else "error"
    rows: list[Line] = [
        line(Span(f" {mark if number == 0 else ' '} ", role), Span(text, role))
        for number, text in enumerate(wrap(report.sentence, max(width - 4, 20), 4))
    ]
    if report.probe is not None:
        asks = {True: "it asks for a client certificate", False: "it asks for no certificate", None: ""}
        facts = [report.probe.version or "no TLS", report.probe.alpn or "", asks[report.probe.asks]]
        rows.append(line("   ", foreign(" · ".join(fact for fact in facts if fact), 200, "dim")))
    return [*rows, *finding_lines(report.findings, width)]


def finding_lines(findings: Iterable[Finding], width: int) -> list[Line]:
    """Id, subject, what was got and expected; what to do."""
    rows: list[Line] = []
    room = max(width - 6, 20)
    for found in findings:
        mark, role = _MARKS[found.severity]
        rows += [line(""), line(Span(f" {mark} {found.id}", role), " · ", foreign(found.subject, 200))]
        rows += [line("   ", text) for text in wrap(found.message, room, 6)]
        rows += [
            line("   ", "→ " if number == 0 else "  ", Span(text, "info"))
            for number, text in enumerate(wrap(found.next_step, room - 2, 4))
        ]
    return rows


def text_lines(text: str) -> list[Line]:
    """A text of ours that quotes names of others, as it is."""
    return [line(foreign(row, 400)) for row in text.splitlines()]
