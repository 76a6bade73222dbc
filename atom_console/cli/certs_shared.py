"""What the `certs` commands have in common: the group, its options, the store, how results are told."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from atom_console.cli.frame import CliContext, Group
from atom_console.cli.output import print_json, print_table, say
from atom_console.errors import InputError, RefusedError

if TYPE_CHECKING:
    from atom_console.pki.inventory import Entry
    from atom_console.pki.issuing import Issued
    from atom_console.pki.passphrase import PassphraseSource
    from atom_console.pki.store import Store

F = TypeVar("F", bound=Callable[..., Any])
CHECK_FAILED = 6


@click.group(cls=Group)
def certs() -> None:
    """Certificates for Kafka and Flight: issue, renew, rotate, revoke, export; verify and explain.

    Passphrases come from a prompt, --passphrase-file, --passphrase-fd, ATOM_PKI_PASSPHRASE or
    ATOM_PKI_PASSPHRASE_FILE; never from the command line.
    """


def secret_options(function: F) -> F:
    """The two options that name where a passphrase comes from."""
    for option in (
        click.option("--passphrase-fd", type=int, metavar="N", help="Passphrase from an inherited descriptor."),
        click.option(
            "--passphrase-file",
            type=click.Path(path_type=Path),
            metavar="FILE",
            help="Passphrase from a file (mode 0600).",
        ),
    ):
        function = option(function)
    return function


def san_option(function: F) -> F:
    """`--san`, repeatable."""
    return click.option("--san", "sans", multiple=True, metavar="KIND:VALUE", help="DNS:, IP:, URI: or EMAIL:.")(
        function
    )


days_option = click.option("--days", type=click.FloatRange(min=0, min_open=True), help="Life; default: the profile's.")
yes_option = click.option("--yes", is_flag=True, help="Do it without asking.")


def open_store(cli: CliContext, *, change: bool = False) -> Store:
    """The PKI directory of the settings.

    Raises:
        RefusedError: a change is meant and the profile is read-only.
    """
    from atom_console.config import paths
    from atom_console.pki.store import Store

    settings = cli.settings()
    if change and settings.read_only:
        raise RefusedError(
            f"profile {settings.profile} is read-only: certificates are not changed",
            next_step="use another --profile, or leave out --read-only",
        )
    return Store(paths.pki_dir(settings))


def passphrase(cli: CliContext, file: Path | None, descriptor: int | None) -> PassphraseSource:
    """The passphrase of the options, else of the settings, else of a prompt; asked for when it is needed."""
    from atom_console.pki.passphrase import choose

    pki = cli.settings().pki
    if file is not None or descriptor is not None:
        return choose(file=file, descriptor=descriptor)
    value = pki.passphrase.get_secret_value() if pki.passphrase else None
    return choose(value=value, file=None if value else pki.passphrase_file)


def life(days: float | None) -> Any:
    """`--days` as a span."""
    from datetime import timedelta

    return timedelta(days=days) if days is not None else None


def read_text(path: Path) -> str:
    """A text file that the operator named.

    Raises:
        InputError: it cannot be read.
    """
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path} cannot be read: {error}", next_step="name a text file that exists") from None


def confirm(yes: bool, question: str) -> None:
    """Ask before something final.

    Raises:
        RefusedError: no, or nobody to ask.
    """
    if yes:
        return
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        raise RefusedError("not confirmed, and there is no terminal to ask on", next_step="add --yes")
    if not click.confirm(question, err=True, default=False):
        raise RefusedError("not confirmed", next_step="run it again and answer y")


def entry_json(entry: Entry) -> dict[str, Any]:
    """A certificate as `certs ls --json` has it."""
    from atom_console.pki.inventory import utc_now

    return entry.to_json(utc_now())


def issued_json(made: Issued) -> dict[str, Any]:
    """A certificate with the notices of its issue."""
    return {**entry_json(made.entry), "notices": list(made.notices)}


def tell_issued(cli: CliContext, made: Sequence[Issued], *, nothing: str = "nothing was issued") -> None:
    """What was issued, as a table or JSON; notices go to stderr."""
    from atom_console.pki.inventory import utc_now

    if cli.json:
        print_json({"certificates": [issued_json(one) for one in made]})
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
