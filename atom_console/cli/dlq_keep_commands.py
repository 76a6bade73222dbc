"""`dlq import` and `dlq check`: files in, and whether the store is whole."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import click

from atom_console.cli.dlq_store import open_store
from atom_console.cli.frame import CliContext, Command, json_option, pass_context
from atom_console.cli.output import print_fields, print_json, print_line, print_table, say
from atom_console.errors import CheckError, InputError, PartialError


@click.command("import", cls=Command, examples=("atom-console dlq import /var/spool/svc-grid/*.spill --json",))
@click.argument("files", nargs=-1, required=True, type=click.Path(path_type=Path), metavar="PATH...")
@json_option
@pass_context
def import_(cli: CliContext, files: tuple[Path, ...]) -> None:
    """Take in spill files (or directories of them), JSON Lines and Parquet of `dlq export`; each record exactly once.

    The files stay where they are. Parts that cannot be read are named with their place, the rest is taken in: exit 3.
    """
    from atom_console.dlq.transfer import import_path

    with open_store(cli, "import") as store:
        reports = [report for path in files for report in import_path(store, path)]
    faults = [(report.path, fault) for report in reports for fault in report.faults]
    if cli.json:
        print_json(
            {
                "read": sum(r.read for r in reports),
                "added": sum(r.added for r in reports),
                "known": sum(r.known for r in reports),
                "skipped": len(faults),
                "faults": [
                    {"path": str(path), "offset": f.offset, "bytes": f.length, "why": f.why} for path, f in faults
                ],
            }
        )
    else:
        print_table(("FILE", "READ", "ADDED", "KNOWN"), ((str(r.path), r.read, r.added, r.known) for r in reports))
    for path, fault in faults:
        say(f"{path}@{fault.offset}: {fault.why}")
    if faults:
        raise PartialError(
            f"{len(faults)} parts of the files could not be read", next_step="keep the files, and look at the offsets"
        )


@click.command(cls=Command, examples=("atom-console dlq check", "atom-console dlq check --repair"))
@click.option("--repair", is_flag=True, help="Make wrong counters anew.")
@json_option
@pass_context
def check(cli: CliContext, repair: bool) -> int:
    """Whether the store is whole: SQLite's own check, payload digests, counters, the audit chain. Exit 6 if not."""
    from atom_console.config import paths
    from atom_console.dlq import database
    from atom_console.dlq.check import check as check_store
    from atom_console.dlq.check import repair_counters
    from atom_console.dlq.place import Place

    place = Place(paths.dlq_dir(cli.settings()))
    if not place.database.exists():
        raise InputError(f"{place.database}: there is no store yet", next_step="it is made with the first dead letter")
    if repair:
        with open_store(cli, "repair") as store:
            store.run(repair_counters)
    with closing(database.open_reader(place.database)) as conn:
        report = check_store(conn)
    if cli.json:
        print_json(
            {
                "ok": report.ok,
                "rows": report.records,
                "payloads": report.payloads,
                "audit_rows": report.audit_rows,
                "first_bad": report.first_bad,
                "findings": [{"part": finding.part, "what": finding.what} for finding in report.findings],
            }
        )
        return 0 if report.ok else CheckError.exit_code
    for finding in report.findings:
        print_line(f"{finding.part}: {finding.what}")
    print_fields({"records": report.records, "payloads": report.payloads, "audit rows": report.audit_rows})
    if not report.ok:
        raise CheckError(
            f"{len(report.findings)} things do not hold in {place.database}",
            next_step="wrong counters: --repair; anything else: keep a copy of the file, and export what it gives",
        )
    return 0
