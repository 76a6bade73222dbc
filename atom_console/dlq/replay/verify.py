"""The end of a run: every copy on the topics is counted, so that `0 lost, 0 duplicates` is seen and not believed."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from threading import Event
from typing import TYPE_CHECKING, Any

from atom_console.dlq.replay.items import id_header
from atom_console.dlq.replay.readback import find

if TYPE_CHECKING:
    import apsw

    from atom_console.config import KafkaSettings


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the count found.

    Attributes:
        counted: records that should be there once.
        lost: of these, without a copy; duplicates: copies too many.
        doubts: why the count does not prove it; empty where it does.
        lost_ids, duplicate_ids: the first ten of each.
        read: records read.
    """

    counted: int
    lost: int
    duplicates: int
    doubts: tuple[str, ...]
    lost_ids: tuple[str, ...]
    duplicate_ids: tuple[str, ...]
    read: int

    @property
    def proven(self) -> bool:
        """Everything was read, and each record is there once."""
        return not self.doubts and not self.lost and not self.duplicates

    def sentence(self) -> str:
        """As it is shown and stored."""
        if self.doubts:
            return f"not verified: {'; '.join(self.doubts[:3])}"
        return f"verified: {self.lost} lost, {self.duplicates} duplicates"


def verify(
    kafka: KafkaSettings,
    expected: Mapping[bytes, int],
    lows: Mapping[str, Mapping[int, int]],
    topic_ids: Mapping[str, str | None],
    *,
    stop: Event | None = None,
) -> Verdict:
    """Count the copies of records.

    Args:
        expected: record id (text, as bytes) → 1 where it is said to have arrived, 0 where it is said not to.
        lows: from where on copies can be.

    Raises:
        BrokerUnreachableError: no broker answered.
    """
    found = find(kafka, lows, topic_ids, expected, stop=stop)
    lost = [name.decode() for name, copies in expected.items() if copies and name not in found.places]
    doubled = [name.decode() for name in found.more]
    return Verdict(
        counted=sum(expected.values()),
        lost=len(lost),
        duplicates=found.more.total(),
        doubts=tuple(doubt.what for doubt in found.doubts),
        lost_ids=tuple(lost[:10]),
        duplicate_ids=tuple(doubled[:10]),
        read=found.read,
    )


def expectations(
    conn: apsw.Connection, run_id: int
) -> tuple[dict[bytes, int], dict[str, dict[int, int]], dict[str, str | None]]:
    """(what a run says arrived, from which offsets on, topic ids), as `verify` wants them."""
    query = (
        "SELECT r.id FROM run_item i JOIN record r ON r.seq = i.seq"
        " WHERE i.run_id = ? AND r.run_id = i.run_id AND r.state = 'replayed' AND r.attempts > 0"
    )
    expected = {id_header(row[0]): 1 for row in _rows(conn, query, run_id)}
    lows: dict[str, dict[int, int]] = {}
    ids: dict[str, str | None] = {}
    for text, topic_ids in _rows(
        conn, "SELECT lows, topic_ids FROM replay_window WHERE run_id = ? ORDER BY number LIMIT 1", run_id
    ):
        lows = {topic: {int(p): low for p, low in marks.items()} for topic, marks in json.loads(text).items()}
        ids = json.loads(topic_ids)
    return expected, lows, ids


def _rows(conn: apsw.Connection, query: str, run_id: int) -> list[Any]:
    return list(conn.execute(query, (run_id,)))
