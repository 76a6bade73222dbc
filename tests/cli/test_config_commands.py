from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Atom = Callable[..., Any]


def test_show_has_every_key_with_its_origin(atom: Atom, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ATOM_KAFKA_PRESET", "throughput")
    ended = atom("--profile", "prod", "--set", "dlq.topics=a,b", "config", "show", "--json")
    assert (ended.code, ended.err) == (0, "")
    settings = {entry["key"]: (entry["value"], entry["origin"]) for entry in json.loads(ended.text)["settings"]}
    assert settings["profile"] == ("prod", "flag --profile prod")
    assert settings["confirm"] == ("typed", "profile prod")
    assert settings["kafka.linger_ms"] == (5.0, "preset throughput")
    assert settings["dlq.topics"] == (["a", "b"], "flag --set dlq.topics=a,b")
    assert settings["kafka.idempotence"] == (True, "default")


def test_show_hides_secrets_everywhere(atom: Atom, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ATOM_KAFKA_SASL_PASSWORD", "geheim")
    monkeypatch.setenv("ATOM_KAFKA_PROPERTIES", "sasl.oauthbearer.client.secret=geheim")
    for words in (["--json"], ["--origin"], []):
        ended = atom("config", "show", *words)
        assert "geheim" not in ended.text + ended.err
        assert ended.text.count("********") == 2


def test_show_makes_foreign_text_harmless(atom: Atom, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ATOM_KAFKA_CLIENT_ID", "a\x1b]52;c;x\x07b")
    assert "a␛]52;c;x␇b" in atom("config", "show").text
    assert "\x1b" not in atom("config", "show", "--json").text


def test_origins_are_whole_on_a_narrow_terminal(atom: Atom, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / ("long" * 20) / "atom.toml"
    path.parent.mkdir()
    path.write_text("[ui]\nmouse = true\n")
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    monkeypatch.setenv("COLUMNS", "80")
    assert f"file {path}:2\n" in atom("--config", str(path), "config", "show", "--origin").text


def test_path_names_the_places_and_makes_none(atom: Atom, tmp_path: Path) -> None:
    state = tmp_path / "state" / "atom-console"
    expected = {
        "config_file": tmp_path / "config" / "atom-console" / "config.toml",
        "state_dir": state,
        "dlq_dir": state / "dlq" / "stage",
        "log_file": state / "log" / "atom-console.log",
        "pki_dir": state / "pki",
    }
    ended = atom("--profile", "stage", "config", "path", "--json")
    assert json.loads(ended.text) == {name: str(path) for name, path in expected.items()}
    assert not state.exists()
    plain = dict(line.split(maxsplit=1) for line in atom("--profile", "stage", "config", "path").text.splitlines())
    assert plain == {name: str(path) for name, path in expected.items()}


def test_init_then_check(atom: Atom, tmp_path: Path) -> None:
    path = tmp_path / "config" / "atom-console" / "config.toml"
    first = atom("config", "init", "--json")
    assert (first.code, json.loads(first.text)) == (0, {"config_file": str(path)})
    assert path.stat().st_mode & 0o777 == 0o600
    assert atom("config", "check").code == 0
    again = atom("config", "init")
    assert again.code == 2
    assert "exists already" in again.err
    assert "next: move it away" in again.err


def test_check_tells_every_fault_and_exits_2(atom: Atom, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "bad.toml"
    path.write_text("[kafka]\nlinger_ms = -1\n[profiles.prod.dlq]\nmod = 'durable'\n")
    path.chmod(0o600)
    monkeypatch.setenv("ATOM_KAFKA_ACKS", "many")
    ended = atom("--config", str(path), "config", "check", "--json")
    told = json.loads(ended.text)
    assert (ended.code, told["ok"], told["warnings"]) == (2, False, [])
    assert {(fault["origin"], fault["key"]) for fault in told["faults"]} == {
        (f"file {path}:2", "kafka.linger_ms"),
        (f"file {path}:4", "dlq.mod"),
        ("env ATOM_KAFKA_ACKS", "kafka.acks"),
    }
    plain = atom("--config", str(path), "config", "check")
    assert plain.code == 2
    assert "3 to put right" in plain.err
    assert f"{path}:4: dlq.mod: no such key; did you mean dlq.mode?" in plain.err


def test_warnings_go_to_stderr(atom: Atom, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ATOM_HOME", "/x")
    ended = atom("config", "path", "--json")
    assert ended.err == "warning: ATOM_HOME is not a setting of atom-console and is ignored\n"
    json.loads(ended.text)
