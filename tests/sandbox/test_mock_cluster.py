from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from confluent_kafka import Producer

from atom_console.errors import UnreachableError
from atom_console.sandbox import librdkafka
from atom_console.sandbox.librdkafka import MockUnavailableError
from atom_console.sandbox.mock_cluster import MockCluster


def _produce(bootstrap_servers: str, topic: str, **properties: object) -> list[str | None]:
    names: list[str | None] = []
    producer = Producer({"bootstrap.servers": bootstrap_servers, "linger.ms": 0, "log_level": 0} | properties)
    producer.produce(topic, b"x", on_delivery=lambda error, _: names.append(error and error.name()))
    producer.flush(5)
    return names


def test_a_client_delivers_to_it_and_requests_are_seen() -> None:
    with MockCluster(2) as cluster:
        assert len(cluster.bootstrap_servers.split(",")) == 2
        cluster.topic("t", partitions=2, replication=2)
        cluster.track()
        assert _produce(cluster.bootstrap_servers, "t") == [None]
        assert cluster.requests().count(0) == 1


def test_errors_are_injected_and_cleared() -> None:
    with MockCluster() as cluster:
        cluster.errors(44, 44)
        assert _produce(cluster.bootstrap_servers, "t") == ["POLICY_VIOLATION"]
        cluster.clear()
        assert _produce(cluster.bootstrap_servers, "t") == [None]
        cluster.topic_error("t", 29)
        assert _produce(cluster.bootstrap_servers, "t") == ["TOPIC_AUTHORIZATION_FAILED"]
        cluster.topic_error("t", 0)
        assert _produce(cluster.bootstrap_servers, "t") == [None]


def test_brokers_go_away_and_come_back() -> None:
    with MockCluster() as cluster:
        cluster.topic("t")
        cluster.down()
        assert _produce(cluster.bootstrap_servers, "t", **{"message.timeout.ms": 100}) == ["_MSG_TIMED_OUT"]
        cluster.up()
        assert _produce(cluster.bootstrap_servers, "t") == [None]


def test_answers_can_be_delayed_and_leaders_moved() -> None:
    with MockCluster(2) as cluster:
        cluster.topic("t", partitions=1, replication=2)
        cluster.leader("t", 0, 2)
        assert _produce(cluster.bootstrap_servers, "t") == [None]
        cluster.rtt(100)
        started = time.monotonic()
        assert _produce(cluster.bootstrap_servers, "t") == [None]
        assert time.monotonic() - started >= 0.1


def test_a_command_that_the_cluster_refuses_is_an_error() -> None:
    with MockCluster() as cluster, pytest.raises(UnreachableError, match="refused down"):
        cluster.down(broker=7)


def test_a_cluster_that_was_killed_is_said_to_be_gone() -> None:
    with MockCluster() as cluster:
        os.kill(cluster.pid, signal.SIGKILL)
        cluster._process.wait()
        with pytest.raises(UnreachableError, match="does not answer"):
            cluster.up()


def test_closing_ends_the_child_and_may_be_repeated() -> None:
    cluster = MockCluster()
    cluster.close()
    cluster.close()
    with pytest.raises(ProcessLookupError):
        os.kill(cluster.pid, 0)
    with pytest.raises(UnreachableError):
        cluster.up()


def test_the_child_does_not_outlive_a_parent_that_was_killed() -> None:
    script = (
        "from atom_console.sandbox.mock_cluster import MockCluster\n"
        "import time\n"
        "print(MockCluster().pid, flush=True)\n"
        "time.sleep(60)\n"
    )
    parent = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    child = int(parent.stdout.readline())
    parent.kill()
    parent.wait()
    parent.stdout.close()
    end = time.monotonic() + 10
    while Path(f"/proc/{child}").exists() and not _is_zombie(child):
        assert time.monotonic() < end, "the mock cluster outlived its parent"
        time.sleep(0.01)


def _is_zombie(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] == "Z"
    except FileNotFoundError:
        return True


# An unsuitable librdkafka is a sentence.


def test_another_version_is_refused_with_a_sentence() -> None:
    with pytest.raises(
        MockUnavailableError, match=r"librdkafka 2\.16\.\d+ is installed .* with 9\.9\.x only"
    ) as caught:
        librdkafka.load(version="9.9.")
    assert caught.value.next_step


def test_missing_symbols_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    wanted = librdkafka._SIGNATURES | {"rd_kafka_mock_no_such_thing": (None, [])}
    monkeypatch.setattr(librdkafka, "_SIGNATURES", wanted)
    with pytest.raises(MockUnavailableError, match="lacks rd_kafka_mock_no_such_thing"):
        librdkafka.load()


def test_a_library_that_does_not_load_is_a_sentence(tmp_path: Path) -> None:
    broken = tmp_path / "librdkafka.so"
    broken.write_bytes(b"not a library")
    with pytest.raises(MockUnavailableError, match=r"librdkafka\.so does not load"):
        librdkafka.load(broken)


def test_a_client_without_its_own_library_is_a_sentence(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "confluent_kafka").mkdir()
    (tmp_path / "confluent_kafka" / "__init__.py").touch()
    monkeypatch.setattr(librdkafka, "find_spec", lambda _: type("Spec", (), {"origin": str(tmp_path / "x" / "i.py")}))
    with pytest.raises(MockUnavailableError, match="brings no librdkafka"):
        librdkafka.library_path()
    monkeypatch.setattr(librdkafka, "find_spec", lambda _: None)
    with pytest.raises(MockUnavailableError, match="not installed"):
        librdkafka.library_path()


def test_what_the_child_cannot_do_reaches_the_parent(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The child finds another confluent_kafka first, one without a library."""
    (tmp_path / "confluent_kafka").mkdir()
    (tmp_path / "confluent_kafka" / "__init__.py").touch()
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    with pytest.raises(MockUnavailableError, match="brings no librdkafka"):
        MockCluster()
