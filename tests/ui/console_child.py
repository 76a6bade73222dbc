"""A process with the console on a scripted engine, for tests that drive it through a pseudo terminal."""

from __future__ import annotations

import ctypes
import os
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from scripted import ScriptedEngine, disconnected, flowing

from atom_console.cli import log
from atom_console.engine.protocol import DrainReport
from atom_console.engine.snapshot import EngineSnapshot, Series
from atom_console.errors import AtomError

HOSTILE = "\x1b]52;c;cHduZWQ=\x07\x1b[2J[/nope][red]\u202eevil\u202c\x9b31m\u200b"


def hostile(base: EngineSnapshot) -> EngineSnapshot:
    """Every string that others can choose is an attack."""
    groups = tuple(replace(group, label=HOSTILE) for group in base.dlq.groups)
    errors = tuple(replace(error, name=HOSTILE, where=HOSTILE, next_step=HOSTILE) for error in base.errors)
    topics = tuple(replace(topic, name=HOSTILE, group=HOSTILE) for topic in base.cluster.topics)
    certificates = tuple(replace(row, name=HOSTILE, status=HOSTILE) for row in base.certificates.rows)
    return replace(
        base,
        dlq=replace(base.dlq, groups=groups),
        errors=errors,
        cluster=replace(base.cluster, name=HOSTILE, topics=topics),
        certificates=replace(base.certificates, rows=certificates),
        coach=HOSTILE,
    )


class ChildEngine(ScriptedEngine):
    """Counts in a thread of its own, as an engine does, and tells a file what happened."""

    def __init__(self, journal: Path) -> None:
        base = disconnected() if os.environ.get("CHILD_DOWN") else flowing()
        super().__init__(hostile(base) if os.environ.get("CHILD_HOSTILE") else base)
        if os.environ.get("CHILD_IDLE"):
            made = replace(base.producer, queue_depth=0, in_flight=0)
            self.snapshots = [replace(base, producer=made)]
        self.journal = journal
        self.beats = 0
        threading.Thread(target=self._beat, daemon=True).start()

    def _beat(self) -> None:
        while True:
            self.beats += 1
            time.sleep(0.01)

    def snapshot(self) -> EngineSnapshot:
        base = super().snapshot()
        if os.environ.get("CHILD_NOISE") and self.looks == 4:  # the screen is drawn
            ctypes.CDLL(None).write(2, b"NATIVE-NOISE\n", 13)
        if os.environ.get("CHILD_CRASH") and self.looks == 4:
            payload = "SECRET-PAYLOAD"
            raise ValueError(f"cannot show {payload}")
        if not os.environ.get("CHILD_BUSY"):
            return base
        made, history = base.producer, base.producer.in_per_s.history
        turn = self.looks % len(history)
        moved = Series(4000 + 7 * self.looks, history[turn:] + history[:turn])
        return replace(
            base,
            taken_at_ms=base.taken_at_ms + 500 * self.looks,
            producer=replace(made, in_per_s=moved, acked_per_s=moved, accepted=(made.accepted or 0) + self.looks),
        )

    def drain(self, deadline_s: float) -> DrainReport:
        self.journal.write_text(f"drained beats={self.beats}\n")
        saved = not os.environ.get("CHILD_LOSES")
        return DrainReport("Sent 312 events." if saved else "Lost 1 event: the disk is full.", saved)


def main() -> int:
    from atom_console.ui.options import options_from
    from atom_console.ui.terminal import run_console

    home = Path(sys.argv[1])
    log.start(home / "console.log")
    engine = ChildEngine(home / "journal")
    if os.environ.get("CHILD_LETTERS"):
        import letters

        from atom_console.dlq.reader import Reader

        letters.build(home / "dlq")
        engine.dead_letters = Reader(home / "dlq")
    options = options_from(
        refresh_s=0.5, theme="dark", mouse=False, keymap=None, ascii_terminal=None, config_dir=home, environ=os.environ
    )
    try:
        return run_console(engine, options, log_file=home / "console.log", drain_s=2.0)
    except AtomError as error:
        print(f"{error.what}; {error.next_step}", file=sys.stderr)
        return error.exit_code


if __name__ == "__main__":
    sys.exit(main())
