"""The room: groups, from there records, from there one record; `esc` goes back, the path is in the first line."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, cast

from textual import events
from textual.app import ComposeResult
from textual.widget import Widget

from atom_console.dlq.record import Group
from atom_console.engine.commands import ExportRecords
from atom_console.engine.protocol import DeadLetterReader
from atom_console.engine.snapshot import EngineSnapshot
from atom_console.errors import AtomError
from atom_console.ui.commands import Scope
from atom_console.ui.drawing import Line, Span, count, cut_line, fit, foreign, justify, line, size
from atom_console.ui.painting import Lines
from atom_console.ui.rooms.dead_letters.detail import DetailView
from atom_console.ui.rooms.dead_letters.groups import GroupsView
from atom_console.ui.rooms.dead_letters.query import Query, parse_query
from atom_console.ui.rooms.dead_letters.records import RecordsView
from atom_console.ui.rooms.dead_letters.words import full_words, store_notice
from atom_console.ui.rooms.room import Room

if TYPE_CHECKING:
    from atom_console.ui.app import ConsoleApp

_FORMATS = {".jsonl": "jsonl", ".parquet": "parquet", ".spill": "spill"}


class DeadLettersRoom(Room):
    """What broke, how much, whose, is it safe to send?"""

    ROOM = "dead-letters"
    HELP = (
        "Events that failed alike are one group. enter goes from groups to records to one record, esc goes back. "
        "Verbs act on the marked rows, else on the row under the cursor."
    )

    _STEPS: ClassVar[tuple[str, ...]] = ("groups", "records", "detail")

    def __init__(self, *, id: str) -> None:  # noqa: A002 (Textual's name)
        super().__init__(id=id)
        self.step = "groups"
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
    def scopes(self) -> tuple[Scope, ...]:
        """Keys of the present step."""
        return (cast("Scope", self.step), "list", "everywhere")

    def compose(self) -> ComposeResult:
        """The path, the three steps of which one shows, and what a verb would act on."""
        yield Lines([()], id="path")
        yield Lines(id="notice")
        yield GroupsView(id="groups")
        yield RecordsView(id="records")
        yield DetailView(id="detail")
        yield Lines([()], id="acts-on")

    def on_mount(self) -> None:
        """Start with the groups."""
        self._show_step("groups")

    # The steps

    def _show_step(self, step: str) -> None:
        self.step = step
        for name in self._STEPS:
            self.query_one(f"#{name}").display = name == step
        self.describe()
        self.take_focus()
        self.console_app.refresh_chrome()

    def take_focus(self) -> None:
        """The present step has the keys."""
        step = self.query_one(f"#{self.step}", Widget)
        self.screen.set_focus(step.query("VirtualTable, TextPage").first(Widget))

    def left(self) -> None:
        """What comes from now on is new."""
        self.query_one(GroupsView).looked()

    def go_back(self) -> bool:
        """From a record to the list, from a list to the groups, and there: clear the filter."""
        if self.step == "detail":
            self._show_step("records")
        elif self.step == "records":
            self._show_step("groups")
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
        self.query_one(RecordsView).open(wanted, group, groups.now_ms)
        self._show_step("records")

    def open_record(self) -> None:
        """The record under the cursor of the list."""
        self._show_step("detail")
        self.query_one(DetailView).follow(self.query_one(RecordsView))

    def record_moved(self) -> None:
        """The cursor of the list moved, or its row came in."""
        if self.step == "detail":
            self.query_one(DetailView).moved()

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
        self.describe()

    def describe(self) -> None:
        """Path and count above, what a verb acts on below."""
        width = self.size.width
        if not width:
            return
        parts = ["Dead letters", "groups"]
        if self.step != "groups":
            parts[1:] = [self._group.label if self._group else "all records"]
        if self.step == "detail":
            parts[1] = fit(parts[1], max(width - 64, 12)).rstrip()
            parts.append(self.query_one(DetailView).name_shown)
        left: list[Span] = [Span(" "), Span(parts[0], "strong")]
        for part in parts[1:]:
            left += [Span(" › "), foreign(part, 60)]
        if self.query_now.text:
            left += [Span("  / "), foreign(self.query_now.text, 60, "info")]
        self.query_one("#path", Lines).show([justify(left, [*self._position(), Span(" ")], width)])
        self.query_one("#acts-on", Lines).show([cut_line(self._acts_on(), width)])

    def _position(self) -> Line:
        if self.query_one("#notice", Lines).lines and not self.query_one(f"#{self.step}").display:
            return ()
        if self.step == "groups":
            groups = self.query_one(GroupsView)
            total = None if self.snapshot is None else self.snapshot.dlq.total
            shown = f"{count(groups.records)} of {count(total)}" if self.query_now.text else count(groups.records)
            return line(f"{shown} records · {count(len(groups.groups))} groups · {size(groups.bytes)}")
        records = self.query_one(RecordsView)
        total_now = records.table.total
        least = {"exact": "", "estimated": "≈ ", "at least": "≥ "}[total_now.kind]
        place = records.table.cursor + 1 if total_now.rows else 0
        return line(f"{count(place)} of {least}{count(total_now.rows)}", f" · {records.order} first")

    def _acts_on(self) -> Line:
        if self.step == "groups":
            return self.query_one(GroupsView).acts_on()
        if self.step == "records":
            return self.query_one(RecordsView).acts_on()
        return ()

    def on_resize(self, _: events.Resize) -> None:
        """Lines are laid out by width."""
        self.describe()

    # Verbs of the groups and of the records

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
            self.query_one(RecordsView).open(self.query_now.narrowed(groups.everything), self._group, groups.now_ms)
        self.describe()

    def _ask_filter(self, argument: str) -> None:
        if argument:
            self.apply_filter(argument)
        else:
            self.console_app.ask_filter(self.query_now.text, self.apply_filter)

    def command_groups_filter(self, argument: str) -> None:
        """`/`."""
        self._ask_filter(argument)

    def command_records_filter(self, argument: str) -> None:
        """`/`."""
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
        self.query_one(RecordsView).turn_round()
        self.describe()

    def command_groups_export(self, argument: str) -> None:
        """To a file."""
        groups = self.query_one(GroupsView)
        self._export(argument, groups.chosen_seqs)

    def command_records_export(self, argument: str) -> None:
        """To a file."""
        records = self.query_one(RecordsView)
        chosen = records.chosen()
        self._export(argument, lambda _: chosen)

    def _export(self, argument: str, choose: Any) -> None:
        if not argument:
            self.console_app.ask_command("export ")
            return
        path, reader = Path(argument).expanduser(), self.reader
        form = _FORMATS.get(path.suffix)
        if form is None:
            self.console_app.say(
                f"{path.name}: the ending says no format.", ok=False, next_step="use .jsonl, .parquet or .spill"
            )
            return
        if reader is None:
            return

        def chosen(seqs: Any, error: AtomError | None) -> None:
            if error is not None:
                self.console_app.report(error)
            elif not seqs:
                self.console_app.say("Nothing to export.", ok=False)
            else:
                command = ExportRecords(seqs=seqs, path=path, format=cast("Any", form))
                self.console_app.submit(command, f"write {count(len(seqs))} records to {path.name}")

        self.console_app.bulk.submit((self, "export"), lambda: choose(reader), chosen)

    def command_records_copy(self, _: str) -> None:
        """The id, over the terminal."""
        record = self.query_one(RecordsView).current
        if record is not None:
            self.console_app.copy(record.id, f"the id {record.id}")
