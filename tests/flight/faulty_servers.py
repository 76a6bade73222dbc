"""Servers that do it wrong, each in one way."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import pyarrow as pa

from atom_console.flight.channel import fl
from atom_console.flight.mdf import MDF_SCHEMA, GeneratedPlan

PLAN = GeneratedPlan("faulty", 10 * 8192)


class DoGetOnly(fl.FlightServerBase):
    """GetSchema and DoGet, nothing else, like many servers."""

    def __init__(self, **arguments: Any) -> None:
        super().__init__("grpc://127.0.0.1:0", **arguments)
        self.uri = f"grpc://127.0.0.1:{self.port}"
        self.tickets: list[bytes] = []

    def get_schema(self, context: Any, descriptor: Any) -> Any:
        return fl.SchemaResult(MDF_SCHEMA)

    def do_get(self, context: Any, ticket: Any) -> Any:
        self.tickets.append(ticket.ticket)
        return fl.GeneratorStream(self.stream_schema(), self.stream(context))

    def stream_schema(self) -> pa.Schema:
        return MDF_SCHEMA

    def stream(self, context: Any) -> Iterator[pa.RecordBatch]:
        yield from PLAN.batches()


class Lying(DoGetOnly):
    """GetSchema promises the format; the stream has another type, another order and another nullability."""

    def stream_schema(self) -> pa.Schema:
        fields = {field.name: field for field in MDF_SCHEMA}
        fields["numeric_value"] = pa.field("numeric_value", pa.float32())
        fields["source_system"] = fields["source_system"].with_nullable(True)
        fields["is_locked"] = fields["is_locked"].with_metadata({"unit": "bool"})
        return pa.schema(list(fields.values()))

    def stream(self, context: Any) -> Iterator[pa.RecordBatch]:
        yield pa.RecordBatch.from_pylist([], schema=self.stream_schema())


class BrokenSchema(DoGetOnly):
    """GetSchema answers the four bytes FF FF FF FF, as the platform's first engine does."""

    def get_schema(self, context: Any, descriptor: Any) -> Any:
        return fl.SchemaResult.deserialize(b"\x0a\x04\xff\xff\xff\xff")


class NoSchema(DoGetOnly):
    def get_schema(self, context: Any, descriptor: Any) -> Any:
        raise NotImplementedError


class StopsAfterThree(DoGetOnly):
    """Ends in the middle: with an error, or in good order though more was announced."""

    def __init__(self, *, error: type[BaseException] | None, announce: bool = False, expiring: bool = False) -> None:
        super().__init__()
        self._error = error
        self._announce = announce
        self._expiring = expiring
        self.opened = 0

    def get_flight_info(self, context: Any, descriptor: Any) -> Any:
        if not self._announce:
            raise NotImplementedError
        expires = pa.scalar(time.time_ns() + 10**12, pa.timestamp("ns")) if self._expiring else None
        endpoint = fl.FlightEndpoint(b"faulty", [], expires, b"")
        return fl.FlightInfo(MDF_SCHEMA, descriptor, [endpoint], PLAN.rows, -1)

    def stream(self, context: Any) -> Iterator[pa.RecordBatch]:
        self.opened += 1
        for number, batch in enumerate(PLAN.batches()):
            if number == 3 and self.opened == 1:
                if self._error is not None:
                    raise self._error("three were enough")
                return
            yield batch


class Streams(DoGetOnly):
    """Streams the batches it was given, `pause_s` apart."""

    def __init__(self, schema: pa.Schema, batches: list[pa.RecordBatch], *, pause_s: float = 0.0) -> None:
        super().__init__()
        self._schema = schema
        self._batches = batches
        self._pause_s = pause_s

    def get_schema(self, context: Any, descriptor: Any) -> Any:
        return fl.SchemaResult(self._schema)

    def do_get(self, context: Any, ticket: Any) -> Any:
        # A `GeneratorStream` would not send dictionaries.
        return fl.RecordBatchStream(pa.RecordBatchReader.from_batches(self._schema, self.stream(context)))

    def stream(self, context: Any) -> Iterator[pa.RecordBatch]:
        for batch in self._batches:
            yield batch
            time.sleep(self._pause_s)


class Endless(DoGetOnly):
    """Never ends; `sent` counts the batches."""

    sent = 0

    def stream(self, context: Any) -> Iterator[pa.RecordBatch]:
        batch = PLAN.batch(0)
        while not context.is_cancelled():
            self.sent += 1
            yield batch


class SilentAtFirst(DoGetOnly):
    """Answers DoGet only after `seconds`: a plan that takes long to calculate."""

    def __init__(self, seconds: float) -> None:
        super().__init__()
        self._seconds = seconds

    def do_get(self, context: Any, ticket: Any) -> Any:
        time.sleep(self._seconds)
        return super().do_get(context, ticket)
