"""The database side of a run: the next records are loaded, and windows closed and opened, behind the sending thread."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, TypeVar

from atom_console.dlq.errors import StoreUnavailableError
from atom_console.dlq.replay import failpoints
from atom_console.dlq.replay.items import ChainKey, Item, Loader
from atom_console.dlq.replay.reading import connect
from atom_console.dlq.replay.windows import Clerk, Intent, Outcome, Turn
from atom_console.dlq.times import now_ms

if TYPE_CHECKING:
    import apsw

    from atom_console.dlq.replay.options import ReplayOptions
    from atom_console.dlq.store import Store

LOG: Final = logging.getLogger("atom_console.dlq")
T = TypeVar("T")

_RETRY_S: Final = 0.5
_GIVE_UP_S: Final = 60.0


@dataclass(frozen=True, slots=True)
class Opened:
    """What a turn brought: a window with its items, or neither."""

    turn: Turn
    number: int
    items: list[Item]


class Pipeline:
    """One turn at a time, and the records of the next window loaded meanwhile.

    Args:
        store: where the run lies.
        clerk: writes under the lease.
        first_number: of the first window.
        lows: called as late as possible before an intent is written.
        topic_ids: of the targets.
    """

    def __init__(
        self,
        store: Store,
        clerk: Clerk,
        options: ReplayOptions,
        *,
        first_number: int,
        lows: Callable[[], dict[str, dict[int, int]]],
        topic_ids: dict[str, str | None],
    ) -> None:
        self._store, self._clerk, self._lows, self._topic_ids = store, clerk, lows, topic_ids
        self._number = first_number
        self._writer = ThreadPoolExecutor(1, "dlq-replay-write")
        self._reader = ThreadPoolExecutor(1, "dlq-replay-read")
        self._conn: apsw.Connection = connect(store.directory)
        self._loader = Loader(self._conn, clerk.run_id, clerk.run_name, options)
        self._loading: Future[list[Item]] | None = None
        self._turning: Future[Opened] | None = None
        self._stopping = threading.Event()
        self.exhausted = False

    @property
    def busy(self) -> bool:
        """A turn is being written."""
        return self._turning is not None

    def prefetch(self, limit: int, blocked: set[ChainKey]) -> None:
        """Begin to load the next window's records, unless that is done or there are none."""
        if self._loading is None and not self.exhausted:
            self._loading = self._reader.submit(self._loader.load, limit, frozenset(blocked))

    def loaded(self) -> bool:
        """The records of the next window are there, or there are none."""
        if self._loading is None or not self._loading.done():
            return False
        if not self._loading.result():
            self._loading = None
            self.exhausted = True
            return False
        return True

    def rewind(self) -> None:
        """Look from the beginning for records that are ready."""
        self._drop_loaded()
        self._loader.rewind()
        self.exhausted = False

    def turn(self, close: Sequence[tuple[int, Outcome]], *, opening: bool) -> None:
        """Begin a turn: close these windows, open the next where its records are loaded. `busy` must be false."""
        items: list[Item] = []
        if opening and self.loaded() and self._loading is not None:
            items, self._loading = self._loading.result(), None
        number = self._number
        if items:
            self._number += 1
        self._turning = self._writer.submit(self._turn, list(close), number, items)

    def result(self, wait_s: float = 0.0) -> Opened | None:
        """What the turn brought, once it is committed; None while it is not.

        Raises:
            LeaseLostError, StoreUnavailableError: it was not.
        """
        if self._turning is None or (not self._turning.done() and not wait_s):
            return None
        try:
            opened = self._turning.result(wait_s or None)
        except TimeoutError:
            return None
        except BaseException:
            self._turning = None
            raise
        self._turning = None
        return opened

    def close(self) -> None:
        """End both threads; a turn that waits for the disk gives up."""
        self._stopping.set()
        self._drop_loaded()
        self._reader.shutdown(wait=True)
        self._writer.shutdown(wait=True)
        self._conn.close(True)

    def _drop_loaded(self) -> None:
        if self._loading is not None:
            self._loading.result()
            self._loading = None

    def _turn(self, close: list[tuple[int, Outcome]], number: int, items: list[Item]) -> Opened:
        if close:
            failpoints.reach("before_outcome")
        if items:
            failpoints.reach("before_intent")

        def work(conn: apsw.Connection) -> Turn:
            intent = Intent(number, [item.seq for item in items], self._lows(), self._topic_ids) if items else None
            return self._clerk.turn(conn, now_ms(), close=close, intent=intent)

        turn = persist(self._store, work, self._stopping)
        if close:
            failpoints.reach("after_outcome")
        if items:
            failpoints.reach("after_intent")
        if turn.changed:
            items = [item for item in items if item.seq not in turn.changed]
        return Opened(turn, number, items)


def persist(store: Store, work: Callable[[Any], T], stopping: threading.Event) -> T:
    """Run `work` in a transaction; a full or failing disk is tried again for a minute.

    Raises:
        StoreUnavailableError: still not.
        Exception: whatever `work` raises.
    """
    end = time.monotonic() + _GIVE_UP_S
    while True:
        try:
            return store.run(work)
        except StoreUnavailableError as error:
            if time.monotonic() > end or stopping.is_set():
                raise
            LOG.warning("a replay waits for the store: %s", error, extra={"event": "dlq.replay_waits"})
            stopping.wait(_RETRY_S)
