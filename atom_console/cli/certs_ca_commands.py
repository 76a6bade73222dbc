"""`certs rotate-ca`, `revoke`, `crl`, `export`."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import click

from atom_console.cli.certs_shared import (
    certs,
    confirm,
    entry_json,
    issued_json,
    open_store,
    passphrase,
    secret_options,
    yes_option,
)
from atom_console.cli.frame import CliContext, json_option, pass_context
from atom_console.cli.output import print_json, print_line, say

if TYPE_CHECKING:
    from atom_console.pki.rotation import Plan

_FILE = click.Path(path_type=Path)


@certs.command(
    "rotate-ca", examples=("atom-console certs rotate-ca --plan", "atom-console certs rotate-ca --distributed --yes")
)
@click.option("--plan", "only_plan", is_flag=True, help="Only say what the next step would do.")
@click.option("--keep-root", is_flag=True, help="Step 1: replace the issuing CA alone.")
@click.option("--distributed", is_flag=True, help="Step 2: every peer has the trust bundle of step 1.")
@click.option("--peers-switched", is_flag=True, help="Step 3: no peer uses a replaced pair any more.")
@yes_option
@secret_options
@json_option
@pass_context
def rotate_ca(
    cli: CliContext,
    only_plan: bool,
    keep_root: bool,
    distributed: bool,
    peers_switched: bool,
    yes: bool,
    passphrase_file: Path | None,
    passphrase_fd: int | None,
) -> None:
    """Replaces the CA in three guarded steps; each call does the next: prepare, switch, retire."""
    from atom_console.pki import rotation

    store = open_store(cli, change=not only_plan)
    plan = rotation.plan(store)
    if only_plan:
        _tell_plan(cli, plan)
        return
    if not cli.json:
        for line in _plan_lines(plan):
            say(line)
    confirm(yes, f"Run step {plan.step} of 3?")
    secret = passphrase(cli, passphrase_file, passphrase_fd)
    if plan.step == 1:
        done = rotation.prepare(store, secret, keep_root=keep_root)
    elif plan.step == 2:
        done = rotation.switch(store, secret, distributed=distributed)
    else:
        done = rotation.retire(store, peers_switched=peers_switched)
    if cli.json:
        print_json(
            {
                "step": done.step,
                "certificates": [issued_json(made) for made in done.issued],
                "waiting_for_csr": list(done.foreign),
                "retired": list(done.retired),
                "bundle": str(store.bundle),
            }
        )
        return
    say(f"step {done.step} of 3 is done; {len(done.issued)} re-issued, {len(done.retired)} retired")
    if done.foreign:
        say(f"their holders must send new CSRs: {', '.join(done.foreign)}")


def _tell_plan(cli: CliContext, plan: Plan) -> None:
    if cli.json:
        print_json(
            {
                "step": plan.step,
                "does": list(plan.does),
                "blocked_by": list(plan.blocked_by),
                "leaves": list(plan.leaves),
                "waiting_for_csr": list(plan.foreign),
            }
        )
        return
    for line in _plan_lines(plan):
        print_line(line)


def _plan_lines(plan: Plan) -> list[str]:
    lists = (("concerns", plan.leaves), ("waits for CSRs of", plan.foreign), ("blocked", plan.blocked_by))
    named = [f"  {label}: {', '.join(names)}" for label, names in lists if names]
    return [f"Step {plan.step} of 3:", *(f"  - {sentence}" for sentence in plan.does), *named]


@certs.command(examples=("atom-console certs revoke ops-alice --reason key-compromise --yes",))
@click.argument("names", nargs=-1, required=True)
@click.option("--reason", default="unspecified", show_default=True, help="key-compromise, superseded, cessation, …")
@yes_option
@secret_options
@json_option
@pass_context
def revoke(
    cli: CliContext,
    names: tuple[str, ...],
    reason: str,
    yes: bool,
    passphrase_file: Path | None,
    passphrase_fd: int | None,
) -> None:
    """Revokes every living version of the names (or one by its serial) and writes new revocation lists."""
    from atom_console.pki import revocation

    store = open_store(cli, change=True)
    confirm(yes, f"Revoke {', '.join(names)} for good?")
    secret = passphrase(cli, passphrase_file, passphrase_fd)
    revoked, lists = revocation.revoke(store, secret, list(names), reason)
    if cli.json:
        rows = [entry_json(entry) for entry in revoked]
        print_json({"revoked": rows, "crl": str(lists.bundle), "notices": list(lists.notices)})
        return
    for entry in revoked:
        print_line(f"revoked {entry.name} {entry.serial}")
    _tell_lists(lists.bundle, lists.notices)


@certs.command(examples=("atom-console certs crl --passphrase-file ca.pass",))
@secret_options
@json_option
@pass_context
def crl(cli: CliContext, passphrase_file: Path | None, passphrase_fd: int | None) -> None:
    """Writes new revocation lists: one PEM file of all issuers (Redpanda, librdkafka), and DER to serve (JVM)."""
    from atom_console.pki import revocation

    lists = revocation.make_lists(open_store(cli, change=True), passphrase(cli, passphrase_file, passphrase_fd))
    if cli.json:
        print_json({"crl": str(lists.bundle), "made": [str(p) for p in lists.made], "notices": list(lists.notices)})
    else:
        _tell_lists(lists.bundle, lists.notices)


def _tell_lists(bundle: Path, notices: Iterable[str]) -> None:
    print_line(f"revocation lists: {bundle}")
    for notice in notices:
        say(notice)


@certs.command(
    examples=(
        "atom-console certs export broker-1 --out ./tls --key",
        "atom-console certs export broker-1 --format pkcs12 --out ./tls --password-file store.pass",
        "atom-console certs export broker-1 --format redpanda",
    )
)
@click.argument("name")
@click.option("--out", type=_FILE, metavar="DIR", help="Where pem and pkcs12 go.")
@click.option(
    "--format",
    "form",
    default="pem",
    show_default=True,
    type=click.Choice(["pem", "pkcs12", "redpanda", "kafka", "kafka-client", "librdkafka", "go", "tonic", "pyarrow"]),
    help="Files, or a snippet of configuration on stdout.",
)
@click.option("--key", "with_key", is_flag=True, help="With pem: the private key too.")
@click.option("--password-file", type=_FILE, metavar="FILE", help="Password of the PKCS#12 stores (mode 0600).")
@click.option("--password-fd", type=int, metavar="N", help="The same from an inherited descriptor.")
@click.option("--replace", is_flag=True, help="Overwrite files that are there.")
@secret_options
@json_option
@pass_context
def export(
    cli: CliContext,
    name: str,
    out: Path | None,
    form: str,
    with_key: bool,
    password_file: Path | None,
    password_fd: int | None,
    replace: bool,
    passphrase_file: Path | None,
    passphrase_fd: int | None,
) -> None:
    """PEM or PKCS#12 files (0600), or ready configuration that points at the files in place."""
    from atom_console.pki import export as exporting
    from atom_console.pki.passphrase import choose
    from atom_console.pki.snippets import FORMS, snippet

    store = open_store(cli, change=form not in FORMS)
    entry = store.find(name)
    if form in FORMS:
        text = snippet(form, store, entry, p12_dir=out)
        if cli.json:
            print_json({"format": form, "text": text})
        else:
            sys.stdout.write(text)
        return
    if out is None:
        raise click.UsageError("Name a directory with --out.")
    if form == "pem":
        files = exporting.export_pem(store, entry, out, with_key=with_key, replace=replace)
    else:
        password = choose(file=password_file, descriptor=password_fd)("the PKCS#12 stores", confirm=True)
        secret = passphrase(cli, passphrase_file, passphrase_fd)
        files = exporting.export_pkcs12(store, entry, out, password, key_passphrase=secret, replace=replace)
    if cli.json:
        print_json({"files": [str(path) for path in files]})
    else:
        for path in files:
            print_line(str(path))
