"""Dead letters whose every text is an attack on the terminal, looked at in every step and tab of the real program."""

from __future__ import annotations

from pathlib import Path

import pytest

from atom_console.dlq.insert import Cohorts, insert_records
from atom_console.dlq.record import NewRecord, Provenance
from atom_console.dlq.store import Store
from atom_console.dlq.troubles import trouble
from atom_console.events import AtomEvent, EventType, Molecule, encode
from tests.pty.real import console

pytestmark = pytest.mark.pty

NOW_MS = 1_795_486_447_000
CLIPBOARD = "\x1b]52;c;cHduZWQ=\x07"
CLEAR = "\x1b[2J\x1b[H"
HOSTILE = f"{CLIPBOARD}{CLEAR}[/nope][red]\u202eevil\u202c\x9b31m\u200b\r\n\x08\x1bP+q\x1b\\\x1b]0;title\x07"
ATTACKS = (
    *(b"\x1b]52", b"\x1b[2J\x1b[H[/", b"cHduZWQ=\x07", b"\x1bP+q", b"\x1b]0;", b"\x08"),
    *("\x9b".encode(), "\u202e".encode(), "\u200b".encode()),
)


def build(directory: Path) -> None:
    event = AtomEvent(
        event_id=HOSTILE,
        trace_id=HOSTILE,
        timestamp=NOW_MS * 1_000_000,
        type=EventType.MOLECULE_WRITE,
        tenant_id=HOSTILE,
        user_id=HOSTILE,
        molecules=[Molecule(text_commentary=HOSTILE, error_value=HOSTILE, timestamp=NOW_MS * 1_000_000)],
        schema_payload=HOSTILE,
    )
    foreign = trouble(
        origin="connect", err_class="unknown", err_name=f"Connect{HOSTILE}", message=HOSTILE, stage="VALUE_CONVERTER",
        component=HOSTILE, dest_topic=HOSTILE, cluster_id="kZ3fQ8", dlq_topic=HOSTILE,
    )  # fmt: skip
    records = [
        NewRecord(
            trouble=foreign,
            captured_at=NOW_MS + number,
            key=HOSTILE.encode(),
            value=value,
            headers=((HOSTILE, HOSTILE.encode()), ("trace_id", b"\x1b]52;c;cHduZWQ=\x07")),
            maybe_persisted=False,
            tenant_id=HOSTILE,
            event_id=HOSTILE,
            event_type=1,
            provenance=Provenance(0, number, NOW_MS, ((HOSTILE, HOSTILE.encode()),)),
        )
        for number, value in enumerate((encode(event), HOSTILE.encode()))
    ]
    with Store.open(directory, component="test") as store:
        store.run(
            lambda conn: insert_records(conn, records, Cohorts(), now_ms=NOW_MS, action="capture", reason=HOSTILE)
        )


def test_nothing_of_a_dead_letter_commands_the_terminal(home: Path) -> None:
    build(home / "dlq")
    with console(home, size=(160, 50), ATOM_CLEARANCE=str(2**64 - 1)) as session:
        session.wait_for("refused")
        session.wait_for("␛]<n>;c;")  # the group on the overview, numbers taken out
        session.press("2")
        session.wait_for("1 group")
        session.wait_for("␛]<n>;c;")
        session.press("\r")
        session.wait_for("newest first")
        session.wait_for("␛]52;c;")
        for _ in range(2):
            session.press("\r")
            session.wait_for("[Why]")
            session.wait_for("␛]52;c;")
            for tab in ("Event", "Bytes", "Headers", "History", "Why"):
                session.press("\x1b[C")
                session.wait_for(f"[{tab}]")
            session.press("\x1b")
            session.wait_for("newest first")
            session.press("j")
        session.press("\x1b/" + "tenant='[/nope]'\r")
        session.wait_for("[/nope]")
        session.press("?")
        session.wait_for("esc closes")
        session.press("\x1b")
        session.wait(lambda: "esc closes" not in session.text(), "the closed help")
        session.press("q")
        assert session.end(20) == 0
        raw = bytes(session.raw)
    found = [attack for attack in ATTACKS if attack in raw]
    assert not found
    assert b"[/nope]" in raw  # shown as it is, not taken for markup


def test_a_path_and_a_command_that_attack(home: Path) -> None:
    with console(home) as session:
        session.wait_for("refused")
        session.press(":workload /tmp/\x1b[200~" + HOSTILE.replace("\r\n", "") + "\x1b[201~\r")  # pasted
        session.wait_for("/tmp/")
        session.press(":nope[/nope]\r")
        session.wait_for("There is no command :nope[/nope].")
        session.press("q")
        assert session.end(20) == 0
        raw = bytes(session.raw)
    assert not [attack for attack in ATTACKS if attack in raw]
