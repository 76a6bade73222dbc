"""One transfer in a thread of its own: to nowhere, to the preview, or to a file."""

from __future__ import annotations

import contextlib
import logging
import os
import time
from collections.abc import Callable
from pathlib import Path
from threading import Event, Thread, get_native_id
from typing import TYPE_CHECKING, Any, Final

from atom_console.engine.flight_pages import RowPages, checked
from atom_console.engine.flight_speed import SpeedTrace
from atom_console.engine.flight_view import Destination, TransferState, TransferView
from atom_console.errors import AtomError
from atom_console.safe_text import safe_text

if TYPE_CHECKING:
    import pyarrow as pa

    from atom_console.flight.client import FlightConsole, ServerSchema
    from atom_console.flight.download import Download, Summary
    from atom_console.flight.sinks import Sink

LOG: Final = logging.getLogger("atom_console.engine")
PREVIEW_ROWS: Final = 10_000
PREVIEW_BYTES: Final = 32 << 20
_SOCKET_BYTES: Final = 256 << 20
_NICE: Final = 5


class _Enough(Exception):  # noqa: N818 - a signal, not a fault
    """The preview has what it wanted."""


class FlightTransfer:
    """Runs from construction on. `view` and `cancel` work from any thread.

    Args:
        connect: makes the client; called in the transfer's thread.
        number: which transfer of this console it is.
        plan_id: what to fetch.
        to: where to; `sink` takes the rows of a file.
        uri: for the view, until the client is there.
        sink: of a file, ready to be opened; its path is the target.
        accept: take the stream's own schema on purpose.
        clearance: of the operator, for a preview.
        on_socket: told the GB/s of a raw socket of this host, of a bench.
        on_end: told the last view.
    """

    def __init__(
        self,
        connect: Callable[[], FlightConsole],
        *,
        number: int,
        plan_id: str,
        to: Destination,
        uri: str,
        sink: Sink | None = None,
        target: Path | None = None,
        accept: bool = False,
        clearance: int = 0,
        on_socket: Callable[[float], None] = lambda gb_per_s: None,
        on_end: Callable[[TransferView], None] = lambda view: None,
    ) -> None:
        self._connect, self._number, self._plan_id, self._to = connect, number, plan_id, to
        self._uri, self._transport, self._target = uri, "?", target
        self._accept, self._clearance = accept, clearance
        self._on_socket, self._on_end = on_socket, on_end
        self._sink = _Metered(sink) if to != "preview" else _PreviewSink(plan_id, clearance)
        self._state: TransferState = "opening"
        self._cancelled = Event()
        self._download: Download | None = None
        self._summary: Summary | None = None
        self._promised: ServerSchema | None = None
        self._restarts = 0
        self._error: AtomError | None = None
        self._cut = False
        self._ended_s: float | None = None
        self._thread = Thread(target=self._run, name="flight-transfer", daemon=True)
        self._thread.start()

    @property
    def running(self) -> bool:
        """It has not ended yet."""
        return self._ended_s is None

    def cancel(self) -> None:
        """Stop; returns at once. Nothing is left under a file's name."""
        self._cancelled.set()
        if self._download is not None:
            self._download.cancel()

    def join(self, timeout_s: float) -> None:
        """Wait for the end."""
        self._thread.join(timeout_s)

    def view(self) -> TransferView:
        """Where it stands."""
        trace, now_s = self._sink.trace, self._ended_s or time.monotonic()
        download = self._download
        progress = None if download is None else download.progress()
        seconds = 0.0 if progress is None else progress.seconds
        state = self._state
        if self._ended_s is None and self._cancelled.is_set():
            state = "cancelling"
        elif state == "opening" and progress is not None and progress.batches:
            state = "streaming"
        return TransferView(
            number=self._number,
            plan_id=safe_text(self._plan_id),
            to=self._to,
            target=None if self._target is None else safe_text(str(self._target)),
            state=state,
            uri=self._uri,
            transport=self._transport,
            rows=0 if progress is None else progress.rows,
            batches=0 if progress is None else progress.batches,
            bytes=0 if progress is None else progress.bytes,
            seconds=seconds,
            rows_expected=None if progress is None else progress.rows_expected,
            gb_per_s=progress.gb_per_s if progress is not None and progress.bytes else None,
            live_gb_per_s=None if trace is None or self._ended_s is not None else trace.live(now_s),
            speeds=() if trace is None else trace.speeds(now_s),
            first_gb_ms=None if trace is None or trace.first_gb_s is None else trace.first_gb_s * 1e3,
            waiting=0 if progress is None or self._ended_s is not None else progress.waiting,
            room=0 if progress is None else progress.room,
            idle_s=None if progress is None or self._ended_s is not None else progress.idle_s,
            resumes=0 if progress is None else progress.resumes,
            restarts=self._restarts,
            mark="" if self._promised is None else self._promised.mark,
            schema_equal=self._schema_equal(),
            accepted=self._accept,
            changes=getattr(self._error, "changes", ()),
            detail=None if self._error is None else safe_text(self._error.what),
            next_step=None if self._error is None else self._error.next_step,
            pages=self._sink.pages,
            cut=self._cut,
        )

    def _schema_equal(self) -> bool | None:
        """Whether the stream is what was promised: the client compared them before it gave the first row."""
        if self._promised is None or self._promised.source != "server":
            return None
        if self._state == "mismatch":
            return False
        if self._sink.schema is None:
            return None
        return bool(self._promised.schema.equals(self._sink.schema, check_metadata=True))

    # What follows runs in the transfer's thread.

    def _run(self) -> None:
        from atom_console.flight.compare import SchemaMismatchError
        from atom_console.flight.errors import TransferCancelledError

        _step_back()
        try:
            self._transfer()
            self._state = "done"
        except _Enough:
            self._cut = True
            self._state = "done"
        except TransferCancelledError:
            self._state = "cancelled"
        except SchemaMismatchError as error:
            self._error, self._state = error, "mismatch"
        except AtomError as error:
            self._error, self._state = error, "failed"
        except Exception as error:  # it ends as a sentence, whatever it was
            LOG.exception("flight transfer: a fault of ours", extra={"event": "flight.fault"})
            self._error = AtomError(f"a fault of ours ({type(error).__name__})", next_step="the log has more")
            self._state = "failed"
        self._ended_s = time.monotonic()
        self._on_end(self.view())

    def _transfer(self) -> None:
        from atom_console.flight.download import Download

        if self._to == "bench":
            self._measure_socket()
        with self._connect() as console:
            self._uri, self._transport = safe_text(console.connection.uri), console.connection.transport
            self._promised = console.schema(self._plan_id)
            download = Download(
                console,
                self._plan_id,
                self._sink,
                promised=None if self._accept else self._promised,
                on_restart=self._restarted,
            )
            self._download = download
            if self._cancelled.is_set():
                download.cancel()
            self._summary = download.run()

    def _measure_socket(self) -> None:
        from atom_console.flight.measure import raw_socket_gb_per_s

        self._state = "measuring the socket"
        self._on_socket(raw_socket_gb_per_s(_SOCKET_BYTES))
        self._state = "opening"

    def _restarted(self, error: AtomError) -> None:
        self._restarts += 1
        LOG.warning("flight: %s starts anew: %s", self._plan_id, error.what, extra={"event": "flight.restart"})


def _step_back() -> None:
    """Let the screen and the producer go first where the processors are short; reading threads inherit it (Linux)."""
    with contextlib.suppress(OSError, AttributeError):
        os.setpriority(os.PRIO_PROCESS, get_native_id(), _NICE)


class _Metered:
    """Notes the speed, and gives the rows to another sink or to nobody."""

    pages: RowPages | None = None

    def __init__(self, inner: Sink | None) -> None:
        self._inner = inner
        self.trace: SpeedTrace | None = None
        self.schema: pa.Schema | None = None

    def open(self, schema: pa.Schema) -> None:
        """Begin, or begin anew."""
        self.schema, self.trace = schema, SpeedTrace(time.monotonic())
        if self._inner is not None:
            self._inner.open(schema)

    def write(self, batch: pa.RecordBatch) -> None:
        """Count a batch, and pass it on."""
        assert self.trace is not None
        self.trace.add(batch.get_total_buffer_size(), time.monotonic())
        if self._inner is not None:
            self._inner.write(batch)

    def commit(self) -> None:
        """Everything is there."""
        if self._inner is not None:
            self._inner.commit()

    def abort(self) -> None:
        """Drop what was written."""
        if self._inner is not None:
            self._inner.abort()


class _PreviewSink(_Metered):
    """Keeps copies of the first rows, as pages, and ends the transfer when it has enough."""

    def __init__(self, plan_id: str, clearance: int) -> None:
        super().__init__(None)
        self._plan_id, self._clearance = plan_id, clearance
        self._batches: list[Any] = []
        self._bytes = 0

    def open(self, schema: pa.Schema) -> None:
        """Begin with no rows."""
        super().open(schema)
        self._batches, self._bytes = [], 0
        self.pages = RowPages(schema, (), self._clearance)

    def write(self, batch: pa.RecordBatch) -> None:
        """Keep what still fits.

        Raises:
            DamagedBatchError: it is not sound.
            _Enough: nothing more fits.
        """
        import pyarrow as pa

        super().write(batch)
        assert self.pages is not None
        room = min(batch.num_rows, PREVIEW_ROWS - self.pages.rows)
        # A slice would keep the whole message alive: Flight's buffers are parts of one gRPC slice.
        sound = checked(batch, self._plan_id)
        kept = sound.take(pa.array(range(room), pa.int32())) if batch.num_columns else sound.slice(0, room)
        self._batches.append(kept)
        self._bytes += kept.get_total_buffer_size()
        self.pages = RowPages(self.schema, self._batches, self._clearance)
        if self.pages.rows >= PREVIEW_ROWS or self._bytes >= PREVIEW_BYTES:
            raise _Enough
