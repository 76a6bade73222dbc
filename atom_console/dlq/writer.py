"""The one thread of a process that writes: group commits, and what happens to records when the database refuses them.

Every record ends in the database, or in the spill file, or stays in memory and is tried again; there is no fourth way.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING, Final, TypeVar

import apsw

from atom_console.dlq import database, journal, spool
from atom_console.dlq.errors import StoreUnavailableError
from atom_console.dlq.health import Health, Room, StoreSettings, judge
from atom_console.dlq.insert import Cohorts, Prepared, insert_records
from atom_console.dlq.intake import Batch, Call, Intake
from atom_console.dlq.lookup import catch_up
from atom_console.dlq.normalise import from_failure
from atom_console.dlq.place import Place
from atom_console.dlq.record import NewRecord
from atom_console.dlq.spill import SpillWriter

if TYPE_CHECKING:
    from atom_console.kafka.failure import FailedDelivery

LOG: Final = logging.getLogger("atom_console.dlq")
T = TypeVar("T")

_WORTH_PREPARING: Final = 200
_LINGER_S: Final = 0.003
_IDLE_S: Final = 0.05
_LOOK_AT_DISK_S: Final = 0.25
_LOOK_AT_SPOOL_S: Final = 5.0
_LOCKED_RETRIES: Final = 2
_RETRY_S: Final = (0.1, 0.2, 0.5, 1.0, 2.0, 5.0)


class Writer:
    """Owns the only read-write connection of the process.

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
        self._place, self._settings, self._owner, self._component = place, settings, owner, component
        self._conn: apsw.Connection | None = conn
        self._reopen = reopen
        self._cohorts = Cohorts()
        self._spill = SpillWriter(place.spool)
        self._unsaved: list[NewRecord] = []
        self._acks: list[int] = []
        self._fault: str | None = None
        self._failures_in_a_row = 0
        self._retry_at = 0.0
        self._disk_at = self._spool_at = 0.0
        self._room = Room(0, int(settings.max_bytes), place.free_bytes(), int(settings.min_free_bytes))
        self._import: Generator[None, None, list[spool.ImportReport]] | None = None
        self._lookup_behind = True
        self._following: tuple[Batch, Prepared | None] = (Batch(), None)
        self._ended = False
        self._health_changed = threading.Condition()
        self._thread = threading.Thread(target=self._run, name="dlq-writer", daemon=True)
        self._committer = ThreadPoolExecutor(1, "dlq-commit")
        self._look_at_disk()
        self.health = self._judge()

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

    def wait_for_health(self, good: Callable[[Health], bool], timeout_s: float) -> bool:
        """Wait until the health satisfies `good`."""
        with self._health_changed:
            return self._health_changed.wait_for(lambda: good(self.health), timeout_s)

    # What follows runs in the writer's thread.

    def transaction(self, work: Callable[[apsw.Connection], T]) -> T:
        """Run `work` in a transaction: committed when it returns, rolled back when it raises.

        Raises:
            StoreUnavailableError: the database cannot be used.
        """
        conn = self._connection()
        try:
            conn.execute("BEGIN IMMEDIATE")
            result = work(conn)
            conn.execute("COMMIT")
        except apsw.Error as error:
            self._undo(conn)
            if _is_disk(error):
                self._down(error)
                raise database.explain(error, self._place.database) from error
            raise
        except BaseException:
            self._undo(conn)
            raise
        self._cohorts.committed()
        self._look_at_disk()
        return result

    def insert(self, records: list[NewRecord], reason: str) -> int:
        """Store imported records in one transaction; how many are new."""
        now = _now_ms()

        def work(conn: apsw.Connection) -> int:
            return len(insert_records(conn, records, self._cohorts, now_ms=now, action="import", reason=reason))

        self._lookup_behind = True
        return self.transaction(work)

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
            except Exception:  # a fault of ours must not end the only thread that saves events
                LOG.exception("the writer met a fault of its own", extra={"event": "dlq.fault"})
                self._unsaved += self._normalise(batch.failures) if prepared is None else prepared.records
        self._finish()

    def _next(self) -> Batch:
        self._idle()
        wait = _IDLE_S if self._unsaved or self._acks or self._lookup_behind or self._import else _LOOK_AT_DISK_S
        if self._unsaved:
            wait = max(0.0, min(wait, self._retry_at - time.monotonic()))
        return self.intake.take(wait, linger_s=_LINGER_S)

    def _cycle(self, batch: Batch, prepared: Prepared | None) -> None:
        """Save one batch."""
        self._acks += batch.acks
        if self._unsaved:
            retried, self._unsaved = self._unsaved, []
            self._unsaved = self._keep(retried)
            self._update_health()
        records = [] if prepared is not None else self._normalise(batch.failures)
        if batch.failures or batch.appends or self._acks:
            self._commit(batch, records, prepared)
        for call in batch.calls:
            self._answer(call)

    def _commit(self, batch: Batch, records: list[NewRecord], prepared: Prepared | None) -> None:
        if prepared is None and records:
            prepared = Prepared(records, _now_ms())
        if prepared is not None and self._room.spent:
            self._spill_or_keep(list(prepared.records))
            prepared = None
        try:
            conn = self._connection()
            ranges = self._write(conn, batch, prepared)
        except (StoreUnavailableError, apsw.Error, ValueError, TypeError, OverflowError) as error:
            self._refused(batch, prepared, error)
            return
        for item, ids in zip(batch.appends, ranges, strict=True):
            item.done.set_result(ids)

    def _write(self, conn: apsw.Connection, batch: Batch, prepared: Prepared | None) -> list[range]:
        """One transaction; the numbers that each append got."""
        acks, now = self._acks, _now_ms()
        try:
            self._begin(conn)
            if prepared is not None:
                prepared.write(conn, self._cohorts, action="capture", reason="")
                journalled = [r.journal_id for r in prepared.records if r.journal_id is not None]
                if journalled:
                    journal.delete(conn, journalled)
            ranges = [
                journal.append(conn, self._owner, item.entries, component=self._component, now_ms=now)
                for item in batch.appends
            ]
            if acks:
                journal.delete(conn, acks)
            self._end(conn)
        except BaseException:
            self._undo(conn)
            raise
        self._acks = []
        self._cohorts.committed()
        if ranges:
            journal.learn_number(conn, self._owner)
        self._lookup_behind = self._lookup_behind or prepared is not None
        self._failures_in_a_row = 0
        self._look_at_disk()
        return ranges

    def _begin(self, conn: apsw.Connection) -> None:
        for attempt in range(_LOCKED_RETRIES + 1):
            try:
                conn.execute("BEGIN IMMEDIATE")
            except apsw.BusyError:
                if attempt == _LOCKED_RETRIES:
                    raise
            else:
                return

    def _end(self, conn: apsw.Connection) -> None:
        """Commit. While the disk works and more is waiting, the next batch is made ready."""
        if self.intake.queued < _WORTH_PREPARING:
            conn.execute("COMMIT")
            return
        commit = self._committer.submit(conn.execute, "COMMIT")
        batch = self.intake.take_now()
        self._following = (batch, None)
        records = self._normalise(batch.failures)
        if records:
            self._following = (batch, Prepared(records, _now_ms()))
        commit.result()

    def _normalise(self, failures: Sequence[FailedDelivery]) -> list[NewRecord]:
        records = []
        for failure in failures:
            try:
                record = from_failure(failure, self.cluster_id)
            except Exception:  # whatever is odd about the event, it is saved
                LOG.exception("an event could not be read", extra={"event": "dlq.unreadable"})
                record = from_failure(failure, self.cluster_id, read_event=False)
            if failure.journal_id is not None:
                record.id = self._owner.record_id(failure.journal_id)
            records.append(record)
        return records

    def _refused(self, batch: Batch, prepared: Prepared | None, error: Exception) -> None:
        """The transaction is gone: records go another way, callers of the journal hear of it."""
        records = list(prepared.records) if prepared is not None else []
        if isinstance(error, StoreUnavailableError) or (isinstance(error, apsw.Error) and _is_disk(error)):
            if isinstance(error, apsw.Error):
                self._down(error)
            self._spill_or_keep(records)
        else:
            LOG.error("a batch was refused, each record is tried alone: %s", error, extra={"event": "dlq.refused"})
            self._save_apart(records)
        reason = error if isinstance(error, StoreUnavailableError) else None
        for item in batch.appends:
            item.done.set_exception(reason or _explained(error, self._place))

    def _keep(self, records: list[NewRecord]) -> list[NewRecord]:
        """Database, else spill; what neither took."""
        now = _now_ms()
        try:
            self.transaction(lambda conn: insert_records(conn, records, self._cohorts, now_ms=now))
            self._acks += [r.journal_id for r in records if r.journal_id is not None]
        except (StoreUnavailableError, apsw.Error, ValueError, TypeError, OverflowError):
            return self._to_spill(records)
        self._lookup_behind = True
        return []

    def _save_apart(self, records: list[NewRecord]) -> None:
        """One transaction a record, so that one that cannot be stored fails alone."""
        self._unsaved = []
        for record in records:
            self._unsaved += self._keep([record])
        self._update_health()

    def _spill_or_keep(self, records: list[NewRecord]) -> None:
        if records:
            self._unsaved += self._to_spill(records)
        self._update_health()

    def _to_spill(self, records: list[NewRecord]) -> list[NewRecord]:
        try:
            self._spill.append(records)
        except OSError as error:
            LOG.error("spill file: %s", error.strerror or error, extra={"event": "dlq.spill_failed"})
            self._retry_at = time.monotonic() + _RETRY_S[0]
            return records
        self.spilled += len(records)
        self._acks += [r.journal_id for r in records if r.journal_id is not None]
        return []

    def _answer(self, call: Call) -> None:
        try:
            result = self.transaction(call.work)
        except BaseException as error:  # noqa: BLE001 -- it belongs to the caller
            call.done.set_exception(error)
        else:
            self._lookup_behind = True
            call.done.set_result(result)

    def _connection(self) -> apsw.Connection:
        """The connection; opened again when its time has come.

        Raises:
            StoreUnavailableError: not now.
        """
        if self._conn is not None:
            return self._conn
        if time.monotonic() < self._retry_at:
            raise StoreUnavailableError(self._fault or "the database is closed", next_step="Wait: it is tried again.")
        try:
            self._conn = self._reopen()
        except apsw.Error as error:
            self._down(error)
            raise database.explain(error, self._place.database) from error
        except Exception as error:
            self._fault = str(error)
            self._back_off()
            raise StoreUnavailableError(str(error), next_step="Wait: it is tried again.") from error
        self._cohorts, self._owner.number = Cohorts(), None  # it may be another file
        self._fault = None
        self._spool_at = 0.0
        self._update_health()
        return self._conn

    def _down(self, error: apsw.Error) -> None:
        """The database refused for a reason of the disk or of another process: let go of it for a while."""
        self._fault = database.explain(error, self._place.database).what
        LOG.error("%s", self._fault, extra={"event": "dlq.database_down"})
        if isinstance(error, database.DAMAGE):
            self._place.mark_suspect(str(error))
        conn, self._conn = self._conn, None
        self._import = None
        if conn is not None:
            try:
                conn.close(True)
            except apsw.Error as closing:
                LOG.warning("closing after a fault: %s", closing, extra={"event": "dlq.close"})
        self._back_off()
        self._update_health()

    def _back_off(self) -> None:
        wait = _RETRY_S[min(self._failures_in_a_row, len(_RETRY_S) - 1)]
        self._failures_in_a_row += 1
        self._retry_at = time.monotonic() + wait

    def _undo(self, conn: apsw.Connection) -> None:
        self._cohorts.rolled_back()
        try:
            if conn.in_transaction:
                conn.execute("ROLLBACK")
        except apsw.Error as error:
            LOG.warning("rolling back: %s", error, extra={"event": "dlq.rollback"})

    def _idle(self) -> None:
        """Nothing is queued: come back after a fault, look at disk and spool, go on with slow work a step at a time."""
        now = time.monotonic()
        if self._conn is None and now >= self._retry_at:
            try:
                self._connection()
            except StoreUnavailableError:
                return
        if now - self._disk_at >= _LOOK_AT_DISK_S:
            self._look_at_disk()
        if self._conn is None:
            return
        try:
            if self._lookup_behind:
                self._lookup_behind = self.transaction(catch_up)
            self._go_on_importing(now)
        except (StoreUnavailableError, apsw.Error, OSError) as error:
            LOG.warning("housekeeping: %s", error, extra={"event": "dlq.housekeeping"})

    def _go_on_importing(self, now: float) -> None:
        if self._import is None and now - self._spool_at >= _LOOK_AT_SPOOL_S and not self._room.spent:
            self._spool_at = now
            if self._fault is None:
                self._spill.close()
            if spool.waiting(self._place.spool):
                self._import = spool.import_spool(self._place.spool, self.insert)
        if self._import is not None:
            try:
                next(self._import)
            except StopIteration as done:
                self._import = None
                for report in done.value:
                    LOG.info("imported %s: %d new", report.path.name, report.added, extra={"event": "dlq.import"})
            except BaseException:
                self._import = None
                raise

    def _look_at_disk(self) -> None:
        now = time.monotonic()
        used = self._room.used_bytes
        if self._conn is not None:
            try:
                pages = self._conn.execute("PRAGMA page_count").get - self._conn.execute("PRAGMA freelist_count").get
                used = pages * database.PAGE_BYTES
            except apsw.Error:
                used = self._room.used_bytes
        free = self._room.free_bytes
        if now - self._disk_at >= _LOOK_AT_DISK_S:
            self._disk_at = now
            try:
                free = self._place.free_bytes()
            except OSError:
                free = 0
        self._room = Room(used, int(self._settings.max_bytes), free, int(self._settings.min_free_bytes))
        self._update_health()

    def _update_health(self) -> None:
        self.intake.unbounded(bool(self._unsaved))
        health = self._judge()
        if not hasattr(self, "health") or health == self.health:
            return
        with self._health_changed:
            self.health = health
            self._health_changed.notify_all()

    def _judge(self) -> Health:
        return judge(
            self._place,
            self._room,
            fault=self._fault or ("the size cap and its reserve are used up" if self._room.spent else None),
            unsaved=len(self._unsaved),
            queued=self.intake.queued,
            spilled=self.spilled,
            closed=self.intake.closed,
        )

    def _give_up(self) -> bool:
        """At the end: one last try for what is in memory; whether nothing more can be done."""
        self._retry_at = 0.0
        self._unsaved = self._keep(self._unsaved)
        return bool(self._unsaved)

    def _finish(self) -> None:
        self._committer.shutdown(wait=True)
        self._spill.close()
        if self._conn is not None:
            try:
                if self._acks:
                    self.transaction(lambda conn: journal.delete(conn, self._acks))
                self._conn.execute("PRAGMA optimize")
                self._conn.close()
            except (apsw.Error, StoreUnavailableError) as error:
                LOG.warning("closing: %s", error, extra={"event": "dlq.close"})
            self._conn = None
        self._ended = True
        self._update_health()


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


def _is_disk(error: apsw.Error) -> bool:
    """Whether the database as a whole is in trouble, not the statement or the row."""
    kinds = (
        apsw.BusyError, apsw.LockedError, apsw.FullError, apsw.ReadOnlyError, apsw.CantOpenError, apsw.PermissionsError,
        apsw.IOError, apsw.NoMemError, apsw.AuthError, apsw.ConnectionClosedError, *database.DAMAGE,
    )  # fmt: skip
    return isinstance(error, kinds)


def _explained(error: Exception, place: Place) -> StoreUnavailableError:
    if isinstance(error, apsw.Error):
        return database.explain(error, place.database)
    return StoreUnavailableError(f"{place.database}: {error}", next_step="See the log file.")


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
