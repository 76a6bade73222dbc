"""The room: the list of schemas, from there a tree with the field beside it, and pages: a diff, a mapping."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal, NamedTuple, cast

from textual import events
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Horizontal
from textual.widget import Widget

from atom_console.engine.schema_shelf import Comparison, SchemaShelf, ShelfRow
from atom_console.engine.snapshot import EngineSnapshot
from atom_console.errors import AtomError, RefusedError
from atom_console.schema.drift import Candidate, Fit
from atom_console.ui.commands import Scope, bindings
from atom_console.ui.dialogs.lists import ListDialog
from atom_console.ui.drawing import Line, Span, count, cut_line, foreign, justify, line, plain
from atom_console.ui.page import TextPage
from atom_console.ui.painting import Lines
from atom_console.ui.rooms.room import Room
from atom_console.ui.rooms.schemas import words
from atom_console.ui.rooms.schemas.sources import (
    SHELF_COLUMNS,
    TREE_COLUMNS,
    TreeLine,
    flattened,
    found,
    shelf_rows,
    tree_rows,
)
from atom_console.ui.rows import ListSource, Row
from atom_console.ui.table import VirtualTable

if TYPE_CHECKING:
    from atom_console.ui.app import ConsoleApp

_Step = Literal["list", "tree", "page"]
_Text = Callable[[int], Sequence[Line]]
_SIDE_FROM = 118
_REREAD_MS = 2_000


class SchemaPage(TextPage, inherit_bindings=False):
    """A diff or a mapping, with the keys of lists and of this room."""

    BINDINGS: ClassVar[list[BindingType]] = bindings("schemas", "list")


class _Opened(NamedTuple):
    """The schema whose tree is shown, all its fields, and what of them is in the table."""

    row: ShelfRow
    every: Sequence[TreeLine]
    shown: Sequence[TreeLine]


class SchemasRoom(Room):
    """What is this, what changed, whom does it break?"""

    ROOM = "schemas"
    HELP = (
        "Schemas: bundled, yours, files, those that Flight servers promised, and what topics hold. enter opens the "
        "tree, d compares with another, m holds events beside the Arrow schema. A diff begins with the verdict."
    )
    BINDINGS: ClassVar[list[BindingType]] = bindings("schemas")
    DEFAULT_CSS = """
    SchemasRoom #list-view, SchemasRoom #tree-view { height: 1fr; }
    SchemasRoom #list { width: 3fr; }
    SchemasRoom #side { width: 2fr; height: 1fr; display: none; }
    SchemasRoom #tree { width: 4fr; }
    SchemasRoom #field { width: 3fr; height: 1fr; }
    """

    def __init__(self, *, id: str) -> None:  # noqa: A002 (Textual's name)
        super().__init__(id=id)
        self.step: _Step = "list"
        self._rows: Sequence[ShelfRow] = ()
        self._query = ""
        self._read_ms: int | None = None
        self._topics: tuple[str, ...] = ()
        self._opened: _Opened | None = None
        self._search = ""
        self._back: str | None = None
        self._notice: Sequence[Line] = ()
        self._compared: Comparison | None = None
        self._page_title, self._page_from = "", "list"
        self._page_text: _Text = lambda _: ()

    @property
    def console_app(self) -> ConsoleApp:
        """The application, by its own type."""
        return cast("ConsoleApp", self.app)

    @property
    def scopes(self) -> tuple[Scope, ...]:
        """The room's keys, whatever the step."""
        return ("schemas", "list", "everywhere")

    def compose(self) -> ComposeResult:
        """The path, what a payload is, and the three steps of which one shows."""
        yield Lines([()], id="path")
        yield Lines(id="notice")
        with Horizontal(id="list-view"):
            yield VirtualTable(ListSource(SHELF_COLUMNS), id="list", markable=False)
            yield Lines(id="side")
        with Horizontal(id="tree-view"):
            yield VirtualTable(ListSource(TREE_COLUMNS), id="tree", markable=False)
            yield Lines(id="field")
        yield SchemaPage(id="page")
        yield Lines([()], id="acts-on")

    def on_mount(self) -> None:
        """Start with the list."""
        self.list_table.empty = words.nothing_here("")
        self._show_step("list")

    # The steps

    @property
    def list_table(self) -> VirtualTable:
        """The schemas."""
        return self.query_one("#list", VirtualTable)

    @property
    def tree_table(self) -> VirtualTable:
        """The fields."""
        return self.query_one("#tree", VirtualTable)

    def _show_step(self, step: _Step) -> None:
        self.step = step
        for name, view in (("list", "#list-view"), ("tree", "#tree-view"), ("page", "#page")):
            self.query_one(view).display = name == step
        self._describe()
        self.take_focus()
        self.console_app.refresh_chrome()

    def take_focus(self) -> None:
        """The present step has the keys."""
        self.screen.set_focus(self.query_one(f"#{self.step}", Widget))

    def go_back(self) -> bool:
        """A search is cleared first; then to the tree, to the room that opened it, to the list."""
        if self.step == "page":
            self._compared = None
            self._show_step(cast("_Step", self._page_from))
        elif self.step == "tree" and self._search:
            self._apply_search("")
        elif self._back is not None:
            back, self._back, self._notice = self._back, None, ()
            self._show_step("list")
            self.console_app.go_to(back)
        elif self.step == "tree":
            self._show_step("list")
        elif self._query:
            self._apply_filter("")
        else:
            return False
        return True

    def left(self) -> None:
        """Another room: what brought the operator here is over."""
        self._back = None

    def _open_page(self, title: str, text: _Text) -> None:
        if self.step != "page":
            self._page_from = self.step
        self._page_title, self._page_text = title, text
        self._fill_page()
        self._show_step("page")

    def _fill_page(self) -> None:
        self.query_one("#page", SchemaPage).show(self._page_text(self.size.width or self.app.size.width))

    # Reading

    @property
    def shelf(self) -> SchemaShelf | None:
        """Every schema that the engine has met."""
        return self.console_app.engine.schemas

    def _ask(self, job: Callable[[SchemaShelf], Any], done: Callable[[Any], None], *, kind: str = "read") -> None:
        """Run a job on the shelf in the reading thread; what it raises goes to the receipt line."""
        shelf, app = self.shelf, self.console_app
        if shelf is None:
            app.report(RefusedError("This console keeps no schemas."))
            return

        def answered(value: Any, error: AtomError | None) -> None:
            if error is not None:
                app.report(error)
            elif self.is_attached:
                done(value)

        loader = app.bulk if kind == "topics" else app.reads
        loader.submit((self, kind), lambda: job(shelf), answered)

    def show(self, snapshot: EngineSnapshot) -> None:
        """The list is read again every two seconds: files change, servers answer."""
        self._topics = tuple(topic.name for topic in snapshot.cluster.topics)
        if self._read_ms is None or snapshot.taken_at_ms - self._read_ms >= _REREAD_MS:
            self._read_ms = snapshot.taken_at_ms
            self._reread()
        self._describe()

    def _reread(self) -> None:
        if self.shelf is not None:
            self._ask(lambda shelf: shelf.rows(), self._take_rows, kind="rows")

    def _take_rows(self, rows: Any) -> None:
        if rows != self._rows:
            self._rows = rows
            self._fill_list()
            self._describe()

    def _fill_list(self) -> None:
        self.list_table.empty = words.nothing_here(self._query)
        self.list_table.set_source(ListSource(SHELF_COLUMNS, shelf_rows(self._rows, self._query)), keep_place=True)

    # Opened from here and from other rooms

    def open_named(self, name: str, *, back: str) -> None:
        """The tree of a schema of the list; `esc` goes back to a room."""
        self._back, self._notice = back, ()
        self._ask(lambda shelf: shelf.row(name), self._open)

    def open_payload(self, payload: bytes, what: str, *, back: str) -> None:
        """The tree of the schema that explains a payload best, and what the payload is to it."""
        self._back = back

        def fitted(candidates: Sequence[Candidate]) -> None:
            best = candidates[0] if candidates else None
            self._notice = words.fit_words(best, what)
            if best is None or best.examination.fit is Fit.OTHER_SCHEMA:
                self._show_step("list")
                return
            self._open(ShelfRow(best.schema.name, "bundled", best.schema.source, best.schema))

        self._ask(lambda shelf: shelf.fits(payload), fitted)

    def _open(self, row: ShelfRow) -> None:
        if row.schema is None:
            text = f"{row.name}: {row.note or 'nothing is known of it'}."
            self.console_app.say(text, ok=False, next_step="o opens a file; t looks at the topics")
            return
        every = flattened(row.schema.tree)
        self._opened, self._search = _Opened(row, every, every), ""
        self._fill_tree(every)
        self._show_step("tree")

    def _fill_tree(self, shown: Sequence[TreeLine]) -> None:
        assert self._opened is not None
        self._opened = self._opened._replace(shown=shown)
        self.tree_table.empty = words.nothing_here(self._search)
        self.tree_table.set_source(ListSource(TREE_COLUMNS, tree_rows(shown, paths=bool(self._search))))

    @property
    def current(self) -> ShelfRow | None:
        """The schema that a verb means: the opened one, else the one under the cursor."""
        if self.step != "list" and self._opened is not None and self._page_from != "list":
            return self._opened.row
        if self.step == "tree" and self._opened is not None:
            return self._opened.row
        row = self.list_table.current
        return next((one for one in self._rows if row is not None and (one.origin, one.name) == row.key), None)

    # What is shown around the steps

    def _describe(self) -> None:
        width = self.size.width
        if not width:
            return
        self.query_one("#path", Lines).show([self._path(width)])
        self.query_one("#notice", Lines).show([cut_line(row, width) for row in self._notice])
        side, field = self.query_one("#side", Lines), self.query_one("#field", Lines)
        side.display = width >= _SIDE_FROM
        if self.step == "list" and side.display and side.size.width:
            row = self.current
            side.show([] if row is None else words.summary(row, side.size.width, side.size.height))
        if self.step == "tree" and field.size.width:
            at = self._field
            field.show([] if at is None else words.node_lines(at, field.size.width))
        self.query_one("#acts-on", Lines).show([cut_line(self._acts_on(), width)])

    @property
    def _field(self) -> TreeLine | None:
        shown = () if self._opened is None else self._opened.shown
        cursor = self.tree_table.cursor
        return shown[cursor] if cursor < len(shown) else None

    def _path(self, width: int) -> Line:
        left = [Span(" "), Span("Schemas", "strong")]
        if self.step == "page":
            left += [Span(" › "), foreign(self._page_title, 100)]
            return justify(left, [Span(" ")], width)
        if self.step == "tree" and self._opened is not None:
            opened = self._opened
            schema = opened.row.schema
            left += [Span(" › "), foreign(opened.row.name, 60)]
            if self._search:
                left += [Span("  / "), foreign(self._search, 40, "info")]
            fields = count(len(opened.shown))
            language = "" if schema is None else f" · {schema.language}"
            return justify(left, [Span(f"{fields} fields{language} ")], width)
        if self._query:
            left += [Span("  / "), foreign(self._query, 60, "info")]
        broken = sum(row.schema is None and row.origin != "topic" for row in self._rows)
        drifting = sum(row.drifts for row in self._rows)
        right = [Span(f"{count(len(self._rows))} schemas")]
        right += [Span(f" · {broken} cannot be used", "error")] if broken else []
        drift = "topic drifts" if drifting == 1 else "topics drift"
        right += [Span(f" · {drifting} {drift}", "warn")] if drifting else []
        return justify(left, [*right, Span(" ")], width)

    def _acts_on(self) -> Line:
        if self.step == "page":
            return (
                line(Span(" r compares in the other direction · y copies", "dim")) if self._compared is not None else ()
            )
        row = self.current
        if row is None:
            return ()
        back = "" if self._back is None else "esc goes back · "
        about = row.note if row.schema is None and row.note else row.source
        return line(" this schema: ", foreign(row.name, 60), Span(f" · {back}", "dim"), foreign(about, 160, "dim"))

    def on_resize(self, _: events.Resize) -> None:
        """Lines are laid out by width."""
        self.call_after_refresh(self._describe)
        if self.step == "page":
            self._fill_page()

    def on_virtual_table_moved(self, event: VirtualTable.Moved) -> None:
        """Another schema or field beside the list."""
        event.stop()
        self._describe()

    def on_virtual_table_opened(self, event: VirtualTable.Opened) -> None:
        """The tree of a schema."""
        event.stop()
        if event.table.id == "list" and (row := self.current) is not None:
            self._notice = ()
            self._open(row)

    # Verbs

    def _apply_filter(self, text: str) -> None:
        self._query = text
        self._fill_list()
        self._describe()

    def _apply_search(self, text: str) -> None:
        if self._opened is None or self._opened.row.schema is None:
            return
        self._search = text
        self._fill_tree(found(self._opened.row.schema.tree, text) if text else self._opened.every)
        self._describe()

    def command_schemas_search(self, argument: str) -> None:
        """`/`: fields in a tree, schemas in the list."""
        apply, present = (
            (self._apply_search, self._search) if self.step == "tree" else (self._apply_filter, self._query)
        )
        if self.step == "page":
            return
        if argument:
            apply(argument)
        else:
            self.console_app.ask_filter(present, apply)

    def command_schemas_diff(self, argument: str) -> None:
        """Against a schema of the list, a file, or one that is picked."""
        row = self.current
        if row is None or row.schema is None:
            self.console_app.say("There is no schema to compare.", ok=False, next_step="choose one of the list")
            return
        new = row.schema
        if argument:
            self._compare(argument, row.name)
            return
        others = [
            one
            for one in self._rows
            if one.schema is not None
            and one.schema.language == new.language
            and one.name != row.name
            and one.origin != "topic"
        ]
        if not others:
            step = ":diff FILE compares with a file, o puts one into the list"
            self.console_app.say(f"There is no other {new.language} schema.", ok=False, next_step=step)
            return

        def chosen(picked: Row | None) -> None:
            if picked is not None:
                self._compare(str(cast("tuple[str, str]", picked.key)[1]), row.name)

        heading = [
            line(Span("From which schema?", "strong"), Span("   enter compares, esc leaves", "dim")),
            line("What changes from it to ", foreign(row.name, 60, "strong")),
            line(""),
        ]
        self.console_app.push_screen(ListDialog(heading, ListSource(SHELF_COLUMNS, shelf_rows(others, ""))), chosen)

    def _compare(self, old: str, new: str) -> None:
        self._ask(lambda shelf: shelf.compare(old, new), self._show_comparison, kind="compare")

    def _show_comparison(self, compared: Comparison) -> None:
        self._compared = compared
        title = f"{compared.old.name} → {compared.new.name}"
        self._open_page(title, lambda width: words.diff_lines(compared, width))

    def command_schemas_swap(self, _: str) -> None:
        """The other direction."""
        if self._compared is not None and self.step == "page":
            self._compare(self._compared.new.name, self._compared.old.name)
        else:
            self.console_app.say("Nothing is compared.", ok=False, next_step="d compares with another schema")

    def command_schemas_mapping(self, _: str) -> None:
        """Events beside Arrow."""
        if (row := self.current) is None:
            return
        name = row.name

        def mapped(fields: Any) -> None:
            self._compared = None
            self._open_page(f"events beside {name}", lambda width: words.mapping_lines(fields, width))

        self._ask(lambda shelf: shelf.mapping(name), mapped, kind="mapping")

    def command_schemas_topics(self, _: str) -> None:
        """What topics hold."""
        topics = self._topics
        if not topics:
            self.console_app.say("The topics are not known.", ok=False, next_step="see whether the cluster answers: 1")
            return
        self.console_app.say(f"Asked for the newest records of {count(len(topics))} topics.")

        def looked(number: Any) -> None:
            self.console_app.say(f"Looked at {count(len(topics))} topics; {count(number)} hold what a schema explains.")
            self._reread()

        self._ask(lambda shelf: shelf.sample_topics(topics), looked, kind="topics")

    def command_schemas_open(self, argument: str) -> None:
        """`:open FILE`."""
        if not argument:
            self.console_app.ask_command("open ")
            return

        def opened(row: Any) -> None:
            self._notice = ()
            self._reread()
            self._open(row)

        self._ask(lambda shelf: shelf.open_file(Path(argument)), opened, kind="open")

    def command_schemas_copy(self, _: str) -> None:
        """The page, or the field, or the name."""
        if self.step == "page":
            text = "\n".join(plain(row).rstrip() for row in self._page_text(200))
            self.console_app.copy(text, self._page_title)
        elif self.step == "tree" and (at := self._field) is not None:
            self.console_app.copy(f"{at.path}: {at.node.type}", f"the field {at.path}")
        elif (row := self.current) is not None:
            self.console_app.copy(row.name, f"the name {row.name}")
