"""Fixtures of the tests that drive the real program through a pseudo terminal."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from atom_console.sandbox.mock_cluster import MockCluster


@pytest.fixture
def mock_cluster() -> Iterator[MockCluster]:
    with MockCluster() as cluster:
        cluster.topic("atom.write.raw", 4)
        yield cluster


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path
