"""The engine's Flight part: one server at a time, one transfer and one preview at a time, each in its own thread."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Final

from atom_console.engine.commands import (
    CancelTransfer,
    FetchSchema,
    FlightCommand,
    ListFlights,
    Ping,
    Receipt,
    StartTransfer,
)
from atom_console.engine.flight_session import FlightSession, ServerFacts, make_console
from atom_console.engine.flight_transfer import FlightTransfer
from atom_console.engine.flight_view import TransferView
from atom_console.engine.snapshot import FlightSection, Series
from atom_console.engine.tls_advice import sentence
from atom_console.errors import InputError, RefusedError
from atom_console.safe_text import safe_text

if TYPE_CHECKING:
    import pyarrow as pa

    from atom_console.config import Settings

_END_S: Final = 2.0


class FlightDesk:
    """Nothing is dialled before the first command: a console that never opens the Flight room costs a server nothing.

    Args:
        settings: with the `flight` section and the operator's clearance.
        on_receipt: told how a transfer ended.
        on_schema: told each schema that a server promised: plan, address, schema.
    """

    def __init__(
        self,
        settings: Settings,
        on_receipt: Callable[[Receipt], None],
        on_schema: Callable[[str, str, pa.Schema], None] = lambda plan, uri, schema: None,
    ) -> None:
        self._settings, self._on_receipt, self._on_schema = settings, on_receipt, on_schema
        self._uri: str | None = None
        self._session: FlightSession | None = None
        self._transfer: FlightTransfer | None = None
        self._preview: FlightTransfer | None = None
        self._count = 0
        self._socket_gb_per_s: float | None = None
        self._host = safe_text(socket.gethostname(), 60)

    def do(self, command: FlightCommand) -> Receipt:
        """Start what was asked; it never waits for a server.

        Raises:
            InputError: a name that no file can have, or an address that is none.
            RefusedError: a transfer is running.
        """
        match command:
            case ListFlights():
                return self._list(command.uri)
            case FetchSchema():
                self._opened().fetch_schema(command.plan_id, by_hand=command.by_hand)
                return _receipt(f"Asked for the schema of {command.plan_id}.")
            case Ping():
                self._opened().look()
                return _receipt(f"Called {self._opened().facts.uri}.")
            case StartTransfer():
                return self._start(command)
            case CancelTransfer():
                return self._cancel()
            case _:
                raise InputError(f"this version does not know the command {type(command).__name__}")

    def refresh(self) -> None:
        """Ask the server again, if one was asked before."""
        if self._session is not None:
            self._session.list_flights()

    def section(self) -> FlightSection:
        """What is known now."""
        session, now_s = self._session, time.monotonic()
        if session is None:
            return FlightSection(uri=safe_text(self._settings.flight.uri), state="not asked", host=self._host)
        facts, advice = session.facts, session.advice
        transfer = None if self._transfer is None else self._transfer.view()
        preview = None if self._preview is None else self._preview.view()
        return FlightSection(
            age_s=None if facts.answered_s is None else now_s - facts.answered_s,
            uri=facts.uri,
            state=facts.state,
            transport=facts.transport,
            bytes_per_s=Series() if transfer is None else _bytes_per_s(transfer),
            rows=None if transfer is None else transfer.rows,
            batches=None if transfer is None else transfer.batches,
            detail=facts.detail if advice is None else sentence(advice.finding),
            next_step=facts.next_step if advice is None else advice.finding.next_step,
            host=self._host,
            keepalive=facts.keepalive,
            call_ms=facts.call_ms,
            doing=_doing(facts, now_s),
            listed_age_s=None if facts.listed_s is None else now_s - facts.listed_s,
            flights=facts.flights,
            note=facts.note,
            schemas=facts.schemas,
            transfer=transfer,
            preview=preview,
            socket_gb_per_s=self._socket_gb_per_s,
        )

    def stop(self) -> None:
        """Cancel what runs, so that no half file stays, and ask nothing more."""
        running = [one for one in (self._transfer, self._preview) if one is not None and one.running]
        for one in running:
            one.cancel()
        for one in running:
            one.join(_END_S)
        if self._session is not None:
            self._session.close()

    def _opened(self) -> FlightSession:
        if self._session is None:
            self._session = FlightSession(self._settings, self._uri, self._on_schema)
        return self._session

    def _list(self, uri: str | None) -> Receipt:
        if uri is not None and uri != self._uri:
            self._switch(uri)
        session = self._opened()
        session.look()
        session.list_flights()
        return _receipt(f"Asked {session.facts.uri} for its plans.")

    def _switch(self, uri: str) -> None:
        from atom_console.flight.connection import parse_target

        parse_target(uri, secure=False)
        if self._transfer is not None and self._transfer.running:
            raise RefusedError("a transfer from the present server is running", next_step="x cancels it")
        if self._session is not None:
            self._session.close()
        if self._preview is not None:
            self._preview.cancel()
        self._uri, self._session, self._preview, self._transfer = uri, None, None, None

    def _start(self, command: StartTransfer) -> Receipt:
        running = self._preview if command.to == "preview" else self._transfer
        if running is not None and running.running:
            if command.to != "preview":
                raise RefusedError(f"{running.view().plan_id} is still being fetched", next_step="x cancels it")
            running.cancel()
        path = None if command.path is None else Path(command.path).expanduser()
        if (command.to == "file") != (path is not None):
            raise InputError("only a file takes a name, and it needs one", next_step="end it in .parquet or .arrow")
        session = self._opened()
        settings, uri, sink = self._settings, self._uri, None
        if path is not None:
            from atom_console.flight.sinks import FileSink

            sink = FileSink(path, overwrite=False)
        self._count += 1
        made = FlightTransfer(
            lambda: make_console(settings, uri),
            number=self._count,
            plan_id=command.plan_id,
            to=command.to,
            uri=session.facts.uri,
            sink=sink,
            target=path,
            accept=command.accept_schema,
            clearance=settings.clearance,
            on_socket=self._socket_measured,
            on_end=self._ended,
        )
        if command.to == "preview":
            self._preview = made
            return _receipt(f"Asked for the first rows of {command.plan_id}.")
        self._transfer = made
        return _receipt(f"Began to fetch {command.plan_id}.")

    def _cancel(self) -> Receipt:
        running = [one for one in (self._transfer, self._preview) if one is not None and one.running]
        if not running:
            raise RefusedError("nothing is being fetched")
        for one in running:
            one.cancel()
        return _receipt(f"Cancelled {running[0].view().plan_id}.")

    def _socket_measured(self, gb_per_s: float) -> None:
        self._socket_gb_per_s = gb_per_s

    def _ended(self, view: TransferView) -> None:
        if view.to != "preview" or view.state == "failed":
            self._on_receipt(_end_receipt(view))


def _bytes_per_s(view: TransferView) -> Series:
    live = view.live_gb_per_s
    return Series(None if live is None else live * 1e9, tuple(speed * 1e9 for speed in view.speeds))


def _doing(facts: ServerFacts, now_s: float) -> tuple[str, float] | None:
    return None if facts.doing is None else (facts.doing, now_s - facts.doing_s)


def _end_receipt(view: TransferView) -> Receipt:
    moved = f"{view.rows:,} rows, {view.bytes / 1e9:.3f} GB in {view.seconds * 1e3:,.0f} ms"
    where = f"{view.transport}, {view.uri.partition('://')[2]}"
    if view.state == "done":
        if view.target is not None:
            return _receipt(f"Wrote {view.target}: {moved} ({where}).")
        return _receipt(f"Fetched {view.plan_id}: {moved} ({where}).")
    if view.state == "cancelled":
        return _receipt(f"Cancelled {view.plan_id} after {moved}; nothing was kept.")
    if view.state == "mismatch":
        count = len(view.changes)
        return Receipt.now(
            f"{view.plan_id} streams another schema than it promised: {count} difference{'s' if count > 1 else ''}.",
            ok=False,
            next_step="m shows them; a goes on with the stream's schema",
        )
    return Receipt.now(view.detail or f"{view.plan_id} failed.", ok=False, next_step=view.next_step)


def _receipt(text: str) -> Receipt:
    return Receipt.now(safe_text(text))
