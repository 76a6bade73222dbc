"""A process that runs a plan until it ends or is killed. argv: directory, bootstrap servers, run."""

from __future__ import annotations

import sys
from pathlib import Path
from threading import Event

from atom_console.dlq.replay.run import Runner
from atom_console.dlq.replay.runs import RunProgress
from atom_console.dlq.store import Store
from tests.dlq_replay.conftest import replay_settings


def main() -> None:
    directory, bootstrap, run_id = sys.argv[1:4]
    settings = replay_settings(bootstrap, Path(directory))
    shown: set[str] = set()

    def show(progress: RunProgress) -> None:
        if progress.reason not in shown:
            shown.add(progress.reason)
            print(progress.reason, flush=True)

    with Store.open(Path(directory), settings.dlq, component="child") as store:
        print("open", flush=True)
        report = Runner(store, settings, run_id, on_progress=show).run(Event())
        print(report.run.state, report.run.verified, flush=True)


if __name__ == "__main__":
    main()
