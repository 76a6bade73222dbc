"""The audit of the certificate authority: JSON Lines, append-only, each row holding the hash of the one before.

A row is written and on disk before the thing it tells becomes visible, so there is no certificate without a row.
"""

from __future__ import annotations

import hashlib
import json
import os
import socket
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from atom_console.pki.errors import StoreDamagedError
from atom_console.pki.files import PRIVATE_FILE, on_disk
from atom_console.times import format_ms

GENESIS = "0" * 64


@dataclass(frozen=True, slots=True)
class Event:
    """What is about to happen; `detail` never holds a key or a passphrase."""

    action: str
    subject: str
    detail: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the audit; `detail` never holds a key or a passphrase."""

    seq: int
    at: str
    who: dict[str, Any]
    action: str
    subject: str
    detail: dict[str, Any]
    prev: str
    hash: str


@dataclass(frozen=True, slots=True)
class Chain:
    """The verdict on an audit file: how many rows hold, and the first that does not."""

    rows: int
    ok: bool
    first_bad: int | None
    why: str | None


def who() -> dict[str, Any]:
    """User, the user behind sudo, SSH client, host and process, as the environment tells them."""
    ssh = os.environ.get("SSH_CONNECTION", "").split()
    return {
        "user": _user_name(os.getuid()),
        "sudo_user": os.environ.get("SUDO_USER"),
        "ssh_client": ssh[0] if ssh else None,
        "host": socket.gethostname(),
        "pid": os.getpid(),
    }


def _user_name(uid: int) -> str:
    import pwd

    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


class Audit:
    """One audit file. Appending needs the store's lock; reading and verifying need nothing."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def append(self, events: Sequence[Event]) -> None:
        """Write rows and wait until they are on disk.

        Raises:
            StoreDamagedError: the last row does not parse; nothing is appended to a broken chain.
            StoreWriteError: the disk did not take it.
        """
        with on_disk(self._path):
            descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, PRIVATE_FILE)
            with os.fdopen(descriptor, "r+b") as file:
                os.fchmod(descriptor, PRIVATE_FILE)
                torn = self._drop_torn(file.fileno())
                last = self.head()
                repaired = [Event("repair", "audit", {"torn_bytes": torn})] if torn else []
                for event in (*repaired, *events):
                    last = self._write(file.fileno(), last, event)
                os.fsync(file.fileno())

    def _write(self, descriptor: int, last: Row | None, event: Event) -> Row:
        body: dict[str, Any] = {
            "seq": last.seq + 1 if last else 1,
            "at": format_ms(time.time_ns() // 1_000_000),
            "who": who(),
            "action": event.action,
            "subject": event.subject,
            "detail": event.detail,
            "prev": last.hash if last else GENESIS,
        }
        row = Row(**body, hash=_digest(body))
        os.write(descriptor, _canonical({**body, "hash": row.hash}) + b"\n")
        return row

    def _drop_torn(self, descriptor: int) -> int:
        # A row cut short by a crash was never waited for, so nothing that it told has happened.
        size = os.fstat(descriptor).st_size
        tail = os.pread(descriptor, min(size, 1 << 20), max(0, size - (1 << 20)))
        torn = len(tail) - (tail.rfind(b"\n") + 1)
        if torn:
            os.ftruncate(descriptor, size - torn)
        return torn

    def head(self) -> Row | None:
        """The last complete row, or None where there is none.

        Raises:
            StoreDamagedError: it does not parse.
        """
        last = None
        try:
            with self._path.open("rb") as file:
                size = file.seek(0, os.SEEK_END)
                file.seek(max(0, size - (1 << 20)))
                lines = [line for line in file.read().split(b"\n")[:-1] if line]
        except FileNotFoundError:
            return None
        if lines:
            last = _parse(lines[-1])
            if last is None:
                raise StoreDamagedError(
                    f"the last row of {self._path} is not an audit row",
                    next_step="run: atom-console certs audit; keep the file, and restore it from a backup",
                )
        return last

    def rows(self) -> Iterator[Row]:
        """Every row that parses, oldest first."""
        if self._path.exists():
            with self._path.open("rb") as file:
                for line in file:
                    row = _parse(line)
                    if row is not None:
                        yield row

    def verify(self, expected_head: str | None = None) -> Chain:
        """Walk the whole chain.

        Args:
            expected_head: the hash of the last row as the inventory remembers it; tells a cut tail.
        """
        previous, count = GENESIS, 0
        seen = expected_head is None or expected_head == GENESIS
        lines = self._path.read_bytes().split(b"\n")[:-1] if self._path.exists() else []
        for line in lines:
            count += 1
            row = _parse(line)
            if row is None:
                return Chain(count - 1, False, count, "the row does not parse")
            body = {name: getattr(row, name) for name in Row.__slots__ if name != "hash"}
            if row.seq != count or row.prev != previous:
                return Chain(count - 1, False, count, "the row does not follow the one before it")
            if row.hash != _digest(body):
                return Chain(count - 1, False, count, "the row was changed")
            previous = row.hash
            seen = seen or previous == expected_head
        if not seen:
            return Chain(count, False, count + 1, "rows at the end are missing")
        return Chain(count, True, None, None)


def _canonical(body: dict[str, Any]) -> bytes:
    return json.dumps(body, sort_keys=True, separators=(",", ":"), ensure_ascii=True).encode()


def _digest(body: dict[str, Any]) -> str:
    return hashlib.sha256(_canonical(body)).hexdigest()


def _parse(line: bytes) -> Row | None:
    try:
        return Row(**json.loads(line))
    except (ValueError, TypeError):
        return None
