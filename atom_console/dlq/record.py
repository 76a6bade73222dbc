"""The dead letter as every part of this room sees it: what is stored, and what a reader gives back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from atom_console.dlq.headers import Headers


class State(StrEnum):
    """Where a record is in its life."""

    CAPTURED = "captured"
    READY = "ready"
    QUARANTINED = "quarantined"
    REPLAYING = "replaying"
    REPLAYED = "replayed"
    FAILED = "failed"
    UNKNOWN = "unknown"
    DISCARDED = "discarded"


OPEN_STATES = (State.CAPTURED, State.READY, State.QUARANTINED, State.REPLAYING, State.FAILED, State.UNKNOWN)
"""The states that still ask something of somebody; replayed and discarded do not."""


class Origin(StrEnum):
    """Who made the dead letter."""

    LOCAL = "local"
    CONNECT = "connect"
    STREAMS = "streams"
    SHARE_GROUP = "share_group"
    SPRING = "spring"
    SCS = "scs"
    SMALLRYE = "smallrye"
    KARAFKA = "karafka"
    ARROYO = "arroyo"
    CUSTOM = "custom"
    UNKNOWN = "unknown"


class PayloadKind(StrEnum):
    """What the stored bytes are.

    The original, a rebuilt form, only a pointer to it, or raw input that never encoded.
    """

    FULL = "full"
    POINTER = "pointer"
    TOMBSTONE = "tombstone"
    EMBEDDED = "embedded"
    DERIVED = "derived"
    ABSENT = "absent"
    INPUT = "input"


@dataclass(frozen=True, slots=True, eq=False)
class Trouble:
    """What went wrong, shared by all records that failed in the same way: make it once, give it to each of them.

    Compared by identity, on purpose: the writer finds the cohort of a record by it. `troubles.trouble()` makes and
    keeps them.
    """

    origin: str
    err_class: str
    err_code: int | None
    err_name: str
    message: str
    stage: str
    component: str
    dest_topic: str | None
    cluster_id: str | None
    dlq_topic: str | None
    fingerprint: str
    label: str


@dataclass(slots=True)
class Provenance:
    """What only a dead letter read from a DLQ topic (or from a file) has. Times are Unix milliseconds.

    `partition`, `offset`: its place in the DLQ topic that the trouble names; None where it came from no topic.
    `headers`: all headers of the dead letter, as they were there. `stack_said`: they are known to hold `err_stack`.
    """

    partition: int | None = None
    offset: int | None = None
    timestamp: int | None = None
    headers: Headers | None = None
    orig_offset: int | None = None
    ts_type: str | None = None
    err_stack: str | None = None
    warnings: tuple[str, ...] = ()
    parent_id: str | None = None
    loops: int = 0
    stack_said: bool = field(default=False, compare=False)


@dataclass(slots=True)
class NewRecord:
    """A dead letter about to be stored. Times are Unix milliseconds, `event_ts` nanoseconds.

    `id` (16 bytes, see `ids.py`) empty: the store gives it one. `state` empty: it follows from the class (see
    `states.initial_state`). `key`, `value`, `headers` are what a replay sends; the headers of a DLQ convention go to
    `provenance`.
    """

    trouble: Trouble
    captured_at: int
    key: bytes | None
    value: bytes | None
    headers: Headers
    maybe_persisted: bool = False
    tenant_id: str | None = None
    event_id: str | None = None
    event_type: int | None = None
    event_ts: int | None = None
    orig_partition: int | None = None
    orig_timestamp: int | None = None
    payload_kind: str = "full"
    id: bytes = b""
    state: str = ""
    state_reason: str | None = None
    provenance: Provenance | None = None
    journal_id: int | None = None


@dataclass(frozen=True, slots=True)
class RecordRow:
    """One line of a list.

    Attributes:
        seq: the order in which records came into this store.
        key_preview: at most the first 64 bytes of the key, undecoded; None for a null key.
        event_type: the number of the event's type, or None where the payload could not be read.
        captured_at: Unix milliseconds.
    """

    seq: int
    id: str
    state: str
    state_reason: str
    err_class: str
    err_code: int | None
    err_name: str
    topic: str | None
    key_preview: bytes | None
    tenant_id: str | None
    event_id: str | None
    event_type: int | None
    captured_at: int
    size_bytes: int
    attempts: int
    maybe_persisted: bool
    origin: str
    fingerprint: str
    label: str
    version: int
    loops: int
    run_id: int | None


@dataclass(frozen=True, slots=True)
class Page:
    """One page of a list.

    Attributes:
        records: the rows, in the order asked for.
        next: cursor of the following page, or None at the end.
        total: how many match in all, or None where counting them would mean reading them.
    """

    records: tuple[RecordRow, ...]
    next: str | None
    total: int | None


@dataclass(frozen=True, slots=True)
class Group:
    """Records with one fingerprint. `tenants` and `topics` are how many different ones; `topic` is one of them."""

    fingerprint: str
    label: str
    err_class: str
    err_name: str
    origin: str
    count: int
    bytes: int
    first_seen: int
    last_seen: int
    tenants: int
    topics: int
    topic: str | None
    states: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Lease:
    """Who holds a lease, since when, and when it last said so (Unix milliseconds)."""

    name: str
    owner: str
    host: str
    pid: int
    purpose: str
    acquired_at: int
    heartbeat_at: int
    fencing: int


@dataclass(frozen=True, slots=True)
class Stats:
    """The store at a glance.

    Attributes:
        total: records in the store, in whatever state.
        depth: records that still ask something of somebody.
        bytes: of keys, values and headers of all records.
        oldest_at: when the earliest open record was captured, Unix milliseconds (in order of arrival), or None.
        growth_per_s: records that arrived a second, over the last minute.
        journal: events in the write-ahead journal: accepted, not yet acknowledged.
        file_bytes: database and write-ahead log on disk; free_bytes: what the disk has left.
        leases: who holds what.
    """

    total: int
    depth: int
    by_state: Mapping[str, int]
    by_class: Mapping[str, int]
    bytes: int
    oldest_at: int | None
    growth_per_s: float
    journal: int
    file_bytes: int
    free_bytes: int
    leases: tuple[Lease, ...]


@dataclass(frozen=True, slots=True)
class Revision:
    """One form of the payload; `rev` 0 is what came. `sha256` covers key, value and headers together."""

    rev: int
    key: bytes | None
    value: bytes | None
    headers: Headers
    sha256: str
    author: str
    reason: str
    created_at: int


@dataclass(frozen=True, slots=True)
class Attempt:
    """One replay of one record."""

    run_id: int | None
    window_id: int | None
    rev: int
    sent_at: int
    ended_at: int | None
    outcome: str | None
    code: int | None
    err_name: str | None
    message: str | None
    partition: int | None
    offset: int | None


@dataclass(frozen=True, slots=True)
class AuditEntry:
    """One row of the audit chain; `before_sha` and `after_sha` are hexadecimal, empty where nothing was."""

    seq: int
    at: int
    os_user: str
    sudo_user: str
    ssh_client: str
    host: str
    pid: int
    action: str
    subject: str
    records: int
    before_sha: str
    after_sha: str
    reason: str


@dataclass(frozen=True, slots=True)
class RecordDetail:
    """One record with everything known about it."""

    row: RecordRow
    cluster_id: str | None
    stage: str
    component: str
    err_message: str
    err_stack: str | None
    payload_kind: str
    event_ts: int | None
    orig_partition: int | None
    orig_offset: int | None
    orig_timestamp: int | None
    ts_type: str | None
    dlq_topic: str | None
    dlq_partition: int | None
    dlq_offset: int | None
    dlq_timestamp: int | None
    dlq_headers: Headers
    state_at: int
    next_attempt_at: int | None
    parent_id: str | None
    delivered_partition: int | None
    delivered_offset: int | None
    delivered_at: int | None
    warnings: tuple[str, ...]
    revisions: tuple[Revision, ...]
    attempts: tuple[Attempt, ...]
    audit: tuple[AuditEntry, ...] = field(default=())

    @property
    def current(self) -> Revision:
        """The payload that a replay would send."""
        return self.revisions[-1]
