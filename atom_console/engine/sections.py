"""From what the rooms report to the sections of a snapshot: pure functions, no clock and no I/O of their own."""

from __future__ import annotations

import os
import re
import socket
from typing import TYPE_CHECKING

from atom_console.dlq.errors import StoreDamagedError, StoreVersionError
from atom_console.dlq.health import Health, HealthState
from atom_console.dlq.lease import STALE_S
from atom_console.engine.certificate_watch import InventoryFacts
from atom_console.engine.cluster_watch import ClusterFacts
from atom_console.engine.dlq_watch import StoreFacts
from atom_console.engine.poller import Reading
from atom_console.engine.replay_watch import ReplayFacts, run_of
from atom_console.engine.rotation import Refusal
from atom_console.engine.snapshot import (
    CertificateSection,
    ClusterSection,
    Connection,
    DeadLetterSection,
    ErrorRow,
    Latency,
    LeaseRow,
    ProducerSection,
    ReplaySection,
    Series,
    StoreState,
)
from atom_console.engine.tls_advice import Advice
from atom_console.engine.wire import WireMeter
from atom_console.errors import AtomError
from atom_console.kafka.reachability import BrokerUnreachableError
from atom_console.kafka.snapshots import PublisherSnapshot
from atom_console.metrics import RateSnapshot

if TYPE_CHECKING:
    from atom_console.config import Loaded
    from atom_console.dlq.replay.runs import RunProgress

_LATENCY_WINDOW_S = 60.0
_NS_PER_MS = 1_000_000
_CONNECT = re.compile(r"^Connect to \S+ failed: ")
"""librdkafka's beginning of a refused connection: the address that it repeats would take the cause off the screen."""
_HEALTH_STATES: dict[HealthState, StoreState] = {
    HealthState.OK: "ok",
    HealthState.SIZE_CAP: "full",
    HealthState.LOW_DISK: "full",
    HealthState.SPILLING: "locked",
    HealthState.FAILED: "locked",
}


def producer_section(
    seen: PublisherSnapshot, loaded: Loaded, wire: WireMeter, p99: tuple[float | None, ...]
) -> ProducerSection:
    """The embedded producer; `wire` meters its bytes on the wire, `p99` is its latency once a second, oldest first."""
    kafka = loaded.settings.kafka
    statistics = seen.statistics
    ack = Latency(
        p50_ms=seen.ack.p50_ms,
        p99_ms=seen.ack.p99_ms,
        max_ms=seen.ack.max_ms,
        window_s=_LATENCY_WINDOW_S,
        samples=seen.ack.count,
        p99_history=p99,
    )
    return ProducerSection(
        age_s=0.0,
        mode=seen.mode,
        compression=kafka.compression,
        compression_ratio=wire.ratio,
        linger_ms=kafka.linger_ms,
        idempotent=kafka.idempotence,
        in_per_s=_series(seen.accepted_rate),
        acked_per_s=_series(seen.acked_rate),
        wire_bytes_per_s=_series(wire.snapshot()),
        ack=ack,
        queue_depth=seen.in_flight,
        queue_limit=seen.queue_max_messages,
        in_flight=None if statistics is None else sum(broker.outstanding for broker in statistics.brokers),
        accepted=seen.accepted,
        acked=seen.acked,
        captured=seen.captured,
        errors_by_class=tuple((str(name), count) for name, count in seen.captured_by_class.items()),
    )


def dead_letter_section(
    reading: Reading[StoreFacts],
    health: Health | None,
    fault: AtomError | None,
    now_s: float,
    now_ms: int,
    max_bytes: int,
) -> DeadLetterSection:
    """The store.

    Args:
        reading: from the store's watch.
        health: of our own open store, or None where it is not open (read-only, or it could not be opened).
        fault: why it could not be opened.
        now_s: `time.monotonic()`; now_ms: Unix milliseconds.
        max_bytes: its cap.
    """
    state, detail, next_step = _store_state(reading, health, fault)
    facts = reading.value
    if facts is None:
        return DeadLetterSection(None, state, detail, next_step, limit_bytes=max_bytes)
    stats = facts.stats
    return DeadLetterSection(
        age_s=reading.age_s(now_s),
        state=state,
        detail=detail,
        next_step=next_step,
        total=stats.depth,
        by_state=tuple(stats.by_state.items()),
        oldest_at_ms=stats.oldest_at,
        last_at_ms=facts.last_at_ms,
        growth_per_min=Series(stats.growth_per_s * 60, facts.growth),
        size_bytes=stats.file_bytes,
        limit_bytes=max_bytes,
        free_bytes=stats.free_bytes,
        groups=facts.groups,
        lease=_lease(facts.replays, now_ms),
    )


def replay_section(
    reading: Reading[StoreFacts], active: RunProgress | None, job: str | None, now_s: float
) -> ReplaySection:
    """Replays; the live figures of our own run stand in for what was read of it."""
    facts = reading.value
    if facts is None:
        return ReplaySection(active=active, job=job)
    seen = facts.replays
    return ReplaySection(
        age_s=reading.age_s(now_s),
        active=active,
        runs=tuple(active if active is not None and run.run_id == active.run_id else run for run in seen.runs),
        unknown=facts.stats.by_state.get("unknown", 0),
        windows=seen.windows,
        made_at=seen.made_at,
        job=job,
    )


def _store_state(
    reading: Reading[StoreFacts], health: Health | None, fault: AtomError | None
) -> tuple[StoreState, str | None, str | None]:
    error = reading.error or fault
    if error is not None:
        damaged = isinstance(error, StoreDamagedError | StoreVersionError)
        return "corrupt" if damaged else "locked", error.what, error.next_step
    if health is not None and health.state is not HealthState.OK:
        return _HEALTH_STATES[health.state], health.sentence, health.next_step
    return "ok", None, None


def _lease(seen: ReplayFacts, now_ms: int) -> LeaseRow | None:
    holder = seen.holder
    if holder is None:
        return None
    silent_s = max(now_ms - holder.heartbeat_at, 0) / 1000
    alive = bool(seen.holder_lives)
    return LeaseRow(
        owner=holder.owner,
        host=holder.host,
        run_id=run_of(holder.purpose),
        heartbeat_age_s=silent_s,
        mine=holder.pid == os.getpid() and holder.host == socket.gethostname(),
        pid=holder.pid,
        purpose=holder.purpose,
        since_ms=holder.acquired_at,
        alive=alive,
        stale=alive and silent_s >= STALE_S,
    )


def cluster_section(
    reading: Reading[ClusterFacts], servers: str, now_s: float, advice: Advice | None = None
) -> ClusterSection:
    """The brokers; the last facts stay, with their age, while they cannot be reached.

    Args:
        reading: from the cluster's watch.
        servers: as configured.
        now_s: `time.monotonic()`.
        advice: which fault of certificates is behind a failed connection; it says more than the client does.
    """
    facts = reading.value
    since_s = None if reading.since_s is None else now_s - reading.since_s
    if reading.error is None:
        connection = Connection("connecting" if facts is None else "connected", since_s, address=servers)
    else:
        error = reading.error
        known = isinstance(error, BrokerUnreachableError)
        reason = _CONNECT.sub("", error.cause if known else error.what)  # type: ignore[attr-defined]  # `known`
        if advice is not None:
            reason = f"{advice.finding.id}: {advice.finding.message}"
        connection = Connection(
            "disconnected",
            since_s,
            retry_in_s=None,
            reason=reason,
            address=error.address if known else servers,  # type: ignore[attr-defined]  # `known` says so
        )
    if facts is None:
        return ClusterSection(connection=connection, name=servers)
    return ClusterSection(
        age_s=reading.age_s(now_s),
        name=facts.cluster_id,
        cluster_id=facts.cluster_id,
        connection=connection,
        brokers=facts.brokers,
        topics=facts.topics,
    )


def certificate_section(reading: Reading[InventoryFacts], now_s: float) -> CertificateSection:
    """The inventory; the last rows stay while it cannot be read."""
    error, facts = reading.error, reading.value or InventoryFacts()
    return CertificateSection(
        age_s=reading.age_s(now_s),
        rows=facts.rows,
        directory=facts.directory,
        issuer=facts.issuer,
        root_key_here=facts.root_key_here,
        rotation_step=facts.rotation_step,
        passphrase_set=facts.passphrase_set,
        detail=None if error is None else error.what,
        next_step=None if error is None else error.next_step,
    )


def error_rows(seen: PublisherSnapshot) -> tuple[ErrorRow, ...]:
    """The last kinds of error, newest first."""
    return tuple(
        ErrorRow(
            at_ms=error.last_ns // _NS_PER_MS,
            count=error.count,
            name=error.name,
            where=error.topic or "",
            meaning=error.meaning,
            next_step=error.next_step,
        )
        for error in seen.recent_errors
    )


def advice_rows(advice: Advice | None) -> tuple[ErrorRow, ...]:
    """The fault of certificates that is behind a failed connection."""
    if advice is None:
        return ()
    found = advice.finding
    return (ErrorRow(advice.at_ms, 1, found.id, found.subject, found.message, found.next_step),)


def refusal_rows(refused: Refusal | None) -> tuple[ErrorRow, ...]:
    """New certificates that do not connect, while the old ones are still in use."""
    if refused is None:
        return ()
    step = "atom-console certs verify NAME --against HOST:PORT says why"
    return (ErrorRow(refused.at_ms, 1, "new certificates refused", "Kafka", refused.why, step),)


def _series(rate: RateSnapshot) -> Series:
    return Series(None if rate.per_s is None else float(rate.per_s), tuple(map(float, rate.history)))
