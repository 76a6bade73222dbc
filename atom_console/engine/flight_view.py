"""What the engine knows of a Flight server and of transfers, frozen, for a screen to read.

None is *not known*. Everything that a server said has passed `safe_text`, but for the rows, which are made into text
when they are looked at (`flight_pages.RowPages`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from atom_console.engine.flight_pages import RowPages
    from atom_console.schema.changes import Change

ServerState = Literal["not asked", "asking", "answers", "away", "refuses", "unusable"]
"""`refuses`: it is there and turns us away, or what it sends is wrong; `unusable`: it could not even be dialled."""

FieldWord = Literal["same", "differs", "only here", "not here"]
Destination = Literal["discard", "preview", "file", "bench"]
TransferState = Literal[
    "opening", "measuring the socket", "streaming", "cancelling", "done", "failed", "cancelled", "mismatch"
]


@dataclass(frozen=True, slots=True)
class KeepAlive:
    """The keep-alive in force, in milliseconds: a PING after `time_ms` of silence, its answer within `timeout_ms`."""

    time_ms: int
    timeout_ms: int
    without_calls: bool


@dataclass(frozen=True, slots=True)
class FlightRow:
    """A plan: of ListFlights, or named by hand."""

    plan_id: str
    descriptor: str = ""
    rows: int | None = None
    bytes: int | None = None
    endpoints: int | None = None
    by_hand: bool = False


@dataclass(frozen=True, slots=True)
class FieldRow:
    """A field beside the one of this name in the declared MDF schema.

    Attributes:
        word: `only here` is not in the declared schema, `not here` only there.
        why: what differs, or empty.
    """

    name: str
    type: str
    nullable: bool
    word: FieldWord
    why: str = ""


@dataclass(frozen=True, slots=True)
class PlanSchema:
    """What GetSchema said of a plan.

    Attributes:
        mark: `server schema invalid` or `no GetSchema` where the declared MDF schema stands in; else empty.
        problem: the error behind the mark.
        notes: what differs from the declared schema and belongs to no field: order, metadata.
        failed: why nothing at all is known, and what to do.
        asked_s: `time.monotonic()` of the answer.
    """

    plan_id: str
    fields: tuple[FieldRow, ...] = ()
    mark: str = ""
    problem: str = ""
    notes: tuple[str, ...] = ()
    failed: str | None = None
    next_step: str | None = None
    asked_s: float = 0.0

    def words(self, word: FieldWord) -> int:
        """How many fields have this word."""
        return sum(field.word == word for field in self.fields)


@dataclass(frozen=True, slots=True)
class TransferView:
    """A transfer at one moment.

    Attributes:
        to: where the rows go; `target` is the file's name.
        seconds: since the stream was asked for, up to its end.
        gb_per_s: 10⁹ bytes a second over the whole time; None before anything came.
        live_gb_per_s: over the last second.
        speeds: GB/s of each tenth of a second, oldest first.
        first_gb_ms: milliseconds until the first 10⁹ bytes were here; None before.
        waiting: batches in the ring, of `room`.
        idle_s: since the last batch.
        schema_equal: whether the stream is what GetSchema promised; None where it promised nothing usable, or not yet.
        accepted: the stream's own schema was taken on purpose.
        changes: how the stream differs from the promise, in the state `mismatch`.
        pages: the rows of a preview, as far as they have come.
        cut: a preview that ended because it had enough.
    """

    number: int
    plan_id: str
    to: Destination
    target: str | None
    state: TransferState
    uri: str
    transport: str
    rows: int = 0
    batches: int = 0
    bytes: int = 0
    seconds: float = 0.0
    rows_expected: int | None = None
    gb_per_s: float | None = None
    live_gb_per_s: float | None = None
    speeds: tuple[float, ...] = ()
    first_gb_ms: float | None = None
    waiting: int = 0
    room: int = 0
    idle_s: float | None = None
    resumes: int = 0
    restarts: int = 0
    mark: str = ""
    schema_equal: bool | None = None
    accepted: bool = False
    changes: tuple[Change, ...] = ()
    detail: str | None = None
    next_step: str | None = None
    pages: RowPages | None = None
    cut: bool = False

    @property
    def running(self) -> bool:
        """It has not ended yet."""
        return self.state in {"opening", "measuring the socket", "streaming", "cancelling"}
