"""Plans and runs as the engine would answer them, the same every time."""

from __future__ import annotations

import dataclasses

from scripted import MINUTE, NOW_MS, flowing

from atom_console.dlq.replay.options import ReplayOptions
from atom_console.dlq.replay.plan import Plan
from atom_console.dlq.replay.runs import RunProgress
from atom_console.engine.commands import Command, PlanReplay, Receipt, ShowPlan
from atom_console.engine.plans import StoredPlan
from atom_console.engine.snapshot import EngineSnapshot, LeaseRow, ReplaySection

TARGET = {
    "topic": "atom.write.raw", "partitions": 12, "topic_id": "x", "max_message_bytes": 1_000_000,
    "retention_ms": 604_800_000, "cleanup_policy": "delete", "can_read": True, "can_write": True,
}  # fmt: skip
OPTIONS = ReplayOptions(rate=500.0)


def a_plan(**changes: object) -> Plan:
    """The plan of the drawing."""
    made = Plan(
        run_id="8f2c11d0",
        count=1_183,
        bytes=3_010_000,
        by_group={"f1": 1_183},
        by_tenant={f"tenant-{number}": 40 - number for number in range(41)},
        by_topic={"atom.write.raw": 1_183},
        held={"superseded": 17, "blocked": 2},
        may_duplicate=41,
        superseded=17,
        blocked=2,
        keys=41,
        largest_bytes=4_100,
        oldest_at=NOW_MS - 41 * MINUTE,
        cluster_id="kZ3fQ8",
        refusals=(),
        warnings=(),
        targets={"atom.write.raw": TARGET},
        rate=500.0,
        check_s=1.0,
        eta_s=3.4,
        confirm_count=True,
        created_at=NOW_MS - 3 * MINUTE,
        created_by="alice",
    )
    return dataclasses.replace(made, **changes)  # type: ignore[arg-type]


REFUSED = a_plan(
    refusals=(
        "1,183 records are of cluster Other, this is kZ3fQ8",
        "WRITE on topic atom.write.raw is not granted",
        "topic atom.write.raw is compacted: copies may vanish before they are counted (--allow-compacted)",
    ),
    warnings=(
        "12 records are older than the retention of atom.write.raw (168.0 h): the broker deletes them at once",
    ),
    targets={"atom.write.raw": TARGET | {"can_write": False, "can_read": None}},
    eta_s=None,
)  # fmt: skip


def a_run(state: str = "running", reason: str = "sending", **changes: object) -> RunProgress:
    """702 of 1,183."""
    made = RunProgress(
        run_id="8f2c11d0",
        state=state,
        reason=reason,
        total=1_183,
        held=19,
        sent=664,
        replayed=702,
        failed=0,
        unknown=0,
        duplicates_avoided=38,
        left=481,
        rate_per_s=498.0,
        eta_s=0.97,
        breaker=0,
        breaker_limit=5,
        ack_p99_ms=2.1,
        stalled_s=0.0,
        verified=None,
        holder="alice@ops-1 pid 41",
    )
    return dataclasses.replace(made, **changes)  # type: ignore[arg-type]


FINISHED = a_run(
    "finished", "", replayed=1_183, left=0, rate_per_s=None, eta_s=None, verified="verified: 0 lost, 0 duplicates"
)
EARLIER = a_run(
    "stopped",
    "breaker: 5 failures in a row, the last TOPIC_AUTHORIZATION_FAILED",
    run_id="77aa0102",
    failed=5,
    left=476,
)


def replaying(
    *runs: RunProgress, ours: bool = True, lease: LeaseRow | None = None, typed: bool = True
) -> EngineSnapshot:
    """The first run is under way: in this console, or held under `lease` by another."""
    base = flowing()
    holder = lease or LeaseRow(
        "alice", "ops-1", "8f2c11d0", 0.4, mine=ours, pid=41, purpose="replay of run 8f2c11d0", since_ms=NOW_MS - 3000
    )
    return dataclasses.replace(
        base,
        session=dataclasses.replace(base.session, confirm="typed" if typed else "plain"),
        dlq=dataclasses.replace(base.dlq, lease=holder),
        replay=ReplaySection(
            age_s=0.2,
            active=runs[0] if ours else None,
            runs=runs,
            unknown=0,
            windows={"8f2c11d0": 15, "77aa0102": 3},
            made_at={"8f2c11d0": NOW_MS - 3 * MINUTE, "77aa0102": NOW_MS - 90 * MINUTE},
        ),
    )


def settled(*runs: RunProgress, unknown: int = 0) -> EngineSnapshot:
    """Nobody holds the lease."""
    made = replaying(*runs, ours=False)
    return dataclasses.replace(
        made,
        dlq=dataclasses.replace(made.dlq, lease=None),
        replay=dataclasses.replace(made.replay, unknown=unknown),
    )


def answers(made: Plan, state: str = "planned", held: dict[int, str] | None = None):  # type: ignore[no-untyped-def]
    """An engine that plans what it is asked to."""

    chosen = OPTIONS

    def answer(command: Command) -> Receipt:
        nonlocal chosen
        match command:
            case PlanReplay():
                chosen = options = dataclasses.replace(
                    chosen,
                    rate=chosen.rate if command.rate_per_s is None else command.rate_per_s,
                    canary=chosen.canary if command.canary is None else command.canary,
                    order=command.order or chosen.order,
                    timestamps=command.timestamps or chosen.timestamps,
                )
                plan = made if command.first is None else dataclasses.replace(
                    made, run_id="9a1c22e0", count=command.first, held={}, confirm_count=False
                )  # fmt: skip
                text = f"Planned run {plan.run_id}: {plan.count:,} events; nothing is sent yet."
                return Receipt(text, NOW_MS, value=StoredPlan(plan, options, state))
            case ShowPlan():
                return Receipt("Read.", NOW_MS, value=StoredPlan(made, OPTIONS, state, held or {}))
            case _:
                return Receipt(f"Did {type(command).__name__}.", NOW_MS)

    return answer
