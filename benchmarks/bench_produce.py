"""The whole way of an event: dict → FlatBuffer → produce → report, beside the stock builder and a pre-encoded payload.

Against the embedded mock cluster; set `ATOM_BENCH_BOOTSTRAP_SERVERS` to measure against a real one as well (the topic
`atom-bench` is written to).
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from time import perf_counter
from typing import Any

from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient, NewTopic  # type: ignore[attr-defined]  # public by documentation

from atom_console.config import KafkaSettings, Settings
from atom_console.events import AtomEvent, Molecule, encode_mapping
from atom_console.kafka.client_config import producer_config
from atom_console.kafka.client_log import CLIENT_LOG
from atom_console.kafka.failure import FailedDelivery
from atom_console.kafka.publisher import Publisher
from atom_console.metrics import LatencyHistogram
from atom_console.sandbox.mock_cluster import MockCluster
from atom_console.sandbox.workload import Event, Workload
from benchmarks.harness import Result, in_turn
from benchmarks.stock_codec import StockCodec

# Few enough to stay in the cache, as an event does that was made just now.
_DISTINCT = 1_000
_EVENTS = 30_000
_STOCK_EVENTS = 3_000
_BATCH = 100
_POLL_EVERY = 64
_TOPIC = "atom-bench"


class _NothingMayFail:
    def capture(self, failure: FailedDelivery) -> None:
        raise AssertionError(f"{failure.name}: {failure.message}")


def run() -> Iterator[Result]:
    """The pipeline and its latency on the mock cluster, and the pipeline on a real cluster where one is named."""
    with tempfile.TemporaryDirectory() as room:
        stock = StockCodec(Path(room))
        with MockCluster() as cluster:
            cluster.topic(_TOPIC, partitions=4)
            yield from _pipeline("mock", cluster.bootstrap_servers, stock)
            yield _latency(cluster.bootstrap_servers)
        real = os.environ.get("ATOM_BENCH_BOOTSTRAP_SERVERS")
        if real:
            _make_topic(real)
            yield from _pipeline("real Kafka", real, stock)


def _make_topic(bootstrap_servers: str) -> None:
    admin = AdminClient({"bootstrap.servers": bootstrap_servers})
    if _TOPIC not in admin.list_topics(timeout=10).topics:
        admin.create_topics([NewTopic(_TOPIC, 4, 1)])[_TOPIC].result(10)


def _settings(bootstrap_servers: str, **kafka: Any) -> Settings:
    return Settings(kafka=KafkaSettings(bootstrap_servers=bootstrap_servers, topic=_TOPIC, compression="lz4", **kafka))


def _pipeline(where: str, bootstrap_servers: str, stock: StockCodec) -> Iterator[Result]:
    settings = _settings(bootstrap_servers, preset="throughput")
    distinct = Workload().writes(_DISTINCT)
    events = distinct * (_EVENTS // _DISTINCT)
    objects = [_as_object(event) for event in distinct]
    payloads = [encode_mapping(event) for event in distinct]
    bare = Producer(producer_config(settings.kafka) | {"logger": CLIENT_LOG})
    publisher = Publisher(settings, _NothingMayFail())
    publisher.warm_up()
    single, batched, encoded, stocked = in_turn(
        lambda: _finish(publisher, lambda: _one_by_one(publisher, events)),
        lambda: _finish(publisher, lambda: _in_batches(publisher, events)),
        lambda: _bare(bare, events, lambda index: payloads[index % _DISTINCT]),
        lambda: _bare(bare, events[:_STOCK_EVENTS], lambda index: stock.encode(objects[index % _DISTINCT])),
        rounds=7,
    )
    publisher.drain(5.0)
    stock_rate, limit = _STOCK_EVENTS / stocked, _EVENTS / encoded
    for how, taken in (("one by one", single), ("in batches of 100", batched)):
        rate = _EVENTS / taken
        name = f"publish a dict, {how}, {where}"
        yield _against(f"{name}: against the stock builder", rate, stock_rate, 12)
        yield _against(f"{name}: against a pre-encoded payload", rate, limit, 0.65)


def _against(name: str, rate: float, baseline: float, budget: float) -> Result:
    return Result(name, rate, "events/s", baseline, rate / baseline, f">= {budget:g}x", rate / baseline >= budget)


def _as_object(event: Event) -> AtomEvent:
    return AtomEvent(**event | {"molecules": [Molecule(**molecule) for molecule in event["molecules"]]})


def _one_by_one(publisher: Publisher, events: Sequence[Event]) -> None:
    for event in events:
        publisher.publish_mapping(event)


def _in_batches(publisher: Publisher, events: Sequence[Event]) -> None:
    for start in range(0, len(events), _BATCH):
        publisher.publish_mappings(events[start : start + _BATCH])


def _finish(publisher: Publisher, work: Callable[[], None]) -> None:
    work()
    while publisher.snapshot().in_flight:
        publisher.poll(0.005)


def _bare(producer: Producer, events: Sequence[Event], payload: Callable[[int], bytes]) -> None:
    """The least that a careful service writes: the same produce call, and a callback that counts and measures."""
    histogram = LatencyHistogram()
    counts = {"acked": 0, "bytes": 0}

    def report(error: Any, message: Any) -> None:
        if error is not None:
            raise AssertionError(error)
        counts["acked"] += 1
        counts["bytes"] += len(message)
        histogram.record(message.latency() * 1e6)

    for index, event in enumerate(events):
        headers: Any = [("trace_id", event["trace_id"].encode()), ("type", b"1")]
        time_ms = event["timestamp"] // 1_000_000
        producer.produce(_TOPIC, payload(index), event["tenant_id"].encode(), -1, report, None, time_ms, headers)
        if index % _POLL_EVERY == 0:
            producer.poll(0)
    producer.flush()


def _latency(bootstrap_servers: str) -> Result:
    """Produce to acknowledged, linger 0, 500 events a second; the wire is the loopback device, there is no replica."""
    workload = Workload()
    publisher = Publisher(_settings(bootstrap_servers, preset="latency"), _NothingMayFail())
    publisher.warm_up()
    publisher.publish_mapping(workload.write())
    _finish(publisher, lambda: None)
    end = perf_counter() + 3.0
    while (now := perf_counter()) < end:
        publisher.publish_mapping(workload.write())
        while (left := now + 0.002 - perf_counter()) > 0:
            publisher.poll(left)
    _finish(publisher, lambda: None)
    p99 = publisher.snapshot().ack.p99_ms
    publisher.drain(5.0)
    assert p99 is not None
    return Result("produce to acknowledged, p99, mock on loopback", p99, "ms", None, None, "< 2 ms", p99 < 2)
