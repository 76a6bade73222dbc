"""The commands, as scripts call them: JSON on stdout, exit codes, refusals."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from atom_console.config import Settings
from atom_console.dlq.store import Store
from tests.broker.handle import BrokerHandle
from tests.dlq_replay.conftest import fill, judge, read_topic

Call = Callable[..., tuple[int, Any, str]]


@pytest.fixture
def dlq_cli(kafka: BrokerHandle, replay_store: Store, tmp_path: Path) -> Call:
    environ = {name: value for name, value in os.environ.items() if not name.startswith("ATOM_")}
    environ |= {
        "ATOM_KAFKA_BOOTSTRAP_SERVERS": kafka.bootstrap,
        "ATOM_DLQ_DIR": str(replay_store.directory),
        "ATOM_DLQ_MIN_FREE_BYTES": "0",
        "ATOM_LOG_FILE": str(tmp_path / "log.jsonl"),
        "XDG_CONFIG_HOME": str(tmp_path / "config"),
    }

    def call(*arguments: str, as_json: bool = True, **more: str) -> tuple[int, Any, str]:
        command = [sys.executable, "-m", "atom_console", *(["--json"] if as_json else []), *arguments]
        done = subprocess.run(command, env=environ | more, capture_output=True, text=True, timeout=60, check=False,
                              stdin=subprocess.DEVNULL)  # fmt: skip
        out: Any = done.stdout
        if as_json and done.stdout.strip():
            out = json.loads(done.stdout)
        return done.returncode, out, done.stderr

    return call


def test_plan_replay_and_the_trace_of_it(
    kafka: BrokerHandle, kafka_topic: str, replay_store: Store, dlq_cli: Call
) -> None:
    fill(replay_store, kafka_topic, 40, keys=4, cluster_id=kafka.cluster_id)
    code, made, err = dlq_cli("dlq", "plan", "--state", "ready", "--rate", "0")
    assert code == 0, err
    assert (made["count"], made["refusals"], made["by_topic"]) == (40, [], {kafka_topic: 40})
    code, _, err = dlq_cli("dlq", "replay", made["run_id"])
    assert code == 5
    assert "not confirmed" in err
    code, report, err = dlq_cli("dlq", "replay", made["run_id"], "--yes")
    assert code == 0, err
    wanted = {"state": "finished", "replayed": 40, "failed": 0, "unknown": 0, "left": 0, "lost": 0, "duplicates": 0}
    assert {name: report[name] for name in wanted} == wanted
    assert judge(read_topic(kafka.bootstrap, kafka_topic), range(40), 4) == (0, 0, 0)
    code, found, _ = dlq_cli("dlq", "runs")
    assert code == 0
    assert [(run["run_id"], run["state"]) for run in found["runs"]] == [(made["run_id"], "finished")]
    code, chain, _ = dlq_cli("dlq", "audit", "verify")
    assert (code, chain["ok"], chain["first_bad"]) == (0, True, None)
    code, text, _ = dlq_cli("dlq", "audit", "export", as_json=False)
    assert code == 0
    assert [json.loads(line)["action"] for line in text.splitlines()][-2:] == ["replay", "run finished"]
    code, found, _ = dlq_cli("dlq", "recover")
    assert (code, found["still_unknown"]) == (0, 0)
    code, _, err = dlq_cli("dlq", "cancel", made["run_id"])
    assert code == 5


def test_triage_and_purge(kafka_topic: str, replay_store: Store, dlq_cli: Call) -> None:
    fill(replay_store, kafka_topic, 6)
    code, _, err = dlq_cli("dlq", "discard", "--reason", "x", "--yes")
    assert code == 2
    assert "empty" in err
    code, _, err = dlq_cli("dlq", "discard", "--state", "ready", "--reason", "test data")
    assert code == 5
    code, done, _ = dlq_cli("dlq", "discard", "--state", "ready", "--reason", "test data", "--yes")
    assert (code, done["changed"], done["skipped"]) == (0, 6, 0)
    code, done, _ = dlq_cli("dlq", "restore", "--state", "discarded", "--reason", "needed", "--confirm", "6")
    assert (code, done["changed"]) == (0, 6)
    code, done, _ = dlq_cli("dlq", "quarantine", "--all", "--reason", "look", "--yes")
    assert (code, done["changed"]) == (0, 6)
    code, done, _ = dlq_cli("dlq", "release", "--all", "--reason", "looked", "--yes")
    assert (code, done["changed"]) == (0, 6)
    code, done, _ = dlq_cli("dlq", "purge", "--days", "0", "--dry-run")
    assert (code, done["records"], done["deleted"]) == (0, 0, False)
    code, _, err = dlq_cli("--read-only", "dlq", "release", "--all", "--reason", "x", "--yes")
    assert code == 5
    assert "read-only" in err


def test_a_refused_plan_says_why(replay_store: Store, dlq_cli: Call, replay_on: Settings) -> None:
    fill(replay_store, "no-such-topic", 3)
    code, made, _ = dlq_cli("dlq", "plan", "--state", "ready")
    assert code == 5
    assert "no-such-topic does not exist" in made["refusals"][0]
    code, _, err = dlq_cli("dlq", "replay", made["run_id"], "--yes")
    assert code == 5
    assert "no-such-topic" in err


def test_a_tampered_chain_is_exit_6(replay_store: Store, dlq_cli: Call) -> None:
    fill(replay_store, "t", 3)

    def tamper(conn: Any) -> None:
        conn.execute("DROP TRIGGER audit_no_update")
        conn.execute("UPDATE audit SET reason = 'x' WHERE seq = 1")

    replay_store.run(tamper)
    code, chain, _ = dlq_cli("dlq", "audit", "verify")
    assert (code, chain["ok"], chain["first_bad"]) == (6, False, 1)
