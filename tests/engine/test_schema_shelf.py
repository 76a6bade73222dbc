"""The shelf: catalogue, files, Flight and topics in one list, compared and fitted for real."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from atom_console.config import Loaded
from atom_console.engine.producer import Producer
from atom_console.engine.schema_shelf import SchemaShelf
from atom_console.errors import CheckError, InputError, UnreachableError
from atom_console.events import encode_mapping
from atom_console.flight.mdf import MDF_SCHEMA
from atom_console.sandbox.mock_cluster import MockCluster
from atom_console.sandbox.workload import Workload
from atom_console.schema.drift import Fit


@pytest.fixture
def shelf(loaded_for: Callable[..., Loaded], tmp_path: Path) -> SchemaShelf:
    return SchemaShelf([tmp_path / "schemas"], loaded_for("127.0.0.1:1").settings.kafka)


def names(shelf: SchemaShelf) -> dict[str, str]:
    return {row.name: row.origin for row in shelf.rows()}


def test_the_list_begins_with_what_is_bundled_and_sees_new_files(shelf: SchemaShelf, tmp_path: Path) -> None:
    assert names(shelf) == {"atom_event": "bundled", "grid": "bundled", "mdf": "bundled"}
    (tmp_path / "schemas").mkdir()
    pq.write_table(pa.table({"a": [1]}), tmp_path / "schemas" / "own.parquet")
    (tmp_path / "schemas" / "broken.bfbs").write_bytes(b"\0\0\0\0BFBSxxxx")
    assert names(shelf) | {"own": "directory", "broken": "directory"} == names(shelf)
    with pytest.raises(InputError, match="cannot be used"):
        shelf.schema("broken")


def test_files_and_flight_join_the_list_and_are_compared(shelf: SchemaShelf, tmp_path: Path) -> None:
    changed = pa.schema([*MDF_SCHEMA][:-1])
    pq.write_table(changed.empty_table(), tmp_path / "plan.parquet")
    assert shelf.open_file(tmp_path / "plan.parquet").name == "plan.parquet"
    shelf.add_flight("q3", "grpc+tls://engine:50051", MDF_SCHEMA)
    assert names(shelf)["q3@engine:50051"] == "flight"
    compared = shelf.compare("q3@engine:50051", "plan.parquet")
    assert (compared.counts, compared.verdict) == ((1, 0, 0), "breaks readers")
    assert shelf.compare("mdf", "q3@engine:50051").verdict == "identical"
    assert shelf.compare(str(tmp_path / "plan.parquet"), "mdf").counts == (0, 0, 1)
    with pytest.raises(CheckError, match="no common versions"):
        shelf.compare("atom_event", "mdf")
    with pytest.raises(InputError, match="no schema and no file nowhere"):
        shelf.compare("mdf", "nowhere")


def test_events_are_mapped_from_either_side(shelf: SchemaShelf) -> None:
    from_events = shelf.mapping("atom_event")
    assert from_events == shelf.mapping("mdf")
    assert {field.status for field in from_events} == {"same", "convert", "only in arrow"}
    with pytest.raises(CheckError, match="holds no molecules"):
        shelf.mapping("grid")


def test_a_payload_finds_its_schema(shelf: SchemaShelf) -> None:
    best = shelf.fits(encode_mapping(Workload(seed=5).event()))[0]
    assert best.schema.name == "atom_event"
    assert best.examination.fit in {Fit.FITS, Fit.OLDER_WRITER}


def test_topics_are_sampled_and_drift_is_named(loaded_for: Callable[..., Loaded], cluster: MockCluster) -> None:
    for topic in ("good", "mixed", "silent", "forbidden"):
        cluster.topic(topic, 1)
    settings = loaded_for(cluster.bootstrap_servers).settings
    payloads = [encode_mapping(event) for event in Workload(seed=6).events(6)]
    producer = Producer(settings, component="test")
    for payload in payloads:
        producer.publish_encoded(payload, None, (), None, "good")
        producer.publish_encoded(payload, None, (), None, "mixed")
    producer.publish_encoded(b"\x00\x01not an event", None, (), None, "mixed")
    producer.close(10.0)
    cluster.topic_error("forbidden", 29)
    shelf = SchemaShelf([], settings.kafka)
    try:
        assert shelf.sample_topics(["good", "mixed", "silent", "forbidden", "nowhere"]) == 2
    finally:
        cluster.topic_error("forbidden", 0)
    rows = {row.name: row for row in shelf.rows() if row.origin == "topic"}
    assert (rows["good"].note, rows["good"].drifts) == ("atom_event: 6 of 6 fit", False)
    assert rows["mixed"].note.startswith("atom_event: 6 of 7 fit; else other schema: ")
    assert rows["mixed"].drifts
    assert (rows["silent"].schema, rows["silent"].note) == (None, "no records yet")
    assert "uthoriz" in rows["forbidden"].note
    assert rows["nowhere"].schema is None


def test_without_a_broker_topics_are_unreachable(shelf: SchemaShelf) -> None:
    with pytest.raises(UnreachableError):
        shelf.sample_topics(["any"])
