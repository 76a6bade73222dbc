"""`dlq plan`, `replay`, `runs`, `pause`, `resume`, `cancel`, `recover`: send dead letters again, and prove it."""

from __future__ import annotations

import sys
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import click

from atom_console.cli import signals
from atom_console.cli.dlq_confirm import confirm_options, confirmed_count
from atom_console.cli.dlq_filter import filter_options, make_filter
from atom_console.cli.dlq_store import open_store
from atom_console.cli.frame import CliContext, Command, json_option, pass_context
from atom_console.cli.output import print_fields, print_json, print_table, say
from atom_console.errors import PartialError, RefusedError
from atom_console.times import format_ms

if TYPE_CHECKING:
    from atom_console.config import Settings
    from atom_console.dlq.replay.options import ReplayOptions
    from atom_console.dlq.replay.plan import Plan
    from atom_console.dlq.replay.run import RunReport
    from atom_console.dlq.replay.runs import Run, RunProgress


_OPTIONS = (
    click.option("--rate", type=click.FloatRange(0), metavar="N", help="Events a second; 0 = unpaced."),
    click.option("--window", type=click.IntRange(1, 10_000), metavar="N", help="The most records of one window."),
    click.option("--canary", type=click.IntRange(0, 10_000), metavar="N", help="Sent first, alone; 0 = none."),
    click.option("--order", type=click.Choice(["strict", "partition"]), help="Order by key, or by partition."),
    click.option("--preserve-timestamps", is_flag=True, help="Keep the original time; retention may delete at once."),
    click.option("--original-partition", is_flag=True, help="To the partition that a record was meant for."),
    click.option("--allow-reorder", is_flag=True, help="Although an earlier record of a key stays behind."),
    click.option("--include-superseded", is_flag=True, help="Although a newer event of the key is on the topic."),
    click.option("--allow-compacted", is_flag=True, help="To compacted topics, where copies may vanish."),
    click.option("--no-read-back", is_flag=True, help="Without READ on the topic: a crash leaves outcomes unknown."),
)


def _replay_options(function: Any) -> Any:
    for option in reversed(_OPTIONS):
        function = option(function)
    return function


@click.command(
    cls=Command,
    examples=("atom-console dlq plan --class outage --state ready --json", "atom-console dlq plan --group 1f3a77c0"),
)
@filter_options
@click.option("--all", "everything", is_flag=True, help="Every record of the store.")
@_replay_options
@json_option
@pass_context
def plan(cli: CliContext, /, everything: bool, **options: Any) -> int:
    """The dry run before any send: which records exactly, and what may go wrong. It is stored, and never widens."""
    made = _plan(cli, options, everything=everything)
    if cli.json:
        print_json(_plan_document(made))
    else:
        _print_plan(made)
    return RefusedError.exit_code if made.refusals else 0


@click.command(
    cls=Command,
    examples=(
        "atom-console dlq replay 8f2c11d0 --yes",
        "atom-console dlq replay --class outage --rate 500 --yes --json",
    ),
)
@click.argument("run_id", metavar="[RUN_ID]", required=False)
@filter_options
@click.option("--all", "everything", is_flag=True, help="Every record of the store.")
@_replay_options
@confirm_options
@click.option("--take-over", is_flag=True, help="Put a holder of the lease aside that does not answer.")
@json_option
@pass_context
def replay(
    cli: CliContext,
    /,
    run_id: str | None,
    everything: bool,
    yes: bool,
    confirm: int | None,
    take_over: bool,
    **options: Any,
) -> int:
    """Run a plan, or plan and run what the filter matches; resumes a run that stopped.

    With a RUN_ID, --rate, --window and --canary may differ from the plan's; what is sent may not.

    Exit 3 where records failed or are unknown, 5 where something refused or stopped it.
    """
    if run_id is None:
        made = _plan(cli, options, everything=everything)
        if not cli.json:
            _print_plan(made)
        run_id = made.run_id
    else:
        _change_pace(cli, run_id, options, everything=everything)
    return _run(cli, run_id, yes=yes, confirm=confirm, take_over=take_over)


@click.command(cls=Command, examples=("atom-console dlq resume 8f2c11d0 --yes",))
@click.argument("run_id", metavar="RUN_ID")
@confirm_options
@click.option("--take-over", is_flag=True, help="Put a holder of the lease aside that does not answer.")
@json_option
@pass_context
def resume(cli: CliContext, run_id: str, yes: bool, confirm: int | None, take_over: bool) -> int:
    """Go on with a run: where another process holds it paused, tell that one; else run it here."""
    from atom_console.dlq.replay.runs import request

    with open_store(cli, "resume") as store:
        run = request(store, run_id, "resume")
    if run.requested == "resume":
        _print_run(cli, run)
        return 0
    return _run(cli, run.name, yes=yes, confirm=confirm, take_over=take_over)


@click.command(cls=Command, examples=("atom-console dlq pause 8f2c11d0",))
@click.argument("run_id", metavar="RUN_ID")
@click.option("--reason", default="", metavar="R", help="Why, for the audit.")
@json_option
@pass_context
def pause(cli: CliContext, run_id: str, reason: str) -> None:
    """Ask the process that runs it to send nothing more until it is resumed."""
    _request(cli, run_id, "pause", reason)


@click.command(cls=Command, examples=('atom-console dlq cancel 8f2c11d0 --reason "wrong topic"',))
@click.argument("run_id", metavar="RUN_ID")
@click.option("--reason", default="", metavar="R", help="Why, for the audit.")
@json_option
@pass_context
def cancel(cli: CliContext, run_id: str, reason: str) -> None:
    """End a run for good; what was sent stays sent, the rest stays ready."""
    _request(cli, run_id, "cancel", reason)


@click.command(cls=Command, examples=("atom-console dlq runs", "atom-console dlq runs --limit 1 --json"))
@click.option("--limit", type=click.IntRange(1, 10_000), default=20, show_default=True, metavar="N")
@json_option
@pass_context
def runs(cli: CliContext, limit: int) -> None:
    """The last runs, newest first, and who runs one now."""
    from atom_console.config import paths
    from atom_console.dlq import lease
    from atom_console.dlq.replay.reading import reading
    from atom_console.dlq.replay.runs import read_runs

    directory = paths.dlq_dir(cli.settings())
    found: list[Run] = []
    held = None
    if (directory / "dlq.sqlite3").exists():
        with reading(directory) as conn:
            found, held = read_runs(conn, limit=limit), lease.read(conn)
    alive = held is not None and lease.holder_lives(directory, held.fencing)
    holder = f"{held.owner}@{held.host} pid {held.pid}" if held is not None and alive else None
    if cli.json:
        purpose = held.purpose if held is not None and alive else ""
        print_json({"runs": [_run_document(run, holder if purpose.endswith(run.name) else None) for run in found]})
        return
    if not found:
        say("no runs")
        return
    print_table(
        ("RUN", "STATE", "MADE", "TOTAL", "REPLAYED", "FAILED", "UNKNOWN", "LEFT", "RESULT"),
        (
            (
                run.name,
                run.state,
                format_ms(run.created_at),
                run.total,
                run.replayed,
                run.failed,
                run.unknown,
                run.left,
                run.verified or run.state_reason,
            )
            for run in found
        ),
    )
    if holder:
        say(f"running now: {holder}")


@click.command(
    cls=Command,
    examples=("atom-console dlq recover", 'atom-console dlq recover --assume lost --reason "topic was rebuilt"'),
)
@click.option("--wait", "wait_s", type=click.FloatRange(0, 3600), default=0.0, metavar="S", help="Wait for a decision.")
@click.option("--assume", type=click.Choice(["lost", "arrived"]), help="Decide what cannot be found out; audited.")
@click.option("--reason", metavar="R", help="Why, for the audit; required with --assume.")
@click.option("--take-over", is_flag=True, help="Put a holder of the lease aside that does not answer.")
@json_option
@pass_context
def recover(cli: CliContext, wait_s: float, assume: str | None, reason: str | None, take_over: bool) -> None:
    """Look on the broker for records whose outcome is not known; nothing is sent.

    What is found arrived. What is not found is believed to be absent only when nothing can be on its way any more; the
    rest stays unknown, until an operator decides with --assume.
    """
    from atom_console.dlq.replay.pending import assume_all, resolve

    if assume is not None and not (reason and reason.strip()):
        raise click.UsageError("--assume needs --reason: it goes into the audit")
    settings = _settings(cli)
    with open_store(cli, "recover") as store, signals.passed_on() as (_stop, halt):
        found = resolve(store, settings, wait_s=wait_s, take_over=take_over, stop=halt)
        assumed = 0
        if assume is not None and found.still_unknown:
            assumed = assume_all(store, arrived=assume == "arrived", reason=reason or "")
    left = found.still_unknown - assumed
    document = {
        "recovered": found.recovered,
        "absent": found.absent,
        "assumed": assumed,
        "still_unknown": left,
        "doubts": found.doubts,
    }
    if cli.json:
        print_json(document)
    else:
        print_fields(document | {"doubts": "; ".join(found.doubts) or None})
    if left:
        raise PartialError(
            f"{left} outcomes are still not known",
            next_step="try again later, or decide with --assume lost|arrived --reason R",
        )


def _settings(cli: CliContext) -> Settings:
    return cli.settings().model_copy(update={"kafka": cli.kafka()})


def _options(cli: CliContext, options: dict[str, Any]) -> ReplayOptions:
    from atom_console.dlq.replay.options import ReplayOptions

    return ReplayOptions.of(
        cli.settings().dlq,
        rate=options.pop("rate"),
        window=options.pop("window"),
        canary=options.pop("canary"),
        order=options.pop("order"),
        timestamps="preserve" if options.pop("preserve_timestamps") else None,
        original_partition=options.pop("original_partition"),
        allow_reorder=options.pop("allow_reorder"),
        superseded=options.pop("include_superseded"),
        allow_compacted=options.pop("allow_compacted"),
        read_back=not options.pop("no_read_back"),
    )


def _change_pace(cli: CliContext, run_id: str, options: dict[str, Any], *, everything: bool) -> None:
    """The pace of a stored run, where the command line names one; a filter beside a run is a mistake."""
    from atom_console.dlq.replay.runs import change_pace

    pace = {name: options.pop(name) for name in ("rate", "window", "canary")}
    stray = [name for name, value in options.items() if value]
    if stray or everything:
        raise click.UsageError(
            "a RUN_ID has its records and its order from its plan: only the pace may be given with it"
        )
    if any(value is not None for value in pace.values()):
        with open_store(cli, "replay") as store:
            change_pace(store, run_id, **pace)


def _plan(cli: CliContext, options: dict[str, Any], *, everything: bool) -> Plan:
    from atom_console.dlq.replay.plan import plan as make_plan

    chosen = _options(cli, options)
    wanted = make_filter(options)
    wanted.require_something(everything=everything)
    with open_store(cli, "plan") as store:
        return make_plan(store, _settings(cli), wanted, chosen, everything=everything)


def _run(cli: CliContext, run_id: str, *, yes: bool, confirm: int | None, take_over: bool) -> int:
    from atom_console.dlq.replay.plan import Plan, require_confirmed
    from atom_console.dlq.replay.reading import reading
    from atom_console.dlq.replay.run import Runner
    from atom_console.dlq.replay.runs import read_run

    settings = _settings(cli)
    with open_store(cli, "replay") as store:
        with reading(store.directory) as conn:
            run = read_run(conn, run_id)
        made = Plan.from_json(run.plan)
        if not made.refusals:
            confirm = confirmed_count(made.count, f"send {made.count:,} events", made.confirm_count, yes, confirm)
        require_confirmed(made, settings, confirm)
        with signals.passed_on() as (stop, halt):
            runner = Runner(store, settings, run.name, take_over=take_over, on_progress=_show_progress())
            report = runner.run(halt)
    if sys.stderr.isatty():
        say("")
    _print_report(cli, report)
    if stop.requested:
        return stop.exit_code
    return _judge(report)


def _judge(report: RunReport) -> int:
    run, verdict = report.run, report.verdict
    if run.state == "stopped":
        error = PartialError if run.unknown else RefusedError
        raise error(
            f"run {run.name} stopped: {run.state_reason}", next_step=f"correct it, then `dlq resume {run.name}`"
        )
    if verdict is not None and (verdict.lost or verdict.duplicates):
        raise PartialError(f"run {run.name}: {verdict.sentence()}", next_step="look at the records: `dlq show ID`")
    if run.failed or run.unknown or run.left:
        raise PartialError(
            f"run {run.name}: {run.failed:,} failed, {run.unknown:,} unknown, {run.left:,} left",
            next_step="see why: `dlq groups`",
        )
    return 0


def _request(cli: CliContext, run_id: str, wish: Any, reason: str) -> None:
    from atom_console.dlq.replay.runs import request

    with open_store(cli, wish) as store:
        _print_run(cli, request(store, run_id, wish, reason=reason))


def _print_run(cli: CliContext, run: Run) -> None:
    if cli.json:
        print_json(_run_document(run, None))
    else:
        print_fields({"run": run.name, "state": run.state, "asked": run.requested, "left": run.left})


def _run_document(run: Run, holder: str | None) -> dict[str, object]:
    document = asdict(run)
    for name in ("id", "plan"):
        del document[name]
    document["run_id"] = document.pop("name")
    for name in ("created_at", "started_at", "ended_at"):
        document[name] = None if document[name] is None else format_ms(document[name])
    return document | {"left": run.left, "holder": holder}


def _plan_document(made: Plan) -> dict[str, object]:
    document = made.to_json()
    document["oldest_at"] = None if made.oldest_at is None else format_ms(made.oldest_at)
    document["created_at"] = format_ms(made.created_at)
    return document


def _print_plan(made: Plan) -> None:
    held = ", ".join(f"{count:,} {why.replace('_', ' ')}" for why, count in made.held.items())
    pace = f"{made.rate:g} /s" if made.rate else "unpaced"
    print_fields(
        {
            "plan": f"{made.run_id}, nothing sent yet",
            "send": f"{made.count:,} events, {made.bytes:,} bytes, {len(made.by_topic)} topics,"
            f" {len(made.by_tenant)} tenants, {made.keys:,} keys",
            "hold back": held or None,
            "check first": f"{made.may_duplicate:,} may already be there; each is looked for before it is sent",
            "pace": pace,
            "takes": None if made.eta_s is None else f"{made.eta_s:g} s, of it {made.check_s:g} s checks",
            "cluster": made.cluster_id,
            "largest": f"{made.largest_bytes:,} bytes",
        }
    )
    for topic, count in made.by_topic.items():
        print_fields({f"  {topic}": f"{count:,} events, {made.targets[topic]['partitions']} partitions"})
    for warning in made.warnings:
        say(f"warning: {warning}")
    for refusal in made.refusals:
        say(f"refused: {refusal}")


def _print_report(cli: CliContext, report: RunReport) -> None:
    run, verdict = report.run, report.verdict
    document = {
        "run_id": run.name,
        "state": run.state,
        "reason": run.state_reason or None,
        "sent": run.sent,
        "replayed": run.replayed,
        "failed": run.failed,
        "unknown": run.unknown,
        "left": run.left,
        "held": run.held,
        "duplicates_avoided": run.duplicates_avoided,
        "lost": None if verdict is None or verdict.doubts else verdict.lost,
        "duplicates": None if verdict is None or verdict.doubts else verdict.duplicates,
        "verified": run.verified,
        "landed_behind": len(report.landed_behind),
        "seconds": round(report.seconds, 3),
        "events_per_s": round(report.events_per_s, 1),
    }
    if cli.json:
        print_json(document | {"doubts": report.doubts})
    else:
        print_fields(document)


def _show_progress() -> Any:
    """A progress line on a terminal, or nothing."""
    if not sys.stderr.isatty():
        return None

    def show(progress: RunProgress) -> None:
        rate = "" if progress.rate_per_s is None else f", {progress.rate_per_s:,.0f} /s"
        eta = "" if progress.eta_s is None else f", {progress.eta_s:,.0f} s left"
        line = (
            f"{progress.reason or progress.state}: {progress.replayed:,} of {progress.total:,}{rate}{eta},"
            f" failed {progress.failed:,}, unknown {progress.unknown:,}"
        )
        sys.stderr.write(f"\r\x1b[K{line}")
        sys.stderr.flush()

    return show
