"""Scripted faults: what goes wrong in the sandbox, when, and what an operator will see of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final

from atom_console.sandbox.mock_cluster import MockCluster
from atom_console.sandbox.workload import Event, Workload

FORBIDDEN_TOPIC: Final = "audit.log"
"""The sandbox's topic without permission."""

_TOPIC_AUTHORIZATION_FAILED: Final = 29
_POLICY_VIOLATION: Final = 44


@dataclass(frozen=True, slots=True)
class Injected:
    """An event that a fault wants published: on a topic of its own, or on the usual one (None)."""

    event: Event
    topic: str | None = None


@dataclass(frozen=True, slots=True)
class Fault:
    """One fault.

    Attributes:
        name: a word for it.
        at_s: when it begins, in seconds since the script began.
        for_s: how long it lasts; 0 is a single stroke.
        story: one sentence for the narrator.
        begin: what happens to the cluster.
        end: what heals it.
        events: what is to be published when it begins.
    """

    name: str
    at_s: float
    for_s: float
    story: str
    begin: Callable[[MockCluster], None] = lambda _: None
    end: Callable[[MockCluster], None] = lambda _: None
    events: Callable[[Workload], list[Injected]] = lambda _: []


@dataclass(frozen=True, slots=True)
class Happening:
    """A fault that began or ended just now, and what to publish for it."""

    fault: Fault
    began: bool
    injected: Sequence[Injected] = ()


def forbid(cluster: MockCluster) -> None:
    """Refuse the topic without permission; only clients that have not seen its metadata yet are refused."""
    cluster.topic_error(FORBIDDEN_TOPIC, _TOPIC_AUTHORIZATION_FAILED)


def _reject(cluster: MockCluster) -> None:
    cluster.errors(*[_POLICY_VIOLATION] * 5)


def _oversize(workload: Workload) -> list[Injected]:
    return [Injected(workload.oversize(1_200_000))]


def _to_forbidden(workload: Workload) -> list[Injected]:
    return [Injected(event, FORBIDDEN_TOPIC) for event in workload.events(20)]


def script(scale: float = 1.0, outage_s: float = 4.0) -> tuple[Fault, ...]:
    """The sandbox's story: rejected batches, an event that is too large, a topic without permission, an outage.

    Args:
        scale: stretches the times at which the faults begin.
        outage_s: how long the brokers stay away; longer than `message.timeout.ms` and events are captured.
    """
    return (
        Fault(
            "rejected", 2.0 * scale, 0.0, "A policy of the broker refuses the next five batches whole.", begin=_reject
        ),
        Fault("oversize", 4.0 * scale, 0.0, "A pasted block of 1.2 MB is over the size limit.", events=_oversize),
        Fault(
            "forbidden",
            6.0 * scale,
            0.0,
            f"Events go to {FORBIDDEN_TOPIC}, where this principal may not write.",
            begin=forbid,
            events=_to_forbidden,
        ),
        Fault(
            "outage",
            8.0 * scale,
            outage_s,
            f"All brokers are away for {outage_s:g} s.",
            begin=MockCluster.down,
            end=MockCluster.up,
        ),
    )


@dataclass(slots=True)
class Script:
    """Plays faults against a cluster; driven by whoever publishes, so that it needs no thread.

    Args:
        cluster: what is harmed.
        workload: where the events of faults come from.
        faults: in any order.
    """

    cluster: MockCluster
    workload: Workload
    faults: Sequence[Fault]
    _begun: set[str] = field(default_factory=set)
    _ended: set[str] = field(default_factory=set)

    def advance(self, elapsed_s: float) -> list[Happening]:
        """Begin and end what is due `elapsed_s` seconds into the script."""
        happenings = []
        for fault in self.faults:
            if fault.name not in self._begun and elapsed_s >= fault.at_s:
                self._begun.add(fault.name)
                fault.begin(self.cluster)
                happenings.append(Happening(fault, began=True, injected=fault.events(self.workload)))
            if fault.name in self._begun - self._ended and elapsed_s >= fault.at_s + fault.for_s:
                self._ended.add(fault.name)
                fault.end(self.cluster)
                if fault.for_s:
                    happenings.append(Happening(fault, began=False))
        return happenings

    @property
    def finished(self) -> bool:
        """Whether every fault has begun and ended."""
        return len(self._ended) == len(self.faults)

    def heal(self) -> None:
        """End everything that has begun, at once."""
        for fault in self.faults:
            if fault.name in self._begun - self._ended:
                self._ended.add(fault.name)
                fault.end(self.cluster)
        self.cluster.clear()
