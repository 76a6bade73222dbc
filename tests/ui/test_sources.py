"""Records by keyset: any order of looking at them shows what the whole list has."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scripted import NOW_MS

from atom_console.dlq.filters import Filter
from atom_console.dlq.reader import Reader
from atom_console.dlq.record import RecordRow
from atom_console.ui.rooms.dead_letters.query import QueryError, parse_query
from atom_console.ui.rooms.dead_letters.sources import RecordSource, record_row


def record(seq: int, **changes: Any) -> RecordRow:
    fields: dict[str, Any] = {
        "seq": seq, "id": f"id-{seq}", "state": "ready", "state_reason": "", "err_class": "outage", "err_code": -192,
        "err_name": "_MSG_TIMED_OUT", "topic": "t", "key_preview": b"k", "tenant_id": "a", "event_id": None,
        "event_type": 1, "captured_at": NOW_MS, "size_bytes": 10, "attempts": 0, "maybe_persisted": False,
        "origin": "local", "fingerprint": "f", "label": "l", "version": 1, "loops": 0, "run_id": None,
    }  # fmt: skip
    return RecordRow(**{**fields, **changes})


class KeysetReader:
    """Numbers with gaps, paged as the store pages them; counts the rows that it gave out."""

    def __init__(self, seqs: list[int], *, counted: bool = True) -> None:
        self.seqs = sorted(seqs)
        self.counted = counted
        self.given = 0

    def page(self, wanted: Filter, *, limit: int, cursor: str | None = None, order: str) -> Any:
        beyond = None if cursor is None else int(cursor[1:])
        assert cursor is None or cursor[0] == order[0]
        if order == "newest":
            found = [s for s in reversed(self.seqs) if beyond is None or s < beyond]
        else:
            found = [s for s in self.seqs if beyond is None or s > beyond]
        rows, more = found[:limit], len(found) > limit
        self.given += len(rows)
        next_cursor = f"{order[0]}{rows[-1]}" if more else None
        total = len(self.seqs) if self.counted else None
        return SimpleNamespace(records=tuple(record(s) for s in rows), next=next_cursor, total=total)

    def numbers(self, wanted: Filter) -> list[int]:
        return self.seqs


@given(
    seqs=st.lists(st.integers(1, 5000), unique=True, max_size=300),
    order=st.sampled_from(["newest", "oldest"]),
    counted=st.booleans(),
    looks=st.lists(st.tuples(st.integers(0, 300), st.integers(1, 40)), max_size=12),
)
def test_every_window_shows_what_the_list_has(seqs: list[int], order: Any, counted: bool, looks) -> None:  # type: ignore[no-untyped-def]
    source = RecordSource(KeysetReader(seqs, counted=counted), Filter(), now_ms=NOW_MS, order=order)  # type: ignore[arg-type]
    expected = sorted(seqs, reverse=order == "newest")
    source.load(0, 20)
    for start, length in looks:
        source.load(start, start + length)
        for index in range(start, min(start + length, len(expected))):
            if index < source.total().rows and (row := source.row(index)) is not None:
                assert row.key == expected[index]
        if counted:
            assert source.total().rows == len(expected)
            assert all(source.row(i) is not None for i in range(start, min(start + length, len(expected))))
    assert list(source.keys()) == sorted(seqs)


def test_both_ends_of_a_million_are_near() -> None:
    reader = KeysetReader(list(range(1, 100_001)))
    source = RecordSource(reader, Filter(), now_ms=NOW_MS)  # type: ignore[arg-type]
    source.load(0, 70)
    source.load(99_950, 100_000)
    source.load(99_900, 99_970)
    source.load(40, 120)
    assert source.row(99_999).key == 1  # type: ignore[union-attr]
    assert source.row(100).key == 99_900  # type: ignore[union-attr]
    assert reader.given < 500


def test_rows_that_come_later_do_not_shift_the_list() -> None:
    reader = KeysetReader([10, 20, 30, 40])
    source = RecordSource(reader, Filter(), now_ms=NOW_MS)  # type: ignore[arg-type]
    source.load(0, 2)
    reader.seqs.append(50)
    source.load(2, 4)
    assert [source.row(i).key for i in range(4)] == [40, 30, 20, 10]  # type: ignore[union-attr]


def test_the_real_store_agrees(letters_reader: Reader) -> None:
    source = RecordSource(letters_reader, Filter(classes=("poison", "config")), now_ms=NOW_MS)
    source.load(0, 10)
    assert source.total() == (84, "exact")
    source.load(70, 84)
    source.load(30, 60)
    expected = [seq for seq, _ in letters_reader.matching(Filter(classes=("poison", "config")))][::-1]
    for index in (*range(10), *range(30, 60), *range(70, 84)):
        assert source.row(index).key == expected[index]  # type: ignore[union-attr]


def test_unknown_and_absent_differ() -> None:
    cells = record_row(record(1, key_preview=None, tenant_id=None, event_id=None, topic=None), NOW_MS).cells
    assert cells[1] == "–"
    assert cells[6] == "?"


@pytest.mark.parametrize(
    ("text", "wanted", "words"),
    [
        ("", Filter(), ()),
        ("state=ready,failed tenant=t-1", Filter(states=("ready", "failed"), tenants=("t-1",)), ()),
        ("Timed  OUT", Filter(), ("timed", "out")),
        ('topic="a b" code=-192', Filter(topics=("a b",), codes=("-192",)), ()),
        ("key=k1", Filter(keys=(b"k1",)), ()),
        ("since=2h", Filter(since=NOW_MS - 7_200_000), ()),
        ("until=2026-11-24T02:14:07Z", Filter(until=NOW_MS), ()),
    ],
)
def test_a_query(text: str, wanted: Filter, words: tuple[str, ...]) -> None:
    query = parse_query(text, NOW_MS)
    assert (query.filter, query.words) == (wanted, words)


@pytest.mark.parametrize(
    ("text", "quoted", "step"),
    [
        ("tenat=x", "'tenat=x'", "did you mean tenant=…?"),
        ("wrong=x", "'wrong=x'", "fields: id, group"),
        ("tenant:t-41", "'tenant:t-41'", "tenant=t-41"),
        ("since=yesterday", "'since=yesterday'", "15m"),
        ('topic="x', "No closing quotation", "close"),
    ],
)
def test_a_wrong_query_is_quoted(text: str, quoted: str, step: str) -> None:
    with pytest.raises(QueryError) as caught:
        parse_query(text, NOW_MS)
    assert quoted in caught.value.what
    assert step in (caught.value.next_step or "")
