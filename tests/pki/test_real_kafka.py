"""Certificates issued here on the SSL listener of the real Kafka: what it takes, and how its refusals are named."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import AclOperation

from atom_console.pki import issuing
from atom_console.pki.findings import Severity
from atom_console.pki.passphrase import PassphraseSource
from atom_console.pki.probe import Target
from atom_console.pki.store import Store
from atom_console.pki.translate import Transport
from atom_console.pki.verify import Pair, diagnose, explain, pair_of
from tests.broker.broker import KafkaBroker
from tests.broker.handle import SILENT, wait_until
from tests.broker.tls import ListenerTls
from tests.pki import forge
from tests.pki.forge import make, write
from tests.pki.peers import librdkafka_says


def _ssl(pair: Pair) -> dict[str, str]:
    files = {"ca": pair.ca, "certificate": pair.cert, "key": pair.key}
    chosen = {f"ssl.{name}.location": str(path) for name, path in files.items() if path is not None}
    return {"security.protocol": "ssl", **chosen}


@pytest.mark.timeout(180)
def test_a_real_broker_takes_our_certificates_and_its_refusals_are_named(
    pki: Store, ca_passphrase: PassphraseSource, tmp_path: Path, make_broker: Callable[..., KafkaBroker]
) -> None:
    entry = pki.find("broker-1")
    assert entry.key is not None
    keystore = write(tmp_path / "keystore.pem", entry.key.read_bytes() + entry.chain.read_bytes())
    broker = make_broker(tls=ListenerTls(keystore, pki.bundle))
    if not broker.running:
        broker.start()
    handle = broker.handle
    topic = handle.create_topic()
    handle.grant("ops-alice", topic, AclOperation.WRITE, AclOperation.READ, AclOperation.DESCRIBE)
    port = int(handle.ssl_bootstrap.rpartition(":")[2])
    pair = pair_of(pki, "ops-alice")
    target = Target("localhost", port, Transport.KAFKA)

    report = diagnose(pair, target)
    assert report.ok, report.findings
    assert report.probe is not None
    assert report.probe.asks

    client = {"bootstrap.servers": f"localhost:{port}", "log_level": 0, **_ssl(pair)}
    errors: list[object] = []

    def sent() -> bool:
        producer = Producer(client, logger=SILENT)
        producer.produce(topic, b"one", on_delivery=lambda error, _: errors.append(error))
        assert producer.flush(15) == 0
        return errors[-1] is None

    wait_until(sent, 10, "the grant holds")
    consumer = Consumer(
        {**client, "group.id": "unused", "auto.offset.reset": "earliest", "enable.auto.commit": False}, logger=SILENT
    )
    consumer.assign([TopicPartition(topic, 0, 0)])
    values: list[bytes] = []

    def received() -> bool:
        # The group is not granted and not needed: only its coordinator complains.
        message = consumer.poll(0.5)
        if message is not None and message.error() is None:
            values.append(message.value())
        return bool(values)

    wait_until(received, 15, "the record arrives")
    consumer.close()
    assert values == [b"one"]

    # The same faults as on the stubs, on the real listener.
    rogue = make("ops-alice", make("rogue", ca=True), eku=(forge.CLIENT,))
    rogue_pair = Pair(
        "rogue", write(tmp_path / "r.pem", rogue.pem()), write(tmp_path / "r.key", rogue.key_pem()), pki.bundle
    )
    server_pair = pair_of(pki, "flight-1")
    cases = [
        ("certificate-required", Pair("none", ca=pki.bundle), target),
        ("peer-distrusts-issuer", rogue_pair, target),
        ("eku-client", server_pair, target),
        ("issuer-unknown", Pair("other CA", pair.cert, pair.key, write(tmp_path / "o.pem", rogue.pem())), target),
        ("tls-required", pair, Target("localhost", port, Transport.KAFKA, tls=False)),
        (
            "plaintext-peer",
            pair,
            Target("localhost", int(handle.bootstrap.rpartition(":")[2]), Transport.KAFKA),
        ),
    ]
    for rule, case, where in cases:
        found = diagnose(case, where, timeout_s=10)
        named = {f.id for f in found.findings if f.severity is Severity.ERROR}
        assert named == {rule}, (rule, found.findings)
        if where.tls:
            text = librdkafka_says(where.port, _ssl(case))
            told = {f.id for f in explain(text, Transport.KAFKA, case, target=where, timeout_s=10)}
            assert told == {rule}, (rule, text)
            alone = explain(text, Transport.KAFKA, case)
            assert rule in {f.id for f in alone} | {c for f in alone for c in f.candidates}, (rule, text, alone)

    # A renewal: the broker trusts the CA, so the new pair is taken at once.
    issuing.renew(pki, ca_passphrase, ["ops-alice"])
    assert diagnose(pair_of(pki, "ops-alice"), target).ok
