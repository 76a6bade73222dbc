"""What the end-to-end tests share: settings against a real broker, events in bulk, and looks at both sides."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import apsw

from atom_console.config import DlqSettings, KafkaSettings, Settings
from atom_console.dlq.place import Place
from atom_console.events import decode, encode_mapping
from atom_console.events.jsonl import to_json
from atom_console.kafka.cluster import ClusterReader
from atom_console.kafka.read_back import read_range
from atom_console.kafka.reading import TailRecord, record_of
from atom_console.sandbox.workload import Workload

_KINDS = 1_000
_NOW_NS = time.time_ns()  # the same events at every call


def settings_for(bootstrap: str, topic: str, *, dlq: dict[str, Any] | None = None, **kafka: Any) -> Settings:
    return Settings(
        kafka=KafkaSettings(bootstrap_servers=bootstrap, topic=topic, **kafka), dlq=DlqSettings(**(dlq or {}))
    )


def many_events(count: int, seed: int = 11) -> Iterator[dict[str, Any]]:
    """`count` realistic events, each with an id of its own: a thousand kinds over and over."""
    kinds = Workload(seed=seed, clock=lambda: _NOW_NS).events(_KINDS)
    for number in range(count):
        yield kinds[number % _KINDS] | {"event_id": f"{seed:08x}-0000-4000-a000-{number:012x}"}


def many_lines(count: int, seed: int = 11) -> Iterator[str]:
    """The same events as JSON Lines."""
    kinds = [json.dumps(to_json(decode(encode_mapping(kind)))) for kind in many_events(_KINDS, seed)]
    ids = [event["event_id"] for event in many_events(_KINDS, seed)]
    for number, event in enumerate(many_events(count, seed)):
        yield kinds[number % _KINDS].replace(ids[number % _KINDS], event["event_id"]) + "\n"


def on_the_broker(bootstrap: str, topic: str) -> list[TailRecord]:
    """Every record of a topic, and proof that the reading was whole."""
    kafka = KafkaSettings(bootstrap_servers=bootstrap)
    with ClusterReader(kafka) as cluster:
        marks = cluster.watermarks([topic]).by_topic[topic]
    reading = read_range(kafka, topic, {number: (mark.low, mark.high) for number, mark in marks.items() if mark})
    found = [record_of(message) for batch in reading for message in batch]
    assert len(reading.account) == len(marks)
    assert all(account.complete and account.missing == 0 for account in reading.account.values())
    return found


@dataclass(frozen=True, slots=True)
class Kept:
    """A dead letter as the file on disk has it."""

    key: bytes | None
    value: bytes
    topic: str
    err_class: str
    err_name: str
    err_code: int
    stage: str
    message: str
    maybe_persisted: int


def in_the_store(directory: Path) -> list[Kept]:
    """Every dead letter, read with nothing but SQL."""
    query = (
        "SELECT p.key, p.value, c.dest_topic, c.err_class, c.err_name, c.err_code, c.stage, p.err_message,"
        " r.maybe_persisted FROM record r JOIN payload p USING (seq) JOIN cohort c ON c.id = r.cohort ORDER BY r.seq"
    )
    database = apsw.Connection(str(Place(directory).database), flags=apsw.SQLITE_OPEN_READONLY)
    with closing(database):
        return [Kept(*row) for row in database.execute(query)]
