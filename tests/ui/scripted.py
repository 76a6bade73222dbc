"""An engine that says what a test wants: no threads, no clock but the script's."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence

from atom_console.engine.commands import Command, Receipt
from atom_console.engine.protocol import DeadLetterReader, DrainReport
from atom_console.engine.schema_shelf import SchemaShelf
from atom_console.engine.snapshot import (
    BrokerRow,
    CertificateRow,
    CertificateSection,
    ClusterSection,
    Connection,
    DeadLetterSection,
    EngineSnapshot,
    ErrorRow,
    GroupRow,
    Latency,
    ProducerSection,
    Series,
    SessionSection,
    SettingRow,
    TopicRow,
)

NOW_MS = 1_795_486_447_000  # 2026-11-24T02:14:07Z
MINUTE = 60_000


def wave(low: float, high: float, count: int = 180) -> tuple[float, ...]:
    """A history that goes up and down, the same every time."""
    shape = [0, 1, 2, 4, 6, 8, 9, 8, 6, 4, 2, 1]
    return tuple(low + (high - low) * shape[i // 3 % len(shape)] / 9 for i in range(count))


SETTINGS = (
    SettingRow("kafka.bootstrap_servers", "10.0.0.7:9093", "prod in config.toml"),
    SettingRow("kafka.compression", "zstd", "default"),
    SettingRow("kafka.linger_ms", "0", "ATOM_KAFKA_LINGER_MS"),
    SettingRow("kafka.sasl_password", "••••", "ATOM_KAFKA_SASL_PASSWORD"),
    SettingRow("dlq.mode", "async", "default"),
)

GROUPS = (
    GroupRow("f1", "broker not reachable: no answer in time", "outage", "ready", 1200, 0, 3_100_000, 41,
             NOW_MS - 41 * MINUTE, NOW_MS - 33 * MINUTE, ("atom.write.raw",), wave(0, 0, 7)),
    GroupRow("f2", "event larger than the broker takes (1.0 MB)", "poison", "needs a look", 58, 12, 190_000_000, 3,
             NOW_MS - 30 * MINUTE, NOW_MS - MINUTE, ("atom.write.raw",), (1, 1, 2, 3, 3, 5, 6)),
    GroupRow("f3", "no permission on atom.calc.trigger", "config", "blocked", 26, 2, 7_000, 2,
             NOW_MS - 20 * MINUTE, NOW_MS - MINUTE, ("atom.calc.trigger",), (1, 1, 1, 1, 2, 2, 3)),
)  # fmt: skip


def flowing() -> EngineSnapshot:
    """Everything works, some dead letters wait."""
    return EngineSnapshot(
        taken_at_ms=NOW_MS,
        session=SessionSection("prod", "PROD", "red", confirm="typed", operator="alice", settings=SETTINGS),
        producer=ProducerSection(
            age_s=0.1,
            mode="async",
            compression="zstd",
            compression_ratio=2.9,
            linger_ms=0,
            idempotent=True,
            in_per_s=Series(4812, wave(2000, 4900)),
            acked_per_s=Series(4812, wave(2000, 4900)),
            wire_bytes_per_s=Series(512_000, wave(100_000, 520_000)),
            ack=Latency(0.31, 0.44, 3.2, 60, 288_000, wave(0.3, 0.44)),
            queue_depth=10_204,
            queue_limit=100_000,
            in_flight=312,
            accepted=1_294_520,
            acked=1_282_720,
            captured=1_284,
            errors_by_class=(("outage", 1200), ("poison", 58), ("config", 26)),
        ),
        dlq=DeadLetterSection(
            age_s=0.2,
            total=1284,
            by_state=(("ready", 1200), ("needs a look", 58), ("blocked", 26)),
            oldest_at_ms=NOW_MS - 41 * MINUTE,
            last_at_ms=NOW_MS - MINUTE,
            growth_per_min=Series(12, ()),
            size_bytes=214_000_000,
            limit_bytes=2_000_000_000,
            free_bytes=80_000_000_000,
            groups=GROUPS,
        ),
        cluster=ClusterSection(
            age_s=0.4,
            name="eu-prod-1",
            cluster_id="kZ3fQ8",
            connection=Connection("connected", 7200),
            brokers=tuple(BrokerRow(i, f"10.0.0.{6 + i}:9093", "UP") for i in (1, 2, 3)),
            topics=(
                TopicRow("atom.write.raw", 12, 0, 9_000_000, Series(4790, wave(999, 4800, 8)), "calc-engine", 310, -9),
                TopicRow("atom.calc.trigger", 6, 0, 40_000, Series(22, wave(1, 22, 8)), "calc-engine", 0, 0),
                TopicRow("audit.log", 3, 1, 120, Series(0, (0.0,) * 8)),
            ),
        ),
        certificates=CertificateSection(
            age_s=60,
            rows=(
                CertificateRow("flight-1", "flight-server", 6, "renew now", "flight server"),
                CertificateRow("broker-1", "broker", 54, "ok"),
            ),
        ),
        errors=(
            ErrorRow(NOW_MS - 9000, 26, "TOPIC_AUTHORIZATION_FAILED", "atom.calc.trigger", "write refused",
                     "grant WRITE on the topic to User:CN=svc-grid, then release these 26"),
            ErrorRow(NOW_MS - 60_000, 58, "MSG_SIZE_TOO_LARGE", "atom.write.raw", "larger than the broker takes",
                     "split the events, or raise max.message.bytes of the topic"),
        ),
    )  # fmt: skip


def disconnected() -> EngineSnapshot:
    """The brokers went away 12 s ago."""
    base = flowing()
    return dataclasses.replace(
        base,
        cluster=dataclasses.replace(
            base.cluster,
            age_s=14.0,
            connection=Connection("disconnected", 12, 2, "connection refused", "10.0.0.7:9093"),
        ),
        producer=dataclasses.replace(base.producer, acked_per_s=Series(0, wave(0, 10))),
    )


def unknown() -> EngineSnapshot:
    """The first moment: nothing was read yet."""
    return EngineSnapshot(taken_at_ms=NOW_MS)


class ScriptedEngine:
    """EngineLike over a list of snapshots: the last one stays."""

    def __init__(self, *snapshots: EngineSnapshot) -> None:
        self.snapshots = list(snapshots)
        self.submitted: list[Command] = []
        self.pending: list[Receipt] = []
        self.looks = 0
        self.answer: Callable[[Command], Receipt] = lambda command: Receipt(f"Did {type(command).__name__}.", NOW_MS)
        self.drained: list[float] = []
        self.stopped = False
        self.dead_letters: DeadLetterReader | None = None
        self.schemas: SchemaShelf | None = None

    def snapshot(self) -> EngineSnapshot:
        self.looks += 1
        return self.snapshots.pop(0) if len(self.snapshots) > 1 else self.snapshots[0]

    def submit(self, command: Command) -> Receipt:
        self.submitted.append(command)
        return self.answer(command)

    def receipts(self) -> Sequence[Receipt]:
        ended, self.pending = self.pending, []
        return ended

    def drain(self, deadline_s: float) -> DrainReport:
        self.drained.append(deadline_s)
        return DrainReport("Sent 312 events.")

    def stop(self) -> None:
        self.stopped = True
