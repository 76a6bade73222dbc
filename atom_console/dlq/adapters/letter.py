"""What goes into an adapter and what comes out of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, NamedTuple

from atom_console.dlq.headers import Headers
from atom_console.dlq.record import Origin, PayloadKind

if TYPE_CHECKING:
    from atom_console.dlq.adapters.header_map import HeaderMap


class Letter(NamedTuple):
    """A record as it lies in a topic. `timestamp` in Unix milliseconds, None where the record has none."""

    topic: str
    partition: int
    offset: int
    timestamp: int | None
    key: bytes | None
    value: bytes | None
    headers: Headers


@dataclass(frozen=True, slots=True)
class Context:
    """What configuration knows and headers do not say.

    Attributes:
        dlq_topics: topics that hold dead letters: a block that names one of them tells a hop, not the origin.
        sources: DLQ topic (or a pattern with `*`) → the topic whose records end there.
        maps: header maps of the user's own, tried before the known frameworks.
    """

    dlq_topics: frozenset[str] = frozenset()
    sources: Mapping[str, str] = field(default_factory=dict)
    maps: tuple[HeaderMap, ...] = ()

    def source_of(self, dlq_topic: str) -> str | None:
        """The source topic that configuration names for a DLQ topic."""
        exact = self.sources.get(dlq_topic)
        if exact is not None:
            return exact
        return next((topic for pattern, topic in self.sources.items() if fnmatchcase(dlq_topic, pattern)), None)


@dataclass(slots=True)
class Reading:
    """A dead letter as an adapter understood it.

    Attributes:
        topic, partition, offset, timestamp: where the original lies, as far as that can be trusted; milliseconds.
        exception: class of the exception as the framework reports it; `message`, `stack` its text.
        cause: class of the innermost cause, for grouping; `frames` the stack frames below it, innermost first.
        attempts: deliveries that the framework counted.
        kind: `full` (the original bytes), `tombstone`, `embedded` (the original, unwrapped from a value with headers in
            front), `derived` (something was lost), `pointer` (only the place is known), `absent` (neither).
        key, value, headers: what a replay sends; the framework's headers are gone.
        refetch: the record at the source offset is better than these bytes.
        drained: id, state and the like of a record that another console published with `dlq drain`.
        warnings: what could not be read or trusted, a sentence each.
    """

    origin: Origin = Origin.UNKNOWN
    topic: str | None = None
    partition: int | None = None
    offset: int | None = None
    timestamp: int | None = None
    ts_type: str | None = None
    stage: str = ""
    component: str = ""
    exception: str = ""
    cause: str | None = None
    frames: tuple[str, ...] = ()
    message: str = ""
    stack: str | None = None
    attempts: int | None = None
    kind: PayloadKind = PayloadKind.FULL
    key: bytes | None = None
    value: bytes | None = None
    headers: Headers = ()
    refetch: bool = False
    drained: Drained | None = None
    warnings: list[str] = field(default_factory=list)

    @property
    def addressable(self) -> bool:
        """Whether the place of the original is known."""
        return self.topic is not None and self.partition is not None and self.offset is not None


@dataclass(frozen=True, slots=True)
class Drained:
    """What a record of another store carries beside its payload: see docs/dead-letters-of-others.md."""

    id: bytes
    captured_at: int
    err_class: str
    err_code: int | None
    err_name: str
    maybe_persisted: bool
    state: str
    state_reason: str | None
    cluster_id: str | None
    parent_id: str | None
    loops: int
