"""What an operator has seen before: how many records each group had when the console was last left."""

from __future__ import annotations

import getpass
import json
import os
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path


class LastLook:
    """Counts by fingerprint, kept a file an OS user beside the store. Losing it costs nothing but the word `new`."""

    def __init__(self, directory: Path) -> None:
        self._path = directory / f"seen-{_user()}.json"
        self._seen: dict[str, int] | None = None
        with suppress(OSError, ValueError, TypeError):
            loaded = json.loads(self._path.read_bytes())
            self._seen = {str(mark): int(count) for mark, count in loaded.items()}

    def new(self, fingerprint: str, count: int) -> int | None:
        """Records since the last look; None where nobody has looked yet."""
        return None if self._seen is None else max(0, count - self._seen.get(fingerprint, 0))

    def save(self, counts: Mapping[str, int]) -> None:
        """Remember the counts; a disk that does not take them is no reason to fail."""
        with suppress(OSError):
            beside = self._path.with_suffix(f".{os.getpid()}")
            descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
            with os.fdopen(descriptor, "w", encoding="ascii") as file:
                json.dump(dict(counts), file)
            beside.replace(self._path)


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return str(os.getuid())
