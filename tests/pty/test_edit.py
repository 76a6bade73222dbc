"""A dead letter is edited from the screen: the terminal goes to the editor and comes back whole."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from atom_console.dlq.edit import current_document
from atom_console.dlq.store import Store
from tests.dlq_replay.conftest import fill
from tests.pty.real import console
from tests.ui.pty_session import PtySession

pytestmark = pytest.mark.pty

EDITOR = """\
import pathlib, sys
file = pathlib.Path(sys.argv[1])
text = file.read_text()
print("the editor has the terminal:", sys.stdin.isatty() and sys.stdout.isatty(), "draft" if "tenant-9" in text else "")
match input():
    case "spoil":
        file.write_text(text.replace("tenant-0", "tenant-9").rstrip()[:-1])
    case "mend":
        file.write_text(text + "}")
"""


def edit_the_only_record(session: PtySession) -> None:
    session.wait_for("refused")
    session.press("2")
    session.wait_for("1 group")
    session.press("\r")
    session.wait_for("newest first")
    session.press("\r")
    session.wait_for("[Why]")
    session.press("E")


def test_an_edit_from_the_screen(home: Path) -> None:
    with Store.open(home / "dlq", component="test") as store:
        fill(store, "orders", 1)
    editor = home / "editor.py"
    editor.write_text(EDITOR)
    environ = {"ATOM_DLQ_ALLOW_EDIT": "true", "EDITOR": f"{sys.executable} {editor}", "VISUAL": ""}
    with console(home, **environ) as session:
        edit_the_only_record(session)
        session.wait_for("the editor has the terminal: True")
        session.press("spoil\r")
        session.wait_for("not JSON")
        session.press("E")
        session.wait_for("True draft")
        session.press("mend\r")
        session.wait_for("tenant_id: 'tenant-0' → 'tenant-9'")
        session.press("wrong tenant\r")
        session.wait_for("Edit 1 dead letter?")
        session.press("y")
        session.wait_for("Edited one dead letter: revision 1.")
        session.press("q")
        assert session.end(20) == 0
    with Store.open(home / "dlq", component="test") as store:
        reader = store.reader()
        record = reader.record(reader.page().records[0].id)
        reader.close()
    assert record is not None
    assert current_document(record)["tenant_id"] == "tenant-9"
    assert [entry.reason for entry in record.audit if entry.action == "edit"] == ["wrong tenant"]


def test_edits_are_off_unless_the_profile_allows_them(home: Path) -> None:
    with Store.open(home / "dlq", component="test") as store:
        fill(store, "orders", 1)
    with console(home, EDITOR=f"{sys.executable} -c 'raise SystemExit(9)'", VISUAL="") as session:
        edit_the_only_record(session)
        session.wait_for("The profile does not allow edits.")
