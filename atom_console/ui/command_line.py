"""The line at the bottom: `:` takes a command, `/` a filter; tab completes, up and down recall."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from difflib import get_close_matches

from textual import events
from textual.app import ComposeResult
from textual.containers import Horizontal, Vertical

from atom_console.ui.commands import COMMANDS, CommandSpec, Scope
from atom_console.ui.drawing import Line, Span, fit, line
from atom_console.ui.inputs import SafeInput
from atom_console.ui.painting import Lines

_KEPT = 200
_SHOWN = 6


def resolve(text: str, scopes: Sequence[Scope]) -> tuple[CommandSpec | None, str, str]:
    """What a typed command means: the command, its argument, and a sentence where there is no such command.

    The word may be cut short as long as it stays unique; the same word in several scopes means the one that is alive.
    """
    word, _, argument = text.strip().partition(" ")
    aliases = {"q": "quit", "h": "help", "q!": "quit"}
    word = aliases.get(word, word)
    named = [spec for spec in COMMANDS if spec.word == word]
    if not named:
        starts = [spec for spec in COMMANDS if spec.word is not None and word and spec.word.startswith(word)]
        named = starts if len({spec.word for spec in starts}) == 1 else []
    if not named:
        words = sorted({spec.word for spec in COMMANDS if spec.word})
        near = get_close_matches(word, words, n=1)
        return None, "", f"There is no command :{word}." + (f" Did you mean :{near[0]}?" if near else "")
    alive = [spec for spec in named if spec.scope in scopes]
    return (alive or named)[0], argument.strip(), ""


def completions(text: str) -> list[CommandSpec]:
    """Commands whose word starts with what was typed."""
    word = text.split(" ", 1)[0]
    found = {spec.word: spec for spec in reversed(COMMANDS) if spec.word and spec.word.startswith(word)}
    return [found[name] for name in sorted(found)]


class CommandLine(Vertical):
    """Hidden until it is opened; `esc` closes it and nothing was done."""

    def __init__(self, *, id: str) -> None:  # noqa: A002 (Textual's name)
        super().__init__(id=id)
        self.display = False
        self._histories: dict[str, list[str]] = {":": [], "/": []}
        self._place = 0
        self._prefix = ":"
        self._done: Callable[[str | None], None] = lambda _: None

    def compose(self) -> ComposeResult:
        """The choices above, the field below."""
        yield Lines(id="choices")
        with Horizontal(id="typing"):
            yield Lines(id="prefix")
            yield SafeInput(id="typed", select_on_focus=False)

    def open(self, prefix: str, value: str, done: Callable[[str | None], None]) -> None:
        """Take the focus; `done` gets the text that `enter` ended, or None after `esc`."""
        self._prefix, self._done = prefix, done
        self._place = len(self._histories[prefix])
        self.query_one("#prefix", Lines).show([line(prefix)])
        self.display = True
        typed = self.query_one("#typed", SafeInput)
        typed.value = value
        typed.cursor_position = len(value)
        self.screen.set_focus(typed)  # at once: the next key may be here already, and must not be taken for a command
        self._show_choices()

    @property
    def is_open(self) -> bool:
        """It is on the screen."""
        return self.display

    def close(self) -> None:
        """Hide it."""
        self.display = False
        self.query_one("#choices", Lines).show([])

    def on_input_changed(self, _: SafeInput.Changed) -> None:
        """Show what the text can become."""
        self._show_choices()

    def _show_choices(self) -> None:
        typed = self.query_one("#typed", SafeInput).value
        found = completions(typed) if self._prefix == ":" and self.is_open else []
        self.query_one("#choices", Lines).show([_choice(spec) for spec in found[:_SHOWN]])

    def take(self, event: events.Key) -> bool:
        """A key for the line: done at once, before the next one is looked at. False where it means nothing here."""
        typed = self.query_one("#typed", SafeInput)
        if event.is_printable and event.character is not None:
            typed.replace(event.character, *typed.selection)
        elif event.key == "enter":
            self._finish(typed.value.strip())
        elif event.key == "escape":
            self._finish(None)
        elif event.key == "tab":
            self._complete(typed)
        elif event.key in {"up", "down"}:
            self._recall(typed, -1 if event.key == "up" else 1)
        else:
            return False
        return True

    def _finish(self, text: str | None) -> None:
        history = self._histories[self._prefix]
        if text and history[-1:] != [text]:
            history.append(text)
            del history[:-_KEPT]
        done = self._done
        self.close()
        done(text)

    def _complete(self, typed: SafeInput) -> None:
        found = completions(typed.value) if self._prefix == ":" else []
        if found and " " not in typed.value:
            words = [spec.word or "" for spec in found]
            common = words[0] if len(words) == 1 else _common_start(words)
            typed.value = common + (" " if len(words) == 1 and found[0].argument else "")
            typed.cursor_position = len(typed.value)

    def _recall(self, typed: SafeInput, step: int) -> None:
        history = self._histories[self._prefix]
        self._place = max(0, min(self._place + step, len(history)))
        typed.value = history[self._place] if self._place < len(history) else ""
        typed.cursor_position = len(typed.value)


def _choice(spec: CommandSpec) -> Line:
    usage = f"{spec.word} {spec.argument or ''}"
    return line(" ", Span(fit(usage, 24), "key"), f" {spec.help}")


def _common_start(words: Sequence[str]) -> str:
    first, last = min(words), max(words)
    length = next((i for i, (a, b) in enumerate(zip(first, last, strict=False)) if a != b), len(first))
    return first[:length]
