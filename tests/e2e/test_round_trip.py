"""Events in by the command line, out by ours and by an independent reader."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Consumer, TopicPartition

from atom_console import Producer
from atom_console.config import KafkaSettings
from atom_console.events import decode_mapping, encode_mapping
from atom_console.kafka.tail import Start, tail
from benchmarks.stock_codec import StockCodec
from tests.broker.handle import SILENT, BrokerHandle
from tests.e2e.delivery import many_events, many_lines, settings_for

COUNT = 100_000


@pytest.mark.timeout(240)
def test_a_hundred_thousand_events_there_and_back(kafka: BrokerHandle, tmp_path: Path) -> None:
    topic = kafka.create_topic(partitions=3)
    given = {encode_mapping(event) for event in many_events(COUNT)}
    assert len(given) == COUNT
    with (tmp_path / "events.jsonl").open("w") as lines:
        lines.writelines(many_lines(COUNT))

    produced = _run(
        "produce", tmp_path / "events.jsonl", "--topic", topic, "--json", bootstrap=kafka.bootstrap, home=tmp_path
    )
    assert produced.returncode == 0, produced.stderr
    answer = json.loads(produced.stdout)
    assert {name: answer[name] for name in ("accepted", "acked", "captured", "invalid")} == {
        "accepted": COUNT,
        "acked": COUNT,
        "captured": 0,
        "invalid": 0,
    }
    assert answer["cluster_id"] == kafka.cluster_id

    ours = list(tail(KafkaSettings(bootstrap_servers=kafka.bootstrap), topic, start=Start("beginning"), follow=False))
    assert len(ours) == COUNT
    assert not given ^ {record.value for record in ours}
    for record in ours[:: COUNT // 500]:
        _check_envelope(record.value or b"", record.key, dict(record.headers), record.timestamp_ms)

    theirs = _independent_values(kafka.bootstrap, topic)
    assert len(theirs) == COUNT
    assert not given ^ set(theirs)
    stock = StockCodec(tmp_path)
    for value in theirs[::10]:
        assert _plain(stock.decode(value)) == _plain(decode_mapping(value))


def _check_envelope(
    value: bytes, key: bytes | None, headers: dict[str, bytes | None], timestamp_ms: int | None
) -> None:
    event = decode_mapping(value)
    assert key == event["tenant_id"].encode()
    assert headers == {"trace_id": event["trace_id"].encode(), "type": b"%d" % event["type"]}
    assert timestamp_ms == event["timestamp"] // 1_000_000


def _plain(event: dict[str, Any]) -> dict[str, Any]:
    molecules = event.get("molecules")
    plain = {name: value for name, value in event.items() if name != "molecules" and value is not None}
    if molecules is not None:
        plain["molecules"] = [{name: value for name, value in one.items() if value is not None} for one in molecules]
    return plain


def _independent_values(bootstrap: str, topic: str) -> list[bytes]:
    """With the client library alone and a plain loop, as any other service would."""
    consumer = Consumer({"bootstrap.servers": bootstrap, "group.id": topic, "enable.auto.commit": False}, logger=SILENT)
    try:
        numbers = consumer.list_topics(topic, timeout=5).topics[topic].partitions
        wanted = sum(consumer.get_watermark_offsets(TopicPartition(topic, number), timeout=5)[1] for number in numbers)
        consumer.assign([TopicPartition(topic, number, 0) for number in numbers])
        values: list[bytes] = []
        while len(values) < wanted:
            for message in consumer.consume(1_000, 5.0):
                assert message.error() is None
                values.append(message.value() or b"")
        return values
    finally:
        consumer.close()


def _run(*words: object, bootstrap: str, home: Path) -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("ATOM_")}
    places = {f"XDG_{kind}_HOME": str(home / kind.lower()) for kind in ("STATE", "CONFIG", "DATA", "CACHE")}
    return subprocess.run(
        [sys.executable, "-m", "atom_console", *map(str, words)],
        env=environment | places | {"ATOM_KAFKA_BOOTSTRAP_SERVERS": bootstrap},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def test_the_codec_of_every_batch_is_the_configured_one(kafka: BrokerHandle, tmp_path: Path) -> None:
    codecs = ("none", "snappy", "lz4", "zstd", "gzip")
    topics = {codec: kafka.create_topic() for codec in codecs}
    for codec, topic in topics.items():
        settings = settings_for(kafka.bootstrap, topic, compression=codec, linger_ms=20)
        with Producer(settings, dlq_dir=tmp_path / codec) as producer:
            assert producer.warm_up()
            for event in many_events(300):
                producer.publish(event)
            report = producer.drain(15)
        assert report.acked == 300
    dumped = kafka.dump_log(*topics.values())
    sizes = {}
    for codec, topic in topics.items():
        batches = [line.split() for line in dumped[topic].splitlines() if line.startswith("baseOffset:")]
        assert batches
        assert {words[words.index("compresscodec:") + 1] for words in batches} == {codec}
        assert {words[words.index("isvalid:") + 1] for words in batches} == {"true"}
        sizes[codec] = sum(int(words[words.index("size:") + 1]) for words in batches)
    assert all(sizes[codec] < sizes["none"] for codec in codecs[1:])
