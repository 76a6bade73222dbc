"""States in bulk, retention, the audit chain: nothing illegal, nothing lost from the counts, everything traced."""

from __future__ import annotations

import json
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

import apsw
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from atom_console.dlq import audit
from atom_console.dlq.audit import row_hash
from atom_console.dlq.check import check
from atom_console.dlq.errors import FilterError
from atom_console.dlq.filters import Filter
from atom_console.dlq.lease import abandon, acquire
from atom_console.dlq.purge import purge
from atom_console.dlq.record import State
from atom_console.dlq.replay.errors import LeaseLostError
from atom_console.dlq.replay.reading import connect, reading
from atom_console.dlq.replay.windows import Clerk, Intent, Outcome, Refusal, open_windows
from atom_console.dlq.store import Store
from atom_console.dlq.triage import Action, current, triage
from tests.dlq_replay.conftest import fill, replay_settings

ACTIONS: tuple[Action, ...] = ("release", "quarantine", "discard", "restore")


def states_of(store: Store) -> dict[int, str]:
    rows: Any = store.run(lambda conn: conn.execute("SELECT seq, state FROM record ORDER BY seq").fetchall())
    return dict(rows)


def test_bulk_changes_and_their_undo(replay_store: Store) -> None:
    fill(replay_store, "t", 6)
    fill(replay_store, "t", 4, first=10, code=10, maybe=True)
    reader = replay_store.reader()
    everything = reader.matching(Filter())
    report = triage(replay_store, "discard", everything, "test data")
    assert (report.changed, report.skipped_total) == (10, 0)
    assert dict(triage(replay_store, "discard", everything, "again").skipped) == {"changed since the list was made": 10}
    now = reader.matching(Filter())
    assert dict(triage(replay_store, "release", now, "no").skipped) == {"is discarded": 10}
    assert triage(replay_store, "restore", now, "they were not").changed == 10
    assert Counter(states_of(replay_store).values()) == {"ready": 6, "quarantined": 4}
    now = reader.matching(Filter(states=("quarantined",)))
    assert triage(replay_store, "release", now, "the limit was raised").changed == 4
    detail = reader.record(reader.page().records[0].id)
    reader.close()
    assert detail is not None
    assert [(entry.action, entry.reason) for entry in detail.audit][1:] == [
        ("transition", "test data"),
        ("transition", "they were not"),
        ("transition", "the limit was raised"),
    ]
    with pytest.raises(FilterError, match="reason"):
        triage(replay_store, "discard", now, "  ")


def test_purge_takes_what_is_over_and_old(replay_store: Store) -> None:
    fill(replay_store, "t", 5000, keys=7)
    reader = replay_store.reader()
    some = reader.matching(Filter(), limit=4500)
    triage(replay_store, "discard", some, "test data")
    assert purge(replay_store, 30).records == 0
    later = audit_time(replay_store) + 31 * 86_400_000
    assert purge(replay_store, 30, dry_run=True, at_ms=later).records == 4500
    assert purge(replay_store, 30, at_ms=later).records == 4500
    assert reader.page().total == 500
    reader.close()
    with_conn = connect(replay_store.directory)
    assert check(with_conn).ok
    with_conn.close(True)
    left: Any = replay_store.run(lambda conn: conn.execute("SELECT count(*) FROM payload").get)
    assert left == 500


def audit_time(store: Store) -> int:
    found: Any = store.run(lambda conn: conn.execute("SELECT max(at) FROM audit").get)
    return int(found)


@pytest.mark.parametrize("how", ["change", "remove", "reorder", "insert"])
def test_tampering_is_found_and_named(replay_store: Store, how: str) -> None:
    fill(replay_store, "t", 3)
    reader = replay_store.reader()
    for n in range(8):
        triage(replay_store, "discard" if n % 2 == 0 else "restore", reader.matching(Filter()), f"time {n}, naïve")
    reader.close()
    with reading(replay_store.directory) as conn:
        assert audit.verify(conn).ok
    statement = {
        "change": "UPDATE audit SET reason = 'nothing' WHERE seq = 5",
        "remove": "DELETE FROM audit WHERE seq = 5",
        "reorder": "UPDATE audit SET seq = CASE seq WHEN 5 THEN -6 WHEN 6 THEN 5 ELSE seq END WHERE seq IN (5, 6)",
        "insert": "INSERT INTO audit SELECT 10, at, os_user, sudo_user, ssh_client, host, pid, action, subject,"
        " records, first_seq, last_seq, before_sha, after_sha, reason, prev_hash, hash FROM audit WHERE seq = 3",
    }[how]

    def tamper(conn: Any) -> None:
        for name in ("audit_no_update", "audit_no_delete", "audit_chained"):
            conn.execute(f"DROP TRIGGER {name}")
        conn.execute("PRAGMA defer_foreign_keys = ON")
        conn.execute(statement)
        if how == "reorder":
            conn.execute("UPDATE audit SET seq = 6 WHERE seq = -6")

    other = apsw.Connection(str(replay_store.directory / "dlq.sqlite3"))
    with other:
        tamper(other)
    other.close()
    with reading(replay_store.directory) as conn:
        report = audit.verify(conn)
    assert not report.ok
    assert report.first_bad == (10 if how == "insert" else 5)


def test_the_export_verifies_without_the_store(replay_store: Store) -> None:
    fill(replay_store, "t", 3)
    reader = replay_store.reader()
    triage(replay_store, "discard", reader.matching(Filter()), 'naïve “quotes” \u2028 \x07 \\ " /')
    reader.close()
    with reading(replay_store.directory) as conn:
        rows = [json.loads(json.dumps(row)) for row in audit.export(conn)]
        assert audit.verify(conn).last_hash.hex() == rows[-1]["hash"]
    previous = bytes(32)
    for row in rows:
        assert row["prev_hash"] == previous.hex()
        values = [value for name, value in row.items() if name not in ("prev_hash", "hash")]
        assert row_hash(previous, values).hex() == row["hash"]
        previous = bytes.fromhex(row["hash"])


class StoreMachine(RuleBasedStateMachine):
    """Operators and a replay at once over one store."""

    def __init__(self) -> None:
        super().__init__()
        self.room = tempfile.TemporaryDirectory()
        directory = Path(self.room.name) / "dlq"
        self.store = Store.open(directory, replay_settings("127.0.0.1:1", directory).dlq, component="machine")
        self.model: dict[int, str] = {}
        self.before: dict[int, str] = {}
        self.windows: dict[int, list[int]] = {}
        self.number = 0
        self.purged = 0
        self.filled = 0

    @initialize()
    def begin(self) -> None:
        self.held = acquire(self.store, "machine")
        self.clerk = Clerk(1, "r", self.held.fencing)
        self.store.run(
            lambda conn: conn.execute(
                "INSERT INTO run (id, name, state, filter, options, plan, created_at, created_by)"
                " VALUES (1, 'r', 'running', '', '{}', '{}', 1, 'a')"
            )
        )

    @rule(count=st.integers(1, 5), poison=st.booleans())
    def capture(self, count: int, poison: bool) -> None:
        fill(self.store, "t", count, keys=2, first=self.filled, code=10 if poison else -185, maybe=poison)
        self.filled += count
        for seq, state in states_of(self.store).items():
            self.model.setdefault(seq, state)
            assert self.model[seq] == state

    @rule(action=st.sampled_from(ACTIONS), data=st.data())
    def change(self, action: Action, data: st.DataObject) -> None:
        if not self.model:
            return
        chosen = data.draw(st.lists(st.sampled_from(sorted(self.model)), unique=True, max_size=6))
        held = {seq for seqs in self.windows.values() for seq in seqs}
        allowed = {
            "release": {"captured", "quarantined", "failed"},
            "quarantine": {"captured", "ready", "failed"},
            "discard": {"captured", "ready", "quarantined", "failed"},
            "restore": {"discarded"},
        }[action]
        may = [seq for seq in chosen if seq not in held and self.model[seq] in allowed]
        report = triage(self.store, action, current(self.store, chosen), "because")
        assert report.changed == len(may)
        assert report.skipped_total == len(chosen) - len(may)
        for seq in may:
            if action == "discard":
                self.before[seq] = self.model[seq]
            to = {"release": "ready", "quarantine": "quarantined", "discard": "discarded"}
            self.model[seq] = self.before[seq] if action == "restore" else to[action]

    @rule(data=st.data())
    def send(self, data: st.DataObject) -> None:
        if not self.model:
            return
        held = {seq for seqs in self.windows.values() for seq in seqs}
        chosen = data.draw(st.lists(st.sampled_from(sorted(self.model)), unique=True, max_size=5))
        chosen = [seq for seq in chosen if seq not in held]
        self.number += 1
        intent = Intent(self.number, chosen, {"t": {0: 0}}, {"t": None})
        turn = self.store.run(lambda conn: self.clerk.turn(conn, 5, intent=intent))
        ready = [seq for seq in chosen if self.model[seq] == "ready"]
        assert turn.changed == set(chosen) - set(ready)
        assert (turn.window_id is None) == (not ready)
        if turn.window_id is not None:
            self.windows[turn.window_id] = ready

    @precondition(lambda self: self.windows)
    @rule(data=st.data())
    def report(self, data: st.DataObject) -> None:
        window_id = data.draw(st.sampled_from(sorted(self.windows)))
        seqs = [seq for seq in self.windows[window_id] if self.model.get(seq) in ("ready", "unknown")]
        fates = data.draw(st.lists(st.integers(0, 5), min_size=len(seqs), max_size=len(seqs)))
        by = {fate: [seq for seq, one in zip(seqs, fates, strict=True) if one == fate] for fate in range(6)}
        fresh = [seq for seq in by[4] if self.model[seq] == "ready"]
        still = [seq for seq in by[4] if self.model[seq] == "unknown"]
        back = [seq for seq in by[5] if self.model[seq] == "unknown"]
        unsent = [seq for seq in by[5] if self.model[seq] == "ready"]
        outcome = Outcome(
            replayed=[(seq, 0, seq) for seq in by[0]],
            found=[(seq, 0, seq) for seq in by[1]],
            failed=[Refusal(seq, 10, "TOO_LARGE", "no", exhausted=seq % 2 == 0) for seq in by[2]],
            returned=[Refusal(seq, 29, "AUTH", "no") for seq in by[3] if self.model[seq] == "ready"],
            unsent=unsent,
            unknown=fresh,
            absent=back + [seq for seq in by[3] if self.model[seq] == "unknown"],
            pending=len(still),
        )
        self.store.run(lambda conn: self.clerk.turn(conn, 6, close=[(window_id, outcome)]))
        for seq in by[0] + by[1]:
            self.model[seq] = "replayed"
        for seq in by[2]:
            self.model[seq] = "quarantined" if seq % 2 == 0 else "failed"
        for seq in back + by[3]:
            self.model[seq] = "ready"
        for seq in fresh:
            self.model[seq] = "unknown"
        if not fresh and not still:
            del self.windows[window_id]

    @rule()
    def lose_the_lease(self) -> None:
        abandon(self.held)
        old = self.clerk
        self.held = acquire(self.store, "machine")
        self.clerk = Clerk(1, "r", self.held.fencing)
        with pytest.raises(LeaseLostError):
            self.store.run(lambda conn: old.turn(conn, 7))

    @rule()
    def purge_all(self) -> None:
        held = {seq for seqs in self.windows.values() for seq in seqs}
        gone = [seq for seq, state in self.model.items() if state in ("replayed", "discarded")]
        report = purge(self.store, 0, at_ms=1 << 50)
        assert report.records == len(gone)
        assert not {seq for seq in gone if self.model[seq] == "discarded"} & held
        for seq in gone:
            del self.model[seq]
        self.purged += len(gone)

    @invariant()
    def the_store_agrees(self) -> None:
        assert states_of(self.store) == self.model
        assert len(self.model) + self.purged == self.filled
        opened = self.store.run(open_windows)
        assert {window.id: list(window.seqs) for window in opened} == self.windows

    def teardown(self) -> None:
        conn = connect(self.store.directory)
        report = check(conn)
        conn.close(True)
        assert report.ok, report.findings
        self.store.close()
        abandon(self.held)
        self.room.cleanup()


StoreMachine.TestCase.settings = settings(
    max_examples=25, stateful_step_count=25, deadline=None, suppress_health_check=list(HealthCheck)
)
TestStoreMachine = StoreMachine.TestCase


def test_no_state_is_left_out_of_the_table() -> None:
    from atom_console.dlq.states import ALLOWED

    assert set(ALLOWED) == set(State)
    assert ALLOWED[State.REPLAYED] == frozenset()
