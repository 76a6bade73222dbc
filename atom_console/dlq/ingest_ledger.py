"""What the store knows of a DLQ topic: how far it has been read, and the one transaction that moves it on."""

from __future__ import annotations

import time
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from atom_console.dlq.columns import Columns
from atom_console.dlq.ids import id_bytes
from atom_console.dlq.insert import Cohorts, Prepared, insert_records
from atom_console.dlq.provenance import Places, source_number
from atom_console.dlq.record import Provenance

if TYPE_CHECKING:
    import apsw

    from atom_console.dlq.record import NewRecord
    from atom_console.dlq.store import Store
    from atom_console.kafka.cluster_view import Watermark


@dataclass(frozen=True, slots=True)
class Plan:
    """What is to be read of one topic.

    Attributes:
        ranges: partition → (first offset, offset behind the last).
        skipped: offsets that the broker deleted before they were ever read, by partition.
        made_again: the topic was deleted and made again since the last time; it is read from its beginning.
    """

    ranges: Mapping[int, tuple[int, int]]
    skipped: Mapping[int, int]
    made_again: bool


class Batch:
    """Records of one read, made into rows before the transaction begins.

    Args:
        records: in the order of their partitions.
        spans: partition → (first offset, the offset to go on from); may name partitions without a record.
    """

    __slots__ = ("prepared", "records", "spans")

    def __init__(self, records: list[NewRecord], spans: Mapping[int, tuple[int, int]]) -> None:
        self.records, self.spans = records, spans
        self.prepared: tuple[Prepared, Places] | None = None
        if records and not any(record.id for record in records):
            places = Places([record.provenance or Provenance() for record in records])
            self.prepared = (Prepared(Columns.of(records), _now_ms()), places)


class Ledger:
    """Positions of one topic of one cluster. Used by one thread at a time.

    Positions move in the transaction that stores the records, so a crash at any moment neither loses nor repeats one.
    """

    def __init__(self, store: Store, cluster_id: str, topic: str, topic_id: str | None) -> None:
        self._store, self._topic_id = store, topic_id
        self._source = (cluster_id, topic)
        self._cohorts = Cohorts()

    def plan(self, marks: Mapping[int, Watermark], *, again: bool) -> Plan:
        """Where to begin, and where to end.

        Args:
            marks: the first and the next offset of each partition, now.
            again: read from the beginning, whatever is known; nothing is stored twice.
        """
        known, other_topic = self._store.run(self._positions)
        made_again = other_topic or any(
            number in marks and offset > marks[number].high for number, offset in known.items()
        )
        if made_again:
            self._store.run(self._forget)
            known = {}
        ranges, skipped = {}, {}
        for number, mark in marks.items():
            start = mark.low if again or number not in known else max(known[number], mark.low)
            if number in known and known[number] < mark.low:
                skipped[number] = mark.low - known[number]
            ranges[number] = (start, mark.high)
        return Plan(ranges, skipped, made_again)

    def take(self, batch: Batch) -> int:
        """Store records and move the positions, in one transaction; how many are new."""

        def work(conn: apsw.Connection) -> int:
            source = self._source_id(conn)
            reason = f"read from {self._source[1]}"
            if batch.prepared is not None and self._unseen(conn, source, batch.spans):
                prepared, places = batch.prepared
                added = prepared.write(conn, self._cohorts, action="ingest", reason=reason)
                places.write(conn, added, [source] * len(added))
            else:
                added = insert_records(
                    conn, batch.records, self._cohorts, now_ms=_now_ms(), action="ingest", reason=reason
                )
            conn.executemany(
                "INSERT INTO ingest_position VALUES (?, ?, ?, ?) ON CONFLICT DO UPDATE SET"
                " next_offset = max(next_offset, excluded.next_offset), topic_id = excluded.topic_id",
                ((source, number, beyond, self._topic_id) for number, (_, beyond) in batch.spans.items()),
            )
            return len(added)

        try:
            added = self._store.run(work)
        except BaseException:
            self._cohorts.rolled_back()
            raise
        self._cohorts.committed()
        return added

    def _unseen(self, conn: apsw.Connection, source: int, spans: Mapping[int, tuple[int, int]]) -> bool:
        """Whether the store cannot hold anything of these offsets: they begin at the position, or nothing came yet."""
        known, other_topic = self._positions(conn)
        if other_topic:
            return False
        anything = "SELECT 1 FROM provenance WHERE source = ? AND partition = ? LIMIT 1"
        return all(
            first >= known[number] if number in known else conn.execute(anything, (source, number)).get is None
            for number, (first, _) in spans.items()
        )

    def loops(self, parents: Collection[str]) -> dict[str, int]:
        """Of the records that the store holds: how often each had come back itself."""
        if not parents:
            return {}
        query = "SELECT coalesce(p.loops, 0) FROM record r LEFT JOIN provenance p ON p.seq = r.seq WHERE r.id = ?"

        def work(conn: apsw.Connection) -> dict[str, int]:
            found = {parent: conn.execute(query, (id_bytes(parent),)).get for parent in parents}
            return {parent: int(loops) for parent, loops in found.items() if loops is not None}

        return self._store.run(work)

    def _positions(self, conn: apsw.Connection) -> tuple[dict[int, int], bool]:
        """Known positions, and whether they belong to another topic of this name."""
        query = "SELECT partition, next_offset, topic_id FROM ingest_position WHERE source = ?"
        rows = list(conn.execute(query, (self._source_id(conn),)))
        other = any(one is not None and self._topic_id is not None and one != self._topic_id for _, _, one in rows)
        return {number: offset for number, offset, _ in rows}, other

    def _forget(self, conn: apsw.Connection) -> None:
        """Offsets begin anew: the places of the old topic's records no longer say that one is known."""
        source = self._source_id(conn)
        conn.execute("UPDATE provenance SET source = NULL WHERE source = ?", (source,))
        conn.execute("DELETE FROM ingest_position WHERE source = ?", (source,))

    def _source_id(self, conn: apsw.Connection) -> int:
        return source_number(conn, *self._source)


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
