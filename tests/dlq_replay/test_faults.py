"""Crashes of both sides, and what random kills never show: late data, rebuilt topics, missing rights, transactions."""

from __future__ import annotations

import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from threading import Event
from typing import Any

import pytest
from confluent_kafka import Producer
from confluent_kafka.admin import AclOperation

from atom_console.config import Settings
from atom_console.dlq import lease
from atom_console.dlq.filters import Filter
from atom_console.dlq.replay import recover as recovering
from atom_console.dlq.replay.log_end import logs_are_level
from atom_console.dlq.replay.options import ReplayOptions
from atom_console.dlq.replay.orphans import orphan_bytes
from atom_console.dlq.replay.pending import assume_all, resolve
from atom_console.dlq.replay.plan import plan
from atom_console.dlq.replay.recover import recover
from atom_console.dlq.replay.run import Runner
from atom_console.dlq.store import Store
from tests.broker.broker import KafkaBroker
from tests.broker.handle import BrokerHandle
from tests.broker.proxy import behind_a_proxy
from tests.broker.quorum import KafkaCluster
from tests.dlq_replay.conftest import QUICK, fill, judge, read_topic, replay_settings, wait_for
from tests.dlq_replay.crash import Scene, Tally, every_failpoint, kill_at, kill_randomly

pytestmark = pytest.mark.crash


def killed_in_flight(scene: Scene, run_id: str, *, after: int = 40) -> None:
    """A child dies by SIGKILL in the middle of producing."""
    assert scene.child(run_id, f"mid_produce:{after}").end() == -signal.SIGKILL


def test_a_kill_at_every_failpoint(kafka: BrokerHandle, tmp_path: Path) -> None:
    scene, tally = Scene(kafka, tmp_path / "dlq", rate=2_000.0), Tally()
    for name, times in every_failpoint():
        if times == 1:
            assert kill_at(scene, name, times, tally, count=60), f"{name} was not reached"
    assert tally.clean, tally


def test_kills_at_random_moments(kafka: BrokerHandle, tmp_path: Path) -> None:
    scene, tally = Scene(kafka, tmp_path / "dlq", rate=2_000.0), Tally()
    kill_randomly(scene, tally, 5, count=1_000, longest_s=0.6, seed=1)
    assert tally.clean, tally


def test_a_second_process_takes_over_after_the_first_is_killed(kafka: BrokerHandle, tmp_path: Path) -> None:
    scene, tally = Scene(kafka, tmp_path / "dlq", rate=300.0), Tally()
    topic, run_id = scene.plan(600)
    first = scene.child(run_id)
    wait_for(lambda: scene.run_state(run_id).replayed > 0)
    assert scene.child(run_id).end() == 1
    assert first.running
    assert first.kill()
    scene.finish(run_id)
    scene.count(topic, run_id, 600, tally)
    assert tally.clean, tally


def test_a_run_survives_the_death_and_the_sleep_of_its_broker(own_broker: KafkaBroker, tmp_path: Path) -> None:
    scene, tally = Scene(own_broker.handle, tmp_path / "dlq", rate=500.0), Tally()
    topic, run_id = scene.plan(1_500)
    child = scene.child(run_id)
    wait_for(lambda: scene.run_state(run_id).replayed > 100)
    own_broker.kill()
    own_broker.restart()
    at = scene.run_state(run_id).replayed
    wait_for(lambda: scene.run_state(run_id).replayed > at, 40)
    own_broker.pause()
    time.sleep(1.0)
    own_broker.resume()
    assert child.end() == 0
    scene.count(topic, run_id, 1_500, tally)
    assert tally.clean, tally


def test_what_a_stopped_broker_still_takes_in_is_waited_for(own_broker: KafkaBroker, tmp_path: Path) -> None:
    scene, tally = Scene(own_broker.handle, tmp_path / "dlq", rate=0.0), Tally()
    topic, run_id = scene.plan(400)
    child = scene.child(run_id)
    wait_for(lambda: scene.run_state(run_id).replayed > 0)
    own_broker.pause()
    time.sleep(0.3)
    child.kill()
    own_broker.resume()
    scene.finish(run_id)
    scene.count(topic, run_id, 400, tally)
    assert tally.clean, tally


def test_bytes_of_a_dead_process_on_a_cut_path_are_waited_for(
    make_broker: Callable[..., KafkaBroker], tmp_path: Path
) -> None:
    with behind_a_proxy(make_broker) as (handle, proxy):
        scene, tally = Scene(handle, tmp_path / "dlq", rate=0.0, clean_grace_s=3.0, grace_s=8.0), Tally()
        topic, run_id = scene.plan(600)
        child = scene.child(run_id)
        wait_for(lambda: scene.run_state(run_id).replayed > 0)
        proxy.cut()
        time.sleep(0.5)
        child.kill()
        second = scene.child(run_id)
        time.sleep(1.0)
        proxy.mend()
        second.end()
        if scene.run_state(run_id).state != "finished":
            scene.finish(run_id)
        scene.count(topic, run_id, 600, tally)
    assert tally.clean, tally


def test_orphans_are_seen() -> None:
    assert orphan_bytes({1}) == 0


def test_a_topic_that_was_made_again_is_never_taken_for_not_found(kafka: BrokerHandle, tmp_path: Path) -> None:
    scene = Scene(kafka, tmp_path / "dlq", rate=2_000.0)
    topic, run_id = scene.plan(200)
    killed_in_flight(scene, run_id)
    kafka.delete_topic(topic)
    kafka.create_topic(topic, partitions=4)
    with Store.open(scene.directory, scene.settings.dlq) as store:
        found = resolve(store, scene.settings, wait_s=2.0)
        assert found.still_unknown > 0
        assert found.absent == 0
        assert found.wait_s is None
        assert any("made again" in doubt for doubt in found.doubts)
        reader = store.reader()
        assert reader.page(Filter(states=("unknown",))).total == found.still_unknown
        assert assume_all(store, arrived=False, reason="the topic was rebuilt empty") == found.still_unknown
        assert reader.page(Filter(states=("unknown",))).total == 0
        reader.close()


def test_without_read_permission_nothing_counts_as_not_found(kafka: BrokerHandle, tmp_path: Path) -> None:
    scene = Scene(kafka, tmp_path / "dlq", rate=2_000.0)
    topic, run_id = scene.plan(200)
    killed_in_flight(scene, run_id)
    name = kafka.topic_name("blind")
    kafka.grant(name, topic, AclOperation.WRITE, AclOperation.DESCRIBE, AclOperation.DESCRIBE_CONFIGS)
    identity = kafka.ssl_properties(name)
    blind = replay_settings(
        kafka.ssl_bootstrap,
        scene.directory,
        security_protocol="ssl",
        ssl_ca_location=identity["ssl.ca.location"],
        ssl_certificate_location=identity["ssl.certificate.location"],
        ssl_key_location=identity["ssl.key.location"],
    )
    with Store.open(scene.directory, scene.settings.dlq) as store:
        held = lease.acquire(store, "test")
        found = recover(store, blind.kafka, held.fencing, ReplayOptions(**QUICK))
        lease.release(store, held)
        assert (found.recovered, found.absent) == (0, 0)
        assert found.still_unknown > 0
        assert any("READ is not granted" in doubt for doubt in found.doubts)
    scene.finish(run_id)
    assert judge(read_topic(kafka.bootstrap, topic), range(200), scene.keys) == (0, 0, 0)


@pytest.mark.parametrize("askable", [True, False])
def test_where_nobody_tells_the_log_end_nothing_counts_as_not_found(
    kafka: BrokerHandle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, askable: bool
) -> None:
    """A cluster that speaks Kerberos alone, which is not to be had here: its answer is what is put in."""
    scene = Scene(kafka, tmp_path / "dlq", rate=2_000.0)
    _topic, run_id = scene.plan(200)
    killed_in_flight(scene, run_id)
    monkeypatch.setattr(recovering, "logs_are_level", lambda *_: None)
    monkeypatch.setattr(recovering, "can_connect", lambda _: askable)
    with Store.open(scene.directory, scene.settings.dlq) as store:
        held = lease.acquire(store, "test")
        options = ReplayOptions(**{**QUICK, "grace_s": 0.0, "clean_grace_s": 0.0})
        found = recover(store, scene.settings.kafka, held.fencing, options)
        lease.release(store, held)
    assert found.absent == 0
    assert found.still_unknown > 0
    assert any("where the logs end" in doubt for doubt in found.doubts)
    assert (found.wait_s is None) is not askable, "another look helps only where somebody can be asked"


def test_an_open_transaction_of_somebody_else_hides_nothing(kafka: BrokerHandle, tmp_path: Path) -> None:
    scene = Scene(kafka, tmp_path / "dlq", rate=2_000.0)
    topic, run_id = scene.plan(200)
    foreign = Producer({"bootstrap.servers": kafka.bootstrap, "transactional.id": topic, "log_level": 0})
    foreign.init_transactions(10)
    foreign.begin_transaction()
    for partition in range(4):
        foreign.produce(topic, b"foreign", partition=partition, headers=[("trace_id", b"f" * 3)])
    foreign.flush(10)
    killed_in_flight(scene, run_id)
    scene.finish(run_id)
    assert scene.run_state(run_id).verified == "verified: 0 lost, 0 duplicates"
    foreign.abort_transaction(10)
    ours = [m for m in read_topic(kafka.bootstrap, topic) if m.value() != b"foreign"]
    assert judge(ours, range(200), scene.keys) == (0, 0, 0)


def test_markers_at_the_end_do_not_stop_the_count(kafka: BrokerHandle, tmp_path: Path) -> None:
    scene = Scene(kafka, tmp_path / "dlq", rate=2_000.0)
    topic, run_id = scene.plan(100)
    killed_in_flight(scene, run_id)
    foreign = Producer({"bootstrap.servers": kafka.bootstrap, "transactional.id": topic, "log_level": 0})
    foreign.init_transactions(10)
    foreign.begin_transaction()
    for partition in range(4):
        foreign.produce(topic, b"foreign", partition=partition)
    foreign.commit_transaction(10)
    scene.finish(run_id)
    assert scene.run_state(run_id).verified == "verified: 0 lost, 0 duplicates"


def test_retention_that_took_the_range_away_leaves_outcomes_unknown(kafka: BrokerHandle, tmp_path: Path) -> None:
    from confluent_kafka import TopicPartition

    scene = Scene(kafka, tmp_path / "dlq", rate=2_000.0)
    topic, run_id = scene.plan(200)
    killed_in_flight(scene, run_id)
    ends = kafka.end_offsets(topic)
    admin = kafka.admin()
    for done in admin.delete_records([TopicPartition(topic, p, end) for p, end in ends.items() if end]).values():
        done.result(10)
    with Store.open(scene.directory, scene.settings.dlq) as store:
        found = resolve(store, scene.settings, wait_s=2.0)
    assert found.still_unknown > 0
    assert found.absent == 0
    assert any("retention" in doubt for doubt in found.doubts)


def test_a_producer_quota_slows_a_replay_and_breaks_nothing(own_broker: KafkaBroker, tmp_path: Path) -> None:
    handle = own_broker.handle
    scene = Scene(handle, tmp_path / "dlq", rate=0.0, clean_grace_s=6.0, grace_s=8.0)
    tally = Tally()
    topic, run_id = scene.plan(600)
    _set_quota(handle, 20_000)
    child = scene.child(run_id)
    wait_for(lambda: sum(handle.end_offsets(topic).values()) > 0, 30)
    child.kill()
    _set_quota(handle, 10_000_000)
    scene.finish(run_id)
    scene.count(topic, run_id, 600, tally)
    assert tally.clean, tally


def _set_quota(handle: BrokerHandle, rate: int) -> None:
    """`producer_byte_rate` of every client, by Kafka's own tool: the client library has no call for it."""
    from tests.broker.libraries import classpath

    command = ["java", "-Xmx128m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-cp", classpath()]
    subprocess.run(
        [
            *command, "kafka.admin.ConfigCommand", "--bootstrap-server", handle.bootstrap, "--alter", "--add-config",
            f"producer_byte_rate={rate}", "--entity-type", "clients", "--entity-default",
        ],
        check=True, capture_output=True, timeout=60,
    )  # fmt: skip


def test_records_that_wait_for_frozen_followers_are_not_sent_again(
    make_cluster: Callable[..., KafkaCluster], tmp_path: Path
) -> None:
    cluster = make_cluster(count=3)
    handle = cluster.handle
    scene = Scene(handle, tmp_path / "dlq", rate=0.0)
    tally = Tally()
    topic = handle.create_topic(partitions=1, replication=3)
    with Store.open(scene.directory, scene.settings.dlq) as store:
        fill(store, topic, 300, keys=scene.keys)
        made = plan(store, scene.settings, Filter(topics=(topic,)), scene.options)
    assert logs_are_level(scene.settings.kafka, {topic: {0: 0}}) is True
    leader = cluster.leader(topic)
    followers = [broker for broker in cluster.brokers if broker is not leader]
    child = scene.child(made.run_id)
    wait_for(lambda: scene.run_state(made.run_id).replayed > 0)
    for broker in followers:
        broker.pause()
    time.sleep(0.5)
    child.kill()
    only = replay_settings(leader.handle.bootstrap, scene.directory)
    level = _level_or_none(only, topic)
    print("LEVEL", level)
    second = scene.child(made.run_id)
    time.sleep(3.0)
    for broker in followers:
        broker.resume()
    second.end()
    if scene.run_state(made.run_id).state != "finished":
        scene.finish(made.run_id)
    scene.count(topic, made.run_id, 300, tally)
    assert tally.clean, tally
    assert level is False


def _level_or_none(settings: Settings, topic: str) -> Any:
    from atom_console.errors import UnreachableError

    try:
        return logs_are_level(settings.kafka, {topic: {0: 0}})
    except UnreachableError:
        return None


def test_a_graceful_stop_leaves_nothing_open(kafka: BrokerHandle, tmp_path: Path) -> None:
    scene = Scene(kafka, tmp_path / "dlq", rate=500.0)
    _topic, run_id = scene.plan(200)
    stop = Event()
    stop.set()
    with Store.open(scene.directory, scene.settings.dlq) as store:
        report = Runner(store, scene.settings, run_id).run(stop)
        assert report.run.state == "stopped"
        assert store.run(lambda conn: conn.execute("SELECT count(*) FROM replay_window").get) == 0
