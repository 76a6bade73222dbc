"""Retention: replayed and discarded records go for good after their time; the audit keeps saying that they were."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from atom_console.dlq import audit
from atom_console.dlq.ids import event_hash, id_text
from atom_console.dlq.times import now_ms

if TYPE_CHECKING:
    import apsw

    from atom_console.dlq.store import Store

_AT_ONCE: Final = 2_000
_DAY_MS: Final = 86_400_000


@dataclass(frozen=True, slots=True)
class PurgeReport:
    """What went, or would go: records with their bytes, and ended runs."""

    records: int
    bytes: int
    runs: int


def purge(store: Store, retain_days: float, *, dry_run: bool = False, at_ms: int | None = None) -> PurgeReport:
    """Delete records that were replayed or discarded longer ago than `retain_days`, and runs that ended before then.

    Args:
        dry_run: only count.
        at_ms: the present, Unix milliseconds; by default the clock's.

    Raises:
        StoreUnavailableError: the store cannot be written.
    """
    before = (now_ms() if at_ms is None else at_ms) - round(retain_days * _DAY_MS)
    if dry_run:
        return store.run(lambda conn: _count(conn, before))
    records = size = 0
    after: int | None = 0
    while after is not None:
        done, freed, after = store.run(lambda conn, at=after: _purge_some(conn, at, before, retain_days))  # type: ignore[misc]  # mypy cannot infer a lambda with a default
        records, size = records + done, size + freed
    runs = store.run(lambda conn: _purge_runs(conn, before))
    return PurgeReport(records, size, runs)


_GONE: Final = " FROM record WHERE seq > ? AND state IN ('replayed', 'discarded') AND state_at < ?"
_COUNT: Final = "SELECT count(*), coalesce(sum(size_bytes), 0)" + _GONE
_SOME: Final = "SELECT seq, id, key_hash, event_id, size_bytes, state" + _GONE + " ORDER BY seq LIMIT ?"
_ENDED: Final = (
    " FROM run WHERE state IN ('finished', 'cancelled', 'failed') AND ended_at < ?"
    " AND NOT EXISTS (SELECT 1 FROM replay_window w WHERE w.run_id = run.id AND w.closed_at IS NULL)"
)
_ENDED_RUNS: Final = "SELECT count(*)" + _ENDED
_DELETE_WINDOWS: Final = f"DELETE FROM replay_window WHERE run_id IN (SELECT id{_ENDED})"  # noqa: S608 -- our own text
_DELETE_RUNS: Final = "DELETE" + _ENDED


def _count(conn: apsw.Connection, before: int) -> PurgeReport:
    found: Any = conn.execute(_COUNT, (0, before)).fetchone()
    runs: Any = conn.execute(_ENDED_RUNS, (before,)).get
    return PurgeReport(found[0], found[1], runs)


def _purge_some(conn: apsw.Connection, after: int, before: int, retain_days: float) -> tuple[int, int, int | None]:
    """(records, bytes, where to go on, None at the end)."""
    rows: list[Any] = conn.execute(_SOME, (after, before, _AT_ONCE)).fetchall()
    if not rows:
        return 0, 0, None
    lookups = [(key, seq) for seq, _, key, _, _, _ in rows if key is not None]
    lookups += [(event_hash(event), seq) for seq, _, _, event, _, _ in rows if event is not None]
    conn.executemany("DELETE FROM lookup WHERE hash = ? AND seq = ?", lookups)
    conn.executemany("DELETE FROM record WHERE seq = ?", ((row[0],) for row in rows))
    audit.append(
        conn,
        actor=audit.present_actor(),
        at=now_ms(),
        action="purge",
        subject=f"{len(rows)} records",
        records=len(rows),
        before_sha=audit.digest([(id_text(row[1]), row[5]) for row in rows]),
        reason=f"replayed or discarded more than {retain_days:g} days ago",
        seqs=(row[0] for row in rows),
    )
    return len(rows), sum(row[4] for row in rows), rows[-1][0] if len(rows) == _AT_ONCE else None


def _purge_runs(conn: apsw.Connection, before: int) -> int:
    conn.execute(_DELETE_WINDOWS, (before,))
    conn.execute(_DELETE_RUNS, (before,))
    runs = conn.changes()
    conn.execute("PRAGMA incremental_vacuum(2000)")
    return runs
