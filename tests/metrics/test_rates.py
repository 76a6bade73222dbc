from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from atom_console.metrics import RateWindow


def test_a_rate_is_the_increase_of_the_last_whole_second() -> None:
    window = RateWindow()
    for now_s, total in [(0.1, 10), (0.9, 50), (1.2, 60), (1.9, 90), (2.0, 95)]:
        window.observe(total, now_s)
    snapshot = window.snapshot()
    assert snapshot.history == (50, 40)
    assert (snapshot.per_s, snapshot.total) == (40, 95)


def test_before_a_second_has_passed_there_is_no_rate() -> None:
    window = RateWindow()
    window.observe(5, 0.0)
    assert (window.snapshot().per_s, window.snapshot().history) == (None, ())


def test_seconds_without_an_observation_share_the_increase() -> None:
    window = RateWindow()
    window.observe(0, 0.0)
    window.observe(10, 4.0)
    assert window.snapshot().history == (3, 3, 2, 2)


def test_silence_is_zero_and_not_the_last_rate() -> None:
    window = RateWindow()
    for second in range(4):
        window.observe(100, second + 0.5)
    assert window.snapshot().history == (100, 0, 0)


@given(st.lists(st.tuples(st.integers(0, 500), st.floats(0.0, 5.0)), min_size=1, max_size=60))
def test_the_history_adds_up_to_what_was_counted(steps: list[tuple[int, float]]) -> None:
    window = RateWindow(seconds=10_000)
    total, now_s = 0, 0.0
    for increase, passed in steps:
        total, now_s = total + increase, now_s + passed
        window.observe(total, now_s)
    window.observe(total, now_s + 1.0)
    window.observe(total, now_s + 2.0)
    assert sum(window.snapshot().history) == total


def test_a_long_sleep_costs_no_more_than_the_history() -> None:
    window = RateWindow(seconds=5)
    window.observe(0, 0.0)
    window.observe(1_000_000, 1_000_000.0)
    assert window.snapshot().history == (1, 1, 1, 1, 1)
