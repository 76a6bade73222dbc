"""Counters, latency histograms and rate windows, read as frozen snapshots."""

from __future__ import annotations

from atom_console.metrics.latency import LatencyHistogram, LatencySnapshot, LatencyWindow
from atom_console.metrics.rates import RateSnapshot, RateWindow

__all__ = ["LatencyHistogram", "LatencySnapshot", "LatencyWindow", "RateSnapshot", "RateWindow"]
