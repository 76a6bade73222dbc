"""The certificates room: what it draws, and every verb by keys alone, on a real certificate authority."""

from __future__ import annotations

import dataclasses
import logging
from pathlib import Path

import pytest
from frames import check_frame, console, frame, sizes
from scripted import NOW_MS, ScriptedEngine, flowing

from atom_console.config import load
from atom_console.engine.certificate_desk import CertificateDesk
from atom_console.engine.certificate_watch import read_inventory
from atom_console.engine.commands import CertificateCommand, Command, Receipt, RenewCertificates
from atom_console.engine.poller import Reading
from atom_console.engine.sections import certificate_section
from atom_console.engine.snapshot import CertificateRow, CertificateSection, EngineSnapshot
from atom_console.errors import RefusedError
from atom_console.pki import issuing
from atom_console.pki.findings import finding
from atom_console.pki.issuing import Order
from atom_console.pki.passphrase import Passphrase, fixed
from atom_console.pki.probe import Probe, Target
from atom_console.pki.profiles import load_profiles
from atom_console.pki.rotation import Plan
from atom_console.pki.store import Store
from atom_console.pki.translate import Transport
from atom_console.pki.verify import Report
from atom_console.ui.rooms.certificates import questions
from atom_console.ui.rooms.certificates.form import Answers
from atom_console.ui.rooms.certificates.words import days_text

SECRET = "planted-correct-horse-battery"
STAPLE = "planted-store-password"

ROWS = (
    CertificateRow("flight-0", "flight-server", -3.2, "expired", None, -0.03, "over", "leaf", ("DNS:flight-0.eu",)),
    CertificateRow(
        "flight-1", "flight-server", 6.4, "renew now", "flight server", 0.07, "critical", "leaf",
        ("DNS:flight-1.internal", "IP:10.0.0.9"),
    ),
    CertificateRow(
        "ops-alice", "client", 24.1, "ok", "this console", 0.8, "", "leaf", ("URI:spiffe://atom.internal/ops/alice",)
    ),
    CertificateRow("broker-1", "broker", 26.2, "renew now", "kafka listener", 0.29, "soon", "leaf", ("DNS:broker-1",)),
    CertificateRow("svc-new", "client", 30.0, "not yet valid", None, 1.0, "", "leaf", ("DNS:svc.eu",)),
    CertificateRow("atom-issuing-2026-1a2b", "intermediate", 700.0, "ok", None, 0.64, "", "intermediate"),
    CertificateRow("atom-root-2026-77aa", "root", 3000.0, "ok", None, 0.82, "", "root"),
)  # fmt: skip
SECTION = CertificateSection(
    age_s=3.0,
    rows=ROWS,
    directory="/home/alice/.local/state/atom-console/pki",
    issuer="atom-issuing-2026-1a2b",
    root_key_here=False,
)
STATES = {
    "list": SECTION,
    "rotating": dataclasses.replace(SECTION, rotation_step=1, root_key_here=True),
    "empty": CertificateSection(age_s=1.0, directory="/home/alice/.local/state/atom-console/pki"),
    "unread": CertificateSection(),
    "unreadable": CertificateSection(
        detail="/home/alice/pki/state.json cannot be read: Permission denied",
        next_step="make it readable for this user, or set ATOM_PKI_DIR",
    ),
    "stale": dataclasses.replace(
        SECTION,
        age_s=94.0,
        detail="/home/alice/pki/state.json cannot be read: Input/output error",
        next_step="look at the disk",
    ),
    "expired": dataclasses.replace(SECTION, rows=ROWS[:1]),
}  # fmt: skip


def with_certificates(section: CertificateSection) -> EngineSnapshot:
    return dataclasses.replace(flowing(), certificates=section)


@sizes
@pytest.mark.parametrize("state", STATES)
async def test_the_list(size: tuple[int, int], state: str) -> None:
    async with console(ScriptedEngine(with_certificates(STATES[state])), size) as (app, press):
        await press("5")
        check_frame(app, f"certificates-{state}")


@sizes
async def test_findings(size: tuple[int, int]) -> None:
    target = Target("flight-1.eu", 50051, Transport.FLIGHT)
    named = finding(
        "name-mismatch",
        "flight-1.eu:50051",
        "the server is flight.eu (SAN: flight-1.internal, 10.0.0.9); you dialled flight-1.eu",
        "issue with --san DNS:flight-1.eu",
    )
    due = finding("expires-soon", "ops-alice", "it ends in 6.0 days", "run: atom-console certs renew ops-alice")
    report = Report("ops-alice", (named, due), None, Probe(target, (named,), (), "TLSv1.3", "h2", True))
    engine = ScriptedEngine(with_certificates(SECTION))
    engine.answer = lambda command: Receipt(f"{report.sentence}.", NOW_MS, ok=False, value=report)
    async with console(engine, size) as (app, press):
        await press("5", "down", "down", "colon", *"verify flight-1.eu:50051 flight", "enter")
        check_frame(app, "certificates-findings")
        command = engine.submitted[-1]
        assert (command.name, command.against, command.transport) == ("ops-alice", "flight-1.eu:50051", "flight")  # type: ignore[attr-defined]
        await press("escape")
        assert "▸ ops-alice" in frame(app)


@sizes
async def test_the_rotation_says_what_it_will_do(size: tuple[int, int]) -> None:
    plan = Plan(
        2,
        ("the new issuing CA signs from now on", "every leaf whose key is here gets a new key and certificate"),
        leaves=("broker-1", "flight-1", "ops-alice"),
        foreign=("svc-rust",),
    )
    engine = ScriptedEngine(with_certificates(SECTION))
    engine.answer = lambda command: Receipt("Step 2 of 3 is next.", NOW_MS, value=plan)
    async with console(engine, size) as (app, press):
        await press("5", "R")
        check_frame(app, "certificates-rotate")
        await press("ctrl+s")
        assert "type yes when every peer has the trust bundle" in " ".join(frame(app).split())
        assert [type(command).__name__ for command in engine.submitted] == ["PlanRotation"]


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        (ROWS[2:3], "5 Certificates"),
        (ROWS[2:4], "5 Certificates 26 d left"),
        (ROWS[1:3], "5 Certificates 6 d left!"),
        (ROWS, "5 Certificates 1 expired"),
    ],
)
async def test_expiry_in_the_chrome_at_80_columns(rows: tuple[CertificateRow, ...], words: str) -> None:
    async with console(ScriptedEngine(with_certificates(dataclasses.replace(SECTION, rows=rows)))) as (app, press):
        assert " ".join(frame(app).splitlines()[1].split()).endswith(words)
        await press("5")
        shown = " ".join(frame(app).splitlines()[1].split()).replace("[", "").replace("]", "")
        assert shown.endswith(words)


def test_days_are_whole() -> None:
    assert [days_text(days) for days in (None, -3.2, 0.4, 1.0, 54.9)] == ["?", "0", "<1", "1", "54"]


async def test_filter_sort_and_marks() -> None:
    engine = ScriptedEngine(with_certificates(SECTION))
    async with console(engine, (120, 40)) as (app, press):
        await press("5", "slash", *"flight", "enter")
        shown = frame(app)
        assert "flight-1" in shown
        assert "ops-alice" not in shown
        await press("asterisk", "r")
        assert "Renew 2 certificates" in frame(app)
        await press("escape", "escape", "s")
        assert "Sorted by name." in frame(app)
        await press("escape", "escape")
        assert "[1 Overview]" in frame(app)
        assert engine.submitted == []


async def test_a_ca_is_not_renewed_and_read_only_changes_nothing() -> None:
    engine = ScriptedEngine(with_certificates(SECTION))
    async with console(engine, (120, 40)) as (app, press):
        await press("5", "G", "r")
        assert "atom-root-2026-77aa is a CA. → R replaces the CA" in frame(app)
    base = with_certificates(SECTION)
    engine = ScriptedEngine(dataclasses.replace(base, session=dataclasses.replace(base.session, read_only=True)))
    async with console(engine, (120, 40)) as (app, press):
        await press("5")
        for key in ("r", "i", "R"):
            await press(key)
            assert "the profile prod is read-only" in frame(app)
        assert engine.submitted == []


# On a real certificate authority.


class DeskEngine(ScriptedEngine):
    """The scripted engine with a real counter behind it."""

    def __init__(self, root: Path) -> None:
        settings = load(config_file=None, environ={}, overrides=[f"pki.dir={root}"]).settings
        self.desk, self._settings_now = CertificateDesk(settings), settings
        super().__init__(flowing())
        self.answer = self._do

    def snapshot(self) -> EngineSnapshot:
        section = certificate_section(Reading(read_inventory(self._settings_now), 0.0, None, 0.0), 0.0)
        session = dataclasses.replace(flowing().session, confirm="plain")
        return dataclasses.replace(flowing(), session=session, certificates=section)

    def _do(self, command: Command) -> Receipt:
        assert isinstance(command, CertificateCommand)
        return self.desk.do(command)


@pytest.fixture
def authority(tmp_path: Path) -> Store:
    store = Store(tmp_path / "pki")
    issuing.init(store, fixed(Passphrase(SECRET)), [Order("broker-1", "broker", ("DNS:localhost", "IP:127.0.0.1"))])
    return store


@sizes
async def test_the_issue_form_checks_while_one_types(size: tuple[int, int]) -> None:
    engine = ScriptedEngine(with_certificates(SECTION))
    engine.answer = lambda command: Receipt("Read 5 profiles.", NOW_MS, value=load_profiles())
    async with console(engine, size) as (app, press):
        await press("5", "i")
        check_frame(app, "certificates-issue-empty")
        await press(*"broker-1", "enter", *"server", "enter", *"dns:grid.eu")
        check_frame(app, "certificates-issue-wrong")
        await press("up", "ctrl+u", *"broker", "up", "end", "backspace", *"2", "down", "down", "down", "down")
        await press(*"ed25519", "enter", *SECRET)
        check_frame(app, "certificates-issue-right")
        assert SECRET not in frame(app)


async def test_issue_by_keys_alone_at_80x24(authority: Store, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    engine = DeskEngine(authority.root)
    drawn: list[str] = []
    async with console(engine) as (app, press):
        await press("5", "i")
        await press(*"broker-1", "enter", *"server", "enter", *"dns:grid.eu")
        await press("up", "up", "end", "backspace", *"2")
        await press("down", "ctrl+u", *"broker")
        await press("enter", "end", *" ip:10.0.0.300")
        assert "10.0.0.300" in frame(app)
        await press(*["backspace"] * 3, *"30", "enter", *"999")
        assert "expected more than 0 and at most 398" in frame(app)
        await press("ctrl+u", *"60", "enter", *"rsa1024")
        assert "expected ec-p256" in frame(app)
        await press("ctrl+u", "enter")
        await press(*SECRET)
        drawn.append(frame(app))
        await press("enter")
        assert engine.submitted[-1:] == engine.submitted[:1]  # only the profiles were read: enter sends nothing
        await press("ctrl+s")
        assert "Issue 1 certificate?" in frame(app)
        await press("enter")
        assert "broker-2" not in {entry.name for entry in authority.entries()}
        await press("y")
        drawn.append(frame(app))
        assert "Issued broker-2 for 60 days." in frame(app)
    entry = authority.find("broker-2")
    assert entry.sans == ("DNS:grid.eu", "IP:10.0.0.30")
    # The passphrase was typed, and stands nowhere: not on the screen, in the log, the audit, or the commands.
    told = [*drawn, caplog.text, repr(engine.submitted), (authority.root / "audit.jsonl").read_text()]
    assert all(SECRET not in text for text in told)


async def test_renew_verify_look_and_export_by_keys(authority: Store, tmp_path: Path) -> None:
    engine = DeskEngine(authority.root)
    before = authority.find("broker-1").serial
    async with console(engine, (120, 40), save_dir=tmp_path) as (app, press):
        await press("5", "slash", *"broker", "enter", "r", *"wrong passphrase", "ctrl+s", "y")
        assert authority.find("broker-1").serial == before
        assert app._receipt is not None
        assert not app._receipt.ok
        await press("r", *SECRET, "ctrl+s", "y")
        assert "Renewed broker-1" in frame(app)
        assert authority.find("broker-1").serial != before
        await press("v")
        assert "✓ broker-1: good" in frame(app)
        await press("escape", "enter")
        shown = frame(app)
        assert before in shown
        assert "superseded" in shown
        await press("Y", "escape", "e", *"librdkafka", "ctrl+s")
        assert "ssl.certificate.location" in frame(app)
        out = tmp_path / "out"
        await press("escape", "e", *"pkcs12", "enter", *str(out), "enter", "enter", "enter", *STAPLE)
        assert STAPLE not in frame(app)
        await press("ctrl+s")
        assert "Wrote broker-1.keystore.p12, truststore.p12" in frame(app)
        await press("e", *"pem", "enter", *str(out), "enter", *"yes", "ctrl+s")
        assert "broker-1.key.pem" in frame(app)
    assert {path.stat().st_mode & 0o777 for path in out.iterdir()} == {0o600}
    assert (tmp_path / "certificate-broker-1-everything.txt").exists()


async def test_the_ca_is_rotated_by_keys_one_screen_a_step(authority: Store) -> None:
    engine = DeskEngine(authority.root)
    async with console(engine) as (app, press):
        await press("5", "R")
        assert "step 1 of 3: prepare" in frame(app)
        await press(*"short", "ctrl+s")
        assert "at least 12 bytes" in frame(app)
        await press("up", *"pe", "ctrl+s")
        assert "keep root: yes or no" in frame(app)
        await press("ctrl+u", "down", "ctrl+u", *SECRET, "ctrl+s", "y")
        assert "step 2 of 3: switch" in frame(app)
        assert authority.bundle.read_bytes().count(b"BEGIN CERTIFICATE") == 2
        await press(*"yes", "enter", *SECRET, "ctrl+s")
        assert "Re-issue 1 certificate?" in frame(app)
        await press("y")
        assert "step 3 of 3: retire" in frame(app)
        await press("ctrl+s")
        assert "type yes when no peer uses" in " ".join(frame(app).split())
        await press(*"yes", "ctrl+s", "y")
        assert "Retired" in frame(app)
    assert authority.bundle.read_bytes().count(b"BEGIN CERTIFICATE") == 1


async def test_a_refusal_is_a_sentence() -> None:
    def refuse(command: object) -> Receipt:
        raise RefusedError("another process holds the PKI directory", next_step="wait for it")

    engine = ScriptedEngine(with_certificates(SECTION))
    engine.answer = refuse
    async with console(engine, (120, 40)) as (app, press):
        await press("5", "v")
        assert "another process holds the PKI directory → wait for it" in frame(app)
        await press("i")
        assert len(app.screen_stack) == 1


# The forms alone.


@pytest.mark.parametrize(
    ("answers", "field"),
    [
        ({"name": ""}, "name"),
        ({"name": "a/b"}, "name"),
        ({"name": "taken"}, "name"),
        ({"profile": "root"}, "profile"),
        ({"names": ""}, "names"),
        ({"names": "grid.eu"}, "names"),
        ({"names": "DNS:*.eu"}, "names"),
        ({"names": "URI:spiffe://x/y"}, "names"),
        ({"days": "soon"}, "days"),
        ({"days": "0"}, "days"),
        ({"key type": "dsa"}, "key type"),
    ],
)
def test_the_form_names_what_is_wrong(answers: dict[str, str], field: str) -> None:
    good = {"name": "broker-9", "profile": "broker", "names": "DNS:b.eu", "days": "", "key type": ""}
    check = questions.issue_check(load_profiles(), frozenset({"taken"}), passphrase_set=True)
    assert check(Answers(good)).value is not None
    checked = check(Answers(good | answers))
    assert checked.value is None
    assert set(checked.wrong) == {field}


def test_a_form_without_a_passphrase_says_so_only_where_the_settings_have_none() -> None:
    assert questions.renew_check(["a"], passphrase_set=True)(Answers({})).value == RenewCertificates(names=("a",))
    assert set(questions.renew_check(["a"], passphrase_set=False)(Answers({})).wrong) == {"passphrase"}
