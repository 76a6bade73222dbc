"""A file or a generator that feeds the producer in a thread of its own, and can be paused, paced and stopped."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from threading import Event, Thread
from typing import TYPE_CHECKING, Final, Literal

from atom_console.engine.commands import Receipt
from atom_console.engine.feed import FeedProgress, feed
from atom_console.engine.snapshot import WorkloadSection
from atom_console.engine.sources import Chunk, Pacer
from atom_console.errors import AtomError, RefusedError

if TYPE_CHECKING:
    from atom_console.engine.producer import Producer

_PAUSE_S: Final = 0.05


class WorkloadRunner:
    """At most one workload at a time.

    Args:
        on_end: told in the workload's thread how it ended, where nobody stopped it.
    """

    def __init__(self, on_end: Callable[[Receipt], None]) -> None:
        self._on_end = on_end
        self._thread: Thread | None = None
        self._stop, self._go = Event(), Event()
        self._pacer = Pacer(None)
        self._progress = FeedProgress()
        self._name: str | None = None

    def start(self, producer: Producer, chunks: Iterable[Chunk], name: str, rate_per_s: float | None) -> None:
        """Begin.

        Raises:
            RefusedError: another workload is running.
        """
        if self._running:
            raise RefusedError(f"{self._name} is still running", next_step="stop it first")
        self._stop, self._go = Event(), Event()
        self._go.set()
        self._pacer, self._progress, self._name = Pacer(rate_per_s), FeedProgress(), name
        self._thread = Thread(target=self._run, args=(producer, chunks), name="workload", daemon=True)
        self._thread.start()

    def pause(self) -> None:
        """Take nothing more until `resume`."""
        self._require()
        self._go.clear()

    def resume(self) -> None:
        """Go on."""
        self._require()
        self._go.set()

    def pace(self, rate_per_s: float | None) -> None:
        """Another rate, events a second; None = no limit."""
        self._require()
        self._pacer.rate_per_s = rate_per_s

    def stop(self, timeout_s: float = 5.0) -> Receipt:
        """End after the events that are being published, and tell how many were taken.

        Raises:
            RefusedError: no workload is running.
        """
        self._require()
        self.end(timeout_s)
        if self._running:
            return Receipt.now(f"Stopping {self._name}: {self._progress.sent:,} events sent so far.")
        return Receipt.now(f"Stopped {self._told('sent')}")

    def end(self, timeout_s: float) -> None:
        """Stop where one is running, without a word."""
        self._stop.set()
        self._go.set()
        if self._thread is not None:
            self._thread.join(timeout_s)

    def section(self) -> WorkloadSection:
        """How far it is."""
        if self._thread is None:
            return WorkloadSection()
        state: Literal["running", "paused", "done"] = (
            "done" if not self._running else "running" if self._go.is_set() else "paused"
        )
        return WorkloadSection(state, self._name, self._pacer.rate_per_s, self._progress.sent)

    @property
    def _running(self) -> bool:
        return self._thread is not None and self._thread.is_alive()

    def _require(self) -> None:
        if not self._running:
            raise RefusedError("no workload is running", next_step="start one first")

    def _run(self, producer: Producer, chunks: Iterable[Chunk]) -> None:
        ok, told, next_step = True, "sent", None
        try:
            feed(producer, self._paused(chunks), pacer=self._pacer, stop=self._stop, progress=self._progress)
        except AtomError as error:
            ok, told, next_step = False, f"sent; then it ended: {error.what}", error.next_step
        if ok and self._stop.is_set():
            return
        self._on_end(Receipt.now(self._told(told), ok=ok, next_step=next_step))

    def _told(self, told: str) -> str:
        done = self._progress
        bad = f", {done.invalid:,} kept as invalid" if done.invalid else ""
        return f"{self._name}: {done.sent:,} events {told}{bad}."

    def _paused(self, chunks: Iterable[Chunk]) -> Iterable[Chunk]:
        for chunk in chunks:
            self._go.wait()
            yield chunk
