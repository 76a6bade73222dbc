"""The room: groups, records, one record; a plan, a run, the runs, what is pending. `esc` goes back.

The order that an operator needs: what broke, how much, whose, is it safe to send, send ten, look, send all, prove it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, cast

from textual import events
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.widget import Widget

from atom_console.dlq.record import Group
from atom_console.engine.commands import PlanReplay, ShowPlan
from atom_console.engine.protocol import DeadLetterReader
from atom_console.engine.snapshot import EngineSnapshot
from atom_console.errors import AtomError
from atom_console.ui.commands import Scope, bindings
from atom_console.ui.drawing import Line, Span, count, cut_line, fit, foreign, justify, line, many, size
from atom_console.ui.painting import Lines
from atom_console.ui.rooms.dead_letters.detail import DetailView
from atom_console.ui.rooms.dead_letters.groups import GroupsView
from atom_console.ui.rooms.dead_letters.plan import PlanView
from atom_console.ui.rooms.dead_letters.query import Query
from atom_console.ui.rooms.dead_letters.records import RecordsView
from atom_console.ui.rooms.dead_letters.run import RunsView, RunView
from atom_console.ui.rooms.dead_letters.words import full_words, store_notice
from atom_console.ui.rooms.room import Room

if TYPE_CHECKING:
    from atom_console.ui.app import ConsoleApp


class DeadLetterSteps(Room):
    """The steps and the way between them; `room.DeadLettersRoom` adds what can be done."""

    ROOM = "dead-letters"
    HELP = (
        "Events that failed alike are one group. enter goes from groups to records to one record, esc goes back. "
        "Verbs act on the marked rows, else on the row under the cursor; r plans a replay, which sends nothing yet."
    )
    BINDINGS: ClassVar[list[BindingType]] = bindings("replay")

    _STEPS: ClassVar[tuple[str, ...]] = ("groups", "records", "held", "pending", "detail", "plan", "run", "runs")
    _LISTS: ClassVar[tuple[str, ...]] = ("records", "held", "pending")

    def __init__(self, *, id: str) -> None:  # noqa: A002 (Textual's name)
        super().__init__(id=id)
        self._trail = ["groups"]
        self.query_now = Query()
        self.snapshot: EngineSnapshot | None = None
        self._group: Group | None = None

    @property
    def console_app(self) -> ConsoleApp:
        """The application, by its own type."""
        return cast("ConsoleApp", self.app)

    @property
    def reader(self) -> DeadLetterReader | None:
        """The store's reading side."""
        return self.console_app.engine.dead_letters

    @property
    def clearance(self) -> int:
        """Access bits of the operator."""
        return 0 if self.snapshot is None else self.snapshot.session.clearance

    @property
    def where(self) -> str:
        """Profile and cluster, as one phrase."""
        assert self.snapshot is not None
        return f"{self.snapshot.session.word} · {self.snapshot.cluster.name or 'cluster ?'}"

    @property
    def step(self) -> str:
        """The view that shows."""
        return self._trail[-1]

    @property
    def scopes(self) -> tuple[Scope, ...]:
        """Keys of the present step."""
        if self.step in {"plan", "run", "runs"}:
            return (cast("Scope", self.step), "replay", "list", "everywhere")
        own: Scope = "records" if self.step in self._LISTS else cast("Scope", self.step)
        return ("letters", own, "replay", "list", "everywhere")

    def compose(self) -> ComposeResult:
        """The first line, the steps of which one shows, and what a verb would act on."""
        yield Lines([()], id="path")
        yield Lines(id="notice")
        yield GroupsView(id="groups")
        for name in self._LISTS:
            yield RecordsView(id=name)
        yield DetailView(id="detail")
        yield PlanView(id="plan")
        yield RunView(id="run")
        yield RunsView(id="runs")
        yield Lines([()], id="acts-on")

    def on_mount(self) -> None:
        """Start with the groups."""
        self._show_step("groups")

    # The steps

    def _show_step(self, step: str) -> None:
        """Go there; a step that is on the way already is gone back to."""
        if step in self._trail:
            del self._trail[self._trail.index(step) :]
        self._trail.append(step)
        for name in self._STEPS:
            self.query_one(f"#{name}").display = name == step
        self._fill()
        self.describe()
        self.take_focus()
        self.console_app.refresh_chrome()

    def take_focus(self) -> None:
        """The present step has the keys."""
        step = self.query_one(f"#{self.step}", Widget)
        self.screen.set_focus(step.query("VirtualTable, TextPage").first(Widget))

    def _list(self) -> RecordsView:
        """The list of records that shows, or that the record on the screen is of."""
        name = next((step for step in reversed(self._trail) if step in self._LISTS), "records")
        return self.query_one(f"#{name}", RecordsView)

    def left(self) -> None:
        """What comes from now on is new."""
        self.query_one(GroupsView).looked()

    def go_back(self) -> bool:
        """One step back the way that one came, and at the groups: clear the filter."""
        if len(self._trail) > 1:
            self._show_step(self._trail[-2])
        elif self.query_now.text:
            self.apply_filter("")
        else:
            return False
        return True

    def open_group(self, group: Group | None) -> None:
        """The records of one group, or of the whole filter."""
        self._group = group
        groups = self.query_one(GroupsView)
        wanted = self.query_now.narrowed(groups.everything)
        self.query_one("#records", RecordsView).open(wanted, group, groups.now_ms)
        self._show_step("records")

    def open_record(self) -> None:
        """The record under the cursor of the list."""
        records = self._list()
        self._show_step("detail")
        self.query_one(DetailView).follow(records)

    def record_moved(self) -> None:
        """The cursor of the list moved, or its row came in."""
        if self.step == "detail":
            self.query_one(DetailView).moved()

    def make_plan(self, command: PlanReplay, what: str) -> None:
        """Plan these records, and show it."""
        self._show_step("plan")
        self.query_one(PlanView).make(command, what)

    def open_plan(self, run_id: str) -> None:
        """A plan that was made before."""
        self._show_step("plan")
        self.query_one(PlanView).open_stored(run_id)

    def open_held(self, run_id: str) -> None:
        """What a plan holds back, read from the store."""
        app = self.console_app

        def read(receipt: Any, error: AtomError | None) -> None:
            if error is not None:
                app.report(error)
            elif self.step == "plan":
                self.query_one("#held", RecordsView).open_held(receipt.value.held, receipt.at_ms)
                self._show_step("held")

        app.bulk.submit((self, "held"), lambda: app.engine.submit(ShowPlan(run_id=run_id, held=True)), read)

    def open_run(self, run_id: str, rest_of: str | None = None) -> None:
        """Follow a run."""
        self._show_step("run")
        self.query_one(RunView).open(run_id, rest_of)
        self.describe()

    def run_started(self, run_id: str, rest_of: str | None) -> None:
        """From its plan over to the run; `esc` there goes to where the plan was asked for."""
        if self.step == "plan":
            self._trail.pop()
        self.open_run(run_id, rest_of)

    def apply_filter(self, text: str) -> None:
        """Take a typed filter."""
        raise NotImplementedError

    # What is shown around the steps

    def show(self, snapshot: EngineSnapshot) -> None:
        """New numbers: the groups are read again where the store changed."""
        self.snapshot = snapshot
        notice = store_notice(snapshot.dlq)
        if self.reader is None and notice is None:
            notice = [line(""), line("  This profile keeps no dead letters here.")]
        self.query_one("#notice", Lines).show(notice or ([full] if (full := full_words(snapshot.dlq)) else []))
        for name in self._STEPS:
            self.query_one(f"#{name}").display = notice is None and name == self.step
        if notice is None:
            self.query_one(GroupsView).refresh_groups(snapshot)
        self._fill()
        self.describe()

    def _fill(self) -> None:
        """The steps that show what the snapshot says."""
        if self.step in {"plan", "run", "runs"}:
            self._page().show()

    def _page(self) -> PlanView | RunView | RunsView:
        kinds: dict[str, type[PlanView | RunView | RunsView]] = {"plan": PlanView, "run": RunView, "runs": RunsView}
        return self.query_one(kinds[self.step])

    def describe(self) -> None:
        """Path and count above, what a verb acts on below."""
        width = self.size.width
        if not width:
            return
        hidden = bool(self.query_one("#notice", Lines).lines) and not self.query_one(f"#{self.step}").display
        if self.step in {"plan", "run", "runs"}:
            left, right = self._page().title()
        else:
            left, right = self._path(width), line(*self._position(), " ")
        self.query_one("#path", Lines).show([justify(left, () if hidden else right, width)])
        self.query_one("#acts-on", Lines).show([() if hidden else cut_line(self._acts_on(), width)])

    def _path(self, width: int) -> Line:
        parts = ["groups"]
        for step in self._trail[1:]:
            if step == "records":
                parts = [self._group.label if self._group else "all records"]
            elif step in {"held", "pending"}:
                parts = ["held back by the plan" if step == "held" else "unknown: may have arrived or not"]
            elif step == "detail":
                label = fit(parts[0], max(width - 64, 12)).rstrip()
                parts = [label, self.query_one(DetailView).name_shown]
        left: list[Span] = [Span(" "), Span("Dead letters", "strong")]
        for part in parts:
            left += [Span(" › "), foreign(part, 60)]
        if self.query_now.text:
            left += [Span("  / "), foreign(self.query_now.text, 60, "info")]
        return tuple(left)

    def _position(self) -> Line:
        if self.step == "groups":
            groups = self.query_one(GroupsView)
            if not groups.known:
                return line("? records")
            total = None if self.snapshot is None else self.snapshot.dlq.total
            shown = f"{count(groups.records)} of {count(total)}" if self.query_now.text else count(groups.records)
            still = "" if groups.open_records == groups.records else f" ({count(groups.open_records)} open)"
            return line(f"{shown} records{still} · {many(len(groups.groups), 'group')} · {size(groups.bytes)}")
        records = self._list()
        total_now = records.table.total
        least = {"exact": "", "estimated": "≈ ", "at least": "≥ "}[total_now.kind]
        place = records.table.cursor + 1 if total_now.rows else 0
        order = "" if records.id == "held" else f" · {records.order} first"
        return line(f"{count(place)} of {least}{count(total_now.rows)}{order}")

    def _acts_on(self) -> Line:
        return cast("GroupsView | RecordsView | DetailView", self.query_one(f"#{self.step}")).acts_on()

    def on_resize(self, _: events.Resize) -> None:
        """Lines are laid out by width."""
        self.describe()
