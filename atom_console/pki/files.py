"""Files of a PKI directory: private whatever the umask, never half-written, never followed through a planted link."""

from __future__ import annotations

import errno
import fcntl
import os
import secrets
import stat
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path

from atom_console.pki.errors import FaultError, StoreLockedError, StoreWriteError
from atom_console.pki.findings import finding
from atom_console.pki.passphrase import SecretBytes

PRIVATE_FILE = 0o600
PRIVATE_DIR = 0o700
_OTHERS = 0o077
_POLL_S = 0.02
_WAITERS = 8
TEMPORARY = ".new-"


@contextmanager
def on_disk(path: Path) -> Iterator[None]:
    """Turn an operating system error of the block into `StoreWriteError` that names `path`."""
    try:
        yield
    except OSError as error:
        raise StoreWriteError(
            f"{path} could not be written: {error.strerror or error}", next_step="check space, permissions and mount"
        ) from error


def make_private_dir(path: Path) -> None:
    """Make a directory 0700, its missing parents too; one of ours that is wider is narrowed.

    Raises:
        StoreWriteError: it cannot be made, or is not a directory.
    """
    with on_disk(path):
        missing = [p for p in (path, *path.parents) if not p.exists()]
        for directory in reversed(missing):
            with suppress(FileExistsError):
                directory.mkdir(mode=PRIVATE_DIR)
            directory.chmod(PRIVATE_DIR)
        if stat.S_IMODE(path.stat().st_mode) != PRIVATE_DIR:
            path.chmod(PRIVATE_DIR)


def create_file(path: Path, data: bytes, *, sync: bool = True) -> None:
    """Create a new file 0600 with this content; what exists is never touched.

    Raises:
        StoreWriteError: it exists, or the disk did not take it; nothing is left behind.
    """
    with on_disk(path):
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW
        descriptor = os.open(path, flags, PRIVATE_FILE)
        try:
            with os.fdopen(descriptor, "wb", buffering=0) as file:
                # Only a umask that takes bits from the owner makes this one change anything.
                os.fchmod(descriptor, PRIVATE_FILE)
                view = memoryview(data)
                while view:
                    view = view[file.write(view) :]
                if sync:
                    os.fsync(descriptor)
        except BaseException:
            with suppress(OSError):
                path.unlink()
            raise


def replace_file(path: Path, data: bytes) -> None:
    """Replace (or create) a file 0600 in one step: readers see the old content or the new one.

    Raises:
        StoreWriteError: the disk did not take it; the old content stands.
    """
    temporary = path.with_name(f"{TEMPORARY}{path.name}.{secrets.token_hex(4)}")
    create_file(temporary, data)
    with on_disk(path):
        temporary.replace(path)
        sync_dir(path.parent)


def replace_link(link: Path, target: str) -> None:
    """Point a symbolic link at `target` in one step.

    Raises:
        StoreWriteError: the disk did not take it; the link stands where it was.
    """
    temporary = link.with_name(f"{TEMPORARY}{link.name}.{secrets.token_hex(4)}")
    with on_disk(link):
        temporary.symlink_to(target)
        temporary.replace(link)


def sync_dir(path: Path) -> None:
    """Make the names in a directory survive a power cut."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sync_all(files: Sequence[Path], directories: Sequence[Path]) -> None:
    """Make many files, then the directories that name them, survive a power cut.

    Each wait alone pays for a commit of the file system; side by side they share it (measured: a quarter of the time
    for 100 certificates on a busy disk).

    Raises:
        StoreWriteError: the disk did not take one of them.
    """
    from concurrent.futures import ThreadPoolExecutor

    for paths, sync in ((files, sync_file), (directories, sync_dir)):
        with ThreadPoolExecutor(_WAITERS) as pool:
            list(pool.map(partial(_synced, sync), paths))


def _synced(sync: Callable[[Path], None], path: Path) -> None:
    with on_disk(path):
        sync(path)


def sync_file(path: Path) -> None:
    """Make a file's content survive a power cut."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def read_file(path: Path, limit: int = 4 * 1024 * 1024) -> bytes:
    """The content of a file that someone named.

    Raises:
        FaultError: `file-missing`, `file-unreadable` (also for a directory or an absurd size).
    """
    try:
        with path.open("rb") as file:
            data = file.read(limit + 1)
    except FileNotFoundError:
        raise FaultError(finding("file-missing", str(path), f"there is no file {path}")) from None
    except OSError as error:
        raise FaultError(
            finding("file-unreadable", str(path), f"the file cannot be read: {error.strerror or error}")
        ) from None
    if len(data) > limit:
        raise FaultError(finding("file-unreadable", str(path), f"the file is larger than {limit} bytes"))
    return data


def exposure(path: Path) -> str | None:
    """`0644` where users other than the owner can reach a private file, or None. A missing file is not exposed."""
    try:
        mode = stat.S_IMODE(path.stat().st_mode)
    except OSError:
        return None
    return f"{mode:04o}" if mode & _OTHERS else None


def read_private(path: Path) -> SecretBytes:
    """The content of a private key file, if nobody but its owner can read it.

    Raises:
        FaultError: `key-exposed`, or as `read_file`.
    """
    mode = exposure(path)
    if mode is not None:
        raise FaultError(
            finding(
                "key-exposed",
                str(path),
                f"the private key has mode {mode}; expected 0600",
                f"run: chmod 600 {path}; if others had access, issue a new pair and revoke this one",
            )
        )
    return SecretBytes(read_file(path))


@contextmanager
def locked(path: Path, *, wait_s: float) -> Iterator[None]:
    """Hold an exclusive lock on a file while the block runs; a process that dies lets go of it.

    Raises:
        StoreLockedError: another process held it all the time.
        StoreWriteError: the lock file cannot be made.
    """
    with on_disk(path):
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, PRIVATE_FILE)
    try:
        os.fchmod(descriptor, PRIVATE_FILE)
        _take(descriptor, path, time.monotonic() + wait_s)
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, str(os.getpid()).encode(), 0)
        yield
    finally:
        os.close(descriptor)


def _take(descriptor: int, path: Path, until: float) -> None:
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            if error.errno not in {errno.EWOULDBLOCK, errno.EACCES}:
                raise
            if time.monotonic() >= until:
                holder = os.pread(descriptor, 32, 0).decode("ascii", "replace") or "?"
                raise StoreLockedError(
                    f"the certificates in {path.parent} are being changed by process {holder}",
                    next_step="wait for it to end, then run the command again",
                ) from None
            time.sleep(_POLL_S)
        else:
            return
