"""`certs …` from the command line: JSON, exit codes, and what is refused."""

from __future__ import annotations

import io
import json
import os
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from atom_console.cli import commands

PASSPHRASE = "correct horse battery staple"


@pytest.fixture
def certs(atom: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    entry = commands.Entry("atom_console.cli.certs_commands:certs", "Certificates.")
    monkeypatch.setitem(commands.COMMANDS, "certs", commands.COMMANDS.get("certs", entry))
    monkeypatch.setenv("ATOM_PKI_PASSPHRASE", PASSPHRASE)
    monkeypatch.setenv("ATOM_PKI_DIR", str(tmp_path / "pki"))

    def run(*arguments: str, **options: Any) -> Any:
        return atom("certs", *arguments, **options)

    return run


@pytest.fixture
def ready(certs: Callable[..., Any]) -> Callable[..., Any]:
    assert certs("init", "--host", "ops-1.internal", "--host", "10.0.0.9").code == 0
    return certs


def document(ended: Any) -> Any:
    return json.loads(ended.text)


def test_init_makes_what_the_host_needs_and_is_repeatable(certs: Callable[..., Any]) -> None:
    ended = certs("init", "--host", "ops-1.internal", "--json")
    assert ended.code == 0, ended.err
    names = [c["name"] for c in document(ended)["certificates"]]
    assert names[2:] == ["broker-ops-1", "flight-ops-1", "console"]
    again = certs("init", "--host", "ops-1.internal", "--json")
    assert document(again)["certificates"] == []


def test_init_names_this_host_by_itself(certs: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    for host in ("ops-2.internal", "bad_name", "10.1.2.3"):
        monkeypatch.setattr(socket, "gethostname", lambda host=host: host)
        assert certs("init").code == 0
    found = {c["name"]: c for c in document(certs("ls", "--json"))["certificates"]}
    assert "DNS:ops-2.internal" in found["broker-ops-2"]["sans"]
    assert "DNS:localhost" in found["flight-local"]["sans"]


def test_ls_has_the_fields_of_the_contract(ready: Callable[..., Any]) -> None:
    rows = document(ready("ls", "--json"))["certificates"]
    wanted = "name profile serial subject sans not_before not_after days_left issuer status key_type cert key chain"
    assert all(set(wanted.split()) <= set(row) for row in rows)
    assert all(Path(row["cert"]).exists() for row in rows)
    assert "broker-ops-1" in ready("ls").text
    assert "DAYS LEFT" in ready("ls", "--all").text


def test_issue_show_renew(ready: Callable[..., Any]) -> None:
    ended = ready("issue", "svc", "--profile", "client", "--san", "DNS:svc.internal", "--days", "3", "--json")
    assert ended.code == 0, ended.err
    assert document(ended)["certificates"][0]["notices"] == []
    assert ready("renew", "svc").code == 0
    assert len(document(ready("show", "svc", "--json"))["versions"]) == 2
    assert "superseded" in ready("show", "svc").text
    assert ready("renew", "--due").code == 0
    assert ready("renew").code == 2
    assert ready("show", "nobody").code == 2


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["issue", "x", "--profile", "client"], 2),
        (["issue", "x", "--profile", "client", "--san", "x.internal"], 2),
        (["issue", "x", "--san", "DNS:x.internal"], 2),
        (["issue", "x", "--profile", "client", "--san", "DNS:x.eu", "--days", "9999"], 2),
        (["issue", "console", "--profile", "client", "--san", "DNS:x.eu"], 5),
        (["revoke", "console"], 5),
        (["rotate-ca"], 5),
        (["rotate-ca", "--yes", "--passphrase-file", "/no/such/file"], 2),
        (["verify", "nobody"], 2),
        (["verify", "console", "--against", "nowhere"], 2),
        (["diagnose", "--as", "kafka"], 2),
        (["export", "console"], 2),
        (["trust"], 2),
    ],
)
def test_what_is_refused(ready: Callable[..., Any], arguments: list[str], code: int) -> None:
    ended = ready(*arguments)
    assert ended.code == code, ended.err
    assert ended.out == b""
    assert ended.err


def test_read_only_changes_nothing(ready: Callable[..., Any], atom: Callable[..., Any]) -> None:
    for arguments in (["renew", "console"], ["crl"], ["init"], ["revoke", "console", "--yes"], ["rescan"]):
        assert atom("--read-only", "certs", *arguments).code == 5
    assert atom("--read-only", "certs", "ls").code == 0
    assert atom("--read-only", "certs", "verify", "console").code == 0


def test_needs_renewal_has_codes_for_timers(ready: Callable[..., Any]) -> None:
    ended = ready("needs-renewal", "--json")
    assert (ended.code, document(ended)) == (0, {"code": 0, "certificates": []})
    ready("issue", "brief", "--profile", "client", "--san", "DNS:b.internal", "--days", "0.000012")
    ended = ready("needs-renewal", "brief", "--json")
    assert ended.code in {10, 20}
    assert ended.code == document(ended)["code"]


def test_a_fleet(ready: Callable[..., Any], tmp_path: Path) -> None:
    path = tmp_path / "fleet.toml"
    path.write_text('[[cert]]\nname="a"\nprofile="broker"\nsans=["DNS:a.internal"]\n')
    assert document(ready("issue", "--file", str(path), "--dry-run", "--json"))["dry_run"] is True
    assert document(ready("issue", "--file", str(path), "--json"))["certificates"][0]["action"] == "issued"
    assert "kept" in ready("issue", "--file", str(path)).text
    path.write_text("[[cert]]\nname=1\n")
    ended = ready("issue", "--file", str(path))
    assert ended.code == 2
    assert "cert[0].name" in ended.err


def test_csr_sign_import(ready: Callable[..., Any], tmp_path: Path) -> None:
    made = document(ready("csr", "edge", "--profile", "client", "--san", "DNS:edge.internal", "--json"))
    signed = ready("sign", made["csr"], "--name", "edge-signed", "--profile", "client", "--json")
    assert signed.code == 0, signed.err
    chain = document(signed)["certificates"][0]["chain"]
    assert ready("import", "edge", chain).code == 0
    assert ready("verify", "edge").code == 0


def test_verify_names_the_fault_and_exits_6(ready: Callable[..., Any]) -> None:
    assert ready("verify", "broker-ops-1", "--host", "ops-1.internal").code == 0
    ended = ready("verify", "broker-ops-1", "--host", "elsewhere.internal", "--json")
    assert ended.code == 6
    (found,) = [f for f in document(ended)["findings"] if f["severity"] == "error"]
    assert found["id"] == "name-mismatch"
    assert {"id", "severity", "subject", "message", "next_step"} <= set(found)
    assert "--san DNS:elsewhere.internal" in ready("verify", "broker-ops-1", "--host", "elsewhere.internal").text


def test_verify_against_a_peer_that_is_not_there(ready: Callable[..., Any]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    ended = ready("verify", "console", "--against", f"localhost:{port}", "--as", "flight", "--json")
    assert ended.code == 6
    assert document(ended)["findings"][0]["id"] == "connection-refused"
    assert document(ready("diagnose", f"localhost:{port}", "--as", "kafka", "--json"))["ok"] is False


def test_diagnose_explains_a_text(ready: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "error.txt"
    path.write_text("FlightUnavailableError: Socket closed")
    monkeypatch.setattr("sys.stdin", io.StringIO(path.read_text()))
    ended = ready("diagnose", "--error", "-", "--as", "flight", "--json")
    assert ended.code == 6
    assert document(ended)["findings"][0]["id"] == "certificate-required"
    path.write_text("... SSL alert number 45 (in state APIVERSION_QUERY)")
    ended = ready("diagnose", "--error", str(path), "--as", "kafka", "--certificate", "console")
    assert "peer-says-expired" in ended.text


def test_rotation_step_by_step(ready: Callable[..., Any]) -> None:
    assert document(ready("rotate-ca", "--plan", "--json"))["step"] == 1
    assert document(ready("rotate-ca", "--yes", "--json"))["step"] == 1
    assert ready("rotate-ca", "--yes").code == 5
    done = document(ready("rotate-ca", "--yes", "--distributed", "--json"))
    assert len(done["certificates"]) == 3
    assert ready("rotate-ca", "--yes").code == 5
    assert document(ready("rotate-ca", "--yes", "--peers-switched", "--json"))["retired"]


def test_revoke_crl_audit(ready: Callable[..., Any], tmp_path: Path) -> None:
    ended = ready("revoke", "console", "--yes", "--reason", "superseded", "--json")
    assert document(ended)["revoked"][0]["status"] == "revoked"
    assert Path(document(ready("crl", "--json"))["crl"]).exists()
    chain = document(ready("audit", "--json"))
    assert chain["ok"] is True
    assert ready("audit", "--rows").code == 0
    path = tmp_path / "pki" / "audit.jsonl"
    path.write_bytes(path.read_bytes().replace(b'"revoke"', b'"revokd"'))
    assert ready("audit", "--json").code == 6


def test_export(ready: Callable[..., Any], tmp_path: Path) -> None:
    assert ready("export", "broker-ops-1", "--out", str(tmp_path / "o"), "--key").code == 0
    assert ready("export", "broker-ops-1", "--out", str(tmp_path / "o"), "--key").code == 5
    assert ready("export", "broker-ops-1", "--out", str(tmp_path / "o"), "--key", "--replace").code == 0
    password = tmp_path / "password"
    password.write_text("changeit\n")
    password.chmod(0o600)
    arguments = ["--format", "pkcs12", "--out", str(tmp_path / "p"), "--password-file", str(password), "--json"]
    files = document(ready("export", "broker-ops-1", *arguments))["files"]
    assert [Path(path).stat().st_mode & 0o777 for path in files] == [0o600, 0o600]
    assert "crl_file" in ready("export", "broker-ops-1", "--format", "redpanda").text
    assert ready("rescan").code == 0


def test_a_passphrase_by_file_and_descriptor_wins_over_the_environment(
    ready: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ATOM_PKI_PASSPHRASE", "a wrong passphrase")
    ended = ready("renew", "console")
    assert ended.code == 6
    assert "a wrong passphrase" not in ended.err
    path = tmp_path / "pass"
    path.write_text(PASSPHRASE)
    path.chmod(0o600)
    assert ready("renew", "console", "--passphrase-file", str(path)).code == 0
    descriptor = os.open(path, os.O_RDONLY)
    assert ready("renew", "console", "--passphrase-fd", str(descriptor)).code == 0
    os.close(descriptor)
    monkeypatch.delenv("ATOM_PKI_PASSPHRASE")
    ended = ready("renew", "console")
    assert ended.code == 2
    assert "ATOM_PKI_PASSPHRASE_FILE" in ended.err


def test_help_of_every_command(certs: Callable[..., Any]) -> None:
    from atom_console.cli.certs_commands import certs as group

    for name in group.commands:
        assert "Example" in certs(name, "--help").text
