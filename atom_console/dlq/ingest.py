"""Reads DLQ topics into the store: by assignment, no group, no commits; each record once, from where it was left.

Reading and decoding run in the caller's thread while the store commits the batch before.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from threading import Event
from typing import TYPE_CHECKING, Any, Final

from confluent_kafka import Message

from atom_console.dlq.adapters import Context, Letter, Reading
from atom_console.dlq.adapters.records import parent_of
from atom_console.dlq.adapters.templates import Decoder
from atom_console.dlq.ingest_ledger import Batch, Ledger
from atom_console.dlq.ingest_sources import Sources
from atom_console.dlq.replay.quiet import SWITCH_OFTEN_S, quiet_interpreter
from atom_console.errors import InputError, UnreachableError
from atom_console.kafka.cluster import ClusterReader
from atom_console.kafka.read_back import read_range
from atom_console.times import format_ms

if TYPE_CHECKING:
    from atom_console.config import KafkaSettings
    from atom_console.dlq.record import NewRecord
    from atom_console.dlq.store import Store
    from atom_console.kafka.cluster_view import TopicConfig, Watermark

_SOON_MS: Final = 24 * 3_600_000
_BATCH: Final = 2_000


class NothingToIngestError(InputError):
    """No DLQ topic was named, neither in the call nor in the settings."""


class LeaderlessError(UnreachableError):
    """A partition has no leader that answers, so its dead letters cannot be read now."""


@dataclass(frozen=True, slots=True)
class TopicReport:
    """What became of one topic.

    Attributes:
        read: records that came from the broker; added: new in the store; known: were there already.
        skipped: offsets that the broker deleted before anybody read them (retention): dead letters that are lost.
        fetched: originals read at their source; gone: originals that could not be.
        expiring: records that the topic may delete within a day, or already.
        made_again: the topic was deleted and made again since the last time.
    """

    topic: str
    read: int
    added: int
    known: int
    skipped: int
    fetched: int
    gone: int
    expiring: int
    made_again: bool


def ingest(
    store: Store,
    kafka: KafkaSettings,
    topics: Sequence[str],
    context: Context,
    *,
    again: bool = False,
    fetch: bool = True,
    spare: bool = False,
    stop: Event | None = None,
    on_progress: Callable[[int, int], None] | None = None,
) -> list[TopicReport]:
    """Take in what the topics hold now.

    Args:
        context: from `load_context`; the topics are added to its DLQ topics.
        again: read from the beginning of the topics; nothing is stored twice.
        fetch: read originals at their source where the dead letter is only a pointer or a poorer copy.
        spare: keep a producer's own headers that look like a framework's (see `adapters.decode`).
        stop: ends early when set; what was read by then is stored, and the next call goes on there.
        on_progress: told (read so far, offsets to read) from time to time.

    Returns:
        One report a topic, in order.

    Raises:
        NothingToIngestError: no topics.
        UnknownTopicError, TopicRefusedError, LeaderlessError, BrokerUnreachableError: see there.
        IntakeRefusedError, StoreUnavailableError: the store takes nothing now.
    """
    if not topics:
        raise NothingToIngestError("no DLQ topic is named", next_step="name topics, or set dlq.topics")
    wanted = list(dict.fromkeys(topics))
    knowing = Context(context.dlq_topics | frozenset(wanted), context.sources, context.maps)
    with ClusterReader(kafka) as cluster:
        for topic in wanted:
            cluster.topic(topic)
        cluster_id = cluster.view().cluster_id or ""
        marks = cluster.watermarks(wanted, read_committed=True).by_topic
        configs, ids = cluster.topic_configs(wanted), cluster.topic_ids(wanted)
    call = _Call(store, kafka, cluster_id, knowing, fetch, spare)
    halt = stop or Event()
    reports = []
    with quiet_interpreter(SWITCH_OFTEN_S):
        for topic in wanted:
            one = _Topic(call, topic, Ledger(store, cluster_id, topic, ids.get(topic)), configs[topic])
            reports.append(one.run(_all_answer(topic, marks[topic]), again=again, stop=halt, on_progress=on_progress))
            if halt.is_set():
                break
    return reports


def _all_answer(topic: str, marks: Mapping[int, Watermark | None]) -> dict[int, Watermark]:
    silent = sorted(number for number, mark in marks.items() if mark is None)
    if silent:
        raise LeaderlessError(
            f"topic {topic!r}: nobody answers for partition {', '.join(map(str, silent))}",
            next_step="`atom-console topics` shows which brokers are missing; then ingest again",
        )
    return {number: mark for number, mark in marks.items() if mark is not None}


@dataclass(frozen=True, slots=True)
class _Call:
    """What all topics of one call share."""

    store: Store
    kafka: KafkaSettings
    cluster_id: str
    context: Context
    fetch: bool
    spare: bool


class _Topic:
    """One topic of one call."""

    def __init__(self, call: _Call, topic: str, ledger: Ledger, config: TopicConfig) -> None:
        self._call, self._topic, self._ledger = call, topic, ledger
        deletes = config.cleanup_policy is not None and "delete" in config.cleanup_policy
        self._retention_ms = config.retention_ms if deletes and (config.retention_ms or -1) >= 0 else None
        self._sources = Sources(call.kafka) if call.fetch else None
        self._decoder = Decoder(call.context, cluster_id=call.cluster_id, spare=call.spare)
        self._read = self._added = self._expiring = 0

    def run(
        self,
        marks: Mapping[int, Watermark],
        *,
        again: bool,
        stop: Event,
        on_progress: Callable[[int, int], None] | None,
    ) -> TopicReport:
        plan = self._ledger.plan(marks, again=again)
        due = sum(high - low for low, high in plan.ranges.values())
        reader = read_range(self._call.kafka, self._topic, plan.ranges, read_committed=True, stop=stop)
        try:
            with ThreadPoolExecutor(1, "dlq-ingest") as committer:
                pending: Future[int] | None = None
                batch: list[Message] = []
                for messages in reader:
                    batch += messages
                    if len(batch) < _BATCH:
                        continue
                    pending, batch = self._hand_over(committer, pending, batch), []
                    if on_progress is not None:
                        on_progress(self._read, due)
                pending = self._hand_over(committer, pending, batch)
                self._added += pending.result()
            ends = {number: (one.high, one.high) for number, one in reader.account.items() if one.complete}
            self._ledger.take(Batch([], ends))
        finally:
            if self._sources is not None:
                self._sources.close()
        return TopicReport(
            topic=self._topic,
            read=self._read,
            added=self._added,
            known=self._read - self._added,
            skipped=sum(plan.skipped.values()),
            fetched=0 if self._sources is None else self._sources.fetched,
            gone=0 if self._sources is None else self._sources.gone,
            expiring=self._expiring,
            made_again=plan.made_again,
        )

    def _hand_over(
        self, committer: ThreadPoolExecutor, before: Future[int] | None, batch: list[Message]
    ) -> Future[int]:
        """Decode this batch while the one before is committed, then give it to the committer."""
        letters = _letters(batch)
        now = time.time_ns() // 1_000_000
        records = self._decoder.records(letters, now_ms=now, improve=self._improve, loops=self._loops)
        if self._retention_ms is not None:
            for record in records:
                self._warn_of_expiry(record, now)
        spans: dict[int, tuple[int, int]] = {}
        for letter in letters:
            first = spans.get(letter.partition)
            spans[letter.partition] = (letter.offset if first is None else first[0], letter.offset + 1)
        made = Batch(records, spans)
        if before is not None:
            self._added += before.result()
        self._call.store.require_intake()
        self._read += len(records)
        return committer.submit(self._ledger.take, made)

    def _improve(self, pairs: list[tuple[Letter, Reading]]) -> None:
        if self._sources is not None:
            self._sources.improve(pairs)

    def _loops(self, letters: Sequence[Letter]) -> dict[str, int]:
        return self._ledger.loops({parent for letter in letters if (parent := parent_of(letter)) is not None})

    def _warn_of_expiry(self, record: NewRecord, now_ms: int) -> None:
        """Retention counts from the record's own timestamp, which Connect and Streams copy from the source."""
        place = record.provenance
        if place is None or place.timestamp is None or self._retention_ms is None:
            return
        at = place.timestamp + self._retention_ms
        if at - now_ms < _SOON_MS:
            self._expiring += 1
            when = f"may have been deleted since {format_ms(at)}" if at <= now_ms else f"expires at {format_ms(at)}"
            place.warnings += (f"on {self._topic} it {when}: retention counts from the record's own timestamp",)


def _letters(messages: Sequence[Message]) -> list[Letter]:
    """Consumed messages by column; their own type hints allow for text and None that never come."""
    all_headers: Any = map(Message.headers, messages)
    times: Any = map(Message.timestamp, messages)
    columns: Any = zip(
        map(Message.topic, messages),
        map(Message.partition, messages),
        map(Message.offset, messages),
        [at if kind else None for kind, at in times],
        map(Message.key, messages),
        map(Message.value, messages),
        [tuple(headers or ()) for headers in all_headers],
        strict=True,
    )
    return list(map(Letter._make, columns))
