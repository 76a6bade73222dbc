"""Real dead letters of the fixtures, and letters made by hand."""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from confluent_kafka import Producer

from atom_console.dlq.adapters import Letter
from atom_console.dlq.filters import Filter
from atom_console.dlq.record import RecordDetail
from atom_console.dlq.store import Store
from tests.broker.handle import SILENT, BrokerHandle

FIXTURES = Path(__file__).parent.parent / "fixtures" / "dead_letters"
STACK = (
    "org.apache.kafka.connect.errors.DataException: bad\n\tat org.acme.Outer.run(Outer.java:10)\n"
    "\tSuppressed: java.io.IOException: aside\n\t\tat org.acme.Closer.close(Closer.java:3)\n"
    "Caused by: java.lang.IllegalStateException: middle\n\tat org.acme.Middle.run(Middle.java:20)\n\t... 3 more\n"
    "Caused by: lab.Job$$Lambda$1376/0x00007fbf255e8b30: innermost\n\tat org.acme.Inner$1@533194e3.run(Inner.java:30)\n"
    "\tat org.acme.Inner.call(Inner.java:40)\n\tat org.acme.Inner.main(Inner.java:50)\n"
    "\tat org.acme.More.x(More.java:1)\n"
)


def unbase64(text: str | None) -> bytes | None:
    return None if text is None else base64.b64decode(text)


@dataclass(frozen=True)
class RealLetter:
    """One captured dead letter with what was sent originally."""

    letter: Letter
    framework: str
    case: str
    original: dict[str, Any]
    origin: tuple[str, int, int]
    expect: dict[str, Any]

    @property
    def original_headers(self) -> tuple[tuple[str, bytes | None], ...]:
        return tuple((name, unbase64(value)) for name, value in self.original["headers"])

    @property
    def name(self) -> str:
        return f"{self.framework}-{self.case}-{self.letter.topic}-{self.letter.offset}"


def real_letters() -> list[RealLetter]:
    return [
        _real(json.loads(line)) for path in sorted(FIXTURES.glob("*.jsonl")) for line in path.read_text().splitlines()
    ]


def _real(row: dict[str, Any]) -> RealLetter:
    letter = Letter(
        topic=row["topic"],
        partition=row["partition"],
        offset=row["offset"],
        timestamp=row["timestamp"],
        key=unbase64(row["key"]),
        value=unbase64(row["value"]),
        headers=tuple((name, unbase64(value)) for name, value in row["headers"]),
    )
    origin = tuple(row["origin_in_headers"])
    return RealLetter(letter, row["framework"], row["case"], row["original"], origin, row["expect"])


def make(*headers: tuple[str, bytes | None], **fields: Any) -> Letter:
    values = {"topic": "orders.dlq", "partition": 0, "offset": 7, "timestamp": 1_750_000_000_123}
    return Letter(**{**values, "key": b"k", "value": b"v", "headers": headers, **fields})


EVERYTHING = Filter()


def details(store: Store, wanted: Filter = EVERYTHING) -> list[RecordDetail]:
    """The records of a store, in order of arrival."""
    reader = store.reader()
    try:
        rows = reader.page(wanted, limit=1000, order="oldest").records
        found = [reader.record(row.id) for row in rows]
        return [one for one in found if one is not None]
    finally:
        reader.close()


def publish(kafka: BrokerHandle, letters: list[Letter], topic: str, partition: int = 0) -> None:
    """Put letters on a topic as they are, in order."""
    failed: list[object] = []
    producer = Producer({"bootstrap.servers": kafka.bootstrap, "acks": "all"}, logger=SILENT)
    for letter in letters:
        producer.produce(
            topic,
            letter.value,
            letter.key,
            partition,
            headers=list(letter.headers),
            timestamp=letter.timestamp or 0,
            on_delivery=lambda error, _message: failed.append(error) if error else None,
        )
    assert producer.flush(20) == 0
    assert not failed
