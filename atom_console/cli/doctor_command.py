"""`doctor`: broker, Flight, certificates, dead letters, disk, terminal in one table."""

from __future__ import annotations

from dataclasses import asdict

import click

from atom_console.cli.frame import CliContext, Command, json_option, pass_context
from atom_console.cli.output import print_json, print_table
from atom_console.errors import CheckError


@click.command(cls=Command, examples=("atom-console doctor", "atom-console --profile prod doctor --json"))
@json_option
@pass_context
def doctor(cli: CliContext) -> int:
    """Look at everything this console depends on; nothing is changed. Exit 6 if something is at fault."""
    from atom_console.engine.doctor import examine

    checks = list(examine(cli.loaded))
    if cli.json:
        print_json({"checks": [asdict(check) for check in checks]})
    else:
        print_table(
            ("CHECK", "STATUS", "NEXT", "DETAIL"),
            [(check.name, check.status, check.next_step, check.detail) for check in checks],
        )
    return CheckError.exit_code if any(check.status == "fault" for check in checks) else 0
