"""Sends what a run has left: windows that overlap, in order, at the rate, until the end or until something stops it."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from threading import Event
from typing import TYPE_CHECKING, Final

from atom_console.dlq.replay import failpoints
from atom_console.dlq.replay.chains import Chains
from atom_console.dlq.replay.flight import Fate, Window, judge
from atom_console.dlq.replay.pacing import Breaker, Bucket, WindowSize
from atom_console.dlq.times import now_ms
from atom_console.kafka.delivery_errors import ErrorClass
from atom_console.metrics.latency import LatencyHistogram

if TYPE_CHECKING:
    from atom_console.dlq.replay.heart import Heart
    from atom_console.dlq.replay.items import ChainKey, Item
    from atom_console.dlq.replay.options import ReplayOptions
    from atom_console.dlq.replay.pipeline import Opened, Pipeline
    from atom_console.dlq.replay.sender import Sender

_OVERLAP: Final = 2
_SHORT_S: Final = 0.001
_LONG_S: Final = 0.05
_LAST_REPORTS_S: Final = 5.0
_CHUNK: Final = 1_000
_RATE_S: Final = 3.0


class Sending:
    """One pass over what is ready. For one thread.

    Attributes:
        halted: why it was stopped before the end; empty while it was not.
        needs_new_sender: the producer is of no use any more.
        chains: the keys that are blocked by now.
        replayed, failed, unknown, sent: of this pass.
        landed_behind: records that arrived although an earlier one of their key did not, or only later.

    Args:
        lows: topic → partition → first offset at which the next copy could be; raised by every acknowledgement.
        canary: how many go first, alone; 0 = none.
        on_progress: called at least every quarter of a second.
    """

    def __init__(
        self,
        pipeline: Pipeline,
        sender: Sender,
        chains: Chains,
        options: ReplayOptions,
        breaker: Breaker,
        heart: Heart,
        *,
        lows: dict[str, dict[int, int]],
        canary: int,
        stop: Event,
        on_progress: Callable[[], None],
    ) -> None:
        self.chains, self.halted, self.needs_new_sender = chains, "", False
        self.sent = self.replayed = self.failed = self.unknown = 0
        self.landed_behind: list[int] = []
        self._failed_at: dict[ChainKey, int] = {}
        self.latency = LatencyHistogram()
        self._pipeline, self._sender, self._options = pipeline, sender, options
        self._breaker, self._heart = breaker, heart
        self._lows, self._canary, self._stop, self._on_progress = lows, canary, stop, on_progress
        self._bucket = Bucket(options.rate)
        self._size = WindowSize(options.window, options.rate)
        self._windows: dict[int, Window] = {}
        self._closing: list[Window] = []
        self._suspects: deque[Item] = deque()
        self._told_at = 0.0
        self._acked: deque[tuple[float, int]] = deque()

    def run(self) -> None:
        """Until nothing is left that may be sent, or `halted` says why not.

        Raises:
            LeaseLostError: another process has taken over; what is open is its business now.
            StoreUnavailableError: outcomes could not be written; they are found by read-back.
        """
        while True:
            self._take_turn()
            self._look_for_reasons()
            self._begin_turn()
            self._feed()
            self._sender.poll(self._patience())
            self._take_reports()
            self._tell()
            if self._ended():
                return

    @property
    def rate_per_s(self) -> float:
        """Acknowledged a second over the last seconds."""
        now = time.monotonic()
        while self._acked and now - self._acked[0][0] > _RATE_S:
            self._acked.popleft()
        if not self._acked:
            return 0.0
        return sum(count for _, count in self._acked) / max(0.05, now - self._acked[0][0])

    @property
    def stalled_s(self) -> float:
        """Seconds since the broker was heard of, while something is in flight."""
        return time.monotonic() - self._sender.heard_at if self._sender.in_flight else 0.0

    def _ended(self) -> bool:
        if self._windows or self._closing or self._pipeline.busy:
            return False
        return bool(self.halted) or self._pipeline.exhausted

    # The database.

    def _take_turn(self) -> None:
        opened = self._pipeline.result()
        if opened is not None:
            self._note(opened)

    def _note(self, opened: Opened) -> None:
        turn = opened.turn
        if turn.window_id is None:
            return
        seqs = {item.seq for item in opened.items}
        window = Window(turn.window_id, opened.number, seqs, time.monotonic(), now_ms())
        self._windows[window.id] = window
        for item in opened.items:
            item.window = window
        for item in opened.items if self.halted else self.chains.add(opened.items):
            window.drop(item)
        self._settle_if_done(window)

    def _begin_turn(self) -> None:
        pipeline = self._pipeline
        room = len(self._windows) < (1 if self._canary else _OVERLAP)
        opening = room and not self.halted
        if not self.halted and (room or not self._canary):
            pipeline.prefetch(self._canary or self._size.size, self.chains.blocked)
        if pipeline.busy:
            return
        ready = opening and pipeline.loaded()
        if not (self._closing or ready):
            return
        closing, self._closing = self._closing, []
        now = time.monotonic()
        for window in closing:
            self._size.took(now - window.opened_s, len(window.replayed))
        pipeline.turn([(window.id, window.outcome()) for window in closing], opening=ready)

    def _settle_if_done(self, window: Window) -> None:
        if window.left or self._windows.pop(window.id, None) is None:
            return
        self._closing.append(window)
        if self._canary:
            bad = len(window.failed) + len(window.returned) + len(window.unknown)
            if bad:
                total = bad + len(window.replayed)
                self._breaker.open(f"canary: {bad} of the first {total} did not arrive")
            self._canary = 0

    # Reasons to stop.

    def _look_for_reasons(self) -> None:
        if self.halted:
            return
        if self._stop.is_set():
            self._halt("stopped")
        elif self._heart.lost is not None:
            raise self._heart.lost
        elif self._heart.requested in ("pause", "cancel"):
            self._halt(self._heart.requested)
        elif self._breaker.reason:
            self._halt(f"breaker: {self._breaker.reason}")
        elif self.needs_new_sender or self._sender.fatal is not None:
            self.needs_new_sender = True
            why = self._sender.fatal.str() if self._sender.fatal is not None else "it lost step with the broker"
            self._halt(f"the producer had a fatal error: {why}")
        elif self.stalled_s > self._options.stall_s:
            self._breaker.open(f"the broker has not answered for {self.stalled_s:.0f} s")

    def _halt(self, why: str) -> None:
        """Send nothing more; wait for the reports of what is out, then give the rest up."""
        self.halted = why
        for item in (*self.chains.drop(), *self._suspects):
            self._drop(item)
        self._suspects.clear()
        sender = self._sender
        if not self.needs_new_sender:
            end = time.monotonic() + _LAST_REPORTS_S
            while sender.in_flight and time.monotonic() < end and sender.fatal is None:
                sender.poll(_LONG_S)
                self._take_reports()
        if sender.in_flight:
            sender.give_up()
            self._take_reports()
            self.needs_new_sender = True
        for window in list(self._windows.values()):
            window.unknown += window.left  # not even the client knows
            self.unknown += len(window.left)
            window.left.clear()
            self._settle_if_done(window)

    # The broker.

    def _feed(self) -> None:
        sender, runnable = self._sender, self.chains.runnable
        if self.halted or time.monotonic() < sender.throttled_until:
            return
        if self._suspects:
            if not sender.in_flight:
                item = self._suspects.popleft()
                item.alone = True
                item.error = None
                sender.send(item)
            return
        count = min(len(runnable), _CHUNK)
        if self._bucket.paced:
            count = min(count, self._bucket.available())
            self._bucket.take(count)
        now = time.monotonic()
        for _ in range(count):
            item = runnable.popleft()
            item.sent_at = now
            if not sender.send(item):
                runnable.appendleft(item)
                return

    def _patience(self) -> float:
        if self.chains.runnable and not self.halted and not self._suspects:
            throttled_s = self._sender.throttled_until - time.monotonic()
            if throttled_s > 0:
                return min(_LONG_S, throttled_s)
            return min(_LONG_S, self._bucket.wait_s())
        if self._pipeline.busy or (not self._pipeline.exhausted and len(self._windows) < _OVERLAP):
            return _SHORT_S
        return _LONG_S if self._sender.in_flight else _SHORT_S

    def _take_reports(self) -> None:
        done = self._sender.take()
        if not done:
            return
        self.sent += len(done)
        arrived = [item for item in done if item.error is None]
        refused = [item for item in done if item.error is not None] if len(arrived) < len(done) else []
        for item in refused:
            if item.chain is not None:
                self._failed_at.setdefault(item.chain, item.position)
        if arrived:
            failpoints.reach("after_acknowledgement")
            self._arrived(arrived)
        for item in refused:
            self._refused(item)

    def _arrived(self, items: list[Item]) -> None:
        lows = self._lows
        touched: set[Window] = set()
        record, now = self.latency.record, time.monotonic()
        for item in items:
            window, offset = item.window, item.offset
            window.left.discard(item.seq)
            window.replayed.append((item.seq, item.partition, offset))
            touched.add(window)
            marks = lows[item.topic]
            if offset < marks.get(item.partition, 0):
                self._breaker.open(f"topic {item.topic} was deleted and made again: offset {offset} came twice")
            marks[item.partition] = offset + 1
        record((now - items[0].sent_at) * 1e6)
        self.replayed += len(items)
        self._acked.append((now, len(items)))
        self._breaker.succeeded(len(items))
        self.chains.acknowledged(items)
        if self._failed_at:
            self._note_landed_behind(items)
        for window in touched:
            if not window.left:
                self._settle_if_done(window)

    def _note_landed_behind(self, items: list[Item]) -> None:
        for item in items:
            if item.chain is not None and item.position > self._failed_at.get(item.chain, item.position):
                self.landed_behind.append(item.seq)

    def _refused(self, item: Item) -> None:
        fate, verdict = judge(item, produced=item.reported)
        if fate is Fate.SUSPECT:
            self._suspects.append(item)
            return
        window: Window = item.window
        window.refuse(item, fate, verdict, max_attempts=self._options.max_attempts)
        if verdict.err_class is ErrorClass.CLIENT_FATAL:
            self.needs_new_sender = True
        if fate is Fate.UNKNOWN:
            self.unknown += 1
        elif fate is Fate.FAILED:
            self.failed += 1
        if verdict.err_class is not ErrorClass.SHUTDOWN:
            what = f"{verdict.name} on {item.topic}: {verdict.meaning}"
            self._breaker.failed(what, config=verdict.err_class is ErrorClass.CONFIG)
        for behind in self.chains.block(item):
            self._drop(behind)
        self._settle_if_done(window)

    def _drop(self, item: Item) -> None:
        window: Window = item.window
        window.drop(item)
        self._settle_if_done(window)

    def _tell(self) -> None:
        now = time.monotonic()
        if now - self._told_at > 0.25:
            self._told_at = now
            self._on_progress()
