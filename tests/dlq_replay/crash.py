"""Kills replays with SIGKILL, at random moments or at every failpoint, and counts what lies on the real Kafka.

python -m tests.dlq_replay.crash --kills 200
python -m tests.dlq_replay.crash --kills 40 --broker-kills 20
python -m tests.dlq_replay.crash --failpoints
"""

from __future__ import annotations

import argparse
import random
import signal
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from threading import Event, Lock, Thread
from typing import Any

from atom_console.dlq.check import check
from atom_console.dlq.filters import Filter
from atom_console.dlq.replay import failpoints
from atom_console.dlq.replay.options import ReplayOptions
from atom_console.dlq.replay.plan import plan
from atom_console.dlq.replay.reading import connect, reading
from atom_console.dlq.replay.runs import Run, read_run
from atom_console.dlq.store import Store
from tests.broker.broker import KafkaBroker
from tests.broker.handle import BrokerHandle
from tests.dlq_replay.conftest import QUICK, fill, judge, read_topic, replay_settings
from tests.dlq_replay.replaying_child import Child


@dataclass
class Tally:
    """What a series of kills did."""

    kills: int = 0
    runs: int = 0
    records: int = 0
    lost: int = 0
    duplicates: int = 0
    disorder: int = 0
    found_after_crash: int = 0
    verified: int = 0

    @property
    def clean(self) -> bool:
        return not (self.lost or self.duplicates or self.disorder) and self.verified == self.runs


class Scene:
    """A store, a topic, and dead letters to be replayed."""

    def __init__(self, handle: BrokerHandle, directory: Path, *, keys: int = 20, **options: Any) -> None:
        self.handle, self.directory, self.keys = handle, directory, keys
        self.settings = replay_settings(handle.bootstrap, directory)
        self.options = ReplayOptions.of(self.settings.dlq, **{**QUICK, "window": 50, **options})

    def plan(self, count: int) -> tuple[str, str]:
        """A fresh topic with a plan for `count` records: (topic, run)."""
        topic = self.handle.create_topic(partitions=4)
        with Store.open(self.directory, self.settings.dlq, component="test") as store:
            fill(store, topic, count, keys=self.keys)
            made = plan(store, self.settings, Filter(topics=(topic,), states=("ready",)), self.options)
        return topic, made.run_id

    def child(self, run_id: str, failpoint: str = "") -> Child:
        return Child(self.directory, self.handle.bootstrap, run_id, failpoint)

    def run_state(self, run_id: str) -> Run:
        with reading(self.directory) as conn:
            return read_run(conn, run_id)

    def finish(self, run_id: str) -> None:
        """Run to the end without a kill."""
        assert self.child(run_id).end() == 0

    def count(self, topic: str, run_id: str, count: int, tally: Tally) -> None:
        """Add what lies on the topic, and whether the store agrees."""
        run = self.run_state(run_id)
        lost, duplicates, disorder = judge(read_topic(self.handle.bootstrap, topic), range(count), self.keys)
        tally.runs += 1
        tally.records += count
        tally.lost, tally.duplicates, tally.disorder = (
            tally.lost + lost,
            tally.duplicates + duplicates,
            tally.disorder + disorder,
        )
        tally.found_after_crash += run.duplicates_avoided
        tally.verified += (
            run.state == "finished"
            and run.verified == "verified: 0 lost, 0 duplicates"
            and (run.replayed, run.failed, run.unknown) == (count, 0, 0)
        )
        conn = connect(self.directory)
        report = check(conn, payloads=False)
        conn.close(True)
        assert report.ok, report.findings


def kill_randomly(
    scene: Scene, tally: Tally, kills: int, *, count: int, longest_s: float, seed: int, calm: Lock | None = None
) -> None:
    """Kill until `kills` have been made; every run that ends is counted and followed by another.

    Args:
        calm: held while nothing may happen to the broker: to plan, and to finish and count.
    """
    chance, calm = random.Random(seed), calm or Lock()
    while tally.kills < kills:
        with calm:
            topic, run_id = scene.plan(count)
        while tally.kills < kills and scene.run_state(run_id).state != "finished":
            child = scene.child(run_id)
            child.wait_until_open()
            time.sleep(chance.uniform(0, longest_s))
            tally.kills += child.kill()
        with calm:
            if scene.run_state(run_id).state != "finished":
                scene.finish(run_id)
            scene.count(topic, run_id, count, tally)


def kill_at(scene: Scene, name: str, times: int, tally: Tally, *, count: int) -> bool:
    """Kill at one failpoint, then finish; whether the place was reached."""
    topic, run_id = scene.plan(count)
    if name in ("in_recovery", "after_recovery"):
        assert scene.child(run_id, "mid_produce:40").end() == -signal.SIGKILL
    reached = scene.child(run_id, f"{name}:{times}").end() == -signal.SIGKILL
    tally.kills += reached
    if reached:
        scene.finish(run_id)
    scene.count(topic, run_id, count, tally)
    return reached


def every_failpoint() -> Iterator[tuple[str, int]]:
    """Each place, early and late."""
    for name in failpoints.NAMES:
        yield name, 1
        if name == "mid_produce":
            yield name, 77
        elif name in ("after_intent", "after_outcome", "before_outcome", "after_acknowledgement"):
            yield name, 3


def disturb(broker: KafkaBroker, stop: Event, calm: Lock, kills: int, pauses: int, seed: int) -> dict[str, int]:
    """Kill and stop the broker at random until `stop` is set; it is whole whenever `calm` is free."""
    chance = random.Random(seed)
    done = {"kills": 0, "pauses": 0}

    def work() -> None:
        while not stop.wait(chance.uniform(0.5, 3.0)):
            with calm:
                if done["kills"] < kills and (done["pauses"] >= pauses or chance.random() < 0.5):
                    broker.kill()
                    broker.restart()
                    done["kills"] += 1
                elif done["pauses"] < pauses:
                    broker.pause()
                    time.sleep(chance.uniform(0.5, 3.0))
                    broker.resume()
                    done["pauses"] += 1

    Thread(target=work, daemon=True).start()
    return done


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=0)
    parser.add_argument("--broker-kills", type=int, default=0)
    parser.add_argument("--broker-pauses", type=int, default=0)
    parser.add_argument("--failpoints", action="store_true")
    parser.add_argument("--records", type=int, default=3_000)
    parser.add_argument("--keys", type=int, default=50)
    parser.add_argument("--order", default="strict")
    parser.add_argument("--rate", type=float, default=2_000.0, help="0 = unpaced")
    parser.add_argument("--window", type=int, default=50)
    parser.add_argument("--longest", type=float, default=1.0, help="seconds of life at most")
    parser.add_argument("--seed", type=int, default=random.randrange(1 << 30))
    chosen = parser.parse_args()
    print(f"seed {chosen.seed}", flush=True)
    tally = Tally()
    with tempfile.TemporaryDirectory() as base, KafkaBroker(Path(base) / "kafka") as broker:
        disturbed = bool(chosen.broker_kills or chosen.broker_pauses)
        grace = {"grace_s": 8.0, "clean_grace_s": 8.0} if disturbed else {}
        scene = Scene(
            broker.handle,
            Path(base) / "dlq",
            keys=chosen.keys,
            order=chosen.order,
            rate=chosen.rate,
            window=chosen.window,
            **grace,
        )
        begun = time.monotonic()
        stop, calm = Event(), Lock()
        told = disturb(broker, stop, calm, chosen.broker_kills, chosen.broker_pauses, chosen.seed) if disturbed else {}
        if chosen.failpoints:
            for name, times in every_failpoint():
                reached = kill_at(scene, name, times, tally, count=200)
                print(f"  {name}:{times} {'killed' if reached else 'not reached'}", flush=True)
        if chosen.kills:
            kill_randomly(
                scene,
                tally,
                chosen.kills,
                count=chosen.records,
                longest_s=chosen.longest,
                seed=chosen.seed,
                calm=calm,
            )
        stop.set()
        seconds = time.monotonic() - begun
    print(
        f"kills of the replay  {tally.kills}"
        + (f", of the broker {told['kills']}, stops {told['pauses']}" if told else "")
    )
    print(f"runs                 {tally.runs}, {tally.records:,} records, {chosen.keys} keys, order {chosen.order}")
    print(f"lost                 {tally.lost}")
    print(f"duplicates           {tally.duplicates}")
    print(f"order violations     {tally.disorder}")
    print(f"found after a crash  {tally.found_after_crash:,} (each would have been a duplicate)")
    print(f"verified by itself   {tally.verified} of {tally.runs} runs")
    print(f"seconds              {seconds:.0f}")
    return 0 if tally.clean else 1


if __name__ == "__main__":
    sys.exit(main())
