"""One fetch: the endpoints of a plan, read by threads into bounded rings, handed out batch by batch.

pyarrow can end a read only once the stream is open: `do_get` itself waits for the first message and cannot be
interrupted. A cancelled fetch therefore answers its consumer at once, and a thread that still waits for a silent server
is left behind as a daemon; it lets go by itself as soon as the server or the keep-alive speaks.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator
from contextlib import closing
from threading import Event, Lock, Thread
from time import monotonic
from typing import Any

import pyarrow as pa

from atom_console.errors import AtomError, PartialError
from atom_console.flight.channel import fl
from atom_console.flight.compare import check_stream
from atom_console.flight.connection import Connection, KeptClient
from atom_console.flight.errors import (
    FlightTimeoutError,
    FrozenPeerError,
    PeerUnreachableError,
    TooManyPingsError,
    TransferCancelledError,
    translated,
)
from atom_console.flight.fetch_plan import DEFAULT_LIMITS, Endpoint, FetchPlan, Limits, Progress, State
from atom_console.flight.ring import Ring, RingClosed
from atom_console.flight.tickets import from_batch
from atom_console.memory import keep_freed_memory

RECONNECT_S = 0.2
"""The pause before a connection that was refused is tried once more."""

_BROKEN_LINK = (PeerUnreachableError, FrozenPeerError, TooManyPingsError)
_JOIN_S = 0.25
_BACKOFF_S = (0.1, 2.0)


class IncompleteTransferError(PartialError):
    """The stream ended in good order, but with other rows than the server had announced."""


class Fetch:
    """Batches of a plan, from now on.

    Use it as a context manager and iterate over it in one thread; `cancel` and `progress` work from any.

    Args:
        connection: the server.
        plan: what to read.
        expected: the promised schema; None takes what comes.
        limits: of memory and time.
    """

    def __init__(
        self,
        connection: Connection,
        plan: FetchPlan,
        *,
        expected: pa.Schema | None = None,
        limits: Limits = DEFAULT_LIMITS,
    ) -> None:
        keep_freed_memory()
        self.plan = plan
        self._connection = connection
        self._expected = expected
        self._limits = limits
        self._cancelled = Event()
        self._lock = Lock()
        self._readers: set[Any] = set()
        self._schema: pa.Schema | None = None
        self._opened = Event()
        self._next_endpoint = 0
        self._endpoints_done = 0
        self._resumes = 0
        self._rows = self._batches = self._bytes = 0
        self._state: State = "opening"
        self._started = self._last = monotonic()
        self._ended: float | None = None
        parallel = max(1, min(limits.parallel, len(plan.endpoints)))
        self._rings = self._make_rings(parallel)
        self._threads = [
            Thread(target=self._work, name=f"flight-read-{number}", daemon=True) for number in range(parallel)
        ]
        for thread in self._threads:
            thread.start()

    def __enter__(self) -> Fetch:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __iter__(self) -> Iterator[pa.RecordBatch]:
        """The batches.

        Raises:
            TransferCancelledError: `cancel` was called.
            FlightTimeoutError: the idle time-out or the deadline passed.
            SchemaMismatchError: the stream is not what was promised.
            IncompleteTransferError: it ended short of what the server announced.
            AtomError: whatever broke it.
        """
        try:
            for ring in self._rings:
                while (item := self._take(ring)) is not None:
                    batch, size = item
                    self._rows += batch.num_rows
                    self._batches += 1
                    self._bytes += size
                    self._last = monotonic()
                    self._state = "streaming"
                    yield batch
            self._check_complete()
        except AtomError as error:
            self._end("cancelled" if isinstance(error, TransferCancelledError) else "failed")
            raise
        self._end("done")

    @property
    def schema(self) -> pa.Schema:
        """The stream's schema, waiting until the first endpoint is open.

        Raises:
            AtomError: as for the batches; the stream never opened.
        """
        if not self._opened.wait(self._limits.idle_timeout_s):
            self.cancel()
            raise self._silence()
        if self._schema is None:
            for _ in self:
                break
            raise TransferCancelledError(f"{self.plan.name}: cancelled before it began")
        return self._schema

    @property
    def threads_alive(self) -> int:
        """Reading threads that have not ended yet."""
        return sum(thread.is_alive() for thread in self._threads)

    def progress(self) -> Progress:
        """Where it stands."""
        now = monotonic()
        return Progress(
            state=self._state,
            rows=self._rows,
            batches=self._batches,
            bytes=self._bytes,
            seconds=(self._ended or now) - self._started,
            rows_expected=self.plan.rows,
            bytes_expected=self.plan.bytes,
            endpoints=len(self.plan.endpoints),
            endpoints_done=self._endpoints_done,
            resumes=self._resumes,
            idle_s=now - self._last,
            waiting=sum(ring.waiting for ring in self._rings),
            room=self._limits.ring_batches * len(self._rings),
        )

    def cancel(self) -> None:
        """Stop; returns at once, and the consumer gets `TransferCancelledError`."""
        self._cancelled.set()
        for ring in self._rings:
            ring.close()
        with self._lock:
            for reader in self._readers:
                reader.cancel()
        self._opened.set()

    def close(self) -> None:
        """Cancel what still runs and wait for the threads, but never long for a silent server."""
        self.cancel()
        latest = monotonic() + _JOIN_S
        for thread in self._threads:
            thread.join(max(0.0, latest - monotonic()))
        if self._ended is None:
            self._end("cancelled")

    def _make_rings(self, parallel: int) -> list[Ring[tuple[pa.RecordBatch, int]]]:
        endpoints, limits = len(self.plan.endpoints), self._limits
        if not self.plan.ordered or endpoints <= 1:
            return [Ring(limits.ring_batches, limits.ring_bytes, producers=endpoints)]
        return [Ring(limits.ring_batches, limits.ring_bytes // parallel) for _ in range(endpoints)]

    def _take(self, ring: Ring[tuple[pa.RecordBatch, int]]) -> tuple[pa.RecordBatch, int] | None:
        limits = self._limits
        until = None if limits.deadline_s is None else self._started + limits.deadline_s
        try:
            return ring.get(limits.idle_timeout_s, until)
        except RingClosed:
            raise TransferCancelledError(f"{self.plan.name}: cancelled after {self._rows:,} rows") from None
        except TimeoutError:
            self.cancel()
            if until is not None and monotonic() >= until:
                raise FlightTimeoutError(
                    f"{self.plan.name}: not done within {limits.deadline_s:g} s, {self._rows:,} rows had come",
                    next_step="Allow more time, or see why the server is slow.",
                ) from None
            raise self._silence() from None

    def _silence(self) -> FlightTimeoutError:
        return FlightTimeoutError(
            f"{self.plan.name}: nothing came for {self._limits.idle_timeout_s:g} s, {self._rows:,} rows had come",
            next_step="The server is alive but silent; raise ATOM_FLIGHT_IDLE_TIMEOUT_S if it computes longer.",
        )

    def _check_complete(self) -> None:
        if self.plan.rows is not None and self._rows != self.plan.rows:
            raise IncompleteTransferError(
                f"{self.plan.name}: the stream ended after {self._rows:,} of {self.plan.rows:,} announced rows",
                next_step="Fetch it again; if it stays, the server's GetFlightInfo or its stream is wrong.",
            )

    def _end(self, state: State) -> None:
        self._ended = self._ended or monotonic()
        self._state = state

    # What follows runs in the reading threads.

    def _work(self) -> None:
        with closing(KeptClient()) as kept:
            while (number := self._take_endpoint()) < len(self.plan.endpoints):
                self._work_at(number, kept)

    def _take_endpoint(self) -> int:
        with self._lock:
            number = self._next_endpoint
            self._next_endpoint += 1
        return number

    def _work_at(self, number: int, kept: KeptClient) -> None:
        ring = self._rings[number if len(self._rings) > 1 else 0]
        try:
            self._read(self.plan.endpoints[number], ring, kept)
        except RingClosed:
            ring.finish()
        except BaseException as error:  # noqa: BLE001 - the consumer must learn of it, whatever it is
            ring.finish(error)
        else:
            ring.finish()
        with self._lock:
            self._endpoints_done += 1
        self._opened.set()

    def _read(self, endpoint: Endpoint, ring: Ring[tuple[pa.RecordBatch, int]], kept: KeptClient) -> None:
        delivered = failures = 0
        locations = endpoint.locations or ("",)
        while True:
            location = locations[failures % len(locations)]
            try:
                with closing(self._receive(endpoint, location, delivered, kept)) as batches:
                    for batch in batches:
                        size = batch.get_total_buffer_size()
                        ring.put((batch, size), size)
                        delivered += 1
                        failures = 0
                return
            except (*_BROKEN_LINK, TransferCancelledError) as error:
                failures += 1
                broken = isinstance(error, _BROKEN_LINK)
                other_location = broken and delivered == 0 and failures < len(locations)
                again = broken and delivered and endpoint.resume != "no" and failures <= self._limits.reconnects
                # Nothing had come, so nothing is repeated: a server that changes its certificate is back at once.
                turned_away = isinstance(error, PeerUnreachableError | TransferCancelledError)
                refused = turned_away and delivered == 0 and failures == len(locations)
                if refused and not self._cancelled.wait(RECONNECT_S):
                    continue
                if self._cancelled.is_set() or not (other_location or again):
                    raise
                if again:
                    with self._lock:
                        self._resumes += 1
                    self._cancelled.wait(min(_BACKOFF_S[0] * 2 ** (failures - 1), _BACKOFF_S[1]))

    def _receive(
        self, endpoint: Endpoint, location: str, delivered: int, kept: KeptClient
    ) -> Generator[pa.RecordBatch]:
        connection = self._connection.at(location) if location else self._connection
        ticket, skip = endpoint.ticket, delivered
        if delivered and endpoint.resume == "from batch":
            ticket, skip = from_batch(ticket, delivered), 0
        client = kept.open(connection)
        reader = None
        ended = False
        try:
            with translated(f"DoGet of {self.plan.name}", connection.uri):
                reader = client.do_get(fl.Ticket(ticket), connection.call_options(deadline_s=self._time_left()))
                self._watch(reader)
                self._check_schema(reader.schema, connection.uri)
                while True:
                    try:
                        batch = reader.read_chunk().data
                    except StopIteration:
                        ended = True
                        return
                    if batch is None:
                        continue
                    if skip:
                        skip -= 1
                        continue
                    yield batch
        finally:
            if reader is not None:
                with self._lock:
                    self._readers.discard(reader)
                reader.cancel()
            if not ended:
                kept.close()

    def _time_left(self) -> float | None:
        if self._limits.deadline_s is None:
            return None
        return max(0.001, self._started + self._limits.deadline_s - monotonic())

    def _watch(self, reader: Any) -> None:
        with self._lock:
            if self._cancelled.is_set():
                reader.cancel()
                raise RingClosed
            self._readers.add(reader)

    def _check_schema(self, received: pa.Schema, where: str) -> None:
        with self._lock:
            first = self._schema is None
            promised = self._expected if first else self._schema
            if promised is not None:
                check_stream(promised, received, f"{self.plan.name} at {where}")
            self._schema = self._schema or received
        self._opened.set()
