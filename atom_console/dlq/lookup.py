"""Fills the table `lookup` behind the writer, in sorted batches: random keys cost most when they come one by one."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Final

from atom_console.dlq.ids import event_hash

if TYPE_CHECKING:
    import apsw

_STEP: Final = 2_000


def catch_up(conn: apsw.Connection) -> bool:
    """Index the next records inside the caller's transaction; whether more are left."""
    through = int(conn.execute("SELECT value FROM meta WHERE name = 'lookup_through'").get)
    query = "SELECT seq, key_hash, event_id FROM record WHERE seq > ? ORDER BY seq LIMIT ?"
    rows = conn.execute(query, (through, _STEP)).fetchall()
    if not rows:
        return False
    pairs: list[tuple[int, int]] = []
    for seq, key, event_id in rows:
        if key is not None:
            pairs.append((key, seq))  # type: ignore[arg-type]  # the columns of the query
        if event_id is not None:
            pairs.append((event_hash(event_id), seq))  # type: ignore[arg-type]
    pairs.sort()
    # One statement, as a row at a time would ask for the interpreter lock between any two.
    wanted = "INSERT OR IGNORE INTO lookup SELECT value ->> 0, value ->> 1 FROM json_each(?)"
    conn.execute(wanted, (json.dumps(pairs),))
    conn.execute("UPDATE meta SET value = ? WHERE name = 'lookup_through'", (rows[-1][0],))
    return len(rows) == _STEP
