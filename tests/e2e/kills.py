"""A producing process killed with SIGKILL at random moments, again and again, on one topic and one store.

`python -m tests.e2e.kills --kills 50` prints the account; the tests run a few.
"""

from __future__ import annotations

import argparse
import random
import subprocess
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from atom_console.dlq.store import Store
from atom_console.events import peek
from tests.e2e.delivery import in_the_store, on_the_broker

_ROOT = Path(__file__).parents[2]


@dataclass(frozen=True, slots=True)
class Account:
    """What became of the events that killed processes had accepted.

    Attributes:
        kills: how many processes were killed.
        accepted: events whose acceptance a process had told before it died.
        on_broker: of those, on the topic.
        in_store: of those, in the dead letter queue.
        lost: in neither place.
        most_lost_at_once: the worst single kill.
        within_depth: no kill lost more than the queue depth that its process had told last.
        copies: events on the topic more than once.
    """

    kills: int
    accepted: int
    on_broker: int
    in_store: int
    lost: int
    most_lost_at_once: int
    within_depth: bool
    copies: int


def run(bootstrap: str, topic: str, mode: str, directory: Path, kills: int, seed: int) -> Account:
    """Kill, and count."""
    draw = random.Random(seed)
    told = [_one_life(bootstrap, topic, mode, directory, number, draw.uniform(0.02, 0.5)) for number in range(kills)]
    with Store.open(directory):
        pass  # rows that the last process left in the journal become dead letters
    found = Counter(peek(record.value).event_id for record in on_the_broker(bootstrap, topic) if record.value)
    kept = {peek(letter.value).event_id for letter in in_the_store(directory)}
    everything = {event_id for life in told for event_id, _ in life}
    lost_by_life = [
        [event_id for event_id, _ in life if event_id not in found and event_id not in kept] for life in told
    ]
    return Account(
        kills=kills,
        accepted=len(everything),
        on_broker=len(everything & found.keys()),
        in_store=len(everything & kept),
        lost=sum(map(len, lost_by_life)),
        most_lost_at_once=max(map(len, lost_by_life)),
        within_depth=all(
            len(lost) <= (life[-1][1] if life else 0) for lost, life in zip(lost_by_life, told, strict=True)
        ),
        copies=sum(count - 1 for count in found.values()),
    )


def _one_life(
    bootstrap: str, topic: str, mode: str, directory: Path, number: int, seconds: float
) -> list[tuple[str, int]]:
    command = [
        sys.executable,
        "-m",
        "tests.e2e.producing_child",
        bootstrap,
        topic,
        mode,
        str(directory),
        str(number + 1),
    ]
    with tempfile.TemporaryFile() as out:
        child = subprocess.Popen(command, cwd=_ROOT, stdout=out, stderr=subprocess.PIPE)
        deadline = time.monotonic() + 30
        while out.seek(0, 2) == 0 and child.poll() is None and time.monotonic() < deadline:
            time.sleep(0.005)
        assert child.poll() is None, child.stderr.read() if child.stderr else None
        time.sleep(seconds)  # the moment of death is what is random here
        child.kill()
        child.communicate()
        out.seek(0)
        lines = out.read().split(b"\n")[:-1]
    return [(line.split()[0].decode(), int(line.split()[1])) for line in lines]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    from tests.broker.broker import KafkaBroker

    with tempfile.TemporaryDirectory() as scratch, KafkaBroker(Path(scratch) / "broker") as broker:
        for mode in ("durable", "async"):
            topic = broker.handle.create_topic(partitions=3)
            print(mode, run(broker.handle.bootstrap, topic, mode, Path(scratch) / mode, options.kills, options.seed))


if __name__ == "__main__":
    main()
