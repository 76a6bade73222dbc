"""The plan on the screen: nothing is sent before this was seen and its number agreed to."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, ClassVar, cast

from textual import events
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Vertical

from atom_console.engine.commands import ControlReplay, PlanReplay, Receipt, ShowPlan, StartReplay
from atom_console.errors import AtomError
from atom_console.ui.commands import bindings
from atom_console.ui.dialogs.confirm import Question, number_typed
from atom_console.ui.drawing import Line, Span, count, foreign, line
from atom_console.ui.page import TextPage
from atom_console.ui.rooms.dead_letters import plan_rows
from atom_console.ui.rooms.dead_letters.saving import save_new

if TYPE_CHECKING:
    from atom_console.engine.plans import StoredPlan
    from atom_console.ui.rooms.dead_letters.room import DeadLettersRoom

_TEN = 10


class PlanPage(TextPage, inherit_bindings=False):
    """The lines of the plan."""

    BINDINGS: ClassVar[list[BindingType]] = bindings("plan", "list")


class PlanView(Vertical):
    """One plan: being made, or stored."""

    def __init__(self, *, id: str) -> None:  # noqa: A002 (Textual's name)
        super().__init__(id=id)
        self.found: StoredPlan | None = None
        self._part_of: str | None = None
        self._waiting = ""
        self._error: AtomError | None = None
        self._turn = 0

    def compose(self) -> ComposeResult:
        """One page."""
        yield PlanPage()

    @property
    def room(self) -> DeadLettersRoom:
        """The room around."""
        return cast("DeadLettersRoom", self.parent)

    def make(self, command: PlanReplay, what: str, *, part_of: str | None = None) -> None:
        """Ask for a plan; until it is there the page says what is done, and `esc` leaves."""
        turn = self._begin(f"Planning {what}: nothing is sent.")

        def made(receipt: Receipt) -> None:
            if turn == self._turn:
                self._part_of = part_of
                self._take(receipt, None)

        def failed(error: AtomError) -> None:
            if turn == self._turn:
                self._take(None, error)

        self.room.console_app.submit(command, f"plan {what}", made, failed)

    def open_stored(self, run_id: str) -> None:
        """Show a plan that was made before."""
        turn = self._begin(f"Reading plan {run_id}…")
        self._part_of = None
        engine = self.room.console_app.engine

        def read(receipt: Any, error: AtomError | None) -> None:
            if turn == self._turn:
                self._take(receipt, error)

        self.room.console_app.jobs.submit(object(), lambda: engine.submit(ShowPlan(run_id=run_id)), read)

    def _begin(self, words: str) -> int:
        self._turn += 1
        self._waiting, self._error, self.found = words, None, None
        self.show()
        return self._turn

    def _take(self, receipt: Receipt | None, error: AtomError | None) -> None:
        self._waiting, self._error = "", error
        self.found = None if receipt is None else receipt.value
        self.show()
        self.room.describe()

    def show(self) -> None:
        """The page, as wide as it is now."""
        page, snapshot = self.query_one(PlanPage), self.room.snapshot
        text: Sequence[Line] = ()
        if self._waiting:
            text = [line(""), line("  ", Span(self._waiting, "dim"))]
        elif self._error is not None:
            step = self._error.next_step
            text = [line(""), line("  ", Span(self._error.what, "error"))]
            text += [line("  → ", foreign(step, 300, "info"))] if step else []
        elif self.found is not None and snapshot is not None:
            text = plan_rows.plan_lines(self.found, snapshot, page.size.width or self.app.size.width)
        if text != page.text:
            page.show(text, keep_place=True)

    def on_resize(self, _: events.Resize) -> None:
        """Text is broken by width."""
        self.show()

    def title(self) -> tuple[Line, Line]:
        """For the first line of the room."""
        if self.found is None:
            return line(" ", Span("Plan", "strong"), " · nothing sent yet"), ()
        return plan_rows.title(self.found, self._part_of)

    def acts_on(self) -> Line:
        """What sends it."""
        snapshot = self.room.snapshot
        if self.found is None or snapshot is None:
            return ()
        return plan_rows.how_to_send(self.found, snapshot.session.word)

    # The keys

    def command_plan_send(self, _: str) -> None:
        """Ask for the number, then run it."""
        found, room = self.found, self.room
        if found is None or room.snapshot is None:
            return
        made, app = found.plan, room.console_app
        if made.refusals or found.state != "planned":
            why = made.refusals[0] if made.refusals else f"it is {found.state} already"
            app.say(f"Plan {made.run_id} was not sent: {why}.", ok=False, next_step="make another plan")
            return
        topics = ", ".join(list(made.by_topic)[:3]) + (" …" if len(made.by_topic) > 3 else "")
        held = sum(made.held.values())
        more = [line("  ", foreign(text, 300, "warn")) for text in made.warnings[:3]]
        if held:
            more.append(line(f"  {count(held)} are held back"))
        question = Question("Send", made.count, "event", f"{room.where} · {topics}", more, typed=made.confirm_count)
        command = StartReplay(run_id=made.run_id, confirmed=made.count)
        part_of = self._part_of

        def started(_: Receipt) -> None:
            room.run_started(made.run_id, part_of)

        app.ask(question, lambda: app.submit(command, f"start run {made.run_id}", started))

    def command_plan_ten(self, _: str) -> None:
        """A plan of the first ten."""
        if (found := self._changeable()) is not None:
            run_id = found.plan.run_id
            self.make(PlanReplay(part_of=run_id, first=_TEN), f"the first {_TEN} of {run_id}", part_of=run_id)

    def command_plan_rate(self, argument: str) -> None:
        """`:pace 500`."""
        if not argument:
            self.room.console_app.ask_command("pace ")
            return
        try:
            rate = float(argument.replace(",", ""))
        except ValueError:
            rate = -1.0
        if not 0 <= rate < float("inf"):
            step = ":pace 500, or :pace 0 for as fast as it goes"
            self.room.console_app.say(f":pace takes events a second, not {argument!r}.", ok=False, next_step=step)
        elif (found := self._changeable()) is not None:
            self._change(found, rate_per_s=rate)

    def command_plan_canary(self, argument: str) -> None:
        """`:canary 20`."""
        if not argument:
            self.room.console_app.ask_command("canary ")
            return
        number = number_typed(argument)
        if number is None:
            step = ":canary 10, or :canary 0 for none"
            self.room.console_app.say(f":canary takes a number of events, not {argument!r}.", ok=False, next_step=step)
        elif (found := self._changeable()) is not None:
            self._change(found, canary=number)

    def command_plan_order(self, _: str) -> None:
        """Strict by key, or by partition."""
        if (found := self._changeable()) is not None:
            self._change(found, order="partition" if found.options.order == "strict" else "strict")

    def command_plan_timestamps(self, _: str) -> None:
        """New, or the original ones."""
        if (found := self._changeable()) is not None:
            self._change(found, timestamps="preserve" if found.options.timestamps == "now" else "now")

    def command_plan_held(self, _: str) -> None:
        """What it holds back, each with its reason."""
        if self.found is None:
            return
        if not self.found.plan.held:
            self.room.console_app.say("This plan holds nothing back.")
            return
        self.room.open_held(self.found.plan.run_id)

    def command_plan_write(self, _: str) -> None:
        """The plan as JSON, in a new file."""
        if (found := self.found) is not None:
            document = found.plan.to_json() | {"options": asdict(found.options)}
            data = json.dumps(document, indent=2, ensure_ascii=False).encode() + b"\n"
            app = self.room.console_app
            save_new(app, app.options.save_dir / f"plan-{found.plan.run_id}.json", data)

    def command_plan_cancel(self, _: str) -> None:
        """Nobody will run it."""
        if (found := self._changeable()) is None:
            return
        run_id = found.plan.run_id
        command = ControlReplay(run_id=run_id, action="cancel", reason="the plan was dropped")
        self.room.console_app.submit(command, f"cancel plan {run_id}", lambda _: self.open_stored(run_id))

    def command_list_open(self, _: str) -> None:
        """`enter` does nothing here: a reflex must not send."""

    def _changeable(self) -> StoredPlan | None:
        if self.found is not None and self.found.state != "planned":
            self.room.console_app.say(f"This plan is {self.found.state}: it is not changed any more.", ok=False)
            return None
        return self.found

    def _change(self, found: StoredPlan, **changes: Any) -> None:
        run_id = found.plan.run_id
        command = PlanReplay(part_of=run_id, instead_of=run_id, **changes)
        self.make(command, f"the records of {run_id} again", part_of=self._part_of)
