"""The dry run before any send: which records exactly, what may go wrong with them, and what forbids it. Sends nothing.

A plan is stored with its frozen list of records: what arrives later, or changes, is not in it.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Final

from atom_console.dlq import audit
from atom_console.dlq.filters import Filter
from atom_console.dlq.replay.candidates import (
    CLOSED,
    Candidate,
    Hold,
    load_candidates,
    newest_by_key,
    unresolved_before,
)
from atom_console.dlq.replay.errors import EmptyPlanError, NotConfirmedError
from atom_console.dlq.replay.findings import Findings, beyond_limit, counts_of
from atom_console.dlq.replay.options import ReplayOptions
from atom_console.dlq.replay.quiet import quiet_interpreter
from atom_console.dlq.replay.reading import reading
from atom_console.dlq.replay.targets import Targets, look_up
from atom_console.dlq.times import now_ms
from atom_console.errors import RefusedError

if TYPE_CHECKING:
    import apsw

    from atom_console.config import Settings
    from atom_console.dlq.store import Store

CONFIRM_ABOVE: Final = 1_000
"""More events than this are confirmed by typing their number."""

_READ_BACK_PER_S: Final = 300_000
_MOST_SHOWN: Final = 1_000
_AT_ONCE: Final = 20_000
"""Records of one transaction."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What a replay would do.

    Attributes:
        run_id: the name under which it is stored.
        count, bytes: what would be sent.
        by_group, by_tenant, by_topic: counts of what would be sent, the largest thousand.
        held: why records are held back → how many: `superseded`, `blocked`, `too_large`, `not_ready`, `loop`,
            `no_payload`.
        may_duplicate: the broker may hold them already; each is looked for before it is sent.
        superseded: a newer event of their key is known to be on the topic.
        blocked: an earlier record of their key stays behind.
        keys: how many different keys.
        largest_bytes: the largest record.
        oldest_at: when the earliest was captured, Unix milliseconds, or None.
        refusals: why it may not run; empty where it may.
        warnings: what to know before it runs.
        targets: topic → what the cluster said of it.
        check_s, eta_s: seconds for the checks before, and for all of it; None where nobody can tell (unpaced).
        confirm_count: the number must be typed.
    """

    run_id: str
    count: int
    bytes: int
    by_group: Mapping[str, int]
    by_tenant: Mapping[str, int]
    by_topic: Mapping[str, int]
    held: Mapping[str, int]
    may_duplicate: int
    superseded: int
    blocked: int
    keys: int
    largest_bytes: int
    oldest_at: int | None
    cluster_id: str | None
    refusals: tuple[str, ...]
    warnings: tuple[str, ...]
    targets: Mapping[str, Mapping[str, Any]]
    rate: float
    check_s: float
    eta_s: float | None
    confirm_count: bool
    created_at: int
    created_by: str

    def to_json(self) -> dict[str, Any]:
        """As stored, and as `dlq plan --json` prints it."""
        return asdict(self)

    @classmethod
    def from_json(cls, stored: Mapping[str, Any]) -> Plan:
        """The inverse."""
        fields = dict(stored)
        fields["refusals"], fields["warnings"] = tuple(fields["refusals"]), tuple(fields["warnings"])
        return cls(**fields)


def plan(
    store: Store,
    settings: Settings,
    wanted: Filter | Sequence[int],
    options: ReplayOptions | None = None,
    *,
    everything: bool = False,
) -> Plan:
    """Make and store the dry run.

    Args:
        store: where the records are.
        settings: the profile: which cluster, which rules.
        wanted: a filter, or the frozen numbers (`RecordRow.seq`) that an operator marked.
        options: by default those of the profile.
        everything: an empty filter is meant.

    Raises:
        RefusedError: a read-only profile.
        FilterError: an empty filter that is not meant.
        EmptyPlanError: nothing matches.
        BrokerUnreachableError: the cluster cannot be asked.
        StoreUnavailableError: the store cannot be read or written.
    """
    if settings.read_only:
        raise RefusedError(
            f"profile {settings.profile} is read-only: a plan is refused", next_step="use a profile that may write"
        )
    chosen = options or ReplayOptions.of(settings.dlq)
    if isinstance(wanted, Filter):
        wanted.check()
        wanted.require_something(everything=everything)
    with quiet_interpreter():
        return _plan(store, settings, wanted, chosen)


def _plan(store: Store, settings: Settings, wanted: Filter | Sequence[int], chosen: ReplayOptions) -> Plan:
    with reading(store.directory) as conn:
        records = load_candidates(conn, wanted)
        if not records:
            raise EmptyPlanError("no record matches", next_step="Look at `dlq ls` with the same filter.")
        dlq_topics = {row[0] for row in conn.execute("SELECT topic FROM dlq_source")} | set(settings.dlq.topics)
        newest = {} if chosen.superseded else newest_by_key(conn, records)
        behind = set() if chosen.allow_reorder else unresolved_before(conn, records)
    topics = {record.topic for record in records if record.topic is not None}
    targets = look_up(settings.kafka, topics)
    _hold(records, targets, chosen, newest, behind, plain=settings.kafka.compression == "none")
    made = _summary(records, targets, chosen, settings, dlq_topics)
    words = asdict(wanted) | {"keys": [key.hex() for key in wanted.keys]} if isinstance(wanted, Filter) else None
    stored = json.dumps(words if words is not None else {"seqs": len(records)})
    _store(store, made, chosen, records, stored)
    return made


def require_confirmed(made: Plan, settings: Settings, confirmed: int | None) -> None:
    """Refuse to run what was not confirmed.

    Args:
        confirmed: the number of events that the operator typed or agreed to; None where nobody was asked.

    Raises:
        PlanRefusedError: the plan itself forbids it.
        NotConfirmedError: not confirmed, or another number.
    """
    from atom_console.dlq.replay.errors import PlanRefusedError

    if made.refusals:
        raise PlanRefusedError(made.refusals)
    if confirmed is None:
        raise NotConfirmedError(
            f"{made.count:,} events are not confirmed", next_step="confirm with --yes, or with --confirm NUMBER"
        )
    if confirmed != made.count and (made.count > CONFIRM_ABOVE or settings.confirm == "typed"):
        raise NotConfirmedError(
            f"the plan sends {made.count:,} events; the number confirmed was {confirmed:,}",
            next_step=f"confirm with the number itself: --confirm {made.count}",
        )


def _hold(
    records: Iterable[Candidate],
    targets: Targets,
    options: ReplayOptions,
    newest: Mapping[tuple[str, int], int],
    behind: set[int],
    *,
    plain: bool,
) -> None:
    """Decide for each record whether it is held back; a held record blocks the later ones of its key."""
    stuck: set[tuple[str, int]] = set()
    for record in records:
        hold = _own_hold(record, targets, newest, plain=plain)
        chain = record.chain
        waits = record.seq in behind or (chain in stuck and not options.allow_reorder)
        if hold is None and chain is not None and waits:
            hold = Hold.BLOCKED
        record.hold = hold
        if hold is not None and hold is not Hold.SUPERSEDED and record.state not in CLOSED and chain is not None:
            stuck.add(chain)


def _own_hold(
    record: Candidate, targets: Targets, newest: Mapping[tuple[str, int], int], *, plain: bool
) -> Hold | None:
    if record.state != "ready":
        return Hold.NOT_READY
    if record.topic is None or record.payload_kind in ("pointer", "absent", "input"):
        return Hold.NO_PAYLOAD
    if plain and beyond_limit(record, targets.by_topic.get(record.topic)):
        return Hold.TOO_LARGE
    if newest and record.chain is not None and newest.get(record.chain, -1) > record.order_time:
        return Hold.SUPERSEDED
    return None


def _summary(
    records: Sequence[Candidate],
    targets: Targets,
    options: ReplayOptions,
    settings: Settings,
    dlq_topics: set[str],
) -> Plan:
    sent = [record for record in records if record.hold is None]
    held = Counter(str(record.hold) for record in records if record.hold is not None)
    cohorts = Counter(record.cohort for record in sent)
    topics = counts_of((cohort.topic or "", count) for cohort, count in cohorts.items())
    used = {topic: targets.by_topic[topic] for topic in topics}
    may_duplicate = sum(record.maybe_persisted and not record.attempts for record in sent)
    found = Findings()
    found.refuse_cluster(cohorts, targets)
    found.look_at_topics(used, options, dlq_topics)
    largest = max((record.size_bytes for record in records), default=0)
    found.warn(sent, targets, options, too_large=held[Hold.TOO_LARGE], largest=largest)
    if not sent:
        found.refusals.append("nothing is left to send: every record that matches is held back")
    check_s = 0.5 + (may_duplicate and 0.5) + len(sent) / _READ_BACK_PER_S
    count = len(sent)
    return Plan(
        run_id=os.urandom(4).hex(),
        count=count,
        bytes=sum(record.size_bytes for record in sent),
        by_group=_largest(counts_of((cohort.fingerprint, count) for cohort, count in cohorts.items())),
        by_tenant=_largest(counts_of((cohort.tenant_id or "", count) for cohort, count in cohorts.items())),
        by_topic=_largest(topics),
        held=dict(held),
        may_duplicate=may_duplicate,
        superseded=held[Hold.SUPERSEDED],
        blocked=held[Hold.BLOCKED],
        keys=len({record.chain for record in sent}),
        largest_bytes=largest,
        oldest_at=min((record.captured_at for record in sent), default=None),
        cluster_id=targets.cluster_id,
        refusals=tuple(found.refusals),
        warnings=tuple(found.warnings),
        targets={topic: asdict(target) for topic, target in used.items()},
        rate=options.rate,
        check_s=round(check_s, 1),
        eta_s=round(count / options.rate + check_s, 1) if options.rate else None,
        confirm_count=count > CONFIRM_ABOVE or settings.confirm == "typed",
        created_at=now_ms(),
        created_by=audit.present_actor().os_user,
    )


def _largest(counts: Counter[str]) -> dict[str, int]:
    return dict(counts.most_common(_MOST_SHOWN))


_INSERT: Final = (
    "INSERT INTO run_item (run_id, position, seq, rev, held) SELECT (SELECT id FROM run WHERE name = ?), key + ?,"
    " value ->> 0, value ->> 1, value ->> 2 FROM json_each(?)"
)
_INSERT_USUAL: Final = (
    "INSERT INTO run_item (run_id, position, seq) SELECT (SELECT id FROM run WHERE name = ?), key + ?, value"
    " FROM json_each(?)"
)


def _store(store: Store, made: Plan, options: ReplayOptions, records: Sequence[Candidate], words: str) -> None:
    """A part at a time, so that capture goes on in between; until the last part is in, the run counts as cancelled."""
    sha = hashlib.sha256()
    for start in range(0, len(records), _AT_ONCE):
        part = records[start : start + _AT_ONCE]
        usual = all(not record.rev and record.hold is None for record in part)
        items = json.dumps([record.seq if usual else (record.seq, record.rev, record.hold) for record in part])
        sha.update(items.encode())
        digest = sha.digest() if start + _AT_ONCE >= len(records) else None

        insert = _INSERT_USUAL if usual else _INSERT

        def work(
            conn: apsw.Connection,
            start: int = start,
            insert: str = insert,
            items: str = items,
            digest: bytes | None = digest,
        ) -> None:
            if not start:
                _insert_run(conn, made, options, words)
            conn.execute(insert, (made.run_id, start, items))
            if digest is not None:
                _release(conn, made, digest, len(records))

        store.run(work)


def _insert_run(conn: apsw.Connection, made: Plan, options: ReplayOptions, words: str) -> None:
    conn.execute(
        "INSERT INTO run (name, state, state_reason, filter, options, plan, cluster_id, created_at, created_by, total,"
        " held) VALUES (?, 'cancelled', 'the plan was not stored to its end', ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            made.run_id, words, options.to_json(), json.dumps(made.to_json()), made.cluster_id, made.created_at,
            made.created_by, made.count, sum(made.held.values()),
        ),
    )  # fmt: skip


def _release(conn: apsw.Connection, made: Plan, digest: bytes, records: int) -> None:
    """All of it is in: it may be run."""
    conn.execute("UPDATE run SET state = 'planned', state_reason = '' WHERE name = ?", (made.run_id,))
    audit.append(
        conn,
        actor=audit.present_actor(),
        at=made.created_at,
        action="plan",
        subject=f"run {made.run_id}",
        records=records,
        after_sha=digest,
        reason=f"{made.count} to send, {sum(made.held.values())} held back",
    )
