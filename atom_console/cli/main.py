"""The entry point: global options, and the one place where an error becomes a sentence and an exit code."""

from __future__ import annotations

import contextlib
import errno
import os
import select
import sys
from pathlib import Path
from typing import NoReturn

import click

from atom_console._version import __version__
from atom_console.cli import signals
from atom_console.cli.commands import COMMANDS
from atom_console.cli.frame import CliContext, LazyGroup, PipeBrokenError
from atom_console.cli.output import say
from atom_console.errors import AtomError

FAULT_OF_OURS = 1
PIPE_CLOSED = 141
"""128 + SIGPIPE, as the shell reports a program whose reader went away."""


@click.group(
    cls=LazyGroup,
    table=COMMANDS,
    invoke_without_command=True,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="Every command has its own --help, with an example. Settings: `atom-console config show --origin`.",
)
@click.option("--profile", metavar="P", help="dev, stage, prod, or one of your own.")
@click.option(
    "--config", "config_file", metavar="FILE", type=click.Path(path_type=Path), help="Instead of the usual one."
)
@click.option("--set", "overrides", metavar="KEY=VALUE", multiple=True, help="One setting, e.g. kafka.linger_ms=5.")
@click.option("--read-only", is_flag=True, default=None, help="Refuse everything that changes anything.")
@click.option("--json", is_flag=True, help="One JSON document on stdout.")
@click.option("--log-file", metavar="FILE", type=click.Path(path_type=Path), help="Where the structured log goes.")
@click.version_option(__version__, prog_name="atom-console", message="%(prog)s %(version)s")
@click.pass_context
def cli(
    context: click.Context,
    profile: str | None,
    config_file: Path | None,
    overrides: tuple[str, ...],
    read_only: bool | None,
    json: bool,
    log_file: Path | None,
) -> object:
    """The operator's console for an event backbone: Kafka, Arrow Flight, dead letters, certificates.

    Without a command it opens the screen.
    """
    context.obj = CliContext(profile, config_file, overrides, read_only, json, log_file)
    if context.invoked_subcommand is not None:
        return None
    command = cli.get_command(context, "console")
    assert command is not None
    return context.invoke(command)


def run() -> NoReturn:
    """The program: `atom-console`, `python -m atom_console`."""
    for stream in (sys.stdout, sys.stderr):
        # A terminal of another encoding gets escapes, never a crash.
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
    signals.install()
    _leave(main(sys.argv[1:]))


def _leave(code: int) -> NoReturn:
    """End without the interpreter's teardown: everything is closed by now, and threads of gRPC and librdkafka that
    still run race the native destructors there (seen once: a command that had succeeded died of a double free)."""
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError):
            stream.flush()
    os._exit(code)


def main(arguments: list[str]) -> int:
    """Runs one command line; every error ends here.

    Returns:
        The exit code: what the command returned (None is 0), or that of the error.
    """
    try:
        result = cli.main(arguments, prog_name="atom-console", standalone_mode=False)
        sys.stdout.flush()
    except (Exception, KeyboardInterrupt, SystemExit) as error:  # noqa: BLE001 - the edge: every error ends here
        return _tell(error, arguments)
    return result if isinstance(result, int) else 0


def _tell(error: BaseException, arguments: list[str]) -> int:
    """One error as a sentence on stderr, and its exit code."""
    # click leaves by SystemExit when the reader of a help text went away.
    if isinstance(error, PipeBrokenError | BrokenPipeError | SystemExit) and _stdout_is_gone():
        _drop_stdout()
        return PIPE_CLOSED
    if isinstance(error, KeyboardInterrupt | click.Abort):
        say("stopped")
        return signals.last_exit_code()
    if isinstance(error, click.ClickException):
        error.show(sys.stderr)
        return error.exit_code
    if isinstance(error, AtomError):
        say(error.what)
        if error.next_step:
            say(f"next: {error.next_step}")
        return error.exit_code
    if isinstance(error, OSError) and error.errno == errno.ENOSPC:
        _drop_stdout()
        say("the disk is full: what was written is incomplete")
        say("next: make room and run it again")
        return FAULT_OF_OURS
    return _tell_fault_of_ours(error, arguments)


def _tell_fault_of_ours(error: BaseException, arguments: list[str]) -> int:
    """One sentence on stderr and the traceback in the log, neither with the exception's message in it."""
    import logging

    from atom_console.cli import log

    path = log.current()
    if path is None:
        path = _log_file_before_settings(arguments)
        log.start(path)
    before = path.stat().st_size if path.exists() else 0
    logging.getLogger("atom_console.cli").error("unexpected exception", exc_info=error)
    places = log.code_places(error)
    say(f"a fault of atom-console itself: {type(error).__name__} at {places[-1].strip()}")
    if path.exists() and path.stat().st_size > before:
        say(f"next: report it with the traceback in {path}")
    else:
        say("\n".join([f"the log {path} cannot be written; the traceback:", *places]))
    return FAULT_OF_OURS


def _log_file_before_settings(arguments: list[str]) -> Path:
    """Where the log goes when the settings were never read."""
    from atom_console.config import paths

    named = None
    for at, text in enumerate(arguments):
        if text == "--log-file" and at + 1 < len(arguments):
            named = arguments[at + 1]
        elif text.startswith("--log-file="):
            named = text.partition("=")[2]
    named = named or os.environ.get("ATOM_LOG_FILE")
    return Path(named).expanduser() if named else paths.default_log_file()


def _stdout_is_gone() -> bool:
    """Whether the reader of our stdout went away: a broken pipe may as well be a socket's, and then it is a fault."""
    poller = select.poll()
    try:
        poller.register(sys.__stdout__.fileno() if sys.__stdout__ else 1, select.POLLOUT)
        return any(event & (select.POLLERR | select.POLLHUP) for _, event in poller.poll(0))
    except (OSError, ValueError):
        return False


def _drop_stdout() -> None:
    """Nobody reads it any more: what the interpreter still flushes at exit goes nowhere."""
    with contextlib.suppress(OSError, ValueError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, 1)
        os.close(nowhere)
