from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from confluent_kafka import KafkaError, KafkaException, Producer

from tests.broker.broker import KafkaBroker
from tests.broker.handle import SILENT, BrokerHandle, wait_until
from tests.broker.ports import free_ports
from tests.broker.quorum import KafkaCluster

_ROOT = Path(__file__).parents[2]


def _send(properties: dict[str, str], topic: str, value: bytes = b"x") -> KafkaError | None:
    producer = Producer(properties | {"log_level": 0}, logger=SILENT)
    reports: list[KafkaError | None] = []
    producer.produce(topic, value, on_delivery=lambda error, _: reports.append(error))
    assert producer.flush(15) == 0
    return reports[0]


def _alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_the_shared_broker_answers_with_its_cluster_id(kafka: BrokerHandle) -> None:
    admin = kafka.admin()
    assert admin.list_topics(timeout=5).cluster_id == kafka.cluster_id


def test_a_client_without_a_grant_is_refused_and_with_one_is_not(kafka: BrokerHandle) -> None:
    topic = kafka.create_topic()
    client = kafka.ssl_properties("granted-later")
    refused = _send(client, topic)
    assert refused is not None
    assert refused.code() == KafkaError.TOPIC_AUTHORIZATION_FAILED
    kafka.grant("granted-later", topic)
    wait_until(lambda: _send(client, topic) is None, 10, "the grant holds")
    assert kafka.end_offsets(topic) == {0: 1}
    kafka.revoke("granted-later", topic)
    wait_until(lambda: _send(client, topic) is not None, 10, "the grant is gone")


def test_the_ssl_listener_wants_a_certificate(kafka: BrokerHandle) -> None:
    properties = {key: value for key, value in kafka.ssl_properties("nobody").items() if "certificate" not in key}
    properties.pop("ssl.key.location")
    producer = Producer(properties | {"message.timeout.ms": 1500, "log_level": 0}, logger=SILENT)
    with pytest.raises(KafkaException) as refused:
        producer.list_topics(timeout=2)
    assert refused.value.args[0].code() in {KafkaError._TRANSPORT, KafkaError._TIMED_OUT}


def test_topics_are_not_made_by_writing(kafka: BrokerHandle) -> None:
    error = _send({"bootstrap.servers": kafka.bootstrap, "message.timeout.ms": "3000"}, kafka.topic_name())
    assert error is not None


def test_dump_log_names_the_codec(kafka: BrokerHandle) -> None:
    topic = kafka.create_topic()
    assert _send({"bootstrap.servers": kafka.bootstrap, "compression.type": "zstd"}, topic, b"abc" * 100) is None
    plain = kafka.create_topic()
    assert _send({"bootstrap.servers": kafka.bootstrap}, plain) is None
    dumped = kafka.dump_log(topic, plain)
    assert "compresscodec: zstd" in dumped[topic]
    assert "compresscodec: none" in dumped[plain]


def test_a_deleted_topic_is_gone(kafka: BrokerHandle) -> None:
    topic = kafka.create_topic()
    kafka.delete_topic(topic)
    admin = kafka.admin()
    assert topic not in admin.list_topics(timeout=5).topics


@pytest.mark.crash
def test_data_survives_a_kill_and_the_ports_stay(own_broker: KafkaBroker) -> None:
    topic = own_broker.handle.create_topic()
    client = {"bootstrap.servers": own_broker.handle.bootstrap}
    assert _send(client, topic) is None
    before = own_broker.handle
    own_broker.kill()
    assert not own_broker.running
    own_broker.restart()
    assert own_broker.handle == before
    assert own_broker.handle.end_offsets(topic) == {0: 1}
    assert _send(client, topic) is None


@pytest.mark.crash
def test_a_paused_broker_answers_nobody_until_it_continues(own_broker: KafkaBroker) -> None:
    admin = own_broker.handle.admin()
    admin.list_topics(timeout=5)
    own_broker.pause()
    with pytest.raises(KafkaException):
        admin.list_topics(timeout=0.5)
    own_broker.resume()
    wait_until(lambda: bool(admin.list_topics(timeout=1).brokers), 10, "it answers again")


@pytest.mark.crash
def test_a_cluster_goes_on_without_its_leader(make_cluster: Callable[..., KafkaCluster]) -> None:
    cluster = make_cluster()
    topic = cluster.handle.create_topic(replication=3)
    client = {"bootstrap.servers": cluster.handle.bootstrap}
    assert _send(client, topic) is None
    cluster.leader(topic).kill()
    assert _send(client, topic) is None
    assert cluster.handle.end_offsets(topic) == {0: 2}


_OWN = """
import os, pathlib, sys
from tests.broker.broker import KafkaBroker
broker = KafkaBroker(pathlib.Path(sys.argv[1]))
broker.start()
print(broker.pid, flush=True)
os.kill(os.getpid(), 9)
"""
_SHARED = """
import os, pathlib, re, sys
from tests.broker.keeper import shared_broker
with shared_broker(pathlib.Path(sys.argv[1])) as first, shared_broker(pathlib.Path(sys.argv[1])) as second:
    assert first == second
    for process in pathlib.Path("/proc").glob("[0-9]*"):
        words = (process / "cmdline").read_bytes().split(b"\\0") if os.access(process / "cmdline", os.R_OK) else []
        if words[0:1] == [b"java"] and os.fsencode(first.directory / "server.properties") in words:
            print(process.name, flush=True)
            os.kill(os.getpid(), 9)
"""


@pytest.mark.crash
@pytest.mark.usefixtures("kafka")  # skips where there is no Java
@pytest.mark.parametrize("program", [_OWN, _SHARED], ids=["own", "shared"])
def test_a_broker_dies_with_the_process_that_uses_it(program: str, tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path / "b")],
        cwd=_ROOT,
        env=os.environ | {"PYTHONPATH": str(_ROOT)},
        capture_output=True,
        text=True,
        timeout=90,
        check=False,
    )
    assert done.returncode == -9, done.stderr
    pid = int(done.stdout)
    wait_until(lambda: not _alive(pid), 10, "the broker's process is gone")


@pytest.mark.parametrize(("required", "outcome"), [("", "1 skipped"), ("1", "1 error")])
def test_without_java_there_is_one_line_or_a_failure(required: str, outcome: str, tmp_path: Path) -> None:
    chosen = f"{__file__}::test_a_deleted_topic_is_gone"
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", f"--basetemp={tmp_path / 't'}", chosen],
        cwd=_ROOT,
        # With CI set, pytest says in its summary again, uncut, what a failed fixture said.
        env=os.environ | {"PATH": str(tmp_path), "ATOM_TEST_REQUIRE_KAFKA": required, "CI": "", "BUILD_NUMBER": ""},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert outcome in done.stdout
    assert done.stdout.count("no real Kafka here: Java 17 or newer is missing") == 1


def test_free_ports_are_different_and_below_the_outgoing_range() -> None:
    ports = free_ports(20)
    lowest = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    assert len(set(ports)) == 20
    assert max(ports) < lowest
