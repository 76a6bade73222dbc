"""The reference Flight server: what the platform's engine should answer, for tests, demos and comparison.

GetSchema, ListFlights, GetFlightInfo, DoGet, DoPut and the actions `health` and `stats`, over plaintext, TLS or mutual
TLS. pyarrow servers take no gRPC options, so this one hangs up on a client that pings every 10 s during 30 s of silence
within a stream; its streams are never silent that long.
"""

from __future__ import annotations

import hmac
import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from time import monotonic
from typing import Any, NamedTuple

import pyarrow as pa

from atom_console.errors import InputError, UnreachableError
from atom_console.flight.channel import fl
from atom_console.flight.plans import PLAN_NAME, InMemory, Plan, folder_files, generated, open_file
from atom_console.flight.sinks import FileSink
from atom_console.flight.tickets import read_plan_ticket
from atom_console.schema.arrow_diff import type_children

_INFO_METADATA = json.dumps({"resume": "from batch"}).encode()
_ACTIONS = {"health": "whether the server takes calls", "stats": "calls, rows and bytes since the start"}
_END_S = 1.0
_PORT_S = 5.0
DISCARD = "discard"
"""What is put under this name is counted and dropped."""


class ServerTls(NamedTuple):
    """PEM of the server's certificate (with its chain), its key, and the roots of the clients it lets in.

    Attributes:
        client_ca: None lets anybody in (TLS); otherwise a client certificate is required (mutual TLS).
    """

    certificate: bytes
    key: bytes
    client_ca: bytes | None = None


@dataclass(frozen=True, slots=True)
class ServerOptions:
    """What to serve and where.

    Attributes:
        listen: `grpc://host:port`, `grpc+tls://host:port` or `grpc+unix:///path`; port 0 takes a free one.
        plans: names of generated plans that ListFlights shows; others of the same form are served too.
        extra: further plans by name.
        folder: Parquet and Arrow files to serve, and where DoPut keeps what it gets.
        endpoints: into how many endpoints GetFlightInfo cuts a plan.
        tls: certificate for `grpc+tls`.
        token: bearer token that each call must bring.
        put_bytes: most bytes that DoPut keeps in memory when there is no folder.
    """

    listen: str = "grpc://127.0.0.1:0"
    plans: tuple[str, ...] = ("mdf-1M",)
    extra: dict[str, Plan] = field(default_factory=dict)
    folder: Path | None = None
    endpoints: int = 1
    tls: ServerTls | None = None
    token: str | None = field(default=None, repr=False)
    put_bytes: int = 256 << 20


class ReferenceServer:
    """Listens from construction until `stop`.

    Raises:
        InputError: a certificate is missing for `grpc+tls`, or given for plaintext; no such folder.
        UnreachableError: the address cannot be bound.
    """

    def __init__(self, options: ServerOptions) -> None:
        secure = options.listen.startswith("grpc+tls:")
        if secure != (options.tls is not None):
            raise InputError(
                f"{options.listen} and {'no' if secure else 'a'} certificate do not go together",
                next_step="Use grpc+tls:// with a certificate, grpc:// without.",
            )
        if options.folder is not None and not options.folder.is_dir():
            raise InputError(f"{options.folder} is not a directory", next_step="Create it, or serve generated plans.")
        self._options = options
        self._service = _listen(options)
        self._listen = options.listen
        self.uri: str = self._bound_uri()

    def __enter__(self) -> ReferenceServer:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def renew(self, tls: ServerTls) -> None:
        """Show another certificate from the next connection on: a new listener takes the port.

        Streams that are open go on with the old certificate, and their clients are told to connect again for their next
        call. pyarrow forbids two listeners on one port, so between the two nobody listens, for 1 to 6 ms (measured);
        who connects just then is refused and has to try again, as our own client does.

        Raises:
            InputError: this server has no TLS.
            UnreachableError: no server can be made of this certificate, and the old one goes on; or, with the port gone
                to somebody else, nothing listens any more.
        """
        if self._options.tls is None:
            raise InputError(f"{self.uri} has no TLS", next_step="Start it with a certificate.")
        options = replace(self._options, listen=self.uri, tls=tls)
        trial = f"{self.uri.rpartition(':')[0]}:0"
        _listen(replace(options, listen=trial)).shutdown()
        # It ends when its last stream has ended; the port is free at once.
        threading.Thread(target=self._service.shutdown, name="flight-server-renewed", daemon=True).start()
        end_s = monotonic() + _PORT_S
        while True:
            try:
                self._service = _listen(options, self._service)
            except UnreachableError:
                if monotonic() > end_s:
                    raise
            else:
                self._options = options
                return

    def stop(self, grace_s: float = 5.0) -> bool:
        """Take no new calls, let running streams end, then end them.

        Args:
            grace_s: how long running streams may take.

        Returns:
            Whether all of them ended by themselves.
        """
        return self._service.stop(grace_s)

    def stats(self) -> dict[str, int | float]:
        """What the action `stats` answers."""
        return self._service.stats()

    def _bound_uri(self) -> str:
        if self._listen.startswith("grpc+unix:"):
            return self._listen
        return f"{self._listen.rpartition(':')[0]}:{self._service.port}"


class _Part(NamedTuple):
    """A ticket, understood."""

    plan: Plan
    first: int
    stop: int
    skip: int


def _no_counts() -> dict[str, int]:
    return {"calls": 0, "batches_sent": 0, "rows_sent": 0, "bytes_sent": 0, "rows_put": 0, "bytes_put": 0}


@dataclass(slots=True)
class _Shared:
    """What stays when another listener takes over."""

    plans: dict[str, Plan]
    lock: threading.Condition = field(default_factory=threading.Condition)
    counts: dict[str, int] = field(default_factory=_no_counts)
    streams: int = 0
    stopping: bool = False
    abort: bool = False
    started: float = field(default_factory=monotonic)


class _Service(fl.FlightServerBase):  # type: ignore[misc]  # pyarrow ships no types
    def __init__(self, options: ServerOptions, before: _Service | None = None) -> None:
        tls = options.tls
        arguments: dict[str, Any] = {"location": options.listen, "middleware": {"gate": _Gate(self, options.token)}}
        if tls is not None:
            arguments["tls_certificates"] = [(tls.certificate, tls.key)]
            if tls.client_ca is not None:
                arguments |= {"verify_client": True, "root_certificates": tls.client_ca}
        self._options = options
        self.shared: _Shared = _Shared(dict(options.extra)) if before is None else before.shared
        self._plans, self._lock, self._counts = self.shared.plans, self.shared.lock, self.shared.counts
        super().__init__(**arguments)

    def count(self, **amounts: int) -> None:
        with self._lock:
            for name, amount in amounts.items():
                self._counts[name] += amount

    def stats(self) -> dict[str, int | float]:
        with self._lock:
            return {
                **self._counts,
                "open_streams": self.shared.streams,
                "uptime_s": round(monotonic() - self.shared.started, 3),
            }

    def stop(self, grace_s: float) -> bool:
        with self._lock:
            self.shared.stopping = True
            clean = self._lock.wait_for(lambda: self.shared.streams == 0, grace_s)
            self.shared.abort = True
        # The listener closes at once, but this waits for each stream, and a client that does not read holds one.
        ending = threading.Thread(target=self.shutdown, name="flight-server-stop", daemon=True)
        ending.start()
        ending.join(_END_S)
        return clean

    # The calls of Flight.

    def get_schema(self, _: Any, descriptor: Any) -> Any:
        return fl.SchemaResult(self._plan(_name_of(descriptor)).schema)

    def list_flights(self, _: Any, criteria: bytes) -> Iterator[Any]:
        wanted = criteria.decode("utf-8", errors="replace")
        names = [*self._options.plans, *self._plans]
        if self._options.folder is not None:
            names += folder_files(self._options.folder)
        for name in dict.fromkeys(names):
            if wanted in name:
                yield self._info(name, fl.FlightDescriptor.for_path(name))

    def get_flight_info(self, _: Any, descriptor: Any) -> Any:
        return self._info(_name_of(descriptor), descriptor)

    def do_get(self, context: Any, ticket: Any) -> Any:
        part = self._part(ticket.ticket)
        schema, batches = part.plan.schema, self._stream(context, part)
        if any(_has_dictionary(field.type) for field in schema):
            # pyarrow's `GeneratorStream` sends no dictionaries; this one loses the status code of an error instead.
            return fl.RecordBatchStream(pa.RecordBatchReader.from_batches(schema, batches))
        return fl.GeneratorStream(schema, batches)

    def do_put(self, context: Any, descriptor: Any, reader: Any, writer: Any) -> None:
        name = _name_of(descriptor)
        if PLAN_NAME.fullmatch(name) is None:
            raise ValueError(f"{name!r} is not a plan name: letters, digits, . _ - only")
        with self._open_stream():
            rows = self._keep(name, reader)
        self.count(rows_put=rows)
        writer.write(pa.py_buffer(json.dumps({"plan_id": name, "rows": rows}).encode()))

    def list_actions(self, _: Any) -> list[tuple[str, str]]:
        return list(_ACTIONS.items())

    def do_action(self, _: Any, action: Any) -> Iterator[Any]:
        if action.type not in _ACTIONS:
            raise KeyError(f"no action {action.type!r}; there are {', '.join(_ACTIONS)}")
        answer = self.stats() if action.type == "stats" else {"status": "stopping" if self.shared.stopping else "ok"}
        yield fl.Result(pa.py_buffer(json.dumps(answer).encode()))

    # Below the calls.

    def _plan(self, name: str) -> Plan:
        plan = self._plans.get(name) or generated(name)
        if plan is None and self._options.folder is not None:
            path = folder_files(self._options.folder).get(name)
            plan = open_file(path) if path else None
        if plan is None:
            raise KeyError(f"no plan {name!r}")
        return plan

    def _info(self, name: str, descriptor: Any) -> Any:
        plan = self._plan(name)
        cuts = max(1, min(self._options.endpoints, plan.units))
        edges = [plan.units * cut // cuts for cut in range(cuts + 1)]
        endpoints = [
            fl.FlightEndpoint(json.dumps({"plan_id": name, "units": edges[cut : cut + 2]}).encode(), [])
            for cut in range(cuts)
        ]
        return fl.FlightInfo(
            plan.schema, descriptor, endpoints, plan.rows, -1, ordered=True, app_metadata=_INFO_METADATA
        )

    def _part(self, ticket: bytes) -> _Part:
        members = read_plan_ticket(ticket)
        plan = self._plan(str(members.get("plan_id", "")))
        units, skip = members.get("units", [0, plan.units]), members.get("first_batch", 0)
        valid = (
            isinstance(units, list)
            and len(units) == 2
            and all(type(edge) is int for edge in (*units, skip))
            and 0 <= units[0] <= units[1] <= plan.units
            and skip >= 0
        )
        if not valid:
            raise ValueError("the ticket's `units` or `first_batch` is not of this plan")
        return _Part(plan, units[0], units[1], skip)

    def _stream(self, context: Any, part: _Part) -> Iterator[pa.RecordBatch]:
        batches = part.plan.read(part.first, part.stop)
        with self._open_stream():
            for number, batch in enumerate(batches):
                if number < part.skip:
                    continue
                if self.shared.abort:
                    raise fl.FlightUnavailableError("the server is stopping")
                if context.is_cancelled():
                    return
                self.count(batches_sent=1, rows_sent=batch.num_rows, bytes_sent=batch.get_total_buffer_size())
                yield batch

    def _keep(self, name: str, reader: Any) -> int:
        keep, finish, drop = self._keeper(name, reader.schema)
        rows = 0
        try:
            while True:
                try:
                    batch = reader.read_chunk().data
                except StopIteration:
                    break
                if self.shared.abort:
                    raise fl.FlightUnavailableError("the server is stopping")
                rows += batch.num_rows
                self.count(bytes_put=batch.get_total_buffer_size())
                keep(batch)
            finish()
        except BaseException:
            drop()
            raise
        return rows

    def _keeper(
        self, name: str, schema: pa.Schema
    ) -> tuple[Callable[[pa.RecordBatch], None], Callable[[], None], Callable[[], None]]:
        if name == DISCARD:
            return (lambda _: None), (lambda: None), (lambda: None)
        if self._options.folder is not None:
            sink = FileSink(self._options.folder / f"{name}.arrow")
            sink.open(schema)
            return sink.write, sink.commit, sink.abort
        kept: list[pa.RecordBatch] = []
        room = self._options.put_bytes

        def keep(batch: pa.RecordBatch) -> None:
            nonlocal room
            room -= batch.get_total_buffer_size()
            if room < 0:
                raise ValueError(
                    f"more than {self._options.put_bytes} bytes, and the server has no folder to keep them"
                )
            kept.append(batch)

        return keep, (lambda: self._plans.__setitem__(name, InMemory(schema, kept))), kept.clear

    @contextmanager
    def _open_stream(self) -> Iterator[None]:
        with self._lock:
            self.shared.streams += 1
        try:
            yield
        finally:
            with self._lock:
                self.shared.streams -= 1
                self._lock.notify_all()


def _listen(options: ServerOptions, before: _Service | None = None) -> _Service:
    try:
        return _Service(options, before)
    except (OSError, pa.ArrowException) as error:
        raise UnreachableError(
            f"cannot listen on {options.listen}: {error}", next_step="Choose another port or address."
        ) from None


class _Gate(fl.ServerMiddlewareFactory):  # type: ignore[misc]  # pyarrow ships no types
    """Counts calls, refuses them while stopping, and checks the bearer token."""

    def __init__(self, service: _Service, token: str | None) -> None:
        super().__init__()
        self._service = service
        self._expected = f"Bearer {token}".encode() if token else None

    def start_call(self, _: Any, headers: dict[str, list[str]]) -> None:
        if self._service.shared.stopping:
            raise fl.FlightUnavailableError("the server is stopping")
        if self._expected is not None:
            given = str((headers.get("authorization") or [""])[0]).encode()
            if not hmac.compare_digest(given, self._expected):
                raise fl.FlightUnauthenticatedError("the bearer token is missing or wrong")
        self._service.count(calls=1)


def _has_dictionary(kind: pa.DataType) -> bool:
    return pa.types.is_dictionary(kind) or any(_has_dictionary(child.type) for child in type_children(kind))


def _name_of(descriptor: Any) -> str:
    if descriptor.descriptor_type == fl.DescriptorType.PATH:
        return "/".join(part.decode("utf-8", errors="replace") for part in descriptor.path)
    return str(read_plan_ticket(descriptor.command).get("plan_id", ""))
