"""The write-ahead journal of durable mode: an event is committed here before it is accepted, and deleted when the
broker has it.

Each row belongs to the process that accepted it. A process proves that it lives by a lock on its own file, never by its
number, which the system hands out again; rows of a process that does not live become dead letters that the broker may
have.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from atom_console.dlq.audit import present_actor
from atom_console.dlq.headers import decode_headers, encode_headers, payload_digests
from atom_console.dlq.ids import id_bytes, id_text, uuid7
from atom_console.dlq.insert import Cohorts, insert_records, reserve_journal_ids
from atom_console.dlq.normalise import event_facts
from atom_console.dlq.place import Place, lock, open_lock_file
from atom_console.dlq.record import NewRecord, Origin, PayloadKind, State
from atom_console.dlq.text import storable
from atom_console.dlq.troubles import trouble

if TYPE_CHECKING:
    import apsw

    from atom_console.kafka.failure import JournalEntry

_BATCH: Final = 500
DIED: Final = "the producing process died; the broker may have it"


@dataclass(slots=True)
class Owner:
    """This process as an owner of journal rows; it lives as long as `fd` is open.

    `number` is its row in the table `owner`, written with the first event.
    """

    name: bytes
    path: Path
    fd: int
    number: int | None = None

    @classmethod
    def start(cls, place: Place) -> Owner:
        """Make and lock the file that proves that we live."""
        name = uuid7()[0]
        path = place.owners / f"{id_text(name)}.lock"
        fd = open_lock_file(path)
        lock(fd, exclusive=True)
        return cls(name, path, fd)

    def stop(self) -> None:
        """Live no longer. Rows that are left are found by the next process that opens the store."""
        with suppress(OSError):
            self.path.unlink(missing_ok=True)
        os.close(self.fd)

    def record_id(self, journal_id: int) -> bytes:
        """The id of the dead letter that a row becomes: always the same, whichever way it gets there."""
        return _record_id(self.name, journal_id)


def _record_id(owner: bytes, journal_id: int) -> bytes:
    """A UUID version 7: the time of the owner's start, then a hash of owner and row."""
    noise = bytearray(blake2b(owner + journal_id.to_bytes(8, "big"), digest_size=10).digest())
    noise[0] = 0x70 | noise[0] & 0x0F
    noise[2] = 0x80 | noise[2] & 0x3F
    return owner[:6] + bytes(noise)


def append(
    conn: apsw.Connection, owner: Owner, entries: Sequence[JournalEntry], *, component: str, now_ms: int
) -> range:
    """Write entries inside the caller's transaction; their numbers."""
    number = owner.number
    if number is None:
        actor = present_actor()
        conn.execute(
            "INSERT OR IGNORE INTO owner (lock_name, component, host, pid, started_at) VALUES (?,?,?,?,?)",
            (id_text(owner.name), storable(component), actor.host, actor.pid, now_ms),
        )
        number = int(conn.execute("SELECT id FROM owner WHERE lock_name = ?", (id_text(owner.name),)).get)
    first = reserve_journal_ids(conn, len(entries))
    headers = [encode_headers(e.headers) for e in entries]
    shas = payload_digests([e.key for e in entries], [e.value for e in entries], headers)
    rows = (
        (index, number, storable(e.topic), e.key, e.value, blob, sha, e.timestamp_ms, now_ms)
        for index, e, blob, sha in zip(range(first, first + len(entries)), entries, headers, shas, strict=True)
    )
    conn.executemany("INSERT INTO journal VALUES (?,?,?,?,?,?,?,?,?)", rows)
    return range(first, first + len(entries))


def learn_number(conn: apsw.Connection, owner: Owner) -> None:
    """After a commit: the owner's row is there for good."""
    if owner.number is None:
        owner.number = conn.execute("SELECT id FROM owner WHERE lock_name = ?", (id_text(owner.name),)).get


def delete(conn: apsw.Connection, ids: Iterable[int]) -> None:
    """Forget entries, inside the caller's transaction."""
    conn.execute("DELETE FROM journal WHERE id IN (SELECT value FROM json_each(?))", (json.dumps(list(ids)),))


def dead_owners(conn: apsw.Connection, place: Place, own: Owner) -> list[tuple[int, str, int | None]]:
    """(number, lock name, locked descriptor) of owners that do not live; the caller closes the descriptors."""
    found: list[tuple[int, str, int | None]] = []
    owners: list[Any] = conn.execute("SELECT id, lock_name FROM owner").fetchall()
    for number, name in owners:
        if name == id_text(own.name):
            continue
        try:
            fd = os.open(place.owners / f"{name}.lock", os.O_RDWR | os.O_CLOEXEC)
        except OSError:
            found.append((number, name, None))
            continue
        if lock(fd, exclusive=True):
            found.append((number, name, fd))
        else:
            os.close(fd)
    return found


def recover_some(conn: apsw.Connection, cohorts: Cohorts, number: int, *, now_ms: int) -> int:
    """Turn up to 500 rows of a dead owner into dead letters, inside the caller's transaction.

    0 when it has none left.
    """
    query = (
        "SELECT j.id, j.topic, j.key, j.value, j.headers, j.timestamp_ms, o.component, o.lock_name"
        " FROM journal j JOIN owner o ON o.id = j.owner WHERE j.owner = ? ORDER BY j.id LIMIT ?"
    )
    rows: list[Any] = conn.execute(query, (number, _BATCH)).fetchall()
    if not rows:
        conn.execute("DELETE FROM owner WHERE id = ?", (number,))
        return 0
    records = [_orphan(row, now_ms) for row in rows]
    insert_records(conn, records, cohorts, now_ms=now_ms, action="recover", reason=DIED)
    delete(conn, (int(row[0]) for row in rows))
    return len(rows)


def _orphan(row: tuple[Any, ...], at: int) -> NewRecord:
    journal_id, topic, key, value, headers, timestamp_ms, component, lock_name = row
    facts = event_facts(value)
    return NewRecord(
        trouble=trouble(
            origin=Origin.LOCAL,
            err_class="shutdown",
            err_name="PROCESS_DIED",
            message=DIED,
            stage="drain",
            component=component,
            dest_topic=topic,
        ),
        captured_at=at,
        key=key,
        value=value,
        headers=decode_headers(headers),
        maybe_persisted=True,
        tenant_id=facts.tenant_id,
        event_id=facts.event_id,
        event_type=facts.type,
        event_ts=facts.timestamp,
        orig_timestamp=timestamp_ms,
        payload_kind=PayloadKind.FULL.value,
        id=_record_id(id_bytes(lock_name), journal_id),
        state=State.READY.value,
        state_reason=DIED,
    )
