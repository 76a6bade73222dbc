"""A small real store with one of everything that the room shows; ids and times are the same every time."""

from __future__ import annotations

from pathlib import Path
from unittest import mock

from scripted import MINUTE, NOW_MS

from atom_console.dlq import audit
from atom_console.dlq.ids import id_bytes
from atom_console.dlq.insert import Cohorts, insert_records
from atom_console.dlq.record import NewRecord, Provenance
from atom_console.dlq.store import Store
from atom_console.dlq.troubles import trouble
from atom_console.events import AtomEvent, EventType, Molecule, encode

SECRET = "SECRET-COMMENT"


def record_id(number: int) -> str:
    """A UUIDv7 that only the number decides."""
    return f"0192f000-0000-7000-8000-{number:012x}"


def value(number: int, *, secret: bool = False) -> bytes:
    molecules = [Molecule(coordinate_hash=bytes(range(16)), numeric_value=0.0, timestamp=NOW_MS * 1_000_000)]
    if secret:
        molecules.append(Molecule(text_commentary=SECRET, security_mask=0b100))
    return encode(
        AtomEvent(
            event_id=f"0192f9b1-0000-7000-8000-{number:012x}",
            trace_id=f"{number:032x}",
            timestamp=NOW_MS * 1_000_000,
            type=EventType.MOLECULE_WRITE,
            tenant_id=f"tenant-{number % 41}",
            molecules=molecules,
        )
    )


def letters(outage: int = 120) -> list[NewRecord]:
    local = {"origin": "local", "stage": "delivery", "cluster_id": "kZ3fQ8"}
    away = trouble(
        **local, err_class="outage", err_name="_MSG_TIMED_OUT", err_code=-192, message="no answer within 5.0 s",
        component="svc-grid@app-3", dest_topic="atom.write.raw",
    )  # fmt: skip
    large = trouble(
        **local, err_class="poison", err_name="MSG_SIZE_TOO_LARGE", err_code=10, message="Message size too large",
        component="svc-grid@app-3", dest_topic="atom.write.raw",
    )  # fmt: skip
    denied = trouble(
        **local, err_class="config", err_name="TOPIC_AUTHORIZATION_FAILED", err_code=29, message="not authorized",
        component="svc-calc@app-4", dest_topic="atom.calc.trigger",
    )  # fmt: skip
    connect = trouble(
        origin="connect", err_class="unknown", err_name="org.apache.kafka.connect.errors.DataException",
        message="\x1b]52;c;cHduZWQ=\x07 [/nope] \u202e", stage="VALUE_CONVERTER", component="sink",
        dest_topic="orders", cluster_id="kZ3fQ8", dlq_topic="orders.dlq",
    )  # fmt: skip
    made = []
    number = 0
    for cause, amount, minutes in ((away, outage, 41), (large, 58, 30), (denied, 26, 20), (connect, 3, 10)):
        for step in range(amount):
            number += 1
            foreign = cause is connect
            made.append(
                NewRecord(
                    trouble=cause,
                    captured_at=NOW_MS - minutes * MINUTE + step * 1000,
                    key=None if foreign else f"tenant-{number % 41}".encode(),
                    value=b"\x00\x01not an event" if foreign else value(number, secret=cause is large),
                    headers=(("trace_id", f"{number:032x}".encode()), ("type", b"1"), ("nothing", None)),
                    maybe_persisted=cause is away,
                    tenant_id=None if foreign else f"tenant-{number % 41}",
                    event_id=None if foreign else f"0192f9b1-0000-7000-8000-{number:012x}",
                    event_type=None if foreign else 1,
                    id=id_bytes(record_id(number)),
                    provenance=Provenance(0, step, NOW_MS, (("__connect.errors.topic", b"orders"),))
                    if foreign
                    else None,
                )
            )
    return made


def build(directory: Path, outage: int = 120) -> None:
    alice = audit.Actor("alice", "", "10.0.0.9", "ops-1", 4711)
    with mock.patch.object(audit, "_actor", return_value=alice), Store.open(directory, component="test") as store:
        made = letters(outage)
        store.run(lambda conn: insert_records(conn, made, Cohorts(), now_ms=NOW_MS, action="capture", reason=""))
