"""The profile's dead letter store, as commands open it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from atom_console.cli.frame import CliContext
from atom_console.errors import RefusedError

if TYPE_CHECKING:
    from atom_console.dlq.reader import Reader
    from atom_console.dlq.store import Store


@contextmanager
def open_reader(cli: CliContext) -> Iterator[Reader]:
    """A reader of the profile's store."""
    from atom_console.config import paths
    from atom_console.dlq.reader import Reader

    reader = Reader(paths.dlq_dir(cli.settings()))
    try:
        yield reader
    finally:
        reader.close()


@contextmanager
def open_store(cli: CliContext, doing: str) -> Iterator[Store]:
    """The profile's store for writing.

    Raises:
        RefusedError: the profile is read-only.
    """
    from atom_console.config import paths
    from atom_console.dlq.store import Store

    settings = cli.settings()
    if settings.read_only:
        raise RefusedError(
            f"profile {settings.profile} is read-only: {doing} is refused", next_step="use a profile that may write"
        )
    with Store.open(paths.dlq_dir(settings), settings.dlq, component="atom-console") as store:
        yield store
