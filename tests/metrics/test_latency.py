from __future__ import annotations

import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from atom_console.metrics import LatencyHistogram, LatencyWindow

MICROSECONDS = st.lists(st.integers(0, 2**36 - 1), min_size=1, max_size=200)


@given(MICROSECONDS, st.integers(1, 100))
def test_a_percentile_is_at_most_one_bucket_above_the_truth(values: list[int], percent: int) -> None:
    histogram = LatencyHistogram()
    histogram.record_many(values)
    exact = sorted(values)[max(1, -(-len(values) * percent // 100)) - 1]
    shown = histogram.percentile(percent)
    assert shown is not None
    assert exact <= round(shown * 1000) <= max(exact, exact * 33 / 32 + 1)


@given(MICROSECONDS, MICROSECONDS)
def test_merged_histograms_are_the_histogram_of_all(first: list[int], second: list[int]) -> None:
    one, two, both = LatencyHistogram(), LatencyHistogram(), LatencyHistogram()
    one.record_many(first)
    two.record_many(second)
    both.record_many(first + second)
    one.merge(two)
    assert one.snapshot() == both.snapshot()
    assert one.count == len(first) + len(second)


def test_nothing_measured_is_none_and_not_zero() -> None:
    snapshot = LatencyHistogram().snapshot()
    assert (snapshot.count, snapshot.p50_ms, snapshot.p99_ms, snapshot.max_ms) == (0, None, None, None)


def test_the_largest_value_is_exact_and_bounds_every_percentile() -> None:
    histogram = LatencyHistogram()
    histogram.record(123_457)
    snapshot = histogram.snapshot()
    assert (snapshot.p50_ms, snapshot.p99_ms, snapshot.max_ms) == (123.457, 123.457, 123.457)


@pytest.mark.parametrize(("us", "shown_ms"), [(-5, 0.0), (0, 0.0), (0.9, 0.0), (2**40, (2**36 - 1) / 1000)])
def test_values_out_of_range_are_kept_at_its_ends(us: float, shown_ms: float) -> None:
    histogram = LatencyHistogram()
    histogram.record(us)
    assert histogram.percentile(100) == shown_ms


def test_a_scale_turns_seconds_into_microseconds() -> None:
    histogram = LatencyHistogram()
    histogram.record_many([0.000_05], scale=1e6)
    assert histogram.percentile(50) == 0.05


@pytest.mark.parametrize("percent", [-1, 100.5])
def test_a_percentile_lies_between_0_and_100(percent: float) -> None:
    with pytest.raises(ValueError, match="between 0 and 100"):
        LatencyHistogram().percentile(percent)


def test_a_window_forgets_what_is_older() -> None:
    window = LatencyWindow(span_s=1.0, spans=3)
    window.record_many([10], now_s=0.0)
    window.record_many([20], now_s=1.5)
    window.record_many([30], now_s=2.5)
    assert window.snapshot().count == 3
    window.rotate(3.5)
    assert (window.snapshot().count, window.snapshot().p50_ms) == (2, 0.02)
    window.rotate(4.5)
    assert window.snapshot().count == 1
    window.rotate(100.0)
    assert window.snapshot().count == 0


def test_a_window_of_one_span_keeps_only_that() -> None:
    window = LatencyWindow(span_s=1.0, spans=1)
    window.record_many([10], now_s=0.0)
    window.record_many([20], now_s=1.0)
    assert window.snapshot().count == 1


def test_another_thread_may_read_while_one_records() -> None:
    window = LatencyWindow(span_s=0.001, spans=4)
    done = threading.Event()
    faults: list[BaseException] = []

    def read() -> None:
        try:
            while not done.is_set():
                window.snapshot()
        except BaseException as fault:
            faults.append(fault)

    reader = threading.Thread(target=read)
    reader.start()
    for step in range(2_000):
        window.record_many([step % 70, step], now_s=step / 5_000)
    done.set()
    reader.join()
    assert faults == []
