"""The audit chain: who did what to which records, each row sealed by the hash of the one before.

A row's hash is SHA-256 over the previous hash and the row as compact JSON (`row_bytes`), so that any language can
verify an export. Triggers refuse updates, deletions and rows anywhere but at the end; a chain is tamper-evident, not
tamper-proof: who can write the file can also rebuild it, so keep the last hash elsewhere.
"""

from __future__ import annotations

import getpass
import hashlib
import json
import os
import socket
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final, NamedTuple

if TYPE_CHECKING:
    import apsw

GENESIS: Final = bytes(32)

_COVERED: Final = (
    "seq, at, os_user, sudo_user, ssh_client, host, pid, action, subject, records, first_seq, last_seq,"
    " lower(hex(before_sha)), lower(hex(after_sha)), reason"
)
"""The columns of `AuditRow`."""
_IN_ORDER: Final = " FROM audit ORDER BY seq"

# An encoder made once: `json.dumps` with other separators makes one a call, which halves the speed of `verify`.
_compact: Final = json.JSONEncoder(separators=(",", ":"), ensure_ascii=True).encode


@dataclass(frozen=True, slots=True)
class Actor:
    """Who acts: the OS user, the user behind sudo, the SSH client's address (empty where there is none)."""

    os_user: str
    sudo_user: str
    ssh_client: str
    host: str
    pid: int


class AuditRow(NamedTuple):
    """What the hash covers, in this order."""

    seq: int
    at: int
    os_user: str
    sudo_user: str
    ssh_client: str
    host: str
    pid: int
    action: str
    subject: str
    records: int
    first_seq: int | None
    last_seq: int | None
    before_sha: str
    after_sha: str
    reason: str


def present_actor() -> Actor:
    """The actor of this process."""
    return _actor(os.getpid())


@lru_cache(maxsize=2)
def _actor(pid: int) -> Actor:
    try:
        user = getpass.getuser()
    except (KeyError, OSError):
        user = f"uid {os.getuid()}"
    client = os.environ.get("SSH_CLIENT", "").split(" ")[0]
    return Actor(user, os.environ.get("SUDO_USER", ""), client, socket.gethostname(), pid)


def row_hash(previous: bytes, row: Sequence[object]) -> bytes:
    """The hash that seals `row` after `previous`."""
    return hashlib.sha256(previous + _compact(row).encode("ascii")).digest()


def append(
    conn: apsw.Connection,
    *,
    actor: Actor,
    at: int,
    action: str,
    subject: str,
    records: int,
    before_sha: bytes = b"",
    after_sha: bytes = b"",
    reason: str = "",
    span: tuple[int, int] | None = None,
    seqs: Iterable[int] = (),
) -> int:
    """Add one row at the end of the chain, inside the caller's transaction; its number.

    Args:
        at: Unix milliseconds.
        action: `capture`, `transition`, `import` …
        subject: what was acted on, one line.
        records: how many records.
        span: first and last `seq` of records that the row covers without a gap (captures).
        seqs: records that the row covers one by one; each can find the row again.
    """
    last = conn.execute("SELECT seq, hash FROM audit ORDER BY seq DESC LIMIT 1").fetchone()
    number, previous = (last[0] + 1, last[1]) if last else (1, GENESIS)
    first_seq, last_seq = span or (None, None)
    row = AuditRow(
        number, at, actor.os_user, actor.sudo_user, actor.ssh_client, actor.host, actor.pid, action, subject, records,
        first_seq, last_seq, before_sha.hex(), after_sha.hex(), reason,
    )  # fmt: skip
    stored: tuple[object, ...] = (*row[:12], before_sha, after_sha, reason, previous, row_hash(previous, row))
    conn.execute("INSERT INTO audit VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?)", stored)
    conn.executemany("INSERT OR IGNORE INTO audit_record VALUES (?, ?)", ((seq, number) for seq in seqs))
    return number


def digest(parts: Iterable[Sequence[object]]) -> bytes:
    """SHA-256 over rows of plain values, the before and after of an action."""
    sha = hashlib.sha256()
    for part in parts:
        sha.update(json.dumps(part, separators=(",", ":")).encode("ascii"))
    return sha.digest()


@dataclass(frozen=True, slots=True)
class ChainReport:
    """What `verify` found: how many rows hold, and the first that does not."""

    rows: int
    ok: bool
    first_bad: int | None
    why: str
    last_hash: bytes


def verify(conn: apsw.Connection) -> ChainReport:
    """Walk the chain from its beginning: numbers without a gap, every hash recomputed."""
    previous, expected = GENESIS, 1
    sha256 = hashlib.sha256
    for number, text, before, seal in conn.execute(f"SELECT seq, json_array({_COVERED}), prev_hash, hash{_IN_ORDER}"):
        if number != expected:
            why = f"row {expected} is missing: the next one is {number}"
            return ChainReport(expected - 1, False, expected, why, previous)
        if before != previous:
            why = f"row {number} does not continue row {number - 1}: one of them was changed"
            return ChainReport(expected - 1, False, number, why, previous)
        # SQLite writes the same JSON but for letters outside of ASCII, which it does not escape.
        if sha256(previous + text.encode()).digest() != seal and row_hash(previous, json.loads(text)) != seal:
            return ChainReport(expected - 1, False, number, f"row {number} was changed", previous)
        previous = seal
        expected += 1
    return ChainReport(expected - 1, True, None, "", previous)


def export(conn: apsw.Connection) -> Iterator[dict[str, Any]]:
    """Every row as a mapping, in order, with `prev_hash` and `hash` (hexadecimal).

    The hash of a row is SHA-256 over the 32 bytes of `prev_hash` and the other values as a compact JSON array.
    """
    for values in conn.execute(f"SELECT {_COVERED}, prev_hash, hash{_IN_ORDER}"):
        row: dict[str, Any] = AuditRow(*values[:15])._asdict()
        yield row | {"prev_hash": values[15].hex(), "hash": values[16].hex()}
