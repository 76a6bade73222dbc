"""Full disks, read-only directories, damaged files, locked databases: nothing is silently gone."""

from __future__ import annotations

import os
import random
import resource
import stat
import subprocess
import sys
import threading
from pathlib import Path

import apsw
import pytest

from atom_console.dlq import database
from atom_console.dlq.check import check
from atom_console.dlq.errors import IntakeRefusedError, NotSavedError, StoreDamagedError, StoreUnavailableError
from atom_console.dlq.filters import Filter
from atom_console.dlq.health import HealthState
from atom_console.dlq.place import Place
from atom_console.dlq.store import Store
from atom_console.kafka.failure import JournalEntry
from tests.dlq.conftest import DlqLimits, dlq_event, dlq_failure, eventually

ROOT = Path(__file__).parents[2]


def _name(number: int) -> str:
    return f"00000000-0000-7000-8000-{number:012d}"


def _names(store: Store) -> set[str]:
    conn = database.open_reader(Place(store.directory).database)
    try:
        return {str(row[0]) for row in conn.execute("SELECT event_id FROM record")}
    finally:
        conn.close()


def _capture(store: Store, numbers: range, text: str = "x") -> None:
    for n in numbers:
        store.capture(dlq_failure(n, text=text))


def test_at_the_cap_intake_is_refused_and_accepted_events_are_saved(dlq_dir: Path) -> None:
    limits = DlqLimits(max_bytes=2 << 20)
    store = Store.open(dlq_dir, limits)
    sent = 0
    while store.health.accepting:
        _capture(store, range(sent, sent + 50), "x" * 2000)
        sent += 50
        store.flush()
        assert sent < 5000
    with pytest.raises(IntakeRefusedError, match="new events are refused") as refused:
        store.require_intake()
    assert "ATOM_DLQ_MAX_BYTES" in str(refused.value.next_step)
    with pytest.raises(IntakeRefusedError):
        store.append([JournalEntry("t", None, b"x", (), None)])
    _capture(store, range(sent, sent + 500), "x" * 2000)
    sent += 500
    store.flush()
    health = store.health
    assert health.state in {HealthState.SIZE_CAP, HealthState.SPILLING}
    assert health.spilled > 0
    assert not health.accepting
    assert health.used_bytes <= 2 << 20
    store.run(lambda conn: conn.execute("UPDATE record SET state = 'discarded' WHERE seq <= 500"))
    store.close()
    with Store.open(dlq_dir, DlqLimits()) as larger:
        assert _names(larger) == {_name(n) for n in range(sent)}
        assert larger.health.state is HealthState.OK


def test_room_comes_back_when_records_go(dlq_dir: Path) -> None:
    with Store.open(dlq_dir, DlqLimits(max_bytes=2 << 20, full_policy="block")) as store:
        sent = 0
        while store.health.accepting:
            _capture(store, range(sent, sent + 50), "x" * 2000)
            sent += 50
            store.flush()
        waiter_done = threading.Event()

        def wait() -> None:
            store.require_intake(20.0)
            waiter_done.set()

        thread = threading.Thread(target=wait)
        thread.start()
        assert not waiter_done.is_set()
        store.run(lambda conn: conn.execute("DELETE FROM record WHERE seq <= 400"))
        assert waiter_done.wait(10)
        thread.join()


def test_below_the_disk_floor_intake_is_refused(dlq_dir: Path) -> None:
    with Store.open(dlq_dir, DlqLimits(min_free_bytes=1 << 60)) as store:
        assert store.health.state is HealthState.LOW_DISK
        with pytest.raises(IntakeRefusedError, match="below the floor"):
            store.require_intake()
        _capture(store, range(10))
        store.flush()
        assert len(_names(store)) == 10


class _Breaking:
    """Stands between the writer and apsw: raises at BEGIN while `error` is set."""

    def __init__(self, conn: apsw.Connection) -> None:
        self._conn = conn
        self.error: apsw.Error | None = None

    def execute(self, statement: str, *rest: object) -> object:
        if self.error is not None and statement.startswith("BEGIN"):
            raise self.error
        return self._conn.execute(statement, *rest)  # type: ignore[arg-type]

    def __getattr__(self, name: str) -> object:
        return getattr(self._conn, name)


@pytest.fixture
def breaking(monkeypatch: pytest.MonkeyPatch) -> list[_Breaking]:
    made: list[_Breaking] = []
    real = database.open_writer

    def open_writer(*args: object, **more: object) -> _Breaking:
        if made and made[-1].error is not None:
            raise made[-1].error
        made.append(_Breaking(real(*args, **more)))  # type: ignore[arg-type]
        return made[-1]

    monkeypatch.setattr(database, "open_writer", open_writer)
    return made


@pytest.mark.parametrize("error", [apsw.IOError("disk I/O error"), apsw.FullError("full"), apsw.ReadOnlyError("ro")])
def test_when_sqlite_fails_the_spill_file_takes_over_and_is_imported(
    dlq_dir: Path, breaking: list[_Breaking], monkeypatch: pytest.MonkeyPatch, error: apsw.Error
) -> None:
    with Store.open(dlq_dir, DlqLimits()) as store:
        _capture(store, range(10))
        store.flush()
        breaking[-1].error = error
        _capture(store, range(10, 40))
        eventually(lambda: store.health.spilled >= 30)
        health = store.health
        assert health.state is HealthState.SPILLING
        assert health.unsaved == 0
        assert "spill files" in health.sentence
        with pytest.raises(StoreUnavailableError):
            store.append([JournalEntry("t", None, b"x", (), None)])
        _capture(store, range(40, 50))
        eventually(lambda: store.health.spilled >= 40)
        monkeypatch.setattr("atom_console.dlq.upkeep._LOOK_AT_SPOOL_S", 0.0)
        breaking[-1].error = None
        eventually(lambda: store.health.state is HealthState.OK)
        eventually(lambda: len(_names(store)) == 50)
        assert _names(store) == {_name(n) for n in range(50)}
        eventually(lambda: not list((dlq_dir / "spool").glob("*.spill")))


def test_when_everything_fails_events_stay_in_memory_and_it_is_said(
    dlq_dir: Path, breaking: list[_Breaking], monkeypatch: pytest.MonkeyPatch
) -> None:
    store = Store.open(dlq_dir, DlqLimits())

    def full(*args: object) -> int:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("atom_console.dlq.spill_file.os.pwrite", full)
        breaking[-1].error = apsw.FullError("full")
        _capture(store, range(30_000, 30_030))
        eventually(lambda: store.health.unsaved == 30)
        assert store.health.state is HealthState.FAILED
        assert "in memory only" in store.health.sentence
        with pytest.raises(IntakeRefusedError):
            store.require_intake(0.0)
        with pytest.raises(NotSavedError) as not_saved:
            store.flush()
        assert not_saved.value.unsaved == 30
        _capture(store, range(30_030, 30_040))  # never blocks, never raises
        eventually(lambda: store.health.unsaved == 40)
    eventually(lambda: store.health.unsaved == 0)
    breaking[-1].error = None
    store.close()
    with Store.open(dlq_dir, DlqLimits()) as again:
        assert _names(again) == {_name(n) for n in range(30_000, 30_040)}


def test_closing_with_nowhere_to_save_hands_the_events_back(
    dlq_dir: Path, breaking: list[_Breaking], monkeypatch: pytest.MonkeyPatch
) -> None:
    store = Store.open(dlq_dir, DlqLimits())

    def full(*args: object) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("atom_console.dlq.spill_file.os.pwrite", full)
    breaking[-1].error = apsw.IOError("gone")
    _capture(store, range(5))
    with pytest.raises(NotSavedError) as not_saved:
        store.close()
    assert not_saved.value.unsaved == 5
    assert {record.event_id for record in store.unsaved()} == {_name(n) for n in range(5)}


def test_a_record_that_cannot_be_stored_fails_alone(dlq_store: Store) -> None:
    import dataclasses

    odd = dataclasses.replace(dlq_failure(2), timestamp_ms=1 << 70)
    for failure in (dlq_failure(1), odd, dlq_failure(3)):
        dlq_store.capture(failure)
    dlq_store.flush()
    eventually(lambda: dlq_store.health.spilled == 1)
    assert _names(dlq_store) == {_name(1), _name(3)}
    assert dlq_store.health.state is HealthState.OK


def test_a_database_locked_for_too_long_spills(dlq_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(database, "BUSY_MS", 50)
    monkeypatch.setattr("atom_console.dlq.upkeep._LOOK_AT_SPOOL_S", 0.0)
    with Store.open(dlq_dir, DlqLimits()) as store:
        hog = apsw.Connection(str(Place(dlq_dir).database))
        hog.execute("BEGIN IMMEDIATE")
        _capture(store, range(20))
        eventually(lambda: store.health.spilled == 20)
        assert "locked by another process" in store.health.sentence
        hog.execute("COMMIT")
        hog.close()
        eventually(lambda: store.health.state is HealthState.OK)
        eventually(lambda: len(_names(store)) == 20)


@pytest.mark.skipif(os.geteuid() != 0, reason="drops root to meet a directory that it may not write")
def test_a_directory_without_permission_is_a_clear_error(tmp_path: Path) -> None:
    script = """
import os, sys
from pathlib import Path
from atom_console.dlq.errors import StoreUnavailableError
from atom_console.dlq.store import Store
os.chdir(sys.argv[1])
os.seteuid(65534)
try:
    Store.open(Path("locked/dlq"))
except StoreUnavailableError as error:
    print(error, "|", error.next_step)
"""
    (tmp_path / "locked").mkdir(mode=0o555)
    out = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path)], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert "Permission denied" in out.stdout, out.stderr
    assert "ATOM_DLQ_DIR" in out.stdout


@pytest.mark.skipif(os.geteuid() != 0, reason="mounts a small tmpfs")
def test_a_filesystem_that_turns_read_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("atom_console.dlq.upkeep._LOOK_AT_SPOOL_S", 0.0)
    mount = tmp_path / "ro"
    mount.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=30m", "tmpfs", str(mount)], check=False).returncode:
        pytest.skip("no permission to mount")
    try:
        Store.open(mount / "dlq", DlqLimits()).close()
        subprocess.run(["mount", "-o", "remount,ro", str(mount)], check=True)
        with pytest.raises(StoreUnavailableError, match="Read-only file system"):
            Store.open(mount / "dlq", DlqLimits())
        subprocess.run(["mount", "-o", "remount,rw", str(mount)], check=True)
        Store.open(mount / "dlq", DlqLimits()).close()
    finally:
        subprocess.run(["umount", "-l", str(mount)], check=False)


@pytest.mark.skipif(os.geteuid() != 0, reason="mounts a small tmpfs")
def test_a_full_disk_refuses_or_keeps_and_nothing_is_gone(tmp_path: Path) -> None:
    mount = tmp_path / "small"
    mount.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=3m", "tmpfs", str(mount)], check=False).returncode:
        pytest.skip("no permission to mount")
    try:
        store = Store.open(mount / "dlq", DlqLimits())
        sent = 0
        while store.health.state is HealthState.OK and sent < 20_000:
            _capture(store, range(sent, sent + 20), "x" * 3000)
            sent += 20
            try:
                store.flush()
            except NotSavedError:
                break
        eventually(lambda: store.health.state is not HealthState.OK)
        _capture(store, range(sent, sent + 20), "x" * 3000)
        sent += 20
        with pytest.raises(IntakeRefusedError):
            eventually(lambda: store.require_intake(0.0), deadline_s=5)
        subprocess.run(["mount", "-o", "remount,size=64m", str(mount)], check=True)
        eventually(lambda: store.health.unsaved == 0)
        store.close()
        with Store.open(mount / "dlq", DlqLimits()) as again:
            assert again.salvage is None
            eventually(lambda: len(_names(again)) == sent)
            assert _names(again) == {_name(n) for n in range(sent)}
    finally:
        subprocess.run(["umount", "-l", str(mount)], check=False)


def test_a_file_size_limit_is_survived(dlq_dir: Path) -> None:
    """RLIMIT_FSIZE in a child: SQLite gets I/O errors, then the spill file, then nothing can be written."""
    script = f"""
import resource, signal, sys
from pathlib import Path
from atom_console.dlq.errors import NotSavedError
from atom_console.dlq.store import Store
from tests.dlq.conftest import DlqLimits, dlq_failure
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
store = Store.open(Path({str(dlq_dir)!r}), DlqLimits())
resource.setrlimit(resource.RLIMIT_FSIZE, (1_500_000, resource.RLIM_INFINITY))
for n in range(1000):
    store.capture(dlq_failure(n, text="x" * 3000))
try:
    store.flush()
    print("flushed")
except NotSavedError as error:
    print("unsaved", error.unsaved, store.health.state.value, store.health.accepting)
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
store.close()
print("closed")
"""
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.stdout.splitlines()[-1:] == ["closed"], done.stderr
    assert "unsaved" in done.stdout
    assert "failed False" in done.stdout
    with Store.open(dlq_dir, DlqLimits()) as store:
        assert _names(store) == {_name(n) for n in range(1000)}


def _damage(path: Path, seed: int, *, first: int, count: int) -> None:
    dice = random.Random(seed)
    data = bytearray(path.read_bytes())
    for _ in range(count):
        data[dice.randrange(first, len(data))] ^= 0xFF
    path.write_bytes(data)


@pytest.mark.parametrize("seed", range(4))
def test_a_damaged_database_is_put_aside_and_salvaged(dlq_dir: Path, seed: int) -> None:
    with Store.open(dlq_dir, DlqLimits()) as store:
        _capture(store, range(2000))
        store.flush()
        store.append([JournalEntry("t", b"k", dlq_event(n), (), None) for n in range(9000, 9010)])
    path = Place(dlq_dir).database
    assert not path.with_name("dlq.sqlite3-wal").exists()
    _damage(path, seed, first=8192, count=20)
    (dlq_dir / "suspect").write_text("as if damage had been met")
    with Store.open(dlq_dir, DlqLimits()) as store:
        report = store.salvage
        if report is None:
            pytest.skip("the damage hit nothing that quick_check sees")
        assert report.kept_at.exists()
        assert stat.S_IMODE(report.kept_at.stat().st_mode) == 0o600
        assert report.records + report.payload_only > 1500
        assert str(report.records) in report.sentence()
        assert not (dlq_dir / "suspect").exists()
        _capture(store, range(5000, 5010))
        store.flush()
        assert {_name(n) for n in range(5000, 5010)} <= _names(store)
        outcome = check(database.open_reader(path))
        assert outcome.ok, outcome.findings
    with Store.open(dlq_dir, DlqLimits()) as store:
        assert store.salvage is None


def test_no_database_at_all_is_started_again(dlq_dir: Path) -> None:
    with Store.open(dlq_dir, DlqLimits()) as store:
        _capture(store, range(10))
        store.flush()
    Place(dlq_dir).database.write_bytes(b"this is no database, but it is long enough to be taken for one" * 200)
    with Store.open(dlq_dir, DlqLimits()) as store:
        assert store.salvage is not None
        assert store.salvage.records == 0
        _capture(store, range(3))
        store.flush()
        assert len(_names(store)) == 3


def test_salvage_keeps_states_audit_and_groups(dlq_dir: Path) -> None:
    with Store.open(dlq_dir, DlqLimits()) as store:
        _capture(store, range(300))
        store.flush()
        store.run(lambda conn: conn.execute("UPDATE record SET state = 'discarded' WHERE seq <= 10"))
        before = store.reader()
        groups = before.groups()
        before.close()
        store.run(
            lambda conn: conn.execute("DROP TRIGGER payload_immutable; UPDATE payload SET value = x'00' WHERE seq = 20")
        )
    conn = apsw.Connection(str(Place(dlq_dir).database))
    conn.execute("PRAGMA writable_schema = ON; UPDATE sqlite_schema SET rootpage = 2 WHERE name = 'record_bucket'")
    conn.close()
    (dlq_dir / "suspect").write_text("x")
    with Store.open(dlq_dir, DlqLimits()) as store:
        assert store.salvage is not None
        assert (store.salvage.records, store.salvage.refused, store.salvage.payload_only) == (299, 1, 0)
        assert store.salvage.audit_whole
        reader = store.reader()
        assert reader.stats().by_state == {"discarded": 10, "ready": 289}
        assert [group.fingerprint for group in reader.groups()] == [group.fingerprint for group in groups]
        actions = store.run(lambda conn: [row[0] for row in conn.execute("SELECT action FROM audit ORDER BY seq")])
        assert actions[-1] == "salvage"
        reader.close()


def test_a_damaged_file_that_another_process_uses_is_named(dlq_dir: Path) -> None:
    with Store.open(dlq_dir, DlqLimits()) as store:
        _capture(store, range(300))
        store.flush()
    with Store.open(dlq_dir, DlqLimits()) as holder:
        path = Place(dlq_dir).database
        original = path.read_bytes()
        _damage(path, 1, first=8192, count=3000)
        with pytest.raises(StoreDamagedError, match="another process"):
            Store.open(dlq_dir, DlqLimits())
        assert (dlq_dir / "suspect").exists()
        path.write_bytes(original)
        assert holder.health.accepting


def test_damage_met_while_running_is_salvaged_in_place(dlq_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("atom_console.dlq.upkeep._LOOK_AT_SPOOL_S", 0.0)
    with Store.open(dlq_dir, DlqLimits()) as store:
        _capture(store, range(3000))
        store.flush()
        store.run(lambda conn: conn.execute("SELECT 1"))
    store = Store.open(dlq_dir, DlqLimits())
    path = Place(dlq_dir).database
    with path.open("r+b") as file:
        file.seek(8192)
        file.write(os.urandom(path.stat().st_size - 8192))
    store.run(lambda conn: conn.execute("PRAGMA shrink_memory"))  # what is in the cache would hide it
    reader = store.reader()
    for n in range(5000, 5040):
        store.capture(dlq_failure(n, tenant=f"other-{n}"))
    eventually(lambda: store.health.queued == 0)
    eventually(lambda: list(dlq_dir.glob("*.bad-*")))
    eventually(lambda: store.health.state is HealthState.OK)
    eventually(lambda: {_name(n) for n in range(5000, 5040)} <= _names(store))
    assert reader.page(Filter(tenants=("other-5001",))).total == 1
    reader.close()
    store.close()


def test_resource_limits_are_as_before() -> None:
    assert resource.getrlimit(resource.RLIMIT_FSIZE)[0] == resource.RLIM_INFINITY
