"""The two transactions of a window: the intent before anything is sent, the outcome after every report.

The intent is one row: which records, from which offsets on a copy could be, and the ids of the topics. While it is
open its records belong to it alone (`states.transition` refuses them), so their states need not change twice. Every
transaction checks the fencing number of the lease first: whoever lost it writes nothing.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from atom_console.dlq import audit, lease
from atom_console.dlq.record import State
from atom_console.dlq.states import pack_seqs, settle, unpack_seqs
from atom_console.dlq.text import storable

if TYPE_CHECKING:
    import apsw

Lows = Mapping[str, Mapping[int, int]]
"""Topic → partition → the first offset at which a copy of a window's record could be."""

Landed = tuple[int, int | None, int | None]
"""(seq, partition, offset)."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """A record that the broker does not have for certain, and why. `exhausted`: it has had its last attempt."""

    seq: int
    code: int
    name: str
    message: str
    exhausted: bool = False


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a window's records.

    Attributes:
        replayed: acknowledged; found: not acknowledged, but seen on the topic.
        failed: refused by the broker, each for its own fault.
        returned: sent without effect, and not by their own fault: ready as before.
        unsent: never sent: ready as before, and no attempt.
        unknown: neither; read-back decides.
        absent: were unknown, and did not arrive: ready again.
        decided: how many of all these were unknown before.
        pending: how many others of the window stay unknown.
    """

    replayed: Sequence[Landed] = ()
    found: Sequence[Landed] = ()
    failed: Sequence[Refusal] = ()
    returned: Sequence[Refusal] = ()
    unsent: Sequence[int] = ()
    unknown: Sequence[int] = ()
    absent: Sequence[int] = ()
    decided: int = 0
    pending: int = 0
    sent_at: int = 0

    @property
    def decides(self) -> bool:
        """It says something new of at least one record."""
        return any((self.replayed, self.found, self.failed, self.returned, self.unsent, self.unknown, self.absent))


@dataclass(frozen=True, slots=True)
class StoredWindow:
    """An open window as it lies in the store."""

    id: int
    run_id: int
    number: int
    fencing: int
    seqs: tuple[int, ...]
    lows: dict[str, dict[int, int]]
    topic_ids: dict[str, str | None]
    opened_at: int
    orphaned_at: int | None


@dataclass(slots=True)
class Intent:
    """A window that is to be opened."""

    number: int
    seqs: Sequence[int]
    lows: Lows
    topic_ids: Mapping[str, str | None]


@dataclass(frozen=True, slots=True)
class Turn:
    """What a transaction brought back.

    Attributes:
        window_id: of the intent, or None.
        changed: records of the intent that are not ready any more and were left out.
    """

    window_id: int | None = None
    changed: frozenset[int] = field(default=frozenset())


@dataclass(frozen=True, slots=True)
class Clerk:
    """Writes for one run under one lease; every method runs inside the caller's transaction."""

    run_id: int
    run_name: str
    fencing: int

    def turn(
        self,
        conn: apsw.Connection,
        at: int,
        *,
        close: Sequence[tuple[int, Outcome]] = (),
        intent: Intent | None = None,
    ) -> Turn:
        """Close windows and open the next one together.

        Raises:
            LeaseLostError: nothing was written.
        """
        lease.beat(conn, self.fencing, at)
        for number, outcome in close:
            self.close(conn, number, outcome, at)
        window_id: int | None = None
        changed: frozenset[int] = frozenset()
        if intent is not None:
            window_id, changed = self._open(conn, intent, at)
        return Turn(window_id, changed)

    def close(self, conn: apsw.Connection, window_id: int, outcome: Outcome, at: int) -> None:
        """Write what became of the records. The window stays open while an outcome is unknown."""
        why, landed = f"run {self.run_name}", json.dumps(outcome.replayed)
        self._settle(conn, [row[0] for row in outcome.replayed], State.REPLAYED, why, at, sent=True)
        found = [row[0] for row in outcome.found]
        self._settle(conn, found, State.REPLAYED, f"{why}: found on the topic", at, sent=True)
        self._fail(conn, outcome, at)
        self._settle(conn, outcome.unknown, State.UNKNOWN, f"{why}: sent, and not known whether it arrived", at)
        self._settle(conn, outcome.absent, State.READY, f"{why}: looked for, and it did not arrive", at)
        self._write_attempts(conn, window_id, outcome, landed, at)
        self._write_window(conn, window_id, outcome, landed, at)
        sent = len(outcome.replayed) + len(outcome.failed) + len(outcome.returned) + len(outcome.unknown)
        arrived = len(outcome.replayed) + len(outcome.found)
        conn.execute(
            "UPDATE run SET sent = sent + ?, replayed = replayed + ?, failed = failed + ?,"
            " unknown = max(0, unknown + ?), duplicates_avoided = duplicates_avoided + ? WHERE id = ?",
            (
                sent, arrived, len(outcome.failed), len(outcome.unknown) - outcome.decided, len(outcome.found),
                self.run_id,
            ),
        )  # fmt: skip

    def _settle(
        self, conn: apsw.Connection, seqs: Sequence[int], to: State, why: str, at: int, *, sent: bool = False
    ) -> None:
        settle(conn, seqs, to, reason=why, run_id=self.run_id, now_ms=at, sent=sent)

    def _open(self, conn: apsw.Connection, intent: Intent, at: int) -> tuple[int | None, frozenset[int]]:
        wanted = json.dumps(intent.seqs)
        others: Any = conn.execute(
            "SELECT j.value FROM json_each(?) j LEFT JOIN record r ON r.seq = j.value WHERE r.state IS NOT 'ready'",
            (wanted,),
        )
        changed = frozenset(row[0] for row in others)
        seqs = [seq for seq in intent.seqs if seq not in changed]
        if not seqs:
            return None, changed
        conn.execute(
            "INSERT INTO replay_window (run_id, number, fencing, seqs, lows, topic_ids, opened_at)"
            " VALUES (?,?,?,?,?,?,?)",
            (
                self.run_id, intent.number, self.fencing, pack_seqs(seqs), json.dumps(intent.lows),
                json.dumps(intent.topic_ids), at,
            ),
        )  # fmt: skip
        return conn.last_insert_rowid(), changed

    def _fail(self, conn: apsw.Connection, outcome: Outcome, at: int) -> None:
        for exhausted, to in ((False, State.FAILED), (True, State.QUARANTINED)):
            by_reason: dict[str, list[int]] = {}
            for one in outcome.failed:
                if one.exhausted is exhausted:
                    reason = f"{one.name}: {one.message}"
                    by_reason.setdefault(f"exhausted: {reason}" if exhausted else reason, []).append(one.seq)
            for reason, seqs in by_reason.items():
                self._settle(conn, seqs, to, reason[:500], at, sent=True)

    def _write_attempts(self, conn: apsw.Connection, window_id: int, outcome: Outcome, landed: str, at: int) -> None:
        span = (outcome.sent_at, at)
        unknown = [(seq, None, None) for seq in outcome.unknown]
        write_attempts(conn, landed, "replayed", self.run_id, window_id, span)
        write_attempts(conn, json.dumps(outcome.found), "found", self.run_id, window_id, span)
        write_attempts(conn, json.dumps(unknown), "unknown", self.run_id, window_id, span)
        refused = [
            (one.seq, what, one.code, one.name, storable(one.message)[:1000])
            for what, rows in (("failed", outcome.failed), ("returned", outcome.returned))
            for one in rows
        ]
        conn.execute(
            "INSERT INTO attempt (seq, run_id, window_id, rev, sent_at, ended_at, outcome, code, err_name, message)"
            " SELECT r.seq, ?, ?, r.rev, ?, ?, j.value ->> 1, j.value ->> 2, j.value ->> 3, j.value ->> 4"
            " FROM json_each(?) j JOIN record r ON r.seq = j.value ->> 0",
            (self.run_id, window_id, outcome.sent_at, at, json.dumps(refused)),
        )

    def _write_window(self, conn: apsw.Connection, window_id: int, outcome: Outcome, landed: str, at: int) -> None:
        counts = {
            "replayed": len(outcome.replayed),
            "found": len(outcome.found),
            "failed": len(outcome.failed),
            "returned": len(outcome.returned),
            "unsent": len(outcome.unsent),
            "unknown": len(outcome.unknown),
            "absent": len(outcome.absent),
        }
        told = {name: count for name, count in counts.items() if count}
        digest = _digest(outcome, landed)
        if outcome.unknown or outcome.pending:
            conn.execute(
                "UPDATE replay_window SET orphaned_at = coalesce(orphaned_at, ?) WHERE id = ?", (at, window_id)
            )
        else:
            conn.execute(
                "UPDATE replay_window SET closed_at = ?, outcome = ?, digest = ? WHERE id = ?",
                (at, json.dumps(told), digest, window_id),
            )
        seqs: Any = conn.execute("SELECT seqs FROM replay_window WHERE id = ?", (window_id,)).get
        number = audit.append(
            conn,
            actor=audit.present_actor(),
            at=at,
            action="replay",
            subject=f"run {self.run_name} window {window_id}",
            records=sum(counts.values()),
            before_sha=hashlib.sha256(seqs).digest(),
            after_sha=digest,
            reason=", ".join(f"{count} {name}" for name, count in told.items()),
        )
        touched = [row[0] for row in (*outcome.replayed, *outcome.found)]
        touched += [one.seq for one in (*outcome.failed, *outcome.returned)]
        touched += [*outcome.unknown, *outcome.absent]
        conn.execute(
            "INSERT OR IGNORE INTO audit_record SELECT value, ? FROM json_each(?)", (number, json.dumps(touched))
        )


def write_attempts(
    conn: apsw.Connection, landed: str, outcome: str, run_id: int, window_id: int | None, span: tuple[int, int]
) -> None:
    """What became of records whose errors nobody needs to know, each with the place where it is.

    Args:
        landed: a `Landed` of each, as JSON.
        span: when it was sent and when that was known, Unix milliseconds.
    """
    conn.execute(
        'INSERT INTO attempt (seq, run_id, window_id, rev, sent_at, ended_at, outcome, partition, "offset")'
        " SELECT r.seq, ?, ?, r.rev, ?, ?, ?, j.value ->> 1, j.value ->> 2"
        " FROM json_each(?) j CROSS JOIN record r ON r.seq = j.value ->> 0",
        (run_id, window_id, *span, outcome, landed),
    )


def _digest(outcome: Outcome, landed: str) -> bytes:
    """SHA-256 over every record's outcome: what the audit row vouches for. `landed`: the replayed ones as JSON."""
    others = (
        list(outcome.found),
        [(one.seq, one.code) for one in outcome.failed],
        [(one.seq, one.code) for one in outcome.returned],
        list(outcome.unsent),
        list(outcome.unknown),
        list(outcome.absent),
    )
    return hashlib.sha256(f"{landed}\n{json.dumps(others)}".encode()).digest()


def open_windows(conn: apsw.Connection) -> list[StoredWindow]:
    """Every window without an outcome, of whichever run, the oldest first."""
    query = (
        "SELECT id, run_id, number, fencing, seqs, lows, topic_ids, opened_at, orphaned_at FROM replay_window"
        " WHERE closed_at IS NULL ORDER BY id"
    )
    found: list[Any] = conn.execute(query).fetchall()
    windows = []
    for window_id, run_id, number, fencing, seqs, lows, topic_ids, opened_at, orphaned_at in found:
        marks = {topic: {int(p): low for p, low in by.items()} for topic, by in json.loads(lows).items()}
        ids = json.loads(topic_ids)
        windows.append(
            StoredWindow(window_id, run_id, number, fencing, unpack_seqs(seqs), marks, ids, opened_at, orphaned_at)
        )
    return windows
