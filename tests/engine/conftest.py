from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from atom_console.config import Loaded, load
from atom_console.sandbox.mock_cluster import MockCluster
from atom_console.sandbox.workload import Workload


@pytest.fixture(scope="module")
def cluster() -> Iterator[MockCluster]:
    with MockCluster() as mock:
        mock.topic("atom.write.raw", 3)
        yield mock


@pytest.fixture
def loaded_for(tmp_path: Path) -> Callable[..., Loaded]:
    """Settings that see nothing of the machine: `loaded_for("127.0.0.1:1", "dlq.mode=durable")`."""
    config = tmp_path / "config.toml"
    config.touch()

    def make(servers: str, *overrides: str, **options: Any) -> Loaded:
        own = (f"kafka.bootstrap_servers={servers}", f"dlq.dir={tmp_path / 'dlq'}", "dlq.min_free_bytes=1MiB")
        return load(config_file=config, environ={}, overrides=(*own, *overrides), **options)

    return make


@pytest.fixture
def workload() -> Workload:
    return Workload(seed=3)
