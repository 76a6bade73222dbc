"""The table `provenance`: what only a dead letter read from a DLQ topic, or from a file, has."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from atom_console.dlq.headers import Headers, encode_all, encode_headers
from atom_console.dlq.record import Provenance
from atom_console.dlq.rows import by_row, insert_rows
from atom_console.dlq.stacks import stored_stack
from atom_console.dlq.text import storable, storable_or_none

if TYPE_CHECKING:
    import apsw

_COLUMNS: Final = (
    'seq, source, partition, "offset", timestamp, headers, orig_offset, ts_type, err_stack, warnings, parent_id, loops'
)


class Places:
    """Rows made without the database, so that they can be made while the batch before is being committed."""

    __slots__ = ("_rows",)

    def __init__(self, places: Sequence[Provenance]) -> None:
        unknown: list[None] = [None] * len(places)
        self._rows = by_row(
            unknown,
            unknown,
            [p.partition for p in places],
            [p.offset for p in places],
            [p.timestamp for p in places],
            _blobs([p.headers for p in places]),
            [p.orig_offset for p in places],
            [p.ts_type for p in places],
            [None if p.stack_said else storable_or_none(stored_stack(p.err_stack, p.headers)) for p in places],
            [storable("\n".join(p.warnings)) or None if p.warnings else None for p in places],
            [p.parent_id for p in places],
            [p.loops for p in places],
        )

    def write(self, conn: apsw.Connection, seqs: Sequence[int], sources: Sequence[int | None]) -> None:
        """All rows, inside the caller's transaction.

        Args:
            seqs: of the record of each row.
            sources: of each row, the number of its DLQ topic in `dlq_source`; None where it came from no topic.
        """
        self._rows[0::12] = seqs
        self._rows[1::12] = sources
        insert_rows(conn, "provenance", _COLUMNS, 12, self._rows)


def _blobs(many: list[Headers | None]) -> list[bytes] | list[bytes | None]:
    known = [headers for headers in many if headers is not None]
    if len(known) == len(many):
        return encode_all(known)
    return [None if headers is None else encode_headers(headers) for headers in many]


def source_number(conn: apsw.Connection, cluster_id: str, topic: str) -> int:
    """The number of a DLQ topic; a new row where the store has none."""
    key = (cluster_id, topic)
    conn.execute("INSERT OR IGNORE INTO dlq_source (cluster_id, topic) VALUES (?, ?)", key)
    return int(conn.execute("SELECT id FROM dlq_source WHERE cluster_id = ? AND topic = ?", key).get)
