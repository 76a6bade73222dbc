"""Local records on a shared topic: published whole, marked once acknowledged, read back without loss."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest

from atom_console.config import KafkaSettings
from atom_console.dlq.adapters import Context
from atom_console.dlq.drain import DrainTargetError, drain
from atom_console.dlq.errors import FilterError
from atom_console.dlq.filters import Filter
from atom_console.dlq.ingest import ingest
from atom_console.dlq.record import NewRecord, RecordDetail
from atom_console.dlq.store import Store
from atom_console.dlq.troubles import trouble
from tests.broker.handle import BrokerHandle
from tests.dlq_adapters.letters import details

HEADERS = (
    ("trace_id", b"t"),
    ("dup", b"1"),
    ("dup", b"2"),
    ("nul", None),
    ("empty", b""),
    ("", b"noname"),
    ("x-original-topic", b"forged"),
    ("x-atom-dead-topic", b"forged too"),
)


def local(number: int, **fields: object) -> NewRecord:
    failed = trouble(
        origin="local",
        err_class="outage",
        err_name="_MSG_TIMED_OUT",
        err_code=-192,
        message="Local: Message timed out é",
        stage="delivery",
        component="producer@app-3",
        dest_topic="atom.write.raw",
        cluster_id="cluster-A",
    )
    values: dict[str, object] = {
        "trouble": failed,
        "captured_at": 1_750_000_000_000 + number,
        "key": b"tenant",
        "value": b"\x00\xff value %d" % number,
        "headers": HEADERS,
        "maybe_persisted": True,
        "orig_partition": 3,
        "orig_timestamp": 1_700_000_000_000,
    }
    return NewRecord(**{**values, **fields})


def told(record: RecordDetail) -> tuple[object, ...]:
    """Everything that must survive."""
    row = replace(record.row, seq=0, version=0, state="", state_reason="")
    return (row, record.cluster_id, record.stage, record.component, record.err_message, record.err_stack,
            record.payload_kind, record.orig_partition, record.orig_offset, record.orig_timestamp, record.ts_type,
            record.current.key, record.current.value, record.current.headers)  # fmt: skip


def test_what_is_drained_is_read_back_whole(
    kafka: BrokerHandle, broker_settings: KafkaSettings, store: Store, tmp_path: Path
) -> None:
    topic = kafka.create_topic(partitions=3)
    records = [
        local(0),
        local(1, key=None, value=None, headers=()),
        local(2, key=b"", value=b""),
        local(3, value=None, payload_kind="tombstone", orig_partition=None, orig_timestamp=None),
        local(4, payload_kind="input", maybe_persisted=False),
    ]
    store.insert(records)
    before = {record.row.id: told(record) for record in details(store)}
    report = drain(store, broker_settings, Filter(), topic)
    assert (report.read, report.written, report.skipped, report.failed) == (5, 5, 0, 0)
    for record in details(store):
        assert (record.row.state, record.row.state_reason) == ("discarded", f"drained to {topic}")
        assert record.audit[-1].action == "transition"
    with Store.open(tmp_path / "team") as team:
        assert ingest(team, broker_settings, [topic], Context())[0].added == 5
        found = {record.row.id: record for record in details(team)}
    assert {name: told(record) for name, record in found.items()} == before
    assert {record.dlq_topic for record in found.values()} == {topic}
    assert {record.row.state for record in found.values()} == {"ready"}


def test_the_store_knows_its_own_records_again(
    kafka: BrokerHandle, broker_settings: KafkaSettings, store: Store
) -> None:
    topic = kafka.create_topic()
    store.insert([local(n) for n in range(3)])
    drain(store, broker_settings, Filter(), topic)
    report = ingest(store, broker_settings, [topic], Context())[0]
    assert (report.read, report.added, report.known) == (3, 0, 3)


def test_what_the_broker_refuses_stays(kafka: BrokerHandle, broker_settings: KafkaSettings, store: Store) -> None:
    topic = kafka.create_topic(configs={"max.message.bytes": 20_000})
    store.insert([local(0), local(1, value=os.urandom(50_000)), local(2)])
    report = drain(store, broker_settings, Filter(), topic)
    assert [record.row.state for record in details(store)] == ["discarded", "ready", "discarded"]
    assert (report.written, report.failed) == (2, 1)
    assert "too large" in report.failures[0].why.lower()


def test_only_local_open_records_and_no_destination(
    kafka: BrokerHandle, broker_settings: KafkaSettings, store: Store
) -> None:
    topic = kafka.create_topic()
    store.insert([local(0, trouble=trouble(origin="local", err_class="poison", err_name="X", message="m", stage="s",
                                           component="c", dest_topic=topic))])  # fmt: skip
    with pytest.raises(DrainTargetError):
        drain(store, broker_settings, Filter(), topic)
    with pytest.raises(FilterError):
        drain(store, broker_settings, Filter(states=("replayed",)), topic)
    with pytest.raises(FilterError):
        drain(store, broker_settings, Filter(origins=("connect",)), topic)
