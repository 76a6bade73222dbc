"""Plans and runs on the real broker, without faults."""

from __future__ import annotations

from atom_console.config import Settings
from atom_console.dlq.check import check
from atom_console.dlq.replay.reading import connect
from atom_console.dlq.store import Store
from tests.broker.handle import BrokerHandle
from tests.dlq_replay.conftest import fill, judge, read_topic, replay


def test_every_record_arrives_once_in_order_and_as_it_was(
    kafka: BrokerHandle, kafka_topic: str, replay_store: Store, replay_on: Settings
) -> None:
    fill(replay_store, kafka_topic, 500, keys=20)
    made, report = replay(replay_store, replay_on)
    assert (made.count, made.keys, made.may_duplicate) == (500, 20, 0)
    assert (report.run.state, report.run.replayed, report.run.left) == ("finished", 500, 0)
    assert report.run.verified == "verified: 0 lost, 0 duplicates"

    messages = read_topic(kafka.bootstrap, kafka_topic)
    assert judge(messages, range(500), 20) == (0, 0, 0)
    reader = replay_store.reader()
    row = reader.page(order="oldest").records[0]
    record = reader.record(row.id)
    reader.close()
    assert record is not None
    assert row.state == "replayed"
    assert row.attempts == 1
    (first,) = [message for message in messages if dict(message.headers())["x-atom-dlq-id"] == row.id.encode()]
    assert (first.key(), first.value()) == (record.current.key, record.current.value)
    assert (record.delivered_partition, record.delivered_offset) == (first.partition(), first.offset())
    assert first.headers() == [
        *record.current.headers,
        ("x-atom-replay-id", f"{made.run_id}:1".encode()),
        ("x-atom-orig-ts", b"1790000000000"),
        ("x-atom-dlq-id", row.id.encode()),
    ]
    assert [(one.outcome, one.partition, one.offset) for one in record.attempts] == [
        ("replayed", first.partition(), first.offset())
    ]
    conn = connect(replay_store.directory)
    assert check(conn).ok
    conn.close(True)
