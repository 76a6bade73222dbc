from __future__ import annotations

from pathlib import Path

import pytest

from tests.broker.handle import BrokerHandle
from tests.e2e.kills import run


@pytest.mark.crash
def test_durable_loses_nothing_when_the_process_is_killed(kafka: BrokerHandle, tmp_path: Path) -> None:
    account = run(kafka.bootstrap, kafka.create_topic(partitions=3), "durable", tmp_path / "dlq", kills=8, seed=1)
    assert account.accepted > 0
    assert account.lost == 0


@pytest.mark.crash
def test_async_loses_at_most_the_depth_that_was_shown(kafka: BrokerHandle, tmp_path: Path) -> None:
    account = run(kafka.bootstrap, kafka.create_topic(partitions=3), "async", tmp_path / "dlq", kills=4, seed=2)
    assert account.accepted > 0
    assert account.within_depth
