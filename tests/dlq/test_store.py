"""Capture, pages, groups, statistics, transitions and counters of one store."""

from __future__ import annotations

import os
import stat
import threading
from pathlib import Path

import apsw
import pytest

from atom_console.dlq import audit, database
from atom_console.dlq.check import check
from atom_console.dlq.errors import (
    FilterError,
    IllegalTransitionError,
    StaleRecordError,
    StoreUnavailableError,
    StoreVersionError,
)
from atom_console.dlq.filters import Filter
from atom_console.dlq.place import Place, network_filesystem
from atom_console.dlq.reader import Reader
from atom_console.dlq.record import State
from atom_console.dlq.states import Change, pack_seqs, transition
from atom_console.dlq.store import Store
from tests.dlq.conftest import DlqLimits, dlq_event, dlq_failure, eventually


def _fill(store: Store) -> None:
    """120 records: 60 outages of 3 tenants, 30 without permission, 20 too large, 10 inputs that were no events."""
    for n in range(60):
        store.capture(dlq_failure(n, tenant=f"tenant-{n % 3}"))
    for n in range(60, 90):
        store.capture(dlq_failure(n, code=29, topic="atom.calc.trigger"))
    for n in range(90, 110):
        store.capture(dlq_failure(n, code=10, tenant="tenant-9"))
    for n in range(110, 120):
        store.capture(dlq_failure(n, code=-161, stage="encode", value=b'{"bad": %d' % n, message=f"line {n}: not JSON"))
    store.flush()


def test_a_captured_event_is_kept_byte_for_byte(dlq_store: Store) -> None:
    value = dlq_event(7, "tenant-é")
    failure = dlq_failure(7, tenant="tenant-é", value=value)
    dlq_store.capture(failure)
    dlq_store.flush()
    with_reader = dlq_store.reader()
    (row,) = with_reader.page().records
    detail = with_reader.record(row.id)
    with_reader.close()
    assert detail is not None
    assert (detail.current.key, detail.current.value, detail.current.headers) == (failure.key, value, failure.headers)
    assert (row.state, row.err_class, row.err_name, row.err_code) == ("ready", "outage", "_MSG_TIMED_OUT", -192)
    assert (row.tenant_id, row.event_id, row.event_type) == ("tenant-é", "00000000-0000-7000-8000-000000000007", 1)
    assert row.maybe_persisted
    assert detail.orig_timestamp == 1_790_000_000_007
    assert detail.event_ts == 1_790_000_000_000_000_007
    assert detail.err_message == failure.message
    assert [entry.action for entry in detail.audit] == ["capture"]
    assert row.state_reason


@pytest.mark.parametrize("value", [None, b"", b"\x00", os.urandom(300), b"{}"])
def test_whatever_the_payload_is_it_is_kept(dlq_store: Store, value: bytes | None) -> None:
    failure = dlq_failure(1, value=None)
    import dataclasses

    failure = dataclasses.replace(failure, value=value, key=None, headers=(("h", None), ("h", b"")))
    dlq_store.capture(failure)
    dlq_store.flush()
    reader = dlq_store.reader()
    detail = reader.record(reader.page().records[0].id)
    reader.close()
    assert detail is not None
    assert (detail.current.key, detail.current.value, detail.current.headers) == (None, value, failure.headers)
    assert detail.row.tenant_id is None
    assert detail.payload_kind == ("tombstone" if value is None else "full")


def test_classes_choose_the_first_state(dlq_store: Store) -> None:
    _fill(dlq_store)
    reader = dlq_store.reader()
    stats = reader.stats()
    assert stats.by_state == {"ready": 60, "quarantined": 60}
    assert stats.by_class == {"outage": 60, "config": 30, "poison": 30}
    assert stats.total == stats.depth == 120
    assert stats.bytes > 0
    assert stats.oldest_at is not None
    assert stats.growth_per_s > 0
    reader.close()


def test_groups_tell_what_how_much_and_whose(dlq_store: Store) -> None:
    _fill(dlq_store)
    reader = dlq_store.reader()
    groups = reader.groups()
    assert [(g.count, g.err_class, g.tenants, g.topic) for g in groups] == [
        (60, "outage", 3, "atom.write.raw"),
        (30, "config", 1, "atom.calc.trigger"),
        (20, "poison", 1, "atom.write.raw"),
        (10, "poison", 1, "atom.write.raw"),
    ]
    assert groups[3].label == "line <n>: not JSON · atom.write.raw"
    assert sum(g.bytes for g in groups) == reader.stats().bytes
    assert reader.group_tenants(groups[0].fingerprint) == [("tenant-0", 20), ("tenant-1", 20), ("tenant-2", 20)]
    assert sum(sum(counts) for counts in reader.trend().values()) == 120
    by_key = reader.groups(Filter(keys=(b"tenant-9",)))
    assert [(g.count, g.states) for g in by_key] == [(20, {"quarantined": 20})]
    assert reader.groups(Filter(keys=(b"nobody",))) == ()
    reader.close()


FILTERS = [
    (Filter(), 120),
    (Filter(states=("ready",)), 60),
    (Filter(states=("ready", "quarantined")), 120),
    (Filter(classes=("config",)), 30),
    (Filter(codes=("29",)), 30),
    (Filter(codes=("-192", "MSG_SIZE_TOO_LARGE")), 80),
    (Filter(topics=("atom.calc.trigger",)), 30),
    (Filter(tenants=("tenant-0",)), 20),
    (Filter(tenants=("tenant-0",), topics=("atom.calc.trigger",)), 0),
    (Filter(keys=(b"tenant-2",)), 20),
    (Filter(keys=(b"tenant-2", b"tenant-0")), 40),
    (Filter(keys=(b"tenant-2",), states=("quarantined",)), 0),
    (Filter(origins=("local",)), 120),
    (Filter(origins=("spring",)), 0),
    (Filter(dlq_topics=("x",)), 0),
    (Filter(event_ids=("00000000-0000-7000-8000-000000000005",)), 1),
    (Filter(event_ids=("00000000-0000-7000-8000-000000000005",), classes=("config",)), 0),
    (Filter(since=0), 120),
    (Filter(until=1), 0),
    (Filter(since=0, until=1 << 50, classes=("poison",)), 30),
]


@pytest.mark.parametrize("indexed", [True, False])
def test_every_filter_pages_both_ways(dlq_store: Store, indexed: bool) -> None:
    _fill(dlq_store)
    reader = dlq_store.reader()
    if indexed:
        eventually(
            lambda: dlq_store.run(lambda c: c.execute("SELECT value FROM meta WHERE name='lookup_through'").get) == 120
        )
    else:
        dlq_store.run(
            lambda c: c.execute("DELETE FROM lookup; UPDATE meta SET value = 0 WHERE name = 'lookup_through'")
        )
    for wanted, count in FILTERS:
        newest = _walk(reader, wanted, "newest")
        assert len(newest) == count, wanted
        assert newest == sorted(newest, reverse=True)
        assert _walk(reader, wanted, "oldest") == newest[::-1]
        assert [seq for seq, _ in reader.matching(wanted)] == newest[::-1]
        total = reader.page(wanted).total
        assert total in {None, count}
        assert sum(group.count for group in reader.groups(wanted)) == count
    reader.close()


def _walk(reader: Reader, wanted: Filter, order: str) -> list[int]:
    seqs: list[int] = []
    cursor = None
    while True:
        page = reader.page(wanted, limit=7, cursor=cursor, order=order)
        seqs += [row.seq for row in page.records]
        cursor = page.next
        if cursor is None:
            return seqs


def test_by_id_and_group(dlq_store: Store) -> None:
    _fill(dlq_store)
    reader = dlq_store.reader()
    rows = reader.page().records
    some = (rows[3].id, rows[40].id)
    assert [row.id for row in reader.page(Filter(ids=some)).records] == list(some)
    group = reader.groups()[1]
    for mark in (group.fingerprint, group.fingerprint[:8]):
        assert reader.page(Filter(groups=(mark,))).total == 30
    assert reader.record("00000000-0000-7000-8000-000000000000") is None
    reader.close()


def test_many_buckets_take_the_other_ways(dlq_store: Store) -> None:
    for n in range(300):
        dlq_store.capture(dlq_failure(n, tenant=f"t{n % 150}"))
    dlq_store.flush()
    reader = dlq_store.reader()
    for wanted in (Filter(classes=("outage",)), Filter(states=("ready",)), Filter(since=1, classes=("outage",))):
        newest = _walk(reader, wanted, "newest")
        assert newest == list(range(300, 0, -1))
    import atom_console.dlq.walk as walk

    before, walk._FEW_RECORDS = walk._FEW_RECORDS, 10
    try:
        assert _walk(reader, Filter(classes=("outage",)), "oldest") == list(range(1, 301))
    finally:
        walk._FEW_RECORDS = before
    reader.close()


@pytest.mark.parametrize(
    "wanted",
    [
        Filter(ids=("nonsense",)),
        Filter(states=("broken",)),
        Filter(origins=("mars",)),
        Filter(groups=("xyz",)),
        Filter(groups=("abc",)),
        Filter(since=2, until=2),
    ],
)
def test_filters_that_cannot_be_meant_are_refused(dlq_store: Store, wanted: Filter) -> None:
    reader = dlq_store.reader()
    with pytest.raises(FilterError):
        reader.page(wanted)
    reader.close()


def test_cursor_and_limit_are_checked(dlq_store: Store) -> None:
    reader = dlq_store.reader()
    for cursor in ("", "n", "o5", "nx", "n-1"):
        with pytest.raises(FilterError):
            reader.page(cursor=cursor)
    with pytest.raises(FilterError):
        reader.page(limit=0)
    with pytest.raises(FilterError):
        Filter().require_something(everything=False)
    Filter().require_something(everything=True)
    reader.close()


def _change(store: Store, seqs: list[int], to: State, **more: object) -> int:
    def work(conn: apsw.Connection) -> int:
        changes = [Change(seq, conn.execute("SELECT version FROM record WHERE seq=?", (seq,)).get) for seq in seqs]
        return transition(conn, changes, to, reason="a test", actor=audit.present_actor(), now_ms=5, **more)

    return store.run(work)


def test_transitions_keep_counters_and_audit(dlq_store: Store) -> None:
    _fill(dlq_store)
    reader = dlq_store.reader()
    assert _change(dlq_store, list(range(61, 71)), State.READY) == 10
    assert _change(dlq_store, [1, 2, 3], State.DISCARDED) == 3
    assert reader.stats().by_state == {"ready": 67, "quarantined": 50, "discarded": 3}
    assert reader.stats().depth == 117
    detail = reader.record(reader.page(Filter(states=("discarded",))).records[0].id)
    assert detail is not None
    assert [entry.action for entry in detail.audit] == ["capture", "transition"]
    assert (detail.row.state_reason, detail.row.version) == ("a test", 2)
    groups = {group.err_class: group for group in reader.groups()}
    assert groups["config"].states == {"ready": 10, "quarantined": 20}
    assert groups["outage"].tenants == 3
    dlq_store.run(lambda conn: conn.execute("DELETE FROM record WHERE seq <= 20"))
    assert reader.stats().total == 100
    report = check(database.open_reader(Place(dlq_store.directory).database))
    assert report.ok, report.findings
    assert (report.records, report.payloads) == (100, 100)
    reader.close()


def test_illegal_and_stale_transitions_change_nothing(dlq_store: Store) -> None:
    _fill(dlq_store)
    reader = dlq_store.reader()
    before = reader.stats()
    with pytest.raises(IllegalTransitionError, match="cannot become replaying"):
        _change(dlq_store, [1, 61], State.REPLAYING)
    with pytest.raises(IllegalTransitionError, match="not in the store"):
        _change(dlq_store, [999], State.READY)
    with pytest.raises(StaleRecordError):
        dlq_store.run(
            lambda conn: transition(
                conn, [Change(1, 1), Change(2, 9)], State.DISCARDED, reason="r", actor=audit.present_actor(), now_ms=1
            )
        )
    with pytest.raises(IllegalTransitionError, match="reason"):
        dlq_store.run(
            lambda conn: transition(
                conn, [Change(1, 1)], State.DISCARDED, reason=" ", actor=audit.present_actor(), now_ms=1
            )
        )
    assert reader.stats().by_state == before.by_state
    reader.close()


def test_an_open_window_holds_its_records(dlq_store: Store) -> None:
    _fill(dlq_store)

    def window(conn: apsw.Connection) -> None:
        conn.execute(
            "INSERT INTO run (id, name, state, filter, options, plan, created_at, created_by)"
            " VALUES (1, '8f2c', 'running', '{}', '{}', '{}', 1, 'x')"
        )
        conn.execute(
            "INSERT INTO replay_window (id, run_id, number, fencing, seqs, lows, topic_ids, opened_at)"
            " VALUES (1, 1, 1, 1, ?, '{}', '{}', 1)",
            (pack_seqs([1, 2]),),
        )

    dlq_store.run(window)
    with pytest.raises(IllegalTransitionError, match="replay run 1"):
        _change(dlq_store, [2], State.DISCARDED)
    assert _change(dlq_store, [3], State.DISCARDED) == 1
    assert _change(dlq_store, [2], State.REPLAYED, window_id=1) == 1


def test_payloads_and_audit_cannot_be_changed(dlq_store: Store) -> None:
    _fill(dlq_store)
    forged = (
        "INSERT INTO audit SELECT seq + 5, at, os_user, sudo_user, ssh_client, host, pid, action, subject, records,"
        " first_seq, last_seq, before_sha, after_sha, reason, prev_hash, hash FROM audit LIMIT 1"
    )
    for statement in (
        "UPDATE payload SET value = x'00' WHERE seq = 1",
        "UPDATE audit SET reason = 'x'",
        "DELETE FROM audit",
        "DELETE FROM audit_record WHERE 1 = (SELECT 1 FROM audit LIMIT 1) OR audit_seq = 1",
        forged,
    ):
        if statement.startswith("DELETE FROM audit_record"):
            _change(dlq_store, [1], State.DISCARDED)
        with pytest.raises(apsw.ConstraintError):
            dlq_store.run(lambda conn, text=statement: conn.execute(text).fetchall())


@pytest.mark.parametrize(
    ("damage", "bad"),
    [
        ("UPDATE audit SET reason = 'nothing' WHERE seq = 2", 2),
        ("UPDATE audit SET hash = zeroblob(32) WHERE seq = 2", 2),
        ("DELETE FROM audit WHERE seq = 2", 2),
        ("UPDATE audit SET seq = 99 WHERE seq = 3; UPDATE audit SET seq = 3 WHERE seq = 4", 3),
    ],
)
def test_tampering_with_the_audit_is_named(dlq_store: Store, damage: str, bad: int) -> None:
    for n in range(5):
        dlq_store.capture(dlq_failure(n))
        dlq_store.flush()
    path = Place(dlq_store.directory).database
    conn = apsw.Connection(str(path))
    assert audit.verify(conn).ok
    conn.execute("DROP TRIGGER audit_no_update; DROP TRIGGER audit_no_delete")
    conn.execute(damage)
    report = audit.verify(conn)
    conn.close()
    assert (report.ok, report.first_bad) == (False, bad)


def test_check_finds_wrong_counters_and_payloads(dlq_store: Store) -> None:
    _fill(dlq_store)
    path = Place(dlq_store.directory).database
    conn = apsw.Connection(str(path))
    conn.set_busy_timeout(2000)
    conn.execute(
        "DROP TRIGGER payload_immutable; UPDATE payload SET value = x'01' WHERE seq = 5; UPDATE tally SET n = n + 1"
    )
    conn.execute("DELETE FROM payload WHERE seq = 6")
    report = check(conn)
    conn.close()
    assert {finding.part for finding in report.findings} == {"counters", "records", "payloads"}
    from atom_console.dlq.check import repair_counters

    dlq_store.run(repair_counters)
    left = check(database.open_reader(path))
    assert {finding.part for finding in left.findings} == {"records", "payloads"}


def test_files_are_private_whatever_the_umask(dlq_dir: Path) -> None:
    before = os.umask(0)
    try:
        with Store.open(dlq_dir, DlqLimits()) as store:
            store.capture(dlq_failure(1))
            store.flush()
            modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in dlq_dir.iterdir()}
    finally:
        os.umask(before)
    assert stat.S_IMODE(dlq_dir.stat().st_mode) == 0o700
    assert {"dlq.sqlite3", "dlq.sqlite3-wal", "dlq.sqlite3-shm"} <= modes.keys()
    for name, mode in modes.items():
        assert mode == (0o700 if (dlq_dir / name).is_dir() else 0o600), name


def test_pragmas(dlq_store: Store) -> None:
    def read(conn: apsw.Connection) -> list[object]:
        names = ("journal_mode", "synchronous", "auto_vacuum", "foreign_keys", "page_size", "user_version")
        return [conn.execute(f"PRAGMA {name}").get for name in names]

    assert dlq_store.run(read) == ["wal", 1, 2, 1, 8192, len(database.MIGRATIONS)]
    full = Store.open(dlq_store.directory.parent / "full", DlqLimits(sync="FULL"))
    assert full.run(lambda conn: conn.execute("PRAGMA synchronous").get) == 2
    full.close()


def test_migrations_are_whole_or_not_there(tmp_path: Path) -> None:
    path = tmp_path / "m.db"
    path.touch()
    conn = database.open_writer(path, sync="NORMAL", max_bytes=1 << 30)
    broken = (*database.MIGRATIONS, "CREATE TABLE extra (a); INSERT INTO no_such_table VALUES (1)")
    with pytest.raises(apsw.SQLError):
        database.migrate(conn, broken)
    assert database.version(conn) == 1
    assert conn.execute("SELECT count(*) FROM sqlite_schema WHERE name = 'extra'").get == 0
    assert database.migrate(conn, (*database.MIGRATIONS, "CREATE TABLE extra (a)")) == 2
    conn.close()
    with pytest.raises(StoreVersionError):
        database.open_writer(path, sync="NORMAL", max_bytes=1 << 30)
    with pytest.raises(StoreVersionError):
        database.open_reader(path)


def test_a_network_filesystem_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    mounts = (
        "36 35 98:0 / / rw - ext4 /dev/root rw\n"
        f"40 36 0:40 / {str(tmp_path).replace(' ', chr(92) + '040')} rw - nfs4 server:/export rw\n"
    )
    assert network_filesystem(tmp_path, mounts) == "nfs4"
    assert network_filesystem(Path("/"), mounts) is None
    assert network_filesystem(tmp_path, "nonsense\n\n1 2 - x\n") is None
    monkeypatch.setattr("atom_console.dlq.place.network_filesystem", lambda path: "nfs4")
    with pytest.raises(StoreUnavailableError, match="network filesystem"):
        Store.open(tmp_path / "x", DlqLimits())


def test_readers_see_changes_and_missing_stores_are_empty(dlq_dir: Path) -> None:
    reader = Reader(dlq_dir)
    assert reader.page().records == ()
    assert reader.stats().total == 0
    with Store.open(dlq_dir, DlqLimits()) as store:
        before = reader.change_counter()
        store.capture(dlq_failure(1))
        store.flush()
        assert reader.change_counter() != before
        assert reader.page().total == 1
        seen: list[int | None] = []
        thread = threading.Thread(target=lambda: seen.append(reader.page().total))
        thread.start()
        thread.join()
        assert seen == [1]
    reader.close()


def test_a_closed_store_still_saves(dlq_dir: Path) -> None:
    store = Store.open(dlq_dir, DlqLimits())
    store.close()
    store.capture(dlq_failure(3))
    with pytest.raises(StoreUnavailableError):
        store.run(lambda conn: None)
    assert not store.health.accepting
    with Store.open(dlq_dir, DlqLimits()) as again:
        assert again.imported[0].added == 1
        reader = again.reader()
        assert reader.page().records[0].event_id == "00000000-0000-7000-8000-000000000003"
        reader.close()


def test_cluster_is_recorded(dlq_store: Store) -> None:
    dlq_store.set_cluster("cluster-1")
    dlq_store.capture(dlq_failure(1))
    dlq_store.flush()
    reader = dlq_store.reader()
    detail = reader.record(reader.page().records[0].id)
    reader.close()
    assert detail is not None
    assert detail.cluster_id == "cluster-1"


def test_odd_text_is_stored(dlq_store: Store) -> None:
    dlq_store.capture(dlq_failure(1, topic="t\udcff", message="bad \ud800 \x00 byte"))
    dlq_store.flush()
    assert dlq_store.health.spilled == 0
    reader = dlq_store.reader()
    row = reader.page().records[0]
    reader.close()
    assert row.topic == "t\\udcff"


def test_a_reader_that_came_while_the_store_was_being_made_sees_what_comes(dlq_dir: Path) -> None:
    place = Place(dlq_dir)
    dlq_dir.mkdir(parents=True, exist_ok=True)
    place.create_database()
    half = apsw.Connection(str(place.database))
    half.execute("PRAGMA journal_mode = WAL")
    half.close()
    assert place.database.stat().st_size > 0
    reader = Reader(dlq_dir)
    assert reader.stats().depth == 0
    with Store.open(dlq_dir, component="test") as store:
        store.capture(dlq_failure(1))
        store.flush()
        assert reader.stats().depth == 1
    reader.close()


def test_closing_a_reader_waits_for_the_reads_of_other_threads(dlq_store: Store) -> None:
    _fill(dlq_store)
    reader = dlq_store.reader()
    reading, go_on = threading.Event(), threading.Event()

    def read() -> None:
        with reader._reading():
            reading.set()
            go_on.wait(10)

    thread, closer = threading.Thread(target=read), threading.Thread(target=reader.close)
    thread.start()
    assert reading.wait(10)
    closer.start()
    closer.join(0.1)
    assert closer.is_alive()
    go_on.set()
    closer.join(10)
    thread.join(10)
    assert not closer.is_alive()
