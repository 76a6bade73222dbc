"""The frame around the rooms: what is always there, whatever the room."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, ClassVar

from textual import events
from textual.app import App, ComposeResult
from textual.binding import Binding, BindingType
from textual.color import Color, ColorParseError
from textual.containers import Container
from textual.dom import DOMNode
from textual.filter import LineFilter, Monochrome, NoColor
from textual.geometry import Size
from textual.screen import Screen
from textual.theme import BUILTIN_THEMES
from textual.timer import Timer

from atom_console.errors import AtomError, RefusedError
from atom_console.safe_text import safe_text
from atom_console.ui import chrome
from atom_console.ui.command_line import CommandLine, resolve
from atom_console.ui.commands import BY_ID, CommandSpec, Scope, bindings, clashes, in_scopes
from atom_console.ui.inputs import TextField
from atom_console.ui.keymap import read_keymap
from atom_console.ui.loader import Loader
from atom_console.ui.options import UiOptions
from atom_console.ui.painting import Lines, TerminalFilter
from atom_console.ui.rooms.overview import OverviewRoom
from atom_console.ui.rooms.room import Room
from atom_console.ui.themes import bundled_dir, load_themes

if TYPE_CHECKING:
    from atom_console.engine.commands import Command, Receipt
    from atom_console.engine.protocol import EngineLike
    from atom_console.engine.snapshot import EngineSnapshot
    from atom_console.ui.dialogs.confirm import Question
    from atom_console.ui.table import VirtualTable

_LOG = logging.getLogger(__name__)
_ROOM_OF_SCOPE: dict[Scope, str] = {
    "overview": "overview",
    "groups": "dead-letters",
    "records": "dead-letters",
    "detail": "dead-letters",
    "letters": "dead-letters",
    "replay": "dead-letters",
    "plan": "dead-letters",
    "run": "dead-letters",
    "runs": "dead-letters",
    "flight": "flight",
    "schemas": "schemas",
    "certificates": "certificates",
    "certificate": "certificates",
}

_CLIPBOARD = 74_994  # OSC 52 in xterm, base64 within 100,000 bytes


class Frame(Screen[None], inherit_bindings=False):
    """The only screen; dialogs lie over it."""

    def compose(self) -> ComposeResult:
        """Two lines above the stage, two below."""
        yield Lines(id="status")
        yield Lines(id="rooms")
        yield Container(OverviewRoom(id="room-overview"), id="stage")
        yield Lines(id="receipt")
        yield Lines(id="footer")
        yield CommandLine(id="command-line")

    def on_mount(self) -> None:
        """The lines are there to be filled."""
        assert isinstance(self.app, FrameApp)
        self.app.frame_ready()


class FrameApp(App[int]):
    """Chrome, rooms, the way from a key to its command and from a command to its receipt."""

    CSS_PATH = "atom.tcss"
    ENABLE_COMMAND_PALETTE = False
    TITLE = "Atom Console"
    BINDINGS: ClassVar[list[BindingType]] = [
        *bindings("everywhere"),
        Binding("ctrl+c", "interrupt", "Leave", show=False, priority=True),
    ]

    def __init__(
        self, engine: EngineLike, options: UiOptions, behind_first_frame: Callable[[], None] | None = None
    ) -> None:
        """`behind_first_frame` is called in a thread once the first frame is drawn; what it raises ends the screen."""
        self._behind_first_frame = behind_first_frame
        self.refusal: Exception | None = None
        self._wall = TerminalFilter(ascii_terminal=options.ascii_terminal)
        self._colourless = NoColor()
        self.latest: EngineSnapshot = engine.snapshot()
        super().__init__()
        self.engine = engine
        self.options = options
        self.keymap: dict[str, str] = {}
        self.refresh_s = options.refresh_s
        self._receipt: Receipt | None = None
        self._room = "overview"
        self._next_room: str | None = None
        self._timer: Timer | None = None
        self._leave: int | None = None
        self._loaders: list[Loader] = []
        self._loop_here: asyncio.AbstractEventLoop | None = None
        themes, self._problems = load_themes(d for d in (bundled_dir(), options.theme_dir) if d is not None)
        self._themes = [theme.name for theme in themes]
        for theme in themes:
            self.register_theme(theme)
        if options.theme in self._themes:
            self.theme = options.theme
        else:
            self._problems.append(f"there is no theme {options.theme}; known are {', '.join(self._themes)}")
            self.theme = "dark"
        self.set_class(options.ascii_terminal, "-ascii")

    # Set-up

    def get_theme_variable_defaults(self) -> dict[str, str]:
        """Our own variables, for themes that say nothing about them."""
        return {
            **(BUILTIN_THEMES["ansi-dark"].variables if self.native_ansi_color else {}),
            "role-dim": "#8b93a1",
            "role-trend": "#56b6c2",
            "cursor-background": "#2f3d5c",
            "cursor-foreground": "#ffffff",
            "cursor-style": "bold",
            "warning-style": "none",
            "error-style": "bold",
            "profile-style": "bold",
        }

    def get_css_variables(self) -> dict[str, str]:
        """The profile's colour beside the theme's."""
        return {**super().get_css_variables(), **_profile_colours(self.latest.session.colour, self.native_ansi_color)}

    def get_line_filters(self) -> list[LineFilter]:
        """Textual's filters, then ours over everything that is drawn.

        For NO_COLOR Textual picks a filter by the theme it starts with, and that one writes greys.
        """
        kept = [one for one in super().get_line_filters() if not isinstance(one, (Monochrome, NoColor))]
        return [*kept, *([self._colourless] if self.no_color else []), self._wall]

    def get_default_screen(self) -> Screen[Any]:
        """The frame."""
        return Frame()

    async def on_mount(self) -> None:
        """Keys and threads."""
        loop = self._loop_here = asyncio.get_running_loop()
        self.reads = Loader("ui-reads", loop, self._fault)
        self.bulk = Loader("ui-bulk", loop, self._fault)
        self.jobs = Loader("ui-jobs", loop, self._fault)
        self.long = Loader("ui-long", loop, self._fault)
        self.controls = Loader("ui-controls", loop, self._fault)
        self._loaders = [self.reads, self.bulk, self.jobs, self.long, self.controls]
        if self.options.keymap is not None:
            self.keymap, problems = read_keymap(self.options.keymap)
            self._problems += problems
            self.set_keymap(self.keymap)
        self._problems += clashes(self.keymap)
        for problem in self._problems:
            self.toast(problem, "warning")
        # Textual draws again after its own `suspend`, but not for sure after ctrl+z and `fg`.
        self.app_resume_signal.subscribe(self, lambda _: self.refresh(layout=True))

    def frame_ready(self) -> None:
        """The first room and the timer."""
        self.go_to("overview")
        self._pace(self.refresh_s)
        if self._leave is not None:
            self.exit(self._leave)
        else:
            self.call_later(self.call_after_refresh, self._go_on_behind)

    def _go_on_behind(self) -> None:
        def finished(_value: Any, _error: AtomError | None) -> None:
            self.call_later(self.tick)

        self.jobs.submit(self, self._behind, finished)

    def _behind(self) -> None:
        if self._behind_first_frame is None:
            return
        try:
            self._behind_first_frame()
        except Exception as error:  # noqa: BLE001 (told by whoever runs the screen)
            self.refusal = error
            self.leave(1)

    def leave(self, code: int) -> None:
        """End soon with this exit code; for signals and other threads."""
        self._leave = code
        if self._loop_here is not None:
            with contextlib.suppress(RuntimeError):  # the loop is closed: the end is under way
                self._loop_here.call_soon_threadsafe(self.exit, code)

    def _handle_exception(self, error: Exception) -> None:
        """End with the traceback in the log; Textual's own shows every local variable, payloads among them."""
        self._return_code = 1
        if self._exception is None:
            self._exception = error
            self._exception_event.set()
        _LOG.critical("the screen failed", exc_info=error)
        self._close_messages_no_wait()

    def on_unmount(self) -> None:
        """The threads need no waiting for."""
        for loader in self._loaders:
            loader.stop()

    # The engine's numbers, onto the screen

    def tick(self) -> None:
        """One look at the engine, one repaint of what changed; hidden rooms are not asked."""
        if not self.screen_stack[0].query("#footer"):
            return  # the end: the frame is being taken away
        self._check_size()
        self.latest = self.engine.snapshot()
        for receipt in self.engine.receipts():
            self._receipt = receipt
        with self.batch_update():
            self._show_chrome()
            self.room.show(self.latest)

    def _check_size(self) -> None:
        """A change of size whose signal was missed (seen in a storm of them) would leave the screen wrong for good."""
        if self.is_headless or sys.__stdout__ is None:
            return
        with contextlib.suppress(OSError, ValueError):
            real = Size(*os.get_terminal_size(sys.__stdout__.fileno()))
            if real.area and real != self.size:
                self.post_message(events.Resize(real, real))

    def _show_chrome(self) -> None:
        frame = self.screen_stack[0]
        width = self.size.width
        frame.query_one("#status", Lines).show([chrome.status_line(self.latest, width)])
        frame.query_one("#rooms", Lines).show([chrome.rooms_line(self.latest, self._room, width)])
        frame.query_one("#receipt", Lines).show([chrome.receipt_line(self._receipt, width)])
        footer = chrome.footer_line(
            in_scopes(self.room.scopes), self.keymap, width, read_only=self.latest.session.read_only
        )
        frame.query_one("#footer", Lines).show([footer])

    def refresh_chrome(self) -> None:
        """The room's keys changed."""
        if self.screen_stack[0].query("#stage Room"):
            self._show_chrome()

    def on_resize(self) -> None:
        """Chrome is laid out by width."""
        self.call_after_refresh(self.refresh_chrome)

    def _pace(self, seconds: float) -> None:
        if self._timer is not None:
            self._timer.stop()
        self.refresh_s = seconds
        self._timer = self.set_interval(seconds, self.tick) if seconds else None

    # Rooms

    @property
    def room(self) -> Room:
        """The room on the stage."""
        return self.screen_stack[0].query_one(f"#room-{self._room}", Room)

    def go_to(self, name: str) -> None:
        """Put a room on the stage; it is made when it is first visited."""
        self._next_room = name
        self.call_later(self._enter_next)

    async def _enter_next(self) -> None:
        name, self._next_room = self._next_room, None
        if name is not None:
            await self._enter(name)

    async def _enter(self, name: str) -> None:
        stage = self.screen_stack[0].query_one("#stage", Container)
        if name != self._room:
            self.room.left()
        self._room = name
        if not stage.query(f"#room-{name}"):
            await stage.mount(_room_type(name)(id=f"room-{name}"))
        for room in stage.query(Room):
            room.display = name == room.ROOM
        self.room.take_focus()
        self.tick()

    # From a key, the palette or the command line to what it does

    async def on_event(self, event: events.Event) -> None:
        """Run what a key is bound to before the next key is looked at.

        Textual forwards a key to the focused widget's queue, and binds it only when it comes back. Over a slow link
        keys come in bursts: those behind `:` would be forwarded before the command line has the focus, and be lost or,
        worse, taken for commands; those behind its `enter` would still be typed into it, and those behind a room's key
        would do something in the room before.
        """
        if isinstance(event, events.Key) and not event.is_forwarded and (typing := self._command_line_in_use()):
            if not (await self._check_bindings(event.key, priority=True) or typing.take(event)):
                await self._check_bindings(event.key)
            await self._enter_next()
            return
        if isinstance(event, events.Key) and not event.is_forwarded and not isinstance(self.focused, TextField):
            for priority in (True, False):
                if await self._check_bindings(event.key, priority=priority):
                    await self._enter_next()
                    return
        await super().on_event(event)

    def _command_line_in_use(self) -> CommandLine | None:
        around = () if self.focused is None else self.focused.ancestors
        return next((node for node in around if isinstance(node, CommandLine)), None)

    def action_command(self, command_id: str) -> None:
        """What every binding calls."""
        self.run_command(BY_ID[command_id])

    def run_command(self, spec: CommandSpec, argument: str = "") -> None:
        """Refuse what the profile does not allow, find who does it, and let it."""
        if spec.danger != "none" and self.latest.session.read_only:
            profile = self.latest.session.profile
            self.report(
                RefusedError(f"{spec.title}: the profile {profile} is read-only.", next_step="use another profile")
            )
            return
        handler = self._handler(spec)
        if handler is not None:
            handler(argument)
        elif (room := _ROOM_OF_SCOPE.get(spec.scope)) is not None and room != self._room:
            self.go_to(room)
            self.call_later(self.run_command, spec, argument)
        else:
            self.say(f"{spec.title} does not apply here.", ok=False)

    def _handler(self, spec: CommandSpec) -> Callable[[str], None] | None:
        nodes: list[DOMNode] = [] if self.focused is None else list(self.focused.ancestors_with_self)
        for node in (*nodes, self.room, self):
            handler: Callable[[str], None] | None = getattr(node, spec.handler, None)
            if handler is not None:
                return handler
        return None

    def submit(
        self,
        command: Command,
        what: str,
        done: Callable[[Receipt], None] | None = None,
        failed: Callable[[AtomError], None] | None = None,
    ) -> None:
        """Give a command to the engine in the jobs thread; its receipt, or why not, goes to the receipt line.

        Long work on many records and the controls of a run have threads of their own: neither waits for a plan.
        """
        self.say(f"Asked to {what}.")

        def finished(receipt: Any, error: AtomError | None) -> None:
            if error is not None:
                self.report(error)
                if failed is not None:
                    failed(error)
                return
            self._receipt = receipt
            if done is not None:
                done(receipt)
            self.tick()

        self._loader_of(command).submit(object(), lambda: self.engine.submit(command), finished)

    def _loader_of(self, command: Command) -> Loader:
        from atom_console.engine.commands import ChangeState, ControlReplay, ExportRecords

        if isinstance(command, ControlReplay):
            return self.controls
        return self.long if isinstance(command, ChangeState | ExportRecords) else self.jobs

    def on_virtual_table_failed(self, event: VirtualTable.Failed) -> None:
        """A table could not do what was asked of it."""
        self.report(event.error)

    def ask(self, question: Question, then: Callable[[], None]) -> None:
        """Do it only after the operator agreed."""
        from atom_console.ui.dialogs.confirm import Confirm

        def answered(agreed: bool | None) -> None:
            if agreed:
                then()
            else:
                self.say(f"Nothing was done: {question.verb.lower()} {question.what} was not confirmed.")

        self.push_screen(Confirm(question), answered)

    def say(self, text: str, *, ok: bool = True, next_step: str | None = None) -> None:
        """The receipt line, until the next one."""
        from atom_console.engine.commands import Receipt

        self._receipt = Receipt(text, self.latest.taken_at_ms, ok, next_step)
        self.refresh_chrome()

    def report(self, error: AtomError) -> None:
        """A refusal or a failure: the receipt line."""
        self.say(error.what, ok=False, next_step=error.next_step)

    def copy(self, text: str, what: str) -> None:
        """To the terminal's clipboard. No terminal says whether it took it, so the receipt does not claim it."""
        if len(text) > _CLIPBOARD:
            self.say(
                f"Did not copy {what}: terminals take {_CLIPBOARD:,} characters.",
                ok=False,
                next_step="Y saves to a file",
            )
            return
        self.copy_to_clipboard(text)
        self.say(f"Offered {what} to the terminal's clipboard.", next_step="if it did not take it, Y saves to a file")

    def toast(self, text: str, severity: Any = "information") -> None:
        """For what needs eyes once."""
        self.notify(safe_text(text, 400), severity=severity, markup=False, timeout=10)

    def _fault(self, error: Exception) -> None:
        _LOG.error("a job of the screen failed", exc_info=error)
        # Not its message: that may quote an event, a key or a passphrase.
        self.say(f"A fault of ours: {type(error).__name__}.", ok=False, next_step="the log has the details")

    # The line at the bottom

    def ask_command(self, start: str) -> None:
        """Open the command line with a beginning."""
        self._open_line(":", start, self._typed_command)

    def ask_filter(self, start: str, done: Callable[[str], None]) -> None:
        """Open it for a filter."""
        self._open_line("/", start, done)

    def _open_line(self, prefix: str, start: str, done: Callable[[str], None]) -> None:
        def finished(text: str | None) -> None:
            self.screen_stack[0].query_one("#footer").display = True
            self.room.take_focus()
            if text is not None:
                done(text)

        frame = self.screen_stack[0]
        frame.query_one("#footer").display = False
        frame.query_one(CommandLine).open(prefix, start, finished)

    def _typed_command(self, text: str) -> None:
        if not text:
            return
        spec, argument, problem = resolve(text, self.room.scopes)
        if spec is None:
            self.say(problem, ok=False, next_step="? lists the keys, ctrl+p finds a command")
        else:
            self.run_command(spec, argument)


def _room_type(name: str) -> type[Room]:
    """A room's class; these bring their libraries, and the first frame needs none of them."""
    if name == "dead-letters":
        from atom_console.ui.rooms.dead_letters.room import DeadLettersRoom

        return DeadLettersRoom
    if name == "flight":
        from atom_console.ui.rooms.flight.room import FlightRoom

        return FlightRoom
    if name == "schemas":
        from atom_console.ui.rooms.schemas.room import SchemasRoom

        return SchemasRoom
    if name == "certificates":
        from atom_console.ui.rooms.certificates.room import CertificatesRoom

        return CertificatesRoom
    return OverviewRoom


def _profile_colours(colour: str, ansi: bool) -> dict[str, str]:
    """A profile's colour with ink that can be read on it; a name that is no colour falls back to the terminal's ink."""
    name = f"ansi_{colour}" if ansi else colour
    try:
        parsed = Color.parse(name)
    except ColorParseError:
        return {
            "profile-colour": "ansi_default" if ansi else "#d5d9e0",
            "profile-ink": "ansi_default" if ansi else "#000000",
        }
    if ansi:
        return {"profile-colour": name, "profile-ink": "ansi_black"}
    return {"profile-colour": parsed.hex, "profile-ink": "#000000" if parsed.brightness > 0.5 else "#ffffff"}
