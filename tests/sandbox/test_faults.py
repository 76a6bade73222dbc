"""The scripted faults, played against a publisher: each ends in the dead letter queue with its class."""

from __future__ import annotations

import time

from atom_console.config import KafkaSettings, Settings
from atom_console.kafka.failure import FailedDelivery
from atom_console.kafka.publisher import Publisher
from atom_console.sandbox.faults import FORBIDDEN_TOPIC, Script, script
from atom_console.sandbox.mock_cluster import MockCluster
from atom_console.sandbox.workload import Workload


class _Sink:
    def __init__(self) -> None:
        self.failures: list[FailedDelivery] = []

    def capture(self, failure: FailedDelivery) -> None:
        self.failures.append(failure)


def test_the_script_plays_each_fault_once_and_loses_nothing() -> None:
    sink, workload = _Sink(), Workload(seed=9)
    with MockCluster() as cluster:
        kafka = KafkaSettings(
            bootstrap_servers=cluster.bootstrap_servers,
            topic="events",
            message_timeout_ms=300,
            idempotence=False,
            properties={"reconnect.backoff.ms": "20", "reconnect.backoff.max.ms": "50"},
        )
        publisher = Publisher(Settings(kafka=kafka), sink)
        played = Script(cluster, workload, script())
        told: list[str] = []
        for moment_s in (0.0, 2.0, 4.0, 6.0, 8.0, 12.0):  # the script's time, which waits for what it has caused
            for happening in played.advance(moment_s):
                told.append(f"{happening.fault.name} {'begins' if happening.began else 'ends'}")
                for injected in happening.injected:
                    if injected.topic is None:
                        publisher.publish_mapping(injected.event)
                    else:
                        publisher.publish_encoded(b"forbidden", topic=injected.topic)
            publisher.publish_mappings(workload.events(10))
            end = time.monotonic() + 20
            while publisher.snapshot().in_flight:
                assert time.monotonic() < end
                publisher.poll(0.01)
        assert played.finished
        report = publisher.drain(5.0)
    assert told == ["rejected begins", "oversize begins", "forbidden begins", "outage begins", "outage ends"]
    assert report.complete
    assert report.acked > 0
    by_name = {failure.name: failure for failure in sink.failures}
    assert {"POLICY_VIOLATION", "MSG_SIZE_TOO_LARGE", "TOPIC_AUTHORIZATION_FAILED", "_MSG_TIMED_OUT"} <= set(by_name)
    assert by_name["TOPIC_AUTHORIZATION_FAILED"].topic == FORBIDDEN_TOPIC
    assert {str(failure.err_class) for failure in sink.failures} == {"config", "poison", "outage"}


def test_healing_ends_what_has_begun() -> None:
    with MockCluster() as cluster:
        played = Script(cluster, Workload(), script())
        began = [happening.fault.name for happening in played.advance(9.0)]
        assert began == ["rejected", "oversize", "forbidden", "outage"]
        assert not played.finished
        played.heal()
        assert played.finished
        assert played.advance(100.0) == []
