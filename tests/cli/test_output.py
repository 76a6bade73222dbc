from __future__ import annotations

import json
import logging
import math
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from atom_console.cli import log
from atom_console.cli.output import print_fields, print_json_line, print_table, say, to_json

JSON_LIKE = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=8,
)


@given(JSON_LIKE)
def test_json_is_always_valid_ascii(document: object) -> None:
    def refuse(name: str) -> object:
        raise AssertionError(name)

    text = to_json(document)
    json.loads(text, parse_constant=refuse)
    assert text.isascii()
    assert "\n" not in text


def test_json_of_what_json_lacks() -> None:
    document = {"raw": b"\x00\xff", "nan": math.nan, "path": Path("/x"), "set": {2, 1}, "big": 2**64, "bad": "\ud800"}
    assert json.loads(to_json(document)) == {
        "raw": "AP8=",
        "nan": None,
        "path": "/x",
        "set": [1, 2],
        "big": 2**64,
        "bad": "\ud800",
    }


def test_a_table_is_aligned_and_harmless(capsys: pytest.CaptureFixture[str]) -> None:
    print_table(
        ("NAME", "COUNT", "NOTE"),
        [("a\x1b[2J", 5, None), ("longer-name", 1234, b"by\xfftes"), ("c", None, True)],
    )
    assert capsys.readouterr().out.splitlines() == [
        "NAME         COUNT  NOTE",
        "a␛[2J            5  -",
        "longer-name   1234  by\\xfftes",
        "c                -  yes",
    ]


def test_a_table_fits_the_terminal_and_is_whole_elsewhere(capsys: pytest.CaptureFixture[str]) -> None:
    rows = [("key", "x" * 200)]
    print_table(("A", "B"), rows, width=80)
    assert [len(line) for line in capsys.readouterr().out.splitlines()] == [6, 80]
    print_table(("A", "B"), rows)
    assert "x" * 200 in capsys.readouterr().out


def test_a_table_without_rows_still_has_its_head(capsys: pytest.CaptureFixture[str]) -> None:
    print_table(("A", "B"), [])
    print_fields({})
    print_json_line({"a": 1})
    assert capsys.readouterr().out == 'A  B\n{"a": 1}\n'


def test_diagnostics_are_harmless_and_never_fail(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    say("one\x1b\ntwo")
    assert capsys.readouterr().err == "one␛\ntwo\n"
    closed = open(os.devnull, "w")  # noqa: PTH123, SIM115
    closed.close()
    monkeypatch.setattr("sys.stderr", closed)
    say("nobody hears")


def test_the_log_is_structured_private_and_lazy(tmp_path: Path) -> None:
    path = tmp_path / "log" / "x.log"
    log.start(path)
    log.start(tmp_path / "ignored")
    assert log.current() == path
    assert not path.exists(), "made with the first line"
    logging.getLogger("atom_console.kafka").warning("class %s", "outage", extra={"code": -195})
    logging.getLogger("atom_console.kafka").debug("not written")
    (entry,) = map(json.loads, path.read_text().splitlines())
    assert entry["message"] == "class outage"
    assert (entry["code"], entry["logger"], entry["pid"]) == (-195, "atom_console.kafka", os.getpid())
    assert entry["at"].endswith("Z")
    assert path.stat().st_mode & 0o777 == 0o600


def test_the_log_rotates_and_follows_a_rotation_by_another_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(log, "MAX_BYTES", 400)
    path = tmp_path / "x.log"
    log.start(path)
    logger = logging.getLogger("atom_console.test")
    for number in range(20):
        logger.info("line %d", number)
    files = sorted(tmp_path.glob("x.log*"))
    assert [file.name for file in files] == ["x.log", "x.log.1", "x.log.2", "x.log.3"]
    assert all(file.stat().st_size <= 400 and file.stat().st_mode & 0o777 == 0o600 for file in files)
    path.rename(tmp_path / "moved-by-another")
    logger.info("after")
    assert "after" in path.read_text()
    assert "after" not in (tmp_path / "moved-by-another").read_text()


def test_a_log_that_fails_stops_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "file").write_text("")
    log.start(tmp_path / "file" / "x.log")
    logging.getLogger("atom_console.test").error("lost")
    assert capsys.readouterr() == ("", "")
