"""Looks for records that the live producer gave up on: a time-out does not say that the broker has not got them.

They carry no id of ours, so a copy is told by its bytes: key and value where the event has an id of its own, and
headers and timestamp too where it has none. Each copy on the topic stands for one record, the earliest first.
"""

from __future__ import annotations

import hashlib
import json
from collections import deque
from collections.abc import Iterable
from threading import Event
from typing import TYPE_CHECKING, Any, Final

from atom_console.dlq import audit, lease
from atom_console.dlq.headers import Headers, decode_headers, encode_headers
from atom_console.dlq.record import State
from atom_console.dlq.replay.items import id_of
from atom_console.dlq.replay.reading import reading
from atom_console.dlq.replay.windows import Clerk, Landed, write_attempts
from atom_console.dlq.states import settle
from atom_console.dlq.times import now_ms
from atom_console.kafka.cluster import ClusterReader
from atom_console.kafka.read_back import read_range

if TYPE_CHECKING:
    import apsw

    from atom_console.config import KafkaSettings
    from atom_console.dlq.replay.targets import Targets
    from atom_console.dlq.store import Store

_QUERY: Final = (
    "SELECT r.seq, c.dest_topic, p.key, p.value, p.headers, r.event_id, r.orig_timestamp, r.captured_at"
    " FROM run_item i JOIN record r ON r.seq = i.seq JOIN cohort c ON c.id = r.cohort JOIN payload p ON p.seq = r.seq"
    " WHERE i.run_id = ? AND i.held IS NULL AND r.state = 'ready' AND r.maybe_persisted AND r.attempts = 0"
    " AND r.rev = 0 ORDER BY i.position"
)

Print = bytes


class Sought:
    """What is looked for in one topic, by fingerprint of its bytes; `since` is the earliest time, Unix milliseconds."""

    def __init__(self) -> None:
        self.by_event: dict[Print, deque[int]] = {}
        self.by_record: dict[Print, deque[int]] = {}
        self.since = 1 << 62

    def add(self, seq: int, key: Any, value: Any, headers: Headers, event_id: Any, stamp: Any, since: int) -> None:
        """One record."""
        if event_id is not None and value is not None:
            self.by_event.setdefault(_of_event(key, value), deque()).append(seq)
        else:
            self.by_record.setdefault(_of_record(key, value, headers, stamp), deque()).append(seq)
        self.since = min(self.since, since if stamp is None else min(since, stamp))

    def match(self, message: Any) -> int | None:
        """The record that this message is a copy of, or None. Copies made by a replay are none."""
        headers = message.headers()
        if id_of(headers) is not None:
            return None
        found = self.by_event.get(_of_event(message.key(), message.value() or b"")) if self.by_event else None
        if not found and self.by_record:
            kind, stamp = message.timestamp()
            found = self.by_record.get(
                _of_record(message.key(), message.value(), tuple(headers or ()), stamp if kind else None)
            )
        return found.popleft() if found else None


def precheck(store: Store, kafka: KafkaSettings, clerk: Clerk, targets: Targets, *, stop: Event | None = None) -> int:
    """Mark the records that are found as replayed; how many.

    Raises:
        BrokerUnreachableError, TopicRefusedError, LostOffsetsError: nobody could look; nothing is changed.
    """
    timeout_ms = kafka.message_timeout_ms
    with reading(store.directory) as conn:
        sought = _sought(conn.execute(_QUERY, (clerk.run_id,)), timeout_ms)
    total = 0
    for topic, wanted in sought.items():
        landed: list[Landed] = []
        with ClusterReader(kafka) as cluster:
            lows = cluster.offsets_at(topic, wanted.since)
            marks = cluster.watermarks([topic]).by_topic[topic]
        ranges = {
            number: (max(low or 0, mark.low), mark.high)
            for number, low in lows.items()
            if (mark := marks.get(number)) is not None
        }
        for messages in read_range(kafka, topic, ranges, stop=stop):
            for message in messages:
                seq = wanted.match(message)
                if seq is not None:
                    landed.append((seq, message.partition(), message.offset()))
        if landed:
            store.run(lambda conn, rows=landed, to=topic: _write(conn, clerk, rows, to))  # type: ignore[misc]  # mypy cannot infer a lambda with defaults
        total += len(landed)
    return total


def _sought(rows: Iterable[Any], timeout_ms: int) -> dict[str, Sought]:
    found: dict[str, Sought] = {}
    for seq, topic, key, value, headers, event_id, stamp, captured_at in rows:
        found.setdefault(topic, Sought()).add(
            seq, key, value, decode_headers(headers), event_id, stamp, captured_at - 2 * timeout_ms
        )
    return found


def _write(conn: apsw.Connection, clerk: Clerk, landed: list[Landed], topic: str) -> None:
    at = now_ms()
    lease.beat(conn, clerk.fencing, at)
    why = f"run {clerk.run_name}: it was on the topic already"
    seqs = [row[0] for row in landed]
    settle(conn, seqs, State.REPLAYED, reason=why, run_id=clerk.run_id, now_ms=at, sent=False)
    write_attempts(conn, json.dumps(landed), "found", clerk.run_id, None, (at, at))
    conn.execute(
        "UPDATE run SET replayed = replayed + ?, duplicates_avoided = duplicates_avoided + ? WHERE id = ?",
        (len(landed), len(landed), clerk.run_id),
    )
    audit.append(
        conn,
        actor=audit.present_actor(),
        at=at,
        action="replay",
        subject=f"run {clerk.run_name}: {len(landed)} records found on {topic}",
        records=len(landed),
        after_sha=audit.digest(landed),
        reason="looked for before sending",
        seqs=seqs,
    )


def _of_event(key: bytes | None, value: bytes) -> Print:
    sha = hashlib.blake2b(b"" if key is None else key, digest_size=16, person=b"0" if key is None else b"1")
    sha.update(b"\0")
    sha.update(value)
    return sha.digest()


def _of_record(key: bytes | None, value: bytes | None, headers: Headers, stamp: int | None) -> Print:
    body = encode_headers((("", key), ("", value), *headers, ("", b"%d" % (-1 if stamp is None else stamp))))
    return hashlib.blake2b(body, digest_size=16).digest()
