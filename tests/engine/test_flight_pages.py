"""Arrow values as text: only those that are looked at, harmless, masked, whatever their type."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pyarrow as pa
import pytest

from atom_console.engine.flight_pages import MASKED, DamagedBatchError, RowPages, checked
from atom_console.engine.flight_speed import SpeedTrace
from atom_console.flight.mdf import GeneratedPlan

EVERYTHING = (1 << 64) - 1


def one_column(values: Any, kind: pa.DataType) -> list[str | None]:
    batch = pa.record_batch([pa.array(values, kind)], names=["c"])
    return [row[0] for row in RowPages(batch.schema, [batch], EVERYTHING).texts(0, batch.num_rows)]


@pytest.mark.parametrize(
    ("kind", "values", "texts"),
    [
        (pa.int64(), [1, None], ["1", None]),
        (pa.bool_(), [True, False], ["true", "false"]),
        (pa.utf8(), ["a\x1b[31m", "\u202eb"], ["a␛[31m", "<U+202E>b"]),
        (pa.large_utf8(), ["x" * 500], ["x" * 199 + "…"]),
        (pa.binary(), [bytes(range(16)), bytes(40)], ["000102030405060708090a0b0c0d0e0f", "40 B " + "00" * 16 + "…"]),
        (pa.list_(pa.int32()), [[1, 2], list(range(100)), None], ["[1, 2]", None, None]),
        (pa.dictionary(pa.int8(), pa.utf8()), ["a", "b", "a"], ["a", "b", "a"]),
        (pa.timestamp("ms", "UTC"), [datetime(2026, 1, 2, tzinfo=UTC)], ["2026-01-02 00:00:00+00:00"]),
        (pa.struct([("x", pa.int8())]), [{"x": 1}], ["{'x': 1}"]),
        (pa.map_(pa.utf8(), pa.int8()), [[("k", 1)]], ["[('k', 1)]"]),
        (pa.null(), [None], [None]),
        (pa.decimal128(10, 2), [None], [None]),
    ],
    ids=str,
)
def test_values(kind: pa.DataType, values: list[Any], texts: list[str | None]) -> None:
    found = one_column(values, kind)
    if pa.types.is_list(kind):
        assert found[0] == "[1, 2]"
        assert (found[1] or "").startswith("100 items [0, 1, 2")
        assert found[2] is None
    else:
        assert found == texts


def test_a_date_beyond_the_calendar_is_told_and_its_neighbours_are_shown() -> None:
    values = pa.array([2**62, 0], pa.int64()).cast(pa.timestamp("s"), safe=False)
    batch = pa.record_batch([values], names=["c"])
    first, second = (row[0] for row in RowPages(batch.schema, [batch], 0).texts(0, 2))
    assert (first or "").startswith("cannot be shown")
    assert second == "1970-01-01 00:00:00"


def test_rows_across_batches_and_beyond_the_end() -> None:
    plan = GeneratedPlan("p", 20_000)
    pages = RowPages(plan.schema, list(plan.batches()), EVERYTHING)
    assert pages.rows == 20_000
    across = pages.texts(8_190, 8_195)
    assert across[0] == pages.texts(8_190, 8_191)[0]
    assert across[4] == pages.texts(8_194, 8_195)[0]
    assert pages.texts(19_999, 30_000) == [pages.texts(19_999, 20_000)[0]]
    assert pages.texts(20_000, 20_010) == []


def test_rows_that_the_clearance_hides_show_their_mask_and_nothing_else() -> None:
    batch = pa.record_batch(
        [pa.array(["open", "secret"]), pa.array([0, 0b100], pa.uint64()), pa.array([1, 2])],
        names=["text", "security_mask", "n"],
    )
    assert RowPages(batch.schema, [batch], 0b001).texts(0, 2) == [("open", "0", "1"), (MASKED, "4", MASKED)]
    assert RowPages(batch.schema, [batch], 0b100).texts(1, 2) == [("secret", "4", "2")]
    words = pa.record_batch([pa.array(["x"]), pa.array(["4"])], names=["text", "security_mask"])
    assert RowPages(words.schema, [words], 0).texts(0, 1) == [(MASKED, "4")]


def test_no_columns_and_no_rows() -> None:
    empty = RowPages(pa.schema([]), [], 0)
    assert (empty.rows, empty.texts(0, 5)) == (0, [])


def test_a_damaged_batch_is_refused() -> None:
    offsets = pa.array([0, 1_000_000, 5], pa.int32()).buffers()[1]
    column = pa.Array.from_buffers(pa.utf8(), 2, [None, offsets, pa.py_buffer(b"short")])
    with pytest.raises(DamagedBatchError, match="a batch is damaged"):
        checked(pa.record_batch([column], names=["c"]), "plan")


def test_the_speed_by_tenths() -> None:
    trace = SpeedTrace(100.0)
    assert trace.live(100.05) is None
    trace.add(500_000_000, 100.05)
    trace.add(600_000_000, 100.25)
    assert trace.first_gb_s == pytest.approx(0.25)
    assert trace.speeds(100.31) == pytest.approx((5.0, 0.0, 6.0))
    assert trace.speeds(100.55) == pytest.approx((5.0, 0.0, 6.0, 0.0, 0.0))
    assert trace.live(102.0) == pytest.approx(0.0)
    trace.add(1, 100_000.0)
    assert len(trace.speeds(100_000.0)) == 1_199
