"""The table of commands and everything that is made from it."""

from __future__ import annotations

from pathlib import Path

import pytest

from atom_console.ui import commands
from atom_console.ui.chrome import footer_line
from atom_console.ui.command_line import completions, resolve
from atom_console.ui.commands import BY_ID, COMMANDS, SCOPES, TOGETHER, clashes, in_scopes
from atom_console.ui.drawing import plain
from atom_console.ui.key_docs import keys_page
from atom_console.ui.keymap import read_keymap
from atom_console.ui.page import TextPage
from atom_console.ui.table import VirtualTable


def test_ids_are_unique_and_default_keys_do_not_clash() -> None:
    assert len(BY_ID) == len(COMMANDS)
    assert clashes({}) == []


def test_every_command_says_what_it_does() -> None:
    for spec in COMMANDS:
        assert spec.title
        assert spec.help.endswith((".", "?"))
        assert spec.keys or spec.word, f"{spec.id} cannot be reached"
        assert spec.scope in SCOPES


def test_every_command_has_a_handler() -> None:
    from atom_console.ui.app import ConsoleApp
    from atom_console.ui.rooms.certificates.room import CertificatesRoom
    from atom_console.ui.rooms.dead_letters.detail import DetailView
    from atom_console.ui.rooms.dead_letters.plan import PlanView
    from atom_console.ui.rooms.dead_letters.room import DeadLettersRoom
    from atom_console.ui.rooms.dead_letters.run import RunsView, RunView
    from atom_console.ui.rooms.flight.room import FlightRoom
    from atom_console.ui.rooms.overview import OverviewRoom
    from atom_console.ui.rooms.schemas.room import SchemasRoom

    owners = {
        "everywhere": (ConsoleApp,),
        "list": (VirtualTable,),
        "overview": (OverviewRoom,),
        "groups": (DeadLettersRoom,),
        "records": (DeadLettersRoom,),
        "detail": (DetailView,),
        "letters": (DeadLettersRoom,),
        "replay": (DeadLettersRoom,),
        "plan": (PlanView,),
        "run": (RunView,),
        "runs": (RunsView,),
        "flight": (FlightRoom,),
        "schemas": (SchemasRoom,),
        "certificates": (CertificatesRoom,),
        "certificate": (CertificatesRoom,),
    }
    for spec in COMMANDS:
        assert any(callable(getattr(owner, spec.handler, None)) for owner in owners[spec.scope]), spec.id


def test_bindings_have_ids_and_tooltips() -> None:
    for scope in SCOPES:
        for binding in commands.bindings(scope):
            assert binding.id in BY_ID  # type: ignore[union-attr]
            assert binding.tooltip  # type: ignore[union-attr]


def test_a_narrow_scope_takes_its_keys_from_the_lists() -> None:
    keys = {key: binding.id for binding in TextPage.BINDINGS for key in binding.key.split(",")}  # type: ignore[union-attr]
    assert keys["right"] == "detail.next-tab"
    assert keys["down"] == "list.down"


def test_no_destructive_command_is_on_a_reflex_key() -> None:
    for spec in COMMANDS:
        if spec.danger != "none":
            assert not {"enter", "space", "ctrl+d", "ctrl+k", "ctrl+r", "escape", "tab"} & set(spec.keys), spec.id


def test_the_docs_page_is_current() -> None:
    page = Path(__file__).parents[2] / "docs" / "keys.md"
    assert page.read_text(encoding="utf-8") == keys_page(), "run: python -m atom_console.ui.key_docs > docs/keys.md"


@pytest.mark.parametrize("width", [40, 60, 80, 120])
def test_the_footer_fits_and_keeps_help_and_quit(width: int) -> None:
    for scope in TOGETHER:
        text = plain(footer_line(in_scopes((scope, "list", "everywhere")), {}, width))
        assert len(text) <= width
        assert "? help" in text
        assert "q quit" in text


def test_the_footer_of_a_read_only_profile_offers_no_change() -> None:
    text = plain(footer_line(in_scopes(("overview", "everywhere")), {}, 120, read_only=True))
    assert "new event" not in text
    assert "workload" not in text


@pytest.mark.parametrize(
    ("typed", "command", "argument"),
    [
        ("q", "app.quit", ""),
        ("quit", "app.quit", ""),
        ("theme light", "app.theme", "light"),
        ("the mono", "app.theme", "mono"),
        ("filter state=ready", "records.filter", "state=ready"),
        ("workload /tmp/a b.jsonl 50", "overview.workload", "/tmp/a b.jsonl 50"),
    ],
)
def test_a_typed_command(typed: str, command: str, argument: str) -> None:
    spec, rest, problem = resolve(typed, ("records", "list", "everywhere"))
    assert problem == ""
    assert spec is not None
    assert (spec.id, rest) == (command, argument)


def test_a_wrong_command_is_quoted_with_the_nearest() -> None:
    spec, _, problem = resolve("thme light", ())
    assert spec is None
    assert problem == "There is no command :thme. Did you mean :theme?"


def test_completions() -> None:
    assert {"records", "refresh"} <= {spec.word for spec in completions("re")}
    assert [spec.word for spec in completions("refresh now")] == ["refresh"]


@pytest.fixture
def keymap_file(tmp_path: Path) -> Path:
    return tmp_path / "keys.toml"


def test_a_keymap(keymap_file: Path) -> None:
    keymap_file.write_text('[keys]\n"app.quit" = "ctrl+x"\n"list.mark" = ["space", "insert"]\n"app.help" = "?"\n')
    assert read_keymap(keymap_file) == (
        {"app.quit": "ctrl+x", "list.mark": "space,insert", "app.help": "question_mark"},
        [],
    )


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('[keys]\n"app.quite" = "x"', "did you mean app.quit?"),
        ('[keys]\n"app.quit" = 7', "app.quit: expected a key"),
        ('[keys]\n"app.quit" = "hyperctrl+x"', "app.quit: expected a key"),
        ('[keys]\n"app.quit" = "j"', "j would mean both app.quit and list.down; app.quit keeps its default"),
        ("keys = 3", "`keys` must be a table"),
        ("[keys", "the default keys are used"),
    ],
)
def test_a_wrong_keymap_is_named_and_left_out(keymap_file: Path, text: str, words: str) -> None:
    keymap_file.write_text(text)
    keymap, problems = read_keymap(keymap_file)
    assert keymap == {}
    assert any(words in problem and str(keymap_file) in problem for problem in problems), problems


def test_a_missing_keymap_is_named(tmp_path: Path) -> None:
    keymap, problems = read_keymap(tmp_path / "none.toml")
    assert keymap == {}
    assert "none.toml" in problems[0]
