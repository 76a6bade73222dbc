"""Groups and records as rows. Records come by keyset from either end: nothing counts through a million of them."""

from __future__ import annotations

import threading
from bisect import bisect_left
from collections import OrderedDict
from collections.abc import Collection, Hashable, Mapping, Sequence
from typing import Literal

from atom_console.dlq.filters import Filter
from atom_console.dlq.record import Group, RecordRow
from atom_console.engine.protocol import DeadLetterReader
from atom_console.ui.drawing import count, duration, moment, size, sparkline
from atom_console.ui.rooms.dead_letters.words import ROLES, group_state, open_count, state_word
from atom_console.ui.rows import Cell, Column, FrozenIds, Row, Total

GROUP_COLUMNS = (
    Column("state", 12, 13),
    Column("count", 9, 10, align="right"),
    Column("new", 5, 8, priority=2, align="right"),
    Column("what broke", 30, 90),
    Column("last", 5, 6, priority=2),
    Column("trend", 7, 7, priority=3),
    Column("class", 8, 10, priority=4),
    Column("tenants", 7, 8, priority=4, align="right"),
    Column("size", 8, 9, priority=5, align="right"),
    Column("first", 5, 6, priority=6),
    Column("topic", 16, 30, priority=7),
)
GROUP_SORTS = ("count", "new", "last", "first", "size", "state")

RECORD_COLUMNS = (
    Column("state", 12, 13),
    Column("key", 12, 28),
    Column("error", 18, 34),
    Column("age", 7, 11, priority=2, align="right"),
    Column("arrived?", 8, 8, priority=3),
    Column("topic", 14, 28, priority=3),
    Column("tenant", 10, 24, priority=4),
    Column("size", 8, 9, priority=5, align="right"),
    Column("tries", 5, 5, priority=5, align="right"),
    Column("event", 10, 36, priority=6),
    Column("origin", 8, 11, priority=7),
    Column("record", 12, 36, priority=8),
)
_WHY_HELD = Column("held back", 11, 12)
_KEPT = 4000
_CHUNK = 10_000


def group_rows(
    groups: Sequence[Group], trend: Mapping[str, Sequence[int]], seen: Mapping[str, int], now_ms: int, sort: str
) -> list[Row]:
    """One row a group. `seen` has the counts at the last look; `sort` is one of GROUP_SORTS, largest first."""
    keys = {
        "count": lambda group: -open_count(group),
        "new": lambda group: -(group.count - seen.get(group.fingerprint, 0)),
        "last": lambda group: -group.last_seen,
        "first": lambda group: group.first_seen,
        "size": lambda group: -group.bytes,
        "state": group_state,
    }
    return [_group_row(group, trend, seen, now_ms) for group in sorted(groups, key=keys[sort])]


def _group_row(group: Group, trend: Mapping[str, Sequence[int]], seen: Mapping[str, int], now_ms: int) -> Row:
    word = group_state(group)
    new = group.count - seen.get(group.fingerprint, 0)
    topics = group.topic or "–"
    cells: tuple[str | Cell, ...] = (
        Cell(word, ROLES.get(word, "")),
        count(open_count(group)),
        Cell(f"+{new:,}", "warn") if new > 0 else "0",
        group.label,
        moment(group.last_seen, now_ms),
        Cell(sparkline(tuple(trend.get(group.fingerprint, (0,) * 7)), 7), "trend"),
        group.err_class,
        count(group.tenants),
        size(group.bytes),
        moment(group.first_seen, now_ms),
        topics if group.topics <= 1 else f"{topics} +{group.topics - 1}",
    )
    return Row(group.fingerprint, cells)


def record_row(record: RecordRow, now_ms: int) -> Row:
    """One row a record; what could not be read is `?`, what is not there is `–`."""
    word = state_word(record.state, record.err_class)
    key = "–" if record.key_preview is None else record.key_preview.decode("utf-8", "backslashreplace") or "(empty)"
    cells: tuple[str | Cell, ...] = (
        Cell(word, ROLES.get(word, "")),
        key,
        record.err_name,
        duration(max(now_ms - record.captured_at, 0) // 1000),
        Cell("perhaps", "warn") if record.maybe_persisted else "no",
        record.topic or "–",
        record.tenant_id or "?",
        size(record.size_bytes),
        str(record.attempts),
        record.event_id or "?",
        record.origin,
        record.id,
    )
    return Row(record.seq, cells)


class RecordSource:
    """The records of a filter, newest or oldest first, as they were when the list was opened.

    Each loaded row tells the store's number of its place, and a page starts beyond any such number in either direction;
    so moving is always a short step from a known place or from an end, however long the list is. Records that arrive
    later do not shift the list: they are seen when it is opened again.
    """

    def __init__(
        self, reader: DeadLetterReader, wanted: Filter, *, now_ms: int, order: Literal["newest", "oldest"] = "newest"
    ) -> None:
        self._reader = reader
        self._wanted = wanted
        self._now_ms = now_ms
        self.order: Literal["newest", "oldest"] = order
        self._rows: OrderedDict[int, tuple[RecordRow, Row]] = OrderedDict()
        self._lock = threading.Lock()
        self._places: list[tuple[int, int]] = []
        self._total: int | None = None
        self._exact = False

    @property
    def columns(self) -> tuple[Column, ...]:
        """The columns."""
        return RECORD_COLUMNS

    def total(self) -> Total:
        """Exact where the store's counters can tell, else what was seen so far and one more."""
        if self._total is None:
            return Total(0, "at least")
        return Total(self._total, "exact" if self._exact else "at least")

    def row(self, index: int) -> Row | None:
        """The row, if it is loaded."""
        found = self._rows.get(index)
        return None if found is None else found[1]

    def record(self, index: int) -> RecordRow | None:
        """What the row was made from."""
        found = self._rows.get(index)
        return None if found is None else found[0]

    def index_of(self, key: Hashable) -> int | None:
        """Among the loaded rows."""
        with self._lock:
            return next((index for index, (_, row) in self._rows.items() if row.key == key), None)

    def load(self, start: int, stop: int) -> None:
        """Bring these rows in from the nearest known place."""
        if self._total is None:
            self._first_page(max(stop, 1))
            return
        stop = min(stop, self._total) if self._exact else stop
        before = bisect_left(self._places, (start, -1)) - 1
        after = bisect_left(self._places, (stop, -1))
        base = self._places[before] if before >= 0 else None
        ahead = self._places[after] if after < len(self._places) else None
        steps_down = start - (base[0] if base else -1)
        steps_up = (ahead[0] - stop if ahead else self._total - stop) if ahead or self._exact else None
        if steps_up is not None and steps_up < steps_down:
            self._walk_up(ahead, start)
        else:
            self._walk_down(base, stop)

    def keys(self) -> Collection[Hashable]:
        """Every matching record of this moment."""
        return FrozenIds(self._reader.numbers(self._wanted))

    def _first_page(self, limit: int) -> None:
        page = self._reader.page(self._wanted, limit=min(limit, _CHUNK), order=self.order)
        self._keep(0, page.records)
        self._exact = page.total is not None or page.next is None
        self._total = len(page.records) + 1 if not self._exact else page.total or len(page.records)

    def _walk_down(self, base: tuple[int, int] | None, stop: int) -> None:
        index = base[0] + 1 if base else 0
        cursor = f"{self.order[0]}{base[1]}" if base else None
        while index < stop:
            page = self._reader.page(self._wanted, limit=min(stop - index, _CHUNK), cursor=cursor, order=self.order)
            self._keep(index, page.records)
            index += len(page.records)
            cursor = page.next
            if cursor is None:
                self._total, self._exact = index, True
                return
        if not self._exact:
            self._total = max(self._total or 0, index + 1)

    def _walk_up(self, ahead: tuple[int, int] | None, start: int) -> None:
        against: Literal["newest", "oldest"] = "oldest" if self.order == "newest" else "newest"
        index = ahead[0] if ahead else self._total or 0
        cursor = f"{against[0]}{ahead[1]}" if ahead else None
        while index > start:
            page = self._reader.page(self._wanted, limit=min(index - start, _CHUNK), cursor=cursor, order=against)
            index -= len(page.records)
            self._keep(index, tuple(reversed(page.records)))
            cursor = page.next
            if cursor is None:
                return

    def _keep(self, start: int, records: Sequence[RecordRow]) -> None:
        made = [(record, record_row(record, self._now_ms)) for record in records]
        with self._lock:
            for index, pair in enumerate(made, start):
                self._rows[index] = pair
                self._rows.move_to_end(index)
            while len(self._rows) > _KEPT:
                self._rows.popitem(last=False)
        for index in {start, start + len(records) - 1} if records else ():
            place = (index, records[index - start].seq)
            at = bisect_left(self._places, place)
            if self._places[at : at + 1] != [place]:
                self._places.insert(at, place)


class HeldSource:
    """Records that a plan holds back, each with its reason, in the plan's order."""

    def __init__(self, reader: DeadLetterReader, held: Mapping[int, str], *, now_ms: int) -> None:
        self._reader, self._held, self._now_ms = reader, held, now_ms
        self._seqs = tuple(held)
        self._rows: dict[int, tuple[RecordRow, Row]] = {}

    @property
    def columns(self) -> tuple[Column, ...]:
        """The reason, then as every list of records."""
        return (_WHY_HELD, *RECORD_COLUMNS)

    def total(self) -> Total:
        """Exact."""
        return Total(len(self._seqs))

    def row(self, index: int) -> Row | None:
        """The row, if it is loaded."""
        found = self._rows.get(index)
        return None if found is None else found[1]

    def record(self, index: int) -> RecordRow | None:
        """What the row was made from."""
        found = self._rows.get(index)
        return None if found is None else found[0]

    def index_of(self, key: Hashable) -> int | None:
        """Among the loaded rows."""
        return next((index for index, (_, row) in tuple(self._rows.items()) if row.key == key), None)

    def load(self, start: int, stop: int) -> None:
        """Bring these rows in; those of records that are gone by now stay empty."""
        part = range(start, min(stop, len(self._seqs)))
        found = {row.seq: row for row in self._reader.rows([self._seqs[index] for index in part])}
        made: dict[int, tuple[RecordRow, Row]] = {}
        for index in part:
            seq = self._seqs[index]
            if seq in found:
                row = record_row(found[seq], self._now_ms)
                made[index] = (found[seq], Row(row.key, (Cell(self._held[seq].replace("_", " "), "warn"), *row.cells)))
        self._rows = made

    def keys(self) -> Collection[Hashable]:
        """All of them."""
        return FrozenIds(sorted(self._seqs))
