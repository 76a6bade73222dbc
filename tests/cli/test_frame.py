from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import pytest

from atom_console._version import __version__
from atom_console.cli.commands import COMMANDS
from atom_console.cli.main import cli
from atom_console.errors import (
    AtomError,
    CheckError,
    InputError,
    PartialError,
    RefusedError,
    UnreachableError,
)

HEAVY = ("textual", "numpy", "pyarrow", "confluent_kafka", "cryptography", "apsw")
Atom = Callable[..., Any]


def command_lines() -> list[list[str]]:
    """Every command and sub-command, as words."""
    found: list[list[str]] = [[]]
    context = click.Context(cli)

    def walk(command: click.Command, words: list[str]) -> None:
        found.append(words)
        if isinstance(command, click.Group):
            for name in command.list_commands(context):
                inner = command.get_command(context, name)
                assert inner is not None
                walk(inner, [*words, name])

    for name in COMMANDS:
        command = cli.get_command(context, name)
        assert command is not None
        walk(command, [name])
    return found


@pytest.fixture
def failing(monkeypatch: pytest.MonkeyPatch) -> Callable[[BaseException], None]:
    """Makes `config path` raise."""

    def arm(error: BaseException) -> None:
        def fall(*_args: object, **_kwargs: object) -> None:
            raise error

        monkeypatch.setattr("atom_console.cli.config_commands.print_fields", fall)

    return arm


def test_no_help_loads_a_heavy_library(atom_process: Atom) -> None:
    script = f"""
import sys
from atom_console.cli.main import main
for words in {command_lines()!r}:
    assert main([*words, "--help"]) == 0, words
    heavy = [name for name in {HEAVY!r} if name in sys.modules]
    assert not heavy, (words, heavy)
"""
    ended = atom_process(script=script)
    assert ended.returncode == 0, ended.stderr.decode()


def test_the_root_help_imports_no_command_and_no_pydantic(atom_process: Atom) -> None:
    script = """
import sys
from atom_console.cli.main import main
main(["--help"])
slow = ("pydantic", "logging", "asyncio")
print([name for name in sys.modules if name.endswith("_commands") or name in slow], file=sys.stderr)
"""
    assert atom_process(script=script).stderr.decode().strip() == "[]"


@pytest.mark.parametrize("words", command_lines(), ids=" ".join)
def test_every_help_has_an_example_that_fits(words: list[str], atom: Atom) -> None:
    ended = atom(*words, "--help")
    assert ended.code == 0
    if words and not isinstance(_command(words), click.Group):
        assert re.search(r"Examples?:\n  \S", ended.text), "no example"
        assert f"atom-console {' '.join(words)}" in ended.text.replace("atom-console --profile prod ", "atom-console ")
    prose = ended.text.partition("Example")[0]
    assert max(map(len, prose.splitlines())) <= 80


def _command(words: list[str]) -> click.Command:
    context = click.Context(cli)
    command: click.Command = cli
    for word in words:
        assert isinstance(command, click.Group)
        inner = command.get_command(context, word)
        assert inner is not None
        command = inner
    return command


def test_the_table_names_what_exists(atom: Atom) -> None:
    text = atom("--help").text
    for name, entry in COMMANDS.items():
        assert re.search(rf"^  {name} +{re.escape(entry.summary[:30])}", text, re.MULTILINE)
        command = cli.get_command(click.Context(cli), name)
        assert command is not None
        assert command.name == name


def test_version(atom: Atom) -> None:
    assert atom("--version").text == f"atom-console {__version__}\n"


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["cnofig"], "Did you mean config?"),
        (["config", "show", "--orign"], "--origin"),
        (["--nonsense"], "No such option"),
        (["events", "decode", "/does/not/exist"], "No such file"),
        (["--set", "kafka.topicc=x", "config", "show"], "did you mean kafka.topic?"),
        (["--config", "/does/not/exist", "config", "path"], "cannot be read"),
    ],
)
def test_usage_is_exit_2_with_a_hint(words: list[str], told: str, atom: Atom) -> None:
    ended = atom(*words)
    assert (ended.code, ended.out) == (2, b"")
    assert told in ended.err


def test_without_a_terminal_the_screen_says_what_it_needs(atom: Atom) -> None:
    ended = atom()
    assert ended.code == 2
    assert "needs a terminal" in ended.err


@pytest.mark.parametrize(
    ("family", "code"),
    [(AtomError, 1), (InputError, 2), (PartialError, 3), (UnreachableError, 4), (RefusedError, 5), (CheckError, 6)],
)
def test_each_family_of_errors_is_a_sentence_and_a_code(
    family: type[AtomError], code: int, atom: Atom, failing: Callable[[BaseException], None]
) -> None:
    failing(family("broker \x1b[31m is gone", next_step="start it"))
    ended = atom("config", "path")
    assert (ended.code, ended.out) == (code, b"")
    assert ended.err == "broker ␛[31m is gone\nnext: start it\n"


def test_a_fault_of_ours_is_logged_without_any_message(
    atom: Atom, failing: Callable[[BaseException], None], tmp_path: Path
) -> None:
    error = ValueError("tenant-47 passphrase geheim")
    error.__cause__ = PermissionError(13, "Permission denied")
    failing(error)
    ended = atom("config", "path")
    log = tmp_path / "state" / "atom-console" / "log" / "atom-console.log"
    assert ended.code == 1
    assert "ValueError" in ended.err
    assert str(log) in ended.err
    (entry,) = map(json.loads, log.read_text().splitlines())
    assert entry["level"] == "error"
    told = "\n".join(entry["traceback"])
    assert told.index("PermissionError [Permission denied]") < told.index("builtins.ValueError")
    assert "test_frame.py" in told
    assert "geheim" not in log.read_text() + ended.err
    assert (log.stat().st_mode & 0o777, log.parent.stat().st_mode & 0o777) == (0o600, 0o700)


@pytest.mark.parametrize("how", ["--log-file", "variable"])
def test_the_log_is_where_it_was_asked_for(
    how: str, atom: Atom, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fall(*_args: object, **_kwargs: object) -> None:
        raise RuntimeError

    monkeypatch.setattr("atom_console.config.load", fall, raising=False)
    log = tmp_path / "elsewhere" / "x.log"
    if how == "variable":
        monkeypatch.setenv("ATOM_LOG_FILE", str(log))
    flags = ["--log-file", str(log)] if how == "--log-file" else []
    assert atom(*flags, "config", "path").code == 1
    assert "RuntimeError" in log.read_text()


def test_a_log_that_cannot_be_written_is_said(
    atom: Atom, failing: Callable[[BaseException], None], tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("")
    failing(KeyError("geheim"))
    ended = atom("--log-file", str(tmp_path / "file" / "x.log"), "config", "path")
    assert ended.code == 1
    assert "cannot be written; the traceback:" in ended.err
    assert "builtins.KeyError" in ended.err
    assert "geheim" not in ended.err


@pytest.mark.parametrize("words", [["config", "show"], ["--help"]])
def test_a_reader_that_went_away_is_quiet(words: list[str], atom_process: Atom) -> None:
    script = f"""
import subprocess, sys
command = [sys.executable, "-m", "atom_console", *{words!r}]
child = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
child.stdout.close()
sys.stderr.buffer.write(child.stderr.read())
sys.exit(child.wait())
"""
    ended = atom_process(script=script)
    assert (ended.returncode, ended.stderr) == (141, b"")


def test_a_broken_socket_is_not_a_reader_that_went_away(atom: Atom, failing: Callable[[BaseException], None]) -> None:
    failing(BrokenPipeError(32, "Broken pipe"))
    ended = atom("config", "path")
    assert ended.code == 1
    assert "fault of atom-console" in ended.err


def test_a_full_disk_is_said(atom_process: Atom) -> None:
    with Path("/dev/full").open("wb") as full:
        ended = atom_process("config", "show", stdout=full)
    assert ended.returncode == 1
    assert ended.stderr.startswith(b"the disk is full")


WAITING = """
import sys, time
from atom_console.cli import config_commands, main, signals
def wait(*_):
    {body}
config_commands.path.callback = wait
sys.argv = ["atom-console", "config", "path"]
main.run()
"""
PLAIN = "print('ready', flush=True); time.sleep(60)"
HELD = """
    with signals.held() as stop:
        print('ready', flush=True)
        while not stop.requested: time.sleep(0.001)
        print('drained', flush=True)
    return stop.exit_code
"""


@pytest.mark.parametrize("body", [PLAIN, HELD], ids=["at once", "after a drain"])
@pytest.mark.parametrize(
    ("signum", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)], ids=["INT", "TERM", "HUP"]
)
def test_signals_end_it_with_their_code(signum: int, code: int, body: str) -> None:
    script = WAITING.format(body=body)
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, stderr=subprocess.PIPE) as child:
        assert child.stdout is not None
        assert child.stderr is not None
        assert child.stdout.readline() == b"ready\n"
        child.send_signal(signum)
        assert child.wait(20) == code
        assert child.stdout.read() == (b"drained\n" if body == HELD else b"")
        assert b"Traceback" not in child.stderr.read()


def test_a_second_signal_ends_a_drain() -> None:
    body = """
    with signals.held() as stop:
        print('ready', flush=True)
        while not stop.requested: time.sleep(0.001)
        print('draining', flush=True)
        time.sleep(60)
"""
    script = WAITING.format(body=body)
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, stderr=subprocess.PIPE) as child:
        assert child.stdout is not None
        for line in (b"ready\n", b"draining\n"):
            assert child.stdout.readline() == line
            child.send_signal(signal.SIGTERM)
        assert child.wait(20) == 143


def test_what_nohup_ignores_stays_ignored() -> None:
    script = "import signal; signal.signal(signal.SIGHUP, signal.SIG_IGN)\n" + WAITING.format(
        body="print('ready', flush=True); sys.stdin.readline()"
    )
    with subprocess.Popen([sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        assert child.stdin is not None
        assert child.stdout is not None
        assert child.stdout.readline() == b"ready\n"
        child.send_signal(signal.SIGHUP)
        child.stdin.write(b"go\n")
        child.stdin.close()
        assert child.wait(20) == 0


def test_settings_are_read_once_an_invocation() -> None:
    from atom_console.cli.frame import CliContext

    context = CliContext(overrides=("kafka.topic=a",))
    assert context.settings() is context.settings()
    assert context.settings().kafka.topic == "a"
    assert context.overridden(["kafka.topic=b"]).settings().kafka.topic == "b"
    assert context.settings().kafka.topic == "a"


def test_json_counts_before_and_after_the_sub_command(atom: Atom) -> None:
    before, after = atom("--json", "config", "path"), atom("config", "path", "--json")
    assert json.loads(before.text) == json.loads(after.text)
    assert before.out == after.out
