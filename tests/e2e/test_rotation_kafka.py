"""Leaf and CA are replaced while events are published to the real Kafka: every one of them is acknowledged."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from confluent_kafka.admin import (
    AclOperation,
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    ResourceType,
)

from atom_console.config import Settings, load
from atom_console.engine import rotation as following
from atom_console.engine.cluster_watch import ClusterWatch
from atom_console.engine.producer import Producer
from atom_console.engine.rotation import KafkaIdentity
from atom_console.errors import AtomError
from atom_console.pki import issuing, rotation
from atom_console.pki.store import Store
from tests.broker.broker import KafkaBroker
from tests.broker.handle import BrokerHandle, wait_until
from tests.e2e.authority import SECRET, listener_tls, new_authority
from tests.e2e.delivery import many_events, on_the_broker

RATE_PAUSE_S = 0.001


@pytest.fixture(autouse=True)
def _look_often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(following, "LOOK_S", 0.2)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return new_authority(tmp_path / "pki")


@pytest.fixture
def broker(store: Store, tmp_path: Path, make_broker: Callable[..., KafkaBroker]) -> KafkaBroker:
    return make_broker(tls=listener_tls(store, tmp_path))


@pytest.fixture
def settings(store: Store, broker: KafkaBroker, tmp_path: Path) -> Settings:
    port = broker.handle.ssl_bootstrap.rpartition(":")[2]
    config = tmp_path / "config.toml"
    config.touch()
    topic = broker.handle.create_topic(partitions=2)
    broker.handle.grant("console", topic, AclOperation.WRITE, AclOperation.READ, AclOperation.DESCRIBE)
    own = [
        f"kafka.bootstrap_servers=localhost:{port}",
        f"kafka.topic={topic}",
        "kafka.certificate=console",
        f"pki.dir={store.root}",
        f"dlq.dir={tmp_path / 'dlq'}",
        "dlq.min_free_bytes=1MiB",
    ]
    return load(config_file=config, environ={}, overrides=own).settings


def reload_listener(handle: BrokerHandle, store: Store, directory: Path) -> None:
    """Give the running broker the newest pair and trust (KIP-226: listener keystores are dynamic)."""
    files = listener_tls(store, directory)
    entries = {"keystore.type": "PEM", "truststore.type": "PEM"}
    entries |= {"keystore.location": str(files.keystore), "truststore.location": str(files.truststore)}
    changes = [
        ConfigEntry(f"listener.name.ssl.ssl.{name}", value, incremental_operation=AlterConfigOpType.SET)
        for name, value in entries.items()
    ]
    resource = ConfigResource(ResourceType.BROKER, "1", incremental_configs=changes)
    admin = handle.admin()
    for done in admin.incremental_alter_configs([resource], request_timeout=10).values():
        done.result(timeout=15)


class Load:
    """Publishes without a pause, from a thread of its own."""

    def __init__(self, producer: Producer) -> None:
        self.producer, self.published = producer, 0
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._publish)
        self._thread.start()

    def _publish(self) -> None:
        for event in many_events(10_000_000):
            if self._stop.is_set():
                return
            self.producer.publish(event)
            self.published += 1
            self._stop.wait(RATE_PAUSE_S)

    def more(self, events: int = 200) -> None:
        wanted = self.producer.snapshot().acked + events
        wait_until(lambda: self.producer.snapshot().acked >= wanted, 60, "events are acknowledged")

    def stop(self) -> None:
        self._stop.set()
        self._thread.join(30)


class Watching:
    """The console's look at the cluster, again and again; what fails is kept."""

    def __init__(self, settings: Settings) -> None:
        self.looks, self.failed = 0, list[str]()
        self._watch = ClusterWatch(KafkaIdentity(settings))
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._look)
        self._thread.start()

    def _look(self) -> None:
        while not self._stop.wait(0.1):
            try:
                self._watch.read()
                self.looks += 1
            except AtomError as error:
                self.failed.append(error.what)
        self._watch.close()

    def more(self) -> None:
        wanted = self.looks + 3
        wait_until(lambda: self.looks >= wanted, 30, "the cluster is looked at")

    def stop(self) -> None:
        self._stop.set()
        self._thread.join(30)


@pytest.fixture
def running(settings: Settings) -> Iterator[tuple[Producer, Load, Watching]]:
    with Producer(settings) as producer:
        assert producer.warm_up(10)
        load_, watching = Load(producer), Watching(settings)
        try:
            yield producer, load_, watching
        finally:
            load_.stop()
            watching.stop()


def follows(producer: Producer, store: Store) -> bool:
    return producer.settings.kafka.ssl_certificate_location == store.find("console").chain


@pytest.mark.timeout(240)
def test_leaf_and_ca_are_replaced_under_load(
    running: tuple[Producer, Load, Watching],
    store: Store,
    broker: KafkaBroker,
    settings: Settings,
    tmp_path: Path,
) -> None:
    producer, load_, watching = running
    load_.more()
    seen = {producer.settings.kafka.ssl_certificate_location}

    issuing.renew(store, SECRET, ["console"])
    wait_until(lambda: follows(producer, store), 30, "the renewed leaf is in use")
    load_.more()

    issuing.renew(store, SECRET, ["broker-1"])
    reload_listener(broker.handle, store, tmp_path)
    load_.more()

    before = producer.settings
    rotation.prepare(store, SECRET)
    reload_listener(broker.handle, store, tmp_path)
    wait_until(lambda: producer.settings is not before, 30, "both roots are trusted")
    load_.more()

    rotation.switch(store, SECRET, distributed=True)
    wait_until(lambda: follows(producer, store), 30, "the leaf of the new CA is in use, the broker's is of the old one")
    load_.more()
    reload_listener(broker.handle, store, tmp_path)
    load_.more()

    before = producer.settings
    rotation.retire(store, peers_switched=True)
    reload_listener(broker.handle, store, tmp_path)
    wait_until(lambda: producer.settings is not before, 30, "the old root is gone")
    load_.more()
    watching.more()
    seen.add(producer.settings.kafka.ssl_certificate_location)

    load_.stop()
    watching.stop()
    report = producer.close(30)
    assert (report.accepted, report.acked, report.captured) == (load_.published, load_.published, 0)
    assert report.complete
    assert watching.failed == []
    assert producer.refused is None
    assert len(seen) == 2
    records = on_the_broker(broker.handle.bootstrap, settings.kafka.topic)
    assert len({record.value for record in records}) == load_.published
    assert len(records) == load_.published


@pytest.mark.timeout(120)
def test_a_certificate_that_does_not_connect_is_not_taken_into_use(
    running: tuple[Producer, Load, Watching], store: Store, tmp_path: Path
) -> None:
    """The operator switches the CA though the broker does not trust the new root yet: the old pair stays in use."""
    producer, load_, watching = running
    load_.more()
    before = producer.settings.kafka.ssl_certificate_location
    rotation.prepare(store, SECRET)
    rotation.switch(store, SECRET, distributed=True)
    wait_until(lambda: producer.refused is not None, 30, "the new certificate was tried")
    load_.more()
    assert producer.settings.kafka.ssl_certificate_location == before
    watching.more()
    assert watching.failed == []
    load_.stop()
    report = producer.close(30)
    assert (report.acked, report.captured) == (load_.published, 0)
