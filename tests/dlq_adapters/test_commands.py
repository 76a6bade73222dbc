"""`dlq ingest`, `drain` and `export` as an operator calls them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner, Result

from atom_console.cli.dlq_transfer_commands import drain, export, ingest
from atom_console.cli.frame import CliContext
from atom_console.dlq.adapters import HeaderMapError
from atom_console.dlq.errors import FilterError
from atom_console.dlq.ingest import NothingToIngestError
from atom_console.dlq.store import Store
from atom_console.dlq.transfer import ExportFileError
from atom_console.errors import RefusedError
from tests.broker.handle import BrokerHandle
from tests.dlq_adapters.letters import make, publish
from tests.dlq_adapters.test_drain import local
from tests.dlq_adapters.test_transfer import secret_event


class Cli:
    """Calls a command with settings of its own, as `--set` would."""

    def __init__(self, directory: Path, bootstrap: str = "127.0.0.1:1") -> None:
        self.store = directory / "store"
        self.overrides = [f"dlq.dir={self.store}", f"kafka.bootstrap_servers={bootstrap}"]

    def __call__(self, command: click.Command, *args: str, read_only: bool | None = None, **settings: str) -> Result:
        more = [f"{name.replace('__', '.')}={value}" for name, value in settings.items()]
        context = CliContext(overrides=(*self.overrides, *more), read_only=read_only)
        return CliRunner().invoke(command, args, obj=context)

    def json(self, command: click.Command, *args: str, **settings: str) -> Any:
        result = self(command, *args, "--json", **settings)
        assert result.exception is None, result.exception
        return json.loads(result.stdout)


@pytest.fixture
def cli(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Cli:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    return Cli(tmp_path)


@pytest.fixture
def on_kafka(cli: Cli, kafka: BrokerHandle) -> Cli:
    cli.overrides.append(f"kafka.bootstrap_servers={kafka.bootstrap}")
    return cli


def test_ingest_and_again(on_kafka: Cli, kafka: BrokerHandle) -> None:
    topic = kafka.create_topic()
    publish(
        kafka,
        [make(("original_partition", b"0"), ("original_offset", b"%d" % n), timestamp=0) for n in range(3)],
        topic,
    )
    told = on_kafka.json(ingest, topic, "--source", "orders", "--no-fetch")
    assert {name: told[name] for name in ("read", "added", "known", "skipped")} == {
        "read": 3, "added": 3, "known": 0, "skipped": 0,
    }  # fmt: skip
    assert on_kafka.json(ingest, dlq__topics=topic)["read"] == 0
    assert on_kafka.json(ingest, topic, "--again")["known"] == 3


def test_what_retention_took_is_told(on_kafka: Cli, kafka: BrokerHandle) -> None:
    from confluent_kafka import TopicPartition

    topic = kafka.create_topic()
    publish(kafka, [make(("n", b"1"))], topic)
    on_kafka.json(ingest, topic)
    publish(kafka, [make(("n", b"2")) for _ in range(4)], topic)
    admin = kafka.admin()
    for done in admin.delete_records([TopicPartition(topic, 0, 3)]).values():
        done.result(15)
    result = on_kafka(ingest, topic, "--json")
    assert (json.loads(result.stdout)["skipped"], json.loads(result.stdout)["added"]) == (2, 2)
    assert getattr(result.exception, "exit_code", None) == 3


def test_drain(on_kafka: Cli, kafka: BrokerHandle) -> None:
    topic = kafka.create_topic()
    with Store.open(on_kafka.store) as store:
        store.insert([local(n) for n in range(3)])
    assert isinstance(on_kafka(drain, "--to", topic).exception, FilterError)
    told = on_kafka.json(drain, "--to", topic, "--all")
    assert (told["read"], told["written"], told["failed"]) == (3, 3, 0)
    assert on_kafka.json(ingest, topic)["known"] == 3


def test_read_only_is_refused(cli: Cli) -> None:
    for command, args in ((ingest, ["t"]), (drain, ["--to", "t", "--all"])):
        assert isinstance(cli(command, *args, read_only=True).exception, RefusedError)
    revealed = cli(export, "--all", "--out", "x.jsonl", "--reveal", "--reason", "r", read_only=True)
    assert isinstance(revealed.exception, RefusedError)


def test_bad_calls(cli: Cli, tmp_path: Path) -> None:
    assert isinstance(cli(ingest).exception, NothingToIngestError)
    assert isinstance(cli(ingest, "t", "--source", "t").exception, RefusedError)
    assert isinstance(cli(ingest, "t", dlq__header_map=str(tmp_path / "gone.toml")).exception, HeaderMapError)
    assert cli(export, "--all", "--out", "x.txt").exit_code == 2
    assert cli(export, "--all", "--out", "x.jsonl", "--reveal").exit_code == 2
    assert isinstance(cli(export, "--out", "x.jsonl").exception, FilterError)


def test_export_masks_and_reveals(cli: Cli, tmp_path: Path) -> None:
    with Store.open(cli.store) as store:
        store.insert([local(0, value=secret_event())])
    hidden, open_ = tmp_path / "hidden.jsonl", tmp_path / "open.parquet"
    told = cli.json(export, "--all", "--out", str(hidden))
    assert (told["written"], told["masked"], told["format"]) == (1, 1, "jsonl")
    assert "PLANTED" not in hidden.read_text()
    assert isinstance(cli(export, "--all", "--out", str(hidden)).exception, ExportFileError)
    told = cli.json(export, "--all", "--out", str(open_), "--reveal", "--reason", "INC-1")
    assert (told["written"], told["masked"], told["format"]) == (1, 0, "parquet")
    with Store.open(cli.store) as store:
        found = store.run(lambda conn: conn.execute("SELECT reason FROM audit WHERE action = 'reveal'").get)
    assert found == "INC-1"
