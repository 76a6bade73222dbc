"""New certificates without a restart: what the settings name is looked at again and again, and connections follow it.

Neither librdkafka nor gRPC reads a certificate twice, so a new client is built with the new files, asked to connect,
and only then put in the place of the old one, which finishes what it has. Where the new files do not connect, the old
client stays, and it is tried again: a renewal must not be able to break what works.
"""

from __future__ import annotations

import hashlib
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Final, Generic, TypeVar

from confluent_kafka import KafkaException

from atom_console.config import paths
from atom_console.engine.identity import with_kafka_identity
from atom_console.errors import AtomError

if TYPE_CHECKING:
    from atom_console.config import KafkaSettings, Settings
    from atom_console.flight.client import FlightConsole

T = TypeVar("T")

LOG: Final = logging.getLogger("atom_console.engine")
LOOK_S: Final = 5.0
"""Seconds between two looks at the files."""

PROBE_S: Final = 5.0
_TLS_PROTOCOLS: Final = frozenset({"ssl", "sasl_ssl"})
_CRL: Final = "ssl.crl.location"

Mark = tuple[tuple[str, str], ...]


class KafkaIdentity:
    """The Kafka settings with the files of their certificate, as those are now. Any thread may ask.

    `settings` stays the same object until the certificate, the trust bundle or the revocation list changes.

    Args:
        given: the settings as loaded; `kafka.certificate` names an entry of the inventory, or plain files are watched.

    Raises:
        AtomError: the certificate cannot be found; see `with_kafka_identity`.
    """

    def __init__(self, given: Settings) -> None:
        self._given = given
        self._lock = Lock()
        self.settings: Settings = with_kafka_identity(given)
        self._mark = mark_of(self.settings.kafka) if self.watched else ()
        self._due_s = time.monotonic() + LOOK_S

    @property
    def watched(self) -> bool:
        """Whether there is anything that could change."""
        return self.settings.kafka.security_protocol in _TLS_PROTOCOLS

    def look(self) -> Settings:
        """The settings as they are now; the files are looked at again, at most every `LOOK_S` seconds.

        Raises:
            AtomError, OSError: the files cannot be read at this moment; `settings` stays.
        """
        if not self.watched:
            return self.settings
        with self._lock:
            if time.monotonic() < self._due_s:
                return self.settings
            self._due_s = time.monotonic() + LOOK_S
            found = with_kafka_identity(self._given)
            mark = mark_of(found.kafka)
            if mark != self._mark:
                # Files that are named directly keep their names: the object tells that they are others now.
                self.settings, self._mark = found.model_copy(), mark
            return self.settings


def mark_of(kafka: KafkaSettings) -> Mark:
    """The files of a client's certificate, trust and revocation, by their content."""
    crl = kafka.properties.get(_CRL)
    files = (kafka.ssl_certificate_location, kafka.ssl_ca_location, Path(str(crl)) if crl else None)
    return tuple((str(file), hashlib.sha256(Path(file).read_bytes()).hexdigest()) for file in files if file is not None)


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why new files are not in use, and since when (Unix milliseconds)."""

    why: str
    at_ms: int


class Renewed(Generic[T]):
    """What is made of the Kafka settings, made anew when they change; the old one stays until a new one works.

    Args:
        identity: looked at with each `current`.
        make: makes one that works, or raises where the new files do not connect; it is then called again later.
        drop: lets go of an old one.
        value: the first one.
    """

    def __init__(
        self, identity: KafkaIdentity, make: Callable[[Settings], T], drop: Callable[[T], None], value: T
    ) -> None:
        self._identity, self._make, self._drop = identity, make, drop
        self._made_of = identity.settings
        self.value = value
        self.refused: Refusal | None = None

    def current(self) -> T:
        """The value of the present settings, as far as they work."""
        try:
            settings = self._identity.look()
            if settings is not self._made_of:
                made = self._make(settings)
                old, self.value, self._made_of, self.refused = self.value, made, settings, None
                self._drop(old)
                certificate = str(settings.kafka.ssl_certificate_location)
                LOG.info("new certificates are in use", extra={"event": "certificate.followed", "file": certificate})
        except (AtomError, OSError, KafkaException) as error:
            self._refuse(error.what if isinstance(error, AtomError) else str(error))
        return self.value

    def _refuse(self, why: str) -> None:
        if self.refused is None or self.refused.why != why:
            self.refused = Refusal(why, time.time_ns() // 1_000_000)
            LOG.warning(
                "new certificates do not connect; the old ones stay in use",
                extra={"event": "certificate.refused", "detail": why},
            )


def newer_console(old: FlightConsole, make: Callable[[], FlightConsole]) -> FlightConsole:
    """`old`, or where the files have changed a new client with them that the server has answered; `old` is then closed.

    A transfer has a connection of its own and goes on with the certificate that it began with.
    """
    try:
        fresh = make()
    except (AtomError, OSError) as error:
        LOG.warning("new certificates cannot be used yet", extra={"event": "certificate.refused", "detail": str(error)})
        return old
    if fresh.connection == old.connection:
        fresh.close()
        return old
    try:
        fresh.ping()
    except AtomError as error:
        fresh.close()
        LOG.warning(
            "the new certificate does not connect; the old one stays in use",
            extra={"event": "certificate.refused", "detail": error.what},
        )
        return old
    old.close()
    return fresh


def server_mark(settings: Settings, name: str) -> Mark:
    """The version of a name in the inventory, and the trust bundle, for a server that shows the one and asks by the
    other.

    Raises:
        AtomError, OSError: the inventory cannot be read at this moment.
    """
    from atom_console.pki.store import Store

    store = Store(paths.pki_dir(settings))
    chain = store.find(name).chain
    return tuple((str(file), hashlib.sha256(file.read_bytes()).hexdigest()) for file in (chain, store.bundle))
