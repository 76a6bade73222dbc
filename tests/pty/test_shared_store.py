"""One store, two consoles and a service that produces into it: all tell the same numbers."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from atom_console import Producer
from atom_console.dlq.reader import Reader
from atom_console.sandbox.mock_cluster import MockCluster
from tests.e2e.delivery import many_events, settings_for
from tests.pty.real import console, drained, start_workload, workload_file
from tests.ui.pty_session import PtySession

pytestmark = pytest.mark.pty


def shows(session: PtySession, total: int) -> bool:
    """Both the line of rooms and the room's own path name this many records."""
    text = session.text()
    return f"[2 Dead letters] {total:,} " in text and f"{total:,} records · " in text


@pytest.mark.timeout(180)
def test_everybody_sees_the_same_numbers(home: Path, mock_cluster: MockCluster) -> None:
    path = workload_file(home / "day.jsonl", 40_000)
    servers, store = mock_cluster.bootstrap_servers, home / "dlq"
    settings = settings_for(servers, "atom.write.raw", message_timeout_ms=1_000)
    environ = {"ATOM_KAFKA_MESSAGE_TIMEOUT_MS": "1000"}
    with (
        console(home, servers, **environ) as first,
        console(home, servers, ATOM_LOG_FILE=str(home / "second.log"), **environ) as second,
        Producer(settings, component="service", dlq_dir=store) as service,
    ):
        for session in (first, second):
            session.wait_for("connected")
        start_workload(first, path, 1_000)
        mock_cluster.down()
        for session in (first, second):
            session.wait_for("DISCONNECTED", 30)
            session.press("2")
        for event in many_events(2_000, seed=77):
            service.publish(event)
        service.wait_for_reports(20)
        assert service.snapshot().captured == 2_000

        first.press("1x")  # the workload stops, and what it had in flight times out
        first.wait_for("events sent.")
        first.wait(lambda: " 0 wait," in first.text(), "nothing in flight", 30)
        total = 2_000 + kept_by(first)
        assert total > 2_000, "the first console's dead letters are there too"
        first.press("2")
        for session in (first, second):
            session.wait(lambda session=session: shows(session, total), f"{total:,} records", 30)
        assert command_says(home) == total

        for session in (second, first):
            session.press("q")
            assert session.end(20) == 0
        accepted, acked, kept = drained(first)
        assert acked + kept == accepted
        assert kept + 2_000 == total
    with closing(Reader(store)) as reader:
        assert reader.stats().depth == total
        assert {group.count for group in reader.groups()} == {total}, "alike, whoever captured them"


def kept_by(session: PtySession) -> int:
    found = re.search(r"([\d,]+) kept in the DLQ", session.text())
    assert found is not None
    return int(found[1].replace(",", ""))


def command_says(home: Path) -> int:
    """What a third process counts."""
    done = subprocess.run(
        [sys.executable, "-m", "atom_console", "dlq", "stats", "--json"],
        env={**os.environ, "ATOM_DLQ_DIR": str(home / "dlq"), "HOME": str(home)},
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    counted: int = json.loads(done.stdout)["depth"]
    return counted
