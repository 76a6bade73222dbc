"""What the writer does when nothing is queued: look at the disk, import the spool, fill `lookup`, a step at a time."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Generator
from typing import Final

import apsw

from atom_console.dlq import database, spool
from atom_console.dlq.errors import StoreUnavailableError
from atom_console.dlq.health import Room, StoreSettings
from atom_console.dlq.insert import insert_records
from atom_console.dlq.link import Link
from atom_console.dlq.lookup import catch_up
from atom_console.dlq.place import Place
from atom_console.dlq.record import NewRecord
from atom_console.dlq.times import now_ms

LOG: Final = logging.getLogger("atom_console.dlq")

LOOK_AT_DISK_S: Final = 0.25
_LOOK_AT_SPOOL_S: Final = 5.0
_LARGE_LOG: Final = 8 * 2**20


class Upkeep:
    """Used by the writer's thread alone.

    Attributes:
        room: what the database uses and the disk has left, as last seen.
        behind: records may have come that `lookup` does not hold yet.

    Args:
        let_go: closes our own spill file, so that it can be imported.
    """

    def __init__(self, place: Place, settings: StoreSettings, link: Link, let_go: Callable[[], None]) -> None:
        self.behind = True
        self._place, self._settings, self._link, self._let_go = place, settings, link, let_go
        self._import: Generator[None, None, list[spool.ImportReport]] | None = None
        self._disk_at, self._spool_at = 0.0, time.monotonic()
        self._copied_at = -1
        self.room = Room(0, int(settings.max_bytes), place.free_bytes(), int(settings.min_free_bytes))

    @property
    def busy(self) -> bool:
        """There is more to do at once."""
        return (self.behind and not self.room.capped) or self._import is not None

    def look_at_disk(self) -> None:
        """Bring `room` up to date; the disk itself is asked every quarter of a second."""
        used, free = self.room.used_bytes, self.room.free_bytes
        conn = self._link.current
        if conn is not None:
            try:
                pages = conn.execute("PRAGMA page_count").get - conn.execute("PRAGMA freelist_count").get
                used = pages * database.PAGE_BYTES
            except apsw.Error as error:
                LOG.warning("the size is not known: %s", error, extra={"event": "dlq.size"})
        now = time.monotonic()
        if now - self._disk_at >= LOOK_AT_DISK_S:
            self._disk_at = now
            try:
                free = self._place.free_bytes()
            except OSError:
                free = 0
        self.room = Room(used, int(self._settings.max_bytes), free, int(self._settings.min_free_bytes))

    def step(self) -> None:
        """Come back after a fault, then one step of whatever waits. Never raises."""
        try:
            if self._link.resting:
                return
            if self._link.fault is not None:
                self._link.probe()
                self._spool_at = 0.0
            if self.behind and not self.room.capped:
                self.behind = self._link.transaction(catch_up)
            self._go_on_importing()
            self._copy_log()
        except (StoreUnavailableError, apsw.Error, OSError) as error:
            self._import = None
            LOG.warning("upkeep: %s", error, extra={"event": "dlq.upkeep"})

    def _go_on_importing(self) -> None:
        now = time.monotonic()
        if self._import is None and now - self._spool_at >= _LOOK_AT_SPOOL_S and not self.room.spent:
            self._spool_at = now
            self._let_go()
            if spool.waiting(self._place.spool):
                self._import = spool.import_spool(self._place.spool, self._insert)
        if self._import is None:
            return
        try:
            next(self._import)
        except StopIteration as done:
            self._import = None
            for report in done.value:
                LOG.info("%s", report.sentence(), extra={"event": "dlq.import"})

    def _copy_log(self) -> None:
        """Copy the write-ahead log into the file, when nothing else is to be done and it has grown."""
        conn = self._link.current
        if self.busy or conn is None or self._place.log_bytes() < _LARGE_LOG:
            return
        if self._copied_at != (changes := conn.total_changes()):  # once for what was written, not again and again
            self._copied_at = changes
            conn.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()

    def _insert(self, records: list[NewRecord], reason: str) -> int:
        at, cohorts = now_ms(), self._link.cohorts
        self.behind = True
        return self._link.transaction(
            lambda conn: len(insert_records(conn, records, cohorts, now_ms=at, action="import", reason=reason))
        )
