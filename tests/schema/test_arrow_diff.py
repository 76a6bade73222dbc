from __future__ import annotations

from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from atom_console.schema.arrow_diff import diff_arrow
from atom_console.schema.changes import Verdict, verdict

_INT, _TEXT = pa.field("a", pa.int32()), pa.field("b", pa.utf8())


def _schema(*fields: Any, metadata: Any = None) -> pa.Schema:
    return pa.schema(list(fields), metadata=metadata)


@pytest.mark.parametrize(
    ("old", "new", "changes", "expected"),
    [
        (_schema(_INT), _schema(_INT), [], Verdict.IDENTICAL),
        (_schema(_INT), _schema(_INT, _TEXT), [("b", "field added")], Verdict.COMPATIBLE),
        (
            _schema(_INT), _schema(_INT, _TEXT.with_nullable(False)), [("b", "field added")], Verdict.BREAKS_WRITERS,
        ),
        (_schema(_INT), _schema(_TEXT, _INT), [("b", "field added")], Verdict.BREAKING),
        (_schema(_INT, _TEXT), _schema(_INT), [("b", "field removed")], Verdict.BREAKS_READERS),
        (_schema(_INT, _TEXT), _schema(_TEXT, _INT), [("", "order changed")], Verdict.BREAKING),
        (_schema(_INT), _schema(pa.field("a", pa.int64())), [("a", "type changed")], Verdict.BREAKING),
        (_schema(_INT), _schema(pa.field("a", pa.uint32())), [("a", "type changed")], Verdict.BREAKING),
        (_schema(_INT), _schema(_INT.with_name("z")), [("a", "field renamed")], Verdict.BREAKING),
        (_schema(_INT), _schema(_INT.with_nullable(False)), [("a", "nullability changed")], Verdict.BREAKS_WRITERS),
        (_schema(_INT.with_nullable(False)), _schema(_INT), [("a", "nullability changed")], Verdict.BREAKS_READERS),
        (_schema(_INT), _schema(_INT.with_metadata({"k": "v"})), [("a", "metadata changed")], Verdict.COMPATIBLE),
        (_schema(_INT, metadata={"k": "1"}), _schema(_INT), [("", "metadata changed")], Verdict.COMPATIBLE),
        (
            _schema(_INT), _schema(_INT.with_metadata({"ARROW:extension:name": "x"})),
            [("a", "metadata changed")], Verdict.BREAKING,
        ),
        (
            _schema(("s", pa.struct([("x", pa.list_(pa.struct([("y", pa.int8())])))]))),
            _schema(("s", pa.struct([("x", pa.list_(pa.struct([("y", pa.int16())])))]))),
            [("s.x.item.y", "type changed")], Verdict.BREAKING,
        ),
        (
            _schema(("m", pa.map_(pa.utf8(), pa.int8()))), _schema(("m", pa.map_(pa.utf8(), pa.int16()))),
            [("m.value", "type changed")], Verdict.BREAKING,
        ),
        (
            _schema(("t", pa.timestamp("ms"))), _schema(("t", pa.timestamp("ms", tz="UTC"))),
            [("t", "type changed")], Verdict.BREAKING,
        ),
        (
            _schema(("d", pa.dictionary(pa.int8(), pa.utf8()))), _schema(("d", pa.dictionary(pa.int16(), pa.utf8()))),
            [("d", "type changed")], Verdict.BREAKING,
        ),
        (
            _schema(("l", pa.list_(pa.int8(), 3))), _schema(("l", pa.list_(pa.int8(), 4))),
            [("l", "type changed")], Verdict.BREAKING,
        ),
        (
            _schema(("w", pa.binary(16))), _schema(("w", pa.binary())), [("w", "type changed")], Verdict.BREAKING,
        ),
        (_schema(_INT, _INT), _schema(_INT), [("a", "field removed")], Verdict.BREAKS_READERS),
    ],
)  # fmt: skip
def test_each_change_has_a_name_and_a_verdict(
    old: pa.Schema, new: pa.Schema, changes: list[tuple[str, str]], expected: Verdict
) -> None:
    found = diff_arrow(old, new)
    assert [(change.path, change.kind) for change in found] == changes
    assert verdict(found) is expected
    assert all(change.why.endswith(".") for change in found)


_FLAT = st.sampled_from(
    [pa.int8(), pa.int32(), pa.uint64(), pa.float64(), pa.utf8(), pa.large_utf8(), pa.binary(), pa.binary(16),
     pa.bool_(), pa.timestamp("us"), pa.decimal128(10, 2), pa.dictionary(pa.int8(), pa.utf8()), pa.date32()]
)  # fmt: skip
_NAMES = st.sampled_from("abcd")


def _nest(inner: st.SearchStrategy[pa.DataType]) -> st.SearchStrategy[pa.DataType]:
    fields = st.lists(st.builds(pa.field, _NAMES, inner, st.booleans()), max_size=3)
    return st.one_of(inner.map(pa.list_), fields.map(pa.struct), inner.map(lambda kind: pa.map_(pa.utf8(), kind)))


_FIELDS = st.builds(
    lambda name, kind, nullable, meta: pa.field(name, kind, nullable, {"k": meta} if meta else None),
    _NAMES,
    st.recursive(_FLAT, _nest, max_leaves=4),
    st.booleans(),
    st.sampled_from(["", "1", "2"]),
)
_SCHEMAS = st.lists(_FIELDS, max_size=5).map(pa.schema)


@settings(max_examples=300, deadline=None)
@given(_SCHEMAS, _SCHEMAS)
def test_no_difference_is_missed_and_none_invented(old: pa.Schema, new: pa.Schema) -> None:
    assert bool(diff_arrow(old, new)) is not old.equals(new, check_metadata=True)
    assert diff_arrow(old, old) == ()
