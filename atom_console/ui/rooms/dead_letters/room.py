"""The room with everything that can be done in it. What is done acts on frozen numbers, and asks first."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, cast

from atom_console.dlq.filters import Filter
from atom_console.engine.commands import ChangeState, CheckUnknown, ExportRecords, IngestTopics, PlanReplay
from atom_console.errors import AtomError
from atom_console.ui.dialogs.confirm import Question
from atom_console.ui.drawing import Line, Span, count, foreign, line, many
from atom_console.ui.rooms.dead_letters.detail import DetailView
from atom_console.ui.rooms.dead_letters.groups import GroupsView
from atom_console.ui.rooms.dead_letters.query import parse_query
from atom_console.ui.rooms.dead_letters.reason import ReasonDialog
from atom_console.ui.rooms.dead_letters.records import RecordsView
from atom_console.ui.rooms.dead_letters.steps import DeadLetterSteps
from atom_console.ui.rooms.dead_letters.verbs import OPEN, VERBS, Action

_FORMATS = {".jsonl": "jsonl", ".parquet": "parquet", ".spill": "spill"}
_EVERY_STATE = (*OPEN, "replayed", "discarded")


class DeadLettersRoom(DeadLetterSteps):
    """What broke, how much, whose, is it safe to send?"""

    # Which ones

    def apply_filter(self, text: str) -> None:
        """Take a typed filter; a wrong one is quoted, and the old one stays."""
        now_ms = 0 if self.snapshot is None else self.snapshot.taken_at_ms
        try:
            self.query_now = parse_query(text, now_ms)
        except AtomError as error:
            self.console_app.report(error)
            return
        groups = self.query_one(GroupsView)
        groups.narrow(self.query_now)
        if self.step == "records":
            wanted = self.query_now.narrowed(groups.everything)
            self._list().open(wanted, self._group, groups.now_ms)
        self.describe()

    def _ask_filter(self, argument: str) -> None:
        if self.step not in {"groups", "records"}:
            self.console_app.say("A filter chooses groups or their records; esc goes there.", ok=False)
        elif argument:
            self.apply_filter(argument)
        else:
            self.console_app.ask_filter(self.query_now.text, self.apply_filter)

    def command_groups_filter(self, argument: str) -> None:
        """Ask for it."""
        self._ask_filter(argument)

    def command_records_filter(self, argument: str) -> None:
        """Ask for it."""
        self._ask_filter(argument)

    def command_groups_all(self, _: str) -> None:
        """Every record of the filter."""
        self.open_group(None)

    def command_groups_sort(self, _: str) -> None:
        """By the next column."""
        self.console_app.say(f"Sorted by {self.query_one(GroupsView).sort_next()}.")
        self.describe()

    def command_records_sort(self, _: str) -> None:
        """The other end first."""
        if self.step == "held":
            self.console_app.say("These are in the plan's order.")
            return
        self._list().turn_round()
        self.describe()

    def command_replay_runs(self, _: str) -> None:
        """The last runs."""
        self._show_step("runs")

    def command_replay_pending(self, _: str) -> None:
        """Records that may have arrived."""
        now_ms = 0 if self.snapshot is None else self.snapshot.taken_at_ms
        self.query_one("#pending", RecordsView).open(Filter(states=("unknown",)), None, now_ms)
        self._show_step("pending")

    # What is done with them

    def _choose(self, states: Sequence[str], verb: str, then: Callable[[Sequence[int]], None]) -> None:
        """Freeze the numbers of the marked rows, else of the row, in the thread for long reads."""
        shown = cast("GroupsView | RecordsView | DetailView", self.query_one(f"#{self.step}"))
        reader = self.reader
        if self.step in {"plan", "run", "runs"} or reader is None:
            self.console_app.say(f"{verb} does not apply here; esc goes back to the lists.", ok=False)
            return
        choice = shown.choice(states)

        def chosen(seqs: Any, error: AtomError | None) -> None:
            if error is not None:
                self.console_app.report(error)
            elif not len(seqs):
                self.console_app.say(f"{verb}: there is nothing that it applies to.", ok=False)
            else:
                then(seqs)

        self.console_app.bulk.submit((self, "choose"), lambda: choice(reader), chosen)

    def command_letters_plan(self, _: str) -> None:
        """The dry run before any send."""

        def chosen(seqs: Sequence[int]) -> None:
            self.make_plan(PlanReplay(seqs=seqs), many(len(seqs), "record"))

        self._choose(OPEN, "Plan a replay", chosen)

    def command_letters_release(self, reason: str) -> None:
        """To be sent by a plan."""
        self._change("release", reason)

    def command_letters_quarantine(self, reason: str) -> None:
        """Not to be sent for now."""
        self._change("quarantine", reason)

    def command_letters_discard(self, reason: str) -> None:
        """Never to be sent."""
        self._change("discard", reason)

    def command_letters_restore(self, reason: str) -> None:
        """Undo a discard."""
        self._change("restore", reason)

    def _change(self, action: Action, reason: str) -> None:
        """Numbers, then why, then the question, then it is done."""
        verb, app = VERBS[action], self.console_app

        def chosen(seqs: Sequence[int]) -> None:
            what = many(len(seqs), "dead letter")
            heading = [line(Span(f"{verb.title} {what}", "strong")), line(f"  {verb.effect}")]

            def reasoned(why: str | None) -> None:
                if why is None:
                    app.say(f"Nothing was done: no reason to {verb.title.lower()} {what}.")
                    return
                more: list[Line] = [line(f"  {verb.effect}"), line("  reason: ", foreign(why, 200))]
                typed = self.snapshot is not None and self.snapshot.session.confirm == "typed"
                question = Question(verb.title, len(seqs), "dead letter", self.where, more, typed=typed)
                command = ChangeState(action=action, seqs=seqs, reason=why)
                app.ask(question, lambda: app.submit(command, f"{verb.title.lower()} {what}", lambda _: self.changed()))

            app.push_screen(ReasonDialog(heading, reason), reasoned)

        self._choose(verb.states, verb.title, chosen)

    def changed(self) -> None:
        """What was acted on is not what a second key press may mean."""
        self.query_one(GroupsView).table.marks.clear()
        if self.step in self._LISTS:
            self._list().again()
        elif self.step == "detail":
            self._list().again()
            self.query_one(DetailView).again()

    def command_letters_check(self, _: str) -> None:
        """Look on the broker for what may have arrived."""
        unknown = None if self.snapshot is None else self.snapshot.replay.unknown
        if unknown == 0:
            self.console_app.say("No outcome is unknown: there is nothing to look for.")
            return
        what = "look on the broker for records whose outcome is unknown"
        self.console_app.submit(CheckUnknown(), f"{what} ({count(unknown)})")

    def command_letters_ingest(self, argument: str) -> None:
        """`:ingest orders.dlq`; the topics of the profile where none is named."""
        topics = argument.split()
        configured = {} if self.snapshot is None else {row.key: row.value for row in self.snapshot.session.settings}
        if not topics and not (own := configured.get("dlq.topics", "").strip("[]()")):
            self.console_app.ask_command("ingest ")
            return
        names = ", ".join(topics) or own
        more = [line("  They are read into the store; nothing is sent, nothing on the topics changes.")]
        question = Question("Read", len(topics) or len(own.split(",")), "DLQ topic", f"{self.where} · {names}", more)
        command = IngestTopics(topics=topics)
        self.console_app.ask(question, lambda: self.console_app.submit(command, f"read {names}"))

    def command_groups_export(self, argument: str) -> None:
        """To a file."""
        self._export(argument)

    def command_records_export(self, argument: str) -> None:
        """To a file."""
        self._export(argument)

    def _export(self, argument: str) -> None:
        if not argument:
            self.console_app.ask_command("export ")
            return
        path = Path(argument).expanduser()
        form = _FORMATS.get(path.suffix)
        if form is None:
            self.console_app.say(
                f"{path.name}: the ending says no format.", ok=False, next_step="use .jsonl, .parquet or .spill"
            )
            return

        def chosen(seqs: Sequence[int]) -> None:
            command = ExportRecords(seqs=seqs, path=path, format=cast("Any", form))
            self.console_app.submit(command, f"write {count(len(seqs))} records to {path.name}")

        self._choose(_EVERY_STATE, "Export", chosen)

    def command_records_copy(self, _: str) -> None:
        """The id, over the terminal."""
        record = self._list().current
        if record is not None:
            self.console_app.copy(record.id, f"the id {record.id}")
