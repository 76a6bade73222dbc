"""Stores, failures and events for the tests of this room."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from atom_console.dlq.store import Store
from atom_console.events import AtomEvent, EventType, Molecule, encode
from atom_console.kafka.delivery_errors import classify
from atom_console.kafka.failure import FailedDelivery, failed


@dataclass(frozen=True)
class DlqLimits:
    """Settings of a store, with room for tests to be small."""

    max_bytes: int = 1 << 30
    min_free_bytes: int = 0
    full_policy: str = "reject_new"
    sync: str = "NORMAL"


def dlq_event(number: int, tenant: str = "tenant-1", text: str = "x") -> bytes:
    return encode(
        AtomEvent(
            event_id=f"00000000-0000-7000-8000-{number:012d}",
            trace_id=f"{number:032x}",
            timestamp=1_790_000_000_000_000_000 + number,
            type=EventType.MOLECULE_WRITE,
            tenant_id=tenant,
            user_id="alice",
            molecules=[Molecule(coordinate_hash=bytes(16), numeric_value=float(number), text_commentary=text)],
        )
    )


def dlq_failure(
    number: int,
    *,
    code: int = -192,
    topic: str = "atom.write.raw",
    tenant: str = "tenant-1",
    value: bytes | None = b"",
    stage: str = "delivery",
    message: str | None = None,
    journal_id: int | None = None,
    text: str = "x",
) -> FailedDelivery:
    return failed(
        classify(code, stage=stage),
        topic=topic,
        value=dlq_event(number, tenant, text) if value == b"" else value,
        key=tenant.encode(),
        headers=(("trace_id", b"%032x" % number), ("type", b"1")),
        timestamp_ms=1_790_000_000_000 + number,
        message=message,
        stage=stage,
        component="test",
        journal_id=journal_id,
    )


def eventually(condition: Callable[[], object], deadline_s: float = 10.0) -> None:
    """Wait until `condition` holds."""
    end = time.monotonic() + deadline_s
    while not condition():
        assert time.monotonic() < end, "it did not come true in time"
        time.sleep(0.005)


@pytest.fixture
def dlq_dir(tmp_path: Path) -> Path:
    return tmp_path / "dlq"


@pytest.fixture
def dlq_store(dlq_dir: Path) -> Iterator[Store]:
    store = Store.open(dlq_dir, DlqLimits(), component="test")
    yield store
    store.close()
