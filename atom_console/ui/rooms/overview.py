"""The overview on the stage."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, cast

from textual import events
from textual.app import ComposeResult
from textual.binding import BindingType

from atom_console.engine.snapshot import EngineSnapshot
from atom_console.ui.commands import Scope, bindings
from atom_console.ui.painting import Lines
from atom_console.ui.rooms.overview_rows import overview
from atom_console.ui.rooms.room import Room

if TYPE_CHECKING:
    from atom_console.ui.app import ConsoleApp


class OverviewRoom(Room, can_focus=True):
    """Is it flowing, is anything lost?"""

    ROOM = "overview"
    HELP = "The first line says whether events flow and where every accepted one is. Marks: ? not known, ≈ estimated."
    BINDINGS: ClassVar[list[BindingType]] = bindings("overview")

    _snapshot: EngineSnapshot | None = None

    @property
    def scopes(self) -> tuple[Scope, ...]:
        """The room's own keys."""
        return ("overview", "everywhere")

    def compose(self) -> ComposeResult:
        """One block of lines."""
        yield Lines()

    def show(self, snapshot: EngineSnapshot) -> None:
        """Only the changed lines are painted."""
        self._snapshot = snapshot
        if self.size.width:
            self.query_one(Lines).show(overview(snapshot, self.size.width, self.size.height))

    def on_resize(self, _: events.Resize) -> None:
        """Another size, another layout."""
        if self._snapshot is not None:
            self.show(self._snapshot)

    @property
    def _host(self) -> ConsoleApp:
        return cast("ConsoleApp", self.app)

    def command_overview_dead_letters(self, _: str) -> None:
        """Over to what waits."""
        self._host.go_to("dead-letters")

    def command_overview_send(self, _: str) -> None:
        """The form for one event."""
        self._host.open_event_form()

    def command_overview_workload(self, argument: str) -> None:
        """`FILE [RATE]`; without, the command line asks."""
        if not argument:
            self._host.ask_command("workload ")
            return
        from atom_console.engine.commands import StartWorkload

        path, _, last = argument.rpartition(" ")
        try:
            rate = float(last)
        except ValueError:
            path, rate = argument, 0.0
        if not path:
            path, rate = argument, 0.0
        self._host.submit(StartWorkload(path=Path(path).expanduser(), rate_per_s=rate or None), f"start {path}")

    def command_overview_pause(self, _: str) -> None:
        """Pause it, or go on."""
        from atom_console.engine.commands import PaceWorkload

        paused = self._snapshot is not None and self._snapshot.workload.state == "paused"
        action = PaceWorkload(action="resume" if paused else "pause")
        self._host.submit(action, f"{action.action} the workload")

    def command_overview_stop(self, _: str) -> None:
        """Stop it."""
        from atom_console.engine.commands import PaceWorkload

        self._host.submit(PaceWorkload(action="stop"), "stop the workload")
