"""The application: the frame, with the commands that work everywhere."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, cast

from atom_console.ui import chrome
from atom_console.ui.commands import BY_ID
from atom_console.ui.frame import FrameApp
from atom_console.ui.options import REFRESH_FLOOR_S

if TYPE_CHECKING:
    from atom_console.ui.dialogs.event_form import Wanted
    from atom_console.ui.rooms.schemas.room import SchemasRoom
    from atom_console.ui.rows import Row

INTERRUPTED = 130


class ConsoleApp(FrameApp):
    """The console on an engine. `run()` returns the exit code that the way out asked for."""

    def action_interrupt(self) -> None:
        """ctrl+c is SIGINT."""
        self.exit(INTERRUPTED)

    def command_app_quit(self, _: str) -> None:
        """Leave; whoever runs us drains the engine."""
        self.exit(0)

    def command_app_back(self, _: str) -> None:
        """One step back inside the room."""
        if not self.room.go_back() and self._room != "overview":
            self.go_to("overview")

    def command_app_refresh(self, _: str) -> None:
        """Now."""
        from atom_console.engine.commands import Refresh

        self.submit(Refresh(), "refresh")

    def command_app_rate(self, argument: str) -> None:
        """`:rate 2`."""
        try:
            seconds = float(argument)
        except ValueError:
            self.say(f":rate takes seconds, not {argument!r}.", ok=False, next_step=":rate 0.5, or :rate 0 for off")
            return
        self._pace(0.0 if seconds <= 0 else max(seconds, REFRESH_FLOOR_S))
        self.say(
            f"Set the refresh rate to {self.refresh_s:g} s." if self.refresh_s else "Refreshes only when asked now."
        )

    def command_app_help(self, _: str) -> None:
        """Prose of the room and its keys; `enter` does the row's command."""
        from atom_console.ui.dialogs.lists import help_dialog

        scopes = self.room.scopes

        def chosen(row: Row | None) -> None:
            if row is not None and row.key in BY_ID:
                self.run_command(BY_ID[str(row.key)])

        self.push_screen(help_dialog(self.room.HELP, scopes, self.keymap), chosen)

    def command_app_palette(self, _: str) -> None:
        """All commands by words."""
        from atom_console.ui.palette import palette

        self.push_screen(palette())

    def command_app_settings(self, _: str) -> None:
        """Values and origins."""
        from atom_console.ui.dialogs.lists import settings_dialog

        self.push_screen(settings_dialog(self.latest.session.settings))

    def command_app_theme(self, argument: str) -> None:
        """`:theme light`, or a picker."""
        if argument in self._themes:
            self.theme = argument
            self.say(f"Changed the theme to {argument}.")
        elif argument:
            self.say(f"There is no theme {argument}.", ok=False, next_step=f"known are {', '.join(self._themes)}")
        else:
            self._pick_theme()

    def _pick_theme(self) -> None:
        from atom_console.ui.dialogs.lists import theme_dialog

        before = self.theme

        def preview(name: str) -> None:
            self.theme = name

        def chosen(row: Row | None) -> None:
            self.theme = before if row is None else str(row.key)
            if row is not None:
                self.say(f"Changed the theme to {row.key}.", next_step="keep it with ATOM_UI_THEME or [ui] theme")

        self.push_screen(theme_dialog(self._themes, before, preview), chosen)

    def command_app_suspend(self, _: str) -> None:
        """Only while nothing is in flight: a stopped process sends nothing and answers no broker."""
        made = self.latest.producer
        flying = (made.queue_depth or 0) + (made.in_flight or 0)
        if flying:
            self.say(
                f"Did not suspend: {flying:,} events are in flight.", ok=False, next_step="wait, or use another shell"
            )
        else:
            self.action_suspend_process()

    def command_room_overview(self, _: str) -> None:
        """1."""
        self.go_to("overview")

    def command_room_dead_letters(self, _: str) -> None:
        """2."""
        self.go_to("dead-letters")

    def command_room_flight(self, _: str) -> None:
        """3."""
        self.go_to("flight")

    def command_room_schemas(self, _: str) -> None:
        """4."""
        self.go_to("schemas")

    def open_schema(self, name: str, *, back: str) -> None:
        """A schema of the list in its room; `esc` there comes back to the room `back`."""
        self._in_schemas(lambda room: room.open_named(name, back=back))

    def open_payload(self, payload: bytes, what: str, *, back: str) -> None:
        """The schema that explains a payload, in its room; `what` names the payload, `esc` comes back."""
        self._in_schemas(lambda room: room.open_payload(payload, what, back=back))

    def _in_schemas(self, then: Callable[[SchemasRoom], None]) -> None:
        self.go_to("schemas")
        self.call_later(lambda: then(cast("SchemasRoom", self.room)))

    def command_room_certificates(self, _: str) -> None:
        """5."""
        self.go_to("certificates")

    def command_room_next(self, _: str) -> None:
        """The room at the right."""
        self._step_room(1)

    def command_room_previous(self, _: str) -> None:
        """The room at the left."""
        self._step_room(-1)

    def _step_room(self, step: int) -> None:
        names = [name for _, name, _ in chrome.ROOMS]
        self.go_to(names[(names.index(self._room) + step) % len(names)])

    def command_app_command(self, argument: str) -> None:
        """`:`."""
        self.ask_command(argument)

    # One event

    def open_event_form(self) -> None:
        """Form, then question, then send."""
        from atom_console.ui.dialogs.event_form import EventForm

        self.push_screen(EventForm(self.latest.taken_at_ms * 1_000_000), self._event_wanted)

    def _event_wanted(self, wanted: Wanted | None) -> None:
        if wanted is None:
            return
        from atom_console.engine.commands import PublishEvent
        from atom_console.ui.dialogs.confirm import Question

        session, cluster = self.latest.session, self.latest.cluster
        where = f"{session.word} · {cluster.name or 'cluster ?'} · topic {wanted.topic or 'of the profile'}"
        question = Question("Send", 1, "event", where, typed=session.confirm == "typed")
        self.ask(question, lambda: self.submit(PublishEvent(event=wanted.event, topic=wanted.topic), "send one event"))
