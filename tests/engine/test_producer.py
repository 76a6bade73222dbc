from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from atom_console import Producer
from atom_console.config import Loaded
from atom_console.dlq.filters import Filter
from atom_console.engine.feed import feed
from atom_console.engine.sources import Chunk, InputFault, Pacer
from atom_console.errors import RefusedError
from atom_console.events import EncodeError, decode, encode_mapping
from atom_console.kafka.publisher import PublisherClosedError
from atom_console.sandbox.mock_cluster import MockCluster
from atom_console.sandbox.workload import Workload

NOWHERE = "127.0.0.1:1"


@pytest.mark.parametrize("mode", ["async", "durable"])
def test_events_are_acknowledged_and_nothing_is_kept(
    cluster: MockCluster, loaded_for: Callable[..., Loaded], workload: Workload, mode: str
) -> None:
    with Producer(loaded_for(cluster.bootstrap_servers, f"dlq.mode={mode}").settings) as producer:
        producer.publish_many([decode(encode_mapping(event)) for event in workload.events(500)])
        for event in workload.events(20):
            producer.publish(event)
        producer.wait_for_reports(10)
    report = producer.drain()
    assert (report.accepted, report.acked, report.captured) == (520, 520, 0)
    stats = producer.store.reader().stats()
    assert (stats.total, stats.journal) == (0, 0)


@pytest.mark.parametrize("mode", ["async", "durable"])
def test_with_the_broker_away_every_event_is_in_the_store_byte_for_byte(
    loaded_for: Callable[..., Loaded], workload: Workload, mode: str
) -> None:
    events = workload.events(200)
    settings = loaded_for(NOWHERE, f"dlq.mode={mode}").settings
    producer = Producer(settings, component="svc")
    for event in events:
        producer.publish(event)
    begun = time.monotonic()
    report = producer.close(deadline_s=0.3)
    assert time.monotonic() - begun < 3
    assert (report.accepted, report.acked, report.captured) == (200, 0, 200)
    reader = producer.store.reader()
    rows = reader.page(limit=500, order="oldest").records
    kept = [reader.record(row.id) for row in rows]
    assert [record.current.value for record in kept if record] == [encode_mapping(event) for event in events]
    assert {record.component for record in kept if record} == {"svc"}
    assert {row.event_id for row in rows} == {event["event_id"] for event in events}
    assert reader.stats().journal == 0


def test_reports_are_served_while_nobody_publishes(
    cluster: MockCluster, loaded_for: Callable[..., Loaded], workload: Workload
) -> None:
    with Producer(loaded_for(cluster.bootstrap_servers).settings) as producer:
        producer.publish(workload.event())
        deadline = time.monotonic() + 10
        while producer.snapshot().acked == 0 and time.monotonic() < deadline:
            time.sleep(0.005)
        assert producer.snapshot().acked == 1


def test_many_threads_publish_at_once_and_every_event_is_accounted_for(
    cluster: MockCluster, loaded_for: Callable[..., Loaded]
) -> None:
    with Producer(loaded_for(cluster.bootstrap_servers).settings) as producer:

        def work(seed: int) -> None:
            for event in Workload(seed=seed).events(300):
                producer.publish(event)

        threads = [threading.Thread(target=work, args=(seed,)) for seed in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    report = producer.drain()
    assert (report.accepted, report.acked + report.captured) == (1800, 1800)


def test_the_cluster_is_learnt_and_dead_letters_carry_it(
    cluster: MockCluster, loaded_for: Callable[..., Loaded], workload: Workload
) -> None:
    settings = loaded_for(cluster.bootstrap_servers, "kafka.message_max_bytes=1000").settings
    with Producer(settings) as producer:
        deadline = time.monotonic() + 10
        while producer.cluster_id is None and time.monotonic() < deadline:
            time.sleep(0.01)
        while producer.store._writer.cluster_id is None and time.monotonic() < deadline:
            time.sleep(0.01)
        producer.publish(workload.oversize(5_000))
    reader = producer.store.reader()
    (row,) = reader.page().records
    record = reader.record(row.id)
    assert record is not None
    assert record.cluster_id == producer.cluster_id
    assert record.cluster_id is not None


def test_what_cannot_be_encoded_is_refused_and_nothing_is_accepted(
    loaded_for: Callable[..., Loaded], workload: Workload
) -> None:
    with Producer(loaded_for(NOWHERE).settings) as producer:
        with pytest.raises(EncodeError, match="tenant_id"):
            producer.publish(workload.event() | {"tenant_id": 7})
        assert producer.snapshot().accepted == 0


def test_nothing_is_accepted_after_the_end(loaded_for: Callable[..., Loaded], workload: Workload) -> None:
    producer = Producer(loaded_for(NOWHERE).settings)
    producer.close()
    with pytest.raises((PublisherClosedError, RefusedError)):
        producer.publish(workload.event())


def test_a_full_store_refuses_new_events_in_words(loaded_for: Callable[..., Loaded], workload: Workload) -> None:
    settings = loaded_for(NOWHERE, "dlq.min_free_bytes=900TiB", "dlq.full_policy=reject_new").settings
    with Producer(settings) as producer, pytest.raises(RefusedError, match="below the floor"):
        producer.publish(workload.event())


def test_a_feed_keeps_bad_input_and_counts_both(
    cluster: MockCluster, loaded_for: Callable[..., Loaded], workload: Workload
) -> None:
    payloads = [encode_mapping(event) for event in workload.events(30)]
    chunks = [Chunk(payloads=payloads), Chunk(faults=[InputFault("in:31", b"\x00raw", "event: not JSON")])]
    told: list[str] = []
    with Producer(loaded_for(cluster.bootstrap_servers).settings) as producer:
        progress = feed(producer, chunks, on_fault=lambda fault: told.append(fault.where))
    assert (progress.sent, progress.invalid, told) == (30, 1, ["in:31"])
    reader = producer.store.reader()
    (row,) = reader.page(Filter(classes=("poison",))).records
    record = reader.record(row.id)
    assert record is not None
    assert record.current.value == b"\x00raw"
    assert "in:31" in record.err_message


def test_a_limit_and_a_rate_hold(cluster: MockCluster, loaded_for: Callable[..., Loaded], workload: Workload) -> None:
    chunk = Chunk(payloads=[encode_mapping(event) for event in workload.events(400)])
    with Producer(loaded_for(cluster.bootstrap_servers).settings) as producer:
        begun = time.monotonic()
        progress = feed(producer, [chunk], pacer=Pacer(300.0), limit=150)
        took = time.monotonic() - begun
    assert progress.sent == 150
    assert 0.40 < took < 2.0


def test_the_library_example_of_the_readme_runs(cluster: MockCluster, tmp_path: Path) -> None:
    readme = (Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8")
    example = readme.split("```python\n", 1)[1].split("```", 1)[0]
    assert len([line for line in example.splitlines() if line.strip()]) <= 14
    done = subprocess.run(
        [sys.executable, "-c", example],
        env={
            "PATH": "",
            "ATOM_KAFKA_BOOTSTRAP_SERVERS": cluster.bootstrap_servers,
            "XDG_STATE_HOME": str(tmp_path),
            "XDG_CONFIG_HOME": str(tmp_path),
        },
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "1 accepted, 1 acknowledged, 0 in the DLQ" in done.stdout
