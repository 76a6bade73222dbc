"""Dead letters of real frameworks on topics of a real broker: taken in once, whole, and from where it was left."""

from __future__ import annotations

import subprocess
import sys
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from threading import Event

import pytest

from atom_console.config import KafkaSettings
from atom_console.dlq.adapters import Context, Letter
from atom_console.dlq.ingest import NothingToIngestError, ingest
from atom_console.dlq.reader import Reader
from atom_console.dlq.store import Store
from atom_console.kafka.cluster import UnknownTopicError
from tests.broker.handle import BrokerHandle, wait_until
from tests.dlq_adapters.letters import RealLetter, details, make, publish, real_letters


@pytest.fixture(scope="module")
def on_the_broker(kafka: BrokerHandle) -> dict[str, list[RealLetter]]:
    """The captured dead letters, a topic each of theirs: retention off, as their stamps are old."""
    captured: dict[str, list[RealLetter]] = defaultdict(list)
    for one in real_letters():
        captured[one.letter.topic].append(one)
    by_topic = {}
    for name, letters in captured.items():
        topic = kafka.create_topic(kafka.topic_name(name), configs={"retention.ms": -1})
        publish(kafka, [one.letter for one in letters], topic)
        by_topic[topic] = letters
    return by_topic


def test_real_dead_letters_come_in_whole(
    on_the_broker: dict[str, list[RealLetter]], kafka: BrokerHandle, broker_settings: KafkaSettings, store: Store
) -> None:
    reports = ingest(store, broker_settings, list(on_the_broker), Context())
    count = sum(map(len, on_the_broker.values()))
    assert [(r.read, r.added, r.known, r.skipped) for r in reports] == [
        (len(letters), len(letters), 0, 0) for letters in on_the_broker.values()
    ]
    found = {(d.dlq_topic, d.dlq_offset): d for d in details(store)}
    assert len(found) == count
    for topic, letters in on_the_broker.items():
        for offset, real in enumerate(letters):
            record = found[topic, offset]
            assert (record.row.topic, record.orig_partition, record.orig_offset) == real.origin
            assert record.cluster_id == kafka.cluster_id
            assert record.current.key == real.letter.key
            assert record.current.value == real.letter.value
            assert record.dlq_headers == real.letter.headers
            assert record.orig_timestamp == real.original["timestamp"]
            assert record.row.err_name == real.expect.get("exception_class", record.row.err_name)
            if "#2" not in real.case and "forged" not in real.case:
                assert record.current.headers == real.original_headers
            assert not any(
                name.startswith(("kafka_dlt", "__connect", "x-original")) for name, _ in record.current.headers
            )


def test_a_second_ingest_adds_nothing(
    on_the_broker: dict[str, list[RealLetter]], broker_settings: KafkaSettings, store: Store
) -> None:
    topics = list(on_the_broker)
    ingest(store, broker_settings, topics, Context())
    assert [(r.read, r.added) for r in ingest(store, broker_settings, topics, Context())] == [(0, 0)] * len(topics)
    again = ingest(store, broker_settings, topics, Context(), again=True)
    assert [(r.added, r.known) for r in again] == [(0, len(letters)) for letters in on_the_broker.values()]


def test_it_goes_on_where_it_was_left(kafka: BrokerHandle, broker_settings: KafkaSettings, store: Store) -> None:
    topic = kafka.create_topic(partitions=2)
    publish(kafka, [make(("original_partition", b"0"), ("original_offset", b"%d" % n)) for n in range(5)], topic, 1)
    assert ingest(store, broker_settings, [topic], Context())[0].added == 5
    publish(kafka, [make(("original_partition", b"0"), ("original_offset", b"9"))], topic, 1)
    report = ingest(store, broker_settings, [topic], Context())[0]
    assert (report.read, report.added) == (1, 1)


def test_two_ingests_at_once_store_each_record_once(
    kafka: BrokerHandle, broker_settings: KafkaSettings, store: Store, tmp_path: Path
) -> None:
    from concurrent.futures import ThreadPoolExecutor

    topic = kafka.create_topic()
    publish(kafka, [make(("n", b"%d" % n)) for n in range(5_000)], topic)
    with Store.open(tmp_path / "store") as other, ThreadPoolExecutor(2) as pool:
        runs = [pool.submit(ingest, one, broker_settings, [topic], Context()) for one in (store, other)]
        reports = [run.result()[0] for run in runs]
    assert sum(report.added for report in reports) == 5_000
    assert store.reader().stats().total == 5_000


def test_a_topic_made_again_is_read_from_its_beginning(
    kafka: BrokerHandle, broker_settings: KafkaSettings, store: Store
) -> None:
    topic = kafka.create_topic()
    publish(kafka, [make(("old", b"%d" % n)) for n in range(3)], topic)
    ingest(store, broker_settings, [topic], Context())
    kafka.delete_topic(topic)
    kafka.create_topic(topic)
    publish(kafka, [make(("new", b"%d" % n)) for n in range(4)], topic)
    report = ingest(store, broker_settings, [topic], Context())[0]
    assert (report.made_again, report.added) == (True, 4)
    assert store.reader().stats().total == 7


def test_pointers_are_read_at_their_source(kafka: BrokerHandle, broker_settings: KafkaSettings, store: Store) -> None:
    source, dlq = kafka.create_topic(), kafka.create_topic()
    originals = [
        make(("trace_id", b"t"), ("nul", None), key=b"k1", value=b"payload"),
        make(key=None, value=None),
        make(key=b"k3", value=None),
    ]
    publish(kafka, originals, source)

    def pointer(offset: int, **payload: bytes | None) -> Letter:
        place = (("topic", source.encode()), ("partition", b"0"), ("offset", b"%d" % offset), ("group", b"share-1"))
        headers = ((f"__dlq.errors.{name}", value) for name, value in (*place, ("message", b"Offset rejected.")))
        return make(*headers, **{"key": None, "value": None, **payload})

    publish(kafka, [pointer(2), pointer(0), pointer(1), pointer(99), pointer(0, key=b"k1", value=b"payload")], dlq)
    report = ingest(store, broker_settings, [dlq], Context())[0]
    assert (report.fetched, report.gone) == (4, 1)
    found = {d.dlq_offset: d for d in details(store)}
    for dlq_offset, original in ((1, originals[0]), (4, originals[0]), (2, originals[1]), (0, originals[2])):
        record = found[dlq_offset]
        got = (record.current.key, record.current.value, record.current.headers, record.orig_timestamp)
        assert got == (original.key, original.value, original.headers, original.timestamp)
        assert record.payload_kind == ("full" if original.value is not None else "tombstone")
    assert found[3].payload_kind == "pointer"
    assert found[3].row.state == "quarantined"
    assert any("holds 0 to 2, it was 99" in warning for warning in found[3].warnings)


def test_a_source_that_holds_another_record_is_not_taken(
    kafka: BrokerHandle, broker_settings: KafkaSettings, store: Store
) -> None:
    source, dlq = kafka.create_topic(), kafka.create_topic()
    publish(kafka, [make(key=b"other", value=b"x")], source)
    publish(kafka, [make(("original_partition", b"0"), ("original_offset", b"0"), value=b"")], dlq)
    ingest(store, broker_settings, [dlq], Context(sources={dlq: source}))
    (record,) = details(store)
    assert (record.payload_kind, record.current.value) == ("derived", b"")
    assert any("is another one" in warning for warning in record.warnings)


def test_a_tombstone_that_arroyo_made_empty_comes_back(
    kafka: BrokerHandle, broker_settings: KafkaSettings, store: Store
) -> None:
    source, dlq = kafka.create_topic(), kafka.create_topic()
    publish(kafka, [make(value=None)], source)
    publish(kafka, [make(("original_partition", b"0"), ("original_offset", b"0"), value=b"")], dlq)
    ingest(store, broker_settings, [dlq], Context(sources={dlq: source}))
    (record,) = details(store)
    assert (record.payload_kind, record.current.value, record.row.topic) == ("tombstone", None, source)


def test_old_stamps_are_warned_of(kafka: BrokerHandle, broker_settings: KafkaSettings, store: Store) -> None:
    topic = kafka.create_topic(configs={"retention.ms": 7 * 86_400_000, "message.timestamp.before.max.ms": 2**62})
    publish(kafka, [make(("__connect.errors.topic", b"orders"), timestamp=1_750_000_000_123)], topic)
    report = ingest(store, broker_settings, [topic], Context())[0]
    assert report.expiring == report.read == 1
    assert any("retention counts from the record's own timestamp" in w for w in details(store)[0].warnings)


def test_a_record_that_returns_knows_its_parent_and_is_set_aside_the_second_time(
    kafka: BrokerHandle, broker_settings: KafkaSettings, store: Store
) -> None:
    topic = kafka.create_topic()
    place = (("original_partition", b"0"), ("original_offset", b"0"))
    for expected in (0, 1, 2):
        before = details(store)
        parent = (("x-atom-dlq-id", before[-1].row.id.encode()),) if before else ()
        publish(kafka, [make(*parent, *place)], topic)
        ingest(store, broker_settings, [topic], Context(sources={topic: "orders"}))
        record = details(store)[-1]
        assert record.row.loops == expected
        assert record.parent_id == (before[-1].row.id if before else None)
        assert record.current.headers == ()
    assert record.row.state_reason.startswith("loop")


def test_topics_that_are_not_there(kafka: BrokerHandle, broker_settings: KafkaSettings, store: Store) -> None:
    with pytest.raises(NothingToIngestError):
        ingest(store, broker_settings, [], Context())
    with pytest.raises(UnknownTopicError):
        ingest(store, broker_settings, ["no-such-topic"], Context())


def kill_when(process: subprocess.Popen[bytes], far_enough: Callable[[], bool]) -> None:
    wait_until(lambda: far_enough() or process.poll() is not None, 60, "records come in")
    process.kill()
    process.wait(10)


@pytest.mark.crash
def test_a_kill_at_any_moment_costs_nothing(
    kafka: BrokerHandle, broker_settings: KafkaSettings, tmp_path: Path
) -> None:
    """Killed three times while records go in: every offset is there once."""
    topic = kafka.create_topic(partitions=2)
    for partition in (0, 1):
        publish(kafka, [make(("n", b"%d" % n)) for n in range(10_000)], topic, partition)
    work = (
        "import sys; from pathlib import Path; from atom_console.config import KafkaSettings\n"
        "from atom_console.dlq.adapters import Context; from atom_console.dlq.ingest import ingest\n"
        "from atom_console.dlq.store import Store\n"
        "with Store.open(Path(sys.argv[1])) as store:\n"
        "    ingest(store, KafkaSettings(bootstrap_servers=sys.argv[2]), [sys.argv[3]], Context())\n"
    )
    directory = tmp_path / "killed"
    reader = Reader(directory)
    for enough in (1, 6_000, 12_000):
        command = [sys.executable, "-c", work, str(directory), broker_settings.bootstrap_servers, topic]
        kill_when(subprocess.Popen(command), lambda least=enough: reader.stats().total >= least)
    with Store.open(directory) as store:
        ingest(store, broker_settings, [topic], Context())
        query = 'SELECT partition, count(*), count(DISTINCT "offset"), max("offset") FROM provenance GROUP BY 1'
        rows = store.run(lambda conn: list(conn.execute(query)))
        assert rows == [(0, 10_000, 10_000, 9_999), (1, 10_000, 10_000, 9_999)]
        assert store.reader().stats().total == 20_000
    reader.close()


def test_a_stop_keeps_what_was_read(kafka: BrokerHandle, broker_settings: KafkaSettings, store: Store) -> None:
    topic = kafka.create_topic()
    publish(kafka, [make(("n", b"%d" % n)) for n in range(9_000)], topic)
    stop = Event()
    first = ingest(store, broker_settings, [topic], Context(), stop=stop, on_progress=lambda _read, _due: stop.set())[0]
    assert 0 < first.added < 9_000
    assert ingest(store, broker_settings, [topic], Context())[0].added == 9_000 - first.added
