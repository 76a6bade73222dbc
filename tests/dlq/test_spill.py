"""The spill format, its damage, and imports that happen exactly once."""

from __future__ import annotations

import base64
import dataclasses
import json
import os
import re
import struct
import subprocess
import sys
from pathlib import Path

import google_crc32c
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from atom_console.dlq.errors import SpillFileError
from atom_console.dlq.filters import Filter
from atom_console.dlq.ids import id_text, uuid7
from atom_console.dlq.normalise import from_failure
from atom_console.dlq.record import NewRecord, Provenance
from atom_console.dlq.spill import MAGIC, decode_body, encode_body, frame
from atom_console.dlq.spill_file import Fault, SpillWriter, read_frames, write_file
from atom_console.dlq.store import Store
from atom_console.dlq.troubles import trouble
from tests.dlq.conftest import DlqLimits, dlq_failure, eventually

ROOT = Path(__file__).parents[2]
HEADERS = st.lists(st.tuples(st.text(max_size=9), st.none() | st.binary(max_size=20)), max_size=4).map(tuple)
INT = st.none() | st.integers(-(1 << 63), (1 << 63) - 1)


def _record(number: int) -> NewRecord:
    record = from_failure(dlq_failure(number), None)
    record.id = uuid7()[0]
    return record


@given(
    key=st.none() | st.binary(max_size=30),
    value=st.none() | st.binary(max_size=200),
    headers=HEADERS,
    dlq_headers=st.none() | HEADERS,
    message=st.text(max_size=50),
    numbers=st.tuples(INT, INT, INT, INT),
    maybe=st.booleans(),
)
def test_a_record_survives_the_frame(key, value, headers, dlq_headers, message, numbers, maybe) -> None:
    code, partition, timestamp, offset = numbers
    shared = trouble(origin="connect", err_class="poison", err_name="E", message=message, stage="VALUE", component="c",
                     err_code=code, dest_topic="t", cluster_id="k", dlq_topic="dlq")  # fmt: skip
    record = NewRecord(
        trouble=shared, captured_at=5, key=key, value=value, headers=headers, maybe_persisted=maybe, id=uuid7()[0],
        orig_partition=partition, orig_timestamp=timestamp,
        provenance=Provenance(partition=1, offset=offset, headers=dlq_headers, warnings=("w",), err_stack="s"),
    )  # fmt: skip
    body = encode_body(record)
    assert body.startswith(b'{"v":1,')
    back = decode_body(body)
    assert back.trouble is shared
    for field in (
        "captured_at",
        "key",
        "value",
        "headers",
        "maybe_persisted",
        "id",
        "orig_partition",
        "orig_timestamp",
    ):
        assert getattr(back, field) == getattr(record, field), field
    expected = dataclasses.replace(record.provenance, headers=dlq_headers or ()) if record.provenance else None
    assert back.provenance == expected


def _minimal(**more: object) -> bytes:
    body = {"v": 1, "id": id_text(uuid7()[0]), "topic": "t", "value": "AA=="} | more
    return json.dumps({name: value for name, value in body.items() if value is not ...}, separators=(",", ":")).encode()


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"id": ...}, "id: missing"),
        ({"id": "x"}, "id: not a UUID"),
        ({"id": 5}, "id: not a UUID"),
        ({"topic": ...}, "topic: missing"),
        ({"topic": 5}, "topic: not a string"),
        ({"value": ...}, "value: missing"),
        ({"value": "%%"}, "value: not base64"),
        ({"value": [1]}, "value: not base64 text"),
        ({"headers": [["a"]]}, "headers: not a list"),
        ({"headers": [["a", "?"]]}, "headers: not base64"),
        ({"class": "bad"}, "class: 'bad'"),
        ({"code": 1 << 63}, "code: not a 64-bit"),
        ({"code": True}, "code: not a 64-bit"),
        ({"maybe_persisted": 1}, "maybe_persisted"),
        ({"payload": "odd"}, "odd"),
        ({"origin": "odd"}, "odd"),
        ({"v": 2}, "member v is 1"),
        ({"warnings": "x"}, "warnings"),
    ],
)
def test_unusable_bodies_say_which_member(change: dict[str, object], why: str) -> None:
    with pytest.raises(ValueError, match=re.escape(why)):
        decode_body(_minimal(**change))


def test_a_minimal_body_is_enough_and_unknown_members_are_told() -> None:
    record = decode_body(_minimal(colour="red"))
    assert (record.trouble.err_class, record.maybe_persisted, record.value) == ("unknown", True, b"\x00")
    assert record.provenance is not None
    assert record.provenance.warnings == ("spill member 'colour' is not known",)
    assert decode_body(_minimal(value=None)).payload_kind == "tombstone"


@given(st.binary(max_size=300))
def test_any_body_is_a_record_or_a_value_error(body: bytes) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 -- any of them
        decode_body(body)


def _file(path: Path, bodies: list[bytes]) -> list[int]:
    """Write a spill file; the offset of each frame."""
    offsets, data = [], bytearray(MAGIC)
    for body in bodies:
        offsets.append(len(data))
        data += frame(body)
    path.write_bytes(data)
    return offsets


def _read(path: Path) -> tuple[list[NewRecord], list[Fault]]:
    found = list(read_frames(path))
    return [f[1] for f in found if not isinstance(f, Fault)], [f for f in found if isinstance(f, Fault)]


def test_damage_costs_only_the_frame_it_hit(tmp_path: Path) -> None:
    path = tmp_path / "a.spill"
    records = [_record(n) for n in range(10)]
    offsets = _file(path, [encode_body(record) for record in records])
    data = bytearray(path.read_bytes())
    data[offsets[2] + 30] ^= 1  # in the body
    data[offsets[5]] ^= 0x40  # in the length
    data[offsets[7] + 3] = 0xFF  # a length of gigabytes
    path.write_bytes(data[:-7])
    found, faults = _read(path)
    assert [r.id for r in found] == [records[n].id for n in (0, 1, 3, 4, 6, 8)]
    assert [f.offset for f in faults] == [offsets[2], offsets[5], offsets[7], offsets[9]]
    assert faults[0].why == "checksum does not hold"
    assert faults[2].why.startswith("impossible length")
    assert faults[3].why.startswith("torn tail")


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_any_damage_is_survived(tmp_path: Path, data: st.DataObject) -> None:
    path = tmp_path / "b.spill"
    records = [_record(n) for n in range(6)]
    _file(path, [encode_body(record) for record in records])
    raw = bytearray(path.read_bytes())
    for _ in range(data.draw(st.integers(1, 6))):
        raw[data.draw(st.integers(8, len(raw) - 1))] = data.draw(st.integers(0, 255))
    raw = raw[: data.draw(st.integers(8, len(raw)))]
    path.write_bytes(raw)
    found, faults = _read(path)
    assert {r.id for r in found} <= {r.id for r in records}
    covered = sum(f.length for f in faults) + sum(len(frame(encode_body(r))) for r in found)
    assert covered == len(raw) - 8


def test_a_hostile_file_ends(tmp_path: Path) -> None:
    path = tmp_path / "c.spill"
    body = b'{"v":1,' * 60_000
    path.write_bytes(MAGIC + struct.pack("<II", len(body) - 100, 1) + body)
    assert _read(path)[0] == []


def test_other_files_are_refused(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(b"hello")
    for name in ("x", "missing"):
        with pytest.raises(SpillFileError):
            list(read_frames(tmp_path / name))


def test_imports_happen_exactly_once(dlq_dir: Path, tmp_path: Path) -> None:
    path = tmp_path / "in.spill"
    records = [_record(n) for n in range(1200)]
    assert write_file(path, records) == 1200
    with Store.open(dlq_dir, DlqLimits()) as store:
        (report,) = store.import_path(path)
        assert (report.read, report.added, report.known, report.faults) == (1200, 1200, 0, ())
        (report,) = store.import_path(tmp_path)
        assert (report.read, report.added, report.known) == (1200, 0, 1200)
        reader = store.reader()
        assert reader.stats().total == 1200
        detail = reader.record(id_text(records[0].id))
        reader.close()
        assert detail is not None
        assert [entry.action for entry in detail.audit] == ["import"]
        assert detail.row.event_id == "00000000-0000-7000-8000-000000000000"
        with pytest.raises(SpillFileError):
            store.import_path(tmp_path / "nowhere")


def test_the_spool_is_taken_in_and_damage_is_kept_aside(dlq_dir: Path) -> None:
    Store.open(dlq_dir, DlqLimits()).close()
    spool = dlq_dir / "spool"
    write_file(spool / "good.spill", [_record(1), _record(2)])
    _file(spool / "torn.spill", [encode_body(_record(3)), encode_body(_record(4))])
    torn = (spool / "torn.spill").read_bytes()[:-5]
    (spool / "torn.spill").write_bytes(torn)
    (spool / "odd.spill").write_bytes(b"not a spill file")
    (spool / "unfinished.spill.part").write_bytes(b"x")
    with Store.open(dlq_dir, DlqLimits()) as store:
        reports = {report.path.name: report for report in store.imported}
        assert reports["good.spill"].kept_at is None
        assert reports["torn.spill"].added == 1
        assert "torn tail" in reports["torn.spill"].sentence()
        assert "not a spill file" in reports["odd.spill"].faults[0].why
        assert sorted(path.name for path in (spool / "damaged").iterdir()) == ["odd.spill", "torn.spill"]
        assert (spool / "damaged" / "torn.spill").read_bytes() == torn
        assert sorted(path.name for path in spool.glob("*.spill*")) == ["unfinished.spill.part"]
        reader = store.reader()
        assert reader.stats().total == 3
        reader.close()


def test_files_dropped_while_running_are_found(dlq_store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("atom_console.dlq.upkeep._LOOK_AT_SPOOL_S", 0.05)
    write_file(dlq_store.directory / "spool" / "late.spill", [_record(n) for n in range(700)])
    reader = dlq_store.reader()
    eventually(lambda: reader.stats().total == 700)
    reader.close()


def test_a_file_that_is_being_written_is_left_alone(dlq_store: Store) -> None:
    writer = SpillWriter(dlq_store.directory / "spool")
    writer.append([_record(1)])
    assert dlq_store.import_spool() == []
    assert writer.path is not None
    assert writer.path.stat().st_mode & 0o777 == 0o600
    writer.close()
    (report,) = dlq_store.import_spool()
    assert report.added == 1


def test_the_documented_writer_works(dlq_store: Store) -> None:
    """The Python example of docs/spill-format.md, run as it stands there."""
    text = (ROOT / "docs" / "spill-format.md").read_text(encoding="utf-8")
    code = re.search(r"```python\n(.*?)```", text, re.DOTALL)
    assert code is not None
    assert len(code[1].splitlines()) <= 40
    script = dlq_store.directory / "example.py"
    script.write_text(code[1] + (
        f"\nwrite_spill({str(dlq_store.directory / 'spool')!r}, [dead_letter('atom.write.raw', b'tenant-1', b'payload',"
        " [('trace_id', b'abc'), ('null', None)], 'broker away', code=-192,"
        " name='_MSG_TIMED_OUT', err_class='outage')])\n"
    ))  # fmt: skip
    environment = {name: value for name, value in os.environ.items() if name.startswith(("PATH", "LD_", "HOME"))}
    subprocess.run([sys.executable, str(script)], check=True, timeout=60, env=environment)
    (report,) = dlq_store.import_spool()
    assert (report.added, report.faults) == (1, ())
    reader = dlq_store.reader()
    detail = reader.record(reader.page(Filter(classes=("outage",))).records[0].id)
    reader.close()
    assert detail is not None
    assert detail.current.headers == (("trace_id", b"abc"), ("null", None))
    assert (detail.current.key, detail.current.value, detail.warnings) == (b"tenant-1", b"payload", ())


def test_the_checksum_is_crc32c() -> None:
    """The check value of CRC-32C (Castagnoli), so that other languages can compare."""
    assert google_crc32c.value(b"123456789") == 0xE3069283
    assert frame(b"123456789")[:8] == struct.pack("<II", 9, 0xE3069283)
    assert base64.b64encode(b"\x00") == b"AA=="
