"""The Flight client: each call of the protocol, with the fallbacks that real servers need."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from time import perf_counter, sleep
from typing import Any, Literal, TypeVar

import pyarrow as pa

from atom_console.flight.channel import fl
from atom_console.flight.connection import Connection
from atom_console.flight.errors import (
    BrokenStreamError,
    PeerUnreachableError,
    TransferCancelledError,
    UnimplementedRpcError,
    translated,
)
from atom_console.flight.fetch import RECONNECT_S, Fetch
from atom_console.flight.fetch_plan import DEFAULT_LIMITS, Endpoint, FetchPlan, Limits, Resume
from atom_console.flight.mdf import MDF_SCHEMA
from atom_console.flight.tickets import plan_ticket
from atom_console.safe_text import safe_text

T = TypeVar("T")

SERVER_SCHEMA_INVALID = "server schema invalid"


@dataclass(frozen=True, slots=True)
class FlightEntry:
    """A line of ListFlights.

    Attributes:
        plan_id: last part of its path, or `plan_id` of its command.
        descriptor: as text, control bytes made visible.
        rows: or None where the server does not know.
        bytes: likewise.
        endpoints: how many.
    """

    plan_id: str
    descriptor: str
    rows: int | None
    bytes: int | None
    endpoints: int


@dataclass(frozen=True, slots=True)
class ServerSchema:
    """What a plan's rows look like.

    Attributes:
        schema: as the server says, or the declared MDF schema where it says nothing usable.
        source: which of the two.
        mark: `server schema invalid` or `no GetSchema` where it fell back, otherwise empty.
        problem: the error behind the mark.
    """

    schema: pa.Schema
    source: Literal["server", "declared"]
    mark: str = ""
    problem: str = ""


@dataclass(frozen=True, slots=True)
class PlanInfo:
    """What GetFlightInfo says, or what is assumed where a server lacks it.

    Attributes:
        fetch: the endpoints to read.
        described: False where the server has no GetFlightInfo and the ticket is made from the plan id.
        schema: from the info, or None.
    """

    fetch: FetchPlan
    described: bool
    schema: pa.Schema | None


@dataclass(frozen=True, slots=True)
class PutResult:
    """What a DoPut did; `acknowledgement` is the server's last word, as text."""

    rows: int
    batches: int
    bytes: int
    seconds: float
    acknowledgement: str


@dataclass(frozen=True, slots=True)
class Pong:
    """An answer to `ping`.

    Attributes:
        connect_ms: the first call, with connection and handshake.
        call_ms: the same call again, on the open connection.
        answered_by: the RPC that was used.
    """

    connect_ms: float
    call_ms: float
    answered_by: str


class FlightConsole:
    """Calls on one Flight server, from any thread. Each may raise an `AtomError` of the `errors` module.

    Args:
        connection: the server and our credentials.
        deadline_s: the most that a call other than a transfer may take.
        limits: of transfers.
    """

    def __init__(self, connection: Connection, *, deadline_s: float = 30.0, limits: Limits = DEFAULT_LIMITS) -> None:
        self.connection = connection
        self.limits = limits
        self._deadline_s = deadline_s
        self._client = connection.open()

    def __enter__(self) -> FlightConsole:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connection; transfers have their own and go on."""
        self._client.close()

    def list_flights(self, criteria: str = "") -> list[FlightEntry]:
        """ListFlights."""
        return self._asked(
            "ListFlights",
            lambda client: [_entry(info) for info in client.list_flights(criteria.encode(), self._options())],
        )

    def info(self, plan_id: str) -> PlanInfo:
        """GetFlightInfo; a server without it gets the plan id as its ticket, in one endpoint."""
        try:
            info = self._asked(
                f"GetFlightInfo of {plan_id}",
                lambda client: client.get_flight_info(_descriptor(plan_id), self._options()),
            )
            return PlanInfo(_fetch_plan(plan_id, info), described=True, schema=_info_schema(info))
        except UnimplementedRpcError:
            ticket = plan_ticket(plan_id, self.connection.authorization)
            return PlanInfo(FetchPlan(plan_id, (Endpoint(ticket),)), described=False, schema=None)

    def schema(self, plan_id: str) -> ServerSchema:
        """GetSchema; a server without it, or with a broken one, gets the declared MDF schema and a mark."""
        try:
            schema = self._asked(
                f"GetSchema of {plan_id}",
                lambda client: client.get_schema(_descriptor(plan_id), self._options()).schema,
            )
            return ServerSchema(schema, "server")
        except BrokenStreamError as error:
            return ServerSchema(MDF_SCHEMA, "declared", SERVER_SCHEMA_INVALID, error.what)
        except UnimplementedRpcError as error:
            return ServerSchema(MDF_SCHEMA, "declared", "no GetSchema", error.what)

    def fetch(self, plan: FetchPlan | str, *, expected: pa.Schema | None = None) -> Fetch:
        """Begin to read a plan; see `Fetch`.

        Args:
            plan: from `info`, made by hand, or a plan id.
            expected: the promised schema; None takes the stream's own on purpose.
        """
        if isinstance(plan, str):
            plan = self.info(plan).fetch
        return Fetch(self.connection, plan, expected=expected, limits=self.limits)

    def put(self, plan_id: str, schema: pa.Schema, batches: Iterable[pa.RecordBatch]) -> PutResult:
        """DoPut; returns when the server has answered."""
        started = perf_counter()
        rows = count = size = 0
        with self._call(f"DoPut of {plan_id}"):
            # No deadline: it would bound the whole upload. A dead peer is noticed by the keep-alive.
            writer, answers = self._client.do_put(_descriptor(plan_id), schema, self.connection.call_options())
            with writer:
                for batch in batches:
                    writer.write_batch(batch)
                    rows += batch.num_rows
                    count += 1
                    size += batch.get_total_buffer_size()
                writer.done_writing()
                answer = _last_answer(answers)
        return PutResult(rows, count, size, perf_counter() - started, answer)

    def actions(self) -> dict[str, str]:
        """ListActions: name → description."""
        return self._asked(
            "ListActions",
            lambda client: {action.type: action.description for action in client.list_actions(self._options())},
        )

    def action(self, name: str, body: bytes = b"") -> list[bytes]:
        """DoAction: the bodies of its results."""
        with self._call(f"DoAction {name}"):
            results = self._client.do_action(fl.Action(name, body), self._options())
            return [result.body.to_pybytes() for result in results]

    def ping(self) -> Pong:
        """Any RPC, twice; an answer of `no such method` is an answer."""
        first = perf_counter()
        answered_by = self._knock()
        second = perf_counter()
        self._knock()
        return Pong((second - first) * 1e3, (perf_counter() - second) * 1e3, answered_by)

    def _knock(self) -> str:
        try:
            self.actions()
        except UnimplementedRpcError:
            return "ListActions (unimplemented)"
        return "ListActions"

    def _asked(self, doing: str, ask: Callable[[Any], T]) -> T:
        """A question that may be asked twice: once more, over a new connection, where there was none."""
        try:
            with self._call(doing):
                return ask(self._client)
        except (PeerUnreachableError, TransferCancelledError):  # a server that stops cancels what it has not begun
            sleep(RECONNECT_S)
        self._client = self.connection.open()  # the old one goes when the last call that uses it has ended
        with self._call(doing):
            return ask(self._client)

    def _options(self) -> Any:
        return self.connection.call_options(deadline_s=self._deadline_s)

    def _call(self, doing: str) -> Any:
        return translated(doing, self.connection.uri)


def _descriptor(plan_id: str) -> Any:
    return fl.FlightDescriptor.for_path(plan_id.encode())


def _entry(info: Any) -> FlightEntry:
    descriptor = info.descriptor
    if descriptor.descriptor_type == fl.DescriptorType.PATH:
        parts = [safe_text(part) for part in descriptor.path]
        plan_id, text = (parts[-1] if parts else ""), "/".join(parts)
    else:
        text = safe_text(descriptor.command or b"")
        plan_id = _command_plan(descriptor.command or b"") or text
    return FlightEntry(plan_id, text, _known(info.total_records), _known(info.total_bytes), len(info.endpoints))


def _command_plan(command: bytes) -> str:
    try:
        parsed = json.loads(command)
    except (ValueError, RecursionError):
        return ""
    return safe_text(str(parsed.get("plan_id", ""))) if isinstance(parsed, dict) else ""


def _known(number: int) -> int | None:
    return number if number >= 0 else None


def _info_schema(info: Any) -> pa.Schema | None:
    try:
        return info.schema
    except (pa.ArrowException, OSError):
        return None


def _fetch_plan(name: str, info: Any) -> FetchPlan:
    takes_batch = _says_resume(info.app_metadata)
    endpoints = tuple(
        Endpoint(
            endpoint.ticket.ticket,
            tuple(location.uri.decode() for location in endpoint.locations),
            _resume(endpoint, takes_batch=takes_batch),
        )
        for endpoint in info.endpoints
    )
    return FetchPlan(name, endpoints, bool(info.ordered), _known(info.total_records), _known(info.total_bytes))


def _says_resume(metadata: bytes) -> bool:
    try:
        return bool(json.loads(metadata or b"{}").get("resume") == "from batch")
    except (ValueError, AttributeError, RecursionError):
        return False


def _resume(endpoint: Any, *, takes_batch: bool) -> Resume:
    """An endpoint with an expiration time may be asked again (Flight specification, `FlightEndpoint`)."""
    if takes_batch:
        return "from batch"
    return "again" if endpoint.expiration_time is not None else "no"


def _last_answer(answers: Any) -> str:
    last = b""
    while (body := answers.read()) is not None:
        last = body.to_pybytes()
    return safe_text(last)
