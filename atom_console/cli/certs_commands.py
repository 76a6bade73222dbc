"""`certs`: the certificate authority, and why a handshake fails."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from atom_console.cli.frame import CliContext, Group, json_option, pass_context
from atom_console.cli.output import print_fields, print_json, print_line, print_table, say
from atom_console.errors import InputError, RefusedError

if TYPE_CHECKING:
    from atom_console.pki.findings import Finding
    from atom_console.pki.inventory import Entry
    from atom_console.pki.issuing import Issued, Order
    from atom_console.pki.passphrase import PassphraseSource
    from atom_console.pki.probe import Target
    from atom_console.pki.rotation import Plan
    from atom_console.pki.store import Store
    from atom_console.pki.verify import Pair, Report

F = TypeVar("F", bound=Callable[..., Any])
_FILE = click.Path(path_type=Path)
_TRANSPORTS = click.Choice(["kafka", "flight"])
_CHECK_FAILED = 6


@click.group(cls=Group)
def certs() -> None:
    """Certificates for Kafka and Flight: issue, renew, rotate, revoke, export; verify and explain.

    Passphrases come from a prompt, --passphrase-file, --passphrase-fd, ATOM_PKI_PASSPHRASE or
    ATOM_PKI_PASSPHRASE_FILE; never from the command line.
    """


def _secret_options(function: F) -> F:
    for option in (
        click.option("--passphrase-fd", type=int, metavar="N", help="Passphrase from an inherited descriptor."),
        click.option("--passphrase-file", type=_FILE, metavar="FILE", help="Passphrase from a file (mode 0600)."),
    ):
        function = option(function)
    return function


def _san_option(function: F) -> F:
    return click.option("--san", "sans", multiple=True, metavar="KIND:VALUE", help="DNS:, IP:, URI: or EMAIL:.")(
        function
    )


_days_option = click.option("--days", type=click.FloatRange(min=0, min_open=True), help="Life; default: the profile's.")
_yes_option = click.option("--yes", is_flag=True, help="Do it without asking.")


@certs.command(
    examples=("atom-console certs init", "atom-console certs init --host broker-1.internal --passphrase-file ca.pass")
)
@click.option("--host", "hosts", multiple=True, metavar="NAME", help="Names and addresses of this host's servers.")
@click.option("--ca-only", is_flag=True, help="Only the root and the issuing CA.")
@_secret_options
@json_option
@pass_context
def init(
    cli: CliContext, hosts: tuple[str, ...], ca_only: bool, passphrase_file: Path | None, passphrase_fd: int | None
) -> None:
    """Makes a root, an issuing CA, and what this host needs: a broker, a Flight server and this console's client.

    What is there already is kept: run it again after an interruption.
    """
    from atom_console.pki import issuing

    store = _store(cli, change=True)
    orders = [] if ca_only else _host_orders(hosts)
    made = issuing.init(store, _passphrase(cli, passphrase_file, passphrase_fd), orders)
    _tell_issued(cli, made, nothing="everything is there already")
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
@_san_option
@_days_option
@click.option("--key-type", metavar="T", help="ec-p256, ec-p384, rsa3072, rsa4096 or ed25519.")
@click.option("--subject", metavar="DN", help="Instead of CN=NAME, e.g. CN=svc-grid,O=Example.")
@click.option("--file", "fleet_file", type=_FILE, metavar="TOML", help="A fleet: one [[cert]] table a certificate.")
@click.option("--dry-run", is_flag=True, help="With --file: only say what would happen.")
@click.option("--replace", is_flag=True, help="A name that is taken gets a new version.")
@_secret_options
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

    secret = _passphrase(cli, passphrase_file, passphrase_fd)
    if fleet_file is not None:
        if name is not None or sans:
            raise click.UsageError("--file and NAME exclude each other.")
        _issue_fleet(cli, fleet_file, dry_run, secret)
        return
    if name is None or profile is None:
        raise click.UsageError("Name the certificate and its --profile, or a --file.")
    order = issuing.Order(name, profile, sans, _life(days), key_type, subject)
    _tell_issued(cli, issuing.issue(_store(cli, change=True), secret, [order], replace_existing=replace))


def _issue_fleet(cli: CliContext, path: Path, dry_run: bool, secret: PassphraseSource) -> None:
    from atom_console.pki import fleet

    orders = fleet.read_orders(_read_text(path), str(path))
    outcomes = fleet.apply(_store(cli, change=not dry_run), secret, orders, dry_run=dry_run)
    if cli.json:
        rows = [
            {
                "name": o.name,
                "action": o.action,
                "why": o.why,
                "notices": list(o.issued.notices) if o.issued else [],
                "certificate": _entry_json(o.issued.entry) if o.issued else None,
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
@_san_option
@_days_option
@click.option("--subject", metavar="DN", help="Instead of CN=NAME.")
@_secret_options
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

    secret = _passphrase(cli, passphrase_file, passphrase_fd)
    data = _read_text(csr).encode()
    store = _store(cli, change=True)
    made = sign_csr(store, secret, name, profile, data, sans=sans, subject=subject, life=_life(days))
    _tell_issued(cli, [made])


@certs.command(examples=("atom-console certs csr broker-1 --profile broker --san DNS:broker-1.internal",))
@click.argument("name")
@click.option("--profile", "profile", required=True, metavar="P")
@_san_option
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

    pending = make_request(_store(cli, change=True), Order(name, profile, sans, None, key_type, subject))
    if cli.json:
        print_json({"name": name, "csr": str(pending.csr), "key": str(pending.key)})
    else:
        print_fields({"csr": pending.csr, "key": pending.key})
        say(f"send the CSR to the CA, then: atom-console certs import {name} ANSWER.pem")


@certs.command("import", examples=("atom-console certs import broker-1 answer.pem",))
@click.argument("name")
@click.argument("certificate", type=_FILE)
@_secret_options
@json_option
@pass_context
def import_(
    cli: CliContext, name: str, certificate: Path, passphrase_file: Path | None, passphrase_fd: int | None
) -> None:
    """Takes what a company CA made of our CSR: leaf first, then its intermediates."""
    from atom_console.pki.csr import import_certificate

    data = _read_text(certificate).encode()
    secret = _passphrase(cli, passphrase_file, passphrase_fd)
    _tell_issued(cli, [import_certificate(_store(cli, change=True), name, data, passphrase=secret)])


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
    store = _store(cli, change=True)
    if remove is not None:
        changed = {"removed": [borders.drop_trust(store, remove)]}
    else:
        assert file is not None
        changed = {"added": borders.import_trust(store, _read_text(file).encode(), str(file))}
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
    entries = [e for e in _store(cli).entries() if everything or e.status in {Status.ACTIVE, Status.STAGED}]
    entries.sort(key=lambda entry: entry.not_after_ms)
    if cli.json:
        print_json({"certificates": [_entry_json(entry) for entry in entries]})
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
    store = _store(cli)
    entry = store.find(name)
    fields = _entry_json(entry)
    versions = [e for e in store.entries() if e.name == entry.name]
    versions.sort(key=lambda e: -e.issued_at_ms)
    if cli.json:
        print_json({**fields, "versions": [_entry_json(e) for e in versions]})
        return
    print_fields({key: ", ".join(value) if isinstance(value, list) else value for key, value in fields.items()})
    if len(versions) > 1:
        rows = [(e.serial, e.status.value, _entry_json(e)["not_after"]) for e in versions]
        print_table(("SERIAL", "STATUS", "NOT AFTER"), rows)


@certs.command(examples=("atom-console certs renew broker-1", "atom-console certs renew --due"))
@click.argument("names", nargs=-1)
@click.option("--due", is_flag=True, help="All whose two thirds of life are over.")
@_secret_options
@json_option
@pass_context
def renew(
    cli: CliContext, names: tuple[str, ...], due: bool, passphrase_file: Path | None, passphrase_fd: int | None
) -> None:
    """Issues successors with new keys. Key and certificate switch together; the old pair stays valid."""
    from atom_console.pki import issuing

    if bool(names) == due:
        raise click.UsageError("Name certificates, or give --due.")
    secret = _passphrase(cli, passphrase_file, passphrase_fd)
    made = issuing.renew(_store(cli, change=True), secret, None if due else names)
    _tell_issued(cli, made, nothing="nothing is due")
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

    code, due = issuing.needs_renewal(_store(cli), names)
    if cli.json:
        print_json({"code": code, "certificates": [_entry_json(entry) for entry in due]})
    else:
        now = utc_now()
        for entry in due:
            print_line(f"{entry.name}  {entry.state(now)}  {entry.days_left(now):.1f} days left")
    return code


@certs.command(
    "rotate-ca", examples=("atom-console certs rotate-ca --plan", "atom-console certs rotate-ca --distributed --yes")
)
@click.option("--plan", "only_plan", is_flag=True, help="Only say what the next step would do.")
@click.option("--keep-root", is_flag=True, help="Step 1: replace the issuing CA alone.")
@click.option("--distributed", is_flag=True, help="Step 2: every peer has the trust bundle of step 1.")
@click.option("--peers-switched", is_flag=True, help="Step 3: no peer uses a replaced pair any more.")
@_yes_option
@_secret_options
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

    store = _store(cli, change=not only_plan)
    plan = rotation.plan(store)
    if only_plan:
        _tell_plan(cli, plan)
        return
    if not cli.json:
        _tell_plan(cli, plan)
    _confirm(yes, f"Run step {plan.step} of 3?")
    secret = _passphrase(cli, passphrase_file, passphrase_fd)
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
                "certificates": [_issued_json(made) for made in done.issued],
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
    print_line(f"Step {plan.step} of 3:")
    for sentence in plan.does:
        print_line(f"  - {sentence}")
    for label, names in (("concerns", plan.leaves), ("waits for CSRs of", plan.foreign), ("blocked", plan.blocked_by)):
        if names:
            print_line(f"  {label}: {', '.join(names)}")


@certs.command(examples=("atom-console certs revoke ops-alice --reason key-compromise --yes",))
@click.argument("names", nargs=-1, required=True)
@click.option("--reason", default="unspecified", show_default=True, help="key-compromise, superseded, cessation, …")
@_yes_option
@_secret_options
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

    store = _store(cli, change=True)
    _confirm(yes, f"Revoke {', '.join(names)} for good?")
    secret = _passphrase(cli, passphrase_file, passphrase_fd)
    revoked, lists = revocation.revoke(store, secret, list(names), reason)
    if cli.json:
        rows = [_entry_json(entry) for entry in revoked]
        print_json({"revoked": rows, "crl": str(lists.bundle), "notices": list(lists.notices)})
        return
    for entry in revoked:
        print_line(f"revoked {entry.name} {entry.serial}")
    _tell_lists(lists.bundle, lists.notices)


@certs.command(examples=("atom-console certs crl --passphrase-file ca.pass",))
@_secret_options
@json_option
@pass_context
def crl(cli: CliContext, passphrase_file: Path | None, passphrase_fd: int | None) -> None:
    """Writes new revocation lists: one PEM file of all issuers (Redpanda, librdkafka), and DER to serve (JVM)."""
    from atom_console.pki import revocation

    lists = revocation.make_lists(_store(cli, change=True), _passphrase(cli, passphrase_file, passphrase_fd))
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
@_secret_options
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

    store = _store(cli, change=form not in FORMS)
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
        secret = _passphrase(cli, passphrase_file, passphrase_fd)
        files = exporting.export_pkcs12(store, entry, out, password, key_passphrase=secret, replace=replace)
    if cli.json:
        print_json({"files": [str(path) for path in files]})
    else:
        for path in files:
            print_line(str(path))


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
@_secret_options
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
    from atom_console.pki.verify import diagnose, resolve
    from atom_console.pki.verify import verify as check

    store = _store(cli)
    secret = _passphrase(cli, passphrase_file, passphrase_fd)
    reports = []
    for name in targets:
        pair = resolve(store, name, ca=ca, key=key)
        if against is None:
            reports.append(check(pair, host=host, passphrase=secret))
        else:
            target = _target(against, transport, tls=not plaintext, server_name=host)
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
@_secret_options
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
    from atom_console.pki.translate import Transport
    from atom_console.pki.verify import Report, explain
    from atom_console.pki.verify import diagnose as ask

    if against is None and error_file is None:
        raise click.UsageError("Name a HOST:PORT, an --error, or both.")
    store = _store(cli)
    secret = _passphrase(cli, passphrase_file, passphrase_fd)
    pair = _configured_pair(cli, store, transport, certificate)
    target = _target(against, transport, tls=True, server_name=None) if against else None
    if error_file is not None:
        text = sys.stdin.read(100_000) if error_file == "-" else _read_text(Path(error_file))[:100_000]
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

    store = _store(cli)
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
    return 0 if chain.ok else _CHECK_FAILED


@certs.command(examples=("atom-console certs rescan",))
@json_option
@pass_context
def rescan(cli: CliContext) -> None:
    """Rebuilds the inventory and the trust bundle from the certificate files."""
    store = _store(cli, change=True)
    with store.exclusive() as session:
        session.record("rescan", "store")
        entries = session.publish()
    if cli.json:
        print_json({"certificates": [_entry_json(entry) for entry in entries]})
    else:
        print_line(f"{len(entries)} certificates")


def _store(cli: CliContext, *, change: bool = False) -> Store:
    from atom_console.config import paths
    from atom_console.pki.store import Store

    settings = cli.settings()
    if change and settings.read_only:
        raise RefusedError(
            f"profile {settings.profile} is read-only: certificates are not changed",
            next_step="use another --profile, or leave out --read-only",
        )
    return Store(paths.pki_dir(settings))


def _passphrase(cli: CliContext, file: Path | None, descriptor: int | None) -> PassphraseSource:
    from atom_console.pki.passphrase import choose

    pki = cli.settings().pki
    if file is not None or descriptor is not None:
        return choose(file=file, descriptor=descriptor)
    value = pki.passphrase.get_secret_value() if pki.passphrase else None
    return choose(value=value, file=None if value else pki.passphrase_file)


def _configured_pair(cli: CliContext, store: Store, transport: str, certificate: str | None) -> Pair:
    from atom_console.pki.verify import Pair, pair_of

    settings = cli.settings()
    name = certificate or (settings.kafka.certificate if transport == "kafka" else settings.flight.certificate)
    if name:
        return pair_of(store, name)
    bundle = store.bundle if store.bundle.exists() else None
    if transport == "kafka":
        kafka = settings.kafka
        files = (kafka.ssl_certificate_location, kafka.ssl_key_location, kafka.ssl_ca_location)
    else:
        files = (settings.flight.cert, settings.flight.key, settings.flight.ca)
    cert, key, ca = (Path(file) if file else None for file in files)
    return Pair("this console", cert, key, ca or bundle)


def _target(text: str, transport: str, *, tls: bool, server_name: str | None) -> Target:
    from atom_console.pki.probe import Target
    from atom_console.pki.translate import Transport

    host, colon, port = text.rpartition(":")
    host = host.removeprefix("[").removesuffix("]")
    if not colon or not host or not port.isascii() or not port.isdigit() or not 0 < int(port) < 65536:
        raise InputError(f"{text!r} is not HOST:PORT", next_step="write broker-1.internal:9093 or [fd00::1]:9093")
    return Target(host, int(port), Transport(transport), tls=tls, server_name=server_name)


def _life(days: float | None) -> Any:
    from datetime import timedelta

    return timedelta(days=days) if days is not None else None


def _read_text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path} cannot be read: {error}", next_step="name a text file that exists") from None


def _confirm(yes: bool, question: str) -> None:
    if yes:
        return
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        raise RefusedError("not confirmed, and there is no terminal to ask on", next_step="add --yes")
    if not click.confirm(question, err=True, default=False):
        raise RefusedError("not confirmed", next_step="run it again and answer y")


def _entry_json(entry: Entry) -> dict[str, Any]:
    from atom_console.pki.inventory import utc_now

    return entry.to_json(utc_now())


def _issued_json(made: Issued) -> dict[str, Any]:
    return {**_entry_json(made.entry), "notices": list(made.notices)}


def _tell_issued(cli: CliContext, made: Sequence[Issued], *, nothing: str = "nothing was issued") -> None:
    from atom_console.pki.inventory import utc_now

    if cli.json:
        print_json({"certificates": [_issued_json(one) for one in made]})
        return
    now = utc_now()
    if made:
        rows = [(m.entry.name, m.entry.profile, f"{m.entry.days_left(now):.0f}", m.entry.directory) for m in made]
        print_table(("NAME", "PROFILE", "DAYS", "WHERE"), rows)
    else:
        say(nothing)
    for one in made:
        for notice in one.notices:
            say(f"{one.entry.name}: {notice}")


def _tell_reports(cli: CliContext, reports: Sequence[Report]) -> int:
    ok = all(report.ok for report in reports)
    findings = [found for report in reports for found in report.findings]
    if cli.json:
        print_json({"ok": ok, "findings": [_finding_json(found) for found in findings], "reports": [
            {"name": r.label, "ok": r.ok, "sentence": r.sentence,
             "handshake_ms": r.probe.handshake_ms if r.probe else None} for r in reports
        ]})  # fmt: skip
        return 0 if ok else _CHECK_FAILED
    marks = {"error": "x", "warning": "!", "info": "i"}
    for report in reports:
        print_line(report.sentence)
        for found in report.findings:
            print_line(f"  {marks[found.severity]} {found.id}: {found.subject}: {found.message}")
            print_line(f"    -> {found.next_step}")
    return 0 if ok else _CHECK_FAILED


def _finding_json(found: Finding) -> dict[str, Any]:
    return {
        "id": found.id,
        "severity": found.severity.value,
        "subject": found.subject,
        "message": found.message,
        "next_step": found.next_step,
        "candidates": list(found.candidates),
    }
