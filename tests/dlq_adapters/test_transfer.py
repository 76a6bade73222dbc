"""Exports and imports: byte for byte in every form, masked by clearance, audited when revealed."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from atom_console.dlq.adapters import Context, decode
from atom_console.dlq.adapters.records import to_records
from atom_console.dlq.errors import SpillFileError
from atom_console.dlq.filters import Filter
from atom_console.dlq.record import NewRecord
from atom_console.dlq.store import Store
from atom_console.dlq.transfer import ExportFileError, MaskedExportError, audit_reveal, export, form_of, import_path
from atom_console.events import encode_mapping
from tests.dlq_adapters.letters import details, real_letters
from tests.dlq_adapters.test_drain import local, told

FORMS = ("jsonl", "parquet", "spill")
EVERY_BIT = 2**64 - 1


def from_others() -> list[NewRecord]:
    letters = [one.letter for one in {(r.letter.topic, r.letter.offset): r for r in real_letters()}.values()]
    readings = [decode(letter, Context()) for letter in letters]
    return to_records(letters, readings, cluster_id="cluster-A", now_ms=1_760_000_000_000)


def secret_event() -> bytes:
    molecules = [
        {"text_commentary": "PLANTED-SECRET", "security_mask": 4},
        {"text_commentary": "open", "security_mask": 1},
    ]
    return encode_mapping({"event_id": "e-1", "tenant_id": "t", "timestamp": 1, "type": 1, "molecules": molecules})


@pytest.mark.parametrize("form", FORMS)
def test_a_round_trip_keeps_every_byte(form: str, store: Store, tmp_path: Path) -> None:
    store.insert([local(0), local(1, key=None, value=None, headers=()), local(2, key=b"", value=b""), *from_others()])
    path = tmp_path / f"dead.{form}"
    report = export(store.reader(), Filter(), path, form, clearance=0, reveal=True)
    before = details(store)
    assert (report.written, report.masked) == (len(before), 0)
    assert path.stat().st_mode & 0o777 == 0o600
    with Store.open(tmp_path / "other") as other:
        (taken,) = import_path(other, path)
        assert (taken.read, taken.added, taken.known, taken.faults) == (len(before), len(before), 0, ())
        after = details(other)
        (again,) = import_path(other, path)
        assert (again.added, again.known) == (0, len(before))
    if form != "spill":  # a spill file has no group of others: the importer of spill files makes it anew
        assert [told(record) for record in after] == [told(record) for record in before]
        assert [(r.row.state, r.row.state_reason) for r in after] == [(r.row.state, r.row.state_reason) for r in before]
    assert [r.current.sha256 for r in after] == [r.current.sha256 for r in before]
    assert [r.dlq_headers for r in after] == [r.dlq_headers for r in before]
    assert [(r.dlq_topic, r.dlq_partition, r.dlq_offset) for r in after] == [
        (r.dlq_topic, r.dlq_partition, r.dlq_offset) for r in before
    ]


@given(
    key=st.none() | st.binary(max_size=50),
    value=st.none() | st.binary(max_size=200),
    headers=st.lists(st.tuples(st.text(max_size=8), st.none() | st.binary(max_size=20)), max_size=5),
)
@settings(max_examples=60, deadline=None)
def test_any_bytes_make_the_trip(
    key: bytes | None, value: bytes | None, headers: list[tuple[str, bytes | None]]
) -> None:
    from atom_console.dlq.transfer_rows import from_row, to_line

    row = json.loads(
        to_line(
            {
                "v": 1,
                "id": "0192f7c3-0000-7000-8000-000000000001",
                "topic": "t",
                "key": key,
                "value": value,
                "headers": [list(pair) for pair in headers],
                "masked": False,
            }
        )
    )
    record = from_row(row)
    assert (record.key, record.value, record.headers) == (key, value, tuple(headers))


@pytest.mark.parametrize("form", ["jsonl", "parquet"])
def test_what_the_clearance_hides_does_not_leave(form: str, store: Store, tmp_path: Path) -> None:
    store.insert([local(0, value=secret_event()), local(1, value=b"not an event PLANTED-SECRET"), *from_others()])
    path = tmp_path / f"dead.{form}"
    report = export(store.reader(), Filter(), path, form, clearance=1)
    assert b"PLANTED-SECRET" not in path.read_bytes()
    assert b"cannot apply boom" not in path.read_bytes()
    assert report.masked == report.written - sum(r.current.value is None for r in details(store))
    with Store.open(tmp_path / "other") as other:
        (taken,) = import_path(other, path)
    assert len(taken.faults) == report.masked
    assert "masked" in taken.faults[0].why


def test_the_visible_part_of_an_event_is_exported(store: Store, tmp_path: Path) -> None:
    store.insert([local(0, value=secret_event())])
    export(store.reader(), Filter(), tmp_path / "a.jsonl", "jsonl", clearance=1)
    row = json.loads((tmp_path / "a.jsonl").read_bytes())
    event = json.loads(row["event"])
    assert event["molecules"][0] == {"masked": True, "security_mask": 4}
    assert event["molecules"][1]["text_commentary"] == "open"
    export(store.reader(), Filter(), tmp_path / "b.jsonl", "jsonl", clearance=5)
    assert json.loads((tmp_path / "b.jsonl").read_bytes())["masked"] is False


def test_a_spill_file_is_whole_or_not_at_all(store: Store, tmp_path: Path) -> None:
    store.insert([local(0), local(1)])
    with pytest.raises(MaskedExportError):
        export(store.reader(), Filter(), tmp_path / "a.spill", "spill", clearance=0)
    assert list(tmp_path.glob("a.spill*")) == []


def test_an_existing_file_is_not_touched(store: Store, tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text("mine")
    store.insert([local(0)])
    with pytest.raises(ExportFileError):
        export(store.reader(), Filter(), path, "jsonl", clearance=EVERY_BIT)
    assert path.read_text() == "mine"
    assert list(tmp_path.glob("*.part")) == []


def test_a_reveal_is_in_the_audit(store: Store, tmp_path: Path) -> None:
    store.insert([local(0), local(1)])
    assert audit_reveal(store, store.reader(), Filter(), tmp_path / "x.jsonl", "INC-1") == 2
    entry = details(store)[0].audit[-1]
    assert (entry.action, entry.reason, entry.records) == ("reveal", "INC-1", 2)
    assert "x.jsonl" in entry.subject


def test_bad_lines_are_named_and_the_others_taken(store: Store, tmp_path: Path) -> None:
    store.insert([local(0)])
    path = tmp_path / "a.jsonl"
    export(store.reader(), Filter(), path, "jsonl", clearance=EVERY_BIT)
    path.write_bytes(b"{broken\n\n[]\n" + path.read_bytes() + b'{"v":1,"id":"x"}\n')
    with Store.open(tmp_path / "other") as other:
        (report,) = import_path(other, path)
    assert (report.read, report.added) == (1, 1)
    assert [(fault.offset, fault.why.split(":")[0]) for fault in report.faults] == [
        (1, "not JSON"),
        (3, "not an object"),
        (5, "id"),
    ]


def test_a_parquet_file_of_somebody_else(store: Store, tmp_path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    pq.write_table(pa.table({"a": [1]}), tmp_path / "a.parquet")
    (tmp_path / "b.parquet").write_bytes(b"no")
    for name in ("a.parquet", "b.parquet", "missing.parquet"):
        with pytest.raises(SpillFileError):
            import_path(store, tmp_path / name)


def test_the_suffix_says_the_form() -> None:
    assert [form_of(Path(name)) for name in ("a.jsonl", "a.parquet", "a.spill", "a.txt")] == [
        "jsonl", "parquet", "spill", None,
    ]  # fmt: skip
