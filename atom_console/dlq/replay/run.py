"""Runs a plan: recover what is open, look for what may be there already, send in windows, count the copies."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from threading import Event
from typing import TYPE_CHECKING, Any, Final

from atom_console.dlq import audit, lease
from atom_console.dlq.errors import StoreUnavailableError
from atom_console.dlq.replay import failpoints
from atom_console.dlq.replay.chains import Chains
from atom_console.dlq.replay.errors import LeaseLostError, PlanRefusedError, RunStateError
from atom_console.dlq.replay.heart import Heart
from atom_console.dlq.replay.items import ChainKey
from atom_console.dlq.replay.pacing import Breaker
from atom_console.dlq.replay.pipeline import Pipeline
from atom_console.dlq.replay.precheck import precheck
from atom_console.dlq.replay.quiet import quiet_interpreter
from atom_console.dlq.replay.reading import reading
from atom_console.dlq.replay.recover import Recovery, recover
from atom_console.dlq.replay.runs import RESUMABLE, Run, RunProgress, RunState, progress_of, read_run, set_state
from atom_console.dlq.replay.sender import Sender
from atom_console.dlq.replay.sending import Sending
from atom_console.dlq.replay.targets import Targets, look_up
from atom_console.dlq.replay.verify import Verdict, expectations, verify
from atom_console.dlq.replay.windows import Clerk
from atom_console.dlq.times import now_ms
from atom_console.errors import AtomError, RefusedError
from atom_console.kafka.cluster import ClusterReader

if TYPE_CHECKING:
    import apsw

    from atom_console.config import Settings
    from atom_console.dlq.replay.options import ReplayOptions
    from atom_console.dlq.store import Store

LOG: Final = logging.getLogger("atom_console.dlq")

_POLL_S: Final = 0.1
_ENDS: Final = {"cancel": RunState.CANCELLED, "stopped": RunState.STOPPED}


@dataclass(frozen=True, slots=True)
class RunReport:
    """How a run ended.

    Attributes:
        run: as stored now.
        verdict: the count of copies, or None where it was not made.
        seconds: how long this process worked at it, without pauses of the operator.
        landed_behind: records that arrived although an earlier one of their key did not (order `partition`).
        doubts: why outcomes are still unknown.
    """

    run: Run
    verdict: Verdict | None
    seconds: float
    events_per_s: float
    landed_behind: tuple[int, ...]
    doubts: tuple[str, ...]


class Runner:
    """Runs one plan, from wherever it stands. For one thread; `progress` may be read from any.

    Args:
        store: open for writing.
        settings: the profile: how to connect, and whether it may write.
        run_id: the run's name.
        take_over: put a living but silent holder of the lease aside.
        on_progress: told about four times a second, in the thread that runs.
    """

    def __init__(
        self,
        store: Store,
        settings: Settings,
        run_id: str,
        *,
        take_over: bool = False,
        on_progress: Callable[[RunProgress], None] | None = None,
    ) -> None:
        self._store, self._settings, self._kafka = store, settings, settings.kafka
        self._take_over, self._listener = take_over, on_progress
        with reading(store.directory) as conn:
            self._base = read_run(conn, run_id)
        self._clerk = Clerk(self._base.id, self._base.name, 0)
        self._breaker = Breaker(self._base.options.breaker_consec, self._base.options.breaker_ratio)
        self._sending: Sending | None = None
        self._doing = ""
        self._doubts: list[str] = []
        self._landed_behind: list[int] = []
        self._paused_s = self._sending_s = 0.0

    @property
    def progress(self) -> RunProgress:
        """The run at this moment."""
        stored, sending = self._base, self._sending
        shown = progress_of(stored)
        if self._doing:
            shown = replace(shown, reason=self._doing)
        if sending is None:
            return shown
        replayed = stored.replayed + sending.replayed
        left = max(0, stored.left - sending.replayed - sending.failed - sending.unknown)
        rate = sending.rate_per_s
        p99 = sending.latency.percentile(99)
        return replace(
            shown,
            sent=stored.sent + sending.sent,
            replayed=replayed,
            failed=stored.failed + sending.failed,
            unknown=stored.unknown + sending.unknown,
            left=left,
            rate_per_s=rate,
            eta_s=left / rate if rate else None,
            breaker=self._breaker.in_a_row,
            ack_p99_ms=p99,
            stalled_s=sending.stalled_s,
        )

    def run(self, stop: Event) -> RunReport:
        """Run it to its end, or until something stops it; then it can be resumed.

        Raises:
            RefusedError: a read-only profile.
            RunStateError: the run is at its end already.
            PlanRefusedError: the cluster or its topics are not those of the plan any more.
            LeaseHeldError: another process replays; LeaseLostError: another one has taken over.
            BrokerUnreachableError: no broker answered at the beginning.
            StoreUnavailableError: the store cannot be written.
        """
        self._require_allowed()
        run = self._base
        begun = time.monotonic()
        held = lease.acquire(self._store, f"replay of run {run.name}", take_over=self._take_over)
        try:
            self._clerk = Clerk(run.id, run.name, held.fencing)
            self._write_state(RunState.RUNNING, "")
            with quiet_interpreter(), Heart(self._store, run.id, held.fencing) as heart:
                state, reason, verdict = self._work(heart, stop)
            self._write_state(state, reason, verdict)
        except AtomError as error:
            self._stopped_by(error)
            raise
        finally:
            self._doing, self._sending = "", None
            lease.release(self._store, held)
        seconds = time.monotonic() - begun - self._paused_s
        ended = self._base
        rate = (ended.replayed - run.replayed) / self._sending_s if self._sending_s else 0.0
        return RunReport(ended, verdict, seconds, rate, tuple(self._landed_behind), tuple(self._doubts))

    def _work(self, heart: Heart, stop: Event) -> tuple[RunState, str, Verdict | None]:
        """Everything under the lease: how it ended."""
        targets = self._same_targets()
        self._doing = "checking"
        recovery = self._recover(heart, stop)
        self._look_before_sending(targets, stop)
        with self._ground(targets) as ground:
            while True:
                halted = self._send(ground, heart, stop)
                if halted == "pause":
                    halted = self._pause(heart, stop)
                    if not halted:
                        continue
                if halted in _ENDS:
                    return _ENDS[halted], "", None
                if self._breaker.reason:
                    return RunState.STOPPED, f"breaker: {self._breaker.reason}", None
                if halted:  # the producer was lost: look what arrived, go on with a new one
                    recovery = self._recover(heart, stop)
                    continue
                if recovery.still_unknown == 0 or not self._wait(recovery, heart, stop):
                    break
                recovery = self._recover(heart, stop)
        if stop.is_set():
            return RunState.STOPPED, "stopped", None
        return self._conclude(stop)

    def _conclude(self, stop: Event) -> tuple[RunState, str, Verdict | None]:
        """Count the copies; the run is finished unless outcomes are unknown."""
        self._doing = "verifying"
        failpoints.reach("before_verify")
        with reading(self._store.directory) as conn:
            expected, lows, topic_ids = expectations(conn, self._base.id)
        verdict = None
        if lows and self._base.options.read_back:
            verdict = verify(self._kafka, expected, lows, topic_ids, stop=stop)
        failpoints.reach("before_end")
        if self._unknown():
            why = self._doubts[0] if self._doubts else "an operator must decide"
            return RunState.STOPPED, f"outcomes are not known: {why}", verdict
        return RunState.FINISHED, "", verdict

    # One pass.

    @contextmanager
    def _ground(self, targets: Targets) -> Iterator[_Ground]:
        """What passes share: the pipeline with its threads, and a producer."""
        ground = self._make_ground(targets)
        try:
            yield ground
        finally:
            ground.pipeline.close()

    def _make_ground(self, targets: Targets) -> _Ground:
        lows = self._high_watermarks(targets)
        with reading(self._store.directory) as conn:
            number: Any = conn.execute(
                "SELECT coalesce(max(number), 0) + 1 FROM replay_window WHERE run_id = ?", (self._base.id,)
            ).get
        pipeline = Pipeline(
            self._store,
            self._clerk,
            self._base.options,
            first_number=int(number),
            lows=lambda: {topic: dict(marks) for topic, marks in lows.items()},
            topic_ids={topic: target.topic_id for topic, target in targets.by_topic.items()},
        )
        return _Ground(targets, lows, pipeline, self._new_sender(targets))

    def _new_sender(self, targets: Targets) -> Sender:
        return Sender(self._kafka, targets, int(self._base.plan["largest_bytes"]))

    def _send(self, ground: _Ground, heart: Heart, stop: Event) -> str:
        """Send what is ready; why it ended early, or an empty text."""
        options = self._base.options
        self._refresh()
        self._doing = "sending"
        with reading(self._store.directory) as conn:
            chains = Chains(options.order, blocked_keys(conn, self._base.id, options))
        ground.pipeline.rewind()
        sending = self._sending = Sending(
            ground.pipeline,
            ground.sender,
            chains,
            options,
            self._breaker,
            heart,
            lows=ground.lows,
            canary=0 if self._base.sent else options.canary,
            stop=stop,
            on_progress=self._on_progress,
        )
        begun = time.monotonic()
        try:
            sending.run()
        except BaseException:
            ground.sender.give_up()  # what is still queued must not go out behind our back
            raise
        finally:
            self._sending = None
            self._sending_s += time.monotonic() - begun
            self._landed_behind += sending.landed_behind
        self._refresh()
        if sending.needs_new_sender:
            ground.sender.give_up()
            ground.sender = self._new_sender(ground.targets)
        return sending.halted

    def _pause(self, heart: Heart, stop: Event) -> str:
        """Wait until somebody resumes; `cancel` or `stopped` otherwise."""
        self._write_state(RunState.PAUSED, "paused by an operator")
        begun = time.monotonic()
        try:
            while not stop.is_set():
                if heart.lost is not None:
                    raise heart.lost
                if heart.requested == "cancel":
                    return "cancel"
                if heart.requested == "resume":
                    self._write_state(RunState.RUNNING, "")
                    heart.requested = None
                    return ""
                stop.wait(_POLL_S)
            return "stopped"
        finally:
            self._paused_s += time.monotonic() - begun

    # Looking at the broker.

    def _recover(self, heart: Heart, stop: Event) -> Recovery:
        self._doing = "checking"
        found = recover(self._store, self._kafka, self._clerk.fencing, self._base.options, stop=stop)
        self._doubts = found.doubts
        if heart.lost is not None:
            raise heart.lost
        self._refresh()
        return found

    def _wait(self, recovery: Recovery, heart: Heart, stop: Event) -> bool:
        """Wait until another look can decide; False where none can, or somebody stops us."""
        if recovery.wait_s is None:
            return False
        self._doing = "waiting"
        end = time.monotonic() + recovery.wait_s
        while time.monotonic() < end:
            if heart.lost is not None:
                raise heart.lost
            if stop.wait(_POLL_S) or heart.requested in ("pause", "cancel"):
                break
            self._on_progress()
        return not stop.is_set()

    def _look_before_sending(self, targets: Targets, stop: Event) -> None:
        """Records that the producer gave up on may be on the topic: found ones are not sent."""
        if not self._base.options.read_back:
            return
        precheck(self._store, self._kafka, self._clerk, targets, stop=stop)
        self._refresh()

    def _high_watermarks(self, targets: Targets) -> dict[str, dict[int, int]]:
        """Before anything is sent: no copy of ours can be below."""
        with ClusterReader(self._kafka) as cluster:
            marks = cluster.watermarks(targets.by_topic).by_topic
        lows: dict[str, dict[int, int]] = {}
        for topic, target in targets.by_topic.items():
            found = {number: mark.high for number, mark in marks.get(topic, {}).items() if mark is not None}
            # A partition whose leader does not tell begins at 0: more to read, nothing missed.
            lows[topic] = {number: found.get(number, 0) for number in range(target.partitions)}
        return lows

    def _same_targets(self) -> Targets:
        """The topics as they are now, unless they are not those of the plan any more."""
        plan = self._base.plan
        topics: Mapping[str, Any] = plan["targets"]
        targets = look_up(self._kafka, topics)
        changes = []
        if self._base.cluster_id and targets.cluster_id != self._base.cluster_id:
            changes.append(f"this is cluster {targets.cluster_id}, the plan was made for {self._base.cluster_id}")
        for topic, planned in topics.items():
            now = targets.by_topic[topic]
            if not now.exists:
                changes.append(f"topic {topic} is gone, or may not be described")
            elif planned["topic_id"] and now.topic_id and planned["topic_id"] != now.topic_id:
                changes.append(f"topic {topic} was deleted and made again since the plan")
            elif planned["partitions"] != now.partitions:
                changes.append(f"topic {topic} has {now.partitions} partitions, it had {planned['partitions']}")
        if changes:
            raise PlanRefusedError(changes, next_step="look at the topic, then make a new plan: `dlq plan`")
        return targets

    # The store.

    def _require_allowed(self) -> None:
        if self._settings.read_only:
            raise RefusedError(
                f"profile {self._settings.profile} is read-only: a replay is refused",
                next_step="use a profile that may write",
            )
        self._refresh()
        if self._base.state not in RESUMABLE:
            raise RunStateError(
                f"run {self._base.name} is {self._base.state}",
                next_step="make a new plan for what is left: `dlq plan`",
            )

    def _refresh(self) -> None:
        with reading(self._store.directory) as conn:
            self._base = read_run(conn, self._base.name)

    def _unknown(self) -> int:
        with reading(self._store.directory) as conn:
            found: Any = conn.execute(
                "SELECT count(*) FROM run_item i JOIN record r ON r.seq = i.seq"
                " WHERE i.run_id = ? AND r.state = 'unknown'",
                (self._base.id,),
            ).get
        return int(found)

    def _write_state(self, state: RunState, reason: str, verdict: Verdict | None = None) -> None:
        def work(conn: apsw.Connection) -> None:
            at = now_ms()
            lease.beat(conn, self._clerk.fencing, at)
            set_state(conn, self._base.id, state, reason, at)
            if verdict is not None:
                conn.execute("UPDATE run SET verified = ? WHERE id = ?", (verdict.sentence(), self._base.id))
            audit.append(
                conn,
                actor=audit.present_actor(),
                at=at,
                action=f"run {state}",
                subject=f"run {self._base.name}",
                records=0,
                reason=" ".join(filter(None, (reason, verdict.sentence() if verdict is not None else ""))),
            )

        self._store.run(work)
        self._refresh()

    def _stopped_by(self, error: AtomError) -> None:
        """Say in the store why the run stopped, as far as it can be said there and is ours to say."""
        if isinstance(error, LeaseLostError):
            return
        try:
            self._write_state(RunState.STOPPED, error.what)
        except (StoreUnavailableError, LeaseLostError) as second:
            LOG.warning("a run stopped and could not say so: %s", second, extra={"event": "dlq.replay_stopped"})

    def _on_progress(self) -> None:
        if self._listener is not None:
            self._listener(self.progress)


@dataclass(slots=True)
class _Ground:
    """What the passes of a run share."""

    targets: Targets
    lows: dict[str, dict[int, int]]
    pipeline: Pipeline
    sender: Sender


def blocked_keys(conn: apsw.Connection, run_id: int, options: ReplayOptions) -> set[ChainKey]:
    """Keys of which an earlier record of the run did not arrive."""
    if options.allow_reorder:
        return set()
    query = (
        "SELECT DISTINCT c.dest_topic, r.key_hash FROM run_item i JOIN record r ON r.seq = i.seq"
        " JOIN cohort c ON c.id = r.cohort WHERE i.run_id = ? AND i.held IS NULL AND r.key_hash IS NOT NULL"
        " AND r.state IN ('failed', 'quarantined', 'unknown', 'captured', 'replaying')"
    )
    found: Any = conn.execute(query, (run_id,))
    return set(found)
