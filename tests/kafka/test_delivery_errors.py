"""Every row of the table of delivery errors, seen through the publisher against injected errors."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from confluent_kafka import KafkaError

from atom_console.events import decode_mapping, headers_of
from atom_console.kafka.delivery_errors import ErrorClass, Verdict, classify, rows
from atom_console.kafka.delivery_errors_page import page
from atom_console.sandbox.mock_cluster import MockCluster
from atom_console.sandbox.workload import Workload
from tests.broker.handle import BrokerHandle
from tests.kafka.producing import NOWHERE, poll_until, publishing, read_all, settings_for, settle

ROWS = {row.name: row for row in rows()}

# These reach us otherwise than as a broker's answer, and have tests of their own below and in test_publisher.py.
LOCAL = {"_QUEUE_FULL", "_VALUE_SERIALIZATION", "_SSL", "_PURGE_QUEUE", "_PURGE_INFLIGHT"}
# librdkafka goes on whatever `retries` says, so these end by message.timeout.ms only.
UNTIL_TIMEOUT = {
    "_TIMED_OUT", "_TIMED_OUT_QUEUE", "LEADER_NOT_AVAILABLE", "NOT_LEADER_FOR_PARTITION", "BROKER_NOT_AVAILABLE",
    "REPLICA_NOT_AVAILABLE", "UNKNOWN_TOPIC_OR_PART",
}  # fmt: skip

ANSWERED = [row for row in ROWS.values() if row.name not in LOCAL]


@pytest.mark.parametrize("row", rows(), ids=lambda row: row.name)
def test_a_row_has_the_name_that_the_client_gives_its_code(row: Verdict) -> None:
    assert KafkaError(row.code).name() == row.name


def test_no_code_has_two_rows() -> None:
    assert len({row.code for row in rows()}) == len(list(rows()))


def test_the_page_of_the_documentation_is_the_table() -> None:
    written = Path(__file__).parents[2] / "docs" / "delivery-errors.md"
    assert written.read_text() == page()


@pytest.mark.parametrize("row", [r for r in ANSWERED if r.name not in UNTIL_TIMEOUT], ids=lambda row: row.name)
def test_a_refusal_is_captured_with_the_class_of_its_row(
    row: Verdict, mock_cluster: MockCluster, mock_topic: str, workload: Workload
) -> None:
    event = workload.write()
    properties = {"retries": "0"} if row.retried else {}
    with publishing(settings_for(mock_cluster.bootstrap_servers, topic=mock_topic, properties=properties)) as (
        pub,
        sink,
    ):
        pub.publish_mapping(workload.write())
        settle(pub)
        # A suspect is refused twice: with its batch, and alone.
        mock_cluster.errors(*[row.code] * (2 if row.suspect else 1))
        pub.publish_mapping(event)
        settle(pub)
        mock_cluster.clear()
        (failure,) = sink.failures
        assert (failure.code, failure.name, failure.err_class) == (row.code, row.name, row.err_class)
        assert failure.maybe_persisted is row.maybe_persisted
        assert failure.stage == "delivery"
        assert failure.topic == mock_topic
        assert failure.component == "test"
        # Reports carry neither headers nor time: both come back from the payload.
        assert failure.value is not None
        assert decode_mapping(failure.value)["event_id"] == event["event_id"]
        assert list(failure.headers) == headers_of(failure.value)
        assert failure.timestamp_ms == event["timestamp"] // 1_000_000
        assert failure.key == event["tenant_id"].encode()
        snapshot = pub.snapshot()
        assert snapshot.captured_by_class == {row.err_class: 1}
        assert snapshot.captured_by_code == {row.name: 1}
        assert snapshot.in_flight_bytes == 0
        assert snapshot.retried_alone == (1 if row.suspect else 0)
        (seen,) = [error for error in snapshot.recent_errors if error.stage == "delivery"]
        assert (seen.meaning, seen.next_step, seen.count) == (row.meaning, row.next_step, 1)


@pytest.mark.parametrize("row", [row for row in ANSWERED if row.retried], ids=lambda row: row.name)
def test_what_librdkafka_retries_is_delivered_and_not_captured(
    row: Verdict, mock_cluster: MockCluster, mock_topic: str, workload: Workload
) -> None:
    with publishing(settings_for(mock_cluster.bootstrap_servers, topic=mock_topic)) as (pub, sink):
        pub.publish_mapping(workload.write())
        settle(pub)
        mock_cluster.errors(row.code)
        pub.publish_mapping(workload.write())
        settle(pub)
        assert (pub.snapshot().acked, sink.failures) == (2, [])


@pytest.mark.parametrize("name", sorted(UNTIL_TIMEOUT))
def test_what_is_retried_without_end_ends_by_the_timeout(
    name: str, mock_cluster: MockCluster, mock_topic: str, workload: Workload
) -> None:
    settings = settings_for(mock_cluster.bootstrap_servers, topic=mock_topic, message_timeout_ms=200)
    with publishing(settings) as (pub, sink):
        assert pub.warm_up(5.0)
        mock_cluster.errors(*[ROWS[name].code] * 20_000)  # enough for a second of retries without a pause
        pub.publish_mapping(workload.write())
        settle(pub)
        mock_cluster.clear()
        (failure,) = sink.failures
        assert (failure.name, failure.err_class, failure.maybe_persisted) == ("_MSG_TIMED_OUT", "outage", True)


@pytest.mark.parametrize("row", [row for row in ANSWERED if row.suspect], ids=lambda row: row.name)
def test_innocent_messages_of_a_refused_batch_are_delivered_alone(
    row: Verdict, mock_cluster: MockCluster, mock_topic: str, workload: Workload
) -> None:
    settings = settings_for(mock_cluster.bootstrap_servers, topic=mock_topic, linger_ms=50)
    events = workload.writes(20)
    with publishing(settings) as (pub, sink):
        pub.warm_up()
        # The batch is refused once; then one of its messages is refused alone.
        mock_cluster.errors(row.code, 0, 0, row.code)
        pub.publish_mappings(events)
        settle(pub)
        mock_cluster.clear()
        (failure,) = sink.failures
        assert (failure.name, failure.err_class) == (row.name, row.err_class)
        assert (pub.snapshot().acked, pub.snapshot().retried_alone) == (19, 20)
    delivered = {message.value() for message in read_all(mock_cluster.bootstrap_servers, mock_topic)}
    assert len(delivered) == 19
    assert failure.value not in delivered


def test_a_code_that_is_not_in_the_table_is_unknown_and_may_be_on_the_broker(
    mock_cluster: MockCluster, mock_topic: str, workload: Workload
) -> None:
    with publishing(settings_for(mock_cluster.bootstrap_servers, topic=mock_topic)) as (pub, sink):
        mock_cluster.errors(61)
        pub.publish_mapping(workload.write())
        settle(pub)
        (failure,) = sink.failures
        assert (failure.code, failure.name) == (61, "DELEGATION_TOKEN_AUTH_DISABLED")
        assert (failure.err_class, failure.maybe_persisted) == (ErrorClass.UNKNOWN, True)


@pytest.mark.parametrize("stage", ["encode", "produce", "queue"])
def test_nothing_can_be_on_the_broker_before_it_left_this_process(stage: str) -> None:
    for row in rows():
        verdict = classify(row.code, stage=stage)
        assert not verdict.maybe_persisted
        assert not verdict.suspect
        assert verdict.err_class is row.err_class
    assert not classify(4711, stage=stage).maybe_persisted


def test_alone_clears_a_suspect() -> None:
    assert classify(10, stage="delivery").suspect
    assert not classify(10, stage="delivery", alone=True).suspect


def test_timed_out_but_written_is_flagged_as_perhaps_on_the_broker(
    mock_cluster: MockCluster, mock_topic: str, workload: Workload
) -> None:
    settings = settings_for(mock_cluster.bootstrap_servers, topic=mock_topic, message_timeout_ms=1_000)
    with publishing(settings) as (pub, sink):
        pub.publish_mapping(workload.write())
        settle(pub)
        mock_cluster.rtt(5_000)
        pub.publish_mapping(workload.write())
        settle(pub)
        mock_cluster.rtt(0)
        (failure,) = sink.failures
        assert (failure.name, failure.maybe_persisted) == ("_MSG_TIMED_OUT", True)
    assert failure.value in {message.value() for message in read_all(mock_cluster.bootstrap_servers, mock_topic)}


def test_no_broker_at_all_times_out_as_an_outage(workload: Workload) -> None:
    with publishing(settings_for(NOWHERE, message_timeout_ms=200)) as (pub, sink):
        pub.publish_mapping(workload.write())
        settle(pub)
        (failure,) = sink.failures
        assert (failure.name, failure.err_class, failure.partition) == ("_MSG_TIMED_OUT", "outage", None)
        seen = {error.name: error for error in pub.snapshot().recent_errors}
        assert {"_TRANSPORT", "_ALL_BROKERS_DOWN"} <= set(seen)
        assert seen["_ALL_BROKERS_DOWN"].next_step.startswith("Check the addresses")


def test_a_name_that_does_not_resolve_is_seen_as_such() -> None:
    with publishing(settings_for("broker.invalid:9092")) as (pub, _):
        poll_until(pub, lambda: "_RESOLVE" in {error.name for error in pub.snapshot().recent_errors})


def test_a_certificate_of_a_foreign_authority_is_seen_as_such(kafka: BrokerHandle) -> None:
    settings = settings_for(kafka.ssl_bootstrap, security_protocol="ssl")
    with publishing(settings) as (pub, _):
        poll_until(pub, lambda: "_SSL" in {error.name for error in pub.snapshot().recent_errors})


def test_a_topic_without_permission_is_refused_first_in_the_report_then_by_produce(
    mock_cluster: MockCluster, mock_topic: str, workload: Workload
) -> None:
    mock_cluster.topic_error(mock_topic, 29)
    with publishing(settings_for(mock_cluster.bootstrap_servers, topic=mock_topic)) as (pub, sink):
        pub.publish_mapping(workload.write())
        settle(pub)
        pub.publish_mapping(workload.write())
        settle(pub)
        assert [failure.name for failure in sink.failures] == ["TOPIC_AUTHORIZATION_FAILED"] * 2
        assert [failure.stage for failure in sink.failures] == ["delivery", "produce"]
        assert [failure.err_class for failure in sink.failures] == ["config"] * 2
        assert not any(failure.maybe_persisted for failure in sink.failures)
        started = time.monotonic()
        mock_cluster.topic_error(mock_topic, 0)
        while pub.snapshot().acked == 0 and time.monotonic() < started + 10:
            pub.publish_mapping(workload.write())
            pub.poll(0.05)
        assert pub.snapshot().acked > 0, "granted again, the same producer goes on"


def test_a_payload_over_the_clients_limit_is_poison_before_it_is_sent(
    mock_cluster: MockCluster, workload: Workload
) -> None:
    with publishing(settings_for(mock_cluster.bootstrap_servers)) as (pub, sink):
        pub.publish_mapping(workload.oversize(1_100_000))
        (failure,) = sink.failures
        assert (failure.name, failure.err_class, failure.stage) == ("MSG_SIZE_TOO_LARGE", "poison", "produce")
        assert not failure.maybe_persisted
        assert pub.snapshot().captured == 1


def test_a_topic_name_that_cannot_be_is_a_matter_of_configuration(mock_cluster: MockCluster) -> None:
    with publishing(settings_for(mock_cluster.bootstrap_servers)) as (pub, sink):
        pub.publish_encoded(b"x", topic="x" * 600)
        (failure,) = sink.failures
        assert (failure.name, failure.err_class, failure.stage) == ("_INVALID_ARG", "config", "produce")


def test_input_that_cannot_be_encoded_is_kept_as_it_came() -> None:
    with publishing(settings_for(NOWHERE)) as (pub, sink):
        pub.keep_invalid(b'{"type": 99}\n', "line 3: type: 99 is not an event type")
        (failure,) = sink.failures
        assert (failure.name, failure.err_class, failure.stage) == ("_VALUE_SERIALIZATION", "poison", "encode")
        assert failure.value == b'{"type": 99}\n'
        assert failure.message == "line 3: type: 99 is not an event type"
