"""What the engine knows at one moment, frozen, for a screen or a script to read.

Every live value may be None, which means *not known*: a reader shows `?`, never 0. Every section carries `age_s`, the
seconds since its values were read; None means that they never were. Rates are averaged by the engine, so that a slow
reader loses nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from atom_console.dlq.replay.runs import RunProgress
    from atom_console.engine.flight_view import FlightRow, KeepAlive, PlanSchema, ServerState, TransferView

Alarm = Literal["", "soon", "critical", "over"]
ConnectionState = Literal["connecting", "connected", "disconnected"]
StoreState = Literal["ok", "off", "locked", "corrupt", "full", "missing"]


@dataclass(frozen=True, slots=True)
class Series:
    """One number and its last minutes.

    Attributes:
        now: the present value, in the unit that the field's name says; None where not known.
        history: one value a second, oldest first; None where nothing was measured in that second.
    """

    now: float | None = None
    history: tuple[float | None, ...] = ()


@dataclass(frozen=True, slots=True)
class Latency:
    """Accepted → acknowledged, in milliseconds, over the last `window_s` seconds; `samples` acknowledgements."""

    p50_ms: float | None = None
    p99_ms: float | None = None
    max_ms: float | None = None
    window_s: float | None = None
    samples: int | None = None
    p99_history: tuple[float | None, ...] = ()


@dataclass(frozen=True, slots=True)
class SettingRow:
    """A setting in force, and which of flag, environment, profile or default it came from."""

    key: str
    value: str
    origin: str


@dataclass(frozen=True, slots=True)
class ProducerSection:
    """The embedded producer. `captured` counts events that ended in the DLQ; `accepted = acked + captured + open`."""

    age_s: float | None = None
    mode: Literal["async", "durable"] | None = None
    compression: str | None = None
    compression_ratio: float | None = None
    linger_ms: float | None = None
    idempotent: bool | None = None
    in_per_s: Series = Series()
    acked_per_s: Series = Series()
    wire_bytes_per_s: Series = Series()
    ack: Latency = Latency()
    queue_depth: int | None = None
    queue_limit: int | None = None
    in_flight: int | None = None
    accepted: int | None = None
    acked: int | None = None
    captured: int | None = None
    errors_by_class: tuple[tuple[str, int], ...] = ()
    fatal: str | None = None


@dataclass(frozen=True, slots=True)
class GroupRow:
    """Dead letters that failed alike. `label` says what broke, `state` is the state that most of them are in."""

    fingerprint: str
    label: str
    err_class: str
    state: str
    count: int
    new: int | None = None
    size_bytes: int | None = None
    tenants: int | None = None
    first_at_ms: int | None = None
    last_at_ms: int | None = None
    topics: tuple[str, ...] = ()
    history: tuple[float | None, ...] = ()


@dataclass(frozen=True, slots=True)
class LeaseRow:
    """Who replays at the moment.

    Attributes:
        run_id: the run, or None where the lease is held for something else.
        heartbeat_age_s: seconds since the holder last said that it lives.
        mine: this process holds it.
        purpose: what for, in words.
        since_ms: since when, Unix milliseconds.
        alive: whether the holder's process still runs; a dead one's lease is taken over at once.
        stale: a living holder was silent for so long that it may be put aside.
    """

    owner: str
    host: str
    run_id: str | None = None
    heartbeat_age_s: float | None = None
    mine: bool = False
    pid: int | None = None
    purpose: str = ""
    since_ms: int | None = None
    alive: bool = True
    stale: bool = False


@dataclass(frozen=True, slots=True)
class DeadLetterSection:
    """The dead-letter store of this profile. `detail` and `next_step` explain a `state` other than `ok`."""

    age_s: float | None = None
    state: StoreState = "ok"
    detail: str | None = None
    next_step: str | None = None
    total: int | None = None
    by_state: tuple[tuple[str, int], ...] = ()
    oldest_at_ms: int | None = None
    last_at_ms: int | None = None
    growth_per_min: Series = Series()
    size_bytes: int | None = None
    limit_bytes: int | None = None
    free_bytes: int | None = None
    groups: tuple[GroupRow, ...] = ()
    lease: LeaseRow | None = None


@dataclass(frozen=True, slots=True)
class ReplaySection:
    """Replays of this store.

    Attributes:
        active: the run of this console, live.
        runs: the last ones, whoever ran them, newest first; rates of those of other processes are averages of ours.
        unknown: records whose outcome is not known.
        windows: run → how many windows it has opened so far.
        made_at: run → when its plan was made, Unix milliseconds.
        job: the long job of this console that is at work (a run, an ingest, a check), or None.
    """

    age_s: float | None = None
    active: RunProgress | None = None
    runs: tuple[RunProgress, ...] = ()
    unknown: int | None = None
    windows: Mapping[str, int] = field(default_factory=dict)
    made_at: Mapping[str, int] = field(default_factory=dict)
    job: str | None = None


@dataclass(frozen=True, slots=True)
class Connection:
    """The link to the brokers. `reason` is the client's own sentence, `address` whom it was talking to."""

    state: ConnectionState = "connecting"
    since_s: float | None = None
    retry_in_s: float | None = None
    reason: str | None = None
    address: str | None = None


@dataclass(frozen=True, slots=True)
class BrokerRow:
    """One broker as the client sees it: `state` is librdkafka's word (`UP`, `DOWN`, `INIT`…)."""

    node_id: int
    address: str
    state: str


@dataclass(frozen=True, slots=True)
class TopicRow:
    """One topic; `messages` is high minus low watermark, `lag` the furthest-behind consumer group of it."""

    name: str
    partitions: int | None = None
    under_replicated: int | None = None
    messages: int | None = None
    per_s: Series = Series()
    group: str | None = None
    lag: int | None = None
    lag_change: int | None = None


@dataclass(frozen=True, slots=True)
class ClusterSection:
    """What the brokers say."""

    age_s: float | None = None
    name: str | None = None
    cluster_id: str | None = None
    connection: Connection = Connection()
    brokers: tuple[BrokerRow, ...] = ()
    topics: tuple[TopicRow, ...] = ()


@dataclass(frozen=True, slots=True)
class FlightSection:
    """The Flight server and what is fetched from it; `age_s` counts from its last answer.

    Attributes:
        state: how the server stands; `detail` and `next_step` say why where it does not answer.
        bytes_per_s: of the transfer under way; its history has a value for each tenth of a second.
        host: the name of this host, which a measured speed belongs to.
        call_ms: how long a call takes on the open connection.
        doing: the question that is open, and for how many seconds.
        flights: of the list, then those named by hand; `note` says why there is no list.
        schemas: the answers of GetSchema, one a plan.
        transfer: under way, or the last one.
        preview: likewise, of the rows that are looked at.
        socket_gb_per_s: what a raw socket of this host carries, once a bench has measured it.
    """

    age_s: float | None = None
    uri: str | None = None
    state: ServerState = "not asked"
    transport: str | None = None
    bytes_per_s: Series = Series()
    rows: int | None = None
    batches: int | None = None
    detail: str | None = None
    next_step: str | None = None
    host: str | None = None
    keepalive: KeepAlive | None = None
    call_ms: float | None = None
    doing: tuple[str, float] | None = None
    listed_age_s: float | None = None
    flights: tuple[FlightRow, ...] = ()
    note: str | None = None
    schemas: tuple[PlanSchema, ...] = ()
    transfer: TransferView | None = None
    preview: TransferView | None = None
    socket_gb_per_s: float | None = None


@dataclass(frozen=True, slots=True)
class CertificateRow:
    """One certificate in our inventory; `status` is a word such as `ok`, `renew now`, `expired`.

    Attributes:
        left: the share of its life that is left, 1 new, 0 or less expired; None where not known.
        alarm: `soon` for the last three tenths of its life, `critical` for the last one, `over` after it.
        kind: `root`, `intermediate` or `leaf`.
        names: its subject alternative names.
    """

    name: str
    profile: str
    days_left: float | None
    status: str
    used_by: str | None = None
    left: float | None = None
    alarm: Alarm = ""
    kind: str = "leaf"
    names: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class CertificateSection:
    """The inventory, soonest expiry first.

    Attributes:
        directory: where it is.
        issuer: the CA that signs now; None where there is none.
        root_key_here: whether the root's key is on this host; None where there is no root.
        rotation_step: the step of a CA rotation that was done last; None where none is under way.
        passphrase_set: whether the settings say where the passphrase of the CA keys is.
    """

    age_s: float | None = None
    rows: tuple[CertificateRow, ...] = ()
    directory: str | None = None
    issuer: str | None = None
    root_key_here: bool | None = None
    rotation_step: int | None = None
    passphrase_set: bool = False
    detail: str | None = None
    next_step: str | None = None


@dataclass(frozen=True, slots=True)
class ErrorRow:
    """The same error seen `count` times, last at `at_ms`: what it means and what to do."""

    at_ms: int
    count: int
    name: str
    where: str
    meaning: str
    next_step: str | None = None


@dataclass(frozen=True, slots=True)
class WorkloadSection:
    """A file or a generator that feeds the producer from the console."""

    state: Literal["none", "running", "paused", "done"] = "none"
    name: str | None = None
    rate_per_s: float | None = None
    sent: int | None = None
    total: int | None = None


@dataclass(frozen=True, slots=True)
class SessionSection:
    """Whose console this is and what it may do; it does not change while the console runs.

    Attributes:
        word: the profile as one word in capitals (`PROD`).
        colour: a colour name or `#rrggbb` that repeats the word.
        clearance: the bits of `security_mask` that the operator may see.
        confirm: `typed` asks for the number of records before anything is sent or changed.
        allow_edit: a dead letter may be edited.
    """

    profile: str = "default"
    word: str = "DEV"
    colour: str = "green"
    read_only: bool = False
    confirm: Literal["plain", "typed"] = "plain"
    operator: str | None = None
    clearance: int = 0
    allow_edit: bool = False
    settings: tuple[SettingRow, ...] = ()


@dataclass(frozen=True, slots=True)
class EngineSnapshot:
    """Everything at one moment. Building one takes no lock across I/O; holding one costs nothing."""

    taken_at_ms: int
    session: SessionSection = SessionSection()
    producer: ProducerSection = ProducerSection()
    dlq: DeadLetterSection = DeadLetterSection()
    replay: ReplaySection = ReplaySection()
    cluster: ClusterSection = ClusterSection()
    flight: FlightSection = FlightSection()
    certificates: CertificateSection = CertificateSection()
    workload: WorkloadSection = WorkloadSection()
    errors: tuple[ErrorRow, ...] = field(default=())
    coach: str | None = None
