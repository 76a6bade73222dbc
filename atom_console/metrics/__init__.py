"""Counters, latency histograms and rate windows, read as frozen snapshots."""
