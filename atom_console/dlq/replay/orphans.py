"""Bytes that a dead process left in its sockets: the kernel still sends them, and they may still arrive.

Seen in `/proc/net/tcp` of the same host: a connection to a broker without an owner (inode 0) whose send queue is not
empty. Measured: a cut path delivers such bytes 6 to 31 s after the death, with watermarks that look stable before.
"""

from __future__ import annotations

import socket
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Final

_TABLES: Final = (Path("/proc/net/tcp"), Path("/proc/net/tcp6"))
_PAUSE_S: Final = 0.05


def orphan_bytes(ports: Iterable[int]) -> int | None:
    """Unsent or unacknowledged bytes of ownerless connections to these ports; None where the system does not tell."""
    wanted = frozenset(ports)
    total, seen = 0, False
    for table in _TABLES:
        try:
            lines = table.read_text(encoding="ascii").splitlines()[1:]
        except OSError:
            continue
        seen = True
        for line in lines:
            fields = line.split()
            if len(fields) > 9 and fields[9] == "0" and int(fields[2].rpartition(":")[2], 16) in wanted:
                total += int(fields[4].partition(":")[0], 16)
    return total if seen else None


def wait_until_none(ports: Iterable[int], timeout_s: float) -> bool:
    """Wait until no such bytes are left; False where they stay, or where nobody can tell."""
    wanted = frozenset(ports)
    end = time.monotonic() + timeout_s
    while True:
        left = orphan_bytes(wanted)
        if left is None:
            return False
        if not left:
            return True
        if time.monotonic() > end:
            return False
        time.sleep(_PAUSE_S)


def port_of(address: str) -> int | None:
    """The port of `host:port`."""
    port = address.rpartition(":")[2]
    return int(port) if port.isdecimal() else None


def same_host(host: str) -> bool:
    """Whether a name that a process of this store gave for its host is ours."""
    return host == socket.gethostname()
