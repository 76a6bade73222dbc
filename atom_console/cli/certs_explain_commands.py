"""`certs verify`, `diagnose`, `audit`, `rescan`: what is wrong, and what to do about it."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from atom_console.cli.certs_shared import (
    CHECK_FAILED,
    certs,
    entry_json,
    open_store,
    passphrase,
    read_text,
    secret_options,
)
from atom_console.cli.frame import CliContext, json_option, pass_context
from atom_console.cli.output import print_json, print_line, print_table

if TYPE_CHECKING:
    from atom_console.pki.findings import Finding
    from atom_console.pki.verify import Report

_FILE = click.Path(path_type=Path)
_TRANSPORTS = click.Choice(["kafka", "flight"])


@certs.command(
    examples=(
        "atom-console certs verify broker-1 --host broker-1.internal",
        "atom-console certs verify console --against broker-1.internal:9093 --as kafka",
    )
)
@click.argument("targets", nargs=-1, required=True, metavar="NAME|FILE…")
@click.option("--against", metavar="HOST:PORT", help="Also talk to this peer, as the client that owns the pair.")
@click.option("--as", "transport", type=_TRANSPORTS, default="kafka", show_default=True, help="What the peer is.")
@click.option("--host", metavar="NAME", help="The name that clients dial, for a server's certificate.")
@click.option("--key", type=_FILE, metavar="FILE", help="The key of a certificate FILE.")
@click.option("--ca", type=_FILE, metavar="FILE", help="Another CA bundle than our own.")
@click.option("--plaintext", is_flag=True, help="Talk to the peer without TLS, as a client set to plaintext does.")
@click.option("--timeout", "timeout_s", type=click.FloatRange(min=0.1), default=5.0, show_default=True, help="Seconds.")
@secret_options
@json_option
@pass_context
def verify(
    cli: CliContext,
    targets: tuple[str, ...],
    against: str | None,
    transport: str,
    host: str | None,
    key: Path | None,
    ca: Path | None,
    plaintext: bool,
    timeout_s: float,
    passphrase_file: Path | None,
    passphrase_fd: int | None,
) -> int:
    """Every fault by name, with what was found, what was expected, and the next step. Exit 6 on an error."""
    from atom_console.engine.certificate_desk import target_of
    from atom_console.pki.translate import Transport
    from atom_console.pki.verify import diagnose, resolve
    from atom_console.pki.verify import verify as check

    store = open_store(cli)
    secret = passphrase(cli, passphrase_file, passphrase_fd)
    reports = []
    for name in targets:
        pair = resolve(store, name, ca=ca, key=key)
        if against is None:
            reports.append(check(pair, host=host, passphrase=secret))
        else:
            target = replace(target_of(against, Transport(transport), tls=not plaintext), server_name=host)
            reports.append(diagnose(pair, target, passphrase=secret, timeout_s=timeout_s))
    return _tell_reports(cli, reports)


@certs.command(
    examples=(
        "atom-console certs diagnose broker-1:9093 --as kafka --certificate console",
        "journalctl -u svc | tail -1 | atom-console certs diagnose --error - --as flight",
    )
)
@click.argument("against", required=False, metavar="[HOST:PORT]")
@click.option("--as", "transport", type=_TRANSPORTS, required=True, help="What the peer is.")
@click.option("--error", "error_file", metavar="FILE|-", help="What the client library said.")
@click.option("--certificate", metavar="NAME", help="Ours; default: as the settings say.")
@click.option("--timeout", "timeout_s", type=click.FloatRange(min=0.1), default=5.0, show_default=True, help="Seconds.")
@secret_options
@json_option
@pass_context
def diagnose(
    cli: CliContext,
    against: str | None,
    transport: str,
    error_file: str | None,
    certificate: str | None,
    timeout_s: float,
    passphrase_file: Path | None,
    passphrase_fd: int | None,
) -> int:
    """Explains a failed connection: from the peer itself, from the text of an error, or from both."""
    from atom_console.engine.certificate_desk import target_of
    from atom_console.engine.tls_advice import configured_pair
    from atom_console.pki.translate import Transport
    from atom_console.pki.verify import Report, explain
    from atom_console.pki.verify import diagnose as ask

    if against is None and error_file is None:
        raise click.UsageError("Name a HOST:PORT, an --error, or both.")
    secret = passphrase(cli, passphrase_file, passphrase_fd)
    pair = configured_pair(cli.settings(), Transport(transport), certificate)
    target = target_of(against, Transport(transport)) if against else None
    if error_file is not None:
        text = sys.stdin.read(100_000) if error_file == "-" else read_text(Path(error_file))[:100_000]
        found = explain(text, Transport(transport), pair, target=target, passphrase=secret, timeout_s=timeout_s)
        return _tell_reports(cli, [Report(str(target or transport), found)])
    assert target is not None
    return _tell_reports(cli, [ask(pair, target, passphrase=secret, timeout_s=timeout_s)])


@certs.command(examples=("atom-console certs audit", "atom-console certs audit --json"))
@click.option("--rows", "show_rows", is_flag=True, help="The rows too.")
@json_option
@pass_context
def audit(cli: CliContext, show_rows: bool) -> int:
    """Walks the hash chain of every operation. Exit 6 where it is broken."""
    from atom_console.pki import inventory

    store = open_store(cli)
    try:
        head = inventory.parse((store.root / "inventory.json").read_bytes(), store.root)[1]
    except (OSError, ValueError, KeyError, TypeError):
        head = None
    chain = store.audit.verify(head)
    if cli.json:
        rows = [{name: getattr(row, name) for name in row.__slots__} for row in store.audit.rows()]
        print_json(
            {"rows": chain.rows, "ok": chain.ok, "first_bad": chain.first_bad, "why": chain.why}
            | ({"audit": rows} if show_rows else {})
        )
    else:
        if show_rows:
            table = [(r.seq, r.at, r.who.get("user"), r.action, r.subject) for r in store.audit.rows()]
            print_table(("SEQ", "AT", "WHO", "ACTION", "SUBJECT"), table)
        print_line(f"{chain.rows} rows hold" if chain.ok else f"row {chain.first_bad}: {chain.why}")
    return 0 if chain.ok else CHECK_FAILED


@certs.command(examples=("atom-console certs rescan",))
@json_option
@pass_context
def rescan(cli: CliContext) -> None:
    """Rebuilds the inventory and the trust bundle from the certificate files."""
    store = open_store(cli, change=True)
    with store.exclusive() as session:
        session.record("rescan", "store")
        entries = session.publish()
    if cli.json:
        print_json({"certificates": [entry_json(entry) for entry in entries]})
    else:
        print_line(f"{len(entries)} certificates")


def _tell_reports(cli: CliContext, reports: Sequence[Report]) -> int:
    ok = all(report.ok for report in reports)
    findings = [found for report in reports for found in report.findings]
    if cli.json:
        print_json({"ok": ok, "findings": [_finding_json(found) for found in findings], "reports": [
            {"name": r.label, "ok": r.ok, "sentence": r.sentence,
             "handshake_ms": r.probe.handshake_ms if r.probe else None} for r in reports
        ]})  # fmt: skip
        return 0 if ok else CHECK_FAILED
    marks = {"error": "x", "warning": "!", "info": "i"}
    for report in reports:
        print_line(report.sentence)
        for found in report.findings:
            print_line(f"  {marks[found.severity]} {found.id}: {found.subject}: {found.message}")
            print_line(f"    -> {found.next_step}")
    return 0 if ok else CHECK_FAILED


def _finding_json(found: Finding) -> dict[str, Any]:
    return {
        "id": found.id,
        "severity": found.severity.value,
        "subject": found.subject,
        "message": found.message,
        "next_step": found.next_step,
        "candidates": list(found.candidates),
    }
