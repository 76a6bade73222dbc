"""The counter of the certificate authority: what the screen's commands do, and what they refuse."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from atom_console.config import Loaded
from atom_console.engine.certificate_watch import read_inventory
from atom_console.engine.commands import (
    CertificateCommand,
    ExportCertificate,
    IssueCertificate,
    PlanRotation,
    ReadProfiles,
    RenewCertificates,
    RotateCa,
    ShowCertificate,
    ShowSnippet,
    VerifyCertificate,
)
from atom_console.engine.engine import Engine
from atom_console.errors import AtomError, InputError, RefusedError
from atom_console.pki import issuing
from atom_console.pki.errors import GuardError, PassphraseError, StoreDamagedError, UnknownCertificateError
from atom_console.pki.issuing import Order
from atom_console.pki.passphrase import Passphrase, fixed
from atom_console.pki.store import Store

SECRET = Passphrase("correct horse battery staple")


@pytest.fixture
def store(tmp_path: Path) -> Store:
    made = Store(tmp_path / "pki")
    issuing.init(
        made,
        fixed(SECRET),
        [Order("broker-1", "broker", ("DNS:localhost",)), Order("console", "client", ("DNS:console.eu",))],
    )
    return made


@pytest.fixture
def engine(store: Store, loaded_for: Callable[..., Loaded]) -> Engine:
    return Engine(loaded_for("127.0.0.1:1", f"pki.dir={store.root}", "kafka.certificate=console"), produce=False)


def test_issue_renew_verify_and_show(engine: Engine, store: Store) -> None:
    assert "client" in engine.submit(ReadProfiles()).value
    order = Order("svc-grid", "client", ("URI:spiffe://atom.internal/svc/grid",))
    said = engine.submit(IssueCertificate(order=order, passphrase=SECRET))
    assert said.text.startswith("Issued svc-grid for 30 days.")
    first = store.find("svc-grid").serial
    said = engine.submit(RenewCertificates(names=["svc-grid"], passphrase=SECRET))
    assert said.text == "Renewed svc-grid; the old pairs stay valid until their end."
    detail = engine.submit(ShowCertificate(name="svc-grid")).value
    assert [version.serial for version in detail.versions][1] == first
    assert detail.entry.serial != first
    said = engine.submit(VerifyCertificate(name="svc-grid"))
    assert said.ok
    assert said.text == "svc-grid: good."
    said = engine.submit(VerifyCertificate(name="svc-grid", against="127.0.0.1:1"))
    assert not said.ok
    assert said.value.findings[0].id == "connection-refused"
    assert "ssl.certificate.location" in engine.submit(ShowSnippet(name="svc-grid", form="librdkafka")).value


def test_the_ca_is_rotated_step_by_step_and_not_another_step(engine: Engine, store: Store) -> None:
    assert engine.submit(PlanRotation()).value.step == 1
    with pytest.raises(RefusedError, match="step 1 is next, not step 2"):
        engine.submit(RotateCa(step=2, distributed=True, passphrase=SECRET))
    engine.submit(RotateCa(step=1, passphrase=SECRET))
    assert store.bundle.read_bytes().count(b"BEGIN CERTIFICATE") == 2
    with pytest.raises(GuardError, match="trust the new root"):
        engine.submit(RotateCa(step=2, passphrase=SECRET))
    said = engine.submit(RotateCa(step=2, distributed=True, passphrase=SECRET))
    assert said.text == "Switched to the new CA: 2 certificates re-issued."
    with pytest.raises(GuardError):
        engine.submit(RotateCa(step=3))
    engine.submit(RotateCa(step=3, peers_switched=True))
    assert store.bundle.read_bytes().count(b"BEGIN CERTIFICATE") == 1


def test_files_are_written_where_asked_and_never_over_others(engine: Engine, tmp_path: Path) -> None:
    out = tmp_path / "out"
    said = engine.submit(ExportCertificate(name="broker-1", form="pem", directory=out, with_key=True))
    assert sorted(path.name for path in said.value) == ["broker-1.chain.pem", "broker-1.key.pem", "ca.pem"]
    with pytest.raises(RefusedError, match="is there already"):
        engine.submit(ExportCertificate(name="broker-1", form="pem", directory=out))
    with pytest.raises(InputError, match="needs a password"):
        engine.submit(ExportCertificate(name="broker-1", form="pkcs12", directory=out))
    said = engine.submit(
        ExportCertificate(name="broker-1", form="pkcs12", directory=out, password=Passphrase("changeit-now"))
    )
    assert (out / "broker-1.keystore.p12").stat().st_mode & 0o777 == 0o600


def test_without_a_passphrase_nothing_is_asked_and_nothing_hangs(engine: Engine) -> None:
    with pytest.raises(PassphraseError, match="needs a passphrase"):
        engine.submit(RenewCertificates(names=["console"]))
    with pytest.raises(AtomError):
        engine.submit(RenewCertificates(names=["console"], passphrase=Passphrase("wrong passphrase")))
    with pytest.raises(UnknownCertificateError):
        engine.submit(ShowCertificate(name="nobody"))


@pytest.mark.parametrize(
    "command",
    [
        IssueCertificate(order=Order("x", "client", ("DNS:x.eu",)), passphrase=SECRET),
        RenewCertificates(names=["console"], passphrase=SECRET),
        RotateCa(step=1, passphrase=SECRET),
        ExportCertificate(name="console", form="pem", directory=Path("out")),
    ],
    ids=lambda command: type(command).__name__,
)
def test_a_read_only_profile_changes_nothing(
    command: CertificateCommand, store: Store, loaded_for: Callable[..., Loaded]
) -> None:
    before = (store.root / "audit.jsonl").read_bytes()
    reading = Engine(loaded_for("127.0.0.1:1", f"pki.dir={store.root}", read_only=True))
    with pytest.raises(RefusedError, match="read-only"):
        reading.submit(command)
    assert reading.submit(PlanRotation()).value.step == 1
    assert (store.root / "audit.jsonl").read_bytes() == before


def test_the_watch_tells_how_the_ca_stands(store: Store, loaded_for: Callable[..., Loaded]) -> None:
    settings = loaded_for("127.0.0.1:1", f"pki.dir={store.root}", "kafka.certificate=console").settings
    facts = read_inventory(settings)
    assert [row.name for row in facts.rows][:2] == ["console", "broker-1"]
    assert {row.kind for row in facts.rows} == {"leaf", "intermediate", "root"}
    assert facts.rows[0].used_by == "Kafka client"
    assert facts.rows[0].left == pytest.approx(1, abs=0.01)
    assert facts.issuer is not None
    assert facts.root_key_here is True
    assert facts.passphrase_set is False
    root = next(row for row in facts.rows if row.kind == "root")
    key = store.find(root.name).key
    assert key is not None
    key.rename(store.root / "elsewhere.pem")
    (store.root / "inventory.json").unlink()
    assert read_inventory(settings).root_key_here is False
    (store.root / "state.json").write_text("{")
    with pytest.raises(StoreDamagedError):
        read_inventory(settings)


def test_no_command_shows_its_passphrase() -> None:
    for command in (
        RenewCertificates(names=["a"], passphrase=SECRET),
        ExportCertificate(name="a", form="pkcs12", directory=Path("o"), password=SECRET),
    ):
        assert "correct horse" not in repr(command)
