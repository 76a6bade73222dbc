"""A new client takes over from the old one while events are published, and what is watched."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from atom_console.config import Loaded
from atom_console.engine import rotation
from atom_console.engine.producer import Producer
from atom_console.engine.rotation import KafkaIdentity, Renewed
from atom_console.errors import UnreachableError
from atom_console.pki import issuing
from atom_console.pki import rotation as ca
from atom_console.pki.issuing import Order
from atom_console.pki.passphrase import Passphrase, fixed
from atom_console.pki.store import Store
from atom_console.sandbox.mock_cluster import MockCluster
from atom_console.sandbox.workload import Workload

SECRET = fixed(Passphrase("correct horse battery staple"))
Make = Callable[..., Loaded]


@pytest.fixture
def store(tmp_path: Path) -> Store:
    made = Store(tmp_path / "pki")
    issuing.init(made, SECRET, [Order("console", "client", ("DNS:console.eu",))])
    return made


@pytest.mark.parametrize("mode", ["async", "durable"])
def test_nothing_is_lost_when_clients_are_replaced_again_and_again(
    mode: str, cluster: MockCluster, loaded_for: Make, workload: Workload
) -> None:
    events = workload.events(500)
    settings = loaded_for(cluster.bootstrap_servers, f"dlq.mode={mode}").settings
    stop, published = threading.Event(), 0
    with Producer(settings) as producer:

        def publish() -> None:
            nonlocal published
            while not stop.is_set():
                producer.publish(events[published % len(events)])
                published += 1

        thread = threading.Thread(target=publish)
        thread.start()
        try:
            for _ in range(4):
                producer._renewed(settings)
        finally:
            stop.set()
            thread.join(30)
        report = producer.close(30)
    assert report.complete
    assert (report.accepted, report.acked, report.captured) == (published, published, 0)
    assert producer.snapshot().rebuilt == 0  # a change of certificates is no fatal error


def test_the_old_producers_go_when_they_have_reported(
    cluster: MockCluster, loaded_for: Make, workload: Workload
) -> None:
    settings = loaded_for(cluster.bootstrap_servers).settings
    with Producer(settings) as producer:
        for event in workload.events(200):
            producer.publish(event)
        producer._renewed(settings)
        for event in workload.events(200):
            producer.publish(event)
        producer.wait_for_reports(20)
        lane = producer._publisher._dispatch.main
        end_s = time.monotonic() + 10
        while lane._retired and time.monotonic() < end_s:
            producer._turn(producer._publisher.poll)
        assert lane._retired == []
        assert producer.snapshot().acked == 400


def test_only_what_changed_makes_new_settings(store: Store, loaded_for: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rotation, "LOOK_S", 0.0)
    identity = KafkaIdentity(loaded_for("x:1", f"pki.dir={store.root}", "kafka.certificate=console").settings)
    assert identity.watched
    first = identity.settings
    assert identity.look() is first
    issuing.issue(store, SECRET, [Order("other", "client", ("DNS:o.eu",))])  # the bundle is rewritten, too
    assert identity.look() is first
    issuing.renew(store, SECRET, ["console"])
    second = identity.look()
    assert second is not first
    assert second.kafka.ssl_certificate_location == store.find("console").chain
    ca.prepare(store, SECRET)
    third = identity.look()
    assert third is not second
    assert third.kafka.ssl_certificate_location == second.kafka.ssl_certificate_location
    assert identity.look() is third


def test_plain_files_are_watched_too_and_plaintext_is_not(
    store: Store, loaded_for: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rotation, "LOOK_S", 0.0)
    chain = tmp_path / "chain.pem"
    chain.write_bytes(store.find("console").chain.read_bytes())
    own = ("kafka.security_protocol=ssl", f"kafka.ssl_ca_location={store.bundle}")
    identity = KafkaIdentity(loaded_for("x:1", *own, f"kafka.ssl_certificate_location={chain}").settings)
    first = identity.settings
    assert identity.look() is first
    issuing.renew(store, SECRET, ["console"])
    chain.write_bytes(store.find("console").chain.read_bytes())
    assert identity.look() is not first
    plain = KafkaIdentity(loaded_for("x:1").settings)
    assert not plain.watched
    assert plain.look() is plain.settings


def test_what_does_not_work_is_kept_out_and_tried_again(
    store: Store, loaded_for: Make, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(rotation, "LOOK_S", 0.0)
    identity = KafkaIdentity(loaded_for("x:1", f"pki.dir={store.root}", "kafka.certificate=console").settings)
    tries: list[str] = []
    works = False

    def make(settings: object) -> str:
        tries.append("try")
        if not works:
            raise UnreachableError("the broker does not know this CA")
        return "new"

    dropped: list[str] = []
    watched = Renewed(identity, make, dropped.append, "old")
    assert watched.current() == "old"
    assert tries == []
    issuing.renew(store, SECRET, ["console"])
    assert [watched.current() for _ in range(3)] == ["old"] * 3
    assert len(tries) == 3
    assert watched.refused is not None
    assert watched.refused.why == "the broker does not know this CA"
    assert caplog.text.count("do not connect") == 1
    works = True
    assert watched.current() == "new"
    assert dropped == ["old"]
    assert watched.refused is None
    (store.root / "state.json").write_text("{")
    (store.root / "inventory.json").unlink()
    assert watched.current() == "new"
    assert watched.refused is not None
