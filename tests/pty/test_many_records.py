"""A store of a hundred thousand dead letters on the screen: no step depends on how many there are."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from atom_console.dlq.insert import Cohorts, insert_records
from atom_console.dlq.record import NewRecord
from atom_console.dlq.store import Store
from atom_console.dlq.troubles import trouble
from atom_console.events import encode_mapping
from tests.e2e.delivery import many_events
from tests.pty.real import console

pytestmark = pytest.mark.pty

COUNT, TENANTS = 100_000, 41
NOW_MS = 1_795_486_447_000
STEP_S = 3.0
"""The promise is 0.1 s; the rest is for a busy machine, and for the emulator of the terminal."""


@pytest.fixture
def large_store(home: Path) -> Path:
    value = encode_mapping(next(many_events(1)))
    away = trouble(
        origin="local", err_class="outage", err_name="_MSG_TIMED_OUT", err_code=-192, message="no answer",
        stage="delivery", component="svc", dest_topic="atom.write.raw", cluster_id="kZ3fQ8",
    )  # fmt: skip

    def records(start: int, count: int) -> Iterator[NewRecord]:
        for number in range(start, start + count):
            tenant = f"tenant-{number % TENANTS}"
            yield NewRecord(
                trouble=away, captured_at=NOW_MS + number, key=tenant.encode(), value=value, headers=(),
                maybe_persisted=True, tenant_id=tenant, event_id=f"event-{number}", event_type=1,
            )  # fmt: skip

    with Store.open(home / "dlq", component="test") as store:
        cohorts = Cohorts()
        for start in range(0, COUNT, 5_000):
            batch = list(records(start, 5_000))
            store.run(
                lambda conn, batch=batch: insert_records(
                    conn, batch, cohorts, now_ms=NOW_MS, action="capture", reason=""
                )
            )
    return home


@pytest.mark.timeout(180)
def test_a_hundred_thousand_records(large_store: Path) -> None:
    of_tenant_7 = len(range(7, COUNT, TENANTS))
    with console(large_store) as session:
        session.wait_for("100,000", 30)
        process = psutil.Process(session.process.pid)

        def step(keys: str, *words: str) -> None:
            session.press(keys)
            started = time.monotonic()
            for each in words:
                session.wait_for(each, 20)
            took = time.monotonic() - started
            assert took < STEP_S, f"{words} after {took:.1f} s"

        step("2", "100,000 records · 1 group")
        before = 0
        for _ in range(4):
            step("a", "1 of 100,000 · newest first", f"▸ ready         tenant-{(COUNT - 1) % TENANTS}")
            step("G", "100,000 of 100,000", "▸ ready         tenant-0")
            before = before or process.memory_info().rss
            session.press("/tenant=tenant-7")
            session.wait_for("/tenant=tenant-7")
            step("\r", f"1 of {of_tenant_7:,} · newest first", "▸ ready         tenant-7")
            step("G", f"{of_tenant_7:,} of {of_tenant_7:,}")
            step("\r", "[Why]", "_MSG_TIMED_OUT")
            step("\x1b", "newest first")
            step("\x1b", "Dead letters › groups")
            step("\x1b", "  100,000 records · 1 group")  # the filter is gone
        assert process.memory_info().rss - before < 30_000_000
        session.press("q")
        assert session.end(20) == 0
