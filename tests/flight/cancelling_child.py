"""Cancels 200 transfers at random moments in a process of its own, and prints what is left of them as JSON.

A process of its own, because the memory, threads and descriptors of other tests would be counted as well.
"""

from __future__ import annotations

import ctypes
import gc
import json
import random
import threading
import time
from collections.abc import Callable
from contextlib import suppress

import psutil
import pyarrow as pa

from atom_console.flight.client import FlightConsole
from atom_console.flight.connection import Connection
from atom_console.flight.download import Download
from atom_console.flight.errors import TransferCancelledError
from atom_console.flight.fetch_plan import FetchPlan, Limits
from atom_console.flight.server import ReferenceServer, ServerOptions
from atom_console.flight.sinks import Discard

MOST_GROWN = 64 << 20


def until(condition: Callable[[], bool], seconds: float = 10.0) -> bool:
    latest = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > latest:
            return False
        time.sleep(0.01)
    return True


def cancelled_after(moment: float, client: FlightConsole, plan: FetchPlan) -> float:
    """Seconds from the cancel to the end of the thread that read."""
    download = Download(client, plan, Discard())
    outcome: list[BaseException] = []

    def read() -> None:
        try:
            download.run()
        except BaseException as error:
            outcome.append(error)

    thread = threading.Thread(target=read)
    thread.start()
    time.sleep(moment)
    started = time.monotonic()
    download.cancel()
    thread.join(5)
    assert not thread.is_alive()
    assert [type(error) for error in outcome] == [TransferCancelledError]
    return time.monotonic() - started


def resident(process: psutil.Process) -> int:
    """Bytes in use, without the freed memory that Arrow's pool and glibc keep (glibc some 62 MB: `memory.py`)."""
    pa.default_memory_pool().release_unused()
    with suppress(AttributeError):  # only glibc has it
        ctypes.CDLL(None).malloc_trim(0)
    return int(process.memory_info().rss)


def main() -> None:
    process, chance = psutil.Process(), random.Random(6)
    with (
        ReferenceServer(ServerOptions(endpoints=3)) as server,
        FlightConsole(Connection(server.uri), limits=Limits(parallel=3, ring_batches=2, idle_timeout_s=20)) as client,
    ):
        plan = client.info("mdf-20M").fetch

        def settled() -> bool:
            gc.collect()
            return until(lambda: server.stats()["open_streams"] == 0)

        for _ in range(40):
            cancelled_after(chance.uniform(0, 0.03), client, plan)
        assert settled()
        threads, files, memory = threading.active_count(), process.num_fds(), resident(process)
        slowest = max(cancelled_after(chance.uniform(0, 0.04), client, plan) for _ in range(200))
        left = {"streams": not settled(), "threads": not until(lambda: threading.active_count() <= threads)}
        left["files"] = not until(lambda: process.num_fds() <= files + 4)
        left["memory"] = not until(lambda: resident(process) - memory < MOST_GROWN)
        print(json.dumps({"left": left, "slowest_s": slowest, "grown": resident(process) - memory}))


if __name__ == "__main__":
    main()
