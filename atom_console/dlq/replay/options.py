"""How a replay is to be done: stored with its plan, so that a resumed run is the same run."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import TYPE_CHECKING, Any, Final, Literal, Self

from atom_console.errors import InputError

if TYPE_CHECKING:
    from atom_console.config.model import DlqSettings

Order = Literal["strict", "partition"]
Timestamps = Literal["now", "preserve"]

_AT_LEAST: Final = {"rate": 0, "window": 1, "canary": 0, "breaker_consec": 1, "max_attempts": 1}


class OptionError(InputError):
    """An option of a replay that cannot be used."""


@dataclass(frozen=True, slots=True)
class ReplayOptions:
    """All choices of a replay.

    Attributes:
        rate: events a second; 0 = as fast as it goes.
        window: the most records of one window; it grows up to this while the broker keeps up.
        canary: records that are sent first, alone; any failure among them stops the run.
        breaker_consec, breaker_ratio: failures in a row, and share of failures in the last 50, that stop the run.
        max_attempts: attempts after which a record is set aside.
        order: `strict`: one record of a (topic, key) in flight, a failure blocks the key's later ones; `partition`:
            many in flight, the partition's order is kept, later ones of a failed key may have landed.
        timestamps: `now`, or `preserve` the original (which a topic's retention may delete at once).
        original_partition: send to the partition that the record was meant for, not by key.
        allow_reorder: send records although an earlier one of their key stays behind.
        superseded: send records although a newer event of their key is known to be on the topic.
        allow_compacted: send to compacted topics, where a copy may vanish before it can be counted.
        read_back: without it (no READ on the topic) outcomes that a crash leaves open stay unknown.
        grace_s, clean_grace_s: seconds since the last sign of a dead process before "not found" may be believed:
            in general, and where its sockets on this host were seen to be empty.
        stall_s: seconds without any answer of the broker after which the breaker opens.
    """

    rate: float = 50.0
    window: int = 100
    canary: int = 10
    breaker_consec: int = 5
    breaker_ratio: float = 0.2
    max_attempts: int = 5
    order: Order = "strict"
    timestamps: Timestamps = "now"
    original_partition: bool = False
    allow_reorder: bool = False
    superseded: bool = False
    allow_compacted: bool = False
    read_back: bool = True
    grace_s: float = 60.0
    clean_grace_s: float = 10.0
    stall_s: float = 300.0

    def __post_init__(self) -> None:
        for name, least in _AT_LEAST.items():
            if getattr(self, name) < least:
                raise OptionError(f"{name} {getattr(self, name)} is below {least}")
        if not 0 < self.breaker_ratio <= 1:
            raise OptionError(f"breaker_ratio {self.breaker_ratio} is not above 0 and at most 1")

    @classmethod
    def of(cls, settings: DlqSettings, **changes: Any) -> Self:
        """The settings of the profile, with what the operator said on top (None = nothing said).

        Raises:
            OptionError: a value out of range.
        """
        chosen = {
            name: getattr(settings, name)
            for name in ("rate", "window", "canary", "breaker_consec", "breaker_ratio", "max_attempts")
        }
        return cls(**chosen | {name: value for name, value in changes.items() if value is not None})

    def to_json(self) -> str:
        """As stored with the run."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> Self:
        """The inverse of `to_json`; what another version wrote more is left out."""
        known = {field.name for field in fields(cls)}
        stored: Mapping[str, Any] = json.loads(text)
        return cls(**{name: value for name, value in stored.items() if name in known})
