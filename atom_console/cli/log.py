"""The structured log: JSON Lines, rotating, 0600, shared by several processes, and never a payload in it.

A traceback is written as exception types and code places. The message of an unexpected exception is left out: it may
quote an event, a key or a passphrase.
"""

from __future__ import annotations

import json
import logging
import os
import traceback
from io import TextIOWrapper
from logging.handlers import RotatingFileHandler
from pathlib import Path
from typing import Any

from atom_console.config.paths import ensure_private
from atom_console.times import format_ms

MAX_BYTES = 5_000_000
BACKUPS = 3
_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}


class JsonLines(logging.Formatter):
    """One JSON object a record: `at`, `level`, `logger`, `message`, what `extra` gave, `pid`, and a `traceback`."""

    def format(self, record: logging.LogRecord) -> str:
        """Renders one record on one line."""
        entry: dict[str, Any] = {
            "at": format_ms(int(record.created * 1000)),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            "pid": record.process,
        }
        entry |= {name: value for name, value in vars(record).items() if name not in _STANDARD}
        if record.exc_info and record.exc_info[1] is not None:
            entry["traceback"] = code_places(record.exc_info[1])
        return json.dumps(entry, default=str)


class PrivateRotatingFile(RotatingFileHandler):
    """Rotates by size; the file is 0600, and one that another process rotated away is opened anew."""

    def _open(self) -> TextIOWrapper:
        ensure_private(Path(self.baseFilename).parent)
        descriptor = os.open(self.baseFilename, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        return os.fdopen(descriptor, "a", encoding="utf-8")

    def shouldRollover(self, record: logging.LogRecord) -> bool:  # noqa: N802 - the name is the library's
        """Whether the file is full, after making sure that it is still the one of that name."""
        if self.stream is not None and not self._is_current():
            self.stream.close()
            self.stream = None
        return bool(super().shouldRollover(record))

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 - the name is the library's
        """A full disk must not stop an event, nor write over the screen: the line is lost."""

    def _is_current(self) -> bool:
        try:
            named = Path(self.baseFilename).stat()
        except OSError:
            return False
        return self.stream is not None and os.path.samestat(os.fstat(self.stream.fileno()), named)


def start(path: Path) -> None:
    """Sends what `atom_console` logs to a file, which is made with the first line; a second call changes nothing."""
    logger = logging.getLogger("atom_console")
    if any(isinstance(handler, PrivateRotatingFile) for handler in logger.handlers):
        return
    handler = PrivateRotatingFile(path, maxBytes=MAX_BYTES, backupCount=BACKUPS, encoding="utf-8", delay=True)
    handler.setFormatter(JsonLines())
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    logger.propagate = False


def current() -> Path | None:
    """The file in use, or None before `start`."""
    for handler in logging.getLogger("atom_console").handlers:
        if isinstance(handler, PrivateRotatingFile):
            return Path(handler.baseFilename)
    return None


def code_places(error: BaseException) -> list[str]:
    """A traceback without any message: the exception types, outermost cause first, and the code they passed through."""
    places = []
    for link in reversed(_chain(error)):
        places.append(f"{type(link).__module__}.{type(link).__qualname__}" + _os_reason(link))
        places += [
            f"  {frame.filename}:{frame.lineno} {frame.name}: {frame.line}"
            for frame in traceback.extract_tb(link.__traceback__)
        ]
    return places


def _chain(error: BaseException) -> list[BaseException]:
    links: list[BaseException] = []
    link: BaseException | None = error
    while link is not None and link not in links:
        links.append(link)
        link = link.__cause__ or (None if link.__suppress_context__ else link.__context__)
    return links


def _os_reason(error: BaseException) -> str:
    return f" [{error.strerror}]" if isinstance(error, OSError) and error.strerror else ""
