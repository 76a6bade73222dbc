"""Fixtures for every room. A test that uses one of these runs against Apache Kafka 4.3.1, and gets the mark `kafka`:

- `kafka` (session): the `BrokerHandle` of one broker that all tests and all xdist workers share. Make topics with
  `kafka.create_topic(partitions=…, configs={…})` (a fresh name each), certificates with `kafka.identity("name")` or
  `kafka.ssl_properties("name")`, permissions with `kafka.grant("name", topic)`. Never stop or slow this broker.
- `kafka_topic`: a fresh topic of the shared broker, three partitions.
- `own_broker`: a started `KafkaBroker` for this test alone: `stop`, `kill`, `pause`, `resume`, `restart` (the same
  ports and data), `handle`. Takes about 3 s.
- `make_broker`: `make_broker(properties={…}, tls=ListenerTls(keystore, truststore))`, as many as the test needs.
- `make_cluster`: `make_cluster(count=3)`, brokers of one cluster, started.

Where Java 17 or Maven is missing these tests are skipped; `ATOM_TEST_REQUIRE_KAFKA=1` turns that into a failure. The
libraries are fetched once into `tests/broker/.cache` (`ATOM_TEST_KAFKA_CACHE` names another directory). When such a
test fails, the end of the broker's log is part of its report. Brokers die with the processes that use them.
"""

from __future__ import annotations

import gc
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Generator, Iterator
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from tests.broker.broker import KafkaBroker
    from tests.broker.handle import BrokerHandle
    from tests.broker.quorum import KafkaCluster

_KAFKA_FIXTURES = {"kafka", "kafka_topic", "own_broker", "make_broker", "make_cluster"}


def pytest_configure() -> None:
    """A runner in the background ignores these, and every child would inherit that."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGHUP, signal.SIG_DFL)


def pytest_collection_finish(session: pytest.Session) -> None:
    """What was imported is never garbage: looking through it again and again was a sixth of the screen tests' time."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 50)
    alone = os.environ.get("PYTEST_XDIST_WORKER", "gw0") == "gw0" and not session.config.option.collectonly
    if alone and any(map(_needs_broker, session.items)):
        command = [sys.executable, "-m", "tests.broker.archive"]
        quiet = subprocess.DEVNULL  # what it cannot do, the tests will say
        preparing = subprocess.Popen(command, cwd=session.config.rootpath, stdin=quiet, stdout=quiet, stderr=quiet)
        session.config.add_cleanup(lambda: preparing.wait() and None)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The screen's tests need no broker: they go first, while one is fetched."""
    for item in items:
        if _needs_broker(item):
            item.add_marker("kafka")
    items.sort(key=lambda item: "ui" not in item.path.parts)


def _needs_broker(item: pytest.Item) -> bool:
    return bool(_KAFKA_FIXTURES.intersection(getattr(item, "fixturenames", ())))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, Any, Any]:
    report: Any = yield
    if report.failed and item.get_closest_marker("kafka"):
        for name, value in getattr(item, "funcargs", {}).items():
            if name in _KAFKA_FIXTURES and hasattr(value, "log_tail"):
                report.sections.append((f"the broker of {name}", value.log_tail()))
    return report


def _need_kafka() -> None:
    from tests.broker.libraries import missing

    reason = missing()
    if reason is None:
        from tests.broker.archive import prepare

        prepare()
        return
    if os.environ.get("ATOM_TEST_REQUIRE_KAFKA") == "1":
        pytest.fail(reason, pytrace=False)
    pytest.skip(reason)


@pytest.fixture(scope="session")
def kafka(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> Iterator[BrokerHandle]:
    _need_kafka()
    from tests.broker.keeper import shared_broker

    base = tmp_path_factory.getbasetemp()
    with shared_broker((base if worker_id == "master" else base.parent) / "kafka") as handle:
        yield handle


@pytest.fixture
def kafka_topic(kafka: BrokerHandle) -> str:
    return kafka.create_topic(partitions=3)


@pytest.fixture
def make_broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., KafkaBroker]]:
    _need_kafka()
    from tests.broker.broker import KafkaBroker

    with ExitStack() as running:
        yield lambda **options: running.enter_context(KafkaBroker(tmp_path_factory.mktemp("broker"), **options))


@pytest.fixture
def own_broker(make_broker: Callable[..., KafkaBroker]) -> KafkaBroker:
    return make_broker()


@pytest.fixture
def make_cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., KafkaCluster]]:
    _need_kafka()
    from tests.broker.quorum import KafkaCluster

    with ExitStack() as running:
        yield lambda **options: running.enter_context(KafkaCluster(tmp_path_factory.mktemp("cluster"), **options))
