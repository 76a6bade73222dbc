from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest
from confluent_kafka import Consumer, Producer

from atom_console.config import KafkaSettings
from atom_console.errors import AtomError
from atom_console.kafka.cluster import ClusterReader, UnknownTopicError
from atom_console.kafka.cluster_view import Watermark, rates
from atom_console.kafka.reachability import BrokerUnreachableError
from atom_console.sandbox.mock_cluster import MockCluster
from tests.broker.broker import KafkaBroker
from tests.broker.handle import SILENT, BrokerHandle, wait_until
from tests.broker.ports import free_ports
from tests.broker.quorum import KafkaCluster


def _settings(bootstrap: str, **more: Any) -> KafkaSettings:
    return KafkaSettings(bootstrap_servers=bootstrap, **more)


def _fill(bootstrap: str, topic: str, count: int, partitions: int = 1, timestamp: int = 0) -> None:
    producer = Producer({"bootstrap.servers": bootstrap}, logger=SILENT)
    for number in range(count):
        producer.produce(topic, b"v%d" % number, partition=number % partitions, timestamp=timestamp)
    assert producer.flush(15) == 0


def test_a_view_names_cluster_brokers_topics_and_leaders(kafka: BrokerHandle) -> None:
    topic = kafka.create_topic(partitions=3)
    with ClusterReader(_settings(kafka.bootstrap)) as reader:
        view = reader.view()
        assert view.cluster_id == kafka.cluster_id
        assert [(one.node_id, one.address) for one in view.brokers] == [(1, kafka.bootstrap)]
        found = view.topics[topic]
        assert [(p.number, p.leader, p.in_sync) for p in found.partitions] == [(0, 1, (1,)), (1, 1, (1,)), (2, 1, (1,))]
        assert found.under_replicated == 0
        assert abs(view.read_at_ns - time.time_ns()) < 5_000_000_000
        assert view.brokers[0].state is None, "not known before the first statistics"
        wait_until(lambda: reader.view().brokers[0].state == "UP", 5, "the state of the connection is known")


def test_watermarks_and_rates_come_from_two_reads(kafka: BrokerHandle) -> None:
    topic, idle = kafka.create_topic(partitions=3), kafka.create_topic()
    _fill(kafka.bootstrap, topic, 7, 3)
    with ClusterReader(_settings(kafka.bootstrap)) as reader:
        before = reader.watermarks([topic, idle, "no-such-topic"])
        assert before.by_topic == {
            topic: {0: Watermark(0, 3), 1: Watermark(0, 2), 2: Watermark(0, 2)},
            idle: {0: Watermark(0, 0)},
        }
        assert before.messages(topic) == 7
        assert before.messages(idle) == 0
        assert before.messages("no-such-topic") is None
        _fill(kafka.bootstrap, topic, 30, 3)
        after = reader.watermarks([topic, idle])
    grown = rates(before, after)
    assert grown[topic] == pytest.approx(30 / (after.at_s - before.at_s))
    assert grown[idle] == 0.0
    assert rates(after, before)[topic] is None, "time went back"


def test_a_topic_made_again_has_no_rate(kafka: BrokerHandle) -> None:
    topic = kafka.create_topic()
    _fill(kafka.bootstrap, topic, 5)
    with ClusterReader(_settings(kafka.bootstrap)) as reader:
        before, first_id = reader.watermarks([topic]), reader.topic_ids([topic])[topic]
        kafka.delete_topic(topic)
        kafka.create_topic(topic)
        after, second_id = reader.watermarks([topic]), reader.topic_ids([topic])[topic]
    assert rates(before, after)[topic] is None
    assert first_id is not None
    assert second_id is not None
    assert first_id != second_id


def test_many_partitions_are_read_in_one_batch(kafka: BrokerHandle) -> None:
    topic = kafka.create_topic(partitions=100)
    with ClusterReader(_settings(kafka.bootstrap)) as reader:
        marks = reader.watermarks([topic])
    assert marks.by_topic[topic] == {number: Watermark(0, 0) for number in range(100)}


def test_configurations_of_topics(kafka: BrokerHandle) -> None:
    topic = kafka.create_topic(configs={"retention.ms": -1, "max.message.bytes": 4096, "cleanup.policy": "compact"})
    with ClusterReader(_settings(kafka.bootstrap)) as reader:
        found = reader.topic_configs([topic, "no-such-topic"])
    assert (found[topic].retention_ms, found[topic].max_message_bytes) == (-1, 4096)
    assert found[topic].cleanup_policy == "compact"
    assert found[topic].entries["min.insync.replicas"] == "1"
    assert found["no-such-topic"].retention_ms is None


def test_offsets_at_a_time(kafka: BrokerHandle) -> None:
    topic = kafka.create_topic(partitions=2)
    now = time.time_ns() // 1_000_000
    for age in (30_000, 20_000, 10_000):
        _fill(kafka.bootstrap, topic, 1, timestamp=now - age)
    with ClusterReader(_settings(kafka.bootstrap)) as reader:
        assert reader.offsets_at(topic, now - 40_000) == {0: 0, 1: 0}
        assert reader.offsets_at(topic, now - 20_000) == {0: 1, 1: 0}
        assert reader.offsets_at(topic, now) == {0: 3, 1: 0}
        with pytest.raises(UnknownTopicError, match="no-such-topic"):
            reader.offsets_at("no-such-topic", now)


def test_groups_with_their_lag(kafka: BrokerHandle) -> None:
    topic = kafka.create_topic(partitions=2)
    _fill(kafka.bootstrap, topic, 10, 2)
    group = kafka.topic_name("group")
    consumer = Consumer(
        {"bootstrap.servers": kafka.bootstrap, "group.id": group, "auto.offset.reset": "earliest"}, logger=SILENT
    )
    try:
        consumer.subscribe([topic])
        wait_until(lambda: (got := consumer.poll(0.2)) is not None and got.error() is None, 20, "one record arrived")
        consumer.commit(asynchronous=False)
        with ClusterReader(_settings(kafka.bootstrap)) as reader:
            found = {one.group_id: one for one in reader.groups()}[group]
            assert found.state == "stable"
            assert found.lag_by_topic == {topic: found.lag}
            # One record was committed of five in its partition; the other partition has no commit.
            assert found.lag == 4
            without = {one.group_id: one for one in reader.groups(reader.watermarks([]))}[group]
            assert without.lag is None
            assert without.lag_by_topic == {topic: None}
    finally:
        consumer.close()


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_a_refused_port_is_named_within_a_second(host: str) -> None:
    (port,) = free_ports(1)
    begun = time.monotonic()
    with ClusterReader(_settings(f"{host}:{port}")) as reader, pytest.raises(BrokerUnreachableError) as refused:
        reader.view()
    assert time.monotonic() - begun < 1.0
    assert refused.value.address == f"{host}:{port}"
    assert "Connection refused" in refused.value.cause
    assert str(refused.value).startswith(f"Kafka at {host}:{port}: Connect to ")
    assert refused.value.exit_code == 4
    assert refused.value.next_step


def test_one_of_two_servers_is_enough(kafka: BrokerHandle) -> None:
    (port,) = free_ports(1)
    with ClusterReader(_settings(f"127.0.0.1:{port},{kafka.bootstrap}")) as reader:
        assert reader.view().cluster_id == kafka.cluster_id


def test_a_name_that_does_not_resolve(kafka: BrokerHandle) -> None:
    with ClusterReader(_settings("no-such-host.invalid:9092")) as reader:
        with pytest.raises(BrokerUnreachableError, match="Failed to resolve") as unknown:
            reader.view()
    assert "name" in (unknown.value.next_step or "")


def test_mutual_tls_and_its_refusal(kafka: BrokerHandle) -> None:
    kafka.grant("reader", topic := kafka.create_topic())
    identity = kafka.identity("reader")
    trusted = {"security_protocol": "ssl", "ssl_ca_location": identity.ca}
    own = {"ssl_certificate_location": identity.cert, "ssl_key_location": identity.key}
    with ClusterReader(_settings(kafka.ssl_bootstrap, **trusted, **own)) as reader:
        assert list(reader.view().topics) == [topic], "a principal sees what it may describe"
        with pytest.raises(UnknownTopicError, match="may not describe"):
            reader.topic(kafka.create_topic())
    with ClusterReader(_settings(kafka.ssl_bootstrap, **trusted)) as reader:
        with pytest.raises(BrokerUnreachableError) as refused:
            reader.view()
    assert refused.value.address == kafka.ssl_bootstrap
    assert "bad certificate" in refused.value.cause
    assert "certs verify" in (refused.value.next_step or "")
    assert kafka.ssl_bootstrap in (refused.value.next_step or "")


@pytest.mark.crash
def test_a_broker_that_stops_answering_and_one_that_died(own_broker: KafkaBroker) -> None:
    bootstrap = own_broker.handle.bootstrap
    with ClusterReader(_settings(bootstrap), timeout_s=1.0) as reader:
        reader.view()
        own_broker.pause()
        begun = time.monotonic()
        with pytest.raises(BrokerUnreachableError, match=r"no answer within 1\.\d s"):
            reader.watermarks()
        assert time.monotonic() - begun < 2.0
        own_broker.resume()
        wait_until(lambda: _answers(reader), 10, "it answers again")
        own_broker.kill()
        with pytest.raises(BrokerUnreachableError) as dead:
            wait_until(lambda: bool(reader.view()) and False, 5, "the connection is lost")
        assert dead.value.address == bootstrap
        own_broker.restart()
        wait_until(lambda: _answers(reader), 20, "the same reader works again")


def _answers(reader: ClusterReader) -> bool:
    try:
        return bool(reader.view().brokers)
    except AtomError:
        return False


@pytest.mark.crash
def test_a_lost_replica_shows(make_cluster: Callable[..., KafkaCluster]) -> None:
    cluster = make_cluster()
    topic = cluster.handle.create_topic(partitions=2, replication=3)
    cluster.leader(topic).kill()
    with ClusterReader(_settings(cluster.handle.bootstrap)) as reader:
        wait_until(lambda: reader.topic(topic).under_replicated == 2, 30, "both partitions lack a replica")
        wait_until(lambda: len(reader.view().brokers) == 2, 30, "two brokers are left")
        assert reader.watermarks([topic]).messages(topic) == 0


def test_the_embedded_cluster_answers_what_it_can(mock_cluster: MockCluster, mock_topic: str) -> None:
    _fill(mock_cluster.bootstrap_servers, mock_topic, 5)
    begun = time.monotonic()
    with ClusterReader(_settings(mock_cluster.bootstrap_servers)) as reader:
        assert reader.view().cluster_id
        assert reader.watermarks([mock_topic]).messages(mock_topic) == 5
        assert reader.groups() == ()
        assert reader.topic_configs([mock_topic])[mock_topic].retention_ms is None
        assert reader.topic_ids([mock_topic]) == {mock_topic: None}
    assert time.monotonic() - begun < 3.0
