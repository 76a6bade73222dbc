"""Groups and the state of the store, from the counters."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import apsw

from atom_console.dlq.filters import Filter
from atom_console.dlq.place import Place
from atom_console.dlq.record import OPEN_STATES, Group, Lease, Stats
from atom_console.dlq.walk import Walk


def read_groups(conn: apsw.Connection, wanted: Filter) -> tuple[Group, ...]:
    """Matching records by fingerprint, the most numerous first."""
    where, values = wanted.cohort_where()
    if wanted.ids or wanted.keys or wanted.event_ids or wanted.since is not None or wanted.until is not None:
        chosen = _counted(conn, Walk(conn, wanted, "oldest").seqs(None))
        where = "1"
        values = []
    else:
        chosen = "tally"
        if wanted.states:
            where += f" AND t.state IN ({','.join('?' * len(wanted.states))})"
            values += wanted.states
    query = (
        "SELECT c.fingerprint, t.state, sum(t.n), sum(t.bytes), min(c.first_seen), max(c.last_seen),"  # noqa: S608 -- our own text, values are bound
        " count(DISTINCT coalesce(c.tenant_id, '')), count(DISTINCT coalesce(c.dest_topic, '')), max(c.label),"
        " max(c.err_class), max(c.err_name), max(c.origin), max(c.dest_topic)"
        f" FROM {chosen} t JOIN cohort c ON c.id = t.cohort WHERE t.n > 0 AND {where} GROUP BY 1, 2"
    )
    groups: dict[str, list[tuple[object, ...]]] = {}
    for row in conn.execute(query, values):
        groups.setdefault(str(row[0]), []).append(row)
    many = {mark for mark, rows in groups.items() if len(rows) > 1}
    tenants = _tenants(conn, chosen, where, values, many)
    found = [_group(mark, rows, tenants.get(mark)) for mark, rows in groups.items()]
    return tuple(sorted(found, key=lambda group: (-group.count, group.fingerprint)))


def _tenants(conn: apsw.Connection, chosen: str, where: str, values: list[object], marks: set[str]) -> dict[str, int]:
    """Different tenants of groups whose records are in several states, where the sums by state would count twice."""
    if not marks:
        return {}
    query = (
        "SELECT c.fingerprint, count(DISTINCT coalesce(c.tenant_id, ''))"  # noqa: S608 -- our own text, values are bound
        f" FROM {chosen} t JOIN cohort c ON c.id = t.cohort WHERE t.n > 0 AND {where} GROUP BY 1"
    )
    return {mark: n for mark, n in conn.execute(query, values) if mark in marks}


def _group(mark: str, rows: list[tuple[object, ...]], tenants: int | None) -> Group:
    first = rows[0]
    return Group(
        fingerprint=mark,
        label=str(first[8]),
        err_class=str(first[9]),
        err_name=str(first[10]),
        origin=str(first[11]),
        count=sum(_int(row[2]) for row in rows),
        bytes=sum(_int(row[3]) for row in rows),
        first_seen=min(_int(row[4]) for row in rows),
        last_seen=max(_int(row[5]) for row in rows),
        tenants=_int(first[6]) if tenants is None else tenants,
        topics=max(_int(row[7]) for row in rows),
        topic=None if first[12] is None else str(first[12]),
        states={str(row[1]): _int(row[2]) for row in rows},
    )


def _int(value: object) -> int:
    assert isinstance(value, int)
    return value


def _counted(conn: apsw.Connection, seqs: Iterable[int]) -> str:
    """Matching records summed by cohort and state, as a subquery."""
    sums: dict[tuple[int, str], list[int]] = {}
    for seq in seqs:
        rows: list[Any] = conn.execute("SELECT cohort, state, size_bytes FROM record WHERE seq = ?", (seq,)).fetchall()
        ((cohort, state, size),) = rows
        found = sums.setdefault((cohort, state), [0, 0])
        found[0] += 1
        found[1] += size
    values = ",".join(f"({cohort},'{state}',{n},{size})" for (cohort, state), (n, size) in sums.items())
    return f"(SELECT column1 cohort, column2 state, column3 n, column4 bytes FROM (VALUES {values or '(0,0,0,0)'}))"  # noqa: S608 -- numbers and states of ours


def read_stats(conn: apsw.Connection, place: Place, now_ms: int) -> Stats:
    """The store at a glance, at the Unix time `now_ms`, milliseconds."""
    by_state: dict[str, int] = {}
    by_class: dict[str, int] = {}
    size = 0
    query = (
        "SELECT t.state, c.err_class, sum(t.n), sum(t.bytes) FROM tally t JOIN cohort c ON c.id = t.cohort"
        " WHERE t.n > 0 GROUP BY 1, 2"
    )
    for state, err_class, n, total in conn.execute(query):
        by_state[state] = by_state.get(state, 0) + n
        by_class[err_class] = by_class.get(err_class, 0) + n
        size += total
    still_open = ",".join(f"'{state.value}'" for state in OPEN_STATES)
    oldest = conn.execute(
        "SELECT min((SELECT captured_at FROM record r WHERE r.cohort = t.cohort AND r.state = t.state"  # noqa: S608 -- our own text, values are bound
        f" ORDER BY seq LIMIT 1)) FROM tally t WHERE t.n > 0 AND t.state IN ({still_open})"
    ).get
    return Stats(
        total=sum(by_state.values()),
        depth=sum(by_state.get(state.value, 0) for state in OPEN_STATES),
        by_state=by_state,
        by_class=by_class,
        bytes=size,
        oldest_at=oldest,
        growth_per_s=_growth(conn, now_ms),
        journal=int(conn.execute("SELECT count(*) FROM journal").get),
        file_bytes=sum(_size(Path(f"{place.database}{suffix}")) for suffix in ("", "-wal")),
        free_bytes=place.free_bytes() if place.root.exists() else 0,
        leases=tuple(
            Lease(*row)
            for row in conn.execute(
                "SELECT name, owner, host, pid, purpose, acquired_at, heartbeat_at, fencing FROM lease ORDER BY name"
            )
        ),
    )


def _growth(conn: apsw.Connection, now_ms: int) -> float:
    """Arrivals a second over the last 60 s: this minute, and the share of the one before that lies within them."""
    minute = now_ms // 60_000
    found = dict(conn.execute("SELECT minute, sum(n) FROM arrival WHERE minute >= ? GROUP BY 1", (minute - 1,)))
    part = (now_ms % 60_000) / 60_000
    return float(found.get(minute, 0) + found.get(minute - 1, 0) * (1 - part)) / 60


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0
