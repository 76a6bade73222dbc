"""An engine behind a screen that is drawn before it: its libraries take longer to load than the first frame."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from threading import Lock
from typing import TYPE_CHECKING

from atom_console.engine.protocol import DrainReport
from atom_console.engine.snapshot import EngineSnapshot, SessionSection
from atom_console.errors import RefusedError

if TYPE_CHECKING:
    from atom_console.engine.commands import Command, Receipt
    from atom_console.engine.protocol import DeadLetterReader, EngineLike
    from atom_console.engine.schema_shelf import SchemaShelf


class OpeningEngine:
    """See `EngineLike`. Until it is open nothing but the session is known; who asks for more waits for it.

    Args:
        session: known from the settings.
        start: makes the engine and starts it; called once, by `open` or by the first who needs it.
    """

    def __init__(self, session: SessionSection, start: Callable[[], EngineLike]) -> None:
        self._session = session
        self._start = start
        self._engine: EngineLike | None = None
        self._fault: Exception | None = None
        self._ended = False
        self._lock = Lock()

    def open(self) -> None:
        """Start it, if it was not and the end did not come first.

        Raises:
            Exception: what kept it from starting.
        """
        self._opened()
        if self._fault is not None:
            raise self._fault

    @property
    def dead_letters(self) -> DeadLetterReader | None:
        """Reads of the profile's store."""
        engine = self._opened()
        return None if engine is None else engine.dead_letters

    @property
    def schemas(self) -> SchemaShelf | None:
        """Every schema that this console has met."""
        engine = self._opened()
        return None if engine is None else engine.schemas

    def snapshot(self) -> EngineSnapshot:
        """The present state. Never blocks."""
        if self._engine is None:
            return EngineSnapshot(time.time_ns() // 1_000_000, self._session)
        return self._engine.snapshot()

    def submit(self, command: Command) -> Receipt:
        """Do it, or start it, and say what was done. Raises AtomError where it is refused or failed."""
        engine = self._opened()
        if engine is None:
            raise RefusedError("the console is closing")
        return engine.submit(command)

    def receipts(self) -> Sequence[Receipt]:
        """Receipts of what ended since the last call, oldest first."""
        return () if self._engine is None else self._engine.receipts()

    def drain(self, deadline_s: float) -> DrainReport:
        """Flush, purge, collect the last reports, keep what is left in the DLQ; after it nothing is opened."""
        with self._lock:
            self._ended = True
        return DrainReport("Nothing was in flight.") if self._engine is None else self._engine.drain(deadline_s)

    def stop(self) -> None:
        """Stop the threads. Call `drain` first."""
        if self._engine is not None:
            self._engine.stop()

    def _opened(self) -> EngineLike | None:
        with self._lock:
            if self._engine is None and self._fault is None and not self._ended:
                try:
                    self._engine = self._start()
                except Exception as fault:  # noqa: BLE001 (`open` tells it)
                    self._fault = fault
            return self._engine
