from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pyarrow as pa
import pytest

from atom_console.errors import AtomError
from atom_console.flight import errors
from atom_console.flight.channel import fl
from atom_console.flight.client import FlightConsole
from atom_console.flight.connection import Connection, Identity
from atom_console.flight.server import ReferenceServer, ServerTls
from tests.flight.conftest import TestCa

Serve = Callable[..., ReferenceServer]

_CASES: list[tuple[BaseException, type[AtomError], str]] = [
    (OSError("Flight returned timeout error, with message: Deadline Exceeded. Detail: TimedOut"),
     errors.FlightTimeoutError, "deadline"),
    (OSError("Flight returned unauthenticated error, with message: no. Detail: Unauthenticated"),
     errors.PermissionDeniedError, "refuses us: no"),
    (OSError("Flight returned unauthorized error, with message: no. Detail: Unauthorized"),
     errors.PermissionDeniedError, "refuses us"),
    (fl.FlightTimedOutError("Deadline Exceeded"), errors.FlightTimeoutError, "deadline"),
    (fl.FlightUnauthenticatedError("x"), errors.PermissionDeniedError, "refuses us"),
    (fl.FlightUnavailableError("Socket closed"), errors.PeerUnreachableError, "closed the connection"),
    (fl.FlightUnavailableError("ping timeout"), errors.FrozenPeerError, "frozen"),
    (fl.FlightUnavailableError("recvmsg:Connection timed out"), errors.FrozenPeerError, "frozen"),
    (fl.FlightUnavailableError("GOAWAY received; Error code: 11; Debug Text: too_many_pings"),
     errors.TooManyPingsError, "too_many_pings"),
    (fl.FlightUnavailableError("Too many pings"), errors.TooManyPingsError, "keep-alive"),
    (fl.FlightInternalError("Server never sent a data message"), errors.BrokenStreamError, "Arrow stream"),
    (pa.ArrowInvalid("Corrupted metadata length, only 0 bytes available"), errors.BrokenStreamError, "Arrow stream"),
    (pa.ArrowInvalid("plan has an end of eof"), errors.BadRequestError, "called invalid"),
    (pa.lib.ArrowKeyError("no plan"), errors.PlanNotFoundError, "not found"),
    (pa.ArrowNotImplementedError("x"), errors.UnimplementedRpcError, "does not have this method"),
    (fl.FlightServerError("certificate has expired in my business"), errors.FlightServerError, "failed: certificate"),
    (fl.FlightCancelledError("Cancelled"), errors.TransferCancelledError, "cancelled"),
    (fl.FlightUnavailableError("Peer name db is not in peer certificate"), errors.TlsFaultError, "other names"),
    (fl.FlightUnavailableError("certificate verify failed: certificate has expired"), errors.TlsFaultError, "expired"),
    (fl.FlightUnavailableError("certificate verify failed: unsuitable certificate purpose"),
     errors.TlsFaultError, "not a server's"),
    (fl.FlightUnavailableError("Unwrap failed (TSI_DATA_CORRUPTED)"), errors.TlsFaultError, "refused our certificate"),
    (fl.FlightUnavailableError("empty address list"), errors.TlsFaultError, "cannot be used"),
    (fl.FlightInternalError("received message larger than max (5414985 vs. 4194304)"),
     errors.MessageTooLargeError, "limit"),
    (ValueError("odd"), errors.FlightServerError, "odd"),
]  # fmt: skip


@pytest.mark.parametrize(("raised", "family", "words"), _CASES)
def test_each_error_becomes_a_family_with_a_cause_and_a_next_step(
    raised: BaseException, family: type[AtomError], words: str
) -> None:
    error = errors.translate(raised, "DoGet of q3", "grpc://engine:50051")
    assert type(error) is family
    assert words in error.what
    assert error.what.startswith("DoGet of q3 at grpc://engine:50051: ")
    assert error.next_step or family is errors.TransferCancelledError


def test_an_error_of_ours_stays_and_hostile_words_are_made_harmless() -> None:
    ours = errors.PlanNotFoundError("x")
    assert errors.translate(ours, "a", "b") is ours
    hostile = errors.translate(fl.FlightServerError("\x1b]52;c;eHh4\x07" + "a" * 5000), "a", "b")
    assert "\x1b" not in hostile.what
    assert len(hostile.what) < 500


@pytest.mark.parametrize(
    ("fault", "family", "words"),
    [
        ("plaintext to TLS", errors.PeerUnreachableError, "speaks TLS and we do not"),
        ("TLS to plaintext", errors.TlsFaultError, "speaks plaintext"),
        ("other root", errors.TlsFaultError, "does not lead to our root"),
        ("other name", errors.TlsFaultError, "other names"),
        ("expired", errors.TlsFaultError, "expired"),
        ("no client certificate", errors.PeerUnreachableError, "refused our certificate"),
        ("client of another root", errors.PeerUnreachableError, "refused our certificate"),
    ],
)
def test_tls_faults_on_a_real_handshake(
    serve: Serve, test_ca: TestCa, fault: str, family: type[AtomError], words: str
) -> None:
    stranger = TestCa("stranger")
    options: dict[str, Any] = {"ca": test_ca.pem}
    pair = test_ca.issue("flight", server=True)
    tls: ServerTls | None = ServerTls(*pair, client_ca=test_ca.pem if "client" in fault else None)
    match fault:
        case "TLS to plaintext":
            tls = None
        case "other root":
            options["ca"] = stranger.pem
        case "other name":
            tls = ServerTls(*test_ca.issue("flight", server=True, host="elsewhere.example"))
        case "expired":
            tls = ServerTls(*test_ca.issue("flight", server=True, days=-1))
        case "client of another root":
            options["identity"] = Identity(*stranger.issue("operator"))
    server = serve(tls=tls) if tls is None else serve(listen="grpc+tls://127.0.0.1:0", tls=tls)
    port = server.uri.rpartition(":")[2]
    scheme = "grpc" if fault == "plaintext to TLS" else "grpc+tls"
    with FlightConsole(Connection(f"{scheme}://127.0.0.1:{port}", **options), deadline_s=10) as client:
        with pytest.raises(family, match=words) as caught:
            client.actions()
    assert caught.value.next_step


def test_grpc_stays_off_descriptor_two(serve: Serve) -> None:
    source = (
        "from atom_console.flight.client import FlightConsole\n"
        "from atom_console.flight.connection import Connection\n"
        f"client = FlightConsole(Connection('grpc+tls://127.0.0.1:{serve().uri.rpartition(':')[2]}', ca=b'x'))\n"
        "try: client.actions()\n"
        "except Exception as error: print(type(error).__name__)\n"
    )
    environment = {name: value for name, value in os.environ.items() if not name.startswith("GRPC_")}
    done = subprocess.run([sys.executable, "-c", source], capture_output=True, env=environment, timeout=30, check=True)
    assert (done.stdout, done.stderr) == (b"TlsFaultError\n", b"")


def test_a_server_that_cancels_a_question_does_not_interrupt_this_process() -> None:
    """pyarrow takes CANCELLED of ListFlights and ListActions for a ctrl-c, and raises SIGINT in the main thread."""
    import signal

    class Cancels(fl.FlightServerBase):  # type: ignore[misc]  # pyarrow ships no types
        def list_flights(self, context: object, criteria: bytes) -> object:
            raise fl.FlightCancelledError("stopping")

        def list_actions(self, context: object) -> object:
            raise fl.FlightCancelledError("stopping")

    signals: list[int] = []
    before = signal.signal(signal.SIGINT, lambda number, _: signals.append(number))
    try:
        with (
            Cancels("grpc://127.0.0.1:0") as server,
            FlightConsole(Connection(f"grpc://localhost:{server.port}")) as ours,
        ):
            for ask in (ours.list_flights, ours.actions, ours.ping):
                with pytest.raises(errors.TransferCancelledError):
                    ask()
    finally:
        signal.signal(signal.SIGINT, before)
    assert signals == []
