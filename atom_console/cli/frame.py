"""What every command is built from: the lazy group, the invocation with its settings, the options in common."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from atom_console.cli.output import say
from atom_console.errors import AtomError, UnreachableError

if TYPE_CHECKING:
    from atom_console.cli.commands import Entry
    from atom_console.config import KafkaSettings, Loaded, Settings

F = TypeVar("F", bound=Callable[..., Any])


@dataclass(frozen=True)
class CliContext:
    """The global options of one invocation; settings are read on first use, and once."""

    profile: str | None = None
    config_file: Path | None = None
    overrides: tuple[str, ...] = ()
    read_only: bool | None = None
    json: bool = False
    log_file: Path | None = None

    @cached_property
    def loaded(self) -> Loaded:
        """Settings with their origins. Warnings go to stderr, and the log is opened.

        Raises:
            ConfigError: values that cannot be used.
        """
        from atom_console.cli import log
        from atom_console.config import load, paths

        loaded = load(
            profile=self.profile,
            config_file=self.config_file,
            overrides=self.overrides,
            read_only=self.read_only,
            log_file=self.log_file,
        )
        for warning in loaded.warnings:
            say(f"warning: {warning}")
        log.start(paths.log_file(loaded.settings))
        return loaded

    def settings(self) -> Settings:
        """The typed settings in force.

        Raises:
            ConfigError: values that cannot be used.
        """
        return self.loaded.settings

    def kafka(self) -> KafkaSettings:
        """How to reach the brokers, a certificate named in the settings replaced by its files.

        Raises:
            ConfigError: values that cannot be used.
            AtomError: no such certificate in the inventory, or its key is not here.
        """
        from atom_console.engine.identity import with_kafka_identity

        return with_kafka_identity(self.settings()).kafka

    def overridden(self, overrides: Iterable[str]) -> CliContext:
        """The same invocation with a command's own options on top of its settings, as `KEY=VALUE` texts."""
        return replace(self, overrides=(*self.overrides, *overrides))


pass_context = click.make_pass_decorator(CliContext)
"""Gives a command the `CliContext` as its first argument."""


def _turn_json_on(context: click.Context, _option: click.Parameter, wanted: bool) -> None:
    if wanted:
        context.obj = replace(context.find_object(CliContext) or CliContext(), json=True)


def json_option(function: F) -> F:
    """`--json` after the sub-command means what it means before it."""
    return click.option(
        "--json", is_flag=True, expose_value=False, callback=_turn_json_on, help="One JSON document on stdout."
    )(function)


class Command(click.Command):
    """A command whose help ends with examples."""

    def __init__(self, *args: Any, examples: Sequence[str] = (), **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.examples = tuple(examples)

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Writes the examples as they are: a wrapped command line is no command line."""
        super().format_epilog(ctx, formatter)
        if self.examples:
            with formatter.section("Examples" if len(self.examples) > 1 else "Example"):
                for example in self.examples:
                    formatter.write(f"  {example}\n")


class Group(click.Group):
    """A group whose commands are `Command`s."""

    command_class = Command


class PipeBrokenError(Exception):
    """Something wrote to a pipe or socket without a reader; its cause is the `BrokenPipeError`.

    click would turn that into exit 1 by itself, stdout's or not.
    """


def _look_behind(ctx: click.Context, error: UnreachableError) -> None:
    """Let an unreachable broker's error say which fault of certificates is behind it, if one is."""
    cli = ctx.find_object(CliContext)
    if cli is None or not hasattr(error, "cause"):
        return
    from atom_console.engine.tls_advice import advised, explain_kafka

    with contextlib.suppress(AtomError, OSError):
        advised(error, explain_kafka(cli.settings(), error))


class LazyGroup(Group):
    """A group whose commands are a table's; only the one that runs is imported."""

    def __init__(self, *args: Any, table: Mapping[str, Entry], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.table = table

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The table's names, in its order."""
        return list(self.table)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Imports one command."""
        entry = self.table.get(cmd_name)
        if entry is None:
            return None
        from importlib import import_module

        module, _, attribute = entry.target.partition(":")
        command: click.Command = getattr(import_module(module), attribute)
        return command

    def invoke(self, ctx: click.Context) -> Any:
        """Runs the command; a broken pipe is told apart at the edge."""
        try:
            return super().invoke(ctx)
        except BrokenPipeError as error:
            raise PipeBrokenError from error
        except UnreachableError as error:
            _look_behind(ctx, error)
            raise

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """An unknown command is told with the nearest one."""
        name = args[0]
        if name not in self.table and not name.startswith("-"):
            from difflib import get_close_matches

            near = get_close_matches(name, self.table, n=1, cutoff=0.5)
            hint = f" Did you mean {near[0]}?" if near else ""
            ctx.fail(f"No such command {name!r}.{hint}")
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Lists the table, importing nothing."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, entry.summary) for name, entry in self.table.items()])
