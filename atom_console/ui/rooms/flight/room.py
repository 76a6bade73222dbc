"""The room: plans with their schema and the transfer; over them the rows of a plan, one row, or differences."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Literal, cast

from textual import events
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Horizontal
from textual.widget import Widget

from atom_console.engine.commands import (
    CancelTransfer,
    FetchSchema,
    FlightCommand,
    ListFlights,
    Ping,
    StartTransfer,
)
from atom_console.engine.flight_view import FlightRow, PlanSchema, TransferView
from atom_console.engine.snapshot import EngineSnapshot, FlightSection
from atom_console.ui.commands import Scope, bindings
from atom_console.ui.drawing import Line, Span, count, cut_line, foreign, justify, line, plain
from atom_console.ui.page import TextPage
from atom_console.ui.painting import Lines
from atom_console.ui.rooms.flight import words
from atom_console.ui.rooms.flight.panel import HEIGHT, transfer_lines
from atom_console.ui.rooms.flight.sources import PLAN_COLUMNS, PageSource, plan_rows
from atom_console.ui.rooms.room import Room
from atom_console.ui.rows import Column, ListSource
from atom_console.ui.table import VirtualTable

if TYPE_CHECKING:
    from atom_console.ui.app import ConsoleApp

_Step = Literal["plans", "rows", "page"]
_Text = Callable[[int], Sequence[Line]]
_NO_ROWS = (Column("row", 6),)


class FlightPage(TextPage, inherit_bindings=False):
    """A text about rows, with the keys of lists and of this room."""

    BINDINGS: ClassVar[list[BindingType]] = bindings("flight", "list")


class FlightRoom(Room):
    """What does the server offer, does its schema hold, how fast does it come?"""

    ROOM = "flight"
    HELP = (
        "Plans of a Flight server, the schema of the one under the cursor beside the declared MDF schema: same, "
        "differs, only here, not here. enter looks at its rows, d fetches all and drops them, w writes them to a file."
    )
    BINDINGS: ClassVar[list[BindingType]] = bindings("flight")
    DEFAULT_CSS = """
    FlightRoom #server { height: auto; }
    FlightRoom #plans { height: 1fr; }
    FlightRoom #plans VirtualTable { width: 2fr; }
    FlightRoom #schema { width: 3fr; height: 1fr; }
    """

    def __init__(self, *, id: str) -> None:  # noqa: A002 (Textual's name)
        super().__init__(id=id)
        self.step: _Step = "plans"
        self._section = FlightSection()
        self._asked = False
        self._query = ""
        self._filled: object = None
        self._wanted_schema: tuple[str | None, tuple[FlightRow, ...]] = (None, ())
        self._schema_of: object = None
        self._named: str | None = None
        self._previewed: str | None = None
        self._preview_from = 0
        self._page_title, self._page_from = "", "plans"
        self._page_text: _Text = lambda _: ()

    @property
    def console_app(self) -> ConsoleApp:
        """The application, by its own type."""
        return cast("ConsoleApp", self.app)

    @property
    def scopes(self) -> tuple[Scope, ...]:
        """The room's keys, whatever the step."""
        return ("flight", "list", "everywhere")

    def compose(self) -> ComposeResult:
        """The server, then plans and schema, or rows, or a page; the transfer below."""
        yield Lines([()], id="path")
        yield Lines(id="server")
        with Horizontal(id="plans"):
            yield VirtualTable(ListSource(PLAN_COLUMNS), id="plan-list", markable=False)
            yield Lines(id="schema")
        yield VirtualTable(ListSource(_NO_ROWS), id="rows", markable=False)
        yield FlightPage(id="page")
        yield Lines([()] * HEIGHT, id="transfer")
        yield Lines([()], id="acts-on")

    def on_mount(self) -> None:
        """Start with the plans."""
        self._show_step("plans")

    # The steps

    def _show_step(self, step: _Step) -> None:
        self.step = step
        for name in ("plans", "rows", "page"):
            self.query_one(f"#{name}").display = name == step
        self._describe()
        self.take_focus()
        self.console_app.refresh_chrome()

    def take_focus(self) -> None:
        """The present step has the keys; the first visit asks the server."""
        target = {"plans": "plan-list"}.get(self.step, self.step)
        self.screen.set_focus(self.query_one(f"#{target}", Widget))
        if not self._asked:
            self._asked = True
            self._quietly(ListFlights())

    def go_back(self) -> bool:
        """From a page to where it was opened, from the rows to the plans, and there: clear the filter."""
        if self.step == "page":
            self._show_step(cast("_Step", self._page_from))
        elif self.step == "rows":
            self._show_step("plans")
        elif self._query:
            self._apply_filter("")
        else:
            return False
        return True

    def _open_page(self, title: str, text: _Text) -> None:
        self._page_from = self.step if self.step != "page" else self._page_from
        self._page_title, self._page_text = title, text
        self._fill_page()
        self._show_step("page")

    def _fill_page(self) -> None:
        self.query_one("#page", FlightPage).show(self._page_text(self.size.width or self.app.size.width))

    # What is shown

    @property
    def plans(self) -> VirtualTable:
        """The list."""
        return self.query_one("#plan-list", VirtualTable)

    @property
    def plan_id(self) -> str | None:
        """The plan under the cursor."""
        row = self.plans.current
        return None if row is None else str(row.key)

    def show(self, snapshot: EngineSnapshot) -> None:
        """New numbers; a table is filled again only where it changed."""
        self._section = snapshot.flight
        self._fill_plans()
        self._fill_rows()
        self._want_schema()
        self._describe()

    def _fill_plans(self) -> None:
        section = self._section
        state = (section.flights, section.note, section.state, section.listed_age_s is None, self._query)
        if state == self._filled:
            return
        self._filled = state
        self.plans.empty = words.nothing_here(section, self._query)
        self.plans.set_source(ListSource(PLAN_COLUMNS, plan_rows(section.flights, self._query)), keep_place=True)
        if self._named is not None and self.plans.move_to_key(self._named):
            self._named = None

    def _fill_rows(self) -> None:
        view, table = self._preview, self.query_one("#rows", VirtualTable)
        if self.step != "rows" or view is None:
            return
        if view.state == "mismatch":
            self._show_differences(view)
            return
        table.empty = _no_rows(view, self.size.width or 80)
        pages = view.pages
        shown = table.source.pages if isinstance(table.source, PageSource) else None
        if pages is not None and pages is not shown:
            table.set_source(PageSource(pages), keep_place=shown is not None)
        elif pages is None:
            table.sync()

    @property
    def _preview(self) -> TransferView | None:
        """The preview that was asked for here; one that was asked for before is none."""
        view = self._section.preview
        return (
            view if view is not None and view.plan_id == self._previewed and view.number > self._preview_from else None
        )

    def _describe(self) -> None:
        width = self.size.width
        if not width:
            return
        section = self._section
        self.query_one("#path", Lines).show([self._path(width)])
        server = self.query_one("#server", Lines)
        at_the_plans = self.step == "plans"
        server.show(words.server_lines(section, width) if at_the_plans or section.state in {"away", "refuses"} else [])
        self._show_schema()
        running = section.transfer is not None and section.transfer.running
        shown = transfer_lines(section.transfer, section.socket_gb_per_s, section.host, width)
        self.query_one("#transfer", Lines).show(shown if at_the_plans or running else [])
        self.query_one("#acts-on", Lines).show([cut_line(self._acts_on(), width)])

    def _show_schema(self) -> None:
        """Made again only where it would be another: it is most of what the room draws."""
        area, schema, plan_id, section = self.query_one("#schema", Lines), self._schema, self.plan_id, self._section
        made_of = (schema, plan_id, section.state, area.size)
        if area.size.width and made_of != self._schema_of:
            self._schema_of = made_of
            area.show(words.schema_lines(schema, plan_id, section, area.size.width, area.size.height))

    def _path(self, width: int) -> Line:
        if self.step == "plans":
            return words.head(self._section, width)
        left = [Span(" "), Span("Flight", "strong"), Span(" › "), foreign(self._previewed or "?", 60)]
        if self.step == "page":
            left += [Span(" › "), foreign(self._page_title, 60)]
            return justify(left, [Span(" ")], width)
        return justify(left, [*_rows_words(self._preview), Span(" ")], width)

    def _acts_on(self) -> Line:
        if self.step == "rows":
            return line(Span(" enter shows the row · left and right move the columns", "dim"))
        if self.step == "page" or self.plan_id is None:
            return ()
        hidden = f" · filter {self._query}" if self._query else ""
        return line(" this plan: ", foreign(self.plan_id, 100), foreign(hidden, 60, "info"))

    @property
    def _schema(self) -> PlanSchema | None:
        plan_id = self.plan_id
        return next((schema for schema in self._section.schemas if schema.plan_id == plan_id), None)

    def on_resize(self, _: events.Resize) -> None:
        """Lines are laid out by width."""
        self.call_after_refresh(self._describe)
        if self.step == "page":
            self._fill_page()

    def on_virtual_table_moved(self, event: VirtualTable.Moved) -> None:
        """Another plan, another schema."""
        event.stop()
        if event.table.id == "plan-list":
            self._want_schema()
        self._describe()

    def _want_schema(self) -> None:
        """Ask once for each plan and each list."""
        plan_id = self.plan_id
        if plan_id is None or self._schema is not None:
            return
        asked, of = self._wanted_schema
        if plan_id != asked or of is not self._section.flights:
            self._wanted_schema = (plan_id, self._section.flights)
            self._quietly(FetchSchema(plan_id=plan_id))

    def _quietly(self, command: FlightCommand) -> None:
        """A question whose answer the room itself shows: no receipt, unless it fails."""
        app = self.console_app

        def answered(_: object, error: object) -> None:
            if error is not None:
                app.report(error)  # type: ignore[arg-type]  # the loader gives an AtomError
            app.tick()

        app.jobs.submit((self, type(command)), lambda: app.engine.submit(command), answered)

    # Verbs

    def on_virtual_table_opened(self, event: VirtualTable.Opened) -> None:
        """The rows of a plan, or one of them."""
        event.stop()
        if event.table.id == "plan-list":
            self._look_at(str(event.row.key))
        elif event.table.id == "rows" and isinstance(event.table.source, PageSource):
            self._open_row(event.table.source, cast("int", event.row.key))

    def _look_at(self, plan_id: str, *, accept: bool = False) -> None:
        self._previewed = plan_id
        latest = self._section.preview
        self._preview_from = 0 if latest is None else latest.number
        table = self.query_one("#rows", VirtualTable)
        table.empty = (line(""), line(Span("  Asking for its schema, then for its first rows…", "dim")))
        table.set_source(ListSource(_NO_ROWS))
        self._show_step("rows")
        self._quietly(StartTransfer(plan_id=plan_id, to="preview", accept_schema=accept))

    def _open_row(self, source: PageSource, number: int) -> None:
        row = source.row(number)
        if row is None:
            return
        names = [name for name, _ in source.pages.columns]
        longest = min(max(map(len, names), default=0), 28)
        texts = [
            line(
                Span(f"  {name[:longest]:<{longest}}  ", "dim"),
                cell if isinstance(cell, str) else Span(cell.text, cell.role),
            )
            for name, cell in zip(names, row.cells[1:], strict=True)
        ]
        self._open_page(f"row {number + 1:,}", lambda _: [line(""), *texts])

    def _show_differences(self, view: TransferView) -> None:
        where = f"GetSchema and DoGet at {view.uri} ({view.transport})"
        self._previewed = view.plan_id
        if self.step == "rows":
            self.step = "plans"
        text: _Text = lambda width: words.differences(view.changes, view.plan_id, where, width)  # noqa: E731 (a value)
        self._open_page("differences", text)

    def _apply_filter(self, text: str) -> None:
        self._query = text
        self._fill_plans()
        self._describe()

    def _fetch(self, to: Literal["discard", "file", "bench"], path: Path | None = None) -> None:
        if (plan_id := self.plan_id) is None:
            self.console_app.say("There is no plan to fetch.", ok=False, next_step="o names one by hand")
            return
        self.console_app.submit(StartTransfer(plan_id=plan_id, to=to, path=path), f"fetch {plan_id}")

    def command_flight_discard(self, _: str) -> None:
        """All rows, to nowhere."""
        self._fetch("discard")

    def command_flight_bench(self, _: str) -> None:
        """The same, after a raw socket."""
        self._fetch("bench")

    def command_flight_file(self, argument: str) -> None:
        """All rows, to a new file."""
        if argument:
            self._fetch("file", Path(argument))
        else:
            self.console_app.ask_command(f"fetch {self.plan_id or 'plan'}.parquet")

    def command_flight_cancel(self, _: str) -> None:
        """Stop it."""
        self.console_app.submit(CancelTransfer(), "cancel the transfer")

    def command_flight_accept(self, _: str) -> None:
        """Go on with the stream's schema: of the preview where its differences are shown, else of the transfer."""
        preview, transfer = self._preview, self._section.transfer
        if self.step == "page" and preview is not None and preview.state == "mismatch":
            self._look_at(preview.plan_id, accept=True)
        elif transfer is not None and transfer.state == "mismatch":
            path = None if transfer.target is None else Path(transfer.target)
            again = StartTransfer(plan_id=transfer.plan_id, to=transfer.to, path=path, accept_schema=True)
            self.console_app.submit(again, f"fetch {transfer.plan_id} with the stream's schema")
            if self.step == "page":
                self._show_step("plans")
        else:
            self.console_app.say("No schema differs from its promise.", ok=False)

    def command_flight_differences(self, _: str) -> None:
        """What a mismatch is."""
        transfer = self._section.transfer
        if transfer is not None and transfer.state == "mismatch":
            self._show_differences(transfer)
        else:
            self.console_app.say("No schema differs from its promise.", ok=False)

    def command_flight_server(self, argument: str) -> None:
        """`:server URI`."""
        if not argument:
            self.console_app.ask_command(f"server {self._section.uri or 'grpc://'}")
            return
        self._previewed, self._wanted_schema = None, (None, ())
        if self.step != "plans":
            self._show_step("plans")
        self.console_app.submit(ListFlights(uri=argument), f"list the plans of {argument}")

    def command_flight_plan(self, argument: str) -> None:
        """`:plan NAME`."""
        if not argument:
            self.console_app.ask_command("plan ")
            return
        if self.step != "plans":
            self._show_step("plans")
        self._query, self._named = "", argument
        self.console_app.submit(FetchSchema(plan_id=argument, by_hand=True), f"look for {argument}")

    def command_flight_ping(self, _: str) -> None:
        """Is it there?"""
        self.console_app.submit(Ping(), "call the server")

    def command_flight_schema(self, _: str) -> None:
        """The schema in its own room, and back."""
        if (plan_id := self.plan_id) is not None:
            declared = self._schema is not None and self._schema.mark
            name = "mdf" if declared else f"{plan_id}@{words.address(self._section.uri)}"
            self.console_app.open_schema(name, back="flight")

    def command_flight_filter(self, argument: str) -> None:
        """`/`."""
        if argument:
            self._apply_filter(argument)
        else:
            self.console_app.ask_filter(self._query, self._apply_filter)

    def command_flight_copy(self, _: str) -> None:
        """The page as it is shown, or the plan's name."""
        if self.step == "page":
            text = "\n".join(plain(row).rstrip() for row in self._page_text(200))
            self.console_app.copy(text, self._page_title)
        elif (plan_id := self.plan_id) is not None:
            self.console_app.copy(plan_id, f"the name {plan_id}")


def _rows_words(view: TransferView | None) -> list[Span]:
    if view is None or view.pages is None:
        return [Span("failed", "error") if view is not None and not view.running else Span("asking", "warn")]
    here = count(view.pages.rows)
    if view.cut or view.running:
        total = "" if view.rows_expected is None else f" of {count(view.rows_expected)}"
        return [Span(f"first {here}{total} rows", "warn" if view.running else "")]
    return [Span(f"{here} rows", ""), *([Span(" · the stream's own schema", "warn")] if view.accepted else [])]


def _no_rows(view: TransferView, width: int) -> Sequence[Line]:
    """What stands where rows would."""
    if view.state == "failed":
        return words.trouble(view.detail, view.next_step, width)
    if view.running:
        return (line(""), line(Span("  Asking for its schema, then for its first rows…", "dim")))
    if view.state == "cancelled":
        return (line(""), line("  Cancelled; no rows had come."))
    return (line(""), line("  The plan has no rows."))
