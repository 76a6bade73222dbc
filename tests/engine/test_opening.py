"""The engine behind the first frame: what is not open is not known, and nothing is opened twice or too late."""

from __future__ import annotations

import threading

import pytest

from atom_console.config import load
from atom_console.engine.commands import Refresh
from atom_console.engine.engine import Engine
from atom_console.engine.opening import OpeningEngine
from atom_console.engine.session import session_section
from atom_console.engine.snapshot import SessionSection
from atom_console.errors import InputError, RefusedError

SESSION = SessionSection(profile="prod", word="PROD", read_only=True)


def never() -> Engine:
    raise AssertionError("it was started")


def test_only_the_session_is_known_before() -> None:
    engine = OpeningEngine(SESSION, never)
    seen = engine.snapshot()
    assert seen.session == SESSION
    assert (seen.producer.age_s, seen.producer.accepted, seen.dlq.total) == (None, None, None)
    assert (seen.cluster.age_s, seen.cluster.connection.state) == (None, "connecting")
    assert list(engine.receipts()) == []


def test_the_first_who_needs_it_opens_it_and_the_others_wait() -> None:
    loaded = load(environ={}, overrides=["read_only=true"])
    started: list[Engine] = []
    go = threading.Event()

    def start() -> Engine:
        go.wait(10)
        started.append(Engine(loaded))
        return started[-1]

    engine = OpeningEngine(session_section(loaded), start)
    found: list[object] = []
    waiting = [threading.Thread(target=lambda: found.append(engine.dead_letters)) for _ in range(3)]
    for thread in waiting:
        thread.start()
    assert engine.snapshot().producer.age_s is None, "a look waits for nothing"
    go.set()
    for thread in waiting:
        thread.join()
    assert len(started) == 1
    assert found == [started[0].dead_letters] * 3
    assert engine.schemas is started[0].schemas


def test_what_keeps_it_from_starting_is_told() -> None:
    def start() -> Engine:
        raise InputError("no such certificate")

    engine = OpeningEngine(SESSION, start)
    assert engine.dead_letters is None
    with pytest.raises(InputError, match="no such certificate"):
        engine.open()
    assert engine.drain(1.0).saved
    engine.stop()


def test_after_the_end_nothing_is_opened() -> None:
    engine = OpeningEngine(SESSION, never)
    assert engine.drain(1.0).saved
    engine.open()
    engine.stop()
    with pytest.raises(RefusedError):
        engine.submit(Refresh())
