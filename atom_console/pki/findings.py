"""Findings: every fault that a certificate, a key, a trust store or a handshake can have, with a stable id each.

`findings.toml` beside this module is the one source of ids; `docs/certificate-findings.md` is generated from it.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from atom_console.safe_text import safe_text


class Severity(StrEnum):
    """How bad a finding is: an error stops the handshake (or would), a warning will, info is worth knowing."""

    ERROR = "error"
    WARNING = "warning"
    INFO = "info"


@dataclass(frozen=True, slots=True)
class Rule:
    """One kind of finding: its id, how bad it is, what it means and what helps in general."""

    id: str
    severity: Severity
    meaning: str
    next_step: str


@dataclass(frozen=True, slots=True)
class Finding:
    """One fault of one thing.

    Attributes:
        id: stable; scripts may match on it.
        severity: error, warning or info.
        subject: what has the fault: a file, a certificate's name, an address.
        message: one sentence with what was found and what was expected.
        next_step: one sentence: what to do.
        candidates: where the evidence cannot tell, the ids that it may be; the sentence says "one of".
    """

    id: str
    severity: Severity
    subject: str
    message: str
    next_step: str
    candidates: tuple[str, ...] = ()


def finding(
    rule_id: str, subject: str, message: str, next_step: str | None = None, *, candidates: Iterable[str] = ()
) -> Finding:
    """A finding of the rule `rule_id`; foreign text in it is made harmless for a terminal."""
    rule = RULES[rule_id]
    step = rule.next_step if next_step is None else next_step
    names = tuple(candidates)
    unknown = [name for name in names if name not in RULES]
    if unknown:
        raise KeyError(unknown[0])
    return Finding(
        rule.id, rule.severity, safe_text(subject, 300), safe_text(message, 1000), safe_text(step, 600), names
    )


def verdict(findings: Iterable[Finding]) -> bool:
    """Whether nothing in them would stop a handshake."""
    return all(found.severity is not Severity.ERROR for found in findings)


def ranked(findings: Iterable[Finding]) -> tuple[Finding, ...]:
    """Errors first, then warnings, then info; the order within a severity is kept, repetitions are dropped."""
    order = list(Severity)
    return tuple(sorted(dict.fromkeys(findings), key=lambda found: order.index(found.severity)))


def _load_rules() -> dict[str, Rule]:
    text = Path(__file__).with_name("findings.toml").read_text(encoding="utf-8")
    return {
        name: Rule(name, Severity(row["severity"]), row["meaning"], row["next_step"])
        for name, row in tomllib.loads(text).items()
    }


RULES = _load_rules()
