"""What an operator does with dead letters from the screen: export, triage, ingest, plan and run replays."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from threading import Event, Lock, Thread
from typing import TYPE_CHECKING, Any, Final

from atom_console.config import paths
from atom_console.dlq.reader import Reader
from atom_console.engine import plans
from atom_console.engine.commands import (
    ChangeState,
    CheckUnknown,
    ControlReplay,
    DeadLetterCommand,
    EditRecord,
    ExportRecords,
    IngestTopics,
    PlanReplay,
    Receipt,
    ShowPlan,
    StartReplay,
)
from atom_console.errors import AtomError, InputError, RefusedError

if TYPE_CHECKING:
    from atom_console.config import Settings
    from atom_console.dlq.replay.run import Runner, RunReport
    from atom_console.dlq.replay.runs import RunProgress
    from atom_console.dlq.store import Store

LOG: Final = logging.getLogger("atom_console.engine")

_JOIN_S: Final = 5.0
_AT_ONCE: Final = 2_000
_DONE: Final = {
    "release": "Released",
    "quarantine": "Set aside",
    "discard": "Discarded",
    "restore": "Restored",
}


class DeadLetterDesk:
    """At most one long job (a replay, an ingest, a look at the broker) at a time in this console.

    Args:
        settings: gives those of the profile, its certificate resolved to the files of this moment.
        reader: of the profile's store.
        store: the open store, or an AtomError where there is none.
        on_end: told in the job's thread how it ended.
    """

    def __init__(
        self,
        settings: Callable[[], Settings],
        reader: Reader,
        store: Callable[[], Store],
        on_end: Callable[[Receipt], None],
    ) -> None:
        self._now, self._reader, self._store, self._on_end = settings, reader, store, on_end
        self._directory = paths.dlq_dir(settings())
        self._lock = Lock()
        self._job: Thread | None = None
        self._job_name = ""
        self._stop = Event()
        self._runner: Runner | None = None

    @property
    def _settings(self) -> Settings:
        return self._now()

    def do(self, command: DeadLetterCommand) -> Receipt:
        """Do it, or start it; raises AtomError where it is refused or failed."""
        match command:
            case ExportRecords():
                receipt = self.export(command)
            case ChangeState():
                receipt = self.change(command)
            case EditRecord():
                receipt = self.edit(command)
            case PlanReplay():
                receipt = self.plan(command)
            case StartReplay():
                receipt = self.start(command)
            case ControlReplay():
                receipt = self.control(command)
            case ShowPlan():
                receipt = self.show_plan(command)
            case CheckUnknown():
                receipt = self.check_unknown()
            case IngestTopics():
                receipt = self.ingest(command)
            case _:
                raise InputError(f"this version does not know the command {type(command).__name__}")
        return receipt

    def export(self, command: ExportRecords) -> Receipt:
        """Write the marked records to a new file."""
        from atom_console.dlq.transfer import export

        report = export(self._reader, command.seqs, command.path, command.format, clearance=self._settings.clearance)
        masked = f" ({report.masked:,} masked by your clearance)" if report.masked else ""
        return Receipt.now(f"Wrote {report.written:,} records to {report.path.name}{masked}.", value=report.written)

    def change(self, command: ChangeState) -> Receipt:
        """Release, set aside, discard or restore the marked records; a long list a part at a time."""
        from atom_console.dlq.triage import current, triage

        store, seqs = self._store(), command.seqs
        changed = 0
        left: Counter[str] = Counter()
        for start in range(0, len(seqs), _AT_ONCE):
            if self._stop.is_set():
                left["the console was closed"] += len(seqs) - start
                break
            part = seqs[start : start + _AT_ONCE]
            frozen = current(store, part)
            report = triage(store, command.action, frozen, command.reason)
            changed += report.changed
            left.update(report.skipped)
            if len(frozen) < len(part):
                left["not in the store any more"] += len(part) - len(frozen)
        why = "".join(f"; {count:,} left: {why}" for why, count in left.items())
        return Receipt.now(f"{_DONE[command.action]} {changed:,} of {len(seqs):,}{why}.", ok=not left, value=changed)

    def edit(self, command: EditRecord) -> Receipt:
        """Store a new revision of one record."""
        from atom_console.dlq.edit import store_edit

        stored = store_edit(self._store(), self._settings, command.edit, command.reason)
        new_id = " with a new event id" if command.edit.new_id else ""
        return Receipt.now(f"Edited one dead letter: revision {stored.rev}{new_id}.", value=stored.rev)

    def plan(self, command: PlanReplay) -> Receipt:
        """The dry run of the marked records, or of the beginning of another plan; the value is a `StoredPlan`."""
        from atom_console.dlq.replay.options import ReplayOptions
        from atom_console.dlq.replay.plan import plan

        store = self._store()
        options, seqs = ReplayOptions.of(self._settings.dlq), command.seqs
        if command.part_of is not None:
            options, seqs = plans.records_of(store.directory, command.part_of, command.first)
        said: dict[str, Any] = {
            "rate": command.rate_per_s,
            "canary": command.canary,
            "order": command.order,
            "timestamps": command.timestamps,
        }
        options = replace(options, **{name: value for name, value in said.items() if value is not None})
        made = plan(store, self._settings, seqs, options)
        if command.instead_of is not None:
            plans.drop(store, command.instead_of, f"plan {made.run_id} was made instead")
        text = f"Planned run {made.run_id}: {made.count:,} events; nothing is sent yet."
        return Receipt.now(text, value=plans.StoredPlan(made, options, "planned"))

    def show_plan(self, command: ShowPlan) -> Receipt:
        """A stored plan as it was made; the value is a `StoredPlan`."""
        found = plans.read_plan(self._directory, command.run_id, held=command.held)
        return Receipt.now(f"Read plan {found.plan.run_id}.", value=found)

    def start(self, command: StartReplay) -> Receipt:
        """Run a stored plan in a thread of its own, or go on with it."""
        from atom_console.dlq import lease
        from atom_console.dlq.replay.plan import Plan, require_confirmed
        from atom_console.dlq.replay.reading import reading
        from atom_console.dlq.replay.run import Runner
        from atom_console.dlq.replay.runs import RESUMABLE, read_run

        store = self._store()
        with reading(store.directory) as conn:
            run = read_run(conn, command.run_id)
            lease.require_free(conn, store.directory, take_over=command.take_over)
        if run.state not in RESUMABLE:
            raise RefusedError(f"run {run.name} is {run.state}", next_step="make a new plan for what is left")
        if run.started_at is None:
            require_confirmed(Plan.from_json(run.plan), self._settings, command.confirmed)
        with self._starting(f"run {run.name}"):
            runner = self._runner = Runner(store, self._settings, run.name, take_over=command.take_over)
            self._begin(lambda: self._run(runner))
        what = "Started" if run.started_at is None else "Went on with"
        return Receipt.now(f"{what} run {run.name}: {run.left:,} of {run.total:,} events to send.", value=run.name)

    def _run(self, runner: Runner) -> Receipt:
        try:
            return _run_receipt(runner.run(self._stop))
        finally:
            self._runner = None

    def control(self, command: ControlReplay) -> Receipt:
        """Ask whoever runs it, this console or another, to pause, resume or cancel; resume also starts it here."""
        from atom_console.dlq.replay.runs import RunState, request

        run = request(self._store(), command.run_id, command.action, reason=command.reason)
        if command.action == "resume" and run.requested is None:
            return self.start(StartReplay(run_id=run.name, confirmed=run.total))
        done = {"pause": "Paused", "resume": "Resumed", "cancel": "Cancelled"}[command.action]
        asked = run.requested == command.action or run.state == RunState.RUNNING
        text = f"Asked for {command.action} of run {run.name}." if asked else f"{done} run {run.name}."
        return Receipt.now(text, value=run.name)

    def check_unknown(self) -> Receipt:
        """Look on the broker for records whose outcome is not known, in a thread of its own."""
        from atom_console.dlq.replay.pending import resolve

        store = self._store()

        def work() -> Receipt:
            found = resolve(store, self._settings, stop=self._stop)
            text = (
                f"Looked at the broker: {found.recovered:,} had arrived, {found.absent:,} had not and are ready again, "
                f"{found.still_unknown:,} are still unknown."
            )
            wait = None if not found.wait_s else f"look again in {found.wait_s:.0f} s"
            return Receipt.now(text, ok=not found.still_unknown, next_step=found.doubts[0] if found.doubts else wait)

        with self._starting("check of unknown outcomes"):
            self._begin(work)
        return Receipt.now("Started to look at the broker.")

    def ingest(self, command: IngestTopics) -> Receipt:
        """Read dead letters that others left on DLQ topics, in a thread of its own."""
        from atom_console.dlq.adapters import load_context
        from atom_console.dlq.ingest import ingest

        store, dlq = self._store(), self._settings.dlq
        topics = tuple(command.topics) or tuple(dlq.topics)
        if not topics:
            raise InputError("no DLQ topic is named", next_step="name one (:ingest TOPIC), or set dlq.topics")
        context = load_context(dlq.header_map, topics)

        def work() -> Receipt:
            reports = ingest(store, self._settings.kafka, topics, context, stop=self._stop)
            read, added = sum(one.read for one in reports), sum(one.added for one in reports)
            return Receipt.now(
                f"Read {read:,} dead letters from {len(reports)} topics; {added:,} were new.", value=added
            )

        with self._starting("ingest"):
            self._begin(work)
        return Receipt.now(f"Started to read {', '.join(topics)}.")

    @property
    def job(self) -> str | None:
        """The long job at work, or None."""
        job = self._job
        return self._job_name if job is not None and job.is_alive() else None

    @property
    def active(self) -> RunProgress | None:
        """The run of this console at this moment, or None."""
        runner = self._runner
        return None if runner is None else runner.progress

    def stop(self) -> None:
        """End the job between two windows; a stopped run can be resumed."""
        self._stop.set()
        if self._job is not None:
            self._job.join(_JOIN_S)

    @contextmanager
    def _starting(self, name: str) -> Iterator[None]:
        with self._lock:
            if self._job is not None and self._job.is_alive():
                raise RefusedError(f"{self._job_name} is still at work", next_step="wait for it, or cancel it first")
            self._job_name = name
            yield

    def _begin(self, work: Callable[[], Receipt]) -> None:
        def run() -> None:
            try:
                self._on_end(work())
            except AtomError as error:
                self._on_end(Receipt.now(error.what, ok=False, next_step=error.next_step))
            except Exception as error:
                LOG.exception("%s failed", self._job_name, extra={"event": "engine.job_failed"})
                text = f"{self._job_name}: a fault of ours: {type(error).__name__}: {error}"
                self._on_end(Receipt.now(text, ok=False, next_step="the log has the details"))

        self._job = Thread(target=run, name=self._job_name, daemon=True)
        self._job.start()


def _run_receipt(report: RunReport) -> Receipt:
    run = report.run
    verdict = f" {run.verified}" if run.verified else ""
    text = (
        f"Run {run.name} {run.state}: {run.replayed:,} of {run.total:,} replayed, {run.failed:,} failed, "
        f"{run.unknown:,} unknown.{verdict}"
    )
    whole = run.replayed == run.total
    return Receipt.now(text, ok=whole, next_step=run.state_reason or None, value=run.name)
