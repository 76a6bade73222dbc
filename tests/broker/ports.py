"""Free TCP ports on the loopback address."""

from __future__ import annotations

import random
import socket
from pathlib import Path

_RANGE = Path("/proc/sys/net/ipv4/ip_local_port_range")
_LOWEST = 15_000


def free_ports(count: int) -> list[int]:
    """`count` different free ports below the range of outgoing connections.

    A port inside that range could be taken by any client while a stopped broker waits for its restart, even by the very
    client that tries to reach it (a TCP connection to itself).
    """
    highest = int(_RANGE.read_text().split()[0]) if _RANGE.exists() else 32_768
    candidates = random.SystemRandom().sample(range(_LOWEST, highest), k=min(500, highest - _LOWEST))
    found: list[int] = []
    for port in candidates:
        if _is_free(port):
            found.append(port)
            if len(found) == count:
                return found
    raise OSError(f"no {count} free ports between {_LOWEST} and {highest}")


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True
