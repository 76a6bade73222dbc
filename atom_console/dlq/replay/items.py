"""The records of a run on their way: loaded in order, with the bytes and headers that are sent."""

from __future__ import annotations

from collections.abc import Collection
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final

from atom_console.dlq.adapters.strip import OWN_PREFIX, strip
from atom_console.dlq.headers import Headers, decode_headers
from atom_console.dlq.record import Origin

if TYPE_CHECKING:
    import apsw

    from atom_console.dlq.replay.options import ReplayOptions

ID_HEADER: Final = "x-atom-dlq-id"
RUN_HEADER: Final = "x-atom-replay-id"
TIME_HEADER: Final = "x-atom-orig-ts"
EDITED_HEADER: Final = "x-atom-edited-from"
"""The event id before an edit, on an event that had to get a new one."""

ChainKey = tuple[str, int]

_SELECT: Final = (
    "SELECT i.position, r.seq, r.id, c.dest_topic, r.key_hash, r.attempts, r.orig_timestamp, r.orig_partition,"
    " coalesce(v.key, p.key), coalesce(v.value, p.value), coalesce(v.headers, p.headers), v.seq, v.key, v.value,"
    " c.origin"
    " FROM run_item i CROSS JOIN record r ON r.seq = i.seq JOIN cohort c ON c.id = r.cohort"
    " JOIN payload p ON p.seq = r.seq"
    " LEFT JOIN revision v ON v.seq = r.seq AND v.rev = r.rev AND r.rev > 0"
    " WHERE i.run_id = ? AND i.position > ? AND i.held IS NULL AND r.state = 'ready' AND r.rev = i.rev"
    " ORDER BY i.position LIMIT ?"
)


class Item:
    """One record that is being replayed; `error` is the client's, `reported` where it did not come from `produce`."""

    __slots__ = (
        "alone",
        "attempts",
        "chain",
        "error",
        "headers",
        "key",
        "offset",
        "partition",
        "position",
        "reported",
        "sent_at",
        "seq",
        "target",
        "timestamp",
        "topic",
        "value",
        "window",
    )

    def __init__(  # noqa: PLR0917 -- one call for every record of a replay
        self,
        position: int,
        seq: int,
        topic: str,
        chain: ChainKey | None,
        attempts: int,
        key: bytes | None,
        value: bytes | None,
        headers: list[tuple[str, bytes | None]],
        timestamp: int,
        target: int,
    ) -> None:
        self.position, self.seq, self.topic, self.chain, self.attempts = position, seq, topic, chain, attempts
        self.key, self.value, self.headers, self.timestamp, self.target = key, value, headers, timestamp, target
        self.window: Any = None
        self.error: Any = None
        self.alone = self.reported = False
        self.partition = -1
        self.offset = -1
        self.sent_at = 0.0


class Loader:
    """Reads the records of one run in order, a batch at a time. For one thread.

    Args:
        conn: a connection to read with.
        run_name: goes into the headers.
    """

    def __init__(self, conn: apsw.Connection, run_id: int, run_name: str, options: ReplayOptions) -> None:
        self._conn, self._run_id, self._run_name, self._options = conn, run_id, run_name, options
        self._position = -1
        self.exhausted = False

    def rewind(self) -> None:
        """Begin again: records have become ready that were passed."""
        self._position = -1
        self.exhausted = False

    def load(self, limit: int, blocked: Collection[ChainKey]) -> list[Item]:
        """The next records that are ready, without those of blocked keys; fewer than `limit` only at the end."""
        items: list[Item] = []
        while len(items) < limit and not self.exhausted:
            wanted = limit - len(items)
            rows: list[Any] = self._conn.execute(_SELECT, (self._run_id, self._position, wanted)).fetchall()
            self.exhausted = len(rows) < wanted
            if rows:
                self._position = rows[-1][0]
            items += (
                self._item(row) for row in rows if not blocked or row[4] is None or (row[3], row[4]) not in blocked
            )
        return items

    def _item(self, row: tuple[Any, ...]) -> Item:
        position, seq, raw_id, topic, key_hash, attempts, stamp, partition, key, value, headers, edited = row[:12]
        if edited is not None:  # a revision may make a key or value null
            key, value = row[12:14]
        options = self._options
        sent = (
            _kept(decode_headers(headers), edited=edited is not None, local=row[14] == Origin.LOCAL) if headers else []
        )
        sent.append((RUN_HEADER, _run_header(self._run_name, attempts + 1)))
        if stamp is not None:
            sent.append((TIME_HEADER, b"%d" % stamp))
        sent.append((ID_HEADER, id_header(raw_id)))
        preserve = options.timestamps == "preserve" and stamp is not None
        return Item(
            position, seq, topic, None if key_hash is None else (topic, key_hash), attempts, key, value, sent,
            stamp if preserve else 0, partition if options.original_partition and partition is not None else -1,
        )  # fmt: skip


def _kept(headers: Headers, *, edited: bool, local: bool) -> list[tuple[str, bytes | None]]:
    """What is sent of a record's headers; of ours only the one that an edit put there.

    The frameworks' were taken off where a dead letter of others was read in: what is left looks like one and is not.
    """
    if not local:
        return [pair for pair in headers if not pair[0].startswith(OWN_PREFIX) or (edited and pair[0] == EDITED_HEADER)]
    spare = frozenset(index for index, (name, _) in enumerate(headers) if edited and name == EDITED_HEADER)
    return list(strip(headers, spare=spare)[0])


@lru_cache(maxsize=64)
def _run_header(run_name: str, attempt: int) -> bytes:
    return f"{run_name}:{attempt}".encode()


def id_header(raw: bytes) -> bytes:
    """The record id as it is sent: the text of the UUID (a `UUID` object for each costs a fifth of a replay's load)."""
    h = raw.hex()
    return f"{h[:8]}-{h[8:12]}-{h[12:16]}-{h[16:20]}-{h[20:]}".encode()


def id_of(headers: Any) -> bytes | None:
    """The record id that a replayed message carries, as text in bytes; our headers come last."""
    if not headers:
        return None
    name, value = headers[-1]
    if name == ID_HEADER:
        return value  # type: ignore[no-any-return]  # headers are untyped in the client
    return next((value for name, value in reversed(headers) if name == ID_HEADER), None)
