"""The console on the real Kafka, whose broker goes away and comes back under load."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from tests.broker.broker import KafkaBroker
from tests.e2e.delivery import in_the_store, on_the_broker
from tests.pty.real import console, drained, start_workload, sums, workload_file
from tests.ui.pty_session import PtySession

pytestmark = [pytest.mark.pty, pytest.mark.crash]

PROMISED_S = 3.0
BUSY_MACHINE_S = 3.0
"""What a loaded machine may add to a promise."""


def seen_within(session: PtySession, words: str, since: float) -> None:
    session.wait_for(words, 20)
    took = time.monotonic() - since
    assert took < PROMISED_S + BUSY_MACHINE_S, f"{words!r} after {took:.1f} s"


def usable(session: PtySession) -> None:
    """Rooms, a dialog and the command line answer."""
    session.press("2")
    session.wait_for("Dead letters › groups")
    session.press("?")
    session.wait_for("esc closes")
    session.press("\x1b")
    session.wait(lambda: "esc closes" not in session.text(), "the closed help")
    session.press(":rate 0.5\r")
    session.wait_for("Set the refresh rate to 0.5 s.")
    session.press("1")
    session.wait_for("PRODUCER")


@pytest.mark.timeout(180)
def test_a_broker_stopped_started_and_frozen_under_load(own_broker: KafkaBroker, tmp_path: Path) -> None:
    handle = own_broker.handle
    topic = handle.create_topic(partitions=4)
    path = workload_file(tmp_path / "day.jsonl", 100_000)
    environ = {"ATOM_KAFKA_TOPIC": topic, "ATOM_KAFKA_MESSAGE_TIMEOUT_MS": "3000"}
    with console(tmp_path, handle.bootstrap, **environ) as session:
        session.wait_for(f"{handle.cluster_id} · connected · 1 broker")
        start_workload(session, path, 1_500)

        own_broker.kill()
        since = time.monotonic()
        seen_within(session, "DISCONNECTED", since)
        seen_within(session, "NOT FLOWING", since)
        seen_within(session, f"Connection refused {handle.bootstrap}", since)
        usable(session)
        session.wait(lambda: " 0 kept in the DLQ" not in session.text(), "events that timed out")
        session.wait_for("_MSG_TIMED_OUT")
        session.wait_for("others of that time twice")
        session.press("2")
        session.wait_for("outage")
        session.wait_for("DISCONNECTED")  # the mark stays, in every room
        session.press("1")

        own_broker.restart()
        session.wait_for("connected · 1 broker")
        session.wait_for("FLOWING")
        before = sums(session)[1]
        session.wait(lambda: sums(session)[1] > before + 1_000, "acknowledged events again", 30)

        own_broker.pause()
        since = time.monotonic()
        seen_within(session, " old", since)
        session.wait_for("DISCONNECTED")
        session.wait_for("no answer within")
        usable(session)
        own_broker.resume()
        session.wait_for("connected · 1 broker", 30)
        before = sums(session)[1]
        session.wait(lambda: sums(session)[1] > before + 500, "acknowledged events after the pause", 30)

        session.press("q")
        assert session.end(30) == 0
        session.wait(lambda: session.restored, "the terminal as it was")
        accepted, acked, kept = drained(session)

    assert acked + kept == accepted
    stored = {record.value for record in in_the_store(tmp_path / "dlq")}
    assert len(stored) == kept > 0
    records = on_the_broker(handle.bootstrap, topic)
    # Events that timed out may leave others twice (tests/e2e/test_time_outs.py), never any of them nowhere.
    arrived = {record.value for record in records}
    assert len(arrived | stored) == accepted, "each accepted event is on the broker or on the disk"
