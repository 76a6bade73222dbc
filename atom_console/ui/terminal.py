"""The terminal around the application: who may write to it, how it ends, and that it is left as it was found.

Nothing here imports textual before `prepare_environment` ran: its constants are read at import.
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import logging
import os
import select
import signal
import sys
import termios
import threading
from collections.abc import Callable, Iterator, Mapping, MutableMapping
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any, Protocol

from atom_console.errors import InputError

if TYPE_CHECKING:
    from atom_console.engine.protocol import DrainReport, EngineLike
    from atom_console.ui.app import ConsoleApp
    from atom_console.ui.options import UiOptions

_LOG = logging.getLogger(__name__)
GRACE_S = 2.0
"""How long the screen may take to close after a signal; a stalled link can hold it for ever."""
_SWITCH_S = 0.0005
_SOON_NEEDED = ("rooms.dead_letters.room", "dialogs.confirm", "dialogs.event_form", "dialogs.lists", "palette")
_SIGNALS = (signal.SIGTERM, signal.SIGHUP, signal.SIGINT)
_RESTORE = (
    b"\x1b[?2004l\x1b[?7h\x1b[?2048l\x1b[?1003l\x1b[?1006l\x1b[?1000l\x1b[<u\x1b[?1049l\x1b[?25h\x1b[?1004l\x1b[0m"
)


class NoTerminalError(InputError):
    """The screen cannot be drawn here."""


class Leaver(Protocol):
    """The part of the application that the signals need."""

    def leave(self, code: int) -> None:
        """End soon, from any thread, with this exit code."""
        ...


def require_terminal(environ: Mapping[str, str]) -> None:
    """Make sure that a screen can be drawn.

    Raises:
        NoTerminalError: input or output is no terminal, or it cannot move its cursor (`TERM=dumb`).
    """
    term = environ.get("TERM", "")
    if not os.isatty(0) or not (os.isatty(2) or os.isatty(1)):
        raise NoTerminalError(
            "the console needs a terminal for input and output",
            next_step="every screen has a sub-command with --json: atom-console --help",
        )
    if term in {"", "dumb", "unknown"}:
        raise NoTerminalError(
            f"the terminal (TERM={term or 'not set'}) cannot draw a screen",
            next_step="set TERM (for example xterm-256color), or use the sub-commands: atom-console --help",
        )


def prepare_environment(environ: MutableMapping[str, str]) -> None:
    """Settings of the libraries that are read once; what the user set stays."""
    for name, value in {
        "TEXTUAL_ANIMATIONS": "none",
        "TEXTUAL_SMOOTH_SCROLL": "0",
        "TEXTUAL_FPS": "60",
        "GRPC_VERBOSITY": "NONE",
    }.items():
        environ.setdefault(name, value)


@contextlib.contextmanager
def guarded(log_file: Path) -> Iterator[None]:
    """Send what anybody writes to file descriptors 1 and 2 into the log, and give the terminal to the screen alone.

    Native libraries write there without asking; over a drawn screen that is garbage.
    """
    log_file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    sys.stdout.flush()
    sys.stderr.flush()
    terminal = os.fdopen(os.dup(2 if os.isatty(2) else 1), "w", encoding="utf-8", errors="replace")
    saved = {fd: os.dup(fd) for fd in (1, 2)}
    sink = os.open(log_file, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
    original = sys.__stdout__, sys.__stderr__
    for fd in saved:
        os.dup2(sink, fd)
    os.close(sink)
    # Textual draws on the one and asks the other for the terminal's size.
    sys.__stdout__ = sys.__stderr__ = terminal  # type: ignore[misc]
    try:
        yield
    finally:
        sys.__stdout__, sys.__stderr__ = original  # type: ignore[misc]
        for stream in (sys.stdout, sys.stderr, terminal):
            with contextlib.suppress(OSError, ValueError):
                stream.flush()
        for fd, copy in saved.items():
            os.dup2(copy, fd)
            os.close(copy)
        with contextlib.suppress(OSError):
            terminal.close()


class Ending:
    """Turns SIGTERM, SIGHUP, SIGINT and a closed terminal into an orderly end.

    The screen is asked to close. If it does not within the grace (its link is stalled, its loop waits for a write), the
    engine is drained from here, the terminal is restored as far as it listens, and the process ends.
    """

    def __init__(self, app: Leaver, engine: EngineLike, deadline_s: float) -> None:
        self.code: int | None = None
        self._app = app
        self._engine = engine
        self._deadline_s = deadline_s
        self._closed = threading.Event()
        self._attributes = _terminal_attributes()

    @contextlib.contextmanager
    def watching(self) -> Iterator[None]:
        """Handlers on; they stay on until the drain is over, so that a second signal does not cut it short."""
        before: dict[int, Any] = {number: signal.signal(number, self._on_signal) for number in _SIGNALS}
        threading.Thread(target=self._watch_terminal, name="terminal-watch", daemon=True).start()
        try:
            yield
        finally:
            self._closed.set()
            for number, handler in before.items():
                signal.signal(number, handler)

    def screen_closed(self) -> None:
        """The screen is gone: the grace is over, the drain is up to the caller."""
        self._closed.set()

    def _on_signal(self, number: int, _: FrameType | None) -> None:
        self._end(128 + number)

    def _watch_terminal(self) -> None:
        poller = select.poll()
        poller.register(0, 0)
        while not self._closed.is_set():
            if any(what & (select.POLLHUP | select.POLLERR | select.POLLNVAL) for _, what in poller.poll(500)):
                self._end(128 + signal.SIGHUP)
                return

    def _end(self, code: int) -> None:
        if self.code is not None or self._closed.is_set():
            return
        self.code = code
        threading.Thread(target=self._force, name="forced-end", daemon=True).start()
        self._app.leave(code)

    def _force(self) -> None:
        if self._closed.wait(GRACE_S):
            return
        _LOG.warning("the screen did not close within %s s: draining without it", GRACE_S)
        code = 1
        try:
            code = exit_code(self.code or 1, self._engine.drain(self._deadline_s))
        finally:
            self._restore_terminal()
            os._exit(code)

    def _restore_terminal(self) -> None:
        """As far as it listens: a full pipe must not hold the end."""
        if self._attributes is not None:
            with contextlib.suppress(termios.error):
                termios.tcsetattr(0, termios.TCSANOW, self._attributes)
        with contextlib.suppress(OSError, AttributeError):
            out = sys.__stderr__.fileno()  # type: ignore[union-attr]
            os.set_blocking(out, False)
            os.write(out, _RESTORE)


def _terminal_attributes() -> list[Any] | None:
    try:
        return termios.tcgetattr(0)
    except termios.error:
        return None


def exit_code(code: int, report: DrainReport) -> int:
    """The code that was asked for; 1 where the drain could not save everything."""
    return code if report.saved else 1


def run_console(
    engine: EngineLike,
    options: UiOptions,
    *,
    log_file: Path,
    drain_s: float = 10.0,
    open_engine: Callable[[], object] | None = None,
) -> int:
    """Open the console on an engine, and afterwards drain and stop it.

    Args:
        log_file: takes what native libraries write to the terminal, and our own faults.
        drain_s: the most seconds that the drain may take.
        open_engine: starts the engine, in a thread, once the first frame is drawn; None where it is started.

    Returns:
        0 after `quit`; 130, 143 or 129 after ctrl+c, SIGTERM, SIGHUP or a closed terminal; 1 after a fault of ours, or
        where the drain could not save everything.

    Raises:
        NoTerminalError: nothing was started.
        Exception: that of `open_engine`; the screen is closed by then.
    """
    require_terminal(os.environ)
    prepare_environment(os.environ)
    from atom_console.ui.app import ConsoleApp

    app = ConsoleApp(engine, options, lambda: _open_behind(open_engine))
    sys.setswitchinterval(_SWITCH_S)
    ending = Ending(app, engine, drain_s)
    with ending.watching():
        with guarded(log_file):
            asked, fault = _run(app, options.mouse)
        ending.screen_closed()
        if fault:
            _tell(f"The screen failed: a fault of ours. The traceback is in {log_file}.")
        if in_flight := engine.snapshot().producer.queue_depth:
            _tell(f"{in_flight:,} events are in flight: waiting for them, {drain_s:g} s at most.")
        report = engine.drain(drain_s)
        engine.stop()
    if app.refusal is not None:
        raise app.refusal
    _tell(report.text)
    return exit_code(1 if fault else ending.code or asked or 0, report)


def _open_behind(open_engine: Callable[[], object] | None) -> None:
    """What the first frame did not wait for: the engine, and what the keys of the overview open."""
    if open_engine is not None:
        open_engine()
    for name in _SOON_NEEDED:
        importlib.import_module(f"atom_console.ui.{name}")
    _favour_the_screen()


def _favour_the_screen() -> None:
    """Make short pauses of what can hold the screen's thread: full collections, and threads that compute.

    What was imported is never garbage, and is most of what a collection would look through. A computing thread keeps
    the interpreter for a switch interval each time the screen asks for it.
    """
    gc.collect()
    gc.freeze()
    sys.setswitchinterval(_SWITCH_S)


def _run(app: ConsoleApp, mouse: bool) -> tuple[int | None, bool]:
    """The way out that was asked for, and whether the screen failed instead; tracebacks go to the log."""
    try:
        asked = app.run(mouse=mouse)
    except Exception as error:  # noqa: BLE001 (whatever happened to the screen, the engine is still to be drained)
        _LOG.critical("the screen failed", exc_info=error)
        return None, True
    return asked, asked is None and app.return_code not in {None, 0}


def _tell(text: str) -> None:
    with contextlib.suppress(OSError):
        print(text, file=sys.stderr)  # noqa: T201 (the screen is closed; this is its last sentence)
