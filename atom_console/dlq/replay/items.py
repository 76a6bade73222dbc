"""The records of a run on their way: loaded in order, with the bytes and headers that are sent."""

from __future__ import annotations

from collections.abc import Collection
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final

from atom_console.dlq.adapters.strip import OWN_PREFIX, stripped_indices
from atom_console.dlq.headers import decode_columns

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
    "SELECT i.position, r.seq, r.id, r.cohort, r.key_hash, r.attempts, r.orig_timestamp, r.orig_partition, r.rev,"
    " p.key, p.value, p.headers"
    " FROM run_item i CROSS JOIN record r ON r.seq = i.seq CROSS JOIN payload p ON p.seq = r.seq"
    " WHERE i.run_id = ? AND i.position > ? AND i.held IS NULL AND r.state = 'ready' AND r.rev = i.rev"
    " ORDER BY i.position LIMIT ?"
)
_COHORT: Final = "SELECT dest_topic, origin = 'local' FROM cohort WHERE id = ?"
_REVISION: Final = "SELECT key, value, headers FROM revision WHERE seq = ? AND rev = ?"


class Item:
    """One record that is being replayed.

    Attributes:
        error: the client's; `reported` where it did not come from `produce`.
        window, sent_at: set when it goes out.
        partition, offset: set when it arrived.
    """

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
    window: Any
    sent_at: float
    partition: int
    offset: int

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
        self.error: Any = None
        self.alone = self.reported = False


class Loader:
    """Reads the records of one run in order, a batch at a time. For one thread.

    Args:
        conn: a connection to read with.
        run_name: goes into the headers.
    """

    def __init__(self, conn: apsw.Connection, run_id: int, run_name: str, options: ReplayOptions) -> None:
        self._conn, self._run_id, self._run_name = conn, run_id, run_name
        self._preserve, self._to_partition = options.timestamps == "preserve", options.original_partition
        self._cohorts: dict[int, tuple[str, int]] = {}
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
            rows = [row if not row[8] else self._revised(row) for row in rows]
            found = map(self._item, rows, decode_columns([row[-1] for row in rows]))
            items += found if not blocked else (item for item in found if item.chain not in blocked)
        return items

    def _revised(self, row: tuple[Any, ...]) -> tuple[Any, ...]:
        """The row with what an edit made of key, value and headers."""
        return (*row[:9], *self._conn.execute(_REVISION, (row[1], row[8])).get)

    def _item(self, row: tuple[Any, ...], headers: tuple[tuple[str, ...], tuple[bytes | None, ...]]) -> Item:
        position, seq, raw_id, cohort, key_hash, attempts, stamp, partition, rev, key, value, _ = row
        known = self._cohorts.get(cohort)
        if known is None:
            known = self._cohorts[cohort] = self._conn.execute(_COHORT, (cohort,)).get
        topic, local = known
        names, values = headers
        gone = _gone(names, rev > 0, local)
        sent = [*zip(names, values)]  # noqa: B905 -- of one length, and asked for each record of a replay
        if gone:
            sent = [pair for index, pair in enumerate(sent) if index not in gone]
        sent.append(_run_header(self._run_name, attempts + 1))
        if stamp is not None:
            sent.append((TIME_HEADER, b"%d" % stamp))
        sent.append((ID_HEADER, id_header(raw_id)))
        return Item(
            position, seq, topic, None if key_hash is None else (topic, key_hash), attempts, key, value, sent,
            stamp if self._preserve and stamp is not None else 0,
            partition if self._to_partition and partition is not None else -1,
        )  # fmt: skip


@lru_cache(maxsize=1024)
def _gone(names: tuple[str, ...], edited: bool, local: int) -> frozenset[int]:
    """Which headers are not sent: the frameworks', and of ours all but the one that an edit put there.

    The frameworks' were taken off where a dead letter of others was read in: what is left looks like one and is not.
    """
    gone = stripped_indices(names) if local else {n for n, name in enumerate(names) if name.startswith(OWN_PREFIX)}
    return frozenset(index for index in gone if not (edited and names[index] == EDITED_HEADER))


@lru_cache(maxsize=64)
def _run_header(run_name: str, attempt: int) -> tuple[str, bytes]:
    return RUN_HEADER, f"{run_name}:{attempt}".encode()


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
