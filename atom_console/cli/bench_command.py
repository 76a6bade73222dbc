"""`bench`: every budget, measured beside its baseline in one run."""

from __future__ import annotations

import sys
from dataclasses import asdict
from importlib import import_module
from pathlib import Path
from typing import Any

import click

from atom_console.cli.frame import CliContext, Command, json_option, pass_context
from atom_console.cli.output import print_json, print_table, say
from atom_console.errors import AtomError
from atom_console.resources import resource_dir

_CHECK_FAILED = 6


@click.command(cls=Command, examples=("atom-console bench", "atom-console bench codec --json"))
@click.argument("name", required=False)
@json_option
@pass_context
def bench(cli: CliContext, name: str | None) -> int:
    """Measure the budgets, or those of NAME only: codec, produce, dlq, cli, flight, pki, screen….

    Baseline and measured are timed in turn in one run, so a busy machine is fair to both. Exit 6 if a budget is missed.
    """
    home = resource_dir("benchmarks")
    names = _names(home)
    if name is not None and name not in names:
        raise click.UsageError(f"no benchmark {name!r}: there are {', '.join(names)}")
    sys.path.insert(0, str(home.parent))
    results: list[Any] = []
    for each in [name] if name else names:
        say(f"{each} …")
        try:
            results.extend(import_module(f"benchmarks.bench_{each}").run())
        except (AtomError, ImportError) as error:
            say(f"{each}: not measured here: {error}")
    if cli.json:
        print_json({"results": [asdict(result) for result in results]})
    else:
        print_table(
            ("WHAT", "MEASURED", "BASELINE", "UNIT", "RATIO", "BUDGET", "MET"),
            (
                (r.name, _number(r.measured), _number(r.baseline), r.unit, _number(r.ratio), r.budget, r.met)
                for r in results
            ),
        )
    return _CHECK_FAILED if any(result.met is False for result in results) else 0


def _names(home: Path) -> list[str]:
    return sorted(path.stem.removeprefix("bench_") for path in home.glob("bench_*.py"))


def _number(value: float | None) -> str | None:
    if value is None:
        return None
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"
