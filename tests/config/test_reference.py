from __future__ import annotations

import os
import re
import stat
import tomllib
from pathlib import Path

import pytest

from atom_console.config import ConfigError, load, paths
from atom_console.config.keys import keys
from atom_console.config.reference import page, template, write_template

ROOT = Path(__file__).parents[2]


def test_the_reference_page_is_current() -> None:
    written = (ROOT / "docs" / "configuration.md").read_text(encoding="utf-8")
    assert written == page(), "run: python -m atom_console.config.reference > docs/configuration.md"


def test_the_template_says_nothing_until_uncommented(tmp_path: Path) -> None:
    path = tmp_path / "config.toml"
    write_template(path)
    assert load(config_file=path, environ={}).settings == load(environ={}).settings


def test_the_template_with_every_line_uncommented_is_the_defaults(tmp_path: Path) -> None:
    head = template().partition("\n# ---- profiles")[0]
    text = re.sub(r"(?m)^# (?=[a-z0-9_]+ = )", "", head)
    assert sum(len(t) if isinstance(t, dict) else 1 for t in tomllib.loads(text).values()) == len(keys())
    path = tmp_path / "config.toml"
    path.write_text(text)
    path.chmod(0o600)
    assert load(config_file=path, environ={}).settings == load(environ={}).settings


def test_the_example_profiles_of_the_template_load(tmp_path: Path) -> None:
    tail = template().partition("\n# ---- profiles")[2].partition("\n")[2]
    path = tmp_path / "config.toml"
    path.write_text(re.sub(r"(?m)^# (?=\[|[a-z_]+ = )", "", tail))
    path.chmod(0o600)
    assert load("prod", config_file=path, environ={}).settings.read_only
    assert load("lab", config_file=path, environ={}).settings.word == "LAB"


def test_a_file_is_made_private_and_never_overwritten(tmp_path: Path) -> None:
    path = tmp_path / "new" / "config.toml"
    before = os.umask(0)
    try:
        write_template(path)
    finally:
        os.umask(before)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    path.write_text("mine")
    with pytest.raises(ConfigError, match="exists already"):
        write_template(path)
    assert path.read_text() == "mine"


def test_directories_follow_xdg_and_the_profile(tmp_path: Path) -> None:
    settings = load("prod", environ={}).settings
    assert paths.state_dir() == tmp_path / "state" / "atom-console"
    assert paths.dlq_dir(settings) == tmp_path / "state" / "atom-console" / "dlq" / "prod"
    moved = load(environ={"ATOM_DLQ_DIR": "~/dlq", "ATOM_PKI_DIR": "/pki", "ATOM_LOG_FILE": "/l"}).settings
    assert paths.dlq_dir(moved) == Path.home() / "dlq"
    assert (paths.pki_dir(moved), paths.log_file(moved)) == (Path("/pki"), Path("/l"))
    assert not paths.state_dir().exists(), "asking for a path makes nothing"


def test_state_is_kept_private_whatever_the_umask(tmp_path: Path) -> None:
    open_already = tmp_path / "open"
    open_already.mkdir(mode=0o755)
    before = os.umask(0)
    try:
        paths.ensure_private(open_already / "a" / "b")
    finally:
        os.umask(before)
    modes = [stat.S_IMODE(p.stat().st_mode) for p in (open_already, open_already / "a", open_already / "a" / "b")]
    assert modes == [0o755, 0o700, 0o700]
    (tmp_path / "file").write_text("")
    with pytest.raises(NotADirectoryError):
        paths.ensure_private(tmp_path / "file")
