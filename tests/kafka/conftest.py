from __future__ import annotations

from collections.abc import Iterator
from itertools import count

import pytest

from atom_console.sandbox.mock_cluster import MockCluster
from atom_console.sandbox.workload import Workload

_topics = count(1)


@pytest.fixture(scope="module")
def mock_cluster() -> Iterator[MockCluster]:
    with MockCluster() as cluster:
        yield cluster


@pytest.fixture
def mock_topic(mock_cluster: MockCluster) -> str:
    name = f"topic-{next(_topics)}"
    mock_cluster.topic(name, partitions=1)
    return name


@pytest.fixture
def workload() -> Workload:
    return Workload(seed=7)
