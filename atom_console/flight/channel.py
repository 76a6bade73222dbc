"""The gRPC channel: keep-alive and flow-control options, and the one place that imports `pyarrow.flight`.

gRPC takes any option name and any value in silence, so a typing error would only show as a transfer that hangs. Each
option is therefore a typed field with a range.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING

from atom_console.errors import InputError

# Before the import: gRPC otherwise writes a line to descriptor 2 for every GOAWAY, across the operator's screen.
os.environ.setdefault("GRPC_VERBOSITY", "NONE")

import pyarrow.flight as fl
from pyarrow import _flight, lib

if TYPE_CHECKING:
    from atom_console.config import FlightSettings

__all__ = ["ChannelOptions", "fl"]

_INT32_MAX = 2**31 - 1


class _NoStopHandler:
    """Stands in for pyarrow's `SignalStopHandler`.

    That one takes any CANCELLED for a ctrl-c: when a server ends ListFlights or ListActions so, which one does that
    stops, our own process gets a SIGINT and the screen closes (measured with pyarrow 26.0).
    """

    def __init__(self) -> None:
        self.stop_token = lib.StopToken()

    def __enter__(self) -> _NoStopHandler:
        return self

    def __exit__(self, *_: object) -> None:
        """Lets the error through."""


_flight.SignalStopHandler = _NoStopHandler
_RANGES: dict[str, tuple[int, int]] = {
    "keepalive_time_ms": (1_000, _INT32_MAX),
    "keepalive_timeout_ms": (1, _INT32_MAX),
    "http2_ping_timeout_ms": (1, _INT32_MAX),
    "lookahead_bytes": (1_024, 1 << 30),
    "max_reconnect_backoff_ms": (100, _INT32_MAX),
}


@dataclass(frozen=True, slots=True)
class ChannelOptions:
    """How a connection notices a dead peer, and how far the peer may write ahead.

    A peer that is frozen behind a connection that still acknowledges TCP is noticed after `keepalive_time_ms` +
    `http2_ping_timeout_ms`. Measured with gRPC 1.81: `keepalive_timeout_ms` alone never fires (70 s), and a ping
    time-out of 1 s without the two last options kills a link of 1 MB/s, because bandwidth probes queue behind data.

    Attributes:
        keepalive_time_ms: silence after which a PING is sent.
        keepalive_timeout_ms: the wait that gRPC documents for its acknowledgement.
        keepalive_permit_without_calls: ping also while no call is open.
        http2_ping_timeout_ms: the wait for any PING's acknowledgement, the one that works.
        bdp_probe: measure bandwidth × delay with PINGs; off, the window is `lookahead_bytes`.
        lookahead_bytes: flow-control window of a stream.
        max_reconnect_backoff_ms: longest pause between attempts to connect again.

    Raises:
        InputError: a value out of its range.
    """

    keepalive_time_ms: int = 10_000
    keepalive_timeout_ms: int = 1_000
    keepalive_permit_without_calls: bool = True
    http2_ping_timeout_ms: int = 1_000
    bdp_probe: bool = False
    lookahead_bytes: int = 16 << 20
    max_reconnect_backoff_ms: int = 2_000

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if field.name not in _RANGES:
                if not isinstance(value, bool):
                    raise InputError(f"flight.{field.name} is {value!r}", next_step="Set it to true or false.")
                continue
            low, high = _RANGES[field.name]
            if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
                raise InputError(
                    f"flight.{field.name} is {value!r}, which gRPC would accept and misread",
                    next_step=f"Set it to a whole number from {low} to {high}.",
                )

    @classmethod
    def from_settings(cls, settings: FlightSettings) -> ChannelOptions:
        """The channel part of the settings; what they leave out keeps the measured default."""
        names = {field.name for field in fields(cls)}
        given = {name: getattr(settings, name, None) for name in names}
        return cls(**{name: value for name, value in given.items() if value is not None})

    def arguments(self) -> list[tuple[str, int]]:
        """The options under the names of gRPC's `grpc_types.h`."""
        return [
            ("grpc.keepalive_time_ms", self.keepalive_time_ms),
            ("grpc.keepalive_timeout_ms", self.keepalive_timeout_ms),
            ("grpc.keepalive_permit_without_calls", int(self.keepalive_permit_without_calls)),
            ("grpc.http2.max_pings_without_data", 0),
            ("grpc.http2.ping_timeout_ms", self.http2_ping_timeout_ms),
            ("grpc.http2.bdp_probe", int(self.bdp_probe)),
            ("grpc.http2.lookahead_bytes", self.lookahead_bytes),
            ("grpc.max_reconnect_backoff_ms", self.max_reconnect_backoff_ms),
        ]
