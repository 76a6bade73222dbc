"""The console on a pseudo terminal of 120×40, over the embedded cluster: what is waited for, and what it costs.

Times are from the key to its words on the terminal. The baseline of the first paint is a Python that imports Textual
and does nothing; that of the acknowledgement is the same workload without a screen, in turn.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from statistics import median, quantiles

import psutil  # type: ignore[import-untyped]

from atom_console.events import decode, encode_mapping
from atom_console.events.framing import frame
from atom_console.events.jsonl import to_line
from atom_console.sandbox.mock_cluster import MockCluster
from atom_console.sandbox.workload import Workload
from benchmarks.bench_dlq import build_million
from benchmarks.harness import Result
from benchmarks.terminal import Console, bare_environ

_BUSY = 20_000
_PACE = 1_000
_TOPIC = "atom.write.raw"
_LATENCIES = re.compile(r"ack ms, 60 s\D+?([\d.]+) +([\d.]+) +([\d.]+) +([\d.]+)")


def run() -> Iterator[Result]:
    with tempfile.TemporaryDirectory(prefix="atom-bench-") as directory, MockCluster() as cluster:
        root = Path(directory)
        cluster.topic(_TOPIC, 4)
        busy = _workload(root / "busy.jsonl", 14 * _BUSY)
        yield from _opening(root / "home", cluster)
        yield from _at_rest(root / "home", cluster)
        yield from _under_load(root / "home", cluster, _encoded(root / "busy.atomfb", 14 * _BUSY))
        yield from _acknowledgement(root / "ack", cluster, busy)
        yield from _leaving(root / "down", cluster, busy)
        yield from _million(root / "million")


def _workload(path: Path, count: int) -> Path:
    """Events of a thousand kinds, each with an id of its own."""
    path.parent.mkdir(parents=True, exist_ok=True)
    kinds = [(to_line(decode(encode_mapping(kind))), kind["event_id"]) for kind in Workload().events(1000)]
    with path.open("w") as file:
        for number in range(count):
            line, own = kinds[number % 1000]
            file.write(line.replace(own, f"00000000-0000-4000-a000-{number:012x}") + "\n")
    return path


def _encoded(path: Path, count: int) -> Path:
    """The same events as FlatBuffers: reading JSON Lines alone would take half of a processor at this rate."""
    kinds = Workload().events(1000)
    with path.open("wb") as file:
        for number in range(count):
            event = kinds[number % 1000] | {"event_id": f"00000000-0000-4000-a000-{number:012x}"}
            file.write(frame(encode_mapping(event)))
    return path


def _opening(home: Path, cluster: MockCluster) -> Iterator[Result]:
    """Every line of the frame is there when the footer is: it is the last. The engine opens behind it."""
    ours, bare, known = [], [], []
    for _ in range(5):
        started_s = time.perf_counter()
        subprocess.run([sys.executable, "-c", "import textual.app, textual.widgets"], check=True)
        bare.append(time.perf_counter() - started_s)
        with Console(home, cluster.bootstrap_servers) as console:
            ours.append(console.until("quit") - console.started_s)
            known.append(console.until("connected") - console.started_s)
            console.leave()
    seconds, baseline = median(ours), median(bare)
    yield Result("first paint", seconds, "s", baseline, baseline / seconds, "< 1 s", seconds < 1)
    yield Result("the brokers' first answer on the screen", median(known), "s", None, None, "printed, none", None)


def _at_rest(home: Path, cluster: MockCluster) -> Iterator[Result]:
    with Console(home, cluster.bootstrap_servers) as console:
        console.until("connected")
        process = psutil.Process(console.process.pid)
        console.read_for(2.0)
        before = process.cpu_times()
        console.read_for(8.0)
        after = process.cpu_times()
        share = (after.user + after.system - before.user - before.system) / 8.0 * 100
        yield Result("CPU of the idle console", share, "%", None, None, "< 5 %", share < 5)
        switches = []
        for _ in range(15):
            switches += [console.after("2", "Dead letters › groups"), console.after("1", "PRODUCER")]
            console.read_for(0.05)
        yield _worst("room switch", switches, 90, "< 100 ms", 100)
        console.leave()


def _under_load(home: Path, cluster: MockCluster, busy: Path) -> Iterator[Result]:
    """A cursor that moves while events are produced in the same process, then the bytes of a quiet operator."""
    _dead_letters(home, cluster)
    with Console(home, cluster.bootstrap_servers) as console:
        console.until("connected")
        console.after(f":workload {busy} {_BUSY}\r", "running")
        console.after("2", "Dead letters › groups")
        console.after("a", "newest first")
        console.read_for(1.0)
        moves = []
        for turn in range(150):
            moves.append(console.after("j" if turn % 20 < 10 else "k", "▸"))
            console.read_for(0.02)
        console.after("1", "PRODUCER")
        console.read_for(1.5)
        taken = re.findall(r"events in /s\D+?([\d,]+)", console.drawn)
        rate = int(taken[-1].replace(",", "")) if taken else 0
        yield Result("events/s in the process meanwhile", rate, "events/s", _BUSY, rate / _BUSY, "20,000", None)
        yield _worst("key to repaint, 20,000 events/s", moves, 99, "< 50 ms", 50)
        written = console.written
        console.read_for(5.0)
        kilobytes = (console.written - written) / 5 / 1000
        yield Result("bytes to the terminal at 2 Hz", kilobytes, "kB/s", None, None, "< 8 kB/s", kilobytes < 8)
        console.leave()


def _acknowledgement(home: Path, cluster: MockCluster, path: Path) -> Iterator[Result]:
    """From the second event on: the first waits for the producer's id, with the screen and without."""
    ours, bare = [], []
    first = _workload(home / "first.jsonl", 1)
    for turn in range(3):
        bare.append(_headless_p99(home / f"headless-{turn}", cluster, path))
        with Console(home / f"open-{turn}", cluster.bootstrap_servers) as console:
            console.until("connected")
            console.after(f":workload {first}\r", "1 in = 1 acked")
            console.press(f":workload {path} {_PACE}\r")
            console.read_for(7.0)
            ours.append(float(_LATENCIES.findall(console.drawn)[-1][2]))
            console.leave()
    p99, baseline = median(ours), median(bare)
    met = p99 <= 2 * baseline
    yield Result("p99 to the acknowledgement, console open", p99, "ms", baseline, baseline / p99, "<= 2x headless", met)


def _headless_p99(home: Path, cluster: MockCluster, path: Path) -> float:
    own = {"ATOM_KAFKA_BOOTSTRAP_SERVERS": cluster.bootstrap_servers, "ATOM_DLQ_DIR": str(home)}
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.paced_producer", str(path), str(_PACE), str(6 * _PACE)],
        env={**bare_environ(), **own, "ATOM_DLQ_MIN_FREE_BYTES": "1048576"},
        capture_output=True,
        check=True,
    )
    return float(done.stdout)


def _leaving(home: Path, cluster: MockCluster, path: Path) -> Iterator[Result]:
    """With the brokers gone and events in flight: every one of them is on the disk when the program ends."""
    with Console(home, cluster.bootstrap_servers, ATOM_KAFKA_MESSAGE_TIMEOUT_MS="60000") as console:
        console.until("connected")
        console.press(f":workload {path} {_PACE}\r")
        console.read_for(2.0)
        cluster.down()
        console.until("NOT FLOWING")
        seconds = console.leave()
    cluster.up()
    yield Result("leave with the broker down", seconds, "s", None, None, "< 3 s", seconds < 3)


def _million(home: Path) -> Iterator[Result]:
    build_million(home / "dlq")
    with Console(home, "127.0.0.1:9") as console:
        console.until("1,000,000")
        process = psutil.Process(console.process.pid)
        console.after("2", "1,000,000 records")
        console.read_for(1.0)
        opened, ends, filters, records = [], [], [], []
        resident = 0
        for _ in range(7):
            opened.append(console.after("a", "1 of 1,000,000"))
            console.read_for(0.3)
            ends.append(console.after("G", "1,000,000 of 1,000,000"))
            console.read_for(0.3)
            resident = resident or process.memory_info().rss
            console.after("/tenant=tenant-7", "tenant-7")
            console.read_for(0.1)
            filters.append(console.after("\r", "1 of 24,391"))
            console.read_for(0.3)
            records.append(console.after("\r", "[Why]"))
            console.read_for(0.2)
            console.after("\x1b", "newest first")
            console.after("\x1b", "groups")
            console.read_for(0.2)
            console.after("\x1b", "1,000,000 records")  # the filter goes
        grown = (process.memory_info().rss - resident) / 1e6
        console.leave()
    for name, times in (
        ("open the list", opened),
        ("to the end", ends),
        ("filter by tenant", filters),
        ("open a record", records),
    ):
        ms = median(times)
        yield Result(f"{name}, 1M dead letters", ms, "ms", None, None, "< 100 ms", ms < 100)
    yield Result("memory grown over 28 such steps", grown, "MB", None, None, "< 30 MB", grown < 30)


def _dead_letters(home: Path, cluster: MockCluster) -> None:
    """Two hundred of them, by a topic that takes nothing."""
    cluster.topic("refused", 1)
    cluster.topic_error("refused", 29)
    command = ["produce", str(_workload(home / "refused.jsonl", 200)), "--topic", "refused"]
    own = {"ATOM_KAFKA_BOOTSTRAP_SERVERS": cluster.bootstrap_servers, "ATOM_DLQ_DIR": str(home / "dlq")}
    environ = {**bare_environ(), **own, "ATOM_DLQ_MIN_FREE_BYTES": "1048576"}
    subprocess.run([sys.executable, "-m", "atom_console", *command], env=environ, capture_output=True, check=False)


def _worst(name: str, milliseconds: list[float], percentile: int, budget: str, most: float) -> Result:
    found = quantiles(milliseconds, n=100, method="inclusive")[percentile - 1]
    middle = median(milliseconds)
    return Result(
        f"{name} p{percentile} (median as baseline)", found, "ms", middle, middle / found, budget, found < most
    )
