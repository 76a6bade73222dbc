"""The real program on a pseudo terminal: how it ends, what it writes, what it leaves behind."""

from __future__ import annotations

import os
import re
import select
import signal
import socket
import time
from pathlib import Path

import pytest

from atom_console.config import KafkaSettings
from atom_console.kafka.cluster import ClusterReader
from atom_console.sandbox.mock_cluster import MockCluster
from tests.e2e.delivery import in_the_store
from tests.pty.real import console, drain_in_the_log, drained, start_workload, sums, workload_file
from tests.ui.pty_session import PtySession

pytestmark = pytest.mark.pty

COLOURS = {*range(30, 39), *range(40, 49), *range(90, 98), *range(100, 108)}


def assert_restored(session: PtySession) -> None:
    session.wait(lambda: session.restored, "the terminal as it was")
    for mode in (b"?1000", b"?1003", b"?1006"):  # never switched on, or off again
        assert session.raw.rfind(mode + b"h") <= session.raw.rfind(mode + b"l")


def assert_accounted(accepted: int, acked: int, kept: int) -> None:
    assert accepted > 0
    assert acked + kept == accepted


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGTERM, 143), (signal.SIGHUP, 129), (signal.SIGINT, 130)], ids=str
)
def test_a_signal_under_load(home: Path, mock_cluster: MockCluster, number: signal.Signals, code: int) -> None:
    path = workload_file(home / "day.jsonl", 20_000)
    with console(home, mock_cluster.bootstrap_servers) as session:
        session.wait_for("connected")
        start_workload(session, path, 2_000)
        session.process.send_signal(number)
        assert session.end(20) == code
        assert_restored(session)
        assert_accounted(*drained(session))
        assert len(in_the_store(home / "dlq")) == drained(session)[2]


@pytest.mark.parametrize(("keys", "code"), [("\x03", 130), ("q", 0)], ids=["ctrl+c", "q"])
def test_a_key_under_load(home: Path, mock_cluster: MockCluster, keys: str, code: int) -> None:
    path = workload_file(home / "day.jsonl", 20_000)
    with console(home, mock_cluster.bootstrap_servers, size=(80, 24)) as session:
        session.wait_for("connected")
        start_workload(session, path, 2_000)
        session.press(keys)
        assert session.end(20) == code
        assert_restored(session)
        assert_accounted(*drained(session))


def test_a_dropped_line_under_load(home: Path, mock_cluster: MockCluster) -> None:
    path = workload_file(home / "day.jsonl", 20_000)
    with console(home, mock_cluster.bootstrap_servers) as session:
        session.wait_for("connected")
        start_workload(session, path, 2_000)
        session.hang_up()
        assert session.end(20) == 129
    found = re.findall(r"\d+", drain_in_the_log(home))
    accepted, acked, kept, unsaved = (int(text) for text in found)
    assert_accounted(accepted, acked, kept)
    assert unsaved == 0


def test_leaving_with_the_broker_down_keeps_everything(home: Path, mock_cluster: MockCluster) -> None:
    path = workload_file(home / "day.jsonl", 20_000)
    with console(home, mock_cluster.bootstrap_servers, ATOM_KAFKA_MESSAGE_TIMEOUT_MS="60000") as session:
        session.wait_for("connected")
        start_workload(session, path, 2_000)
        mock_cluster.down()
        session.wait_for("DISCONNECTED")
        session.wait_for("NOT FLOWING")
        started = time.monotonic()
        session.press("q")
        assert session.end(20) == 0
        seconds = time.monotonic() - started
        accepted, acked, kept = drained(session)
        assert_restored(session)
    assert_accounted(accepted, acked, kept)
    stored = in_the_store(home / "dlq")
    assert len({record.value for record in stored}) == len(stored) == kept > 0
    assert seconds < 8, "the promise is 3 s; the rest is for a busy machine"


def test_leaving_at_once_where_nothing_listens(home: Path) -> None:
    with console(home) as session:
        session.wait_for("refused")
        started = time.monotonic()
        session.press("q")
        assert session.end(20) == 0
        assert time.monotonic() - started < 5, "the promise is 0.5 s; the rest is for a busy machine"
        assert_restored(session)


def test_leaving_at_once_where_a_port_is_silent(home: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        with console(home, f"127.0.0.1:{silent.getsockname()[1]}") as session:
            session.wait_for("no answer within")
            session.press("2")
            session.wait_for("Dead letters › groups")
            started = time.monotonic()
            session.press("q")
            assert session.end(20) == 0
            assert time.monotonic() - started < 5, "the promise is 0.5 s; the rest is for a busy machine"
            assert_restored(session)


def written(cluster: MockCluster) -> int:
    """How many records the topic has taken, asked from outside."""
    with ClusterReader(KafkaSettings(bootstrap_servers=cluster.bootstrap_servers)) as reader:
        marks = reader.watermarks(["atom.write.raw"]).by_topic["atom.write.raw"]
    return sum(mark.high for mark in marks.values() if mark is not None)


def rate_over(cluster: MockCluster, seconds: float) -> float:
    started, before = time.monotonic(), written(cluster)
    time.sleep(seconds)  # the length of the measurement
    return (written(cluster) - before) / (time.monotonic() - started)


@pytest.mark.timeout(180)
def test_a_terminal_that_nobody_reads_slows_nothing(home: Path, mock_cluster: MockCluster) -> None:
    path = workload_file(home / "day.jsonl", 60_000)
    with console(home, mock_cluster.bootstrap_servers) as session:
        session.wait_for("connected")
        start_workload(session, path, 1_500)
        before = rate_over(mock_cluster, 3)
        session.reading.clear()
        session.press("1")
        for step in range(60):  # whole repaints, until the line is full
            session.resize(100 + step % 40, 40)
            time.sleep(0.02)
        during = rate_over(mock_cluster, 20)
        assert not select.select([], [session.slave], [], 0)[1], "the line was full"
        assert during > before * 0.85
        assert session.process.poll() is None
        session.resize(120, 40)
        session.reading.set()
        session.wait(lambda: sums(session)[1] > before * 20, "the present numbers")
        session.press("q")
        assert session.end(20) == 0
        assert_restored(session)
        assert_accounted(*drained(session))


def test_what_others_write_to_the_descriptors_goes_to_the_log(home: Path) -> None:
    with console(home) as session:
        session.wait_for("refused")
        for number in (1, 2):
            descriptor = Path(f"/proc/{session.process.pid}/fd/{number}")
            assert descriptor.readlink() == home / "console.log"
            with descriptor.open("ab") as file:
                file.write(b"NATIVE-NOISE-%d\n" % number)
        session.press("q")
        assert session.end(20) == 0
        assert b"NATIVE-NOISE" not in session.raw
    assert (home / "console.log").read_bytes().count(b"NATIVE-NOISE") == 2


def test_no_color(home: Path) -> None:
    with console(home, NO_COLOR="1") as session:
        session.wait_for("refused")
        session.press("2")
        session.wait_for("Dead letters › groups")
        session.press("q")
        assert session.end(20) == 0
        codes = {code for group in re.findall(rb"\x1b\[([\d;]*)m", bytes(session.raw)) for code in group.split(b";")}
        assert not COLOURS & {int(code) for code in codes if code}


@pytest.mark.parametrize("command", ["", "console"])
def test_a_terminal_that_cannot_draw(home: Path, command: str) -> None:
    with console(home, "127.0.0.1:9", *command.split(), TERM="dumb") as session:
        assert session.end(20) == 2
        session.wait_for("cannot draw a screen")
        session.wait_for("next: ")
        assert b"\x1b" not in session.raw
    assert not (home / "dlq").exists(), "nothing was started"


def test_a_storm_of_resizes(home: Path, mock_cluster: MockCluster) -> None:
    path = workload_file(home / "day.jsonl", 20_000)
    with console(home, mock_cluster.bootstrap_servers) as session:
        session.wait_for("connected")
        start_workload(session, path, 1_000)
        for step in range(60):
            session.resize(20 + step * 7 % 220, 3 + step * 5 % 70)
        session.resize(100, 30)
        session.wait(lambda: session.text().splitlines()[-1].strip().endswith("quit"), "footer in the last line")
        session.wait(lambda: "FLOWING" in session.text(), "the first line")
        session.press("q")
        assert session.end(20) == 0
        assert_restored(session)


def test_stopped_before_the_screen_is_there(home: Path) -> None:
    with console(home) as session:
        session.wait(lambda: (home / "dlq").exists() or b"?1049h" in session.raw, "an engine that starts")
        os.kill(session.process.pid, signal.SIGTERM)
        assert session.end(20) == 143
        session.wait(lambda: b"?1049h" not in session.raw or session.restored, "the terminal as it was")


def test_an_engine_that_cannot_start_is_refused_with_the_terminal_as_it_was(home: Path) -> None:
    with console(home, ATOM_KAFKA_CERTIFICATE="nobody") as session:
        assert session.end(20) == 2
        assert_restored(session)
        assert b"nobody" in session.raw
        assert b"Traceback" not in session.raw
