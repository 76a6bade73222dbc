"""`docs/certificate-findings.md`, written from the table of rules: `python -m atom_console.pki.findings_page`."""

from __future__ import annotations

import sys

from atom_console.pki.findings import RULES, Severity

_HEAD = """# Certificate findings

`atom-console certs verify`, `certs diagnose`, the certificates room, the Flight room, the overview and `doctor` name
faults by these ids. They are stable: scripts may match on them. The sentence on the screen adds what was found and what
was expected. This page is generated (`python -m atom_console.pki.findings_page`).

A peer's refusal often cannot say more than "one of these": such a finding lists its candidates, and the local checks of
the pair decide between them where they can.
"""

_TITLES = {
    Severity.ERROR: "Errors: the handshake fails, or would",
    Severity.WARNING: "Warnings: it works today",
    Severity.INFO: "Worth knowing",
}


def page() -> str:
    """The whole page as Markdown."""
    parts = [_HEAD]
    for severity, title in _TITLES.items():
        rows = [
            f"| `{rule.id}` | {rule.meaning} | {rule.next_step} |"
            for rule in RULES.values()
            if rule.severity is severity
        ]
        parts.append("\n".join([f"## {title}\n", "| id | what it means | next step |", "|---|---|---|", *rows]) + "\n")
    return "\n".join(parts)


if __name__ == "__main__":
    sys.stdout.write(page())
