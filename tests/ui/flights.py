"""Sections of a Flight server in every state, the same each time."""

from __future__ import annotations

import dataclasses

from scripted import flowing

from atom_console.engine.flight_fields import field_rows
from atom_console.engine.flight_pages import RowPages
from atom_console.engine.flight_view import FlightRow, KeepAlive, PlanSchema, TransferView
from atom_console.engine.snapshot import EngineSnapshot, FlightSection
from atom_console.flight.mdf import MDF_SCHEMA, GeneratedPlan
from atom_console.schema.changes import Change

URI = "grpc+tls://engine-1:50051"
FLIGHTS = (
    FlightRow("q3-forecast", "q3-forecast", 1_000_000, 96_600_000, 4),
    FlightRow("q3-actuals", "q3-actuals", 48_112, None, 1),
    FlightRow("headcount-2027", "plans/headcount-2027", None, None, 1),
)
PLAN = GeneratedPlan("q3-forecast", 12_000, seed=3)


def schema_of(plan_id: str, found: object = MDF_SCHEMA, *, mark: str = "", problem: str = "") -> PlanSchema:
    fields, notes = field_rows(MDF_SCHEMA, found)
    return PlanSchema(plan_id, fields, mark, problem, notes)


def other_schema() -> object:
    import pyarrow as pa

    fields = [field for field in MDF_SCHEMA if field.name != "is_locked"]
    fields[1] = pa.field("numeric_value", pa.float32())
    fields.append(pa.field("custom_dimensions", pa.map_(pa.utf8(), pa.utf8())))
    return pa.schema(fields)


def section(**changes: object) -> FlightSection:
    base = FlightSection(
        age_s=3.0,
        uri=URI,
        state="answers",
        transport="mTLS",
        host="ops-2",
        keepalive=KeepAlive(10_000, 1_000, without_calls=True),
        call_ms=0.42,
        listed_age_s=41.0,
        flights=FLIGHTS,
        schemas=(
            schema_of("q3-forecast"),
            schema_of("q3-actuals", other_schema()),
            schema_of(
                "headcount-2027",
                mark="server schema invalid",
                problem=f"GetSchema of headcount-2027 at {URI}: the server does not send an Arrow stream",
            ),
        ),
    )
    return dataclasses.replace(base, **changes)  # type: ignore[arg-type]


CHANGES = (
    Change("numeric_value", "type changed", "double", "float", True, True,
           "double and float are laid out differently, and Arrow converts nothing by itself."),
    Change("source_system", "nullability changed", "not null", "nullable", True, False,
           "Old readers do not expect nulls here."),
    Change("is_locked", "metadata changed", None, "unit=bool", False, False,
           "Metadata is a remark; no reader of values depends on it."),
)  # fmt: skip


def transfer(**changes: object) -> TransferView:
    base = TransferView(
        number=1,
        plan_id="q3-forecast",
        to="discard",
        target=None,
        state="streaming",
        uri=URI,
        transport="mTLS",
        rows=420_000,
        batches=51,
        bytes=40_572_000,
        seconds=0.37,
        rows_expected=1_000_000,
        gb_per_s=0.11,
        live_gb_per_s=1.12,
        speeds=(0.4, 0.9, 1.1, 1.12, 0.7, 1.1),
        waiting=3,
        room=8,
        idle_s=0.01,
        schema_equal=True,
    )
    return dataclasses.replace(base, **changes)  # type: ignore[arg-type]


DONE = {"state": "done", "rows": 1_000_000, "batches": 123, "bytes": 96_600_000, "live_gb_per_s": None, "idle_s": None,
        "waiting": 0}  # fmt: skip
STATES: dict[str, FlightSection] = {
    "plans": section(),
    "empty": section(flights=(), schemas=()),
    "no-list": section(flights=(), schemas=(), note="the server has no ListFlights"),
    "asking": section(
        state="asking", age_s=None, call_ms=None, listed_age_s=None, flights=(), schemas=(), transport=None,
        keepalive=None, doing=("listing the plans", 12.0),
    ),
    "away": section(
        state="away", age_s=95.0, detail=f"ListActions at {URI}: nothing listens at the address (connection refused)",
        next_step="Start the server or fix the port.",
    ),
    "unusable": section(
        state="unusable", age_s=None, call_ms=None, listed_age_s=None, flights=(), schemas=(), transport=None,
        keepalive=None, detail="cannot read flight.ca /etc/atom/ca.pem: No such file or directory",
        next_step="Check the path and who may read it.",
    ),
    "refuses": section(
        state="refuses", age_s=None, call_ms=None, listed_age_s=None, flights=(), schemas=(),
        detail=f"ListActions at {URI}: the server refuses us: the bearer token is missing or wrong",
        next_step="Check the bearer token (ATOM_FLIGHT_TOKEN_FILE) and its scope.",
    ),
    "plaintext": section(transport="plaintext", uri="grpc://engine-1:50051"),
    "running": section(transfer=transfer(), socket_gb_per_s=1.6),
    "stalled": section(transfer=transfer(idle_s=41.0, live_gb_per_s=0.0, waiting=0)),
    "socket": section(transfer=transfer(to="bench", state="measuring the socket", rows=0, batches=0, bytes=0, room=0,
                                        rows_expected=None, gb_per_s=None, live_gb_per_s=None, speeds=(), waiting=0,
                                        seconds=0.0, schema_equal=None, idle_s=None)),
    "finished": section(transfer=transfer(**DONE, gb_per_s=0.9), socket_gb_per_s=1.6),
    "finished-gigabyte": section(
        transfer=transfer(**{**DONE, "bytes": 2_400_000_000}, gb_per_s=1.12, seconds=2.14, first_gb_ms=893.0)
    ),
    "file": section(transfer=transfer(**DONE, to="file", target="/srv/plans/q3.parquet", gb_per_s=0.3, resumes=1)),
    "cancelled": section(transfer=transfer(state="cancelled", live_gb_per_s=None, idle_s=None)),
    "failed": section(
        transfer=transfer(
            state="failed", detail=f"DoGet of q3-forecast at {URI}: the peer is frozen: the connection is open and no "
            "PING was answered (ping timeout)",
            next_step="See whether the server is stopped or the tunnel hangs; the transfer can be started again.",
        )
    ),
    "mismatch": section(transfer=transfer(state="mismatch", schema_equal=False, changes=CHANGES, rows=0, bytes=0)),
}  # fmt: skip


def pages(rows: int = 10_000, clearance: int = 0) -> RowPages:
    made = [PLAN.batch(0), PLAN.batch(1).slice(0, max(rows - 8192, 0))]
    return RowPages(PLAN.schema, made, clearance)


def flying(state: FlightSection) -> EngineSnapshot:
    return dataclasses.replace(flowing(), flight=state)
