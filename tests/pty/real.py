"""The real program on a pseudo terminal, with a home of its own."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

from tests.e2e.delivery import many_lines
from tests.ui.pty_session import PtySession

NOBODY = "127.0.0.1:9"
"""A port that refuses."""


def console(
    home: Path, bootstrap: str = NOBODY, *arguments: str, size: tuple[int, int] = (120, 40), **environ: str
) -> PtySession:
    """`atom-console` with its store in `home/dlq` and its log in `home/console.log`."""
    own = {
        "HOME": str(home),
        "XDG_CONFIG_HOME": str(home / "config"),
        "XDG_STATE_HOME": str(home / "state"),
        "ATOM_KAFKA_BOOTSTRAP_SERVERS": bootstrap,
        "ATOM_DLQ_DIR": str(home / "dlq"),
        "ATOM_DLQ_MIN_FREE_BYTES": str(1 << 20),
        "ATOM_LOG_FILE": str(home / "console.log"),
    }
    return PtySession(home, size, [sys.executable, "-m", "atom_console", *arguments], **(own | environ))


def workload_file(path: Path, count: int) -> Path:
    """A file of events, each with an id of its own."""
    with path.open("w") as file:
        file.writelines(many_lines(count))
    return path


def start_workload(session: PtySession, path: Path, rate: int) -> None:
    """Feed the file at so many events a second, and wait until some are acknowledged."""
    session.press(f":workload {path} {rate}\r")
    session.wait_for(f"Started {path.name}.")
    session.wait(lambda: sums(session)[1] > rate // 2, "acknowledged events")


def sums(session: PtySession) -> tuple[int, int, int]:
    """Accepted, acknowledged and kept, as the first line of the overview says; zeros where it says nothing yet."""
    found = re.search(r"([\d,]+) in = ([\d,]+) acked \+ ([\d,]+) kept", session.text())
    return (0, 0, 0) if found is None else tuple(int(text.replace(",", "")) for text in found.groups())  # type: ignore[return-value]


def drained(session: PtySession) -> tuple[int, int, int]:
    """The same three numbers from the sentence after the end, in the raw bytes: pyte has no second screen to go back
    to, so the sentence starts where the cursor was, and may wrap."""
    sentence = r"([\d,]+) accepted: ([\d,]+) acknowledged, ([\d,]+) in the DLQ\."
    session.wait(lambda: re.search(sentence, session.raw.decode(errors="replace")), "the sentence of the drain")
    found = re.search(sentence, session.raw.decode(errors="replace"))
    assert found is not None
    accepted, acked, kept = (int(text.replace(",", "")) for text in found.groups())
    return accepted, acked, kept


def drain_in_the_log(home: Path) -> str:
    """The message of the drain in the log: there also where the terminal is gone."""
    lines = (home / "console.log").read_text().splitlines()
    entries = [json.loads(line) for line in lines if line.startswith("{")]
    return next(str(entry["message"]) for entry in entries if entry.get("event") == "drain.finished")
