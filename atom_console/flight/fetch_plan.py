"""What to fetch, within which bounds, and how far it is: the values around `Fetch`."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Literal

State = Literal["opening", "streaming", "done", "failed", "cancelled"]
Resume = Literal["no", "again", "from batch"]


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A part of a plan.

    Attributes:
        ticket: what to ask for.
        locations: where, each as good as the other; empty for the server that named it.
        resume: `no`; `again` (the same ticket may be asked again, batches already here are skipped); `from batch` (the
            ticket takes a first batch).
    """

    ticket: bytes
    locations: tuple[str, ...] = ()
    resume: Resume = "no"


@dataclass(frozen=True, slots=True)
class FetchPlan:
    """What to read.

    Attributes:
        name: for messages.
        endpoints: the parts.
        ordered: keep the order of the parts.
        rows: how many the server announced, or None.
        bytes: likewise.
    """

    name: str
    endpoints: tuple[Endpoint, ...]
    ordered: bool = True
    rows: int | None = None
    bytes: int | None = None


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds of one fetch.

    Attributes:
        ring_batches: batches that wait for a slow consumer, per endpoint that is read.
        ring_bytes: bytes that wait, all endpoints together.
        parallel: endpoints read at the same time.
        idle_timeout_s: longest silence, or None.
        deadline_s: longest duration in all, or None.
        reconnects: attempts in a row to continue an endpoint that may be continued.
    """

    ring_batches: int = 8
    ring_bytes: int = 64 << 20
    parallel: int = min(4, os.cpu_count() or 1)
    idle_timeout_s: float | None = 300.0
    deadline_s: float | None = None
    reconnects: int = 8


DEFAULT_LIMITS = Limits()


@dataclass(frozen=True, slots=True)
class Progress:
    """A moment of a fetch.

    Attributes:
        seconds: since the start, up to the end once it ended.
        resumes: how often a broken endpoint was continued at a batch boundary.
        idle_s: since the last batch.
        waiting: batches that wait in the rings for the consumer.
        room: how many may wait.
    """

    state: State
    rows: int
    batches: int
    bytes: int
    seconds: float
    rows_expected: int | None
    bytes_expected: int | None
    endpoints: int
    endpoints_done: int
    resumes: int
    idle_s: float
    waiting: int = 0
    room: int = 0

    @property
    def gb_per_s(self) -> float:
        """10⁹ bytes a second, over the whole time."""
        return self.bytes / 1e9 / self.seconds if self.seconds > 0 else 0.0
