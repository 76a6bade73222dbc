"""A secret in a masked molecule is on no screen, and in nothing that is copied, saved, exported, logged or audited."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from pathlib import Path

import apsw
import letters
import pytest
from frames import console, frame
from scripted import NOW_MS

from atom_console.config import load
from atom_console.dlq.insert import Cohorts, insert_records
from atom_console.dlq.record import NewRecord, Provenance
from atom_console.dlq.store import Store
from atom_console.dlq.troubles import trouble
from atom_console.engine.engine import Engine
from atom_console.engine.snapshot import EngineSnapshot

SECRET = letters.SECRET


def quoting() -> NewRecord:
    """Another system's dead letter: its message, its stack and its headers quote the payload."""
    cause = trouble(
        origin="connect", err_class="poison", err_name="org.apache.kafka.connect.errors.DataException",
        message=f"cannot convert '{SECRET}'", stage="VALUE_CONVERTER", component="sink", dest_topic="atom.write.raw",
        cluster_id="kZ3fQ8", dlq_topic="atom.dlq",
    )  # fmt: skip
    return NewRecord(
        trouble=cause,
        captured_at=NOW_MS,
        key=b"tenant-1",
        value=letters.value(9001, secret=True),
        headers=(("type", b"1"),),
        maybe_persisted=False,
        tenant_id="tenant-1",
        id=letters.id_bytes(letters.record_id(9001)),
        provenance=Provenance(0, 1, NOW_MS, (("__connect.errors.exception.message", SECRET.encode()),)),
    )


@pytest.fixture
def secret_engine(tmp_path: Path) -> Iterator[Engine]:
    config = tmp_path / "config.toml"
    config.touch()
    directory = tmp_path / "dlq"
    letters.build(directory, outage=3)
    with Store.open(directory, component="test") as store:
        made = [quoting()]
        store.run(lambda conn: insert_records(conn, made, Cohorts(), now_ms=NOW_MS, action="capture", reason=""))
    overrides = ("kafka.bootstrap_servers=127.0.0.1:1", f"dlq.dir={directory}", "dlq.min_free_bytes=1MiB")
    engine = Engine(load(config_file=config, environ={}, overrides=overrides))
    engine.start()
    yield engine
    engine.drain(1.0)
    engine.stop()


def wait(engine: Engine) -> EngineSnapshot:
    deadline = time.monotonic() + 20
    while (snapshot := engine.snapshot()).dlq.total is None:
        assert time.monotonic() < deadline
        time.sleep(0.02)
    return snapshot


async def test_a_masked_secret_is_nowhere(
    secret_engine: Engine, tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    caplog.set_level(logging.DEBUG)
    saved = tmp_path / "saved"
    saved.mkdir()
    monkeypatch.chdir(saved)
    wait(secret_engine)
    seen, copied = [], []
    async with console(secret_engine, (120, 40), save_dir=saved) as (app, press):  # type: ignore[arg-type]

        async def look(*keys: str) -> None:
            await press(*keys)
            seen.append(frame(app))

        await look("2")
        await look("slash", *"class=poison", "enter")
        await look("a")  # every record of the filter: 58 of our own, one of another system, all masked
        for end in ("g", "G"):
            await look(end)
            await look("enter")
            for _ in range(5):
                await press("y")
                copied.append(app.clipboard)
                await look("Y")
                await look("right")
            await look("escape")
        for form in ("jsonl", "parquet"):
            await press("asterisk", "e", *f"all.{form}", "enter")
            await look("asterisk")
        await look("e", *"all.spill", "enter")
        assert "is masked for this profile" in seen[-1]
        await press("l", *"fixed", "enter")
        await look("y")
        await look("x", *"junk", "enter", "y")
        await look("r")
        await look("escape", "escape", "slash", *SECRET, "enter")
        assert "Nothing matches" in seen.pop()  # it was typed: the screen shows the question
    everything = "\n".join(seen + copied)
    assert "hidden: needs clearance" in everything
    assert "hidden: a message of another system may quote the payload" in everything
    assert SECRET not in everything
    files = sorted(path.name for path in saved.iterdir())
    assert {"all.jsonl", "all.parquet"} < set(files)
    assert "all.spill" not in files
    assert len(files) == 12
    for path in saved.iterdir():
        assert SECRET.encode() not in path.read_bytes(), path.name
    assert SECRET not in caplog.text
    conn = apsw.Connection(str(tmp_path / "dlq" / "dlq.sqlite3"), flags=apsw.SQLITE_OPEN_READONLY)
    rows = list(conn.execute("SELECT * FROM audit"))
    conn.close()
    assert any("fixed" in str(row) for row in rows)
    assert SECRET not in str(rows)


async def test_the_clearance_of_the_profile_opens_it(tmp_path: Path) -> None:
    config = tmp_path / "config.toml"
    config.touch()
    letters.build(tmp_path / "dlq", outage=3)
    overrides = ("kafka.bootstrap_servers=127.0.0.1:1", f"dlq.dir={tmp_path / 'dlq'}", "clearance=4")
    engine = Engine(load(config_file=config, environ={}, overrides=overrides), produce=False)
    engine.start()
    try:
        assert wait(engine).session.clearance == 4
        async with console(engine, (120, 40)) as (app, press):  # type: ignore[arg-type]
            await press("2", "slash", *"class=poison", "enter", "enter", "enter", "right")
            assert SECRET in frame(app)
    finally:
        engine.drain(1.0)
        engine.stop()
