"""From what librdkafka says about its connections to one sentence: which address, what is wrong, what to do."""

from __future__ import annotations

import re
import time
from typing import TYPE_CHECKING, Final

from atom_console.errors import UnreachableError

if TYPE_CHECKING:
    from confluent_kafka import KafkaError

# `ssl://host:9092/bootstrap: SSL handshake failed: … (after 5ms in state SSL_HANDSHAKE)`
_SENTENCE: Final = re.compile(
    r"(?:\w+://)?(?P<address>[^/ ]+)/(?:bootstrap|\d+): (?P<cause>.*?)(?: \(after .*\))?$", re.DOTALL
)
_ALL_BROKERS_DOWN: Final = -187
_TRANSPORT: Final = -195
_SSL: Final = -181
_NEXT_STEPS: Final = {
    -193: "check the name in kafka.bootstrap_servers, and the name service of this host",  # _RESOLVE
    _SSL: "check the certificates: atom-console certs verify FILE --against HOST:PORT --as kafka",
    -169: "check kafka.sasl_mechanism, kafka.sasl_username and kafka.sasl_password",  # _AUTHENTICATION
}
_GRACE_S: Final = 0.5


class BrokerUnreachableError(UnreachableError):
    """No broker could be asked.

    Attributes:
        address: `host:port` of the last broker that was tried, or the configured servers.
        cause: the client's own words. Foreign text: make it safe before it is shown.
    """

    def __init__(self, what: str, *, address: str, cause: str, next_step: str | None) -> None:
        super().__init__(what, next_step=next_step)
        self.address = address
        self.cause = cause


class Reachability:
    """The memory of one client's error callback. Not safe for several threads.

    Args:
        servers: `bootstrap.servers`, for the sentence when nothing more exact is known.
    """

    def __init__(self, servers: str) -> None:
        self._servers = servers
        self._last: KafkaError | None = None
        self._down_since: float | None = None

    def on_error(self, error: KafkaError) -> None:
        """The `error_cb` of the client."""
        if error.code() == _ALL_BROKERS_DOWN:
            self._down_since = self._down_since or time.monotonic()
        elif self._last is None or error.code() != _TRANSPORT or self._last.code() == _TRANSPORT:
            # A failed handshake is followed by a plain transport error that says less.
            self._last = error

    def answered(self) -> None:
        """A broker answered: what was said before is history."""
        self._last = None
        self._down_since = None

    @property
    def down(self) -> bool:
        """Whether every broker has failed.

        It must hold for half a second: a name may have several addresses, which are tried one after another, and the
        client reports all brokers as down after the first of them (`localhost` with nothing on ::1).
        """
        return self._down_since is not None and time.monotonic() - self._down_since >= _GRACE_S

    @property
    def failing(self) -> bool:
        """Whether every broker has failed at least once since the last answer."""
        return self._down_since is not None

    def error(self, waited_s: float) -> BrokerUnreachableError:
        """What to raise after waiting in vain."""
        if self._last is None:
            cause = f"no answer within {waited_s:.1f} s"
            return BrokerUnreachableError(
                f"Kafka at {self._servers}: {cause}",
                address=self._servers,
                cause=cause,
                next_step="nothing was refused either: packets may be dropped, or the broker hangs",
            )
        text = self._last.str()
        match = _SENTENCE.match(text)
        address, cause = (match["address"], match["cause"]) if match else (self._servers, text)
        # An alert that arrives after the handshake (TLS 1.3) comes as a plain transport error.
        code = _SSL if "SSL routines" in cause else self._last.code()
        advice = _NEXT_STEPS.get(code, "check that a broker listens there, and kafka.bootstrap_servers")
        return BrokerUnreachableError(
            f"Kafka at {address}: {cause}", address=address, cause=cause, next_step=advice.replace("HOST:PORT", address)
        )
