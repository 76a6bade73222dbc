"""A damaged database is put aside, never deleted; what can be read out of it, and whose checksum holds, is kept.

Rows are read one range after the other and, where a range fails, one by one: damage costs the rows it hit. A payload
that lost its record is kept too, as a record that needs a look. Nothing here loops: each row is tried once.
"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Final

import apsw

from atom_console.dlq import audit, counters, database
from atom_console.dlq.ddl import MIGRATIONS
from atom_console.dlq.headers import decode_headers, payload_digest
from atom_console.dlq.ids import uuid7
from atom_console.dlq.insert import Cohorts, insert_records
from atom_console.dlq.journal import DIED
from atom_console.dlq.place import Place
from atom_console.dlq.record import NewRecord, Origin, State
from atom_console.dlq.troubles import trouble

LOG: Final = logging.getLogger("atom_console.dlq")

_UNREADABLE: Final = (apsw.Error, UnicodeDecodeError)  # a damaged name in SQLite's own message is the latter
_STEP: Final = 500
_BLIND: Final = 20_000
_TABLES: Final = (
    "meta", "cohort", "dlq_source", "ingest_position", "record", "provenance", "payload", "revision", "arrival",
    "owner", "run", "run_item", "replay_window", "attempt", "audit", "audit_record",
)  # fmt: skip
_ROWID: Final = frozenset({"cohort", "dlq_source", "record", "provenance", "payload", "revision", "owner", "run",
                           "replay_window", "attempt", "audit", "journal"})  # fmt: skip
_LOST_METADATA: Final = "its record was damaged; the payload is whole, where it was going is not known"


@dataclass(frozen=True, slots=True)
class Salvage:
    """What became of a damaged database.

    Attributes:
        kept_at: where the damaged file is now.
        why: the fault, in SQLite's words.
        records: records saved whole; payload_only: payloads saved without their record;
            refused: rows that were read but whose checksum or shape did not hold; unreadable: rows that could not be
                read.
        journal: events of the write-ahead journal that became dead letters.
        audit_rows: rows of the audit chain that hold; audit_whole: whether that is all there were.
    """

    kept_at: Path
    why: str
    records: int
    payload_only: int
    refused: int
    unreadable: int
    journal: int
    audit_rows: int
    audit_whole: bool

    def sentence(self) -> str:
        """All of it in one sentence."""
        lost = f"{self.refused} rows did not hold and {self.unreadable} could not be read"
        return (
            f"the store was damaged ({self.why}) and is kept at {self.kept_at}: {self.records} records were saved"
            f" whole, {self.payload_only} without their history, {self.journal} from the journal; {lost}"
        )


def put_aside(place: Place, now_ms: int) -> Path:
    """Rename the database with its `-wal` and `-shm`; the new name of the database."""
    stamp = time.strftime("%Y%m%dT%H%M%S", time.gmtime(now_ms / 1000)) + f".{now_ms % 1000:03d}Z"
    target = place.root / f"{place.database.name}.bad-{stamp}"
    for suffix in ("-wal", ""):
        source = Path(f"{place.database}{suffix}")
        if source.exists():
            source.rename(f"{target}{suffix}")
    with suppress(FileNotFoundError):
        Path(f"{place.database}-shm").unlink()
    return target


def salvage(bad: Path, conn: apsw.Connection, why: str, *, now_ms: int) -> Salvage:
    """Copy what holds from the file `bad` into the new database, in one transaction.

    Args:
        conn: the new database, empty, of the newest version.
        why: the fault that was found.
    """
    count = _Count()
    old: apsw.Connection | None = None
    try:
        old = apsw.Connection(str(bad), flags=apsw.SQLITE_OPEN_READONLY)
        old.execute("PRAGMA writable_schema = ON")  # one damaged definition must not hide the other tables
        old.execute("PRAGMA query_only = ON")
        old.execute("PRAGMA cell_size_check = ON")
        usable = 1 <= database.version(old) <= len(MIGRATIONS)
    except _UNREADABLE as error:
        LOG.error("nothing can be read from %s: %s", bad, error, extra={"event": "dlq.salvage"})
        usable = False
    conn.execute("BEGIN IMMEDIATE")
    try:
        if usable and old is not None:
            _copy(old, conn, count, now_ms)
        report = Salvage(
            bad, why, count.records, count.payload_only, count.refused, count.unreadable, count.journal,
            count.audit_rows, count.audit_whole,
        )  # fmt: skip
        audit.append(
            conn, actor=audit.present_actor(), at=now_ms, action="salvage", subject=bad.name,
            records=count.records + count.payload_only + count.journal, reason=report.sentence(),
        )  # fmt: skip
        conn.execute("COMMIT")
    except BaseException:
        if conn.in_transaction:
            conn.execute("ROLLBACK")
        raise
    finally:
        if old is not None:
            with suppress(*_UNREADABLE):
                old.close(True)
    os.sync()
    return report


class _Count:
    records = payload_only = refused = unreadable = journal = audit_rows = 0
    audit_whole = True


def _copy(old: apsw.Connection, new: apsw.Connection, count: _Count, now_ms: int) -> None:
    for table in _TABLES:
        keep = _KEEP.get(table)
        for row in _rows(old, table, count):
            if keep is not None and not keep(row):
                count.refused += 1
                continue
            if table == "audit" and not count.audit_whole:
                continue
            _put(new, table, row, count)
    _mend(new)
    _lonely_payloads(new, count, now_ms)
    new.execute(
        "DELETE FROM record WHERE seq NOT IN (SELECT seq FROM payload);"
        "DELETE FROM run_item WHERE run_id NOT IN (SELECT id FROM run)"
    ).fetchall()
    count.records = int(new.execute("SELECT count(*) FROM record").get) - count.payload_only
    _journal(old, new, count, now_ms)
    counters.rebuild(new)


def _put(new: apsw.Connection, table: str, row: tuple[Any, ...], count: _Count) -> None:
    marks = ",".join("?" * len(row))
    verb = "INSERT OR REPLACE" if table == "meta" else "INSERT"
    try:
        new.execute(f"{verb} INTO {table} VALUES ({marks})", row)
    except _UNREADABLE:
        if table == "audit":
            count.audit_whole = False
        else:
            count.refused += 1
    else:
        if table == "audit":
            count.audit_rows += 1


def _payload_holds(row: tuple[Any, ...]) -> bool:
    _, key, value, headers, sha, *_ = row
    return isinstance(headers, bytes) and _holds(key, value, headers, sha)


def _revision_holds(row: tuple[Any, ...]) -> bool:
    _, _, key, value, headers, sha, *_ = row
    return isinstance(headers, bytes) and _holds(key, value, headers, sha)


def _holds(key: Any, value: Any, headers: bytes, sha: Any) -> bool:
    blobs = all(part is None or isinstance(part, bytes) for part in (key, value))
    return blobs and payload_digest(key, value, headers) == sha


_KEEP: Final[dict[str, Callable[[tuple[Any, ...]], bool]]] = {"payload": _payload_holds, "revision": _revision_holds}


def _rows(old: apsw.Connection, table: str, count: _Count) -> Iterator[tuple[Any, ...]]:
    """Every row that can be read, by ranges of the row id; tables without one in one go.

    Text is read as bytes, because damaged text may be no UTF-8; what is wrong in it becomes U+FFFD.
    """
    columns = _columns()[table]
    chosen = ", ".join(f'CAST("{name}" AS BLOB)' if text else f'"{name}"' for name, text in columns)
    select = f"SELECT {chosen} FROM {table}"  # noqa: S608 -- names of our own tables
    texts = [place for place, (_, text) in enumerate(columns) if text]
    if table not in _ROWID:
        try:
            for row in old.execute(select):
                yield _as_text(row, texts)
        except _UNREADABLE:
            count.unreadable += 1
        return
    last = _last_rowid(old, table)
    at = blind = 0
    while at < last and blind < _BLIND:
        try:
            found = old.execute(f"{select} WHERE rowid > ? AND rowid <= ? ORDER BY rowid", (at, at + _STEP)).fetchall()
        except _UNREADABLE:
            found = []
            for rowid in range(at + 1, min(at + _STEP, last) + 1):
                try:
                    found += old.execute(f"{select} WHERE rowid = ?", (rowid,)).fetchall()
                except _UNREADABLE:
                    count.unreadable += 1
        blind = 0 if found else blind + _STEP
        for row in found:
            yield _as_text(row, texts)
        at += _STEP


def _as_text(row: tuple[Any, ...], places: list[int]) -> tuple[Any, ...]:
    values = list(row)
    for place in places:
        if isinstance(values[place], bytes):
            values[place] = values[place].decode("utf-8", "replace")
    return tuple(values)


@cache
def _columns() -> dict[str, list[tuple[str, bool]]]:
    """Table → its columns, each with whether it holds text: from the schema itself, not from the damaged file."""
    conn = apsw.Connection(":memory:")
    database.migrate(conn)
    found = {
        table: [(str(row[1]), row[2] == "TEXT") for row in conn.execute(f"PRAGMA table_info({table})")]
        for table in (*_TABLES, "journal")
    }
    conn.close()
    return found


def _last_rowid(old: apsw.Connection, table: str) -> int:
    """The greatest row id, asked in three ways, because any of them may hit the damage."""
    questions = [f"SELECT max(rowid) FROM {table}"]  # noqa: S608 -- names of our own tables
    if table in {"record", "payload", "provenance"}:
        questions += ["SELECT value - 1 FROM meta WHERE name = 'next_seq'", "SELECT max(last_seq) FROM audit"]
    if table == "journal":
        questions.append("SELECT value - 1 FROM meta WHERE name = 'next_journal'")
    answers = [0]
    for question in questions:
        with suppress(*_UNREADABLE):
            found = old.execute(question).get
            if isinstance(found, int):
                answers.append(found)
    return max(answers) if max(answers) < 1 << 40 else _BLIND


def _mend(new: apsw.Connection) -> None:
    """Numbers that are given out next lie beyond every one in use.

    Windows and runs of a lost process stay as they were.
    """
    for name, table, column in (
        ("next_seq", "record", "seq"),
        ("next_seq", "payload", "seq"),
        ("next_journal", "journal", "id"),
    ):
        new.execute(
            f"INSERT INTO meta SELECT '{name}', coalesce(max({column}), 0) + 1 FROM {table} WHERE true"  # noqa: S608
            " ON CONFLICT DO UPDATE SET value = max(value, excluded.value)"
        )
    new.execute("INSERT OR REPLACE INTO meta VALUES ('lookup_through', 0)")
    new.execute(
        "INSERT OR IGNORE INTO cohort SELECT DISTINCT r.cohort, randomblob(16), 'damaged', 1, 'its group was damaged',"
        " 'unknown', 'unknown', NULL, 'UNKNOWN', 'unknown', NULL, NULL, NULL, NULL, r.captured_at, r.captured_at"
        " FROM record r WHERE r.cohort NOT IN (SELECT id FROM cohort)"
    )


def _lonely_payloads(new: apsw.Connection, count: _Count, now_ms: int) -> None:
    query = "SELECT seq, key, value, headers, err_message FROM payload WHERE seq NOT IN (SELECT seq FROM record)"
    lonely = new.execute(query).fetchall()
    if not lonely:
        return
    new.execute("DELETE FROM payload WHERE seq NOT IN (SELECT seq FROM record)")
    records = [
        _rescued(key, value, decode_headers(headers), message, now_ms)  # type: ignore[arg-type]  # columns of the query
        for _, key, value, headers, message in lonely
    ]
    insert_records(new, records, Cohorts(), now_ms=now_ms, action="import", reason=_LOST_METADATA)
    count.payload_only = len(records)


def _journal(old: apsw.Connection, new: apsw.Connection, count: _Count, now_ms: int) -> None:
    """Whoever owned these rows is gone: the file could be put aside because nobody had it open."""
    records = []
    for row in _rows(old, "journal", count):
        _, _, topic, key, value, headers, sha, timestamp_ms, _ = row
        if not isinstance(headers, bytes) or not isinstance(topic, str) or not _holds(key, value, headers, sha):
            count.refused += 1
            continue
        record = _rescued(key, value, decode_headers(headers), DIED, now_ms, topic=topic, err_class="shutdown")
        record.orig_timestamp = timestamp_ms if isinstance(timestamp_ms, int) else None
        record.state, record.state_reason = State.READY.value, DIED
        records.append(record)
    insert_records(new, records, Cohorts(), now_ms=now_ms, action="recover", reason=DIED)
    new.execute("DELETE FROM owner")
    count.journal = len(records)


def _rescued(
    key: bytes | None, value: bytes | None, headers: tuple[tuple[str, bytes | None], ...], message: str, now_ms: int, *,
    topic: str | None = None, err_class: str = "unknown",
) -> NewRecord:  # fmt: skip
    return NewRecord(
        trouble=trouble(
            origin=Origin.LOCAL if topic else Origin.UNKNOWN,
            err_class=err_class,
            err_name="PROCESS_DIED" if topic else "STORE_DAMAGED",
            message=message,
            stage="drain",
            component="salvage",
            dest_topic=topic,
        ),
        captured_at=now_ms,
        key=key,
        value=value,
        headers=headers,
        maybe_persisted=True,
        id=uuid7()[0],
        state=State.QUARANTINED.value,
        state_reason=_LOST_METADATA,
    )
