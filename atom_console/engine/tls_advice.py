"""What a failed connection really means, where TLS has to do with it: asked of the files and of the peer, once.

gRPC and librdkafka have one sentence for many faults, and for a plaintext client at a TLS port none. So the pair is
checked and the peer is looked at; the finding says which fault it is and what to do. A plain refusal, an unknown name
or a silent network needs no such look, and gets no advice.
"""

from __future__ import annotations

import logging
import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from threading import Lock, Thread
from typing import TYPE_CHECKING, Final, TypeVar

from atom_console.config import paths
from atom_console.engine.identity import passphrase_source
from atom_console.errors import AtomError, CheckError, InputError, UnreachableError

if TYPE_CHECKING:
    from atom_console.config import Settings
    from atom_console.pki.findings import Finding
    from atom_console.pki.passphrase import PassphraseSource
    from atom_console.pki.probe import Target
    from atom_console.pki.translate import Transport
    from atom_console.pki.verify import Pair

T = TypeVar("T")
E = TypeVar("E", bound=AtomError)

LOG: Final = logging.getLogger("atom_console.engine")
_TIMEOUT_S: Final = 3.0
_MOST_CAUSES: Final = 16
_TLS_PROTOCOLS: Final = frozenset({"ssl", "sasl_ssl"})
_PLAIN_REFUSAL: Final = re.compile(
    r"connection refused|nothing listens|failed to resolve|does not resolve|name or service|unreachable|no route",
    re.IGNORECASE,
)
# Findings that say no more than the client did, or nothing about certificates.
_NO_ADVICE: Final = frozenset(
    {"connection-refused", "host-unknown", "unreachable", "timed-out", "not-kafka", "not-flight", "unexplained", "ok"}
)


@dataclass(frozen=True, slots=True)
class Advice:
    """What is wrong, and since when that is known (Unix milliseconds)."""

    finding: Finding
    at_ms: int


class TlsAdvisor:
    """The advice on one connection. Each cause of an episode of failures is looked into once, in a thread of its own.

    Args:
        explain: the look itself; may take seconds.
    """

    def __init__(self, explain: Callable[[AtomError], Finding | None]) -> None:
        self._explain = explain
        self._lock = Lock()
        self._known: dict[str, Advice | None] = {}
        self._asking: str | None = None
        self.advice: Advice | None = None
        """What is wrong, or None while it is not known, or has nothing to do with TLS."""

    def watching(self, read: Callable[[], T]) -> Callable[[], T]:
        """`read`, with its failures and answers noted here."""

        def watched() -> T:
            try:
                value = read()
            except (UnreachableError, CheckError) as error:
                self.failed(error)
                raise
            self.answered()
            return value

        return watched

    def failed(self, error: AtomError) -> None:
        """The connection failed, for the first time or again. Returns at once."""
        cause = re.sub(r"\d+", "#", error.what)
        with self._lock:
            if cause in self._known:
                self.advice = self._known[cause]
                return
            if self._asking is not None or len(self._known) >= _MOST_CAUSES:
                return
            self._asking, self.advice = cause, None
        Thread(target=self._ask, args=(cause, error), name="tls-advice", daemon=True).start()

    def answered(self) -> None:
        """The peer answers: the episode is over."""
        if self._known or self.advice is not None:
            with self._lock:
                self._known.clear()
                self.advice = None

    def _ask(self, cause: str, error: AtomError) -> None:
        advice: Advice | None = None
        try:
            found = self._explain(error)
            if found is not None:
                advice = Advice(found, time.time_ns() // 1_000_000)
        except AtomError as trouble:
            LOG.info("no advice on a connection: %s", trouble.what, extra={"event": "advice.failed"})
        except Exception:  # the advice is a help, not a duty
            LOG.exception("a fault of ours while looking into a connection", extra={"event": "advice.fault"})
        with self._lock:
            self._known[cause] = self.advice = advice
            self._asking = None


def explain_kafka(settings: Settings, error: AtomError) -> Finding | None:
    """The fault behind a failed connection to a broker.

    Args:
        settings: as loaded: `kafka.certificate` is looked up in the inventory.
        error: what the client said; a `BrokerUnreachableError` also tells which broker.
    """
    text = str(getattr(error, "cause", error.what))
    address = str(getattr(error, "address", settings.kafka.bootstrap_servers)).split(",")[0].strip()
    configured = settings.kafka.certificate is not None or settings.kafka.security_protocol in _TLS_PROTOCOLS
    if _PLAIN_REFUSAL.search(text):
        return None
    from atom_console.engine.certificate_desk import target_of
    from atom_console.pki.translate import Transport

    try:
        target = target_of(address, Transport.KAFKA, tls=configured)
    except InputError:
        return None
    return _explain(settings, text, Transport.KAFKA, target)


def explain_flight(settings: Settings, error: AtomError, uri: str | None = None) -> Finding | None:
    """The fault behind a failed connection to a Flight server.

    Args:
        settings: as loaded.
        error: of the families of `flight.errors`.
        uri: the server, where it is not the configured one.
    """
    flight = settings.flight
    if not isinstance(error, UnreachableError | CheckError):
        return None
    from atom_console.engine.certificate_desk import target_of
    from atom_console.flight.connection import parse_target
    from atom_console.pki.translate import Transport

    secure = any((flight.certificate, flight.ca, flight.cert))
    try:
        scheme, _, place = parse_target(uri or flight.uri, secure=secure).uri.partition("://")
        target = target_of(place, Transport.FLIGHT, tls=scheme == "grpc+tls")
    except InputError:
        return None
    said = error.__cause__
    text = error.what if said is None else " ".join(str(part) for part in said.args)
    if _PLAIN_REFUSAL.search(text):
        return None
    return _explain(settings, text, Transport.FLIGHT, target)


def advised(error: E, found: Finding | None) -> E:
    """The same error, saying what is behind it; as it was where nothing was found."""
    if found is not None:
        error.what = f"{error.what}. {sentence(found)}"
        error.next_step = found.next_step
        error.args = (error.what,)
    return error


def sentence(found: Finding) -> str:
    """A finding in one sentence, its id first."""
    return f"{found.id}: {found.subject}: {found.message}"


def configured_pair(settings: Settings, transport: Transport, certificate: str | None = None) -> Pair:
    """The files that this console is configured with, for one transport.

    Args:
        certificate: a name of the inventory, instead of the configured one.

    Raises:
        UnknownCertificateError: no such name.
    """
    from atom_console.pki.store import Store
    from atom_console.pki.translate import Transport
    from atom_console.pki.verify import Pair, pair_of

    store, kafka, flight = Store(paths.pki_dir(settings)), settings.kafka, settings.flight
    over_kafka = transport is Transport.KAFKA
    name = certificate or (kafka.certificate if over_kafka else flight.certificate)
    if name:
        return pair_of(store, name)
    files = (
        (kafka.ssl_certificate_location, kafka.ssl_key_location, kafka.ssl_ca_location)
        if over_kafka
        else (flight.cert, flight.key, flight.ca)
    )
    cert, key, ca = (Path(file) if file else None for file in files)
    bundle = store.bundle if store.bundle.exists() else None
    return Pair("this console", cert, key, ca or bundle)


def _explain(settings: Settings, text: str, transport: Transport, target: Target) -> Finding | None:
    from atom_console.pki.findings import Severity
    from atom_console.pki.verify import explain

    pair = configured_pair(settings, transport)
    passphrase = _key_passphrase(settings, transport)
    found = explain(text, transport, pair, target=target, passphrase=passphrase, timeout_s=_TIMEOUT_S)
    faults = [one for one in found if one.severity is Severity.ERROR and one.id not in _NO_ADVICE]
    if not target.tls:
        faults = [one for one in faults if one.id == "tls-required"]  # all that TLS can have to do with plaintext
    return faults[0] if faults else None


def _key_passphrase(settings: Settings, transport: Transport) -> PassphraseSource:
    from atom_console.pki.passphrase import Passphrase
    from atom_console.pki.translate import Transport

    own = settings.kafka.ssl_key_password if transport is Transport.KAFKA else None
    return passphrase_source(settings, None if own is None else Passphrase(own.get_secret_value()))
