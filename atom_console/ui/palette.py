"""The palette: the table of commands, found by words."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, cast

from textual.command import CommandPalette, DiscoveryHit, Hit, Hits, Provider
from textual.content import Content

from atom_console.ui.commands import COMMANDS, CommandSpec, keys_of, shown_key

if TYPE_CHECKING:
    from atom_console.ui.app import ConsoleApp


class CommandTable(Provider):
    """Every command with its key; those that a read-only profile refuses are left out."""

    @property
    def _host(self) -> ConsoleApp:
        return cast("ConsoleApp", self.app)

    def _offered(self) -> list[CommandSpec]:
        read_only = self._host.latest.session.read_only
        return [
            spec
            for spec in COMMANDS
            if spec.scope != "list" and spec.id != "app.palette" and not (read_only and spec.danger != "none")
        ]

    def _words(self, spec: CommandSpec) -> str:
        keys = keys_of(spec, self._host.keymap)
        return f"{spec.title}  ({shown_key(keys[0])})" if keys else spec.title

    async def discover(self) -> Hits:
        """Everything, before a word is typed."""
        for spec in self._offered():
            yield DiscoveryHit(Content(self._words(spec)), self._runner(spec), text=self._words(spec), help=spec.help)

    async def search(self, query: str) -> Hits:
        """Commands whose title or help match."""
        matcher = self.matcher(query)
        for spec in self._offered():
            words = self._words(spec)
            score = max(matcher.match(words), matcher.match(spec.help) * 0.6)
            if score > 0:
                yield Hit(score, matcher.highlight(words), self._runner(spec), text=words, help=spec.help)

    def _runner(self, spec: CommandSpec) -> Callable[[], None]:
        return lambda: self._host.run_command(spec)


def palette() -> CommandPalette:
    """A fresh palette."""
    return CommandPalette(providers=[CommandTable], placeholder="What do you want to do?")
