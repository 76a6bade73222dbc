"""What the guard makes of a topic's configuration, from answers as an admin client gives them."""

from __future__ import annotations

import time
from concurrent.futures import Future
from types import SimpleNamespace
from typing import Any

import pytest

from atom_console.kafka.timestamps import TimestampGuard, out_of_bounds

HOUR_MS = 3_600_000


def _guard(monkeypatch: pytest.MonkeyPatch, answer: dict[str, str] | Exception | None) -> TimestampGuard:
    future: Future[Any] = Future()
    if isinstance(answer, Exception):
        future.set_exception(answer)
    elif answer is not None:
        future.set_result({name: SimpleNamespace(value=value) for name, value in answer.items()})
    monkeypatch.setattr(TimestampGuard, "_ask", lambda _self, _topic: future)
    return TimestampGuard(dict)


@pytest.mark.parametrize(
    ("answer", "retention_ms"),
    [
        ({"retention.ms": "86400000", "cleanup.policy": "delete"}, 86_400_000),
        ({"retention.ms": "86400000", "cleanup.policy": "compact,delete"}, 86_400_000),
        ({"retention.ms": "86400000", "cleanup.policy": "compact"}, None),
        ({"retention.ms": "86400000", "message.timestamp.type": "LogAppendTime"}, None),
        ({"retention.ms": "-1"}, None),
        ({"retention.ms": "soon"}, None),
        ({}, None),
        (RuntimeError("no permission"), None),
        (None, None),
    ],
    ids=str,
)
def test_retention_counts_only_where_it_deletes_by_the_events_own_time(
    monkeypatch: pytest.MonkeyPatch, answer: Any, retention_ms: int | None
) -> None:
    guard = _guard(monkeypatch, answer)
    bounds = guard.bounds("t")
    guard.refresh()
    guard.refresh()
    assert bounds.retention_ms == retention_ms
    now_ms = int(time.time() * 1000)
    if retention_ms is None:
        assert bounds.oldest_ms < -(2**62)
    else:
        assert abs(bounds.oldest_ms - (now_ms - retention_ms)) < 5_000
    assert abs(bounds.newest_ms - (now_ms + HOUR_MS)) < 5_000


@pytest.mark.parametrize(("allowed", "ahead_ms"), [("60000", 60_000), (str(2**63 - 1), HOUR_MS)])
def test_an_hour_ahead_is_flagged_and_less_where_the_topic_allows_less(
    monkeypatch: pytest.MonkeyPatch, allowed: str, ahead_ms: int
) -> None:
    guard = _guard(monkeypatch, {"message.timestamp.after.max.ms": allowed})
    bounds = guard.bounds("t")
    guard.refresh()
    guard.refresh()
    assert bounds.ahead_ms == ahead_ms


def test_the_broker_is_asked_once_and_not_again_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    done: Future[Any] = Future()
    done.set_result({})

    def ask(_self: TimestampGuard, topic: str) -> Future[Any]:
        asked.append(topic)
        return done

    monkeypatch.setattr(TimestampGuard, "_ask", ask)
    guard = TimestampGuard(dict)
    guard.bounds("a")
    guard.bounds("b")
    for _ in range(5):
        guard.refresh()
    assert sorted(asked) == ["a", "b"]


def test_a_warning_names_the_retention(monkeypatch: pytest.MonkeyPatch) -> None:
    guard = _guard(monkeypatch, {"retention.ms": str(7 * 24 * HOUR_MS)})
    bounds = guard.bounds("t")
    guard.refresh()
    guard.refresh()
    warning = out_of_bounds("t", bounds.oldest_ms - 1, bounds)
    assert (
        warning.why == "the event's time is older than the topic's retention (7 days): it is acknowledged, then deleted"
    )
