"""Kills, several processes at once, and what a dead process leaves behind."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from atom_console.dlq import database
from atom_console.dlq.check import check
from atom_console.dlq.filters import Filter
from atom_console.dlq.place import Place
from atom_console.dlq.store import Store
from atom_console.kafka.failure import JournalEntry
from tests.dlq.conftest import DlqLimits, dlq_event, dlq_failure, eventually

ROOT = Path(__file__).parents[2]


def _child(directory: Path, mode: str, first: int, count: int = 0, padding: int = 1) -> subprocess.Popen[str]:
    command = [
        sys.executable,
        "-m",
        "tests.dlq.capturing_child",
        str(directory),
        mode,
        str(first),
        str(count),
        str(padding),
    ]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)


def _kill_after_first_commit(child: subprocess.Popen[str], delay_s: float) -> int:
    """SIGKILL `delay_s` after the first commit; up to which number everything was reported safe."""
    assert child.stdout is not None
    safe = int(child.stdout.readline())
    time.sleep(delay_s)
    child.send_signal(signal.SIGKILL)
    for line in child.stdout:
        if line.endswith("\n"):
            safe = int(line)
    child.wait()
    child.stdout.close()
    return safe


def _events(store: Store) -> list[str]:
    rows = store.run(lambda conn: conn.execute("SELECT event_id FROM record").fetchall())
    return [str(row[0]) for row in rows]


def _name(number: int) -> str:
    return f"00000000-0000-7000-8000-{number:012d}"


@pytest.mark.crash
def test_kill_9_loses_no_captured_record(dlq_dir: Path) -> None:
    dice = random.Random(9)
    promised: list[range] = []
    for turn in range(8):
        first = turn * 1_000_000
        promised.append(
            range(first, _kill_after_first_commit(_child(dlq_dir, "capture", first), dice.uniform(0, 0.25)))
        )
    with Store.open(dlq_dir, DlqLimits()) as store:
        assert store.salvage is None
        found = _events(store)
        assert {_name(n) for span in promised for n in span} <= set(found)
        assert len(found) == len(set(found))
    conn = database.open_reader(Place(dlq_dir).database)
    report = check(conn)
    conn.close()
    assert report.ok, report.findings


@pytest.mark.crash
def test_kill_9_loses_no_journalled_event(dlq_dir: Path) -> None:
    dice = random.Random(10)
    promised: list[range] = []
    for turn in range(4):
        first = turn * 1_000_000
        promised.append(range(first, _kill_after_first_commit(_child(dlq_dir, "journal", first), dice.uniform(0, 0.2))))
    with Store.open(dlq_dir, DlqLimits()) as store:
        found = _events(store)
        assert {_name(n) for span in promised for n in span} <= set(found)
        assert len(found) == len(set(found))
        reader = store.reader()
        row = reader.page(limit=1).records[0]
        detail = reader.record(row.id)
        stats = reader.stats()
        reader.close()
        assert detail is not None
        assert (row.err_class, row.state, row.maybe_persisted) == ("shutdown", "ready", True)
        assert row.state_reason == "the producing process died; the broker may have it"
        assert detail.current.headers == (("h", None),)
        assert stats.journal == 0
        assert list((dlq_dir / "owners").iterdir()) == [store._owner.path]


def test_a_living_owner_is_left_alone(dlq_dir: Path) -> None:
    with Store.open(dlq_dir, DlqLimits()) as first:
        ids = first.append([JournalEntry("t", b"k", dlq_event(n), (), None) for n in range(5)])
        with Store.open(dlq_dir, DlqLimits()) as second:
            assert second.recovered == 0
            reader = second.reader()
            assert reader.stats().journal == 5
            first.acknowledge(ids)
            eventually(lambda: reader.stats().journal == 0)
            reader.close()


def test_what_is_left_at_the_close_is_recovered(dlq_dir: Path) -> None:
    with Store.open(dlq_dir, DlqLimits()) as store:
        ids = store.append([JournalEntry("t", None, dlq_event(n), (), 5) for n in range(700)])
        assert list(ids) == list(range(1, 701))
        store.acknowledge(ids[:100])
    with Store.open(dlq_dir, DlqLimits()) as store:
        assert store.recovered == 600
        assert store.append([JournalEntry("t", None, b"", (), None)])[0] == 701


def test_a_failure_takes_its_journal_row_along(dlq_store: Store) -> None:
    ids = dlq_store.append([JournalEntry("t", None, dlq_event(n), (), None) for n in range(3)])
    dlq_store.capture(dlq_failure(1, journal_id=ids[1]))
    dlq_store.flush()
    reader = dlq_store.reader()
    assert (reader.stats().journal, reader.stats().total) == (2, 1)
    reader.close()


def test_a_journalled_failure_is_one_record_whichever_way_it_comes(dlq_dir: Path) -> None:
    """It went to a spill file, and the process died before its journal row was deleted."""
    from atom_console.dlq.normalise import from_failure
    from atom_console.dlq.spill_file import write_file

    with Store.open(dlq_dir, DlqLimits()) as store:
        (number,) = store.append([JournalEntry("t", b"k", dlq_event(1), (), None)])
        record = from_failure(dlq_failure(1, journal_id=number), None)
        record.id = store._owner.record_id(number)
        write_file(dlq_dir / "spool" / "x.spill.part2", [record])
    (dlq_dir / "spool" / "x.spill.part2").rename(dlq_dir / "spool" / "x.spill")
    with Store.open(dlq_dir, DlqLimits()) as store:
        assert store.recovered == 1
        assert (store.imported[0].added, store.imported[0].known) == (0, 1)
        assert len(_events(store)) == 1


def test_two_processes_capture_at_once(dlq_dir: Path) -> None:
    children = [_child(dlq_dir, "capture", turn * 1_000_000, 1500) for turn in range(2)]
    with Store.open(dlq_dir, DlqLimits()) as store:
        for n in range(5_000_000, 5_001_000):
            store.capture(dlq_failure(n, tenant=f"tenant-{n % 7}"))
        store.flush()
        outputs = [child.communicate(timeout=60)[0] for child in children]
        assert [output.split()[-1] for output in outputs] == ["closed", "closed"]
        found = _events(store)
        assert len(found) == len(set(found)) == 4000
        reader = store.reader()
        assert reader.stats().total == sum(group.count for group in reader.groups()) == 4000
        eventually(lambda: reader.page(Filter(event_ids=(_name(1_000_777),))).records)
        reader.close()
    conn = database.open_reader(Place(dlq_dir).database)
    report = check(conn)
    conn.close()
    assert report.ok, report.findings


def test_a_fork_does_not_keep_the_owner_alive(dlq_dir: Path) -> None:
    """A child made by fork and exec must not inherit the lock that proves that its parent lives."""
    with Store.open(dlq_dir, DlqLimits()) as store:
        store.append([JournalEntry("t", None, b"x", (), None)])
        sleeper = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"], close_fds=False)
    try:
        with Store.open(dlq_dir, DlqLimits()) as store:
            assert store.recovered == 1
    finally:
        sleeper.kill()
        sleeper.wait()


def test_opening_is_quick_and_descriptors_are_given_back(dlq_dir: Path) -> None:
    Store.open(dlq_dir, DlqLimits()).close()
    before = len(list(Path("/proc/self/fd").iterdir()))
    for _ in range(5):
        with Store.open(dlq_dir, DlqLimits()) as store:
            reader = store.reader()
            reader.stats()
            reader.close()
    assert len(list(Path("/proc/self/fd").iterdir())) == before
