"""What speaks against a plan, and what to know before it runs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, TypeVar

from atom_console.dlq.replay.candidates import Candidate, Cohort
from atom_console.dlq.replay.options import ReplayOptions
from atom_console.dlq.replay.targets import Target, Targets
from atom_console.dlq.times import now_ms
from atom_console.times import format_ms

_T = TypeVar("_T")

_OVERHEAD: Final = 200
"""Bytes that our headers and the record's framing add at most."""


@dataclass(slots=True)
class Findings:
    """What speaks against a plan, and what to know."""

    refusals: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)

    def refuse_cluster(self, cohorts: Mapping[Cohort, int], targets: Targets) -> None:
        """Records of another cluster."""
        clusters = counts_of((cohort.cluster_id, count) for cohort, count in cohorts.items())
        for cluster_id, count in clusters.items():
            if cluster_id is None:
                self.warnings.append(f"{count:,} records do not say which cluster they were meant for")
            elif targets.cluster_id is None:
                self.warnings.append("this cluster does not say which one it is")
            elif cluster_id != targets.cluster_id:
                self.refusals.append(f"{count:,} records are of cluster {cluster_id}, this is {targets.cluster_id}")

    def look_at_topics(self, used: Mapping[str, Target], options: ReplayOptions, dlq_topics: set[str]) -> None:
        """Each topic that would be written to."""
        for topic, target in used.items():
            if topic in dlq_topics:
                self.refusals.append(f"{topic} is a DLQ topic: a replay to it would loop")
            if not target.exists:
                self.refusals.append(f"topic {topic} does not exist, or may not be described")
                continue
            if target.can_write is False:
                self.refusals.append(f"WRITE on topic {topic} is not granted")
            if target.can_read is False and options.read_back:
                self.refusals.append(
                    f"READ on topic {topic} is not granted, so an outcome that a crash leaves open could not be found"
                    " out (--no-read-back sends all the same)"
                )
            if target.compacted and not options.allow_compacted:
                self.refusals.append(
                    f"topic {topic} is compacted: copies may vanish before they are counted (--allow-compacted)"
                )
            if target.can_write is None:
                self.warnings.append(f"topic {topic}: whether WRITE and READ are granted is not known")

    def warn(
        self, sent: Sequence[Candidate], targets: Targets, options: ReplayOptions, *, too_large: int, largest: int
    ) -> None:
        """What an operator should know. `largest`: no record is larger, bytes."""
        if options.timestamps == "preserve":
            self._warn_of_retention(sent, targets)
        if options.order == "partition":
            self.warnings.append("order by partition: when a record fails, later ones of its key may have landed")
        if not options.read_back:
            self.warnings.append("no read-back: after a crash, what was in flight stays unknown")
        named = Counter((record.topic, record.orig_partition) for record in sent)
        moved = sum(
            count
            for (topic, partition), count in named.items()
            if topic is not None and partition is not None and partition >= targets.by_topic[topic].partitions > 0
        )
        if moved:
            self.warnings.append(f"{moved:,} records name a partition that their topic does not have any more")
            if options.original_partition:
                self.refusals.append("the original partition of some records does not exist")
        if too_large:
            self.warnings.append(f"{too_large:,} records are larger than max.message.bytes of their topic")
        limits = [target.max_message_bytes for target in targets.by_topic.values() if target.max_message_bytes]
        perhaps = 0
        if limits and largest + _OVERHEAD > min(limits):
            perhaps = sum(beyond_limit(record, targets.by_topic[record.topic or ""]) for record in sent)
        if perhaps:
            self.warnings.append(
                f"{perhaps:,} records are larger than max.message.bytes before they are compressed; they may be refused"
            )

    def _warn_of_retention(self, sent: Iterable[Candidate], targets: Targets) -> None:
        now = now_ms()
        for topic, target in targets.by_topic.items():
            retention = target.retention_ms
            if retention is None or retention < 0:
                continue
            old = [r for r in sent if r.topic == topic and r.orig_timestamp and r.orig_timestamp < now - retention]
            if old:
                oldest = format_ms(min(record.orig_timestamp or now for record in old))
                self.warnings.append(
                    f"{len(old):,} records are older than the retention of {topic} ({retention / 3_600_000:.1f} h,"
                    f" oldest {oldest}): the broker will acknowledge and then delete them"
                )


def beyond_limit(record: Candidate, target: Target | None) -> bool:
    """Larger than the topic allows; brokers count what arrives, so compression may save it."""
    limit = target.max_message_bytes if target is not None else None
    return limit is not None and record.size_bytes + _OVERHEAD > limit


def counts_of(parts: Iterable[tuple[_T, int]]) -> Counter[_T]:
    """The sums by what is counted."""
    total: Counter[_T] = Counter()
    for what, count in parts:
        total[what] += count
    return total
