"""Processes that run a plan until it ends or somebody kills them, forked from one that has everything imported."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
from multiprocessing.connection import Connection
from pathlib import Path
from threading import Event

from atom_console.dlq.replay import failpoints
from atom_console.dlq.replay.run import Runner
from atom_console.dlq.store import Store
from tests.dlq_replay.conftest import replay_settings

_CONTEXT = multiprocessing.get_context("forkserver")
_CONTEXT.set_forkserver_preload(["tests.dlq_replay.replaying_child"])


class Child:
    """One such process.

    Args:
        failpoint: `name:times` of the place where it kills itself.
    """

    def __init__(self, directory: Path, bootstrap: str, run_id: str, failpoint: str = "") -> None:
        self._answers, theirs = _CONTEXT.Pipe(duplex=False)
        arguments = (theirs, directory, bootstrap, run_id, failpoint)
        self._process = _CONTEXT.Process(target=_main, args=arguments, daemon=True)
        self._process.start()
        theirs.close()

    @property
    def running(self) -> bool:
        return self._process.is_alive()

    def wait_until_open(self, deadline_s: float = 30.0) -> None:
        """Until it has opened the store."""
        assert self._answers.poll(deadline_s), "the child did not open the store"
        assert self._answers.recv() == "open"

    def kill(self) -> bool:
        """SIGKILL; False when it had ended before."""
        alive = self._process.is_alive()
        self._process.kill()
        self.end()
        return alive and self._process.exitcode == -signal.SIGKILL

    def end(self, deadline_s: float = 120.0) -> int:
        """Wait for its end; the exit code, below zero after a signal."""
        self._process.join(deadline_s)
        assert self._process.exitcode is not None, "the child did not end"
        self._answers.close()
        return self._process.exitcode


def _main(answers: Connection, directory: Path, bootstrap: str, run_id: str, failpoint: str) -> None:
    if failpoint:
        name, times = failpoint.split(":")
        failpoints.ARMED, failpoints._name, failpoints._left = True, name, int(times)
    settings = replay_settings(bootstrap, directory)
    with Store.open(directory, settings.dlq, component="child") as store:
        answers.send("open")
        try:
            Runner(store, settings, run_id).run(Event())
        except Exception as error:
            print(f"child of run {run_id}: {error}", file=sys.stderr, flush=True)
            os._exit(1)
