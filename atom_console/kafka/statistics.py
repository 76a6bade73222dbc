"""librdkafka's own statistics (`stats_cb`), reduced to what an operator looks at."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class BrokerStatistics:
    """One broker as the client sees it; the times are None where no request was answered in the last interval."""

    name: str
    state: str
    rtt_p50_ms: float | None
    rtt_p99_ms: float | None
    outstanding: int
    errors: int
    retries: int


@dataclass(frozen=True, slots=True)
class ClientStatistics:
    """One report of librdkafka; totals since this client was made.

    Attributes:
        at_s: Unix seconds of the report.
        queue_messages: messages in the client, sent or not.
        queue_bytes: bytes of their values and keys.
        tx_messages: messages sent.
        tx_message_bytes: bytes of their values and keys before compression.
        tx_bytes: bytes on the wire, requests of every kind.
        compression_ratio: message bytes per byte on the wire; below 1 framing costs more than compression saves. None
            before anything was sent.
        idempotence: state of the idempotent producer, `Assigned` when it is ready; None without idempotence.
        brokers: those that have an address.
    """

    at_s: float
    queue_messages: int
    queue_bytes: int
    tx_messages: int
    tx_message_bytes: int
    tx_bytes: int
    compression_ratio: float | None
    idempotence: str | None
    brokers: tuple[BrokerStatistics, ...]


def parse_statistics(text: str) -> ClientStatistics:
    """Statistics JSON (STATISTICS.md of librdkafka) → the figures; a field that is missing counts as zero."""
    document: dict[str, Any] = json.loads(text)
    brokers = tuple(
        _broker(broker) for _, broker in sorted(document.get("brokers", {}).items()) if broker.get("nodeid", -1) >= 0
    )
    tx_bytes = int(document.get("tx_bytes", 0))
    message_bytes = int(document.get("txmsg_bytes", 0))
    return ClientStatistics(
        at_s=float(document.get("time", 0)),
        queue_messages=int(document.get("msg_cnt", 0)),
        queue_bytes=int(document.get("msg_size", 0)),
        tx_messages=int(document.get("txmsgs", 0)),
        tx_message_bytes=message_bytes,
        tx_bytes=tx_bytes,
        compression_ratio=message_bytes / tx_bytes if message_bytes and tx_bytes else None,
        idempotence=document.get("eos", {}).get("idemp_state"),
        brokers=brokers,
    )


def _broker(broker: dict[str, Any]) -> BrokerStatistics:
    rtt = broker.get("rtt", {})
    measured = bool(rtt.get("cnt"))
    return BrokerStatistics(
        name=str(broker.get("nodename") or broker.get("name", "?")),
        state=str(broker.get("state", "?")),
        rtt_p50_ms=rtt["p50"] / 1000 if measured else None,
        rtt_p99_ms=rtt["p99"] / 1000 if measured else None,
        outstanding=int(broker.get("outbuf_cnt", 0)) + int(broker.get("waitresp_cnt", 0)),
        errors=int(broker.get("txerrs", 0)) + int(broker.get("rxerrs", 0)),
        retries=int(broker.get("txretries", 0)),
    )
