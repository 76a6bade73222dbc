"""Publishes local dead letters to a shared DLQ topic, so that a team triages in one place, and marks them.

A record is marked only once the broker has acknowledged it. A crash in between publishes it again; `dlq ingest` knows
records by their id, so nobody sees it twice.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from threading import Event
from typing import TYPE_CHECKING, Any, Final

from confluent_kafka import KafkaError, KafkaException, Producer

from atom_console.dlq import audit
from atom_console.dlq.adapters.own import drain_headers
from atom_console.dlq.errors import FilterError, IllegalTransitionError, StaleRecordError
from atom_console.dlq.record import Origin, State
from atom_console.dlq.states import Change, transition
from atom_console.errors import RefusedError
from atom_console.kafka.client_config import producer_config
from atom_console.kafka.client_log import CLIENT_LOG
from atom_console.kafka.cluster import ClusterReader

if TYPE_CHECKING:
    import apsw

    from atom_console.config import KafkaSettings
    from atom_console.dlq.filters import Filter
    from atom_console.dlq.reader import Reader
    from atom_console.dlq.record import RecordDetail, RecordRow
    from atom_console.dlq.store import Store

_BATCH: Final = 500
_STATES: Final = (State.READY.value, State.QUARANTINED.value)
_GRACE_S: Final = 2.0
_NO_ANSWER: Final = KafkaError(KafkaError._MSG_TIMED_OUT, "the broker did not answer")
_OF_THE_BATCH: Final = frozenset(
    {
        KafkaError.MSG_SIZE_TOO_LARGE,
        KafkaError.RECORD_LIST_TOO_LARGE,
        KafkaError.INVALID_TIMESTAMP,
        KafkaError.INVALID_RECORD,
        KafkaError._INVALID_DIFFERENT_RECORD,
    }
)


class DrainTargetError(RefusedError):
    """The topic cannot be the shared DLQ topic: records of this store are destined to it."""


@dataclass(frozen=True, slots=True)
class Failure:
    """A record that stays where it is, and why."""

    record_id: str
    why: str


@dataclass(frozen=True, slots=True)
class DrainReport:
    """What became of the records.

    Attributes:
        read: how many matched; written: acknowledged by the broker and marked.
        skipped: lie on a DLQ topic already, or changed while they were drained.
        failures: not acknowledged, the first hundred of `failed`.
    """

    topic: str
    read: int
    written: int
    skipped: int
    failed: int
    failures: tuple[Failure, ...]


def drain(
    store: Store,
    kafka: KafkaSettings,
    wanted: Filter,
    topic: str,
    *,
    stop: Event | None = None,
    on_progress: Callable[[int, int], None] | None = None,
) -> DrainReport:
    """Publish ready and quarantined records of this host, oldest first; each becomes `discarded` with the topic named.

    Args:
        wanted: which ones; without states all that are ready or quarantined, without origins local ones.
        topic: an existing topic.
        stop: ends after the batch in hand when set.
        on_progress: told (done, of) after each batch.

    Raises:
        FilterError: another state or origin is asked for.
        DrainTargetError: the topic is a destination of records.
        UnknownTopicError, TopicRefusedError, BrokerUnreachableError: see there.
        StoreUnavailableError: the marks cannot be written.
    """
    chosen = _checked(wanted)
    with ClusterReader(kafka) as cluster:
        cluster.topic(topic)
    if store.run(lambda conn: conn.execute("SELECT 1 FROM cohort WHERE dest_topic = ? LIMIT 1", (topic,)).get):
        raise DrainTargetError(
            f"records of this store are destined to {topic}: a consumer there would take dead letters for events",
            next_step="name the topic that holds your team's dead letters",
        )
    reader = store.reader()
    halt = stop or Event()
    frozen = frozenset(seq for seq, _ in reader.matching(chosen))
    run = _Run(store, topic, kafka, len(frozen), on_progress)
    try:
        for rows in _pages(reader, chosen, frozen):
            run.batch([one for row in rows if (one := reader.record(row.id)) is not None])
            if halt.is_set():
                break
    finally:
        reader.close()
    return run.report()


def _checked(wanted: Filter) -> Filter:
    if set(wanted.states) - set(_STATES):
        raise FilterError("only ready and quarantined records can be drained", next_step="Narrow --state to these.")
    if set(wanted.origins) - {Origin.LOCAL.value}:
        raise FilterError("only local records can be drained: the others lie on a DLQ topic already")
    return replace(wanted, states=wanted.states or _STATES, origins=(Origin.LOCAL.value,))


def _pages(reader: Reader, wanted: Filter, frozen: frozenset[int]) -> Iterator[list[RecordRow]]:
    """The frozen records, a page at a time: what arrives meanwhile is not drained."""
    cursor: str | None = None
    while True:
        page = reader.page(wanted, limit=_BATCH, cursor=cursor, order="oldest")
        yield [row for row in page.records if row.seq in frozen]
        cursor = page.next
        if cursor is None:
            return


class _Run:
    """Counts of one drain, and its producer."""

    def __init__(
        self,
        store: Store,
        topic: str,
        kafka: KafkaSettings,
        total: int,
        on_progress: Callable[[int, int], None] | None,
    ) -> None:
        ours = {"enable.idempotence": True, "acks": "all", "linger.ms": 5, "batch.size": 100_000}
        self._producer = Producer(producer_config(kafka) | ours, logger=CLIENT_LOG)
        self._wait_s = kafka.message_timeout_ms / 1000 + _GRACE_S
        self._store, self._topic, self._total, self._on_progress = store, topic, total, on_progress
        self._done = self._written = self._skipped = 0
        self._failures: list[Failure] = []
        self._failed = 0

    def batch(self, records: list[RecordDetail]) -> None:
        """Publish, wait for every report, mark what was acknowledged."""
        there = [record for record in records if record.dlq_topic is None]
        self._skipped += len(records) - len(there)
        outcomes = self._publish(there)
        for record in there:  # brokers refuse a batch for one record in it: only alone does each get its own answer
            error = outcomes.get(record.row.seq, _NO_ANSWER)
            if error is not None and error.code() in _OF_THE_BATCH:
                outcomes |= self._publish([record])
        acknowledged = []
        for record in there:
            error = outcomes.get(record.row.seq, _NO_ANSWER)
            if error is None:
                acknowledged.append(record.row)
            else:
                self._fail(record, error.str())
        self._mark(acknowledged)
        self._done += len(records)
        if self._on_progress is not None:
            self._on_progress(self._done, self._total)

    def report(self) -> DrainReport:
        """The counts; the producer is empty by now, or what it holds has failed."""
        self._producer.purge()
        self._producer.poll(0)
        return DrainReport(self._topic, self._total, self._written, self._skipped, self._failed, tuple(self._failures))

    def _publish(self, records: list[RecordDetail]) -> dict[int, KafkaError | None]:
        """Send, and wait for the reports: `seq` → the error, None for an acknowledgement."""
        outcomes: dict[int, KafkaError | None] = {}
        for record in records:
            self._send(record, outcomes)
        deadline = time.monotonic() + self._wait_s
        while len(outcomes) < len(records) and time.monotonic() < deadline:
            self._producer.poll(0.1)
        return outcomes

    def _send(self, record: RecordDetail, outcomes: dict[int, KafkaError | None]) -> None:
        seq, current = record.row.seq, record.current

        def reported(error: Any, _message: Any) -> None:
            outcomes[seq] = error

        headers: Any = list(drain_headers(record))
        while True:
            try:
                self._producer.produce(self._topic, current.value, current.key, headers=headers, on_delivery=reported)
            except BufferError:
                self._producer.poll(0.1)
                continue
            except KafkaException as error:
                outcomes[seq] = error.args[0]
            return

    def _mark(self, rows: list[RecordRow]) -> None:
        """One transition for all, or one by one where somebody else has changed one of them meanwhile."""
        if not rows:
            return
        try:
            self._transition(rows)
        except (IllegalTransitionError, StaleRecordError):
            for row in rows:
                try:
                    self._transition([row])
                except (IllegalTransitionError, StaleRecordError):
                    self._skipped += 1

    def _transition(self, rows: list[RecordRow]) -> None:
        changes = [Change(row.seq, row.version) for row in rows]

        def work(conn: apsw.Connection) -> int:
            return transition(
                conn,
                changes,
                State.DISCARDED,
                reason=f"drained to {self._topic}",
                actor=audit.present_actor(),
                now_ms=time.time_ns() // 1_000_000,
            )

        self._written += self._store.run(work)

    def _fail(self, record: RecordDetail, why: str) -> None:
        self._failed += 1
        if len(self._failures) < 100:
            self._failures.append(Failure(record.row.id, why))
