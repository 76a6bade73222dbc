"""`config`: the settings in force, where each came from, and what is wrong with them."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click

from atom_console.cli.frame import CliContext, Group, json_option, pass_context
from atom_console.cli.output import print_fields, print_json, print_table, say

_HIDDEN = "********"


@click.group(cls=Group)
def config() -> None:
    """Settings, and where each came from.

    The command line wins over the environment, that over the profile in config.toml, that over the default.
    """


@config.command(
    examples=(
        "atom-console config show --origin",
        "atom-console --profile prod config show --json | jq '.settings[] | select(.key==\"kafka.topic\")'",
    )
)
@click.option("--origin", is_flag=True, help="Also where each value came from.")
@json_option
@pass_context
def show(cli: CliContext, origin: bool) -> None:
    """The settings in force; secrets are hidden."""
    from atom_console.config import dotted

    loaded = cli.loaded
    rows = [(key, _shown(key, value), str(loaded.origins[key])) for key, value in dotted(loaded.settings)]
    if cli.json:
        print_json({"settings": [{"key": key, "value": value, "origin": where} for key, value, where in rows]})
    elif origin:
        # Never cut: a path with its line is what the reader came for.
        table = [(key, _text(value), where) for key, value, where in rows]
        print_table(("KEY", "VALUE", "ORIGIN"), table, width=sys.maxsize)
    else:
        print_table(("KEY", "VALUE"), [(key, _text(value)) for key, value, _ in rows])


@config.command(examples=("atom-console config path", 'cd "$(atom-console config path --json | jq -r .state_dir)"'))
@json_option
@pass_context
def path(cli: CliContext) -> None:
    """Where this program keeps its files."""
    from atom_console.config import paths

    loaded = cli.loaded
    fields = {
        "config_file": loaded.config_file or paths.config_file(),
        "state_dir": paths.state_dir(),
        "dlq_dir": paths.dlq_dir(loaded.settings),
        "log_file": paths.log_file(loaded.settings),
        "pki_dir": paths.pki_dir(loaded.settings),
    }
    if cli.json:
        print_json(fields)
    else:
        print_fields(fields)


@config.command(examples=("atom-console config check", "atom-console --config new.toml config check --json"))
@json_option
@pass_context
def check(cli: CliContext) -> int:
    """Everything that is wrong, in every profile at once. Exit 2 if anything is."""
    from atom_console.config import check as find_faults

    faults, warnings = find_faults(cli.profile, cli.config_file, cli.overrides)
    if cli.json:
        told = [{"origin": str(fault.origin), "key": fault.key, "problem": fault.problem} for fault in faults]
        print_json({"ok": not faults, "faults": told, "warnings": warnings})
    else:
        for line in (*map(str, faults), *(f"warning: {warning}" for warning in warnings)):
            say(line)
        say(f"{len(faults)} to put right" if faults else "the configuration is sound")
    return 2 if faults else 0


@config.command(examples=("atom-console config init", "atom-console --config ./atom.toml config init"))
@json_option
@pass_context
def init(cli: CliContext) -> None:
    """Writes a config.toml with every key commented out. An existing file is never touched."""
    from atom_console.config import paths
    from atom_console.config.reference import write_template

    target = cli.config_file or paths.config_file()
    write_template(target)
    if cli.json:
        print_json({"config_file": target})
    else:
        print_fields({"wrote": target})


def _shown(key: str, value: Any) -> Any:
    """A value as JSON has it; a secret that is set is only said to be."""
    from atom_console.config.keys import is_secret

    if value is not None and is_secret(key):
        return _HIDDEN
    if isinstance(value, Path):
        return str(value)
    return list(value) if isinstance(value, tuple) else value


def _text(value: Any) -> Any:
    if isinstance(value, bool):
        return str(value).lower()
    return ",".join(value) if isinstance(value, list) else value
