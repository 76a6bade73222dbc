"""A store, and the settings of the shared broker."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from atom_console.config import KafkaSettings, load
from atom_console.dlq.store import Store
from tests.broker.handle import BrokerHandle


@pytest.fixture
def broker_settings(kafka: BrokerHandle) -> KafkaSettings:
    return load(overrides=[f"kafka.bootstrap_servers={kafka.bootstrap}"], environ={}).settings.kafka


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store.open(tmp_path / "store") as opened:
        yield opened
