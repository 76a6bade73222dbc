"""One broker for all processes of a test session: the first user starts it, and it ends after the last one.

Users hold a shared lock on a file; the kernel gives it back however they end. `python -m tests.broker.keeper DIRECTORY`
holds the broker and waits for that lock exclusively.
"""

from __future__ import annotations

import fcntl
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.broker.broker import KafkaBroker
from tests.broker.handle import BrokerHandle
from tests.broker.libraries import BrokerError

_ROOT = Path(__file__).parents[2]
_START_S = 90.0


@contextmanager
def shared_broker(directory: Path) -> Iterator[BrokerHandle]:
    """The session's broker, kept running at least as long as the context.

    Raises:
        BrokerError: it could not be started.
    """
    directory.mkdir(parents=True, exist_ok=True)
    with (directory / "users.lock").open("a") as users:
        with (directory / "start.lock").open("a") as starting:
            fcntl.flock(starting, fcntl.LOCK_EX)
            fcntl.flock(users, fcntl.LOCK_SH)
            published = directory / "handle.json"
            if not published.exists():
                _start(directory, published)
        yield BrokerHandle.from_json(published.read_text())


def _start(directory: Path, published: Path) -> None:
    with (directory / "keeper.log").open("a") as log:
        keeper = subprocess.Popen(
            [sys.executable, "-m", "tests.broker.keeper", str(directory)],
            cwd=_ROOT,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    end = time.monotonic() + _START_S
    while not published.exists():
        if keeper.poll() is not None or time.monotonic() > end:
            keeper.kill()
            raise BrokerError(f"the shared broker did not start:\n{(directory / 'keeper.log').read_text()[-6000:]}")
        time.sleep(0.02)
    keeper.returncode = 0  # it outlives us on purpose: no ResourceWarning about a running child


def keep(directory: Path) -> None:
    """Start the broker, publish its handle, end it when no user is left."""
    published = directory / "handle.json"
    with KafkaBroker(directory / f"broker-{time.time_ns()}") as broker, (directory / "users.lock").open("a") as users:
        partial = published.with_suffix(".partial")
        partial.write_text(broker.handle.to_json())
        partial.rename(published)
        fcntl.flock(users, fcntl.LOCK_EX)
        published.unlink()


if __name__ == "__main__":
    keep(Path(sys.argv[1]))
