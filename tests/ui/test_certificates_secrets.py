"""The screen fails with a passphrase in its hands: neither the log nor the terminal gets it."""

from __future__ import annotations

import contextlib
import io
import logging
from collections.abc import Iterator
from pathlib import Path

import pytest
from frames import console, frame
from scripted import NOW_MS, ScriptedEngine, flowing

from atom_console.cli.log import JsonLines
from atom_console.engine.commands import Command, IssueCertificate, Receipt
from atom_console.pki.passphrase import Passphrase
from atom_console.pki.profiles import load_profiles

SECRET = "planted-correct-horse-battery"
KEYS = ("5", "i", *"svc", "enter", *"client", "enter", *"DNS:svc.eu", "enter", "enter", "enter", *SECRET)


@pytest.fixture
def log() -> Iterator[io.StringIO]:
    """What the structured log would hold."""
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(JsonLines())
    logger = logging.getLogger("atom_console")
    logger.addHandler(handler)
    yield stream
    logger.removeHandler(handler)


async def test_a_crash_with_a_typed_passphrase(
    log: io.StringIO, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    engine = ScriptedEngine(flowing())
    engine.answer = lambda command: Receipt("Read.", NOW_MS, value=load_profiles())
    real = Passphrase.__init__
    drawn = ""

    def fails(self: Passphrase, secret: bytes | str) -> None:
        real(self, secret)
        if secret == SECRET:
            local = f"a local with {SECRET}"
            raise ValueError(f"{local} and a message with {SECRET}")

    monkeypatch.setattr(Passphrase, "__init__", fails)
    with contextlib.suppress(ValueError):
        async with console(engine) as (app, press):
            await press(*KEYS[:-1])
            drawn = frame(app)
            await press(KEYS[-1])
    assert "•••" in drawn
    assert "the screen failed" in log.getvalue()
    assert "ValueError" in log.getvalue()
    out, err = capfd.readouterr()
    for told in (log.getvalue(), drawn, out, err):
        assert SECRET not in told
        assert SECRET[:-1] not in told


async def test_a_fault_in_the_engine_with_the_passphrase_in_its_message(log: io.StringIO) -> None:
    def answer(command: Command) -> Receipt:
        if isinstance(command, IssueCertificate):
            assert command.passphrase is not None
            raise ValueError(f"it was {command.passphrase.reveal()!r}")
        return Receipt("Read.", NOW_MS, value=load_profiles())

    engine = ScriptedEngine(flowing())
    engine.answer = answer
    async with console(engine, (200, 60)) as (app, press):
        await press(*KEYS, "ctrl+s", "1", "enter")
        assert "A fault of ours: ValueError" in frame(app)
        assert SECRET not in frame(app)
    assert isinstance(engine.submitted[-1], IssueCertificate)
    assert SECRET not in log.getvalue()
    assert SECRET not in repr(engine.submitted)


async def test_a_secret_field_gives_nothing_to_the_clipboard() -> None:
    engine = ScriptedEngine(flowing())
    engine.answer = lambda command: Receipt("Read.", NOW_MS, value=load_profiles())
    async with console(engine) as (app, press):
        await press(*KEYS, "shift+home", "ctrl+x")
        assert app.clipboard == ""
        assert "•" not in frame(app)
        assert SECRET not in repr(app.focused)
