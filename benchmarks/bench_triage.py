"""A million dead letters in an operator's hands: mark all, plan, drop the plan; the keys are answered all the while.

Times are from the key to its words on the terminal. Marking and planning take seconds, in threads of their own; what
counts is how long a key waits while they are at it.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from statistics import median

from atom_console.sandbox.mock_cluster import MockCluster
from benchmarks.bench_dlq import build_million
from benchmarks.harness import Result
from benchmarks.terminal import Console

_LIMIT_S = 60.0


def run() -> Iterator[Result]:
    with tempfile.TemporaryDirectory(prefix="atom-bench-") as directory, MockCluster() as cluster:
        home = Path(directory)
        for number in range(3):
            cluster.topic(f"topic-{number}", 3)
        build_million(home / "dlq")
        with Console(home, cluster.bootstrap_servers, ATOM_DLQ_MAX_BYTES="10GiB") as console:
            console.until("1,000,000")
            console.after("2", "1,000,000 records")
            console.after("a", "1 of 1,000,000")
            marking = _meanwhile(console, "*", "marked: 1,000,000", 1)
            console.after("r", "Planning 1,000,000")
            console.after("\x1b", "of 1,000,000")
            planning = _meanwhile(console, "", "Planned run", 1 + len(marking[1]))
            console.after("R", "planned")
            console.after("\r", "nothing sent yet")
            dropped = console.after("k", "This plan is cancelled")
            console.leave()
    for name, (seconds, keys) in (("mark", marking), ("plan", planning)):
        ms = median(keys)
        yield Result(f"{name} 1M dead letters", seconds, "s", None, None, "< 60 s", seconds < _LIMIT_S)
        yield Result(f"a key while 1M are in work: {name}", ms, "ms", None, None, "< 100 ms", ms < 100)
        yield Result(f"the slowest of {len(keys)} such keys", max(keys), "ms", None, None, "< 1 s", max(keys) < 1000)
    yield Result("drop the plan of 1M", dropped, "ms", None, None, "< 1 s", dropped < 1000)


def _meanwhile(console: Console, keys: str, words: str, place: int) -> tuple[float, list[float]]:
    """Press them, and walk down the list from `place` until the words were drawn: (seconds, ms of each key)."""
    started_s = console.press(keys)
    console.read_for(0.3)
    times: list[float] = []
    seen = ""
    while words not in seen and time.perf_counter() < started_s + _LIMIT_S:
        seen += console.drawn
        place += 1
        times.append(console.after("j", f"{place:,} of 1,000,000"))
        console.read_for(0.05)
        seen += console.drawn
    return time.perf_counter() - started_s, times


if __name__ == "__main__":
    for result in run():
        print(result)
