"""Opens the SQLite file the same way everywhere: pragmas, migrations, the bounded check, errors in words."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Final, Literal

import apsw

from atom_console.dlq.ddl import MIGRATIONS
from atom_console.dlq.errors import StoreUnavailableError, StoreVersionError

Sync = Literal["FULL", "NORMAL"]
BUSY_MS: Final = 5_000
PAGE_BYTES: Final = 8_192
_CACHE_KIB: Final = 65_536
_CHECKPOINT_PAGES: Final = 16_384
"""Pages of the write-ahead log (128 MiB) after which a commit must copy it into the file. Capturing never stops before
that (measured: with a quarter of it a third fewer rows a second); the writer copies when it is idle."""

DAMAGE: Final = (apsw.CorruptError, apsw.NotADBError, apsw.FormatError)
"""What SQLite raises when the file itself is damaged."""

_TROUBLE: Final = (
    *DAMAGE, apsw.BusyError, apsw.LockedError, apsw.FullError, apsw.ReadOnlyError, apsw.CantOpenError, apsw.IOError,
    apsw.PermissionsError, apsw.AuthError, apsw.NoMemError, apsw.ConnectionClosedError,
)  # fmt: skip


def open_writer(path: Path, *, sync: Sync, max_bytes: int) -> apsw.Connection:
    """The read-write connection of a process. The file must exist (possibly empty).

    Args:
        sync: FULL survives a power cut on an honest disk, NORMAL only the death of the process.
        max_bytes: SQLite itself refuses to grow the file beyond this (`SQLITE_FULL`).

    Raises:
        StoreVersionError: written by a newer version.
        apsw.Error: anything else; see `explain`.
    """
    conn = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READWRITE)
    try:
        conn.set_busy_timeout(BUSY_MS)
        conn.execute(f"PRAGMA page_size = {PAGE_BYTES}")
        conn.execute("PRAGMA auto_vacuum = INCREMENTAL")  # ignored once the file has a page, so before WAL
        conn.execute("PRAGMA journal_mode = WAL")
        conn.execute(f"PRAGMA synchronous = {sync}")
        conn.execute("PRAGMA foreign_keys = ON")
        conn.execute("PRAGMA secure_delete = FAST")
        conn.execute(f"PRAGMA cache_size = -{_CACHE_KIB}")
        conn.execute(f"PRAGMA wal_autocheckpoint = {_CHECKPOINT_PAGES}")
        conn.execute(f"PRAGMA journal_size_limit = {_CHECKPOINT_PAGES * PAGE_BYTES}")
        migrate(conn)
        conn.execute(f"PRAGMA max_page_count = {max(16, max_bytes // PAGE_BYTES)}")
    except BaseException:
        conn.close(True)
        raise
    return conn


def open_reader(path: Path) -> apsw.Connection:
    """A read-only connection; belongs to one thread.

    Raises:
        StoreVersionError: written by a newer version.
        apsw.Error: see `explain`.
    """
    conn = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READONLY)
    try:
        conn.set_busy_timeout(BUSY_MS)
        conn.execute("PRAGMA query_only = ON")
        conn.execute("PRAGMA cache_size = -16384")
        _refuse_newer(conn)
    except BaseException:
        conn.close(True)
        raise
    return conn


def version(conn: apsw.Connection) -> int:
    """The `user_version` of the file."""
    return int(conn.execute("PRAGMA user_version").get)


def migrate(conn: apsw.Connection, migrations: tuple[str, ...] = MIGRATIONS) -> int:
    """Bring the file to the newest version, one transaction a step, so that a crash leaves a whole version behind.

    Returns:
        The version it has now.

    Raises:
        StoreVersionError: the file is newer than `migrations`.
    """
    while version(conn) < len(migrations):
        conn.execute("BEGIN IMMEDIATE")
        try:
            at = version(conn)
            if at < len(migrations):  # another process may have been first
                conn.execute(migrations[at]).fetchall()  # to the last of its statements
                conn.execute(f"PRAGMA user_version = {at + 1}")
            conn.execute("COMMIT")
        except BaseException:
            if conn.in_transaction:
                conn.execute("ROLLBACK")
            raise
    _refuse_newer(conn, len(migrations))
    return version(conn)


def _refuse_newer(conn: apsw.Connection, newest: int = len(MIGRATIONS)) -> None:
    found = version(conn)
    if found > newest:
        raise StoreVersionError(
            f"{conn.filename} has schema version {found}; this program knows up to {newest}",
            next_step="Use the newer version of atom-console that wrote it.",
        )


def quick_check(conn: apsw.Connection, *, budget_s: float | None) -> str | None:
    """SQLite's `quick_check`, stopped after `budget_s` seconds (None: to the end).

    Returns:
        The first fault in SQLite's words, or None where nothing was found in the time.
    """
    deadline = None if budget_s is None else time.monotonic() + budget_s
    if deadline is not None:
        conn.set_progress_handler(lambda: time.monotonic() > deadline, 2_000)
    try:
        found = conn.execute("PRAGMA quick_check(1)").get
    except apsw.InterruptError:
        return None
    except (*DAMAGE, UnicodeDecodeError) as error:
        return str(error)
    finally:
        conn.set_progress_handler(None)
    return None if found == "ok" else str(found)


def in_trouble(error: apsw.Error) -> bool:
    """Whether the database as a whole is in trouble, not the statement or the row."""
    return isinstance(error, _TROUBLE)


def explain(error: apsw.Error, path: Path) -> StoreUnavailableError:
    """SQLite's error as a sentence with the next step."""
    for kinds, what, step in _WORDS:
        if isinstance(error, kinds):
            return StoreUnavailableError(f"{path}: {what} ({error})", next_step=step)
    return StoreUnavailableError(f"{path}: SQLite reports {error}", next_step="Run `atom-console dlq check`.")


_WORDS: Final[tuple[tuple[tuple[type[apsw.Error], ...], str, str], ...]] = (
    (
        (apsw.BusyError, apsw.LockedError),
        f"locked by another process for more than {BUSY_MS // 1000} s",
        "Find the process that holds it: `fuser -v` on the file.",
    ),
    (
        (apsw.FullError,),
        "the size cap is reached or the disk is full",
        "Replay and purge, or raise ATOM_DLQ_MAX_BYTES.",
    ),
    ((apsw.ReadOnlyError,), "it cannot be written", "Give this user write permission on the file and its directory."),
    ((apsw.CantOpenError, apsw.PermissionsError, apsw.AuthError), "it cannot be opened", "Check the permissions."),
    (
        DAMAGE,
        "the file is damaged",
        "Run `atom-console dlq check`; it is put aside and salvaged when no process uses it.",
    ),
    ((apsw.IOError,), "the disk reports an error", "Check the disk and its free space (`dmesg`, `df`)."),
)
