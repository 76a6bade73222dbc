"""What the brokers say, read once a second: watermarks in one batch, and now and then metadata and group lag."""

from __future__ import annotations

import time
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from atom_console.engine.rotation import KafkaIdentity, Refusal, Renewed
from atom_console.engine.snapshot import BrokerRow, Series, TopicRow
from atom_console.errors import AtomError
from atom_console.kafka.cluster import ClusterReader
from atom_console.kafka.cluster_view import ClusterView, Group, Watermarks, rates

if TYPE_CHECKING:
    from atom_console.config import Settings

TICK_S: Final = 1.0
_TIMEOUT_S: Final = 2.0
_GROUPS_S: Final = 5.0
_HISTORY: Final = 120


@dataclass(frozen=True, slots=True)
class ClusterFacts:
    """One reading of the cluster, as rows."""

    cluster_id: str | None
    brokers: tuple[BrokerRow, ...]
    topics: tuple[TopicRow, ...]


def _connected(settings: Settings) -> ClusterReader:
    """A reader that a broker has answered."""
    reader = ClusterReader(settings.kafka, timeout_s=_TIMEOUT_S)
    try:
        reader.view()
    except AtomError:
        reader.close()
        raise
    return reader


class ClusterWatch:
    """For one thread: `read` asks the cluster once."""

    def __init__(self, identity: KafkaIdentity) -> None:
        first = ClusterReader(identity.settings.kafka, timeout_s=_TIMEOUT_S)
        self._readers = Renewed(identity, _connected, ClusterReader.close, first)
        self._marks: Watermarks | None = None
        self._history: dict[str, deque[float | None]] = {}
        self._groups: tuple[Group, ...] = ()
        self._groups_due_s = 0.0
        self._lag_before: dict[tuple[str, str], int | None] = {}
        self._lag_change: dict[tuple[str, str], int | None] = {}

    def read(self) -> ClusterFacts:
        """Ask for watermarks, and every few seconds for the groups.

        Raises:
            BrokerUnreachableError: no broker answered.
        """
        reader = self._readers.current()
        view = reader.view()
        names = [name for name in view.topics if not name.startswith("__")]
        marks = reader.watermarks(names, view=view)
        growth = rates(self._marks, marks) if self._marks is not None else {}
        self._marks = marks
        for name in names:
            self._history.setdefault(name, deque(maxlen=_HISTORY)).append(growth.get(name))
        for gone in self._history.keys() - set(names):
            del self._history[gone]
        self._read_groups(reader, marks)
        return ClusterFacts(
            cluster_id=view.cluster_id,
            brokers=tuple(BrokerRow(one.node_id, one.address, one.state or "?") for one in view.brokers),
            topics=tuple(self._row(view, marks, name, growth.get(name)) for name in names),
        )

    def close(self) -> None:
        """Drop the client."""
        self._readers.value.close()

    @property
    def refused(self) -> Refusal | None:
        """Why new certificates are not in use, or None where they are."""
        return self._readers.refused

    def _read_groups(self, reader: ClusterReader, marks: Watermarks) -> None:
        now_s = time.monotonic()
        if now_s < self._groups_due_s:
            return
        self._groups_due_s = now_s + _GROUPS_S
        try:
            self._groups = reader.groups(marks)
        except AtomError:
            self._groups = ()  # the topics are still worth showing; the lag is then not known
        lags = {(g.group_id, topic): lag for g in self._groups for topic, lag in g.lag_by_topic.items()}
        self._lag_change = {
            key: lag - before
            for key, lag in lags.items()
            if lag is not None and (before := self._lag_before.get(key)) is not None
        }
        self._lag_before = lags

    def _row(self, view: ClusterView, marks: Watermarks, name: str, per_s: float | None) -> TopicRow:
        topic = view.topics[name]
        behind = [(lag, group.group_id) for group in self._groups if (lag := group.lag_by_topic.get(name)) is not None]
        lag, group_id = max(behind, default=(None, None), key=lambda pair: pair[0] or 0)
        return TopicRow(
            name=name,
            partitions=len(topic.partitions),
            under_replicated=topic.under_replicated,
            messages=marks.messages(name),
            per_s=Series(per_s, tuple(self._history[name])),
            group=group_id,
            lag=lag,
            lag_change=None if group_id is None else self._lag_change.get((group_id, name)),
        )
