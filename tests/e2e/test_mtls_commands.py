"""The commands over mutual TLS, with certificates issued here: the real Kafka's SSL listener with ACLs, and Flight."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from confluent_kafka.admin import AclOperation

from atom_console.pki.store import Store
from tests.broker.broker import KafkaBroker
from tests.broker.handle import wait_until
from tests.e2e.authority import PHRASE, listener_tls, new_authority
from tests.e2e.delivery import many_lines

COUNT = 500
TOKEN = "planted-bearer-token"
Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return new_authority(tmp_path / "pki")


@pytest.fixture
def environ(store: Store, tmp_path: Path) -> dict[str, str]:
    """A console that sees nothing of the machine, with its certificates by name."""
    (tmp_path / "home").mkdir()
    phrase = tmp_path / "phrase"
    phrase.touch(mode=0o600)
    phrase.write_text(PHRASE)
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("ATOM_", "XDG_"))}
    return kept | {
        "HOME": str(tmp_path / "home"),
        "ATOM_PKI_DIR": str(store.root),
        "ATOM_PKI_PASSPHRASE_FILE": str(phrase),
        "ATOM_KAFKA_CERTIFICATE": "console",
        "ATOM_FLIGHT_CERTIFICATE": "console",
    }


@pytest.fixture
def atom(environ: dict[str, str]) -> Run:
    def run(*arguments: str, **more: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "atom_console", *arguments],
            env=environ | more,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    return run


@pytest.mark.timeout(180)
def test_kafka_with_required_certificates_and_acls_for_their_names(
    store: Store, atom: Run, tmp_path: Path, make_broker: Callable[..., KafkaBroker]
) -> None:
    broker = make_broker(tls=listener_tls(store, tmp_path))
    handle = broker.handle
    topic = handle.create_topic(partitions=3)
    port = handle.ssl_bootstrap.rpartition(":")[2]
    over_tls = {"ATOM_KAFKA_BOOTSTRAP_SERVERS": f"localhost:{port}", "ATOM_DLQ_DIR": str(tmp_path / "dlq")}
    (tmp_path / "events.jsonl").write_text("".join(many_lines(COUNT)))

    # Without a grant for the subject of the certificate: the broker knows us, and lets us do nothing.
    refused = atom("produce", str(tmp_path / "events.jsonl"), "--topic", topic, "--json", **over_tls)
    assert json.loads(refused.stdout)["acked"] == 0, refused.stderr
    handle.grant("console", topic, AclOperation.WRITE, AclOperation.READ, AclOperation.DESCRIBE)

    def sent() -> bool:
        again = {**over_tls, "ATOM_DLQ_DIR": str(tmp_path / "dlq-2")}
        done = atom("produce", str(tmp_path / "events.jsonl"), "--topic", topic, "--json", **again)
        return bool(json.loads(done.stdout)["acked"] == COUNT)

    wait_until(sent, 30, "the grant holds")
    listed = atom("topics", topic, "--json", "--seconds", "0.1", **over_tls)
    assert listed.returncode == 0, listed.stderr
    assert json.loads(listed.stdout)["topics"][0]["messages"] >= COUNT
    tailed = atom("tail", topic, "--from", "beginning", "--limit", "20", **over_tls)
    assert tailed.returncode == 0, tailed.stderr
    assert len([json.loads(row)["event"] for row in tailed.stdout.splitlines()]) == 20

    # What the refusal kept goes out over the same listener, and is counted there.
    before = sum(handle.end_offsets(topic).values())
    released = atom(
        "dlq", "release", "--all", "--reason", "granted", "--yes", "--confirm", str(COUNT), "--json", **over_tls
    )
    assert released.returncode == 0, released.stderr
    plan = json.loads(atom("dlq", "plan", "--state", "ready", "--rate", "0", "--json", **over_tls).stdout)
    replayed = atom("dlq", "replay", plan["run_id"], "--yes", "--json", **over_tls)
    assert replayed.returncode == 0, replayed.stderr
    assert json.loads(replayed.stdout)["verified"] == "verified: 0 lost, 0 duplicates"
    assert sum(handle.end_offsets(topic).values()) == before + COUNT

    checked = {c["name"]: c for c in json.loads(atom("doctor", "--json", **over_tls).stdout)["checks"]}
    assert checked["broker"]["status"] in {"ok", "warning"}
    assert "localhost" in checked["broker"]["detail"]

    # The fault behind a handshake that fails: the console's certificate is not asked for by name, the answer is.
    plain = {**over_tls, "ATOM_KAFKA_CERTIFICATE": "", "ATOM_KAFKA_SECURITY_PROTOCOL": "plaintext"}
    told = atom("topics", **plain)
    assert told.returncode == 4
    assert "tls-required: " in told.stderr
    foreign = new_authority(tmp_path / "foreign")
    told = atom("topics", **over_tls, ATOM_PKI_DIR=str(foreign.root))
    assert told.returncode == 4
    assert "issuer-unknown: " in told.stderr
    assert "next: " in told.stderr


@contextmanager
def serving(environ: dict[str, str], said: Path, *options: str) -> Iterator[str]:
    command = [sys.executable, "-m", "atom_console", "flight", "serve", "--listen", "grpc+tls://127.0.0.1:0", *options]
    with said.open("w") as stderr:
        process = subprocess.Popen([*command, "--json"], env=environ, stdout=subprocess.PIPE, stderr=stderr, text=True)
    try:
        assert process.stdout is not None
        uri = json.loads(process.stdout.readline())["uri"]
        yield f"grpc+tls://localhost:{uri.rpartition(':')[2]}"
    finally:
        process.terminate()
        process.communicate(timeout=30)


@pytest.mark.timeout(120)
def test_flight_over_mutual_tls_with_a_token(store: Store, atom: Run, environ: dict[str, str], tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.touch(mode=0o600)
    token.write_text(TOKEN)
    said = tmp_path / "said"
    with serving(
        environ, said, "--mtls", "--certificate", "flight-1", "--token-file", str(token), "--plan", "mdf-50k"
    ) as uri:
        own = {"ATOM_FLIGHT_URI": uri, "ATOM_FLIGHT_TOKEN_FILE": str(token)}
        ping = atom("flight", "ping", "--json", **own)
        assert ping.returncode == 0, ping.stderr
        assert json.loads(ping.stdout)["transport"] == "mTLS"
        got = atom("flight", "get", "mdf-50k", "--json", **own)
        assert got.returncode == 0, got.stderr
        assert (json.loads(got.stdout)["rows"], json.loads(got.stdout)["transport"]) == (50_000, "mTLS")

        # No certificate, a certificate of somebody else, and a wrong name: told apart.
        bare = {**own, "ATOM_FLIGHT_CERTIFICATE": "", "ATOM_FLIGHT_CA": str(store.bundle)}
        told = atom("flight", "ping", **bare)
        assert told.returncode in {4, 6}
        assert "certificate-required: " in told.stderr
        foreign = new_authority(tmp_path / "foreign")
        told = atom("flight", "ping", **own, ATOM_PKI_DIR=str(foreign.root))
        assert "issuer-unknown: " in told.stderr

        # A renewal is followed by the server: it says so, and the same command goes on.
        before = atom("certs", "verify", "console", "--against", uri.removeprefix("grpc+tls://"), "--as", "flight")
        assert before.returncode == 0, before.stdout
        assert atom("certs", "renew", "flight-1", "console").returncode == 0
        assert atom("flight", "get", "mdf-50k", **own).returncode == 0
        wait_until(lambda: "showing the new certificate of flight-1" in said.read_text(), 30, "it follows")
        told = atom("flight", "get", "mdf-50k", "--json", **own)
        assert told.returncode == 0, told.stderr
        assert TOKEN not in "".join((ping.stdout, ping.stderr, got.stdout, got.stderr, told.stderr, said.read_text()))
