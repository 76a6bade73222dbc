"""Where a store lies on disk: a private directory on a local filesystem, and the locks that its processes hold.

Files of the directory: `dlq.sqlite3` with its `-wal` and `-shm`; `spool/` for spill files; `owners/` with one lock
file a living process; `store.lock`, held shared by every process that has the store open, so that only a process
alone can put a damaged file aside; `open.lock`, held while a store is being opened.
"""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from atom_console.dlq.errors import StoreUnavailableError

_NETWORK: Final = frozenset({
    "nfs", "nfs4", "cifs", "smb3", "smbfs", "ncpfs", "afs", "9p", "ceph", "lustre", "gpfs", "beegfs", "orangefs",
    "ocfs2", "gfs2", "fuse.sshfs", "fuse.glusterfs", "fuse.s3fs", "fuse.rclone", "fuse.gcsfuse", "fuse.cephfs", "davfs",
})  # fmt: skip
"""Types of `/proc/self/mountinfo` on which a write-ahead log is not safe: its shared memory does not cross hosts."""


@dataclass(frozen=True, slots=True)
class Place:
    """The paths of one store."""

    root: Path

    @property
    def database(self) -> Path:
        """The SQLite file."""
        return self.root / "dlq.sqlite3"

    @property
    def spool(self) -> Path:
        """Where spill files are dropped, by us and by services in any language."""
        return self.root / "spool"

    @property
    def owners(self) -> Path:
        """Lock files of the processes that write."""
        return self.root / "owners"

    def prepare(self) -> None:
        """Make the directories, 0700 whatever the umask, and refuse a network filesystem.

        Raises:
            StoreUnavailableError: no permission, or the filesystem is remote.
        """
        try:
            created = not self.root.exists()
            self.root.mkdir(mode=0o700, parents=True, exist_ok=True)
            remote = network_filesystem(self.root)
            if remote is not None:
                raise StoreUnavailableError(
                    f"{self.root} is on a network filesystem ({remote}), where several processes cannot share a store",
                    next_step="Set ATOM_DLQ_DIR to a directory on a local disk.",
                )
            if created or self.database.exists() or not any(self.root.iterdir()):
                with suppress(PermissionError):  # another user's directory: the files in it are private all the same
                    self.root.chmod(0o700)
            for directory in (self.spool, self.owners):
                directory.mkdir(mode=0o700, exist_ok=True)
                with suppress(PermissionError):
                    directory.chmod(0o700)
        except OSError as error:
            raise unusable(self.root, error) from error

    def create_database(self) -> None:
        """An empty file, 0600 whatever the umask; SQLite gives the same mode to the files beside it."""
        try:
            fd = os.open(self.database, os.O_CREAT | os.O_EXCL | os.O_RDWR | os.O_CLOEXEC, 0o600)
        except FileExistsError:
            return
        except OSError as error:
            raise unusable(self.database, error) from error
        os.fchmod(fd, 0o600)
        os.close(fd)

    @contextmanager
    def opening(self, wait_s: float = 15.0) -> Iterator[None]:
        """One process at a time opens, migrates or salvages."""
        fd = open_lock_file(self.root / "open.lock")
        try:
            if not lock(fd, exclusive=True, wait_s=wait_s):
                raise StoreUnavailableError(
                    f"another process is opening {self.database} and did not finish in {wait_s:.0f} s",
                    next_step=f"See who: `fuser {self.root / 'open.lock'}`.",
                )
            yield
        finally:
            os.close(fd)

    def join(self) -> int:
        """Hold the store's shared lock; the descriptor, to be closed with the store."""
        fd = open_lock_file(self.root / "store.lock")
        if not lock(fd, exclusive=False, wait_s=15.0):
            os.close(fd)
            raise StoreUnavailableError(
                f"another process is repairing {self.database}", next_step="Wait until it is done, then try again."
            )
        return fd

    @property
    def suspect(self) -> Path:
        """A note that the database gave signs of damage: the next opening looks at all of it."""
        return self.root / "suspect"

    def mark_suspect(self, why: str) -> None:
        """Leave the note; best effort."""
        with suppress(OSError):
            self.suspect.write_text(why + "\n", encoding="utf-8")

    def log_bytes(self) -> int:
        """Size of the write-ahead log, in bytes."""
        try:
            return Path(f"{self.database}-wal").stat().st_size
        except OSError:
            return 0

    def free_bytes(self) -> int:
        """What the disk has left for this user, in bytes."""
        found = os.statvfs(self.root)
        return found.f_bavail * found.f_frsize


def open_lock_file(path: Path) -> int:
    """Open or create a lock file, 0600.

    Raises:
        StoreUnavailableError: no permission, read-only, disk full.
    """
    try:
        fd = os.open(path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
        with suppress(PermissionError):
            os.fchmod(fd, 0o600)
    except OSError as error:
        raise unusable(path, error) from error
    return fd


def lock(fd: int, *, exclusive: bool, wait_s: float = 0.0) -> bool:
    """`flock` the descriptor, trying for `wait_s` seconds. It is given back when the last copy of `fd` closes."""
    deadline = time.monotonic() + wait_s
    kind = fcntl.LOCK_EX if exclusive else fcntl.LOCK_SH
    while True:
        try:
            fcntl.flock(fd, kind | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() >= deadline:
                return False
            time.sleep(0.01)
        else:
            return True


def unusable(path: Path, error: OSError) -> StoreUnavailableError:
    """The error that says so, with the operating system's reason."""
    reason = error.strerror or str(error)
    return StoreUnavailableError(
        f"{path} cannot be used: {reason}",
        next_step="Give this user a writable directory with room, or set ATOM_DLQ_DIR to another one.",
    )


def network_filesystem(path: Path, mounts: str | None = None) -> str | None:
    """The type of the filesystem that holds `path` if it is remote, else None (also where the system does not tell).

    Args:
        path: an existing directory.
        mounts: text in the form of `/proc/self/mountinfo`, read from there by default.
    """
    if mounts is None:
        try:
            mounts = Path("/proc/self/mountinfo").read_text(errors="surrogateescape")
        except OSError:
            return None
    target = str(path.resolve())
    best, kind = "", ""
    for line in mounts.splitlines():
        left, _, right = line.partition(" - ")
        fields = left.split(" ")
        if len(fields) < 5 or not right:
            continue
        point = fields[4].replace("\\040", " ").replace("\\011", "\t").replace("\\012", "\n").replace("\\134", "\\")
        inside = target == point or target.startswith(point.rstrip("/") + "/")
        if inside and len(point) >= len(best):
            best, kind = point, right.split(" ", 1)[0]
    return kind if kind in _NETWORK else None
