"""Runs: the last ones as a list, and one of them while it moves."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal, cast

from textual import events
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Vertical

from atom_console.dlq.replay.runs import RunProgress
from atom_console.engine.commands import ControlReplay, PlanReplay, StartReplay
from atom_console.ui.commands import bindings
from atom_console.ui.dialogs.confirm import Question
from atom_console.ui.drawing import Line, Span, count, foreign, line
from atom_console.ui.page import TextPage
from atom_console.ui.rooms.dead_letters import run_rows
from atom_console.ui.rows import ListSource
from atom_console.ui.table import VirtualTable

if TYPE_CHECKING:
    from atom_console.ui.rooms.dead_letters.room import DeadLettersRoom

_NEVER = (
    line(""),
    line(
        "  No run yet. ",
        Span("esc", "key"),
        ", then ",
        Span("r", "key"),
        " plans one; nothing is sent before you saw it.",
    ),
)


class RunPage(TextPage, inherit_bindings=False):
    """The lines of the run."""

    BINDINGS: ClassVar[list[BindingType]] = bindings("run", "list")


class RunView(Vertical):
    """One run, of this console or of another."""

    def __init__(self, *, id: str) -> None:  # noqa: A002 (Textual's name)
        super().__init__(id=id)
        self._run_id = ""
        self._rest_of: dict[str, str] = {}

    def compose(self) -> ComposeResult:
        """One page."""
        yield RunPage()

    @property
    def room(self) -> DeadLettersRoom:
        """The room around."""
        return cast("DeadLettersRoom", self.parent)

    @property
    def run(self) -> RunProgress | None:
        """As far as it is known now."""
        snapshot = self.room.snapshot
        runs = () if snapshot is None else snapshot.replay.runs
        active = None if snapshot is None else snapshot.replay.active
        if active is not None and active.run_id == self._run_id:
            return active
        return next((run for run in runs if run.run_id == self._run_id), None)

    def open(self, run_id: str, rest_of: str | None = None) -> None:
        """Follow this run; `rest_of` is the plan that it was the beginning of."""
        self._run_id = run_id
        if rest_of is not None:
            self._rest_of[run_id] = rest_of
        self.show()

    def show(self) -> None:
        """The present figures."""
        page, snapshot, run = self.query_one(RunPage), self.room.snapshot, self.run
        if run is None or snapshot is None:
            text = [line(""), line(Span(f"  Reading run {self._run_id}…", "dim"))]
        else:
            width = page.size.width or self.app.size.width
            rest_of = self._rest_of.get(self._run_id)
            text = run_rows.run_lines(run, snapshot.replay, snapshot.dlq.lease, width, rest_of=rest_of)
        if text != page.text:
            page.show(text, keep_place=True)

    def on_resize(self, _: events.Resize) -> None:
        """The bar is as long as there is room."""
        self.show()

    def title(self) -> tuple[Line, Line]:
        """For the first line of the room."""
        run, snapshot = self.run, self.room.snapshot
        if run is None or snapshot is None:
            return line(" ", Span(f"Run {self._run_id}", "strong")), ()
        return run_rows.title(run, snapshot.replay, snapshot.dlq.lease)

    def acts_on(self) -> Line:
        """The run."""
        return line(f" this run: {self._run_id}") if self._run_id else ()

    # The keys

    def command_run_pause(self, _: str) -> None:
        """Nothing more is sent until it goes on."""
        self._control("pause")

    def command_run_cancel(self, _: str) -> None:
        """What was sent stays sent."""
        run = self.run
        if run is None:
            return
        more = [line("  What is sent stays sent, what is left stays ready. It cannot be resumed.")]
        where = f"{self.room.where} · run {run.run_id}"
        question = Question("Cancel", run.left, "event", where, more, which="left of this run")
        self.room.console_app.ask(question, lambda: self._control("cancel"))

    def command_run_resume(self, _: str) -> None:
        """Go on exactly there: here, or in the console that holds it."""
        self._go_on(take_over=False)

    def command_run_take_over(self, _: str) -> None:
        """Only from a holder that lives and says nothing."""
        run, snapshot = self.run, self.room.snapshot
        if run is None or snapshot is None:
            return
        who = run_rows.standing(run, snapshot.replay, snapshot.dlq.lease)
        if who == "silent":
            self._go_on(take_over=True)
            return
        words = {
            "ours": "this console runs it",
            "watched": "the console that holds it is alive and answers",
            "gone": "nobody holds it",
            "idle": "nobody holds it",
        }
        step = "r goes on" if who in {"gone", "idle"} else "it can be paused or cancelled from here"
        self.room.console_app.say(f"Did not take over run {run.run_id}: {words[who]}.", ok=False, next_step=step)

    def command_run_rest(self, _: str) -> None:
        """The plan that these were the first of, made again without them."""
        rest_of = self._rest_of.get(self._run_id)
        if rest_of is None:
            self.room.console_app.say("This run is not the beginning of a plan.", ok=False)
            return
        self.room.make_plan(PlanReplay(part_of=rest_of, instead_of=rest_of), f"the rest of {rest_of}")

    def command_list_open(self, _: str) -> None:
        """A run that never began has a plan to look at."""
        if self.run is not None:
            self.room.open_plan(self._run_id)

    def _go_on(self, *, take_over: bool) -> None:
        run, room = self.run, self.room
        if run is None or room.snapshot is None:
            return
        if run.state == "planned":
            room.open_plan(run.run_id)
            return
        lease = room.snapshot.dlq.lease
        who = run_rows.standing(run, room.snapshot.replay, lease)
        more: list[Line] = []
        if take_over and lease is not None:
            more = [line("  it is taken from ", foreign(f"{lease.owner}@{lease.host} pid {lease.pid}", 60, "warn"))]
        verb = "Take over and send" if take_over else "Send"
        app = room.console_app
        typed = room.snapshot.session.confirm == "typed"
        where = f"{room.where} · run {run.run_id}"
        question = Question(verb, run.left, "event", where, more, typed=typed, which="left of this run")
        if take_over or who in {"gone", "idle"}:
            start = StartReplay(run_id=run.run_id, confirmed=run.total, take_over=take_over)
            app.ask(question, lambda: app.submit(start, f"go on with run {run.run_id}"))
        else:
            app.ask(question, lambda: self._control("resume"))

    def _control(self, action: Literal["pause", "resume", "cancel"]) -> None:
        if self.run is not None:
            command = ControlReplay(run_id=self._run_id, action=action)
            self.room.console_app.submit(command, f"{action} run {self._run_id}")


class RunsView(Vertical):
    """The last runs, whoever ran them, newest first."""

    BINDINGS: ClassVar[list[BindingType]] = bindings("runs")

    def compose(self) -> ComposeResult:
        """One table."""
        table = VirtualTable(ListSource(run_rows.RUN_COLUMNS), markable=False)
        table.empty = _NEVER
        yield table

    @property
    def room(self) -> DeadLettersRoom:
        """The room around."""
        return cast("DeadLettersRoom", self.parent)

    def show(self) -> None:
        """What the store says of them."""
        snapshot = self.room.snapshot
        if snapshot is None:
            return
        replay = snapshot.replay
        rows = [run_rows.run_row(run, replay.made_at, snapshot.taken_at_ms) for run in replay.runs]
        self.query_one(VirtualTable).set_source(ListSource(run_rows.RUN_COLUMNS, rows), keep_place=True)

    def title(self) -> tuple[Line, Line]:
        """For the first line of the room."""
        snapshot = self.room.snapshot
        number = 0 if snapshot is None else len(snapshot.replay.runs)
        return line(" ", Span("Dead letters", "strong"), " › runs"), line(f"{count(number)} last runs ")

    def acts_on(self) -> Line:
        """The run under the cursor."""
        row = self.query_one(VirtualTable).current
        return () if row is None else line(f" this run: {row.key}")

    def on_virtual_table_opened(self, event: VirtualTable.Opened) -> None:
        """Its plan, or how it goes."""
        event.stop()
        self.command_runs_look("")

    def command_runs_look(self, _: str) -> None:
        """A plan that nobody ran is looked at as a plan."""
        snapshot, row = self.room.snapshot, self.query_one(VirtualTable).current
        runs = () if snapshot is None or row is None else snapshot.replay.runs
        run = next((run for run in runs if row is not None and run.run_id == row.key), None)
        if run is not None and run.state in {"planned", "cancelled"} and run.left == run.total:
            self.room.open_plan(run.run_id)
        elif run is not None:
            self.room.open_run(run.run_id)

    def on_virtual_table_moved(self, event: VirtualTable.Moved) -> None:
        """Another run, another thing to act on."""
        event.stop()
        self.room.describe()
