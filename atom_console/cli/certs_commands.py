"""`certs`: the certificate authority: issue, sign, list, renew."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from atom_console.cli.certs_shared import (
    certs,
    days_option,
    entry_json,
    life,
    open_store,
    passphrase,
    read_text,
    san_option,
    secret_options,
    tell_issued,
)
from atom_console.cli.frame import CliContext, json_option, pass_context
from atom_console.cli.output import print_fields, print_json, print_line, print_table, say

if TYPE_CHECKING:
    from atom_console.pki.issuing import Order
    from atom_console.pki.passphrase import PassphraseSource

_FILE = click.Path(path_type=Path)


@certs.command(
    examples=("atom-console certs init", "atom-console certs init --host broker-1.internal --passphrase-file ca.pass")
)
@click.option("--host", "hosts", multiple=True, metavar="NAME", help="Names and addresses of this host's servers.")
@click.option("--ca-only", is_flag=True, help="Only the root and the issuing CA.")
@secret_options
@json_option
@pass_context
def init(
    cli: CliContext, hosts: tuple[str, ...], ca_only: bool, passphrase_file: Path | None, passphrase_fd: int | None
) -> None:
    """Makes a root, an issuing CA, and what this host needs: a broker, a Flight server and this console's client.

    What is there already is kept: run it again after an interruption.
    """
    from atom_console.pki import issuing

    store = open_store(cli, change=True)
    orders = [] if ca_only else _host_orders(hosts)
    made = issuing.init(store, passphrase(cli, passphrase_file, passphrase_fd), orders)
    tell_issued(cli, made, nothing="everything is there already")
    if not cli.json:
        say(f"trust {store.bundle} on every peer; keep a copy of ca/root offline, with its passphrase elsewhere")


def _host_orders(hosts: Sequence[str]) -> list[Order]:
    import getpass
    import re
    import socket

    from atom_console.pki.issuing import Order
    from atom_console.pki.names import is_address

    own = socket.gethostname().lower().rstrip(".")
    names = list(hosts) or [own]
    sans = [f"{'IP' if is_address(name) else 'DNS'}:{name}" for name in names]
    if not hosts and not re.fullmatch(r"[a-z0-9]([a-z0-9.-]*[a-z0-9])?", own):
        sans = []
    servers = tuple(dict.fromkeys((*sans, "DNS:localhost", "IP:127.0.0.1", "IP:::1")))
    short = re.sub(r"[^a-z0-9-]", "-", names[0].split(".")[0]) if sans and not is_address(names[0]) else "local"
    user = re.sub(r"[^a-z0-9._-]", "-", getpass.getuser().lower())
    return [
        Order(f"broker-{short}", "broker", servers),
        Order(f"flight-{short}", "flight-server", servers),
        Order("console", "client", (f"URI:spiffe://atom.internal/ops/{user}",)),
    ]


@certs.command(
    examples=(
        "atom-console certs issue broker-2 --profile broker --san DNS:broker-2.internal --san IP:10.0.0.12",
        "atom-console certs issue --file fleet.toml --dry-run",
    )
)
@click.argument("name", required=False)
@click.option("--profile", "profile", metavar="P", help="broker, flight-server, client, or one of your own.")
@san_option
@days_option
@click.option("--key-type", metavar="T", help="ec-p256, ec-p384, rsa3072, rsa4096 or ed25519.")
@click.option("--subject", metavar="DN", help="Instead of CN=NAME, e.g. CN=svc-grid,O=Example.")
@click.option("--file", "fleet_file", type=_FILE, metavar="TOML", help="A fleet: one [[cert]] table a certificate.")
@click.option("--dry-run", is_flag=True, help="With --file: only say what would happen.")
@click.option("--replace", is_flag=True, help="A name that is taken gets a new version.")
@secret_options
@json_option
@pass_context
def issue(
    cli: CliContext,
    name: str | None,
    profile: str | None,
    sans: tuple[str, ...],
    days: float | None,
    key_type: str | None,
    subject: str | None,
    fleet_file: Path | None,
    dry_run: bool,
    replace: bool,
    passphrase_file: Path | None,
    passphrase_fd: int | None,
) -> None:
    """Issues a certificate, or a whole fleet from a file; with a file, what is right already is kept."""
    from atom_console.pki import issuing

    secret = passphrase(cli, passphrase_file, passphrase_fd)
    if fleet_file is not None:
        if name is not None or sans:
            raise click.UsageError("--file and NAME exclude each other.")
        _issue_fleet(cli, fleet_file, dry_run, secret)
        return
    if name is None or profile is None:
        raise click.UsageError("Name the certificate and its --profile, or a --file.")
    order = issuing.Order(name, profile, sans, life(days), key_type, subject)
    tell_issued(cli, issuing.issue(open_store(cli, change=True), secret, [order], replace_existing=replace))


def _issue_fleet(cli: CliContext, path: Path, dry_run: bool, secret: PassphraseSource) -> None:
    from atom_console.pki import fleet

    orders = fleet.read_orders(read_text(path), str(path))
    outcomes = fleet.apply(open_store(cli, change=not dry_run), secret, orders, dry_run=dry_run)
    if cli.json:
        rows = [
            {
                "name": o.name,
                "action": o.action,
                "why": o.why,
                "notices": list(o.issued.notices) if o.issued else [],
                "certificate": entry_json(o.issued.entry) if o.issued else None,
            }
            for o in outcomes
        ]
        print_json({"dry_run": dry_run, "certificates": rows})
        return
    print_table(("NAME", "WOULD BE" if dry_run else "IS", "WHY"), [(o.name, o.action, o.why) for o in outcomes])
    for outcome in outcomes:
        for notice in outcome.issued.notices if outcome.issued else ():
            say(f"{outcome.name}: {notice}")


@certs.command(examples=("atom-console certs sign svc-grid.csr --name svc-grid --profile client",))
@click.argument("csr", type=_FILE)
@click.option("--name", required=True, help="Its name in the inventory.")
@click.option("--profile", "profile", required=True, metavar="P", help="Decides everything but the key and the names.")
@san_option
@days_option
@click.option("--subject", metavar="DN", help="Instead of CN=NAME.")
@secret_options
@json_option
@pass_context
def sign(
    cli: CliContext,
    csr: Path,
    name: str,
    profile: str,
    sans: tuple[str, ...],
    days: float | None,
    subject: str | None,
    passphrase_file: Path | None,
    passphrase_fd: int | None,
) -> None:
    """Signs the CSR of someone who keeps the key. Of the CSR only the key and allowed names are used."""
    from atom_console.pki.csr import sign_csr

    secret = passphrase(cli, passphrase_file, passphrase_fd)
    data = read_text(csr).encode()
    store = open_store(cli, change=True)
    made = sign_csr(store, secret, name, profile, data, sans=sans, subject=subject, life=life(days))
    tell_issued(cli, [made])


@certs.command(examples=("atom-console certs csr broker-1 --profile broker --san DNS:broker-1.internal",))
@click.argument("name")
@click.option("--profile", "profile", required=True, metavar="P")
@san_option
@click.option("--key-type", metavar="T")
@click.option("--subject", metavar="DN")
@json_option
@pass_context
def csr(
    cli: CliContext, name: str, profile: str, sans: tuple[str, ...], key_type: str | None, subject: str | None
) -> None:
    """Makes a key and a CSR for a company CA; the key stays here."""
    from atom_console.pki.csr import make_request
    from atom_console.pki.issuing import Order

    pending = make_request(open_store(cli, change=True), Order(name, profile, sans, None, key_type, subject))
    if cli.json:
        print_json({"name": name, "csr": str(pending.csr), "key": str(pending.key)})
    else:
        print_fields({"csr": pending.csr, "key": pending.key})
        say(f"send the CSR to the CA, then: atom-console certs import {name} ANSWER.pem")


@certs.command("import", examples=("atom-console certs import broker-1 answer.pem",))
@click.argument("name")
@click.argument("certificate", type=_FILE)
@secret_options
@json_option
@pass_context
def import_(
    cli: CliContext, name: str, certificate: Path, passphrase_file: Path | None, passphrase_fd: int | None
) -> None:
    """Takes what a company CA made of our CSR: leaf first, then its intermediates."""
    from atom_console.pki.csr import import_certificate

    data = read_text(certificate).encode()
    secret = passphrase(cli, passphrase_file, passphrase_fd)
    tell_issued(cli, [import_certificate(open_store(cli, change=True), name, data, passphrase=secret)])


@certs.command(examples=("atom-console certs trust company-root.pem", "atom-console certs trust --remove 9F86D081…"))
@click.argument("file", type=_FILE, required=False)
@click.option("--remove", metavar="FINGERPRINT", help="Stop trusting an imported root.")
@json_option
@pass_context
def trust(cli: CliContext, file: Path | None, remove: str | None) -> None:
    """Adds a foreign root to the trust bundle, or takes one out."""
    from atom_console.pki import csr as borders

    if (file is None) == (remove is None):
        raise click.UsageError("Name a FILE, or --remove a fingerprint.")
    store = open_store(cli, change=True)
    if remove is not None:
        changed = {"removed": [borders.drop_trust(store, remove)]}
    else:
        assert file is not None
        changed = {"added": borders.import_trust(store, read_text(file).encode(), str(file))}
    if cli.json:
        print_json({**changed, "bundle": str(store.bundle)})
    else:
        for verb, names in changed.items():
            for name in names or ["nothing: known already"]:
                print_line(f"{verb} {name}")


@certs.command(examples=("atom-console certs ls", "atom-console certs ls --json | jq '.certificates[].days_left'"))
@click.option("--all", "everything", is_flag=True, help="Also replaced and revoked versions.")
@json_option
@pass_context
def ls(cli: CliContext, everything: bool) -> None:
    """The inventory, soonest end first."""
    from atom_console.pki.inventory import Status, utc_now

    now = utc_now()
    entries = [e for e in open_store(cli).entries() if everything or e.status in {Status.ACTIVE, Status.STAGED}]
    entries.sort(key=lambda entry: entry.not_after_ms)
    if cli.json:
        print_json({"certificates": [entry_json(entry) for entry in entries]})
        return
    rows = [
        (e.name, e.profile, f"{e.days_left(now):.0f}", e.state(now), e.key_type, ", ".join(e.sans) or None)
        for e in entries
    ]
    print_table(("NAME", "PROFILE", "DAYS LEFT", "STATE", "KEY", "NAMES"), rows)


@certs.command(examples=("atom-console certs show broker-1",))
@click.argument("name")
@json_option
@pass_context
def show(cli: CliContext, name: str) -> None:
    """One certificate by name or serial, with all its versions."""
    store = open_store(cli)
    entry = store.find(name)
    fields = entry_json(entry)
    versions = [e for e in store.entries() if e.name == entry.name]
    versions.sort(key=lambda e: -e.issued_at_ms)
    if cli.json:
        print_json({**fields, "versions": [entry_json(e) for e in versions]})
        return
    print_fields({key: ", ".join(value) if isinstance(value, list) else value for key, value in fields.items()})
    if len(versions) > 1:
        rows = [(e.serial, e.status.value, entry_json(e)["not_after"]) for e in versions]
        print_table(("SERIAL", "STATUS", "NOT AFTER"), rows)


@certs.command(examples=("atom-console certs renew broker-1", "atom-console certs renew --due"))
@click.argument("names", nargs=-1)
@click.option("--due", is_flag=True, help="All whose two thirds of life are over.")
@secret_options
@json_option
@pass_context
def renew(
    cli: CliContext, names: tuple[str, ...], due: bool, passphrase_file: Path | None, passphrase_fd: int | None
) -> None:
    """Issues successors with new keys. Key and certificate switch together; the old pair stays valid."""
    from atom_console.pki import issuing

    if bool(names) == due:
        raise click.UsageError("Name certificates, or give --due.")
    secret = passphrase(cli, passphrase_file, passphrase_fd)
    made = issuing.renew(open_store(cli, change=True), secret, None if due else names)
    tell_issued(cli, made, nothing="nothing is due")
    if made and not cli.json:
        say("clients read the files once: restart or rebuild them; Redpanda reloads by itself")


@certs.command("needs-renewal", examples=("atom-console certs needs-renewal || atom-console certs renew --due",))
@click.argument("names", nargs=-1)
@json_option
@pass_context
def needs_renewal(cli: CliContext, names: tuple[str, ...]) -> int:
    """For timers: exit 0 all well, 10 renew now (two thirds of a life are over), 20 one has expired."""
    from atom_console.pki import issuing
    from atom_console.pki.inventory import utc_now

    code, due = issuing.needs_renewal(open_store(cli), names)
    if cli.json:
        print_json({"code": code, "certificates": [entry_json(entry) for entry in due]})
    else:
        now = utc_now()
        for entry in due:
            print_line(f"{entry.name}  {entry.state(now)}  {entry.days_left(now):.1f} days left")
    return code


# Registering is all they do when they are imported.
from atom_console.cli import certs_ca_commands, certs_explain_commands  # noqa: E402, F401 - after the group is complete
