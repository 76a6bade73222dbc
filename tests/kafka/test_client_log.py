from __future__ import annotations

import logging

import pytest

from atom_console.kafka import client_log


def test_a_sentence_is_written_once_a_minute_and_then_with_its_count(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    monkeypatch.setattr(client_log.time, "monotonic", lambda: now[0])
    once = client_log.OncePerMinute()

    def told(text: str) -> str | None:
        record = logging.LogRecord("x", logging.ERROR, "", 0, text, (), None)
        return record.getMessage() if once.filter(record) else None

    refused = "FAIL [atom#producer-{}]: Connection refused (after {}ms in state CONNECT)"
    assert told(refused.format(1, 0)) == refused.format(1, 0)
    assert told(refused.format(2, 17)) is None
    assert told("Another sentence") == "Another sentence"
    now[0] = 61.0
    assert told(refused.format(1, 3)) == refused.format(1, 3) + " (1 more like it since)"


def test_the_memory_of_sentences_is_bounded() -> None:
    once = client_log.OncePerMinute()
    for number in range(1_000):
        once.filter(
            logging.LogRecord("x", logging.ERROR, "", 0, f"sentence {chr(65 + number % 26) * number}", (), None)
        )
    assert len(once._seen) <= 256
