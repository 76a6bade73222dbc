"""Counters against a recount: `check` finds a difference, `rebuild` makes them anew from the records."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    import apsw

_RECOUNT: Final = "SELECT cohort, state, count(*) AS n, sum(size_bytes) AS bytes FROM record GROUP BY cohort, state"


def differences(conn: apsw.Connection, limit: int = 20) -> list[str]:
    """One sentence for each counter that is wrong; empty when all hold."""
    query = (
        f"WITH real AS ({_RECOUNT}), kept AS (SELECT * FROM tally WHERE n > 0 OR bytes > 0)"  # noqa: S608 -- our own text
        " SELECT coalesce(r.cohort, k.cohort), coalesce(r.state, k.state), r.n, k.n, r.bytes, k.bytes"
        " FROM real r FULL JOIN kept k ON k.cohort = r.cohort AND k.state = r.state"
        " WHERE r.n IS NOT k.n OR r.bytes IS NOT k.bytes LIMIT ?"
    )
    return [
        f"cohort {cohort}, {state}: counted {kept or 0} records of {kept_size or 0} bytes,"
        f" there are {n or 0} of {size or 0}"
        for cohort, state, n, kept, size, kept_size in conn.execute(query, (limit,))
    ]


def rebuild(conn: apsw.Connection) -> None:
    """Make the counters anew, inside the caller's transaction. Arrivals lose those that were purged since."""
    conn.execute("DELETE FROM tally")
    conn.execute(f"INSERT INTO tally {_RECOUNT}")
    conn.execute("DELETE FROM arrival")
    conn.execute(
        "INSERT INTO arrival SELECT r.captured_at / 60000, c.fingerprint, count(*), min(r.seq), max(r.seq)"
        " FROM record r JOIN cohort c ON c.id = r.cohort GROUP BY 1, 2"
    )
    conn.execute("DELETE FROM lookup")
    conn.execute("UPDATE meta SET value = 0 WHERE name = 'lookup_through'")
