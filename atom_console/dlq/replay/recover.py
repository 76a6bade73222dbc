"""Finds out what became of records that a crash left open: what is on the topic arrived; what is not must wait.

An ordinary crash lands nothing later, but a stopped broker, a quota, a cut path or frozen followers do (measured: up to
31 s, with watermarks that look stable). So "not found" is believed only after a grace, when nothing of the dead process
can be on its way any more, and after a second look.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from threading import Event
from typing import TYPE_CHECKING, Any, Final

from atom_console.dlq import lease
from atom_console.dlq.record import State
from atom_console.dlq.replay import failpoints
from atom_console.dlq.replay.items import id_header
from atom_console.dlq.replay.log_end import logs_are_level
from atom_console.dlq.replay.orphans import port_of, wait_until_none
from atom_console.dlq.replay.readback import Doubt, Found, find
from atom_console.dlq.replay.windows import Clerk, Landed, Outcome, StoredWindow, open_windows
from atom_console.dlq.times import now_ms
from atom_console.kafka.cluster import ClusterReader
from atom_console.kafka.raw_connection import can_connect

if TYPE_CHECKING:
    import apsw

    from atom_console.config import KafkaSettings
    from atom_console.dlq.replay.options import ReplayOptions
    from atom_console.dlq.store import Store

_ORPHAN_WAIT_S: Final = 1.0
_AGAIN_S: Final = 1.0
_HIDDEN: Final = "nobody tells where the logs end, so records may wait for followers where no reader sees them"


@dataclass(slots=True)
class Recovery:
    """What one look at the broker decided.

    Attributes:
        recovered: records that arrived; absent: that did not, and are ready again.
        still_unknown: neither.
        wait_s: seconds until another look can decide them, or None where only an operator can.
        doubts: why they are not decided.
        read: records that were read.
    """

    recovered: int = 0
    absent: int = 0
    still_unknown: int = 0
    wait_s: float | None = 0.0
    doubts: list[str] = field(default_factory=list)
    read: int = 0


def recover(
    store: Store, kafka: KafkaSettings, fencing: int, options: ReplayOptions, *, stop: Event | None = None
) -> Recovery:
    """One look at the broker for every record that is open from before. The caller holds the lease.

    Raises:
        BrokerUnreachableError: no broker answered; nothing is changed.
        LeaseLostError: nothing was written.
    """
    report = Recovery()
    windows = store.run(open_windows)
    if not windows:
        return report
    records = store.run(lambda conn: _records(conn, windows))
    if not records:
        _close_empty(store, fencing, windows)
        return report
    look = _Look(store, kafka, fencing, windows, records, stop)
    clean = wait_until_none(_broker_ports(kafka), _ORPHAN_WAIT_S)
    found = look.once(options)
    failpoints.reach("in_recovery")
    report.read = found.read
    doubts = found.doubts + look.living_senders()
    absent: set[int] = set()
    missing = any(name not in found.places for name, _ in records.values())
    level = logs_are_level(kafka, look.lows) if missing else True
    if level is None:
        doubts.append(Doubt(_HIDDEN, passing=can_connect(kafka)))
    wait_s = look.grace_left_s(options, clean=clean, level=level)
    if missing and not doubts and wait_s == 0:
        second = look.once(options)
        report.read += second.read
        found.places.update(second.places)
        doubts += second.doubts
        if not doubts:
            absent = {seq for seq, (name, _) in records.items() if name not in found.places}
    look.write(found, absent, report)
    report.doubts = [doubt.what for doubt in doubts]
    if not all(doubt.passing for doubt in doubts):
        report.wait_s = None
    elif report.still_unknown:
        report.wait_s = max(wait_s, _AGAIN_S if doubts else 0.0)
    failpoints.reach("after_recovery")
    return report


class _Look:
    """The open windows of a store, and what is looked for."""

    def __init__(
        self,
        store: Store,
        kafka: KafkaSettings,
        fencing: int,
        windows: Sequence[StoredWindow],
        records: dict[int, tuple[bytes, str]],
        stop: Event | None,
    ) -> None:
        self.store, self.windows = store, windows
        self._kafka, self._fencing, self._records, self._stop = kafka, fencing, records, stop
        self.lows: dict[str, dict[int, int]] = {}
        self.topic_ids: dict[str, str | None] = {}
        for window in windows:
            for topic, lows in window.lows.items():
                mine = self.lows.setdefault(topic, {})
                for partition, low in lows.items():
                    mine[partition] = min(low, mine.get(partition, low))
            self.topic_ids = {**window.topic_ids, **self.topic_ids}  # the oldest counts

    def once(self, options: ReplayOptions) -> Found:
        """Read everything from the lowest low."""
        if not options.read_back:
            return Found(doubts=[Doubt("reading back is switched off for this run")])
        wanted = {name for name, _ in self._records.values()}
        return find(self._kafka, self.lows, self.topic_ids, wanted, stop=self._stop)

    def living_senders(self) -> list[Doubt]:
        """A process that lost its lease and lives may still send what it has in hand."""
        others = {window.fencing for window in self.windows} - {self._fencing}
        living = [number for number in others if lease.holder_lives(self.store.directory, number)]
        return [Doubt("the process that sent them still lives: end it first")] if living else []

    def grace_left_s(self, options: ReplayOptions, *, clean: bool, level: bool | None) -> float:
        """Seconds until "not found" may be believed; 0 = now."""
        grace = options.clean_grace_s if clean else options.grace_s
        at = now_ms()
        since = max(w.opened_at if w.orphaned_at is None else w.orphaned_at for w in self.windows)
        left = max(0.0, grace - (at - since) / 1000)
        return max(left, _AGAIN_S) if level is False else left

    def write(self, found: Found, absent: set[int], report: Recovery) -> None:
        """Write what was decided, window by window, in one transaction."""
        outcomes = [(window, self._outcome(window, found, absent)) for window in self.windows]
        for _, outcome in outcomes:
            report.recovered += len(outcome.found)
            report.absent += len(outcome.absent) + len(outcome.unsent)
            report.still_unknown += len(outcome.unknown) + outcome.pending

        def work(conn: apsw.Connection) -> None:
            at = now_ms()
            lease.beat(conn, self._fencing, at)
            for window, outcome in outcomes:
                name: Any = conn.execute("SELECT name FROM run WHERE id = ?", (window.run_id,)).get
                if outcome.decides or not outcome.pending:
                    Clerk(window.run_id, name, self._fencing).close(conn, window.id, outcome, at)

        self.store.run(work)

    def _outcome(self, window: StoredWindow, found: Found, absent: set[int]) -> Outcome:
        arrived: list[Landed] = []
        unsent: list[int] = []
        unknown: list[int] = []
        gone: list[int] = []
        decided = pending = 0
        for seq in window.seqs:
            if seq not in self._records:
                continue
            name, state = self._records[seq]
            was_unknown = state == State.UNKNOWN
            place = found.places.get(name)
            if place is not None:
                arrived.append((seq, *place[1:]))
                decided += was_unknown
            elif seq in absent:
                (gone if was_unknown else unsent).append(seq)
                decided += was_unknown
            elif was_unknown:
                pending += 1
            else:
                unknown.append(seq)
        return Outcome(
            found=arrived,
            unsent=unsent,
            unknown=unknown,
            absent=gone,
            decided=decided,
            pending=pending,
            sent_at=window.opened_at,
        )


def _records(conn: apsw.Connection, windows: Sequence[StoredWindow]) -> dict[int, tuple[bytes, str]]:
    """seq → (id as text in bytes, state) of the windows' records that have no outcome."""
    found: dict[int, tuple[bytes, str]] = {}
    for window in windows:
        for seq in window.seqs:
            row: Any = conn.execute("SELECT id, state FROM record WHERE seq = ?", (seq,)).fetchone()
            if row is not None and row[1] in (State.READY, State.UNKNOWN):
                found[seq] = (id_header(row[0]), row[1])
    return found


def _close_empty(store: Store, fencing: int, windows: Sequence[StoredWindow]) -> None:
    """Windows whose records all have an outcome by another way."""

    def work(conn: apsw.Connection) -> None:
        lease.beat(conn, fencing, now_ms())
        conn.executemany(
            "UPDATE replay_window SET closed_at = ?, outcome = '{}' WHERE id = ?",
            ((now_ms(), window.id) for window in windows),
        )

    store.run(work)


def _broker_ports(kafka: KafkaSettings) -> set[int]:
    addresses = kafka.bootstrap_servers.split(",")
    with ClusterReader(kafka) as cluster:
        addresses += [broker.address for broker in cluster.view().brokers]
    return {port for address in addresses if (port := port_of(address)) is not None}
