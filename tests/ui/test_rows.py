"""Layout of columns, marks, frozen ids."""

from __future__ import annotations

from array import array

from hypothesis import given
from hypothesis import strategies as st

from atom_console.ui.rooms.dead_letters.sources import GROUP_COLUMNS, RECORD_COLUMNS
from atom_console.ui.rows import Column, FrozenIds, Marks, lay_out

columns = st.lists(
    st.builds(Column, st.just("c"), st.integers(1, 30), st.integers(0, 60), st.integers(1, 5)), min_size=1, max_size=12
)


@given(columns, st.integers(1, 200), st.integers(0, 12))
def test_a_layout_fits_and_keeps_the_first_column(made: list[Column], width: int, skip: int) -> None:
    layout = lay_out(made, width, skip)
    used = sum(placed.width for placed in layout.placed) + len(layout.placed) - 1
    assert used <= width
    assert layout.placed[0].column == 0
    assert [placed.column for placed in layout.placed] == sorted({placed.column for placed in layout.placed})


def names(layout, made) -> list[str]:  # type: ignore[no-untyped-def]
    return [made[placed.column].title for placed in layout.placed]


def test_what_matters_is_there_at_80_columns() -> None:
    assert {"state", "count", "new", "what broke", "last"} <= set(names(lay_out(GROUP_COLUMNS, 78), GROUP_COLUMNS))
    assert {"state", "key", "error", "age"} <= set(names(lay_out(RECORD_COLUMNS, 78), RECORD_COLUMNS))


def test_skipping_reveals_every_column_somewhere() -> None:
    seen: set[str] = set()
    for skip in range(len(RECORD_COLUMNS)):
        seen |= set(names(lay_out(RECORD_COLUMNS, 78, skip), RECORD_COLUMNS))
    assert seen == {column.title for column in RECORD_COLUMNS}


def test_a_wide_screen_shows_all_groups_columns() -> None:
    assert lay_out(GROUP_COLUMNS, 198).hidden == 0


@given(st.sets(st.integers(0, 50)), st.lists(st.integers(0, 50)))
def test_marks_are_a_set(frozen: set[int], toggled: list[int]) -> None:
    marks, model = Marks(), set(frozen)
    marks.set_all(FrozenIds(array("q", sorted(frozen))))
    for key in toggled:
        marks.toggle(key)
        model ^= {key}
    assert set(marks) == model
    assert len(marks) == len(model)
    assert all((key in marks) == (key in model) for key in range(51))


def test_frozen_ids_hold_no_objects_for_a_million() -> None:
    ids = FrozenIds(array("q", range(0, 2_000_000, 2)))
    assert len(ids) == 1_000_000
    assert 1_234_566 in ids
    assert 1_234_567 not in ids
    assert "1" not in ids
