"""What the dead letter store holds, read when it changed; several processes may write to it."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from atom_console.dlq.reader import Reader
from atom_console.dlq.record import Group, Stats
from atom_console.engine.last_look import LastLook
from atom_console.engine.replay_watch import ReplayFacts, ReplayWatch
from atom_console.engine.snapshot import GroupRow

TICK_S: Final = 0.5
_FULL_READ_S: Final = 5.0
_TREND_MINUTES: Final = 40
_HISTORY: Final = 120


@dataclass(frozen=True, slots=True)
class StoreFacts:
    """One reading of the store."""

    stats: Stats
    groups: tuple[GroupRow, ...]
    growth: tuple[float, ...]
    last_at_ms: int | None
    replays: ReplayFacts


class StoreWatch:
    """For one thread: `read` looks at the store, and again at all of it only when another connection has committed."""

    def __init__(self, directory: Path, last_look: LastLook) -> None:
        self._reader = Reader(directory)
        self._replays = ReplayWatch(directory)
        self._last_look = last_look
        self._counter: int | None = None
        self._due_s = 0.0
        self._facts: StoreFacts | None = None
        self._growth: deque[float] = deque(maxlen=_HISTORY)

    def read(self) -> StoreFacts:
        """The store now.

        Raises:
            StoreUnavailableError, StoreVersionError: it cannot be read; see `next_step`.
        """
        counter, now_s = self._reader.change_counter(), time.monotonic()
        if self._facts is not None and counter == self._counter and now_s < self._due_s:
            self._facts = replace(self._facts, replays=self._replays.look_at_holder(self._facts.replays))
            return self._facts
        self._counter, self._due_s = counter, now_s + _FULL_READ_S
        stats = self._reader.stats()
        self._growth.append(stats.growth_per_s * 60)
        trend = self._reader.trend(minutes=_TREND_MINUTES)
        found = self._reader.groups()
        self._facts = StoreFacts(
            stats=stats,
            groups=tuple(_row(group, trend, self._last_look) for group in found),
            growth=tuple(self._growth),
            last_at_ms=max((group.last_seen for group in found), default=None),
            replays=self._replays.read(),
        )
        return self._facts

    def close(self) -> None:
        """Let go of the store, and remember what was seen."""
        if self._facts is not None:
            self._last_look.save({group.fingerprint: group.count for group in self._facts.groups})
        self._reader.close()


def _row(group: Group, trend: Mapping[str, list[int]], last_look: LastLook) -> GroupRow:
    return GroupRow(
        fingerprint=group.fingerprint,
        label=group.label,
        err_class=group.err_class,
        state=max(group.states.items(), key=lambda pair: pair[1])[0] if group.states else "ready",
        count=group.count,
        new=last_look.new(group.fingerprint, group.count),
        size_bytes=group.bytes,
        tenants=group.tenants,
        first_at_ms=group.first_seen,
        last_at_ms=group.last_seen,
        topics=() if group.topic is None else (group.topic,),
        history=tuple(trend.get(group.fingerprint, ())),
    )
