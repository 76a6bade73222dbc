"""A form: fields from top to bottom, checked while one types; `ctrl+s` goes on, `esc` leaves, nothing else does."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import ClassVar, Generic, TypeVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical
from textual.screen import ModalScreen

from atom_console.pki.passphrase import Passphrase
from atom_console.ui.drawing import Line, Span, foreign, line
from atom_console.ui.inputs import SafeInput
from atom_console.ui.painting import Lines

T = TypeVar("T")
_MOST = 6


class SecretInput(SafeInput):
    """A field whose text is neither shown nor given to the terminal's clipboard."""

    def action_copy(self) -> None:
        """Not this text."""

    def action_cut(self) -> None:
        """Taken away, and not copied."""
        self.delete_selection()


@dataclass(frozen=True, slots=True)
class Field:
    """One line of a form; what is typed into a `secret` one is never shown."""

    name: str
    hint: str = ""
    start: str = ""
    secret: bool = False


@dataclass(frozen=True, slots=True)
class Answers:
    """What stands in the fields now: trimmed texts, and secrets that no `repr` shows."""

    texts: Mapping[str, str]
    secrets: Mapping[str, Passphrase] = field(default_factory=dict)

    def yes(self, name: str) -> bool:
        """Whether a field says yes."""
        return self.texts.get(name, "").lower() in {"y", "yes"}


@dataclass(frozen=True, slots=True)
class Checked(Generic[T]):
    """What the answers mean: a value, or a sentence for each field that is wrong; and what is worth knowing."""

    value: T | None
    wrong: Mapping[str, str] = field(default_factory=dict)
    notes: Sequence[Line] = ()


class Form(ModalScreen[T | None]):
    """Gives the checked value, or None where the operator left."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("ctrl+s", "go_on", "Go on", id="form.check"),
        Binding("escape", "leave", "Leave", id="form.leave"),
        Binding("down", "app.focus_next", "Next field", id="form.next"),
        Binding("up", "app.focus_previous", "Field before", id="form.previous"),
    ]

    def __init__(
        self, heading: Sequence[Line], fields: Sequence[Field], check: Callable[[Answers], Checked[T]]
    ) -> None:
        super().__init__()
        self._heading, self._fields, self._check = heading, fields, check

    def compose(self) -> ComposeResult:
        """Heading, a line a field, and what is wrong."""
        with Vertical(classes="dialog"):
            yield Lines([*self._heading, line("")])
            for one in self._fields:
                with Horizontal(classes="field"):
                    yield Lines([line(one.name)])
                    kind = SecretInput if one.secret else SafeInput
                    name = f"field-{_css(one.name)}"
                    yield kind(one.start, placeholder=one.hint, id=name, select_on_focus=False, password=one.secret)
            yield Lines([line("")], id="wrong")

    def on_mount(self) -> None:
        """The first empty field is what has to be filled."""
        first = next((one for one in self._fields if not one.start), self._fields[0] if self._fields else None)
        if first is not None:
            self._input(first).focus()
        self._tell(eager=False)

    def on_input_changed(self, event: SafeInput.Changed) -> None:
        """Say at once what is wrong."""
        event.stop()
        self._tell(eager=False)

    def on_input_submitted(self, event: SafeInput.Submitted) -> None:
        """`enter` goes to the next field: a reflex must not do anything."""
        event.stop()
        self.focus_next()

    def action_go_on(self) -> None:
        """Only with nothing wrong."""
        checked = self._tell(eager=True)
        if checked.value is not None:
            self.dismiss(checked.value)
            return
        for one in self._fields:
            if one.name in checked.wrong:
                self._input(one).focus()
                return

    def action_leave(self) -> None:
        """Nothing was done."""
        self.dismiss(None)

    def _input(self, one: Field) -> SafeInput:
        return self.query_one(f"#field-{_css(one.name)}", SafeInput)

    def _answers(self) -> Answers:
        typed = {one.name: self._input(one).value for one in self._fields if not one.secret}
        secrets = {one.name: Passphrase(self._input(one).value) for one in self._fields if one.secret}
        return Answers(
            {name: text.strip() for name, text in typed.items()},
            {name: secret for name, secret in secrets.items() if len(secret)},
        )

    def _tell(self, *, eager: bool) -> Checked[T]:
        """Show what is wrong; a field that is still empty is only hinted at, until one wants to go on."""
        answers = self._answers()
        checked = self._check(answers)
        rows: list[Line] = []
        for name, sentence in checked.wrong.items():
            untouched = not eager and not answers.texts.get(name) and name not in answers.secrets
            rows.append(line(Span("· " if untouched else "✗ ", "dim" if untouched else "error"), f"{name}: "))
            rows[-1] += (foreign(sentence, 300, "dim" if untouched else "error"),)
        shown = [*rows, *checked.notes]
        self.query_one("#wrong", Lines).show([line(""), *shown[:_MOST]])
        return checked


def _css(name: str) -> str:
    return name.replace(" ", "-")
