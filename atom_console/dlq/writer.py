"""The one thread of a process that writes: group commits, and what happens to records when the database refuses them.

Every record ends in the database, or in the spill file, or stays in memory and is tried again; there is no fourth way.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING, Final, TypeVar

import apsw

from atom_console.dlq import database, journal
from atom_console.dlq.columns import Columns
from atom_console.dlq.errors import StoreUnavailableError
from atom_console.dlq.health import Health, StoreSettings, judge
from atom_console.dlq.insert import Prepared, insert_records
from atom_console.dlq.intake import Batch, Intake
from atom_console.dlq.link import Link
from atom_console.dlq.normalise import columns_of, from_failure
from atom_console.dlq.place import Place
from atom_console.dlq.record import NewRecord
from atom_console.dlq.spill_file import SpillWriter
from atom_console.dlq.times import now_ms
from atom_console.dlq.upkeep import LOOK_AT_DISK_S, Upkeep

if TYPE_CHECKING:
    from atom_console.kafka.failure import FailedDelivery

LOG: Final = logging.getLogger("atom_console.dlq")
T = TypeVar("T")

_WORTH_PREPARING: Final = 200
_LINGER_S: Final = 0.003
_IDLE_S: Final = 0.1
_UPKEEP_S: Final = 0.5
_SPILL_RETRY_S: Final = 0.1
_REFUSALS: Final = (StoreUnavailableError, apsw.Error, ValueError, TypeError, OverflowError)


class Writer:
    """Owns the only read-write connection of the process.

    Attributes:
        intake: where work is handed over.
        cluster_id: the cluster that failures belong to, once it is known.
        health: how things are, as of the last change.
        spilled: records that went to spill files.

    Args:
        place: where the store is.
        settings: cap, floor and sync.
        owner: this process as an owner of journal rows.
        component: who this is, e.g. `producer@app-3`.
        conn: the connection, opened by the caller; from `start` on it belongs to the thread.
        reopen: opens it again after a fault, salvaging if need be.
    """

    def __init__(
        self,
        place: Place,
        settings: StoreSettings,
        owner: journal.Owner,
        component: str,
        conn: apsw.Connection,
        reopen: Callable[[], apsw.Connection],
    ) -> None:
        self.intake = Intake()
        self.cluster_id: str | None = None
        self.spilled = 0
        self._place, self._owner, self._component = place, owner, component
        self._spill = SpillWriter(place.spool)
        self._link = Link(place, conn, reopen=reopen, reopened=self._reconnected, changed=self._update_health)
        self._upkeep = Upkeep(place, settings, self._link, self._spill.close)
        self._unsaved: list[NewRecord] = []
        self._acks: list[int] = []
        self._following: tuple[Batch, Prepared | None] = (Batch(), None)
        self._upkept_at = time.monotonic()
        self._ended = False
        self._health_changed = threading.Condition()
        self._thread = threading.Thread(target=self._run, name="dlq-writer", daemon=True)
        self._helper = ThreadPoolExecutor(1, "dlq-commit")
        self._upkeep.look_at_disk()
        self.health = self.judged()

    def start(self) -> None:
        """Begin to write."""
        self._thread.start()

    @property
    def ended(self) -> bool:
        """Whether the thread is gone."""
        return self._ended

    def here(self) -> bool:
        """Whether the caller is the writer's own thread."""
        return threading.current_thread() is self._thread

    def join(self, timeout_s: float | None) -> bool:
        """Wait for the end after `intake.close`; False when it did not come in time."""
        self._thread.join(timeout_s)
        return not self._thread.is_alive()

    def unsaved(self) -> tuple[NewRecord, ...]:
        """Records that nothing took; of use after the end only."""
        return tuple(self._unsaved)

    def judged(self) -> Health:
        """The health at this moment."""
        return judge(
            self._place,
            self._upkeep.room,
            fault=self._link.fault,
            unsaved=len(self._unsaved),
            queued=self.intake.queued,
            spilled=self.spilled,
            closed=self.intake.closed,
        )

    def wait_for_health(self, good: Callable[[Health], bool], timeout_s: float) -> bool:
        """Wait until the health satisfies `good`."""
        with self._health_changed:
            return self._health_changed.wait_for(lambda: good(self.health), timeout_s)

    # What follows runs in the writer's thread.

    def transaction(self, work: Callable[[apsw.Connection], T]) -> T:
        """`Link.transaction`, and a look at what it left of the room."""
        result = self._link.transaction(work)
        self._upkeep.behind = True
        self._look()
        return result

    def _run(self) -> None:
        while True:
            batch, prepared = self._following
            self._following = (Batch(), None)
            if not batch:
                batch = self.intake.take_now() if self.intake.closed else self._next()
            if not batch and self.intake.closed and not self.intake.queued and (not self._unsaved or self._give_up()):
                break
            try:
                self._cycle(batch, prepared)
            except Exception as error:  # a fault of ours must not end the only thread that saves events
                LOG.exception("the writer met a fault of its own", extra={"event": "dlq.fault"})
                self._unsaved += (self._columns(batch.failures) if prepared is None else prepared.columns).records()
                _answer_all(batch, error)
        self._finish()

    def _next(self) -> Batch:
        """The next batch; upkeep when nothing came for a moment, or when it has waited long enough."""
        batch = self.intake.take(_IDLE_S, linger_s=_LINGER_S)
        now = time.monotonic()
        if batch and now - self._upkept_at < _UPKEEP_S:
            return batch
        self._upkept_at = now
        self._upkeep.step()
        if batch:
            return batch
        self._look()
        if self._upkeep.busy or self._unsaved or self._link.fault is not None:
            return self.intake.take_now()
        return self.intake.take(LOOK_AT_DISK_S, linger_s=_LINGER_S)

    def _cycle(self, batch: Batch, prepared: Prepared | None) -> None:
        """Save one batch."""
        self._acks += batch.acks
        if self._unsaved:
            self._unsaved = list(self._keep(self._unsaved))
            self._update_health()
        if prepared is None:
            prepared = self._prepare(batch.failures)
        if prepared is not None and (self._upkeep.room.spent or self._link.resting):
            self._put_elsewhere(prepared.columns.records())
            prepared = None
        if prepared is not None or batch.appends or (self._acks and self._link.fault is None):
            self._commit(batch, prepared)
        for call in batch.calls:
            try:
                result = self.transaction(call.work)
            except BaseException as error:  # noqa: BLE001 -- it belongs to the caller
                call.done.set_exception(error)
            else:
                call.done.set_result(result)

    def _commit(self, batch: Batch, prepared: Prepared | None) -> None:
        """One transaction for records, journal entries and acknowledgements."""
        try:
            if self._link.resting:
                raise StoreUnavailableError(self._link.fault or "", next_step="Wait: it is tried again by itself.")
            conn = self._link.connection()
            try:
                ranges = self._write(conn, batch, prepared)
                self._end(conn)
            except BaseException:
                self._link.undo(conn)
                raise
        except _REFUSALS as error:
            self._refused(batch, prepared, error)
            return
        self._acks = []
        self._link.committed()
        if ranges:
            journal.learn_number(conn, self._owner)
        self._upkeep.behind = True
        self._look()
        for item, ids in zip(batch.appends, ranges, strict=True):
            item.done.set_result(ids)

    def _write(self, conn: apsw.Connection, batch: Batch, prepared: Prepared | None) -> list[range]:
        """Everything of a transaction but its end; the numbers that each append gets."""
        self._link.begin(conn)
        at = now_ms()
        done = self._acks
        if prepared is not None:
            prepared.write(conn, self._link.cohorts, action="capture", reason="")
            done = done + [number for number in prepared.columns.journal_ids if number is not None]
        ranges = [
            journal.append(conn, self._owner, item.entries, component=self._component, now_ms=at)
            for item in batch.appends
        ]
        if done:
            journal.delete(conn, done)
        return ranges

    def _end(self, conn: apsw.Connection) -> None:
        """Commit. While the disk works and more is waiting, the next batch is made ready.

        The commit goes to the other thread, because it gives up the interpreter lock once and for long (measured:
        making the batch ready there instead, beside the many short statements, captures a fifth fewer rows a second).
        """
        if self.intake.queued < _WORTH_PREPARING:
            conn.execute("COMMIT")
            return
        commit = self._helper.submit(conn.execute, "COMMIT")
        try:
            batch = self.intake.take_now()
            self._following = (batch, None)
            self._following = (batch, self._prepare(batch.failures))
        finally:
            commit.result()

    def _prepare(self, failures: Sequence[FailedDelivery]) -> Prepared | None:
        return Prepared(self._columns(failures), now_ms()) if failures else None

    def _columns(self, failures: Sequence[FailedDelivery]) -> Columns:
        try:
            columns = columns_of(failures, self.cluster_id)
        except Exception:  # whatever is odd about an event, it is saved
            LOG.exception("events could not be read", extra={"event": "dlq.unreadable"})
            columns = Columns.of([from_failure(failure, self.cluster_id) for failure in failures])
        for index, number in enumerate(columns.journal_ids):
            if number is not None:
                columns.ids[index] = self._owner.record_id(number)
        return columns

    def _refused(self, batch: Batch, prepared: Prepared | None, error: Exception) -> None:
        """The transaction is gone: records go another way, callers of the journal hear of it."""
        if isinstance(error, UnicodeDecodeError):
            error = apsw.CorruptError(f"a damaged text: {error}")
        if isinstance(error, apsw.Error) and database.in_trouble(error):
            self._link.down(error)
        if prepared is not None:
            if self._link.fault is not None:
                self._put_elsewhere(prepared.columns.records())
            else:
                LOG.error("a batch was refused, each record is tried alone: %s", error, extra={"event": "dlq.refused"})
                for record in prepared.columns.records():
                    self._unsaved += self._keep([record])
        self._update_health()
        if isinstance(error, apsw.Error):
            error = database.explain(error, self._place.database)
        for item in batch.appends:
            item.done.set_exception(error)

    def _keep(self, records: Sequence[NewRecord]) -> Sequence[NewRecord]:
        """Database, else spill file; what neither took."""
        at, cohorts = now_ms(), self._link.cohorts
        try:
            self.transaction(lambda conn: insert_records(conn, records, cohorts, now_ms=at))
        except _REFUSALS:
            return self._to_spill(records)
        self._acks += [r.journal_id for r in records if r.journal_id is not None]
        return []

    def _put_elsewhere(self, records: Sequence[NewRecord]) -> None:
        self._unsaved += self._to_spill(records)
        self._update_health()

    def _to_spill(self, records: Sequence[NewRecord]) -> Sequence[NewRecord]:
        try:
            self._spill.append(records)
        except OSError as error:
            LOG.error("spill file: %s", error.strerror or error, extra={"event": "dlq.spill_failed"})
            self._link.retry_at = min(self._link.retry_at, time.monotonic() + _SPILL_RETRY_S)
            return records
        self.spilled += len(records)
        self._acks += [r.journal_id for r in records if r.journal_id is not None]
        return []

    def _look(self) -> None:
        self._upkeep.look_at_disk()
        self._update_health()

    def _reconnected(self) -> None:
        """It may be another file now, which does not know us as an owner of journal rows."""
        self._owner.number = None
        self._update_health()

    def _update_health(self) -> None:
        self.intake.unbounded(bool(self._unsaved))
        health = self.judged()
        if health != self.health:
            with self._health_changed:
                self.health = health
                self._health_changed.notify_all()

    def _give_up(self) -> bool:
        """At the end: one last try for what is in memory; True either way, as nothing more can be done."""
        self._link.retry_at = 0.0
        self._unsaved = list(self._keep(self._unsaved))
        return True

    def _finish(self) -> None:
        self._helper.shutdown(wait=True)
        if self._link.current is not None and self._acks:
            try:
                self._link.transaction(lambda conn: journal.delete(conn, self._acks))
            except _REFUSALS as error:
                LOG.warning("acknowledgements are left: %s", error, extra={"event": "dlq.close"})
        self._spill.close()
        self._link.close()
        self._ended = True
        self._update_health()


def _answer_all(batch: Batch, error: Exception) -> None:
    """Whoever still waits for this batch hears that it failed."""
    futures: list[Future[object]] = [*(item.done for item in batch.appends), *(call.done for call in batch.calls)]  # type: ignore[list-item]  # futures of several results
    for done in futures:
        if not done.done():
            done.set_exception(StoreUnavailableError(f"the store met a fault: {error}", next_step="See the log file."))


def wait_for(done: Future[T], ended: Callable[[], bool]) -> T:
    """The future's result; an error when the writer ended without answering."""
    while True:
        try:
            return done.result(0.5)
        except TimeoutError:
            if done.done():
                return done.result()
            if ended():
                raise StoreUnavailableError(
                    "the store was closed before it answered", next_step="Open it again."
                ) from None
