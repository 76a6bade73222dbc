"""The publish contract: what is accepted ends acknowledged or captured, and nothing waits for the network."""

from __future__ import annotations

import logging
import time
from collections import Counter
from random import Random
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from atom_console.errors import InputError
from atom_console.events import (
    AtomEvent,
    DecodeError,
    EncodeError,
    EventType,
    Molecule,
    decode_mapping,
    encode_mapping,
    headers_of,
    peek,
)
from atom_console.kafka.delivery_errors import rows
from atom_console.kafka.publisher import NotAcceptedError, Publisher, PublisherClosedError
from atom_console.sandbox.mock_cluster import MockCluster
from atom_console.sandbox.workload import Workload
from tests.kafka.producing import (
    NOWHERE,
    MemoryJournal,
    MemorySink,
    poll_until,
    publishing,
    read_all,
    settings_for,
    settle,
)


def murmur2_partition(key: bytes, partitions: int) -> int:
    """The default partitioner of Java clients (org.apache.kafka.common.utils.Utils.murmur2), written out."""
    mask, m = 0xFFFFFFFF, 0x5BD1E995
    h = (0x9747B28C ^ len(key)) & mask
    whole = len(key) & ~3
    for at in range(0, whole, 4):
        k = (int.from_bytes(key[at : at + 4], "little") * m) & mask
        k = ((k ^ (k >> 24)) * m) & mask
        h = ((h * m) & mask) ^ k
    tail = key[whole:]
    if tail:
        h = ((h ^ int.from_bytes(tail, "little")) * m) & mask
    h = ((h ^ (h >> 13)) * m) & mask
    return ((h ^ (h >> 15)) & 0x7FFFFFFF) % partitions


# What arrives.


def test_an_event_arrives_with_key_headers_and_its_own_time(
    mock_cluster: MockCluster, mock_topic: str, workload: Workload
) -> None:
    mapping = workload.write()
    event = AtomEvent(
        **mapping | {"type": EventType.HEARTBEAT, "molecules": [Molecule(**mapping["molecules"][0])], "event_id": "e2"}
    )
    with publishing(settings_for(mock_cluster.bootstrap_servers, topic=mock_topic)) as (pub, sink):
        pub.publish_mapping(mapping)
        pub.publish(event)
        pub.publish_encoded(
            b"raw", key=b"k", headers=(("a", b"1"), ("a", None), ("ü", b"")), timestamp_ms=1_700_000_000_000
        )
        pub.publish_encoded(None, key=b"tombstone")
        settle(pub)
        assert (pub.snapshot().acked, sink.failures) == (4, [])
    first, second, third, fourth = read_all(mock_cluster.bootstrap_servers, mock_topic)
    assert first.value() == encode_mapping(mapping)
    assert first.key() == mapping["tenant_id"].encode()
    assert first.timestamp() == (1, mapping["timestamp"] // 1_000_000)
    assert first.headers() == headers_of(first.value())
    assert second.headers() == [("trace_id", mapping["trace_id"].encode()), ("type", b"4")]
    assert (third.value(), third.key(), third.timestamp()[1]) == (b"raw", b"k", 1_700_000_000_000)
    assert third.headers() == [("a", b"1"), ("a", None), ("ü", b"")]
    assert (fourth.value(), fourth.key()) == (None, b"tombstone")


def test_an_event_without_tenant_or_trace_has_no_key_and_no_such_header(
    mock_cluster: MockCluster, mock_topic: str
) -> None:
    with publishing(settings_for(mock_cluster.bootstrap_servers, topic=mock_topic)) as (pub, _):
        pub.publish_mapping({"timestamp": 1_700_000_000_000_000_000, "type": 4})
        pub.publish_mapping({"timestamp": 1_700_000_000_000_000_000, "type": 4, "tenant_id": "", "trace_id": ""})
        settle(pub)
    bare, empty = read_all(mock_cluster.bootstrap_servers, mock_topic)
    assert (bare.key(), bare.headers()) == (None, [("type", b"4")])
    assert (empty.key(), empty.headers()) == (b"", [("trace_id", b""), ("type", b"4")])


@pytest.mark.parametrize("durable", [False, True])
def test_encoded_events_travel_as_the_events_do(
    durable: bool, mock_cluster: MockCluster, mock_topic: str, workload: Workload
) -> None:
    """Key, headers and time by columns are those that one event alone gets, whatever is absent, empty or odd."""
    own = workload.write()
    odd: list[dict[str, Any]] = [
        {"tenant_id": None, "trace_id": None},
        {"tenant_id": "", "trace_id": ""},
        {"tenant_id": "größe", "trace_id": "ü" * 40},
        {"timestamp": 0},
        {"timestamp": -5_000_000},
        {"type": 3},
    ]
    values = [encode_mapping(event) for event in (own, *(own | change for change in odd))]
    values.append(encode_mapping({"timestamp": 1_700_000_000_000_000_000, "type": 0}))
    settings = settings_for(mock_cluster.bootstrap_servers, topic=mock_topic)
    with publishing(settings, journal=MemoryJournal() if durable else None) as (pub, sink):
        before_ms = time.time_ns() // 1_000_000
        pub.publish_payloads(values)
        pub.publish_payloads([])
        settle(pub)
        assert (pub.snapshot().accepted, pub.snapshot().acked, sink.failures) == (len(values), len(values), [])
    arrived = read_all(mock_cluster.bootstrap_servers, mock_topic)
    assert [message.value() for message in arrived] == values
    for message in arrived:
        seen = peek(message.value())
        assert message.key() == (None if seen.tenant_id is None else seen.tenant_id.encode())
        assert message.headers() == headers_of(message.value())
        own_ms = (seen.timestamp or 0) // 1_000_000
        assert message.timestamp()[1] == own_ms if own_ms > 0 else message.timestamp()[1] >= before_ms


def test_a_payload_that_is_no_event_refuses_its_batch(workload: Workload) -> None:
    values = [encode_mapping(workload.write()), b"no event at all"]
    with publishing(settings_for(NOWHERE)) as (pub, sink):
        with pytest.raises(DecodeError):
            pub.publish_payloads(values)
        assert (pub.snapshot().accepted, sink.failures) == (0, [])


@pytest.mark.parametrize("many", [True, False])
def test_batches_and_single_events_arrive_in_order(many: bool, mock_cluster: MockCluster, mock_topic: str) -> None:
    events = [event | {"tenant_id": "one"} for event in Workload(seed=3).events(1_000)]
    with publishing(settings_for(mock_cluster.bootstrap_servers, topic=mock_topic)) as (pub, _):
        if many:
            for at in range(0, len(events), 250):
                pub.publish_mappings(events[at : at + 250])
        else:
            for event in events:
                pub.publish_mapping(event)
        settle(pub)
        assert pub.snapshot().ack.count == 1_000
    arrived = [
        decode_mapping(message.value())["event_id"] for message in read_all(mock_cluster.bootstrap_servers, mock_topic)
    ]
    assert arrived == [event["event_id"] for event in events]


def test_the_partition_is_that_of_java_clients(mock_cluster: MockCluster) -> None:
    mock_cluster.topic("by-tenant", partitions=7)
    with publishing(settings_for(mock_cluster.bootstrap_servers, topic="by-tenant")) as (pub, _):
        pub.publish_mappings(Workload(seed=5).writes(200))
        settle(pub)
    placed = {(message.key(), message.partition()) for message in read_all(mock_cluster.bootstrap_servers, "by-tenant")}
    assert placed == {(key, murmur2_partition(key, 7)) for key, _ in placed}
    assert len({partition for _, partition in placed}) > 3


def test_the_other_partitioner_is_librdkafkas_own(mock_cluster: MockCluster) -> None:
    import zlib

    mock_cluster.topic("by-crc", partitions=7)
    kafka = settings_for(mock_cluster.bootstrap_servers, topic="by-crc", partitioner="consistent_random")
    with publishing(kafka) as (pub, _):
        pub.publish_mappings(Workload(seed=5).writes(200))
        settle(pub)
    placed = {(message.key(), message.partition()) for message in read_all(mock_cluster.bootstrap_servers, "by-crc")}
    assert placed == {(key, zlib.crc32(key) % 7) for key, _ in placed}


# What is refused to the caller.


def test_a_batch_with_an_event_that_cannot_be_encoded_is_refused_whole(workload: Workload) -> None:
    batch = [*workload.writes(3), workload.write() | {"timestamp": "yesterday"}]
    with publishing(settings_for(NOWHERE)) as (pub, sink):
        with pytest.raises(EncodeError, match="timestamp"):
            pub.publish_mappings(batch)
        with pytest.raises(EncodeError):
            pub.publish_mapping(batch[-1])
        assert (pub.snapshot().accepted, sink.failures) == (0, [])


@pytest.mark.parametrize(
    "arguments",
    [
        {"value": "text"},
        {"value": b"", "key": "text"},
        {"value": b"", "headers": (("a", "text"),)},
        {"value": b"", "timestamp_ms": -1},
        {"value": b"", "timestamp_ms": 2**63},
    ],
    ids=str,
)
def test_what_no_record_can_hold_is_refused_before_it_is_accepted(arguments: dict[str, Any]) -> None:
    journal = MemoryJournal()
    with publishing(settings_for(NOWHERE), journal) as (pub, _):
        with pytest.raises(InputError):
            pub.publish_encoded(**arguments)
        assert pub.snapshot().accepted == 0
        assert not journal.rows


def test_after_the_drain_nothing_is_accepted(workload: Workload) -> None:
    with publishing(settings_for(NOWHERE)) as (pub, _):
        pub.drain(0.0)
        for refused in (
            lambda: pub.publish_mapping(workload.write()),
            lambda: pub.publish_mappings(workload.writes(2)),
            lambda: pub.publish_encoded(b"x"),
            lambda: pub.keep_invalid(b"x", "why"),
        ):
            with pytest.raises(PublisherClosedError):
                refused()
        assert pub.snapshot().accepted == 0


# A full queue, by count and by memory.


def test_a_full_queue_captures_and_does_not_wait(workload: Workload) -> None:
    with publishing(settings_for(NOWHERE, queue_max_messages=10)) as (pub, sink):
        started = time.monotonic()
        pub.publish_mappings(workload.writes(25))
        assert time.monotonic() - started < 1.0
        assert len(sink.failures) == 15
        assert {(failure.name, failure.err_class, failure.stage) for failure in sink.failures} == {
            ("_QUEUE_FULL", "outage", "queue")
        }
        assert not any(failure.maybe_persisted for failure in sink.failures)
        snapshot = pub.snapshot()
        assert (snapshot.accepted, snapshot.in_flight, snapshot.captured) == (25, 10, 15)
        assert list(sink.failures[0].headers) == headers_of(sink.failures[0].value or b"")


def test_served_reports_make_room_before_anything_is_captured(mock_cluster: MockCluster, mock_topic: str) -> None:
    workload = Workload(seed=11)
    kafka = settings_for(mock_cluster.bootstrap_servers, topic=mock_topic, queue_max_messages=50)
    with publishing(kafka) as (pub, sink):
        pub.warm_up()
        for _ in range(40):
            assert pub.wait_for_room(5.0, share=0.1)
            pub.publish_mappings(workload.writes(40))
        settle(pub)
        assert (pub.snapshot().acked, sink.failures) == (1_600, [])


def test_waiting_for_room_ends_with_its_time(workload: Workload) -> None:
    with publishing(settings_for(NOWHERE, queue_max_messages=10)) as (pub, _):
        pub.publish_mappings(workload.writes(10))
        started = time.monotonic()
        assert not pub.wait_for_room(0.1)
        assert 0.1 <= time.monotonic() - started < 1.0


def test_keys_and_headers_count_against_the_memory_limit() -> None:
    with publishing(settings_for(NOWHERE, queue_max_kbytes=100)) as (pub, sink):
        for _ in range(100):
            pub.publish_encoded(b"v", key=b"k" * 1_000, headers=(("name", b"h" * 995),))
        each = 1 + 1_000 + len("name") + 995
        fit = 100 * 1024 // each
        snapshot = pub.snapshot()
        assert snapshot.in_flight_bytes == fit * each <= snapshot.queue_max_bytes == 100 * 1024
        assert (snapshot.in_flight, len(sink.failures)) == (fit, 100 - fit)
        pub.drain(0.0)
        assert pub.snapshot().in_flight_bytes == 0


def test_the_memory_of_encoded_events_is_exact_and_comes_back(
    mock_cluster: MockCluster, mock_topic: str, workload: Workload
) -> None:
    events = workload.events(500)
    charged = 0
    for event in events:
        value = encode_mapping(event)
        charged += len(value) + len(event["tenant_id"]) + sum(len(n) + len(held) for n, held in headers_of(value))
    kafka = settings_for(mock_cluster.bootstrap_servers, topic=mock_topic, linger_ms=10_000)
    with publishing(kafka) as (pub, _):
        pub.publish_mappings(events)
        assert pub.snapshot().in_flight_bytes == charged
        pub.drain(5.0)
        assert (pub.snapshot().in_flight_bytes, pub.snapshot().acked) == (0, 500)


# The end.


def test_a_drain_sends_what_lingers(mock_cluster: MockCluster, mock_topic: str, workload: Workload) -> None:
    with publishing(settings_for(mock_cluster.bootstrap_servers, topic=mock_topic, linger_ms=20_000)) as (pub, sink):
        pub.publish_mappings(workload.writes(100))
        report = pub.drain(5.0)
        assert (report.accepted, report.acked, report.captured, sink.failures) == (100, 100, 0, [])
        assert report.complete
        assert report.seconds < 3
        assert pub.drain(5.0) is report


def test_a_drain_with_the_broker_away_is_short_and_captures_everything(workload: Workload) -> None:
    journal_free = settings_for(NOWHERE)
    with publishing(journal_free) as (pub, sink):
        events = workload.writes(2_000)
        pub.publish_mappings(events)
        started = time.monotonic()
        report = pub.drain(1.0)
        assert time.monotonic() - started < 3.0
        assert (report.captured, report.unreported, report.unsaved) == (2_000, 0, 0)
        assert Counter(failure.name for failure in sink.failures) == {"_PURGE_QUEUE": 2_000}
        assert {(failure.err_class, failure.stage) for failure in sink.failures} == {("shutdown", "drain")}
        assert sorted(failure.value or b"" for failure in sink.failures) == sorted(map(encode_mapping, events))


def test_what_was_on_its_way_at_the_end_may_be_on_the_broker(
    mock_cluster: MockCluster, mock_topic: str, workload: Workload
) -> None:
    with publishing(settings_for(mock_cluster.bootstrap_servers, topic=mock_topic)) as (pub, sink):
        pub.publish_mapping(workload.write())
        settle(pub)
        mock_cluster.track()
        mock_cluster.rtt(5_000)
        pub.publish_mapping(workload.write())
        poll_until(pub, lambda: 0 in mock_cluster.requests())
        report = pub.drain(0.1)
        mock_cluster.rtt(0)
        (failure,) = sink.failures
        assert (failure.name, failure.err_class, failure.maybe_persisted) == ("_PURGE_INFLIGHT", "shutdown", True)
        assert report.complete


def test_a_suspect_that_could_not_be_tried_alone_is_unknown(
    mock_cluster: MockCluster, mock_topic: str, workload: Workload
) -> None:
    with publishing(settings_for(mock_cluster.bootstrap_servers, topic=mock_topic)) as (pub, sink):
        pub.publish_mapping(workload.write())
        settle(pub)
        mock_cluster.track()
        mock_cluster.errors(10)
        pub.publish_mapping(workload.write())
        while 0 not in mock_cluster.requests():
            time.sleep(0.001)
        pub._dispatch._purged = True  # the report arrives after everything was given up
        settle(pub)
        (failure,) = sink.failures
        assert (failure.name, failure.err_class) == ("MSG_SIZE_TOO_LARGE", "unknown")
        assert "alone" in failure.message


# A fatal error of the client.


def test_a_fatal_error_builds_a_new_producer_and_loses_nothing(
    mock_cluster: MockCluster, mock_topic: str, workload: Workload
) -> None:
    kafka = settings_for(mock_cluster.bootstrap_servers, topic=mock_topic, idempotence=True, batch_num_messages=5)
    events = workload.writes(300)
    with publishing(kafka) as (pub, sink):
        pub.publish_mapping(events[0])
        settle(pub)
        mock_cluster.errors(45)
        for at in range(1, 300):
            pub.publish_mapping(events[at])
            if at % 10 == 0:
                pub.poll(0.001)
        settle(pub)
        snapshot = pub.snapshot()
        assert snapshot.rebuilt == 1
        assert snapshot.accepted == snapshot.acked + snapshot.captured == 300
        assert 1 <= snapshot.captured < 100, "only what the dead producer had on its way"
        assert {failure.err_class for failure in sink.failures} == {"client_fatal"}
        assert all(failure.maybe_persisted for failure in sink.failures)
        assert "OUT_OF_ORDER_SEQUENCE_NUMBER" in {error.name for error in snapshot.recent_errors}
        pub.publish_mapping(workload.write())
        settle(pub)
        assert pub.snapshot().acked == snapshot.acked + 1
    written = {message.value() for message in read_all(mock_cluster.bootstrap_servers, mock_topic)}
    kept = {failure.value for failure in sink.failures}
    assert set(map(encode_mapping, events)) <= written | kept


# A dead letter queue or a journal that fails.


def test_a_sink_that_raises_loses_nothing(workload: Workload) -> None:
    with publishing(settings_for(NOWHERE, queue_max_messages=1)) as (pub, sink):
        sink.broken = True
        pub.publish_mappings(workload.writes(5))
        snapshot = pub.snapshot()
        assert (snapshot.captured, snapshot.unsaved, snapshot.in_flight) == (0, 4, 1)
        sink.broken = False
        pub.poll()
        snapshot = pub.snapshot()
        assert (snapshot.captured, snapshot.unsaved) == (4, 0)
        assert len({failure.value for failure in sink.failures}) == 4


def test_a_drain_says_what_the_sink_did_not_take(workload: Workload, caplog: pytest.LogCaptureFixture) -> None:
    with publishing(settings_for(NOWHERE)) as (pub, sink):
        sink.broken = True
        pub.publish_mappings(workload.writes(3))
        report = pub.drain(0.0)
        assert (report.captured, report.unsaved, report.complete) == (0, 3, False)
        assert any(record.levelno == logging.CRITICAL and "3 not saved" in record.message for record in caplog.records)


def test_reports_are_served_although_the_sink_raises(
    mock_cluster: MockCluster, mock_topic: str, workload: Workload
) -> None:
    with publishing(settings_for(mock_cluster.bootstrap_servers, topic=mock_topic)) as (pub, sink):
        pub.publish_mapping(workload.write())
        settle(pub)
        sink.broken = True
        mock_cluster.errors(44, 0, 44)
        for _ in range(3):
            pub.publish_mapping(workload.write())
            settle(pub)
        assert (pub.snapshot().acked, pub.snapshot().unsaved) == (2, 2)


def test_durable_commits_before_it_accepts_and_forgets_what_is_acknowledged(
    mock_cluster: MockCluster, mock_topic: str, workload: Workload
) -> None:
    journal = MemoryJournal()
    with publishing(settings_for(mock_cluster.bootstrap_servers, topic=mock_topic), journal) as (pub, sink):
        pub.publish_mappings(workload.writes(100))
        assert (journal.commits, len(journal.rows)) == (1, 100)
        entry = journal.rows[1]
        assert list(entry.headers) == headers_of(entry.value or b"")
        settle(pub)
        assert journal.rows == {}
        assert (pub.snapshot().mode, pub.snapshot().acked, sink.failures) == ("durable", 100, [])
        pub.publish_mapping(workload.write())
        pub.publish_encoded(b"x", headers=(("a", None),))
        assert journal.commits == 3


def test_a_durable_failure_names_its_journal_row(workload: Workload) -> None:
    journal = MemoryJournal()
    with publishing(settings_for(NOWHERE, queue_max_messages=2), journal) as (pub, sink):
        pub.publish_mappings(workload.writes(3))
        pub.drain(0.0)
        assert sorted(failure.journal_id or 0 for failure in sink.failures) == [1, 2, 3]
        assert {failure.name for failure in sink.failures} == {"_QUEUE_FULL", "_PURGE_QUEUE"}
        for failure in sink.failures:
            assert failure.value == journal.rows[failure.journal_id or 0].value
        assert len(journal.rows) == 3, "only the store turns a journal row into a dead letter"


def test_a_journal_that_cannot_commit_refuses_the_event(workload: Workload) -> None:
    journal = MemoryJournal()
    journal.broken = True
    with publishing(settings_for(NOWHERE), journal) as (pub, sink):
        for refused in (
            lambda: pub.publish_mapping(workload.write()),
            lambda: pub.publish_mappings(workload.writes(5)),
            lambda: pub.publish_encoded(b"x"),
        ):
            with pytest.raises(NotAcceptedError, match="no space left"):
                refused()
        assert (pub.snapshot().accepted, sink.failures) == (0, [])


def test_acknowledgements_that_the_journal_refused_are_offered_again(
    mock_cluster: MockCluster, mock_topic: str, workload: Workload
) -> None:
    journal = MemoryJournal()
    with publishing(settings_for(mock_cluster.bootstrap_servers, topic=mock_topic), journal) as (pub, _):
        pub.publish_mappings(workload.writes(10))
        journal.broken = True
        settle(pub)
        assert len(journal.rows) == 10
        journal.broken = False
        pub.poll()
        assert journal.rows == {}


# Times that are a danger.


def test_an_event_over_an_hour_ahead_is_flagged_and_sent(
    mock_cluster: MockCluster, mock_topic: str, workload: Workload
) -> None:
    ahead = time.time_ns() + 2 * 3_600_000_000_000
    with publishing(settings_for(mock_cluster.bootstrap_servers, topic=mock_topic)) as (pub, _):
        pub.publish_mapping(workload.write() | {"timestamp": ahead})
        pub.publish_encoded(b"x", timestamp_ms=ahead // 1_000_000)
        pub.publish_mapping(workload.write())
        settle(pub)
        snapshot = pub.snapshot()
        assert (snapshot.flagged_ahead, snapshot.flagged_old, snapshot.acked) == (2, 0, 3)
        assert snapshot.last_flag is not None
        assert "1 h ahead" in snapshot.last_flag.why


def test_an_event_older_than_the_topics_retention_is_flagged(kafka: Any, workload: Workload) -> None:
    topic = kafka.create_topic(partitions=1, configs={"retention.ms": "3600000"})
    old = time.time_ns() - 2 * 3_600_000_000_000
    with publishing(settings_for(kafka.bootstrap, topic=topic)) as (pub, _):
        pub.publish_mapping(workload.write())
        poll_until(pub, lambda: pub._bounds.retention_ms == 3_600_000)
        pub.publish_mapping(workload.write() | {"timestamp": old})
        settle(pub)
        snapshot = pub.snapshot()
        assert (snapshot.flagged_old, snapshot.flagged_ahead, snapshot.acked) == (1, 0, 2)
        assert snapshot.last_flag is not None
        assert "retention" in snapshot.last_flag.why


# What can be seen.


def test_errors_are_counted_whole_and_logged_once_a_second(
    workload: Workload, caplog: pytest.LogCaptureFixture
) -> None:
    with publishing(settings_for(NOWHERE, queue_max_messages=1)) as (pub, _):
        events = workload.writes(500)
        started = time.monotonic()
        pub.publish_mappings(events)
        seconds = time.monotonic() - started
        (seen,) = [error for error in pub.snapshot().recent_errors if error.name == "_QUEUE_FULL"]
        assert seen.count == 499
        lines = [record for record in caplog.records if getattr(record, "err_name", "") == "_QUEUE_FULL"]
        assert 1 <= len(lines) <= 1 + seconds
        assert lines[0].event == "delivery.failed"  # type: ignore[attr-defined]
        logged = "\n".join(str(vars(record)) for record in caplog.records)
        assert not any(event["event_id"] in logged or event["trace_id"] in logged for event in events)


def test_statistics_and_rates_reach_the_snapshot(mock_cluster: MockCluster, mock_topic: str) -> None:
    workload = Workload(seed=2)
    kafka = settings_for(
        mock_cluster.bootstrap_servers, topic=mock_topic, statistics_interval_ms=50, compression="zstd", linger_ms=5
    )
    with publishing(kafka) as (pub, _):
        for _ in range(10):
            pub.publish_mappings(workload.writes(500))
        settle(pub)
        poll_until(pub, lambda: (s := pub.snapshot().statistics) is not None and s.tx_messages == 5_000)
        poll_until(pub, lambda: pub.snapshot().acked_rate.total == 5_000)
        snapshot = pub.snapshot()
        statistics = snapshot.statistics
        assert statistics is not None
        assert statistics.compression_ratio is not None
        assert statistics.compression_ratio > 1.5
        assert [broker.state for broker in statistics.brokers] == ["UP"]
        assert snapshot.ack.p50_ms is not None
        assert snapshot.ack.p99_ms is not None
        assert snapshot.ack.max_ms is not None
        assert 0 < snapshot.ack.p50_ms <= snapshot.ack.p99_ms <= snapshot.ack.max_ms
        assert snapshot.accepted_rate.total == snapshot.acked_rate.total == 5_000


def test_a_warm_up_takes_the_delay_of_the_producer_id(
    mock_cluster: MockCluster, mock_topic: str, workload: Workload
) -> None:
    kafka = settings_for(mock_cluster.bootstrap_servers, topic=mock_topic, idempotence=True, statistics_interval_ms=50)
    with publishing(kafka) as (pub, _):
        assert pub.warm_up(3.0)
        statistics = pub.snapshot().statistics
        assert statistics is not None
        assert statistics.idempotence == "Assigned"
        pub.publish_mapping(workload.write())
        settle(pub)


def test_a_warm_up_without_a_broker_says_so() -> None:
    with publishing(settings_for(NOWHERE)) as (pub, _):
        started = time.monotonic()
        assert not pub.warm_up(0.2)
        assert time.monotonic() - started < 2.0
        assert pub.snapshot().recent_errors


# Whatever happens.

# UNKNOWN_PRODUCER_ID makes the mock forget what it has answered before.
INJECTED = [row.code for row in rows() if row.name not in {"_SSL", "_FATAL", "UNKNOWN_PRODUCER_ID"}]


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(seed=st.integers(0, 2**32), idempotent=st.booleans(), durable=st.booleans())
def test_whatever_happens_accepted_is_acknowledged_plus_captured(
    seed: int, idempotent: bool, durable: bool, mock_cluster: MockCluster
) -> None:
    """Random faults between random calls; at the end every event is in exactly the place that was claimed."""
    draw = Random(seed)
    workload = Workload(seed=seed)
    topic = f"chaos-{seed}-{idempotent:d}{durable:d}-{time.monotonic_ns()}"
    mock_cluster.topic(topic, partitions=3)
    journal = MemoryJournal() if durable else None
    kafka = settings_for(
        mock_cluster.bootstrap_servers,
        topic=topic,
        idempotence=idempotent,
        queue_max_messages=draw.choice([5, 50, 5_000]),
        queue_max_kbytes=draw.choice([8, 10_000]),
        linger_ms=draw.choice([0, 2]),
        batch_num_messages=draw.choice([1, 7, 1_000]),
        message_timeout_ms=draw.choice([300, 30_000]),
        # The mock takes the batches behind a refused one, where a broker says OUT_OF_ORDER_SEQUENCE_NUMBER, and then
        # answers the retry as a duplicate: with idempotence its log is only to be believed with one request in flight.
        properties={"max.in.flight.requests.per.connection": "1"}
        if idempotent
        else {"retries": draw.choice(["0", "3"])},
    )
    sink = MemorySink()
    pub = Publisher(kafka, sink, journal)
    published: set[bytes] = set()
    away = False
    for _ in range(25):
        match draw.randrange(7):
            case 0 | 1:
                batch = workload.events(draw.randrange(1, 30))
                pub.publish_mappings(batch)
                published.update(map(encode_mapping, batch))
            case 2:
                event = workload.event()
                pub.publish_mapping(event)
                published.add(encode_mapping(event))
            case 3:
                value = draw.randbytes(40)
                pub.publish_encoded(value, key=draw.choice([None, b"k"]), headers=(("h", b"1"),))
                published.add(value)
            case 4:
                mock_cluster.errors(*draw.choices(INJECTED, k=draw.randrange(1, 4)))
            case 5:
                away = not away
                (mock_cluster.down if away else mock_cluster.up)()
            case 6:
                pub.poll(draw.choice([0.0, 0.005]))
    if draw.random() < 0.5:
        mock_cluster.up()
    report = pub.drain(draw.choice([0.0, 0.3, 1.5]))
    mock_cluster.clear()
    mock_cluster.up()

    assert report.complete, report
    assert report.accepted == len(published)
    captured = [failure.value for failure in sink.failures]
    assert len(captured) == len(set(captured)) == report.captured
    assert set(captured) <= published
    written = {message.value() for message in read_all(mock_cluster.bootstrap_servers, topic)}
    assert published - set(captured) <= written, "an acknowledged event is not on the broker"
    not_there = {failure.value for failure in sink.failures if not failure.maybe_persisted}
    assert not not_there & written, "a failure that cannot be on the broker is on the broker"
    assert pub.snapshot().in_flight_bytes == 0
    if journal is not None:
        assert {entry.value for entry in journal.rows.values()} == set(captured)
