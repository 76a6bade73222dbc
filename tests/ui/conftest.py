"""Fixtures of the screen's tests; their helpers are plain modules beside them."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from atom_console.ui.terminal import prepare_environment

os.environ.pop("NO_COLOR", None)
prepare_environment(os.environ)


@pytest.fixture(autouse=True)
def _no_sleep_between_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    """Textual's pilot sleeps at least 40 ms after a key; `frames.settle` waits for what the key set off instead."""

    async def at_once(*_seconds: float) -> None:
        await asyncio.sleep(0)

    monkeypatch.setattr("textual.app.wait_for_idle", at_once)
    monkeypatch.setattr("textual.pilot.wait_for_idle", at_once)


@pytest.fixture(scope="session")
def letters_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with 207 dead letters in four groups."""
    import letters

    directory = tmp_path_factory.mktemp("letters") / "dlq"
    letters.build(directory)
    return directory


@pytest.fixture
def letters_reader(letters_dir: Path) -> Iterator[object]:
    from atom_console.dlq.reader import Reader

    reader = Reader(letters_dir)
    yield reader
    reader.close()


@pytest.fixture
def engine(letters_reader: object) -> object:
    """An engine whose events flow, with those dead letters."""
    import scripted

    made = scripted.ScriptedEngine(scripted.flowing())
    made.dead_letters = letters_reader
    return made
