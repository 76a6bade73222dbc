"""The room: the list, and over it a page: one certificate, what a verification found, or a snippet."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal, cast

from textual import events
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.widget import Widget

from atom_console.engine.commands import (
    CertificateCommand,
    ExportCertificate,
    IssueCertificate,
    PlanRotation,
    ReadProfiles,
    Receipt,
    RenewCertificates,
    RotateCa,
    ShowCertificate,
    ShowSnippet,
    VerifyCertificate,
)
from atom_console.engine.snapshot import CertificateRow, CertificateSection, EngineSnapshot
from atom_console.errors import AtomError
from atom_console.pki.inventory import utc_now
from atom_console.pki.profiles import Profile
from atom_console.pki.rotation import Plan
from atom_console.ui.commands import Scope, bindings
from atom_console.ui.dialogs.confirm import Question
from atom_console.ui.drawing import Line, Span, count, cut_line, foreign, justify, line, plain
from atom_console.ui.page import TextPage
from atom_console.ui.painting import Lines
from atom_console.ui.rooms.certificates import pages, questions
from atom_console.ui.rooms.certificates.form import Form
from atom_console.ui.rooms.certificates.sources import COLUMNS, SORTS, table_rows, wanted
from atom_console.ui.rooms.certificates.words import about_the_ca, next_expiry, nothing_here, unreadable
from atom_console.ui.rooms.room import Room
from atom_console.ui.rows import ListSource
from atom_console.ui.table import VirtualTable

if TYPE_CHECKING:
    from atom_console.ui.app import ConsoleApp

_Step = Literal["list", "page"]
_Text = Callable[[int], Sequence[Line]]


class CertificatePage(TextPage, inherit_bindings=False):
    """A text about a certificate, with the keys of lists and of this room."""

    BINDINGS: ClassVar[list[BindingType]] = bindings("certificate", "list")


class CertificatesRoom(Room):
    """What is there, how long does it last, is it right?"""

    ROOM = "certificates"
    HELP = (
        "The bar is the share of a certificate's life that is left. v verifies, :verify HOST:PORT also asks a peer. "
        "Verbs act on the marked rows, else on the row under the cursor; e, v and enter on that row alone."
    )
    BINDINGS: ClassVar[list[BindingType]] = bindings("certificates")

    def __init__(self, *, id: str) -> None:  # noqa: A002 (Textual's name)
        super().__init__(id=id)
        self.step: _Step = "list"
        self._section = CertificateSection()
        self._session_words = ""
        self._typed = False
        self._query, self._sort = "", SORTS[0]
        self._shown: tuple[object, ...] | None = None
        self._page_name, self._page_title = "", ""
        self._page_text: _Text = lambda _: ()

    @property
    def console_app(self) -> ConsoleApp:
        """The application, by its own type."""
        return cast("ConsoleApp", self.app)

    @property
    def scopes(self) -> tuple[Scope, ...]:
        """The page's own keys where it is shown."""
        narrow: tuple[Scope, ...] = ("certificate",) if self.step == "page" else ()
        return (*narrow, "certificates", "list", "everywhere")

    def compose(self) -> ComposeResult:
        """Who signs, what is wrong, the list or the page, and what a verb would act on."""
        yield Lines([()], id="path")
        yield Lines(id="notice")
        yield VirtualTable(ListSource(COLUMNS), id="list")
        yield CertificatePage(id="page")
        yield Lines([()], id="acts-on")

    def on_mount(self) -> None:
        """Start with the list."""
        self._show_step("list")

    # The steps

    def _show_step(self, step: _Step) -> None:
        self.step = step
        for name in ("list", "page"):
            self.query_one(f"#{name}").display = name == step
        self.describe()
        self.take_focus()
        self.console_app.refresh_chrome()

    def take_focus(self) -> None:
        """The present step has the keys."""
        self.screen.set_focus(self.query_one(f"#{self.step}", Widget))

    def go_back(self) -> bool:
        """From the page to the list, and there: clear the filter."""
        if self.step == "page":
            self._show_step("list")
        elif self._query:
            self._apply_filter("")
        else:
            return False
        return True

    # What is shown

    @property
    def table(self) -> VirtualTable:
        """The list."""
        return self.query_one("#list", VirtualTable)

    @property
    def rows(self) -> list[CertificateRow]:
        """Those of the filter, sorted."""
        return wanted(self._section.rows, self._query, self._sort)

    def show(self, snapshot: EngineSnapshot) -> None:
        """New numbers; the list is filled again only where it changed."""
        self._section = snapshot.certificates
        self._session_words = f"{snapshot.session.word} · {snapshot.certificates.directory or ''}"
        self._typed = snapshot.session.confirm == "typed"
        self._fill()
        self.describe()

    def _fill(self) -> None:
        section = self._section
        self.query_one("#notice", Lines).show(unreadable(section))
        state = (section.rows, section.age_s is None, section.detail, self._query, self._sort)
        if state == self._shown:
            return
        self._shown = state
        hidden = section.detail is not None and not section.rows
        self.table.empty = () if hidden else nothing_here(section, self._query)
        self.table.set_source(ListSource(COLUMNS, table_rows(self.rows)), keep_place=True)

    def describe(self) -> None:
        """Who signs and the next expiry above, what a verb acts on below."""
        width = self.size.width
        if not width:
            return
        left: list[Span] = [Span(" "), Span("Certificates", "strong")]
        if self.step == "page":
            left += [Span(" › "), foreign(self._page_name, 40), Span(" › "), Span(self._page_title)]
            right: Line = ()
        else:
            left += about_the_ca(self._section)
            right = next_expiry(self._section)
        if self._query:
            left += [Span("  / "), foreign(self._query, 60, "info")]
        self.query_one("#path", Lines).show([justify(left, [*right, Span(" ")], width)])
        self.query_one("#acts-on", Lines).show([cut_line(self._acts_on(), width)])

    def _acts_on(self) -> Line:
        chosen = self.chosen()
        if not chosen or self.step == "page":
            return ()
        if len(self.table.marks):
            return line(f" marked: {count(len(chosen))} certificates")
        return line(" this one: ", foreign(chosen[0].name, 60), " ", foreign(", ".join(chosen[0].names), 200, "dim"))

    def chosen(self) -> list[CertificateRow]:
        """The marked ones, else the one under the cursor."""
        marks, row = self.table.marks, self.table.current
        if len(marks) and self.step == "list":
            return [one for one in self._section.rows if one.name in marks]
        return [one for one in self._section.rows if row is not None and one.name == row.key]

    @property
    def current(self) -> CertificateRow | None:
        """The one under the cursor; of the page, where it is shown."""
        row = self.table.current
        return next((one for one in self._section.rows if row is not None and one.name == row.key), None)

    def on_resize(self, _: events.Resize) -> None:
        """Lines are laid out by width."""
        self.describe()
        if self.step == "page":
            self._draw_page(keep_place=True)

    def on_virtual_table_moved(self, event: VirtualTable.Moved) -> None:
        """Another row, another thing to act on."""
        event.stop()
        self.describe()

    # The page

    def _open_page(self, name: str, title: str, text: _Text) -> None:
        self._page_name, self._page_title, self._page_text = name, title, text
        self._show_step("page")
        self._draw_page()

    def _draw_page(self, *, keep_place: bool = False) -> None:
        self.query_one(CertificatePage).show(self._page_text(self.size.width), keep_place=keep_place)

    def on_virtual_table_opened(self, event: VirtualTable.Opened) -> None:
        """Everything about it."""
        event.stop()
        name = str(event.row.key)
        self._read(
            ShowCertificate(name=name),
            lambda detail: self._open_page(
                name, "everything", lambda width: pages.detail_lines(detail, utc_now(), width)
            ),
        )

    def command_certificate_copy(self, _: str) -> None:
        """The page's text."""
        self.console_app.copy(self._page_words(), f"the page {self._page_title} of {self._page_name}")

    def command_certificate_save(self, _: str) -> None:
        """The page's text, into a new file."""
        app = self.console_app
        path = app.options.save_dir / f"certificate-{self._page_name}-{self._page_title.split()[0]}.txt"
        data = self._page_words().encode() + b"\n"
        try:
            with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
                file.write(data)
        except OSError as error:
            app.say(f"Wrote nothing: {error.strerror}: {path}.", ok=False, next_step="move it away, or start elsewhere")
        else:
            app.say(f"Wrote {len(data):,} bytes: {path.name} in {path.parent}.")

    def _page_words(self) -> str:
        return "\n".join(plain(row).rstrip() for row in self._page_text(200))

    # Filter and sort

    def _apply_filter(self, text: str) -> None:
        self._query = text
        self._fill()
        self.describe()

    def command_certificates_filter(self, argument: str) -> None:
        """`/`."""
        if argument:
            self._apply_filter(argument)
        else:
            self.console_app.ask_filter(self._query, self._apply_filter)

    def command_certificates_sort(self, _: str) -> None:
        """By the next column."""
        self._sort = SORTS[(SORTS.index(self._sort) + 1) % len(SORTS)]
        self._fill()
        self.console_app.say(f"Sorted by {self._sort}.")

    def command_certificates_copy(self, _: str) -> None:
        """The name, over the terminal."""
        if (row := self.current) is not None:
            self.console_app.copy(row.name, f"the name {row.name}")

    # Verbs

    def command_certificates_verify(self, argument: str) -> None:
        """`[HOST:PORT [kafka|flight]]`."""
        row = self.current
        if row is None:
            self.console_app.say("There is nothing to verify.", ok=False)
            return
        against, _, transport = argument.partition(" ")
        if transport not in {"", "kafka", "flight"}:
            self.console_app.say(f"{transport!r} is no transport.", ok=False, next_step="kafka or flight")
            return
        kind = transport or ("flight" if "flight" in row.profile else "kafka")
        command = VerifyCertificate(name=row.name, against=against or None, transport=cast("Any", kind))
        where = f" against {against}" if against else ""

        def found(receipt: Receipt) -> None:
            title = f"verified{where}"
            self._open_page(row.name, title, lambda width: pages.report_lines(receipt.value, width))

        self.console_app.submit(command, f"verify {row.name}{where}", found)

    def command_certificates_renew(self, _: str) -> None:
        """New keys for the marked ones."""
        rows = self.chosen()
        authorities = [row.name for row in rows if row.kind != "leaf"]
        if authorities or not rows:
            what = f"{authorities[0]} is a CA" if authorities else "There is nothing to renew"
            self.console_app.say(f"{what}.", ok=False, next_step="R replaces the CA")
            return
        names = [row.name for row in rows]
        check = questions.renew_check(names, self._section.passphrase_set)
        fields = [questions.passphrase_field(self._section.passphrase_set)]

        def answered(command: RenewCertificates | None) -> None:
            if command is not None:
                self._ask("Renew", len(names), "certificate", command, f"renew {', '.join(names)[:60]}")

        self.app.push_screen(Form(questions.renew_heading(rows), fields, check), answered)

    def command_certificates_issue(self, _: str) -> None:
        """The form; the profiles are read first."""
        self._read(ReadProfiles(), self._issue)

    def _issue(self, profiles: Mapping[str, Profile]) -> None:
        passphrase_set = self._section.passphrase_set
        taken = frozenset(row.name for row in self._section.rows)
        check = questions.issue_check(profiles, taken, passphrase_set)

        def answered(command: IssueCertificate | None) -> None:
            if command is not None:
                order = command.order
                more = [line("  ", foreign(f"{order.name} ({order.profile}): {' '.join(order.sans)}", 300))]
                self._ask("Issue", 1, "certificate", command, f"issue {order.name}", more)

        form = Form(questions.issue_heading(), questions.issue_fields(profiles, passphrase_set), check)
        self.app.push_screen(form, answered)

    def command_certificates_rotate(self, _: str) -> None:
        """The next step's screen."""
        self._read(PlanRotation(), self._rotate)

    def _rotate(self, plan: Plan) -> None:
        passphrase_set = self._section.passphrase_set
        asked = {
            1: ("Prepare", 1, "new CA"),
            2: ("Re-issue", len(plan.leaves), "certificate"),
            3: ("Retire", 1, "old CA"),
        }

        def answered(command: RotateCa | None) -> None:
            if command is not None:
                done = None if plan.step == 3 else lambda _: self.command_certificates_rotate("")
                self._ask(*asked[plan.step], command, f"{questions.STEPS[plan.step]} the new CA", done=done)

        check = questions.rotate_check(plan, passphrase_set)
        form = Form(questions.rotate_heading(plan), questions.rotate_fields(plan, passphrase_set), check)
        self.app.push_screen(form, answered)

    def command_certificates_export(self, _: str) -> None:
        """Files, or a snippet on a page."""
        row = self.current
        if row is None:
            self.console_app.say("There is nothing to export.", ok=False)
            return
        name = row.name

        def answered(command: ExportCertificate | ShowSnippet | None) -> None:
            if isinstance(command, ShowSnippet):
                title = f"{command.form} snippet"
                self._read(command, lambda text: self._open_page(name, title, lambda _: pages.text_lines(text)))
            elif command is not None:
                self.console_app.submit(command, f"export {name} to {Path(command.directory).name}")

        form = Form(questions.export_heading(name), questions.export_fields(), questions.export_check(name))
        self.app.push_screen(form, answered)

    def _ask(
        self,
        verb: str,
        amount: int,
        noun: str,
        command: CertificateCommand,
        what: str,
        more: Sequence[Line] = (),
        done: Callable[[Receipt], None] | None = None,
    ) -> None:
        question = Question(verb, amount, noun, self._session_words, more, typed=self._typed)
        self.console_app.ask(question, lambda: self.console_app.submit(command, what, done))

    def _read(self, command: CertificateCommand, done: Callable[[Any], None]) -> None:
        """Ask the engine for something that changes nothing, in the reading thread; no receipt."""
        app = self.console_app

        def finished(receipt: Any, error: AtomError | None) -> None:
            if error is not None:
                app.report(error)
            elif self.is_attached:
                self.call_later(done, receipt.value)  # as a message of the room: a dialog needs to know its application

        app.reads.submit((self, type(command)), lambda: app.engine.submit(command), finished)
