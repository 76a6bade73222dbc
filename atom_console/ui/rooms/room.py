"""What every room is to the frame."""

from __future__ import annotations

from typing import ClassVar

from textual.containers import Vertical

from atom_console.engine.snapshot import EngineSnapshot
from atom_console.ui.commands import Scope


class Room(Vertical):
    """Fills the stage. While it is hidden nothing calls it."""

    ROOM: ClassVar[str]
    HELP: ClassVar[str]

    @property
    def scopes(self) -> tuple[Scope, ...]:
        """Scopes whose keys are alive at the focus, the narrowest first."""
        return ("everywhere",)

    def show(self, snapshot: EngineSnapshot) -> None:
        """Take a new snapshot; only called while the room is on the stage."""
        raise NotImplementedError

    def take_focus(self) -> None:
        """The room came on the stage."""
        self.screen.set_focus(self)

    def go_back(self) -> bool:
        """`esc`: undo one step inside the room; False where there is none."""
        return False

    def left(self) -> None:
        """Another room came on the stage."""
