"""What a benchmark reports, and how two variants are timed fairly: in turn, in one run, by the median."""

from __future__ import annotations

import gc
from collections.abc import Callable
from dataclasses import dataclass
from statistics import median
from time import perf_counter


@dataclass(frozen=True, slots=True)
class Result:
    """One line of `atom-console bench`.

    Attributes:
        name: what was measured, e.g. `encode one molecule`.
        measured: the figure, in `unit`.
        unit: e.g. `events/s`, `ms`, `x`.
        baseline: what it is compared with in the same run, in `unit`, or None for an absolute budget.
        ratio: measured over baseline (or the inverse where less is better, so that more is always better).
        budget: what was promised, in words, e.g. `>= 12x`.
        met: whether it held in this run, or None where the budget needs something this host lacks.
    """

    name: str
    measured: float
    unit: str
    baseline: float | None
    ratio: float | None
    budget: str
    met: bool | None


def seconds(work: Callable[[], object]) -> float:
    """Wall seconds of one call, with the garbage collector out of the way."""
    gc.collect()
    gc.disable()
    try:
        start = perf_counter()
        work()
        return perf_counter() - start
    finally:
        gc.enable()


def in_turn(*variants: Callable[[], object], rounds: int = 5) -> list[float]:
    """Median seconds of each variant, run A B A B … after one warm-up, so that a drifting machine is fair to all."""
    for work in variants:
        work()
    samples: list[list[float]] = [[] for _ in variants]
    for _ in range(rounds):
        for work, kept in zip(variants, samples, strict=True):
            kept.append(seconds(work))
    return [median(kept) for kept in samples]
