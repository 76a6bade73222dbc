"""The dead letter store of one cluster profile: opened by every process that captures, triages or replays.

    with Store.open(directory, settings.dlq, component="producer@app-3") as store:
        publisher = Publisher(settings, sink=store, journal=store)

`Store` is both the `FailureSink` and the `Journal` of the producer. Reading goes through `reader.Reader`.
"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Final, TypeVar

import apsw

from atom_console.dlq import database, journal, spool
from atom_console.dlq.errors import NotSavedError, StoreDamagedError, StoreUnavailableError
from atom_console.dlq.health import Health, StoreSettings
from atom_console.dlq.insert import Cohorts, insert_records
from atom_console.dlq.intake import Append, Call
from atom_console.dlq.normalise import from_failure
from atom_console.dlq.place import Place, lock
from atom_console.dlq.reader import Reader
from atom_console.dlq.record import NewRecord
from atom_console.dlq.salvage import Salvage, put_aside, salvage
from atom_console.dlq.spill_file import SpillWriter
from atom_console.dlq.times import now_ms
from atom_console.dlq.writer import Writer, wait_for

if TYPE_CHECKING:
    from atom_console.kafka.failure import FailedDelivery, JournalEntry

LOG: Final = logging.getLogger("atom_console.dlq")
T = TypeVar("T")

_CHECK_S: Final = 0.25
_BLOCK_S: Final = 5.0


@dataclass(frozen=True, slots=True)
class DefaultSettings:
    """What a store needs when there is no configuration: 10 GiB at most, 512 MiB of disk left free, FULL."""

    max_bytes: int = 10 * 2**30
    min_free_bytes: int = 512 * 2**20
    full_policy: str = "block"
    sync: str = "FULL"


class Store:
    """An open store. Every method is safe to call from any thread. Use `open`."""

    def __init__(
        self, place: Place, settings: StoreSettings, writer: Writer, owner: journal.Owner, store_fd: int, component: str
    ) -> None:
        self._place, self._settings, self._writer, self._owner = place, settings, writer, owner
        self._store_fd, self._component = store_fd, component
        self._closed = False
        self._late: list[NewRecord] = []
        self.salvage: Salvage | None = None
        self.recovered = 0
        self.imported: list[spool.ImportReport] = []

    @classmethod
    def open(cls, directory: Path, settings: StoreSettings | None = None, *, component: str = "atom-console") -> Store:
        """Open the store in `directory`, making it where it is missing.

        A damaged file is put aside and salvaged (`salvage` says what was saved); rows that a dead process left in the
        journal become dead letters (`recovered`); spill files are imported (`imported`).

        Args:
            directory: made 0700; must be on a local filesystem.
            settings: cap, floor, policy and sync; the `dlq` section of the settings.
            component: who captures, shown on every record, e.g. `producer@app-3`.

        Raises:
            StoreUnavailableError: no permission, network filesystem, locked for too long, disk fault.
            StoreDamagedError: damaged, and another process has it open.
            StoreVersionError: written by a newer version.
        """
        settings = DefaultSettings() if settings is None else settings
        place = Place(directory)
        place.prepare()
        with place.opening():
            store_fd = place.join()
            try:
                conn, report = _open_sound(place, settings, store_fd)
            except BaseException:
                os.close(store_fd)
                raise
        owner = journal.Owner.start(place)

        def reopen() -> apsw.Connection:
            with place.opening(wait_s=1.0):
                return _open_sound(place, settings, store_fd)[0]

        writer = Writer(place, settings, owner, component, conn, reopen)
        store = cls(place, settings, writer, owner, store_fd, component)
        store.salvage = report
        writer.start()
        try:
            store.recovered = store.recover_journals()
            store.imported = store.import_spool()
        except StoreUnavailableError as error:
            LOG.error("opened, but not tidied: %s", error, extra={"event": "dlq.tidy"})
        return store

    def __enter__(self) -> Store:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def directory(self) -> Path:
        """Where the store is."""
        return self._place.root

    def reader(self) -> Reader:
        """A reader of the same store; close it when done."""
        return Reader(self._place.root)

    # Intake.

    @property
    def health(self) -> Health:
        """How the store is now."""
        return self._writer.judged()

    def require_intake(self, wait_s: float | None = None) -> None:
        """Say whether a new event may come in; cheap enough for every event.

        Args:
            wait_s: how long to wait for room; by default 5 s with `full_policy` block, and not at all with reject_new.

        Raises:
            IntakeRefusedError: at the size cap, below the disk floor, or nothing can be saved.
        """
        if self._writer.health.accepting:
            return
        if wait_s is None:
            wait_s = _BLOCK_S if self._settings.full_policy == "block" else 0.0
        if wait_s and not self._closed:
            self._writer.wait_for_health(lambda health: health.accepting, wait_s)
        refusal = self._writer.health.refusal()
        if refusal is not None:
            raise refusal

    def set_cluster(self, cluster_id: str | None) -> None:
        """The cluster that failures from now on belong to; a replay to another one is refused."""
        self._writer.cluster_id = cluster_id

    # FailureSink.

    def capture(self, failure: FailedDelivery, /) -> None:
        """Take over one failure. Never raises; waits for the disk while the queue is full.

        After `close` the record goes straight to a spill file.
        """
        if self._writer.intake.put(failure):
            return
        record = from_failure(failure, self._writer.cluster_id)
        if failure.journal_id is not None:
            record.id = self._owner.record_id(failure.journal_id)
        late = SpillWriter(self._place.spool)
        try:
            late.append([record])
        except OSError as error:
            self._late.append(record)
            LOG.critical("an event came after the close and could not be saved: %s", error, extra={"event": "dlq.late"})
        finally:
            late.close()

    # Journal.

    def append(self, entries: Sequence[JournalEntry], /) -> Sequence[int]:
        """Commit entries to the write-ahead journal; their numbers, in order. Callers share commits.

        Raises:
            IntakeRefusedError: no new events may come in.
            StoreUnavailableError: the database did not take them; they are not accepted.
        """
        if not entries:
            return ()
        self.require_intake()
        done: Future[Sequence[int]] = Future()
        if not self._writer.intake.append(Append(entries, done)):
            raise self._is_closed()
        return wait_for(done, lambda: self._writer.ended)

    def acknowledge(self, ids: Sequence[int], /) -> None:
        """The broker has these; they are deleted with a later commit. Never raises, never waits."""
        self._writer.intake.acknowledge(ids)

    # Everything else that writes.

    def run(self, work: Callable[[apsw.Connection], T]) -> T:
        """Run `work` in one transaction in the writer's thread; what it returns, once that is committed.

        Raises:
            StoreUnavailableError: the database cannot be used, or the store is closed.
            Exception: whatever `work` raises; nothing of it is stored.
        """
        if self._writer.here():
            return self._writer.transaction(work)
        done: Future[T] = Future()
        if not self._writer.intake.call(Call(work, done)):
            raise self._is_closed()
        return wait_for(done, lambda: self._writer.ended)

    def insert(self, records: Sequence[NewRecord], *, action: str = "import", reason: str = "") -> int:
        """Store records that came another way (DLQ topics, files), in one transaction; how many are new.

        Raises:
            IntakeRefusedError: at the size cap or below the disk floor.
            StoreUnavailableError: the database did not take them.
        """
        self.require_intake(0.0)
        now = now_ms()
        return self.run(
            lambda conn: len(insert_records(conn, records, Cohorts(), now_ms=now, action=action, reason=reason))
        )

    def import_spool(self) -> list[spool.ImportReport]:
        """Take in the spill files of the spool, each record exactly once; one report a file."""
        return spool.run(spool.import_spool(self._place.spool, self._import))

    def import_path(self, path: Path) -> list[spool.ImportReport]:
        """Take in a spill file, or those of a directory, by path; the files stay where they are.

        Raises:
            SpillFileError: no such file, or not a spill file.
        """
        return [spool.run(spool.import_file(file, self._import)) for file in spool.files_of(path)]

    def recover_journals(self) -> int:
        """Turn journal rows of processes that do not live any more into dead letters; how many."""
        dead = self.run(lambda conn: journal.dead_owners(conn, self._place, self._owner))
        total = 0
        for number, name, fd in dead:
            try:
                while True:
                    found = self.run(lambda conn, n=number: journal.recover_some(conn, Cohorts(), n, now_ms=now_ms()))  # type: ignore[misc]  # mypy cannot infer a lambda with a default
                    if not found:
                        break
                    total += found
                (self._place.owners / f"{name}.lock").unlink(missing_ok=True)
            finally:
                if fd is not None:
                    os.close(fd)
        return total

    def flush(self, timeout_s: float = 30.0) -> None:
        """Wait until everything captured before this call is safe on disk, in the database or a spill file.

        Raises:
            NotSavedError: some of it is in memory only.
        """
        deadline = time.monotonic() + timeout_s
        while self._writer.intake.queued and time.monotonic() < deadline and not self._writer.ended:
            time.sleep(0.002)
        try:
            self.run(lambda conn: None)
        except StoreUnavailableError:
            LOG.warning("flush: the database is not available", extra={"event": "dlq.flush"})
        self._raise_unsaved()

    def close(self, timeout_s: float = 30.0) -> None:
        """Write what is queued and let go of everything. A second call does nothing.

        Raises:
            NotSavedError: some events could be written nowhere; `unsaved` has them.
        """
        if self._closed:
            return
        self._closed = True
        self._writer.intake.close()
        if not self._writer.join(timeout_s):
            raise StoreUnavailableError(
                f"{self._place.database}: the writer did not end in {timeout_s:.0f} s", next_step="Look at the disk."
            )
        self._owner.stop()
        os.close(self._store_fd)
        self._raise_unsaved()

    def unsaved(self) -> tuple[NewRecord, ...]:
        """After `close`: events that are in memory only, to be saved by whoever can."""
        return (*self._writer.unsaved(), *self._late)

    def _import(self, records: list[NewRecord], reason: str) -> int:
        now = now_ms()
        return self.run(
            lambda conn: len(insert_records(conn, records, Cohorts(), now_ms=now, action="import", reason=reason))
        )

    def _raise_unsaved(self) -> None:
        health = self._writer.health
        count = health.unsaved + len(self._late)
        if count:
            raise NotSavedError(
                health.sentence or f"{count} events are in memory only",
                unsaved=count,
                next_step=health.next_step or None,
            )

    def _is_closed(self) -> StoreUnavailableError:
        return StoreUnavailableError(f"the store {self._place.database} is closed", next_step="Open it again.")


def _open_sound(place: Place, settings: StoreSettings, store_fd: int) -> tuple[apsw.Connection, Salvage | None]:
    """A connection to a sound database; a damaged one is put aside first. The caller holds `opening`."""
    place.create_database()
    sync: database.Sync = "NORMAL" if settings.sync == "NORMAL" else "FULL"
    try:
        conn, fault = _checked(place, settings, sync)
    except (*database.DAMAGE, UnicodeDecodeError) as error:  # a damaged name in SQLite's message is the latter
        conn, fault = None, str(error)
    except apsw.Error as error:
        raise database.explain(error, place.database) from error
    if fault is None and conn is not None:
        return conn, None
    if conn is not None:
        conn.close(True)
    if not lock(store_fd, exclusive=True, wait_s=1.0):
        place.mark_suspect(fault or "")
        raise StoreDamagedError(
            f"{place.database} is damaged ({fault}) and another process has it open",
            next_step=f"Stop who uses it (`fuser -v {place.root / 'store.lock'}`): the next one to open repairs it.",
        )
    try:
        bad = put_aside(place, now_ms())
        place.create_database()
        conn = database.open_writer(place.database, sync=sync, max_bytes=int(settings.max_bytes))
        report = salvage(bad, conn, fault or "", now_ms=now_ms())
        place.suspect.unlink(missing_ok=True)
    except apsw.Error as error:
        raise database.explain(error, place.database) from error
    finally:
        lock(store_fd, exclusive=False)
    LOG.critical("%s", report.sentence(), extra={"event": "dlq.salvage"})
    return conn, report


def _checked(place: Place, settings: StoreSettings, sync: database.Sync) -> tuple[apsw.Connection | None, str | None]:
    """Open and look for damage: for a quarter of a second, or to the end where damage is suspected."""
    suspected = place.suspect.exists()
    conn = database.open_writer(place.database, sync=sync, max_bytes=int(settings.max_bytes))
    fault = database.quick_check(conn, budget_s=None if suspected else _CHECK_S)
    if suspected and fault is None:
        place.suspect.unlink(missing_ok=True)
    return conn, fault
