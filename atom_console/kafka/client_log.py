"""Where librdkafka's own log lines go: our log, each sentence once and then with a count.

A client without a broker repeats itself several times a second for hours, and would rotate everything else out of the
log.
"""

from __future__ import annotations

import logging
import re
import time
from threading import Lock
from typing import Final

_QUIET_S: Final = 60.0
_MOST: Final = 256
_VARIES: Final = re.compile(r"\d+ms|\d+ identical error\(s\) suppressed|#(?:producer|consumer)-\d+")


class OncePerMinute(logging.Filter):
    """Lets a sentence through once a minute; the next time it says how often it was held back."""

    def __init__(self) -> None:
        super().__init__()
        self._lock = Lock()
        self._seen: dict[str, tuple[float, int]] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether the record is written."""
        text = record.getMessage()
        sentence = _VARIES.sub("*", text)
        now_s = time.monotonic()
        with self._lock:
            since_s, held = self._seen.get(sentence, (float("-inf"), 0))
            if now_s - since_s < _QUIET_S:
                self._seen[sentence] = (since_s, held + 1)
                return False
            if len(self._seen) >= _MOST:
                self._seen.clear()
            self._seen[sentence] = (now_s, 0)
        if held:
            record.msg, record.args = f"{text} ({held} more like it since)", ()
        return True


CLIENT_LOG: Final = logging.getLogger("atom_console.kafka.client")
"""Never fd 2, where its lines would land in the screen."""
CLIENT_LOG.addHandler(logging.NullHandler())
CLIENT_LOG.addFilter(OncePerMinute())
