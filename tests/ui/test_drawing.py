"""Numbers, bars and columns as text."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from atom_console.ui import drawing
from atom_console.ui.drawing import Span


@pytest.mark.parametrize(
    ("function", "value", "shown"),
    [
        (drawing.count, None, "?"),
        (drawing.count, 1284, "1,284"),
        (drawing.rate, None, "?"),
        (drawing.rate, 0.0, "0"),
        (drawing.rate, 0.4, "0.4"),
        (drawing.rate, 4812.3, "4,812"),
        (drawing.millis, 0.31, "0.31"),
        (drawing.millis, 4.21, "4.2"),
        (drawing.millis, 1301.0, "1,301"),
        (drawing.size, 288, "288 B"),
        (drawing.size, 999_600, "1.0 MB"),
        (drawing.size, 214_000_000, "214 MB"),
        (drawing.size, None, "?"),
        (drawing.duration, None, "?"),
        (drawing.duration, 0.44, "0.4 s"),
        (drawing.duration, 12.2, "12 s"),
        (drawing.duration, 2460, "41 min"),
        (drawing.duration, 12_000, "3 h 20 min"),
        (drawing.duration, 6 * 86_400, "6 d"),
        (drawing.clock, 1_795_486_447_000, "02:14:07Z"),
    ],
)
def test_a_number_is_short_and_unknown_is_said(function, value, shown) -> None:  # type: ignore[no-untyped-def]
    assert function(value) == shown


def test_a_moment_says_the_day_when_it_is_not_today() -> None:
    now = 1_795_486_447_000
    assert drawing.moment(now - 60_000, now) == "02:13"
    assert drawing.moment(now - 86_400_000, now) == "11-23"
    assert drawing.moment(None, now) == "?"


def test_a_sparkline_keeps_peaks_and_gaps() -> None:
    assert drawing.sparkline((0, 1, 2, None, 8), 5) == "▁▂▃ █"
    crowded = [0.0] * 1000
    crowded[500] = 9.0
    assert drawing.sparkline(crowded, 20).count("█") == 1
    assert drawing.sparkline((), 4) == "    "


@given(st.lists(st.one_of(st.none(), st.floats(0, 1e9))), st.integers(0, 60))
def test_a_sparkline_has_its_width(history: list[float | None], width: int) -> None:
    assert cell_len(drawing.sparkline(history, width)) == width


@given(st.one_of(st.none(), st.floats(0, 1e6)), st.one_of(st.none(), st.floats(0, 1e6)), st.integers(0, 50))
def test_a_bar_has_its_width(value: float | None, limit: float | None, width: int) -> None:
    assert cell_len(drawing.bar(value, limit, width)) == width


def test_a_bar_shows_the_least_and_the_most() -> None:
    assert drawing.bar(1, 1_000_000, 10) == "▌" + "·" * 9
    assert drawing.bar(5_000_000, 1_000_000, 4) == "████"
    assert drawing.bar(None, 10, 4) == "    "


@given(st.text(), st.integers(0, 40), st.sampled_from(["left", "right"]))
def test_fit_has_exactly_the_width(text: str, width: int, align) -> None:  # type: ignore[no-untyped-def]
    assert cell_len(drawing.fit(text, width, align)) == width


@given(st.lists(st.text(max_size=12), max_size=5), st.integers(0, 30))
def test_a_cut_line_is_not_too_wide(texts: list[str], width: int) -> None:
    spans = [Span(drawing.safe_text(text)) for text in texts]
    assert cell_len(drawing.plain(drawing.cut_line(spans, width))) <= width


@given(st.text(max_size=200), st.integers(4, 30), st.integers(1, 4))
def test_wrapped_text_stays_within(text: str, width: int, most: int) -> None:
    rows = drawing.wrap(text, width, most)
    assert len(rows) <= most
    assert all(cell_len(row) <= width for row in rows)


@given(st.text())
def test_ascii_keeps_the_width(text: str) -> None:
    shown = drawing.safe_text(text)
    assert drawing.ascii_only(shown).isascii()
    assert cell_len(drawing.ascii_only(shown)) == cell_len(shown)


def test_justify_keeps_the_right_end() -> None:
    text = drawing.plain(drawing.justify([Span("a long left side")], [Span("02:14Z")], 14))
    assert text == "a long… 02:14Z"
