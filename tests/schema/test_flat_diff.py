from __future__ import annotations

import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from atom_console.events.reflection import Schema, load_schema
from atom_console.schema.changes import Change, Verdict, verdict
from atom_console.schema.compiler import compile_fbs, find_flatc
from atom_console.schema.flat_diff import diff_flat
from tests.schema.corpus import LESS, MORE, PAIRS


class Judged:
    def __init__(self, changes: tuple[Change, ...], conforms: bool, reason: str) -> None:
        self.changes = changes
        self.conforms = conforms
        self.reason = reason

    @property
    def breaking(self) -> bool:
        return any(change.breaking for change in self.changes)


def _schema(source: Path, text: str) -> Schema:
    source.write_text(text)
    return load_schema(compile_fbs(source))


def _judge(directory: Path, number: int, old: str, new: str) -> Judged:
    a, b = directory / f"old{number}.fbs", directory / f"new{number}.fbs"
    changes = diff_flat(_schema(a, old), _schema(b, new))
    done = subprocess.run(
        [str(find_flatc()), "--conform", str(a), str(b)], capture_output=True, text=True, check=False, cwd=directory
    )
    return Judged(changes, done.returncode == 0, (done.stderr + done.stdout).strip())


@pytest.fixture(scope="module")
def judged(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Judged]:
    directory = tmp_path_factory.mktemp("corpus")
    with ThreadPoolExecutor(2) as pool:
        work = {
            name: pool.submit(_judge, directory, number, *pair) for number, (name, pair) in enumerate(PAIRS.items())
        }
    return {name: future.result() for name, future in work.items()}


def test_the_corpus_is_large_enough() -> None:
    assert len(PAIRS) >= 60
    assert set(MORE) <= set(PAIRS)


@pytest.mark.parametrize("name", PAIRS)
def test_we_agree_with_flatc_or_know_why_we_say_more(judged: dict[str, Judged], name: str) -> None:
    pair = judged[name]
    if name in MORE:
        assert pair.conforms, f"flatc now sees it too: {pair.reason}"
        assert pair.breaking
    elif name in LESS:
        assert not pair.conforms
        assert not pair.changes
    else:
        assert pair.breaking is not pair.conforms, f"flatc: {pair.reason or 'conforms'}; we: {pair.changes}"
    assert all(change.why.endswith(".") for change in pair.changes)


def test_the_agreement_table(judged: dict[str, Judged], capsys: pytest.CaptureFixture[str]) -> None:
    agree = sum(pair.breaking is not pair.conforms for pair in judged.values())
    with capsys.disabled():
        print(
            f"\nflatc --conform and this diff on {len(judged)} pairs: {agree} agree; "
            f"we say more on {len(MORE)}, less on {len(LESS)}"
        )
        for name, pair in judged.items():
            ours = verdict(pair.changes)
            theirs = "conforms" if pair.conforms else "refuses"
            print(f"  {name:32} {theirs:9} {ours:15} {(MORE | LESS).get(name, 'agree')}")
    assert agree + len(MORE) + len(LESS) == len(judged)


def test_equal_schemas_have_no_changes(judged: dict[str, Judged]) -> None:
    for name in ("nothing", "comment added", "same default, other spelling"):
        assert verdict(judged[name].changes) is Verdict.IDENTICAL


@pytest.mark.parametrize(
    ("name", "path", "kind", "expected"),
    [
        ("append int", "T.b", "field added", Verdict.COMPATIBLE),
        ("remove last", "T.b", "field removed", Verdict.BREAKS_READERS),
        ("slot reused by string", "T.b", "slot reused", Verdict.BREAKING),
        ("rename", "T.a", "field renamed", Verdict.COMPATIBLE),
        ("reorder", "T.a", "slot changed", Verdict.BREAKING),
        ("default changed", "T.a", "default changed", Verdict.BREAKING),
        ("null to default", "T.a", "default changed", Verdict.BREAKING),
        ("enum renumbered", "E.B", "value renumbered", Verdict.BREAKING),
        ("enum shrinks", "E.C", "value removed", Verdict.BREAKS_WRITERS),
        ("union grows", "U.C", "member added", Verdict.COMPATIBLE),
        ("union shrinks", "U.C", "member removed", Verdict.BREAKS_WRITERS),
        ("struct grows", "S", "struct changed", Verdict.BREAKING),
        ("required set", "T.s", "required set", Verdict.BREAKS_WRITERS),
        ("required dropped", "T.s", "required dropped", Verdict.BREAKS_READERS),
        ("required appended", "T.s", "field added", Verdict.BREAKS_WRITERS),
        ("root changed", "", "root changed", Verdict.BREAKING),
        ("identifier set", "", "file identifier changed", Verdict.BREAKS_WRITERS),
        ("namespace moved", "a.T", "namespace changed", Verdict.COMPATIBLE),
        ("deprecate", "T.a", "deprecated set", Verdict.COMPATIBLE),
        ("struct to table", "S", "kind changed", Verdict.BREAKING),
    ],
)
def test_changes_are_named(judged: dict[str, Judged], name: str, path: str, kind: str, expected: Verdict) -> None:
    changes = judged[name].changes
    assert (path, kind) in {(change.path, change.kind) for change in changes}
    assert verdict(changes) is expected
