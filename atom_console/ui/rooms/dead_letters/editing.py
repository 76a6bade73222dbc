"""One dead letter, changed in the operator's own editor; then the difference, the reason and the question."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from atom_console.dlq.edit import Edit, document_from_text, document_text, prepare
from atom_console.dlq.record import RecordDetail
from atom_console.engine.commands import EditRecord, Receipt
from atom_console.errors import AtomError
from atom_console.ui.dialogs.confirm import Question
from atom_console.ui.drawing import Line, Span, foreign, line
from atom_console.ui.editor import edit_text
from atom_console.ui.rooms.dead_letters.reason import ReasonDialog

if TYPE_CHECKING:
    from atom_console.ui.rooms.dead_letters.room import DeadLettersRoom

_SHOWN: Final = 8
_LONGEST: Final = 60


class HandEdit:
    """Keeps what was typed until it is stored: a typing error, a refusal or a `no` costs nothing."""

    def __init__(self) -> None:
        self._drafts: dict[str, str] = {}

    def begin(self, room: DeadLettersRoom, record: RecordDetail, reason: str) -> None:
        """Leave the screen to the editor, and come back with a question, or with what is wrong."""
        app, place = room.console_app, record.row.id
        if room.snapshot is None or not room.snapshot.session.allow_edit:
            app.say("The profile does not allow edits.", ok=False, next_step="set dlq.allow_edit in a profile that may")
            return
        try:
            before = self._drafts.get(place) or document_text(record, room.clearance)
            after = edit_text(app, before, ".json")
            if after is None:
                app.say("Nothing was done: the editor saved nothing.")
                return
            self._drafts[place] = after
            edit = prepare(record, document_from_text(after))
        except AtomError as error:
            app.say(error.what, ok=False, next_step=error.next_step or "E opens it again; what you typed is kept")
        else:
            self._ask_why(room, edit, reason, place)

    def _ask_why(self, room: DeadLettersRoom, edit: Edit, reason: str, place: str) -> None:
        app, what = room.console_app, "one dead letter"

        def stored(_: Receipt) -> None:
            self._drafts.pop(place, None)
            room.changed()

        def reasoned(why: str | None) -> None:
            if why is None:
                app.say("Nothing was done: no reason to edit; E opens the editor on what you typed.")
                return
            more = [*_differences(edit), line("  reason: ", foreign(why, 200))]
            command = EditRecord(edit=edit, reason=why)
            question = Question("Edit", 1, "dead letter", room.where, more)
            app.ask(question, lambda: app.submit(command, f"edit {what}", stored))

        heading = [line(Span(f"Edit {what}", "strong")), *_differences(edit)]
        app.push_screen(ReasonDialog(heading, reason), reasoned)


def _differences(edit: Edit) -> list[Line]:
    rows = [
        line("  ", foreign(change.path, _LONGEST), ": ", foreign(repr(change.before), _LONGEST), Span(" → ", "dim"),
             foreign(repr(change.after), _LONGEST))
        for change in edit.differences[:_SHOWN]
    ]  # fmt: skip
    if left := len(edit.differences) - _SHOWN:
        rows += [line(f"  and {left:,} more fields")] if left > 0 else []
    if edit.new_id:
        rows.append(line("  It may have arrived: the new one gets an event id of its own."))
    return rows
