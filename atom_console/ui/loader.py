"""A daemon thread for work that may wait: reads of the store, commands to the engine.

Textual's thread workers share a small pool, and one that hangs keeps the program from ending.
"""

from __future__ import annotations

import asyncio
import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from contextvars import Context, copy_context
from typing import Any

from atom_console.errors import AtomError

Done = Callable[[Any, AtomError | None], None]


class Loader:
    """Runs jobs one after another; a newer job of the same owner replaces one that still waits."""

    def __init__(self, name: str, loop: asyncio.AbstractEventLoop, on_fault: Callable[[Exception], None]) -> None:
        """`on_fault` gets, in the event loop, any exception of a job that is not an AtomError: a fault of ours."""
        self._loop = loop
        self._on_fault = on_fault
        self._jobs: OrderedDict[Hashable, tuple[Callable[[], Any], Done, Context]] = OrderedDict()
        self._wake = threading.Condition()
        self._stopped = False
        self._busy: Hashable | None = None
        threading.Thread(target=self._run, name=name, daemon=True).start()

    def submit(self, owner: Hashable, job: Callable[[], Any], done: Done) -> None:
        """Run `job` in the thread, then `done(value, None)` or `done(None, error)` in the event loop.

        `done` runs in the caller's context: what opens a screen asks there for the application.
        """
        with self._wake:
            self._jobs.pop(owner, None)
            self._jobs[owner] = (job, done, copy_context())
            self._wake.notify()

    @property
    def idle(self) -> bool:
        """Nothing runs or waits."""
        with self._wake:
            return self._busy is None and not self._jobs

    def stop(self) -> None:
        """Forget what waits; a job that runs is not waited for."""
        with self._wake:
            self._stopped = True
            self._jobs.clear()
            self._wake.notify()

    def _run(self) -> None:
        while True:
            with self._wake:
                self._wake.wait_for(lambda: self._jobs or self._stopped)
                if self._stopped:
                    return
                self._busy, (job, done, context) = self._jobs.popitem(last=False)
            value, error, fault = None, None, None
            try:
                value = job()
            except AtomError as failure:
                error = failure
            except Exception as failure:  # noqa: BLE001 (reported in the event loop)
                fault = failure
            self._post(done, value, error, fault, context)
            with self._wake:
                self._busy = None

    def _post(self, done: Done, value: Any, error: AtomError | None, fault: Exception | None, context: Context) -> None:
        def finish() -> None:
            if self._stopped:
                return
            if fault is not None:
                self._on_fault(fault)
            else:
                done(value, error)

        try:
            self._loop.call_soon_threadsafe(finish, context=context)
        except RuntimeError:
            self._stopped = True  # the loop was closed: the screen is gone
