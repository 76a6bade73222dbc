from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Consumer, Producer
from confluent_kafka.admin import AdminClient

from atom_console.config import KafkaSettings, Settings
from atom_console.kafka.client_config import (
    ClientConfigError,
    admin_config,
    consumer_config,
    producer_config,
)
from atom_console.kafka.client_log import CLIENT_LOG
from atom_console.kafka.publisher import Publisher
from tests.kafka.producing import NOWHERE, MemorySink


def _kafka(**settings: Any) -> KafkaSettings:
    return KafkaSettings(bootstrap_servers=NOWHERE, **settings)


def test_every_setting_reaches_librdkafka_under_its_name() -> None:
    properties = producer_config(
        _kafka(
            compression="lz4", compression_level=3, linger_ms=2.5, batch_size=9_999, batch_num_messages=77, acks="1",
            idempotence=False, queue_max_messages=5, queue_max_kbytes=6, message_timeout_ms=7_000,
            message_max_bytes=8_000, partitioner="consistent_random", statistics_interval_ms=9, client_id="me",
        )
    )  # fmt: skip
    assert properties == {
        "bootstrap.servers": NOWHERE, "client.id": "me", "compression.type": "lz4", "compression.level": 3,
        "linger.ms": 2.5, "batch.size": 9_999, "batch.num.messages": 77, "acks": "1", "enable.idempotence": False,
        "queue.buffering.max.messages": 5, "queue.buffering.max.kbytes": 6, "message.timeout.ms": 7_000,
        "topic.metadata.propagation.max.ms": 3_500,
        "message.max.bytes": 8_000, "partitioner": "consistent_random", "statistics.interval.ms": 9,
        "security.protocol": "plaintext",
    }  # fmt: skip


def test_financial_defaults() -> None:
    properties = producer_config(_kafka())
    assert (properties["acks"], properties["enable.idempotence"]) == ("all", True)
    assert properties["partitioner"] == "murmur2_random"
    assert properties["linger.ms"] == 0


def test_other_properties_pass_through_to_the_clients_that_they_concern() -> None:
    kafka = _kafka(
        properties={"socket.keepalive.enable": "true", "fetch.min.bytes": "10", "sticky.partitioning.linger.ms": "0"}
    )
    assert producer_config(kafka)["sticky.partitioning.linger.ms"] == "0"
    for properties in (consumer_config(kafka), admin_config(kafka)):
        assert properties["socket.keepalive.enable"] == "true"
        assert "sticky.partitioning.linger.ms" not in properties
        assert "linger.ms" not in properties
    assert consumer_config(kafka)["fetch.min.bytes"] == "10"


@pytest.mark.parametrize("name", ["delivery.report.only.error", "transactional.id", "enable.gapless.guarantee"])
def test_a_property_that_would_hide_the_fate_of_events_is_refused(name: str) -> None:
    with pytest.raises(ClientConfigError, match=name):
        producer_config(_kafka(properties={name: "true"}))


def test_tls_and_sasl_reach_every_client_and_secrets_are_plain_only_there(tmp_path: Path) -> None:
    kafka = _kafka(
        ssl_ca_location=tmp_path / "ca.pem", ssl_certificate_location=tmp_path / "c.pem",
        ssl_key_location=tmp_path / "k.pem", ssl_key_password="hush", sasl_mechanism="SCRAM-SHA-512",
        sasl_username="me", sasl_password="secret",
    )  # fmt: skip
    for properties in (producer_config(kafka), consumer_config(kafka), admin_config(kafka)):
        assert properties["security.protocol"] == "sasl_ssl"
        assert properties["ssl.ca.location"] == str(tmp_path / "ca.pem")
        assert properties["ssl.endpoint.identification.algorithm"] == "https"
        assert (properties["ssl.key.password"], properties["sasl.password"]) == ("hush", "secret")
    assert "secret" not in repr(kafka)


def test_a_certificate_that_was_not_resolved_is_not_silently_left_out() -> None:
    for config in (producer_config, consumer_config, admin_config):
        with pytest.raises(ClientConfigError, match="ops-client"):
            config(_kafka(certificate="ops-client"))


@pytest.mark.parametrize("idempotence", [True, False])
def test_librdkafka_takes_each_configuration(idempotence: bool) -> None:
    kafka = _kafka(idempotence=idempotence)
    Producer(producer_config(kafka) | {"logger": CLIENT_LOG})
    Consumer(consumer_config(kafka) | {"logger": CLIENT_LOG}).close()
    AdminClient(admin_config(kafka) | {"logger": CLIENT_LOG})


def test_what_librdkafka_refuses_is_a_sentence() -> None:
    with pytest.raises(ClientConfigError, match=r"no\.such\.property") as caught:
        Publisher(Settings(kafka=_kafka(properties={"no.such.property": "1"})), MemorySink())
    assert caught.value.exit_code == 2
    assert caught.value.next_step


def test_nothing_of_librdkafka_reaches_the_terminal() -> None:
    """An unreachable broker makes librdkafka talk; it talks to the log, also where no log is set up."""
    script = (
        "from atom_console.config import KafkaSettings, Settings\n"
        "from atom_console.kafka.publisher import Publisher\n"
        "class Sink:\n"
        "    def capture(self, failure): pass\n"
        f"p = Publisher(Settings(kafka=KafkaSettings(bootstrap_servers='{NOWHERE}')), Sink())\n"
        "p.publish_mapping({'type': 4, 'timestamp': 1})\n"
        "p.warm_up(0.3)\n"
        "assert p.snapshot().recent_errors\n"
        "p.drain(0.0)\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=30, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
