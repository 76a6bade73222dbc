"""A whole transfer: schema first, then the rows into a sink, again from the start where the link broke for good."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from threading import Event, Lock
from typing import TYPE_CHECKING

from atom_console.errors import AtomError
from atom_console.flight.errors import (
    FrozenPeerError,
    PeerUnreachableError,
    TooManyPingsError,
    TransferCancelledError,
)
from atom_console.flight.fetch import Fetch
from atom_console.flight.fetch_plan import FetchPlan, Progress

if TYPE_CHECKING:
    import pyarrow as pa

    from atom_console.flight.client import FlightConsole, ServerSchema
    from atom_console.flight.sinks import Sink

_BROKEN_LINK = (PeerUnreachableError, FrozenPeerError, TooManyPingsError)


@dataclass(frozen=True, slots=True)
class Summary:
    """What a transfer did.

    Attributes:
        progress: at its end.
        restarts: how often it began anew, dropping what it had.
        promised: what GetSchema said.
        schema: the stream's own.
    """

    progress: Progress
    restarts: int
    promised: ServerSchema | None
    schema: pa.Schema


class Download:
    """One transfer into a sink. `run` in one thread; `cancel` and `progress` from any.

    Args:
        console: the server.
        plan: a plan id, or endpoints made by hand.
        sink: where the rows go.
        promised: from `FlightConsole.schema`; None takes the stream's own schema on purpose. A declared schema (the
            server's is invalid) is not held against the stream.
        restarts: how often a link that broke may be answered by a start from zero.
        on_restart: told the error, before each.
    """

    def __init__(
        self,
        console: FlightConsole,
        plan: str | FetchPlan,
        sink: Sink,
        *,
        promised: ServerSchema | None = None,
        restarts: int = 3,
        on_restart: Callable[[AtomError], None] | None = None,
    ) -> None:
        self._console = console
        self._plan = plan
        self._sink = sink
        self._promised = promised
        self._restarts = restarts
        self._on_restart = on_restart
        self._cancelled = Event()
        self._lock = Lock()
        self._fetch: Fetch | None = None

    def run(self) -> Summary:
        """Transfer everything.

        Raises:
            AtomError: as `Fetch` and the sink do; nothing is left under the output's name.
        """
        restarts = 0
        try:
            while True:
                try:
                    return self._once(restarts)
                except _BROKEN_LINK as error:
                    begun = self._fetch is not None and self._fetch.progress().batches > 0
                    if not begun or restarts >= self._restarts or self._cancelled.is_set():
                        raise
                    restarts += 1
                    if self._on_restart is not None:
                        self._on_restart(error)
                    self._cancelled.wait(min(0.2 * 2**restarts, 2.0))
        except BaseException:
            self._sink.abort()
            raise

    def cancel(self) -> None:
        """Stop; returns at once."""
        self._cancelled.set()
        with self._lock:
            fetch = self._fetch
        if fetch is not None:
            fetch.cancel()

    def progress(self) -> Progress | None:
        """Where it stands, or None before it began."""
        with self._lock:
            return self._fetch.progress() if self._fetch is not None else None

    def _once(self, restarts: int) -> Summary:
        promised = self._promised
        expected = promised.schema if promised is not None and promised.source == "server" else None
        with self._begin(expected) as fetch:
            self._sink.open(fetch.schema)
            for batch in fetch:
                self._sink.write(batch)
            self._sink.commit()
            return Summary(fetch.progress(), restarts, promised, fetch.schema)

    def _begin(self, expected: pa.Schema | None) -> Fetch:
        plan = self._console.info(self._plan).fetch if isinstance(self._plan, str) else self._plan
        with self._lock:
            if self._cancelled.is_set():
                raise TransferCancelledError(f"{plan.name}: cancelled before it began")
            self._fetch = self._console.fetch(plan, expected=expected)
            return self._fetch
