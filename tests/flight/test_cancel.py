from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from atom_console.flight.client import FlightConsole
from atom_console.flight.download import Download
from atom_console.flight.errors import TransferCancelledError
from atom_console.flight.fetch_plan import Limits
from atom_console.flight.server import ReferenceServer
from atom_console.flight.sinks import Discard
from tests.flight.cancelling_child import until
from tests.flight.faulty_servers import Endless, SilentAtFirst

ROOT = Path(__file__).parents[2]
Serve = Callable[..., ReferenceServer]
Connect = Callable[..., FlightConsole]


def test_two_hundred_cancels_at_random_moments_leave_nothing() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tests.flight.cancelling_child"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert not any(told["left"].values()), told
    assert told["slowest_s"] < 1.0  # 100 ms on a quiet machine; measured below


def test_the_consumer_is_free_within_100_ms(console: Connect) -> None:
    server = Endless()
    times = []
    client = console(server.uri)
    for _ in range(9):
        with client.fetch("endless") as fetch:
            batches = iter(fetch)
            next(batches)
            threading.Timer(0.02, _cancel, (fetch, times)).start()
            with pytest.raises(TransferCancelledError):
                for _ in batches:
                    pass
            times[-1] += time.monotonic()
    assert sorted(times)[4] < 0.1
    server.shutdown()


def _cancel(fetch: Any, times: list[float]) -> None:
    times.append(-time.monotonic())
    fetch.cancel()


def test_cancel_before_the_first_message_frees_the_consumer_and_the_thread_follows(console: Connect) -> None:
    server = SilentAtFirst(1.0)
    client = console(server.uri)
    fetch = client.fetch("late")
    threading.Timer(0.1, fetch.cancel).start()
    started = time.monotonic()
    with pytest.raises(TransferCancelledError):
        _ = fetch.schema
    assert time.monotonic() - started < 0.5
    fetch.close()
    assert fetch.progress().state == "cancelled"
    assert until(lambda: fetch.threads_alive == 0)
    server.shutdown()


def test_memory_is_bounded_by_the_ring_however_slow_the_reader_is(console: Connect) -> None:
    server = Endless()
    client = console(server.uri, limits=Limits(ring_batches=4, idle_timeout_s=20))
    with client.fetch("endless") as fetch:
        next(iter(fetch))
        seen = -1

        def settled() -> bool:
            nonlocal seen
            seen, before = server.sent, seen
            time.sleep(0.2)
            return server.sent == before

        assert until(settled, 20)
        assert server.sent * 0.8e6 < 64e6  # the ring, the window of 16 MiB, and what the server had ready
    server.shutdown()


def test_cancel_is_free_before_and_after(serve: Serve, console: Connect) -> None:
    client = console(serve().uri)
    download = Download(client, "mdf-10k", Discard())
    assert download.progress() is None
    download.cancel()
    with pytest.raises(TransferCancelledError):
        download.run()
    with client.fetch("mdf-10k") as fetch:
        assert len(list(fetch)) == 2
        assert fetch.progress().state == "done"
    fetch.cancel()
    fetch.close()
    assert fetch.progress().state == "done"
