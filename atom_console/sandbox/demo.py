"""The demonstration: an embedded cluster and Flight server, a workload, scripted faults, and what to press."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Event
from types import TracebackType
from typing import TYPE_CHECKING, Final, Self

from atom_console.engine.sources import Chunk
from atom_console.events import encode_mapping
from atom_console.sandbox.faults import FORBIDDEN_TOPIC, Fault, Script, forbid, script
from atom_console.sandbox.flight import FlightSandbox
from atom_console.sandbox.mock_cluster import MockCluster
from atom_console.sandbox.workload import Workload

if TYPE_CHECKING:
    from atom_console.config import Loaded

TOPICS: Final = ("atom.write.raw", "atom.calc.trigger", FORBIDDEN_TOPIC)
_PARTITIONS: Final = 4
_TICK_S: Final = 0.05
_MESSAGE_TIMEOUT_MS: Final = 3_000

_ADVICE: Final = {
    "rejected": "2 opens the dead letters",
    "oversize": "2 then enter shows which event, and its size",
    "forbidden": "2 shows them as config errors, with the permission that is missing",
    "outage": "watch the queue fill; after 3 s events go to the disk, none is lost",
}


class Demo:
    """Everything a console needs to be tried without a broker; closing it leaves nothing behind.

    Args:
        rate_per_s: events a second of the workload.
        faults: what goes wrong and when.
    """

    def __init__(self, rate_per_s: float = 400.0, faults: tuple[Fault, ...] | None = None) -> None:
        from atom_console.config import load

        self._rate_per_s = rate_per_s
        self._open = ExitStack()
        self.directory = Path(self._open.enter_context(TemporaryDirectory(prefix="atom-console-demo-")))
        self.cluster = self._open.enter_context(MockCluster(1))
        for topic in TOPICS:
            self.cluster.topic(topic, _PARTITIONS)
        forbid(self.cluster)
        self.flight = self._open.enter_context(FlightSandbox(self.directory))
        self.workload = Workload()
        self.script = Script(self.cluster, self.workload, story() if faults is None else faults)
        self.news = "Events flow to an embedded cluster; the first fault comes in a few seconds; 3 is Flight over mTLS."
        """What happened last, in a sentence."""
        self._advice = ""
        self._ended = Event()
        # None of the operator's own settings reach the demonstration.
        empty = self.directory / "config.toml"
        empty.touch()
        self.loaded: Loaded = load(
            config_file=empty,
            environ={},
            overrides=(
                f"kafka.bootstrap_servers={self.cluster.bootstrap_servers}",
                f"kafka.message_timeout_ms={_MESSAGE_TIMEOUT_MS}",
                f"dlq.dir={self.directory / 'dlq'}",
                f"dlq.min_free_bytes={1 << 20}",
                "clearance=255",
                *self.flight.overrides,
            ),
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Stop the workload and the cluster, and delete what was written."""
        self._ended.set()
        self._open.close()

    def coach(self) -> str:
        """What happens now, and which key shows it."""
        return f"{self.news} {self._advice}".strip()

    def chunks(self) -> Iterator[Chunk]:
        """The workload, with the events of faults as their time comes; endless until `close`."""
        begun_s = time.monotonic()
        sent = 0
        while not self._ended.wait(_TICK_S):
            elapsed_s = time.monotonic() - begun_s
            for happening in self.script.advance(elapsed_s):
                self._tell(happening.fault, began=happening.began)
                for injected in happening.injected:
                    yield Chunk(payloads=[encode_mapping(injected.event)], topic=injected.topic)
            due = int(elapsed_s * self._rate_per_s) - sent
            sent += due
            yield Chunk(payloads=[encode_mapping(event) for event in self.workload.events(due)])

    def _tell(self, fault: Fault, *, began: bool) -> None:
        if began:
            self.news, self._advice = fault.story, _ADVICE.get(fault.name, "")
        else:
            self.news, self._advice = "The brokers are back.", "new events flow; what timed out waits under 2"


def story(scale: float = 1.0) -> tuple[Fault, ...]:
    """The faults of the demonstration: about one every five seconds, the outage at 20 s for 8 s, all times scaled.

    The outage always outlasts the time-out of an event, so that there is something to see.
    """
    outage_s = max(8.0 * scale, _MESSAGE_TIMEOUT_MS / 1000 + 1.0)
    times_s = {"rejected": 5.0, "oversize": 10.0, "forbidden": 15.0, "outage": 20.0}
    return tuple(replace(fault, at_s=times_s[fault.name] * scale) for fault in script(outage_s=outage_s))
