"""`console`: the screen, the one command that loads Textual."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import click

from atom_console.cli.frame import CliContext, Command, pass_context

if TYPE_CHECKING:
    from atom_console.config import Loaded
    from atom_console.engine.protocol import EngineLike


@click.command(cls=Command, examples=("atom-console", "atom-console --profile prod --read-only console"))
@click.option(
    "--mouse/--no-mouse", default=None, help="Give the program the mouse; off keeps the terminal's selection."
)
@click.option("--theme", metavar="NAME", help="dark, light, high-contrast, mono, or one of your own.")
@pass_context
def console(cli: CliContext, mouse: bool | None, theme: str | None) -> int:
    """Open the screen: live throughput, dead letters, Flight, schemas, certificates.

    Leaves with 0 after `q`; 130, 143 or 129 after ctrl-c, SIGTERM or a closed terminal, always after a drain.
    """
    from atom_console.ui.terminal import require_terminal

    require_terminal(os.environ)
    overrides = [f"ui.theme={theme}"] if theme else []
    overrides += [f"ui.mouse={str(mouse).lower()}"] if mouse is not None else []
    return open_screen(cli.overridden(overrides))


def open_screen(cli: CliContext) -> int:
    """The screen on an engine of the invocation's settings; the exit code."""
    from atom_console.config import paths
    from atom_console.engine.opening import OpeningEngine
    from atom_console.engine.session import session_section

    loaded = cli.loaded
    engine = OpeningEngine(session_section(loaded), lambda: _started(loaded))
    return open_on(engine, loaded, paths.log_file(loaded.settings), engine.open)


def _started(loaded: Loaded) -> EngineLike:
    from atom_console.engine.engine import Engine

    engine = Engine(loaded)
    engine.start()
    return engine


def open_on(engine: EngineLike, loaded: Loaded, log_file: Path, open_engine: Callable[[], object] | None = None) -> int:
    """The screen on an engine that is started, or that `open_engine` starts; the exit code."""
    from atom_console.config import paths
    from atom_console.ui.options import options_from
    from atom_console.ui.terminal import run_console

    ui = loaded.settings.ui
    options = options_from(
        refresh_s=ui.refresh_s,
        theme=ui.theme,
        mouse=ui.mouse,
        keymap=ui.keymap,
        ascii_terminal=ui.ascii,
        config_dir=paths.config_dir(),
        environ=os.environ,
    )
    return run_console(engine, options, log_file=log_file, open_engine=open_engine)
