"""Bytes on the wire from librdkafka's statistics, whose totals shrink when the client forgets a broker."""

from __future__ import annotations

from atom_console.kafka.statistics import ClientStatistics
from atom_console.metrics import RateSnapshot, RateWindow


class WireMeter:
    """Adds up what each report adds; one thread observes."""

    def __init__(self) -> None:
        self._rate = RateWindow()
        self._sent = self._sent_seen = 0
        self._plain = self._plain_seen = 0

    def observe(self, statistics: ClientStatistics, now_s: float) -> None:
        """One report."""
        self._sent += max(0, statistics.tx_bytes - self._sent_seen)
        self._sent_seen = statistics.tx_bytes
        self._plain += max(0, statistics.tx_message_bytes - self._plain_seen)
        self._plain_seen = statistics.tx_message_bytes
        self._rate.observe(self._sent, now_s)

    @property
    def ratio(self) -> float | None:
        """Bytes of messages for each byte sent, requests of every kind included; None before anything was sent."""
        return self._plain / self._sent if self._sent and self._plain else None

    def snapshot(self) -> RateSnapshot:
        """Bytes a second."""
        return self._rate.snapshot()
