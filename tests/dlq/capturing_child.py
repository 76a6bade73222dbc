"""A process that captures until it is killed: prints what is safe, and nothing else.

argv: directory, mode (`capture` or `journal`), first number, how many (0: for ever), padding of each event.
"""

from __future__ import annotations

import sys
from pathlib import Path

from atom_console.dlq.store import Store
from atom_console.kafka.failure import JournalEntry
from tests.dlq.conftest import DlqLimits, dlq_event, dlq_failure


def main() -> None:
    directory, mode, first, count, padding = sys.argv[1:]
    store = Store.open(Path(directory), DlqLimits(), component=f"child {first}")
    number, end = int(first), int(first) + int(count) if int(count) else 1 << 60
    while number < end:
        some = range(number, min(number + 37, end))
        if mode == "journal":
            store.append([JournalEntry("t", b"k", dlq_event(n), (("h", None),), n) for n in some])
        else:
            for n in some:
                store.capture(dlq_failure(n, text="x" * int(padding)))
            store.flush()
        number = some[-1] + 1
        print(number, flush=True)
    store.close()
    print("closed", flush=True)


if __name__ == "__main__":
    main()
