"""The loop of pyarrow's documentation in a process without anything of ours: `python bare_flight.py URI [DIRECTORY]`.

Reads tickets from standard input, one a line; reads each flight to its end, and prints the seconds.
"""

from __future__ import annotations

import contextlib
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from time import perf_counter
from typing import Any

import pyarrow.flight as fl


@contextlib.contextmanager
def started(uri: str, directory: str) -> Iterator[Callable[[bytes], float]]:
    """The process; yields what reads one flight in it and returns its seconds.

    Args:
        uri: of the server.
        directory: where `cert` and `key` are, for mTLS, or empty.
    """
    command = [sys.executable, __file__, uri, *([directory] if directory else [])]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:

        def once(ticket: bytes) -> float:
            assert process.stdin is not None
            assert process.stdout is not None
            process.stdin.write(ticket + b"\n")
            process.stdin.flush()
            return float(process.stdout.readline())

        yield once


def drain(client: Any, ticket: bytes) -> None:
    """Read one flight to its end and drop it."""
    reader = client.do_get(fl.Ticket(ticket))
    with contextlib.suppress(StopIteration):
        while True:
            reader.read_chunk()


def _main(uri: str, directory: str = "") -> None:
    own: dict[str, bytes] = {}
    if directory:
        certificate, key = (Path(directory, name).read_bytes() for name in ("cert", "key"))
        own = {"tls_root_certs": certificate, "cert_chain": certificate, "private_key": key}
    client = fl.FlightClient(uri, **own)
    for line in sys.stdin.buffer:
        start = perf_counter()
        drain(client, line.rstrip(b"\n"))
        print(perf_counter() - start, flush=True)


if __name__ == "__main__":
    _main(*sys.argv[1:])
