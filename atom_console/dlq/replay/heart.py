"""Says once a second that the run lives, and hears what operators in other processes ask of it."""

from __future__ import annotations

import logging
import threading
from typing import TYPE_CHECKING, Any, Final

from atom_console.dlq import lease
from atom_console.dlq.errors import StoreUnavailableError
from atom_console.dlq.replay.errors import LeaseLostError
from atom_console.dlq.times import now_ms

if TYPE_CHECKING:
    import apsw

    from atom_console.dlq.store import Store

LOG: Final = logging.getLogger("atom_console.dlq")


class Heart:
    """A thread of a run. Use it as a context manager.

    Attributes:
        requested: `pause`, `resume` or `cancel`, or None.
        lost: set when another process has taken the lease over; nothing may be sent or written then.
    """

    def __init__(self, store: Store, run_id: int, fencing: int) -> None:
        self.requested: str | None = None
        self.lost: LeaseLostError | None = None
        self._store, self._run_id, self._fencing = store, run_id, fencing
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._run, name="dlq-replay-heart", daemon=True)

    def __enter__(self) -> Heart:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._end.set()
        self._thread.join()

    def wait(self, seconds: float) -> None:
        """Wait, but not after the end."""
        self._end.wait(seconds)

    def _run(self) -> None:
        while not self._end.wait(lease.HEARTBEAT_S / 2):
            try:
                self.requested = self._store.run(self._beat)
            except LeaseLostError as error:
                self.lost = error
                return
            except StoreUnavailableError as error:
                LOG.warning("no heartbeat: %s", error, extra={"event": "dlq.replay_heart"})

    def _beat(self, conn: apsw.Connection) -> str | None:
        lease.beat(conn, self._fencing, now_ms())
        wish: Any = conn.execute("SELECT requested FROM run WHERE id = ?", (self._run_id,)).get
        return str(wish) if wish is not None else None
