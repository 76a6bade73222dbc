"""Advice on failed connections: the right fault, once an episode, and none where TLS has nothing to do with it."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from atom_console.config import Loaded
from atom_console.engine.doctor import examine
from atom_console.engine.engine import Engine
from atom_console.engine.flight_link import flight_connection
from atom_console.engine.identity import with_kafka_identity
from atom_console.engine.tls_advice import TlsAdvisor, advised, explain_flight, explain_kafka
from atom_console.errors import AtomError, CheckError, InputError, UnreachableError
from atom_console.flight.client import FlightConsole
from atom_console.flight.server import ReferenceServer, ServerOptions, ServerTls
from atom_console.kafka.client_config import admin_config
from atom_console.kafka.cluster import ClusterReader
from atom_console.pki import issuing
from atom_console.pki.export import load_pair
from atom_console.pki.findings import Finding, finding
from atom_console.pki.issuing import Order
from atom_console.pki.passphrase import Passphrase, fixed, no_passphrase
from atom_console.pki.store import Store
from tests.pki.peers import kafka_peer, server_context

SECRET = fixed(Passphrase("correct horse battery staple"))
LOOPBACK = ("DNS:localhost", "IP:127.0.0.1")


def authority(directory: Path) -> Store:
    store = Store(directory)
    orders = [
        Order("server", "broker", LOOPBACK),
        Order("elsewhere", "broker", ("DNS:flight-1.internal",)),
        Order("console", "client", ("DNS:console.eu",)),
    ]
    issuing.init(store, SECRET, orders)
    return store


@pytest.fixture(scope="module")
def ours(tmp_path_factory: pytest.TempPathFactory) -> Store:
    return authority(tmp_path_factory.mktemp("pki") / "ours")


@pytest.fixture(scope="module")
def theirs(tmp_path_factory: pytest.TempPathFactory) -> Store:
    return authority(tmp_path_factory.mktemp("pki") / "theirs")


Make = Callable[..., Loaded]


def broker_error(loaded: Loaded) -> AtomError:
    with ClusterReader(with_kafka_identity(loaded.settings).kafka, timeout_s=3.0) as reader:
        with pytest.raises(UnreachableError) as raised:
            reader.view()
    return raised.value


def flight_error(loaded: Loaded) -> AtomError:
    with FlightConsole(flight_connection(loaded.settings), deadline_s=5.0) as console:
        with pytest.raises(AtomError) as raised:
            console.ping()
    return raised.value


KAFKA_CASES = {
    # the server's certificate, the trust for clients, our settings beside the inventory → the fault
    "issuer-unknown": ("theirs", "server", "theirs", ("kafka.certificate=console",)),
    "name-mismatch": ("ours", "elsewhere", "ours", ("kafka.certificate=console",)),
    "peer-distrusts-issuer": ("ours", "server", "theirs", ("kafka.certificate=console",)),
    "tls-required": ("ours", "server", "ours", ()),
}


@pytest.mark.parametrize("fault", KAFKA_CASES)
def test_a_broker_that_does_not_shake_hands_is_explained(
    fault: str, ours: Store, theirs: Store, loaded_for: Make
) -> None:
    whose, name, trusts, overrides = KAFKA_CASES[fault]
    stores = {"ours": ours, "theirs": theirs}
    pair = load_pair(stores[whose], name, no_passphrase)
    context = server_context(pair.chain_pem, pair.key_pem, stores[trusts].bundle.read_bytes())
    with kafka_peer(context) as port:
        loaded = loaded_for(f"localhost:{port}", f"pki.dir={ours.root}", *overrides)
        error = broker_error(loaded)
        found = explain_kafka(loaded.settings, error)
        assert found is not None
        assert found.id == fault
        assert found.subject.endswith(str(port)) or fault.startswith("issuer")
        told = advised(error, found)
        assert told is error
        assert f"{fault}: " in told.what
        assert told.next_step == found.next_step
        assert str(told) == told.what


def test_a_plaintext_broker_behind_a_tls_client_is_named(ours: Store, loaded_for: Make) -> None:
    with kafka_peer(None) as port:
        loaded = loaded_for(f"localhost:{port}", f"pki.dir={ours.root}", "kafka.certificate=console")
        found = explain_kafka(loaded.settings, broker_error(loaded))
        assert found is not None
        assert found.id == "plaintext-peer"


FLIGHT_CASES = {
    "issuer-unknown": ("theirs", "server", "theirs", "grpc+tls", ("flight.certificate=console",)),
    "name-mismatch": ("ours", "elsewhere", "ours", "grpc+tls", ("flight.certificate=console",)),
    "peer-distrusts-issuer": ("ours", "server", "theirs", "grpc+tls", ("flight.certificate=console",)),
    "certificate-required": ("ours", "server", "ours", "grpc+tls", ("flight.ca={bundle}",)),
    "tls-required": ("ours", "server", "ours", "grpc", ()),
}


@pytest.mark.parametrize("fault", FLIGHT_CASES)
def test_a_flight_server_that_does_not_shake_hands_is_explained(
    fault: str, ours: Store, theirs: Store, loaded_for: Make
) -> None:
    whose, name, trusts, scheme, overrides = FLIGHT_CASES[fault]
    stores = {"ours": ours, "theirs": theirs}
    pair = load_pair(stores[whose], name, no_passphrase)
    tls = ServerTls(pair.chain_pem, pair.key_pem, stores[trusts].bundle.read_bytes())
    with ReferenceServer(ServerOptions("grpc+tls://127.0.0.1:0", tls=tls)) as server:
        place = f"{scheme}://localhost:{server.uri.rpartition(':')[2]}"
        own = [text.format(bundle=ours.bundle) for text in overrides]
        loaded = loaded_for("127.0.0.1:1", f"pki.dir={ours.root}", f"flight.uri={place}", *own)
        found = explain_flight(loaded.settings, flight_error(loaded))
        assert found is not None
        # gRPC closes without a word: where the pair is sound by itself, which refusal it was cannot be told.
        assert found.id == fault or (found.id == "peer-closed" and fault in found.candidates)
        assert (found.id == "peer-closed") is (fault == "peer-distrusts-issuer")


def test_a_plain_refusal_an_unknown_name_and_an_application_error_get_no_advice(ours: Store, loaded_for: Make) -> None:
    for place in ("127.0.0.1:1", "no-such-host.invalid:9093"):
        for overrides in ((), ("kafka.certificate=console", "flight.certificate=console")):
            loaded = loaded_for(place, f"pki.dir={ours.root}", f"flight.uri=grpc+tls://{place}", *overrides)
            assert explain_kafka(loaded.settings, broker_error(loaded)) is None
            assert explain_flight(loaded.settings, flight_error(loaded)) is None
    with ReferenceServer(ServerOptions("grpc://127.0.0.1:0")) as server:
        loaded = loaded_for("127.0.0.1:1", f"flight.uri={server.uri}")
        with FlightConsole(flight_connection(loaded.settings)) as console:
            with pytest.raises(AtomError) as raised:
                console.info("no-such-plan")
        assert explain_flight(loaded.settings, raised.value) is None
    assert explain_kafka(loaded.settings, UnreachableError("Kafka at x: no answer within 5.0 s")) is None


def wait_until(condition: Callable[[], object], seconds: float = 10) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.005)


def test_a_cause_is_looked_into_once_an_episode_and_never_in_the_callers_thread() -> None:
    looked: list[str] = []
    release = threading.Event()

    def explain(error: AtomError) -> Finding | None:
        looked.append(threading.current_thread().name)
        assert release.wait(10)
        return finding("expired", "broker-1", "it ended") if "expired" in error.what else None

    advisor = TlsAdvisor(explain)
    begun = time.monotonic()
    for number in range(50):
        advisor.failed(UnreachableError(f"Kafka at b:9093: certificate expired (after {number}ms)"))
    assert time.monotonic() - begun < 5
    assert advisor.advice is None
    release.set()
    wait_until(lambda: advisor.advice is not None)
    for _ in range(20):
        advisor.failed(UnreachableError("Kafka at b:9093: certificate expired (after 7ms)"))
    assert looked == ["tls-advice"]
    # The broker goes away altogether: the advice of the other cause does not stay.
    advisor.failed(UnreachableError("Kafka at b:9093: connection refused"))
    assert advisor.advice is None
    wait_until(lambda: len(looked) == 2 and advisor._asking is None)
    advisor.failed(UnreachableError("Kafka at b:9093: certificate expired (after 9ms)"))
    assert advisor.advice is not None
    assert len(looked) == 2
    # A new episode is looked into anew.
    advisor.answered()
    assert advisor.advice is None
    advisor.failed(UnreachableError("Kafka at b:9093: certificate expired (after 9ms)"))
    wait_until(lambda: advisor.advice is not None)
    assert len(looked) == 3


def test_a_fault_while_looking_is_no_fault_of_the_connection(caplog: pytest.LogCaptureFixture) -> None:
    def explain(error: AtomError) -> Finding | None:
        raise ValueError("planted")

    advisor = TlsAdvisor(explain)
    advisor.failed(CheckError("TLS"))
    wait_until(lambda: advisor._known)
    assert advisor.advice is None
    assert "a fault of ours while looking into a connection" in caplog.text


def test_the_console_says_it_on_the_connection_and_among_the_errors(
    ours: Store, theirs: Store, loaded_for: Make
) -> None:
    pair = load_pair(theirs, "server", no_passphrase)
    with kafka_peer(server_context(pair.chain_pem, pair.key_pem, None)) as port:
        engine = Engine(
            loaded_for(f"localhost:{port}", f"pki.dir={ours.root}", "kafka.certificate=console"), produce=False
        )
        engine.start()
        try:
            wait_until(lambda: engine.snapshot().errors, 20)
            seen = engine.snapshot()
        finally:
            engine.stop()
    assert seen.cluster.connection.state == "disconnected"
    assert (seen.cluster.connection.reason or "").startswith("issuer-unknown: ")
    assert seen.errors[0].name == "issuer-unknown"
    assert seen.errors[0].next_step
    assert seen.errors[0].at_ms > 1_700_000_000_000


def test_doctor_names_the_fault_of_both_transports(ours: Store, theirs: Store, loaded_for: Make) -> None:
    pair = load_pair(ours, "elsewhere", no_passphrase)
    tls = ServerTls(pair.chain_pem, pair.key_pem, ours.bundle.read_bytes())
    foreign = load_pair(theirs, "server", no_passphrase)
    with (
        kafka_peer(server_context(foreign.chain_pem, foreign.key_pem, None)) as port,
        ReferenceServer(ServerOptions("grpc+tls://127.0.0.1:0", tls=tls)) as server,
    ):
        place = f"grpc+tls://localhost:{server.uri.rpartition(':')[2]}"
        names = ("kafka.certificate=console", "flight.certificate=console")
        loaded = loaded_for(f"localhost:{port}", f"pki.dir={ours.root}", f"flight.uri={place}", *names)
        checks = {check.name: check for check in examine(loaded, {})}
    assert "issuer-unknown: " in checks["broker"].detail
    assert "name-mismatch: " in checks["flight"].detail
    assert checks["flight"].next_step
    assert checks["flight"].status == "fault"


@pytest.mark.parametrize("value", ["false", "False", "0"])
def test_a_certificate_is_not_shown_to_a_server_that_nobody_checks(value: str, ours: Store, loaded_for: Make) -> None:
    settings = loaded_for("x:1", f"pki.dir={ours.root}", "kafka.certificate=console").settings
    kafka = settings.kafka.model_copy(update={"properties": {"enable.ssl.certificate.verification": value}})
    resolved = with_kafka_identity(settings.model_copy(update={"kafka": kafka})).kafka
    with pytest.raises(InputError, match="a client certificate is set"):
        ClusterReader(resolved)
    without = loaded_for("x:1", "kafka.security_protocol=ssl").settings.kafka
    assert admin_config(without.model_copy(update={"properties": kafka.properties}))


def test_doctor_warns_where_names_are_not_compared(ours: Store, loaded_for: Make) -> None:
    own = (f"pki.dir={ours.root}", "kafka.certificate=console", "kafka.ssl_endpoint_identification_algorithm=none")
    checks = {check.name: check for check in examine(loaded_for("127.0.0.1:1", *own), {})}
    assert checks["certificates"].status == "warning"
    assert "hostname-check-off" in checks["certificates"].detail
