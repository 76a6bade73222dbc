"""The writer's tie to the database: transactions, letting go after a fault, coming back after a while."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import Final, TypeVar

import apsw

from atom_console.dlq import database
from atom_console.dlq.errors import StoreUnavailableError
from atom_console.dlq.insert import Cohorts
from atom_console.dlq.place import Place

LOG: Final = logging.getLogger("atom_console.dlq")
T = TypeVar("T")

_LOCKED_RETRIES: Final = 2
_RETRY_S: Final = (0.1, 0.2, 0.5, 1.0, 2.0, 5.0)


class Link:
    """Used by the writer's thread alone.

    Attributes:
        fault: why the database does not take anything at the moment, or None.
        retry_at: `time.monotonic` of the next try after a fault.
        cohorts: what this process knows of the cohorts in the file.

    Args:
        conn: the open connection.
        reopen: opens it again after a fault, salvaging if need be; `reopened` is called after that.
        changed: called whenever `fault` changes.
    """

    def __init__(
        self,
        place: Place,
        conn: apsw.Connection,
        *,
        reopen: Callable[[], apsw.Connection],
        reopened: Callable[[], None],
        changed: Callable[[], None],
    ) -> None:
        self.fault: str | None = None
        self.retry_at = 0.0
        self.cohorts = Cohorts()
        self._place, self._reopen, self._reopened, self._changed = place, reopen, reopened, changed
        self._conn: apsw.Connection | None = conn
        self._faults_in_a_row = 0

    @property
    def resting(self) -> bool:
        """A fault was met and the time of the next try has not come."""
        return self.fault is not None and time.monotonic() < self.retry_at

    @property
    def current(self) -> apsw.Connection | None:
        """The connection, if there is one now."""
        return self._conn

    def connection(self) -> apsw.Connection:
        """The connection; opened again when its time has come.

        Raises:
            StoreUnavailableError: not now.
        """
        if self._conn is not None:
            return self._conn
        if self.resting:
            raise StoreUnavailableError(self.fault or "the database is closed", next_step="Wait: it is tried again.")
        try:
            self._conn = self._reopen()
        except apsw.Error as error:
            self.down(error)
            raise database.explain(error, self._place.database) from error
        except Exception as error:
            self.fault = str(error)
            self._back_off()
            raise StoreUnavailableError(str(error), next_step="Wait: it is tried again.") from error
        self.cohorts = Cohorts()  # it may be another file
        self.fault = None
        self._reopened()
        return self._conn

    def transaction(self, work: Callable[[apsw.Connection], T]) -> T:
        """Run `work` in a transaction: committed when it returns, rolled back when it raises.

        Raises:
            StoreUnavailableError: the database cannot be used.
        """
        conn = self.connection()
        try:
            self.begin(conn)
            before = conn.total_changes()
            result = work(conn)
            wrote = conn.total_changes() != before
            conn.execute("COMMIT")
        except apsw.Error as error:
            self.undo(conn)
            if database.in_trouble(error):
                self.down(error)
                raise database.explain(error, self._place.database) from error
            raise
        except BaseException:
            self.undo(conn)
            raise
        if wrote:  # a commit of nothing says nothing about the disk
            self.committed()
        return result

    def probe(self) -> None:
        """Write something that changes nothing, to see whether the database takes anything again.

        Raises:
            StoreUnavailableError: not yet.
        """
        self.transaction(lambda conn: conn.execute("UPDATE meta SET value = value WHERE name = 'next_seq'"))

    def begin(self, conn: apsw.Connection) -> None:
        """Start to write; another process may hold the lock for a while."""
        for attempt in range(_LOCKED_RETRIES + 1):
            try:
                conn.execute("BEGIN IMMEDIATE")
            except apsw.BusyError:
                if attempt == _LOCKED_RETRIES:
                    raise
            else:
                return

    def committed(self) -> None:
        """A transaction holds."""
        self.cohorts.committed()
        self._faults_in_a_row = 0
        if self.fault is not None:
            self.fault = None
            self._changed()

    def undo(self, conn: apsw.Connection) -> None:
        """Roll back; best effort after a fault."""
        self.cohorts.rolled_back()
        try:
            if conn.in_transaction:
                conn.execute("ROLLBACK")
        except apsw.Error as error:
            LOG.warning("rolling back: %s", error, extra={"event": "dlq.rollback"})

    def down(self, error: apsw.Error) -> None:
        """The database refused for a reason of the disk or of another process: leave it alone for a while.

        After a fault of the disk or the file the connection is closed too; a full store or a lock leaves it usable.
        """
        self.fault = database.explain(error, self._place.database).what
        LOG.error("%s", self.fault, extra={"event": "dlq.database_down"})
        if isinstance(error, database.DAMAGE):
            self._place.mark_suspect(str(error))
        if not isinstance(error, (apsw.FullError, apsw.BusyError, apsw.LockedError)):
            self.close()
        self._back_off()

    def close(self) -> None:
        """Close the connection; best effort after a fault."""
        conn, self._conn = self._conn, None
        if conn is not None:
            try:
                conn.close(True)
            except apsw.Error as error:
                LOG.warning("closing: %s", error, extra={"event": "dlq.close"})

    def _back_off(self) -> None:
        wait = _RETRY_S[min(self._faults_in_a_row, len(_RETRY_S) - 1)]
        self._faults_in_a_row += 1
        self.retry_at = time.monotonic() + wait
        self._changed()
