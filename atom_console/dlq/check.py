"""`dlq check`: the file, the counters against a recount, every record and its checksum, the audit chain."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from atom_console.dlq import audit, counters, database
from atom_console.dlq.headers import payload_digest
from atom_console.dlq.ids import id_text

if TYPE_CHECKING:
    import apsw

_MOST_FINDINGS: Final = 20


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that does not hold: in which part (`file`, `counters`, `records`, `payloads`, `audit`), and what."""

    part: str
    what: str


@dataclass(frozen=True, slots=True)
class CheckReport:
    """What `check` looked at and found.

    Attributes:
        records: records in the store; payloads: payloads and revisions whose checksum was computed again;
            audit_rows: rows of the chain that hold.
        first_bad: the first row of the audit that does not hold, or None.
        findings: what does not hold, the first 20 of each part.
    """

    records: int
    payloads: int
    audit_rows: int
    first_bad: int | None
    findings: tuple[Finding, ...]

    @property
    def ok(self) -> bool:
        """Everything holds."""
        return not self.findings


def check(conn: apsw.Connection, *, payloads: bool = True) -> CheckReport:
    """Check the whole store, in one read transaction of `conn`.

    Args:
        payloads: compute every checksum again, which reads every byte.
    """
    findings: list[Finding] = []
    seen = records = rows = 0
    first_bad = None
    conn.execute("BEGIN")
    try:
        fault = database.quick_check(conn, budget_s=None)
        if fault is not None:
            findings.append(Finding("file", fault))
        findings += (Finding("counters", text) for text in counters.differences(conn, _MOST_FINDINGS))
        findings += _orphans(conn)
        if payloads:
            seen, broken = _broken_payloads(conn)
            findings += broken
        chain = audit.verify(conn)
        rows, first_bad = chain.rows, chain.first_bad
        if not chain.ok:
            findings.append(Finding("audit", chain.why))
        records = int(conn.execute("SELECT count(*) FROM record").get)
    except (*database.DAMAGE, UnicodeDecodeError) as error:
        findings.append(Finding("file", f"the check could not go on: {error}"))
    finally:
        conn.execute("COMMIT")
    return CheckReport(records, seen, rows, first_bad, tuple(findings))


def repair_counters(conn: apsw.Connection) -> None:
    """Make the counters anew, inside the caller's transaction (`Store.run(repair_counters)`)."""
    counters.rebuild(conn)


_ORPHANS: Final = (
    ("records without a payload", "SELECT id FROM record WHERE seq NOT IN (SELECT seq FROM payload)"),
    ("records without a cohort", "SELECT id FROM record WHERE cohort NOT IN (SELECT id FROM cohort)"),
    ("payloads without a record", "SELECT seq FROM payload WHERE seq NOT IN (SELECT seq FROM record)"),
    ("revisions without a record", "SELECT seq FROM revision WHERE seq NOT IN (SELECT seq FROM record)"),
)


def _orphans(conn: apsw.Connection) -> list[Finding]:
    findings = []
    for what, query in _ORPHANS:
        found = [row[0] for row in conn.execute(f"{query} LIMIT {_MOST_FINDINGS}")]
        if found:
            names = ", ".join(id_text(name) if isinstance(name, bytes) else str(name) for name in found)
            findings.append(Finding("records", f"{what}: {names}"))
    return findings


def _broken_payloads(conn: apsw.Connection) -> tuple[int, list[Finding]]:
    """Recompute every checksum; how many, and which do not hold."""
    query = (
        "SELECT r.id, 0, p.key, p.value, p.headers, p.sha256 FROM payload p JOIN record r ON r.seq = p.seq"
        " UNION ALL SELECT r.id, v.rev, v.key, v.value, v.headers, v.sha256 FROM revision v JOIN record r"
        " ON r.seq = v.seq"
    )
    count = 0
    broken: list[Finding] = []
    rows: Iterable[Any] = conn.execute(query)
    for raw_id, rev, key, value, headers, sha in rows:
        count += 1
        if payload_digest(key, value, headers) != sha and len(broken) < _MOST_FINDINGS:
            broken.append(Finding("payloads", f"record {id_text(raw_id)}, revision {rev}: the checksum does not hold"))
    return count, broken
