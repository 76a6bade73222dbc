"""One Flight server: its questions are asked one after another in a thread of its own.

A call to a server that hangs cannot be interrupted, so another address means another session, and the old thread ends
by itself when its call does.
"""

from __future__ import annotations

import logging
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, replace
from threading import Condition, Thread
from typing import TYPE_CHECKING, Final, NamedTuple

from atom_console.engine import rotation
from atom_console.engine.flight_link import flight_connection
from atom_console.engine.flight_view import FlightRow, KeepAlive, PlanSchema, ServerState
from atom_console.engine.tls_advice import Advice, TlsAdvisor, explain_flight
from atom_console.errors import AtomError, UnreachableError
from atom_console.safe_text import safe_text

if TYPE_CHECKING:
    import pyarrow as pa

    from atom_console.config import Settings
    from atom_console.flight.client import FlightConsole

LOG: Final = logging.getLogger("atom_console.engine")
LOOK_S: Final = 10.0
"""Seconds between two calls that only ask whether the server is there."""

_KEPT_SCHEMAS: Final = 200
_LOOKING: Final = "calling it"


@dataclass(frozen=True, slots=True)
class ServerFacts:
    """What is known of the server now. Times are `time.monotonic()` seconds.

    Attributes:
        uri: as it is dialled; as it was given while it is not known to be an address.
        doing: the question that is open, and since when.
        answered_s: the last answer of any kind.
        call_ms: how long a call took on the open connection.
        listed_s: when `flights` was answered; None before.
        note: why there is no list.
    """

    uri: str
    state: ServerState = "asking"
    transport: str | None = None
    keepalive: KeepAlive | None = None
    doing: str | None = None
    doing_s: float = 0.0
    answered_s: float | None = None
    call_ms: float | None = None
    flights: tuple[FlightRow, ...] = ()
    listed_s: float | None = None
    note: str | None = None
    schemas: tuple[PlanSchema, ...] = ()
    detail: str | None = None
    next_step: str | None = None


class _Job(NamedTuple):
    """A question, and what it is in words."""

    what: str
    ask: Callable[[FlightConsole], None]


class FlightSession:
    """Asks one server; `facts` may be read by any thread.

    Args:
        settings: with the `flight` section.
        uri: instead of the configured address.
        on_schema: told each schema that the server itself promised: plan, source, schema.
    """

    def __init__(
        self,
        settings: Settings,
        uri: str | None,
        on_schema: Callable[[str, str, pa.Schema], None] = lambda plan, source, schema: None,
    ) -> None:
        self._settings, self._uri, self._on_schema = settings, uri, on_schema
        self.facts = ServerFacts(safe_text(uri or settings.flight.uri))
        self._console: FlightConsole | None = None
        self._files_due_s = 0.0
        self._advisor = TlsAdvisor(lambda error: explain_flight(settings, error, uri))
        self._listed: tuple[FlightRow, ...] = ()
        self._named: dict[str, FlightRow] = {}
        self._jobs: OrderedDict[str, _Job] = OrderedDict()
        self._wake, self._stopped = Condition(), False
        Thread(target=self._run, name="flight-session", daemon=True).start()

    def list_flights(self) -> None:
        """Ask for the list, and forget the schemas."""
        self._submit("list", "listing the plans", self._list)

    def fetch_schema(self, plan_id: str, *, by_hand: bool = False) -> None:
        """Ask for a plan's schema, instead of one that still waits to be asked for."""
        if by_hand:
            self._named[plan_id] = FlightRow(safe_text(plan_id), by_hand=True)
        self._submit("schema", f"asking for the schema of {plan_id}", lambda console: self._schema(console, plan_id))

    def look(self) -> None:
        """Ask whether it is there."""
        self._submit("look", _LOOKING, self._look)

    @property
    def advice(self) -> Advice | None:
        """Which fault of certificates keeps us from the server, where one does."""
        return self._advisor.advice

    def close(self) -> None:
        """Ask nothing more."""
        with self._wake:
            self._stopped = True
            self._jobs.clear()
            self._wake.notify()

    # What follows runs in the session's thread.

    def _submit(self, kind: str, what: str, ask: Callable[[FlightConsole], None]) -> None:
        with self._wake:
            self._jobs[kind] = _Job(what, ask)
            self._wake.notify()

    def _run(self) -> None:
        while (job := self._next()) is not None:
            self._put(doing=safe_text(job.what), doing_s=time.monotonic())
            try:
                job.ask(self._connected())
            except AtomError as error:
                self._failed(error)
            except Exception as error:  # a session must outlive a fault in what it asks
                LOG.exception("flight session: a fault of ours", extra={"event": "flight.fault"})
                self._failed(AtomError(f"a fault of ours ({type(error).__name__})", next_step="the log has more"))
            self._put(doing=None)
        if self._console is not None:
            self._console.close()

    def _next(self) -> _Job | None:
        with self._wake:
            if not self._wake.wait_for(lambda: self._jobs or self._stopped, LOOK_S):
                return _Job(_LOOKING, self._look)
            return None if self._stopped else self._jobs.popitem(last=False)[1]

    def _connected(self) -> FlightConsole:
        if self._console is None:
            self._console = make_console(self._settings, self._uri)
            connection = self._console.connection
            options = connection.options
            alive = KeepAlive(
                options.keepalive_time_ms, options.http2_ping_timeout_ms, options.keepalive_permit_without_calls
            )
            self._put(uri=safe_text(connection.uri), transport=connection.transport, keepalive=alive)
        elif (now_s := time.monotonic()) >= self._files_due_s:
            self._files_due_s = now_s + rotation.LOOK_S
            self._console = rotation.newer_console(self._console, lambda: make_console(self._settings, self._uri))
        return self._console

    def _look(self, console: FlightConsole) -> None:
        pong = console.ping()
        before = self.facts.state
        self._answered(call_ms=pong.call_ms)
        if before != "answers" or self.facts.listed_s is None:
            self._list(console)

    def _list(self, console: FlightConsole) -> None:
        from atom_console.flight.errors import UnimplementedRpcError

        note = None
        try:
            self._listed = tuple(
                FlightRow(entry.plan_id, entry.descriptor, entry.rows, entry.bytes, entry.endpoints)
                for entry in console.list_flights()
            )
        except UnimplementedRpcError:
            self._listed, note = (), "the server has no ListFlights"
        self._answered(flights=self._all(), listed_s=time.monotonic(), note=note, schemas=())

    def _all(self) -> tuple[FlightRow, ...]:
        """The server's list, then what was named by hand and is not in it."""
        known = {row.plan_id for row in self._listed}
        return (*self._listed, *(row for row in list(self._named.values()) if row.plan_id not in known))

    def _schema(self, console: FlightConsole, plan_id: str) -> None:
        from atom_console.engine.flight_fields import field_rows
        from atom_console.flight.mdf import MDF_SCHEMA

        now_s = time.monotonic()
        try:
            found = console.schema(plan_id)
        except UnreachableError:
            raise
        except AtomError as error:
            self._keep(PlanSchema(plan_id, failed=error.what, next_step=error.next_step, asked_s=now_s))
            self._answered(flights=self._all())
            return
        fields, notes = field_rows(MDF_SCHEMA, found.schema)
        self._keep(PlanSchema(plan_id, fields, found.mark, safe_text(found.problem), notes, asked_s=now_s))
        self._answered(flights=self._all())
        if found.source == "server":
            self._on_schema(plan_id, console.connection.uri, found.schema)

    def _keep(self, schema: PlanSchema) -> None:
        others = [known for known in self.facts.schemas if known.plan_id != schema.plan_id]
        self._put(schemas=(*others, schema)[-_KEPT_SCHEMAS:])

    def _answered(self, **changes: object) -> None:
        self._advisor.answered()
        self._put(state="answers", answered_s=time.monotonic(), detail=None, next_step=None, **changes)

    def _failed(self, error: AtomError) -> None:
        self._advisor.failed(error)
        state: ServerState = "refuses" if self._console is not None else "unusable"
        if isinstance(error, UnreachableError):
            state = "away"
        self._put(state=state, detail=safe_text(error.what), next_step=error.next_step)

    def _put(self, **changes: object) -> None:
        self.facts = replace(self.facts, **changes)  # type: ignore[arg-type]  # the names are those of the facts


def make_console(settings: Settings, uri: str | None) -> FlightConsole:
    """A client as configured, at another address where one is given.

    Raises:
        AtomError: an address, file or certificate that cannot be used.
    """
    from atom_console.flight.client import FlightConsole
    from atom_console.flight.fetch_plan import Limits

    flight = settings.flight
    limits = Limits(ring_batches=flight.ring_batches, idle_timeout_s=flight.idle_timeout_s)
    return FlightConsole(flight_connection(settings, uri), deadline_s=flight.deadline_s, limits=limits)
