"""What an operator does with dead letters from the screen: export, triage, ingest, plan and run replays."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Event, Lock, Thread
from typing import TYPE_CHECKING, Final

from atom_console.dlq.reader import Reader
from atom_console.engine.commands import (
    ChangeState,
    CheckUnknown,
    ControlReplay,
    DeadLetterCommand,
    ExportRecords,
    IngestTopics,
    PlanReplay,
    Receipt,
    StartReplay,
)
from atom_console.errors import AtomError, InputError, RefusedError

if TYPE_CHECKING:
    from atom_console.config import Settings
    from atom_console.dlq.replay.run import Runner, RunReport
    from atom_console.dlq.replay.runs import RunProgress
    from atom_console.dlq.store import Store

_JOIN_S: Final = 5.0
_DONE: Final = {
    "release": "Released",
    "quarantine": "Set aside",
    "discard": "Discarded",
    "restore": "Restored",
}


class DeadLetterDesk:
    """At most one long job (a replay, an ingest, a look at the broker) at a time in this console.

    Args:
        settings: of the profile, its certificate resolved.
        reader: of the profile's store.
        store: the open store, or an AtomError where there is none.
        on_end: told in the job's thread how it ended.
    """

    def __init__(
        self, settings: Settings, reader: Reader, store: Callable[[], Store], on_end: Callable[[Receipt], None]
    ) -> None:
        self._settings, self._reader, self._store, self._on_end = settings, reader, store, on_end
        self._lock = Lock()
        self._job: Thread | None = None
        self._job_name = ""
        self._stop = Event()
        self._runner: Runner | None = None

    def do(self, command: DeadLetterCommand) -> Receipt:
        """Do it, or start it; raises AtomError where it is refused or failed."""
        match command:
            case ExportRecords():
                receipt = self.export(command)
            case ChangeState():
                receipt = self.change(command)
            case PlanReplay():
                receipt = self.plan(command)
            case StartReplay():
                receipt = self.start(command)
            case ControlReplay():
                receipt = self.control(command)
            case CheckUnknown():
                receipt = self.check_unknown(command)
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
        return _receipt(f"Wrote {report.written:,} records to {report.path.name}{masked}.", value=report.written)

    def change(self, command: ChangeState) -> Receipt:
        """Release, set aside, discard or restore the marked records."""
        from atom_console.dlq.triage import current, triage

        store = self._store()
        report = triage(store, command.action, current(store, command.seqs), command.reason)
        left = "".join(f"; {count:,} left: {why}" for why, count in report.skipped.items())
        text = f"{_DONE[command.action]} {report.changed:,} of {len(command.seqs):,}{left}."
        return _receipt(text, ok=not report.skipped, value=report.changed)

    def plan(self, command: PlanReplay) -> Receipt:
        """The dry run of the marked records; the receipt's value is the `Plan`."""
        from atom_console.dlq.replay.options import ReplayOptions
        from atom_console.dlq.replay.plan import plan

        options = ReplayOptions.of(self._settings.dlq, rate=command.rate_per_s)
        made = plan(self._store(), self._settings, command.seqs, options)
        return _receipt(f"Planned run {made.run_id}: {made.count:,} events; nothing is sent yet.", value=made)

    def start(self, command: StartReplay) -> Receipt:
        """Run a stored plan in a thread of its own."""
        from atom_console.dlq.replay.plan import Plan, require_confirmed
        from atom_console.dlq.replay.reading import reading
        from atom_console.dlq.replay.run import Runner
        from atom_console.dlq.replay.runs import read_run

        store = self._store()
        with reading(store.directory) as conn:
            run = read_run(conn, command.run_id)
        if run.started_at is None:
            require_confirmed(Plan.from_json(run.plan), self._settings, command.confirmed)
        runner = Runner(store, self._settings, run.name)

        def work() -> Receipt:
            try:
                return _run_receipt(runner.run(self._stop))
            finally:
                self._runner = None

        with self._starting(f"run {run.name}"):
            self._runner = runner
            self._begin(work)
        return _receipt(f"Started run {run.name}: {run.total:,} events.", value=run.name)

    def control(self, command: ControlReplay) -> Receipt:
        """Ask whoever runs it, this console or another, to pause, resume or cancel; resume also starts it here."""
        from atom_console.dlq.replay.runs import RunState, request

        run = request(self._store(), command.run_id, command.action)
        if command.action == "resume" and self._runner is None and run.requested is None:
            return self.start(StartReplay(run_id=run.name, confirmed=run.total))
        done = {"pause": "Paused", "resume": "Resumed", "cancel": "Cancelled"}[command.action]
        asked = run.state == RunState.RUNNING
        text = f"Asked for {command.action} of run {run.name}." if asked else f"{done} run {run.name}."
        return _receipt(text, value=run.name)

    def check_unknown(self, _: CheckUnknown) -> Receipt:
        """Look on the broker for records whose outcome is not known, in a thread of its own."""
        from atom_console.dlq import lease
        from atom_console.dlq.replay.options import ReplayOptions
        from atom_console.dlq.replay.recover import recover

        store = self._store()

        def work() -> Receipt:
            held = lease.acquire(store, "check of unknown outcomes")
            try:
                found = recover(
                    store, self._settings.kafka, held.fencing, ReplayOptions.of(self._settings.dlq), stop=self._stop
                )
            finally:
                lease.release(store, held)
            text = (
                f"Looked at the broker: {found.recovered:,} had arrived, {found.absent:,} had not and are ready again, "
                f"{found.still_unknown:,} are still unknown."
            )
            wait = None if not found.wait_s else f"look again in {found.wait_s:.0f} s"
            return _receipt(text, ok=not found.still_unknown, next_step=found.doubts[0] if found.doubts else wait)

        with self._starting("check of unknown outcomes"):
            self._begin(work)
        return _receipt("Started to look at the broker.")

    def ingest(self, command: IngestTopics) -> Receipt:
        """Read dead letters that others left on DLQ topics, in a thread of its own."""
        from atom_console.dlq.adapters import load_context
        from atom_console.dlq.ingest import ingest

        store, dlq = self._store(), self._settings.dlq
        topics = tuple(command.topics) or tuple(dlq.topics)
        context = load_context(dlq.header_map, topics)

        def work() -> Receipt:
            reports = ingest(store, self._settings.kafka, topics, context, stop=self._stop)
            read, added = sum(one.read for one in reports), sum(one.added for one in reports)
            return _receipt(f"Read {read:,} dead letters from {len(reports)} topics; {added:,} were new.", value=added)

        with self._starting("ingest"):
            self._begin(work)
        return _receipt(f"Started to read {', '.join(topics)}.")

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
                self._on_end(_receipt(error.what, ok=False, next_step=error.next_step))

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
    return _receipt(text, ok=whole, next_step=run.state_reason or None, value=run.name)


def _receipt(text: str, *, ok: bool = True, next_step: str | None = None, value: object = None) -> Receipt:
    return Receipt(text, time.time_ns() // 1_000_000, ok=ok, next_step=next_step, value=value)
