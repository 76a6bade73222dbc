from __future__ import annotations

import random
import time
from threading import Event, Thread
from typing import Any

import pytest
from confluent_kafka import Producer
from confluent_kafka.admin import AclOperation  # type: ignore[attr-defined]

from atom_console.config import KafkaSettings
from atom_console.errors import InputError, RefusedError
from atom_console.kafka.cluster import UnknownTopicError
from atom_console.kafka.reachability import BrokerUnreachableError
from atom_console.kafka.read_back import read_range
from atom_console.kafka.reading import LostOffsetsError, TailRecord, record_of
from atom_console.kafka.tail import Start, parse_start, tail
from atom_console.sandbox.mock_cluster import MockCluster
from tests.broker.broker import KafkaBroker
from tests.broker.handle import SILENT, BrokerHandle, wait_until
from tests.broker.ports import free_ports

NOW_MS = time.time_ns() // 1_000_000


def _settings(bootstrap: str, **more: Any) -> KafkaSettings:
    return KafkaSettings(bootstrap_servers=bootstrap, **more)


def _producer(bootstrap: str, **more: object) -> Producer:
    return Producer({"bootstrap.servers": bootstrap, "linger.ms": 1, **more}, logger=SILENT)


def _read(bootstrap: str, topic: str, **options: object) -> list[TailRecord]:
    options = {"follow": False, "start": Start("beginning")} | options
    return list(tail(_settings(bootstrap), topic, **options))  # type: ignore[arg-type]


def _places(records: list[TailRecord]) -> list[tuple[int, int]]:
    return [(record.partition, record.offset) for record in records]


@pytest.mark.parametrize(
    ("text", "start"),
    [
        ("beginning", Start("beginning")),
        ("end", Start("end")),
        ("-20", Start("newest", 20)),
        ("2026-11-24T02:14:07.123Z", Start("time", 1_795_486_447_123)),
        ("2026-11-24T02:14:07.1230001Z", Start("time", 1_795_486_447_124)),
        ("1970-01-01T00:00:00Z", Start("time", 0)),
    ],
)
def test_places_to_start_from(text: str, start: Start) -> None:
    assert parse_start(text) == start


@pytest.mark.parametrize("text", ["", "begin", "--1", "-", "5", "2026-11-24", "2026-11-24T02:14:07", "-9999999999"])
def test_other_words_are_no_place(text: str) -> None:
    with pytest.raises(InputError, match="cannot start from"):
        parse_start(text)


def test_a_record_comes_back_whole(kafka: BrokerHandle) -> None:
    topic = kafka.create_topic()
    producer = _producer(kafka.bootstrap)
    headers: list[tuple[str, Any]] = [
        ("trace_id", b"\xff\x00"),
        ("twice", b"1"),
        ("twice", None),
        ("empty", b""),
    ]
    producer.produce(topic, b"\x00value", b"tenant", headers=headers, timestamp=NOW_MS - 5)
    producer.produce(topic, None, None, timestamp=NOW_MS)
    assert producer.flush(10) == 0
    first, second = _read(kafka.bootstrap, topic)
    assert first == TailRecord(topic, 0, 0, NOW_MS - 5, b"tenant", tuple(headers), b"\x00value")
    assert second == TailRecord(topic, 0, 1, NOW_MS, None, (), None)


@pytest.fixture(scope="module")
def mixed_topic(kafka: BrokerHandle) -> str:
    """Four partitions, one of them empty, one much longer; timestamps go back and forth."""
    topic = kafka.create_topic(partitions=4)
    producer = _producer(kafka.bootstrap)
    numbers = random.Random(5)
    for partition, count in ((0, 12_000), (1, 300), (3, 40)):
        at = NOW_MS - 100_000
        for number in range(count):
            at += numbers.choice((0, 0, 1, 7, -3))
            producer.produce(topic, b"%d:%d" % (partition, number), b"k%d" % (number % 3), partition, timestamp=at)
    assert producer.flush(20) == 0
    return topic


def _expected(records: list[TailRecord]) -> list[tuple[int, int]]:
    """The documented order, by the obvious method: the oldest of the heads, then the lower partition."""
    queues = {
        number: [r for r in sorted(records, key=lambda r: r.offset) if r.partition == number] for number in range(4)
    }
    order = []
    while any(queues.values()):
        heads = [queue[0] for queue in queues.values() if queue]
        chosen = min(heads, key=lambda record: (record.timestamp_ms, record.partition))
        order.append((chosen.partition, chosen.offset))
        queues[chosen.partition].pop(0)
    return order


def test_partitions_are_merged_in_one_order(kafka: BrokerHandle, mixed_topic: str) -> None:
    records = _read(kafka.bootstrap, mixed_topic)
    assert len(records) == 12_340
    assert all(record.value == b"%d:%d" % (record.partition, record.offset) for record in records)
    assert _places(records) == _expected(records)
    assert _places(_read(kafka.bootstrap, mixed_topic)) == _places(records)


def test_a_limit_and_a_key(kafka: BrokerHandle, mixed_topic: str) -> None:
    everything = _read(kafka.bootstrap, mixed_topic)
    assert _read(kafka.bootstrap, mixed_topic, limit=25) == everything[:25]
    assert _read(kafka.bootstrap, mixed_topic, key=b"k1") == [one for one in everything if one.key == b"k1"]
    assert (
        _read(kafka.bootstrap, mixed_topic, key=b"k1", limit=7) == [one for one in everything if one.key == b"k1"][:7]
    )
    assert _read(kafka.bootstrap, mixed_topic, key=b"nobody") == []


def test_the_newest_records(kafka: BrokerHandle, mixed_topic: str) -> None:
    newest = _read(kafka.bootstrap, mixed_topic, start=Start("newest", 50))
    window = [
        one for one in _read(kafka.bootstrap, mixed_topic) if one.offset >= {0: 11_950, 1: 250, 3: 0}[one.partition]
    ]
    assert newest == window[-50:]
    assert _read(kafka.bootstrap, mixed_topic, start=Start("newest", 0)) == []


def test_from_a_time_on(kafka: BrokerHandle) -> None:
    topic = kafka.create_topic(partitions=2)
    producer = _producer(kafka.bootstrap)
    for number in range(10):
        producer.produce(topic, b"%d" % number, partition=number % 2, timestamp=NOW_MS - 1000 + number)
    assert producer.flush(10) == 0
    found = _read(kafka.bootstrap, topic, start=Start("time", NOW_MS - 1000 + 5))
    assert [one.value for one in found] == [b"5", b"6", b"7", b"8", b"9"]
    assert _read(kafka.bootstrap, topic, start=Start("time", NOW_MS + 60_000)) == []


def test_an_empty_topic_and_the_end_are_known_at_once(kafka: BrokerHandle, mixed_topic: str) -> None:
    begun = time.monotonic()
    assert _read(kafka.bootstrap, kafka.create_topic(partitions=3)) == []
    assert _read(kafka.bootstrap, mixed_topic, start=Start("end")) == []
    assert time.monotonic() - begun < 3.0


def test_following_gives_the_past_in_order_and_then_what_comes(kafka: BrokerHandle) -> None:
    topic = kafka.create_topic(partitions=3)
    producer = _producer(kafka.bootstrap)
    for number in range(30):
        producer.produce(topic, b"%d" % number, partition=number % 3, timestamp=NOW_MS + number)
    assert producer.flush(10) == 0
    records = tail(_settings(kafka.bootstrap), topic, start=Start("beginning"))
    assert [next(records).value for _ in range(30)] == [b"%d" % number for number in range(30)]
    for number in range(30, 60):
        producer.produce(topic, b"%d" % number, partition=number % 3)
    assert producer.flush(10) == 0
    later = [next(records) for _ in range(30)]
    assert {record.value for record in later} == {b"%d" % number for number in range(30, 60)}
    for number in range(3):
        assert [one.offset for one in later if one.partition == number] == list(range(10, 20))
    records.close()


def test_following_from_the_end_misses_nothing_after_the_call(kafka: BrokerHandle) -> None:
    topic = kafka.create_topic(partitions=2)
    producer = _producer(kafka.bootstrap)
    producer.produce(topic, b"before")
    assert producer.flush(10) == 0
    records = tail(_settings(kafka.bootstrap), topic, limit=2)
    for partition in (0, 1):
        producer.produce(topic, b"after", partition=partition)
    assert producer.flush(10) == 0
    assert [one.value for one in records] == [b"after", b"after"]


def test_stop_ends_a_reading_that_waits(kafka: BrokerHandle) -> None:
    stop = Event()
    reading = Thread(target=lambda: list(tail(_settings(kafka.bootstrap), topic, stop=stop)))
    topic = kafka.create_topic()
    reading.start()
    stop.set()
    reading.join(10)
    assert not reading.is_alive()


def test_reading_leaves_no_group_behind(kafka: BrokerHandle, mixed_topic: str) -> None:
    _read(kafka.bootstrap, mixed_topic, limit=10)
    admin = kafka.admin()
    assert "atom-console" not in [one.group_id for one in admin.list_consumer_groups(request_timeout=5).result().valid]


def test_transactions(kafka: BrokerHandle) -> None:
    topic = kafka.create_topic()
    producer = _producer(kafka.bootstrap, **{"transactional.id": topic})
    producer.init_transactions(15)
    for value, finish in ((b"committed", producer.commit_transaction), (b"aborted", producer.abort_transaction)):
        producer.begin_transaction()
        producer.produce(topic, value)
        producer.flush(10)
        finish(15)
    # Offsets: committed 0, marker 1, aborted 2, marker 3: the last record is below the high watermark minus one.
    assert kafka.end_offsets(topic) == {0: 4}
    assert [one.value for one in _read(kafka.bootstrap, topic)] == [b"committed"]
    assert [one.value for one in _read(kafka.bootstrap, topic, read_committed=False)] == [b"committed", b"aborted"]
    producer.begin_transaction()
    producer.produce(topic, b"open")
    producer.flush(10)
    assert [one.value for one in _read(kafka.bootstrap, topic)] == [b"committed"], "an open one ends the reading early"
    reading = read_range(_settings(kafka.bootstrap), topic, {0: (0, 5)})
    assert [message.value() for batch in reading for message in batch] == [b"committed", b"aborted", b"open"]
    assert (reading.account[0].complete, reading.account[0].missing) == (True, 2)
    producer.abort_transaction(15)


def test_unknown_topics_and_refused_ports(kafka: BrokerHandle) -> None:
    with pytest.raises(UnknownTopicError, match="no-such-topic"):
        _read(kafka.bootstrap, "no-such-topic")
    (port,) = free_ports(1)
    with pytest.raises(BrokerUnreachableError, match="Connection refused"):
        _read(f"127.0.0.1:{port}", "any")


def test_without_permission_to_read_nothing_is_called_empty(kafka: BrokerHandle) -> None:
    topic = kafka.create_topic()
    producer = _producer(kafka.bootstrap)
    producer.produce(topic, b"x")
    assert producer.flush(10) == 0
    kafka.grant("writer", topic, AclOperation.WRITE, AclOperation.DESCRIBE)
    identity = kafka.identity("writer")
    settings = _settings(
        kafka.ssl_bootstrap,
        security_protocol="ssl",
        ssl_ca_location=identity.ca,
        ssl_certificate_location=identity.cert,
        ssl_key_location=identity.key,
    )
    with pytest.raises((RefusedError, BrokerUnreachableError)):
        list(tail(settings, topic, start=Start("beginning"), follow=False, stall_s=3))
    with pytest.raises((RefusedError, BrokerUnreachableError)):
        list(read_range(settings, topic, {0: (0, 1)}, stall_s=3))
    kafka.grant("writer", topic, AclOperation.READ)

    def readable() -> bool:
        try:
            return len(list(tail(settings, topic, start=Start("beginning"), follow=False, stall_s=3))) == 1
        except RefusedError:
            return False

    wait_until(readable, 10, "the grant holds")


def test_ranges_are_read_exactly(kafka: BrokerHandle, mixed_topic: str) -> None:
    ranges = {0: (5_000, 9_000), 1: (0, 300), 2: (0, 0), 3: (39, 40)}
    reading = read_range(_settings(kafka.bootstrap), mixed_topic, ranges)
    found = [record_of(message) for batch in reading for message in batch]
    for number, (low, high) in ranges.items():
        assert [one.offset for one in found if one.partition == number] == list(range(low, high))
        account = reading.account[number]
        assert (account.records, account.complete, account.missing) == (high - low, True, 0)


def test_a_range_beyond_the_log_is_not_complete(kafka: BrokerHandle, mixed_topic: str) -> None:
    reading = read_range(_settings(kafka.bootstrap), mixed_topic, {3: (0, 50)})
    assert sum(len(batch) for batch in reading) == 40
    assert not reading.account[3].complete
    assert reading.account[3].missing == 10


def test_offsets_that_retention_took_are_an_error(kafka: BrokerHandle) -> None:
    topic = kafka.create_topic()
    producer = _producer(kafka.bootstrap)
    for _ in range(10):
        producer.produce(topic, b"x")
    assert producer.flush(10) == 0
    from confluent_kafka import TopicPartition

    admin = kafka.admin()
    for done in admin.delete_records([TopicPartition(topic, 0, 6)]).values():
        done.result(10)
    with pytest.raises(LostOffsetsError) as lost:
        list(read_range(_settings(kafka.bootstrap), topic, {0: (2, 10)}))
    assert (lost.value.partition, lost.value.offset) == (0, 2)
    assert [one.offset for one in _read(kafka.bootstrap, topic)] == [6, 7, 8, 9]


@pytest.mark.crash
def test_a_broker_that_falls_silent_is_no_empty_topic(own_broker: KafkaBroker) -> None:
    handle = own_broker.handle
    topic = handle.create_topic()
    producer = _producer(handle.bootstrap)
    for _ in range(20_000):
        producer.produce(topic, b"x" * 200)
    assert producer.flush(20) == 0
    records = tail(_settings(handle.bootstrap), topic, start=Start("beginning"), follow=False, stall_s=2)
    next(records)
    own_broker.pause()
    with pytest.raises(BrokerUnreachableError):
        list(records)
    own_broker.resume()
    assert sum(1 for _ in tail(_settings(handle.bootstrap), topic, start=Start("beginning"), follow=False)) == 20_000

    lost: list[str] = []
    following = tail(_settings(handle.bootstrap), topic, limit=1, on_lost=lambda error: lost.append(str(error)))
    got: list[bytes | None] = []
    reading = Thread(target=lambda: got.extend(one.value for one in following))
    reading.start()
    own_broker.kill()
    wait_until(lambda: bool(lost), 15, "the loss was told")
    assert handle.bootstrap in lost[0]
    own_broker.restart()
    producer = _producer(handle.bootstrap)
    producer.produce(topic, b"again")
    assert producer.flush(15) == 0
    reading.join(30)
    assert got == [b"again"]


def test_the_embedded_cluster_can_be_read_too(mock_cluster: MockCluster, mock_topic: str) -> None:
    producer = _producer(mock_cluster.bootstrap_servers)
    for number in range(200):
        producer.produce(mock_topic, b"%d" % number)
    assert producer.flush(10) == 0
    records = _read(mock_cluster.bootstrap_servers, mock_topic)
    assert [one.value for one in records] == [b"%d" % number for number in range(200)]
