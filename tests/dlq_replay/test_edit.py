"""Edits: the original stays, the id changes where it must, rules repair many, masks hold."""

from __future__ import annotations

import sys
from pathlib import Path
from threading import Event
from typing import Any

import pytest

from atom_console.config import Settings
from atom_console.dlq.check import check
from atom_console.dlq.edit import current_document, document_from_text, document_text, prepare, store_edit
from atom_console.dlq.edit_rules import RuleFileError, apply_rules, load_rules
from atom_console.dlq.errors import FilterError, IllegalTransitionError, StaleRecordError
from atom_console.dlq.filters import Filter
from atom_console.dlq.record import RecordDetail
from atom_console.dlq.replay.reading import connect
from atom_console.dlq.store import Store
from atom_console.errors import RefusedError
from atom_console.events import AtomEvent, EncodeError, EventType, Molecule, decode, encode
from tests.broker.handle import BrokerHandle
from tests.dlq_replay.conftest import fill, read_topic, replay
from tests.dlq_replay.test_commands import dlq_cli  # noqa: F401 -- a fixture
from tests.ui.pty_session import PtySession


@pytest.fixture
def may_edit(replay_on: Settings) -> Settings:
    return replay_on.model_copy(update={"dlq": replay_on.dlq.model_copy(update={"allow_edit": True})})


def first(store: Store) -> RecordDetail:
    reader = store.reader()
    record = reader.record(reader.page(order="oldest").records[0].id)
    reader.close()
    assert record is not None
    return record


def test_an_edit_is_a_new_revision_and_is_what_a_replay_sends(
    kafka: BrokerHandle, kafka_topic: str, replay_store: Store, may_edit: Settings
) -> None:
    fill(replay_store, kafka_topic, 1, code=10, maybe=True)
    record = first(replay_store)
    document = current_document(record)
    document["molecules"][0]["numeric_value"] = 42.5
    edit = prepare(record, document)
    assert {d.path for d in edit.differences} == {"molecules[0].numeric_value"}
    assert not edit.new_id  # refused before it was written: it provably never reached the broker
    stored = store_edit(replay_store, may_edit, edit, "the limit is 40")
    assert stored.rev == 1
    with pytest.raises(StaleRecordError):
        store_edit(replay_store, may_edit, edit, "twice")
    now = first(replay_store)
    assert now.row.state == "ready"
    assert [one.rev for one in now.revisions] == [0, 1]
    assert now.revisions[0].value == record.current.value
    assert "edit" in [entry.action for entry in now.audit]
    conn = connect(replay_store.directory)
    assert check(conn).ok
    conn.close(True)
    _, report = replay(replay_store, may_edit)
    assert report.run.verified == "verified: 0 lost, 0 duplicates"
    (message,) = read_topic(kafka.bootstrap, kafka_topic)
    sent = decode(message.value()).molecules
    assert sent is not None
    assert sent[0].numeric_value == 42.5
    assert "x-atom-edited-from" not in dict(message.headers())


def test_an_event_that_may_have_arrived_gets_a_new_id(
    kafka: BrokerHandle, kafka_topic: str, replay_store: Store, may_edit: Settings
) -> None:
    fill(replay_store, kafka_topic, 1, code=-192, maybe=True)
    record = first(replay_store)
    document = current_document(record)
    document["tenant_id"] = "tenant-9"
    edit = prepare(record, document)
    assert edit.new_id
    assert edit.key == b"tenant-9"
    store_edit(replay_store, may_edit, edit, "wrong tenant")
    replay(replay_store, may_edit)
    (message,) = read_topic(kafka.bootstrap, kafka_topic)
    assert message.key() == b"tenant-9"
    assert decode(message.value()).event_id == edit.event_id != record.row.event_id
    assert dict(message.headers())["x-atom-edited-from"] == str(record.row.event_id).encode()


def test_what_may_not_be_edited(replay_store: Store, replay_on: Settings, may_edit: Settings) -> None:
    fill(replay_store, "t", 1)
    record = first(replay_store)
    document = current_document(record)
    with pytest.raises(FilterError, match="changes nothing"):
        prepare(record, document)
    with pytest.raises(EncodeError):
        prepare(record, {**document, "timestamp": "yesterday"})
    edit = prepare(record, {**document, "user_id": "bob"})
    with pytest.raises(RefusedError, match="does not allow edits"):
        store_edit(replay_store, replay_on, edit, "x")
    with pytest.raises(FilterError, match="reason"):
        store_edit(replay_store, may_edit, edit, " ")
    replay_store.run(lambda conn: conn.execute("UPDATE record SET state = 'unknown'"))
    with pytest.raises(IllegalTransitionError, match="unknown"):
        prepare(first(replay_store), {**document, "user_id": "bob"})


def test_rules(tmp_path: Path) -> None:
    path = tmp_path / "rules.toml"
    path.write_text(
        '[[rule]]\nset = { tenant_id = "t-2" }\ndefault = { user_id = "unknown" }\n'
        'rename = { "molecules[].error_value" = "molecules[].text_commentary" }\n'
        '[[rule]]\ndrop = ["molecules[].date_value"]\n'
    )
    before: dict[str, Any] = {"tenant_id": "t-1", "molecules": [{"error_value": "#N/A", "date_value": "x"}, {}]}
    after = apply_rules(before, load_rules(path))
    assert after == {"tenant_id": "t-2", "user_id": "unknown", "molecules": [{"text_commentary": "#N/A"}, {}]}
    assert before["tenant_id"] == "t-1"
    for text in ("", "x = 1", "[[rule]]\n", "[[rule]]\nset = { nobody = 1 }\n", "[[rule]]\nmove = {}\n", "[[rule"):
        path.write_text(text)
        with pytest.raises(RuleFileError):
            load_rules(path)


def test_the_command_is_off_by_default_and_dry_by_default(
    replay_store: Store,
    dlq_cli: Any,  # noqa: F811 -- the fixture
    tmp_path: Path,
) -> None:
    fill(replay_store, "t", 3, keys=3)
    rules = tmp_path / "rules.toml"
    rules.write_text('[[rule]]\nset = { "molecules[].text_commentary" = "gone", user_id = "bob" }\n')
    arguments = ("dlq", "edit", "--rules", str(rules), "--state", "ready", "--reason", "repair")
    assert dlq_cli(*arguments)[0] == 5
    code, found, err = dlq_cli(*arguments, ATOM_DLQ_ALLOW_EDIT="true")
    assert code == 0, err
    assert [one["revision"] for one in found["edits"]] == [None, None, None]
    code, found, _ = dlq_cli(*arguments, "--yes", ATOM_DLQ_ALLOW_EDIT="true")
    assert code == 0
    assert [one["revision"] for one in found["edits"]] == [1, 1, 1]
    reader = replay_store.reader()
    assert len(reader.page(Filter(states=("ready",))).records) == 3
    reader.close()
    assert Event is not None


def secret_event() -> AtomEvent:
    commentary = "SECRET \x9b2J\u202e"
    return AtomEvent(
        event_id="e", timestamp=1, type=EventType.MOLECULE_WRITE, tenant_id="t",
        molecules=[Molecule(coordinate_hash=bytes(16), text_commentary=commentary, security_mask=4)],
    )  # fmt: skip


def test_masked_molecules_stay_masked_in_the_differences(replay_store: Store, dlq_cli: Any, tmp_path: Path) -> None:  # noqa: F811
    fill(replay_store, "t", 1, value=encode(secret_event()))
    rules = tmp_path / "rules.toml"
    rules.write_text('[[rule]]\nset = { "molecules[].text_commentary" = "NEW" }\n')
    arguments = ("dlq", "edit", "--rules", str(rules), "--all", "--reason", "repair")
    code, found, err = dlq_cli(*arguments, ATOM_DLQ_ALLOW_EDIT="true")
    assert code == 0, err
    assert "SECRET" not in str(found)
    assert found["changes"][0]["masked"]
    _, found, _ = dlq_cli(*arguments, ATOM_DLQ_ALLOW_EDIT="true", ATOM_CLEARANCE="4")
    assert found["changes"][0]["before"].startswith("SECRET")


@pytest.mark.pty
def test_by_hand_in_the_editor(replay_store: Store, tmp_path: Path) -> None:
    """A typing error loses nothing: the editor opens again on the same text; then the difference, then the question."""
    fill(replay_store, "t", 1)
    record = first(replay_store)
    editor = tmp_path / "editor.py"
    editor.write_text(
        "import pathlib, sys\n"
        "file, turns = pathlib.Path(sys.argv[1]), pathlib.Path(__file__).with_suffix('.turns')\n"
        "turns.open('a').write('x')\n"
        "text = file.read_text()\n"
        "first = turns.read_text() == 'x'\n"
        "file.write_text(text.rstrip()[:-1] if first else text.replace('tenant-0', 'tenant-9') + '}')\n"
    )
    environ = {
        "ATOM_DLQ_DIR": str(replay_store.directory),
        "ATOM_DLQ_ALLOW_EDIT": "true",
        "ATOM_LOG_FILE": str(tmp_path / "log.jsonl"),
        "EDITOR": f"{sys.executable} {editor}",
        "VISUAL": "",
    }
    command = [sys.executable, "-m", "atom_console", "dlq", "edit", record.row.id, "--reason", "wrong tenant"]
    with PtySession(tmp_path, (120, 40), command, **environ) as session:
        session.wait_for("Open the editor again?")
        assert "not JSON" in session.text()
        session.press("y\r")
        session.wait_for("Store this revision?")
        assert "tenant_id: 'tenant-0' → 'tenant-9'" in session.text()
        session.press("y\r")
        assert session.end() == 0, session.text()
    assert [one.rev for one in first(replay_store).revisions] == [0, 1]


def test_what_is_masked_is_not_opened_in_an_editor(replay_store: Store) -> None:
    fill(replay_store, "t", 1, value=encode(secret_event()))
    with pytest.raises(FilterError, match="1 of its molecules are masked"):
        document_text(first(replay_store), clearance=3)
    text = document_text(first(replay_store), clearance=4)
    assert "\\u009b2J\\u202e" in text
    assert document_from_text(text) == current_document(first(replay_store))


def test_a_file_that_is_no_event_is_named(replay_store: Store, dlq_cli: Any, tmp_path: Path) -> None:  # noqa: F811
    fill(replay_store, "t", 1)
    path = tmp_path / "fixed.json"
    for text, said in (("{", "not JSON"), ("[]", "not a JSON object")):
        path.write_text(text)
        arguments = ("dlq", "edit", first(replay_store).row.id, "--event", str(path), "--reason", "r")
        code, _, err = dlq_cli(*arguments, ATOM_DLQ_ALLOW_EDIT="true")
        assert code == 2
        assert f"{path}: {said}" in err
