"""`produce`, `tail`, `topics` and `dlq …` as one works with them, on the embedded cluster."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from atom_console.events import AtomEvent, decode, encode, encode_mapping
from atom_console.events.jsonl import to_line
from atom_console.sandbox.mock_cluster import MockCluster
from atom_console.sandbox.workload import Workload

Atom = Callable[..., Any]
TOPIC = "atom.write.raw"
BAD = (
    b"{",
    b"[]",
    b"not json",
    b'"text"',
    b"{}",
    b'{"timestamp": 1}',
    b'{"type": 1}',
    b'{"type": "NOPE", "timestamp": 1}',
    b'{"type": 1, "timestamp": "yesterday"}',
    b'{"type": 1, "timestamp": 1, "tenant_id": 7}',
    b'{"type": 1, "timestamp": 1, "tenant": "t"}',
    b'{"type": 1, "timestamp": 1e400}',
    b'{"type": 1, "timestamp": 9223372036854775808}',
    b'{"type": 1, "timestamp": 1, "molecules": {}}',
    b'{"type": 1, "timestamp": 1, "molecules": [1]}',
    b'{"type": 1, "timestamp": 1, "molecules": [{"coordinate_hash": "00"}]}',
    b'{"type": 1, "timestamp": 1, "molecules": [{"coordinate_hash": "zz"}]}',
    b'{"type": 1, "timestamp": 1, "molecules": [{"numeric_value": "x"}]}',
    b'{"type": 1, "timestamp": 1, "molecules": [{"numeric_value": true}]}',
    b'{"type": 1, "timestamp": 1, "molecules": [{"boolean_value": 1}]}',
    b'{"type": 1, "timestamp": 1, "molecules": [{"security_mask": -1}]}',
    b'{"type": 1, "timestamp": 1, "molecules": [{"text_commentary": 1}]}',
    b'{"type": 1, "timestamp": 1, "molecules": [{"date_value": "2026-02-30T00:00:00Z"}]}',
    b'{"type": 1, "timestamp": 1, "event_id": "a", "event_id": "b"}',
    b'{"type": 1, "timestamp": 1, "tenant_id": "\xff"}',
    b'{"type": 1, "timestamp": 1, "tenant_id": "\\ud800"}',
    b"\xef\xbb\xbf{",
    b"\x00\x01\x02",
    b"null",
    b"NaN",
    b'{"type": 1, "timestamp": NaN}',
    b'{"type": 1, "timestamp": 1,}',
    b"{'type': 1}",
    b'{"type": 1.5, "timestamp": 1}',
    b'{"type": 1, "timestamp": 1, "schema_payload": {}}',
    b'{"type": 1, "timestamp": 1} trailing',
    b'{"type": 300, "timestamp": 1}',
)


@pytest.fixture(scope="module")
def cluster() -> Iterator[MockCluster]:
    with MockCluster() as mock:
        mock.topic(TOPIC, 3)
        yield mock


@pytest.fixture
def on_cluster(cluster: MockCluster, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ATOM_KAFKA_BOOTSTRAP_SERVERS", cluster.bootstrap_servers)


@pytest.fixture
def away(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ATOM_KAFKA_BOOTSTRAP_SERVERS", "127.0.0.1:1")
    monkeypatch.setenv("ATOM_KAFKA_MESSAGE_TIMEOUT_MS", "400")


def some_events(count: int, seed: int = 9) -> list[AtomEvent]:
    return [decode(encode_mapping(event)) for event in Workload(seed=seed).events(count)]


def write(path: Path, events: list[AtomEvent]) -> Path:
    path.write_text("".join(to_line(event) + "\n" for event in events), encoding="utf-8")
    return path


def lines_of(ended: Any) -> list[dict[str, Any]]:
    return [json.loads(line) for line in ended.text.splitlines()]


def test_events_go_in_and_tail_gives_them_back_equal(atom: Atom, on_cluster: None, tmp_path: Path) -> None:
    events = some_events(60)
    ended = atom("produce", str(write(tmp_path / "in.jsonl", events)), "--json")
    told = json.loads(ended.text)
    assert ended.code == 0
    assert (told["accepted"], told["acked"], told["captured"], told["invalid"]) == (60, 60, 0, 0)
    assert told["bytes"] == sum(len(encode(event)) for event in events)
    assert set(told["ack_ms"]) == {"p50", "p99", "max"}
    assert told["cluster_id"]
    back = atom("--set", "clearance=0xffff", "tail", TOPIC, "--from", "beginning")
    assert back.code == 0
    records = [record for record in lines_of(back) if record["event"]["event_id"] in {e.event_id for e in events}]
    assert sorted(base64.b64decode(record["value_base64"]) for record in records) == sorted(map(encode, events))
    one = records[0]
    assert one["topic"] == TOPIC
    assert [name for name, _ in one["headers"]] == ["trace_id", "type"]


def test_tail_masks_what_the_clearance_hides_and_then_leaves_the_bytes_out(
    atom: Atom, on_cluster: None, tmp_path: Path
) -> None:
    (event,) = some_events(1, seed=21)
    assert event.molecules
    event.molecules[0].text_commentary = "planted secret"
    event.molecules[0].security_mask = 0b100
    event.tenant_id = "masked-tenant"
    atom("produce", str(write(tmp_path / "in.jsonl", [event])))
    ended = atom("tail", TOPIC, "--from", "beginning", "--key", "masked-tenant")
    (record,) = lines_of(ended)
    assert record["masked"] is True
    assert record["value_base64"] is None
    assert record["event"]["molecules"] == [{"masked": True, "security_mask": 4}]
    assert "planted" not in ended.text
    (hexed,) = lines_of(atom("tail", TOPIC, "--from", "beginning", "--key", "masked-tenant", "--decode", "hex"))
    assert hexed["value_hex"] is None


def test_of_a_thousand_lines_thirty_seven_bad_ones_are_kept_and_named(
    atom: Atom, on_cluster: None, tmp_path: Path
) -> None:
    good = some_events(963)
    lines: list[bytes] = [to_line(event).encode() for event in good]
    for number, bad in enumerate(BAD):
        lines.insert(number * 27, bad)
    path = tmp_path / "mixed.jsonl"
    path.write_bytes(b"\n".join(lines) + b"\n")
    assert len(BAD) == 37
    assert len(lines) == 1_000
    ended = atom("produce", str(path), "--json")
    told = json.loads(ended.text)
    assert ended.code == 3
    assert (told["accepted"], told["acked"], told["captured"], told["invalid"]) == (1_000, 963, 37, 37)
    assert told["captured_by_class"] == {"poison": 37}
    named = [line for line in ended.err.splitlines() if line.startswith("mixed.jsonl:")]
    assert len(named) == 37
    assert {int(line.split(":")[1]) for line in named} == {number * 27 + 1 for number in range(37)}
    assert any("molecules[0].coordinate_hash" in line for line in named)
    records = json.loads(atom("dlq", "ls", "--json", "--limit", "100").text)["records"]
    assert len(records) == 37
    kept = set()
    for record in records:
        raw = tmp_path / f"{record['id']}.bin"
        shown = atom("dlq", "show", record["id"], "--raw", str(raw), "--reveal", "--reason", "test", "--json")
        assert shown.code == 0
        kept.add(raw.read_bytes())
        assert "mixed.jsonl:" in json.loads(shown.text)["record"]["err_message"]
    assert kept == set(BAD)


def test_with_the_broker_away_everything_is_kept_listed_and_looked_at(atom: Atom, away: None, tmp_path: Path) -> None:
    events = some_events(30)
    for event in events:
        for molecule in event.molecules or ():
            molecule.security_mask = 0
    ended = atom("produce", str(write(tmp_path / "in.jsonl", events)), "--json")
    told = json.loads(ended.text)
    assert ended.code == 3
    assert (told["acked"], told["captured"], told["captured_by_class"]) == (0, 30, {"outage": 30})

    page = json.loads(atom("dlq", "ls", "--limit", "12", "--json").text)
    assert len(page["records"]) == 12
    rest = json.loads(atom("dlq", "ls", "--limit", "50", "--cursor", page["next"], "--json").text)
    assert len(rest["records"]) == 18
    assert rest["next"] is None
    ids = [record["id"] for record in page["records"] + rest["records"]]
    assert len(set(ids)) == 30
    assert set(page["records"][0]) >= {
        *("id", "state", "class", "code", "topic", "key_preview", "tenant_id", "event_id", "captured_at"),
        *("size_bytes", "attempts", "maybe_persisted", "origin"),
    }

    (group,) = json.loads(atom("dlq", "groups", "--json").text)["groups"]
    assert (group["class"], group["count"], group["states"]) == ("outage", 30, {"ready": 30})
    assert set(group) >= {"fingerprint", "label", "bytes", "first_seen", "last_seen", "tenants", "topics"}

    tenant = events[0].tenant_id
    some = json.loads(atom("dlq", "ls", "--tenant", str(tenant), "--json").text)["records"]
    assert {record["tenant_id"] for record in some} == {tenant}
    assert len(some) == sum(event.tenant_id == tenant for event in events)

    shown = json.loads(atom("dlq", "show", ids[0], "--json").text)
    value = base64.b64decode(shown["payload"]["value_base64"])
    assert value in set(map(encode, events))
    assert shown["event"]["event_id"] == decode(value).event_id
    assert shown["record"]["headers"][1][0] == "type"
    assert shown["audit"]

    stats = json.loads(atom("dlq", "stats", "--json").text)
    assert (stats["total"], stats["by_state"], stats["lease"]) == (30, {"ready": 30}, None)
    checked = json.loads(atom("dlq", "check", "--json").text)
    assert (checked["ok"], checked["rows"], checked["first_bad"]) == (True, 30, None)
    text = atom("dlq", "ls").text
    assert len(text.splitlines()) == 31


def test_an_export_comes_back_by_import_into_another_store_byte_for_byte(
    atom: Atom, away: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ATOM_CLEARANCE", "255")
    atom("produce", str(write(tmp_path / "in.jsonl", some_events(10))))
    for name in ("out.jsonl", "out.parquet", "out.spill"):
        monkeypatch.setenv("ATOM_DLQ_DIR", "")
        assert atom("dlq", "export", "--all", "--out", str(tmp_path / name)).code == 0
        monkeypatch.setenv("ATOM_DLQ_DIR", str(tmp_path / f"store of {name}"))
        for added in (10, 0):
            told = json.loads(atom("dlq", "import", str(tmp_path / name), "--json").text)
            assert (told["read"], told["added"], told["known"]) == (10, added, 10 - added)


def test_a_payload_is_only_written_when_it_may_be_seen(atom: Atom, away: None, tmp_path: Path) -> None:
    (event,) = [e for e in some_events(30) if e.molecules and e.molecules[0].security_mask][:1]
    atom("produce", str(write(tmp_path / "in.jsonl", [event])))
    (record,) = json.loads(atom("dlq", "ls", "--json").text)["records"]
    raw = tmp_path / "raw.bin"
    refused = atom("dlq", "show", record["id"], "--raw", str(raw))
    assert refused.code == 5
    assert not raw.exists()
    assert atom("dlq", "show", record["id"], "--reveal").code == 2
    done = atom("dlq", "show", record["id"], "--raw", str(raw), "--reveal", "--reason", "INC-1", "--json")
    assert done.code == 0
    assert raw.read_bytes() == encode(event)
    assert (raw.stat().st_mode & 0o777) == 0o600
    trail = json.loads(done.text)["audit"]
    assert [(row["action"], row["reason"]) for row in trail][-1] == ("reveal", "INC-1")
    shown = json.loads(done.text)["payload"]
    assert shown["size_bytes"] >= len(encode(event))
    assert len(shown["sha256"]) == len(hashlib.sha256().hexdigest())


@pytest.mark.parametrize(
    ("words", "code", "told"),
    [
        (["dlq", "show", "01933e5c-7a10-7000-8000-3f2a90c1d2e4"], 2, "no such record"),
        (["dlq", "ls", "--state", "nope"], 2, "no such value"),
        (["dlq", "ls", "--since", "noon"], 2, "noon"),
        (["dlq", "check"], 2, "no store yet"),
        (["dlq", "import", "/nowhere.spill"], 2, "no such file"),
        (["produce", "/nowhere.jsonl"], 2, "No such file"),
        (["produce", "events.xyz"], 2, "--format"),
        (["--read-only", "produce", "events.jsonl"], 5, "read-only"),
        (["--read-only", "dlq", "import", "x.spill"], 5, "read-only"),
        (["tail", "nope", "--from", "yesterday"], 2, "yesterday"),
        (["topics"], 4, "127.0.0.1:1"),
        (["tail", TOPIC, "--from", "beginning"], 4, "127.0.0.1:1"),
    ],
)
def test_what_cannot_be_done_is_one_sentence_and_its_code(
    atom: Atom, away: None, words: list[str], code: int, told: str
) -> None:
    ended = atom(*words)
    assert (ended.code, ended.out) == (code, b"")
    assert told in ended.err


def test_an_empty_store_is_told_as_empty(atom: Atom) -> None:
    assert json.loads(atom("dlq", "ls", "--json").text) == {"records": [], "next": None, "total": 0}
    assert json.loads(atom("dlq", "groups", "--json").text) == {"groups": []}
    assert "no dead letters" in atom("dlq", "ls").err


def test_topics_tell_partitions_messages_and_rates(atom: Atom, on_cluster: None) -> None:
    ended = atom("topics", TOPIC, "--seconds", "0.2", "--json")
    (topic,) = json.loads(ended.text)["topics"]
    assert (topic["name"], topic["partitions"]) == (TOPIC, 3)
    assert topic["messages"] is not None
    assert atom("topics", "nope").code == 2


@pytest.mark.parametrize("sign", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_drains_and_tells_by_its_code(
    atom_process: Atom, cluster: MockCluster, tmp_path: Path, sign: signal.Signals
) -> None:
    path = write(tmp_path / "in.jsonl", some_events(50))
    environ = {**os.environ, "ATOM_KAFKA_BOOTSTRAP_SERVERS": cluster.bootstrap_servers}
    child = subprocess.Popen(
        [sys.executable, "-m", "atom_console", "produce", str(path), "--follow", "--json"],
        env=environ,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    log = tmp_path / "state" / "atom-console" / "dlq" / "dev" / "dlq.sqlite3"
    deadline = time.monotonic() + 30
    while not log.exists() and child.poll() is None and time.monotonic() < deadline:
        time.sleep(0.01)
    child.send_signal(sign)
    out, err = child.communicate(timeout=30)
    assert child.returncode == 128 + sign, err
    told = json.loads(out)
    assert told["accepted"] == told["acked"] + told["captured"]


def test_the_demo_without_a_terminal_accounts_for_every_event(atom_process: Atom) -> None:
    ended = atom_process("demo", "--headless", "--seconds", "6", "--json", timeout=110)
    told = json.loads(ended.stdout)
    assert ended.returncode == 0, ended.stderr.decode()
    assert told["ok"] is True
    assert told["accepted"] == told["acked"] + told["captured"]
    assert (told["lost"], told["duplicates"]) == (0, 0)
    assert {"config", "poison", "outage"} <= set(told["captured_by_class"])
    assert (told["flight"]["transport"], told["flight"]["schema_equal"]) == ("mTLS", True)
    assert told["flight"]["rows"] == 500_000
    assert told["certs"] == {"issued": 4, "handshake": True, "stranger_refused": True}


def test_doctor_names_what_is_at_fault_and_the_next_step(atom: Atom, on_cluster: None) -> None:
    ended = atom("doctor", "--json")
    checks = {check["name"]: check for check in json.loads(ended.text)["checks"]}
    assert ended.code == 6
    assert checks["broker"]["status"] == "ok"
    assert checks["flight"]["status"] == "fault"
    assert checks["flight"]["next_step"]
    assert checks["dead letters"]["status"] == "ok"
