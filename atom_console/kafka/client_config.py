"""Settings → librdkafka properties: the one place where a Kafka client of any kind is configured."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from pydantic import SecretStr

from atom_console.config.model import LIBRDKAFKA_KEYS
from atom_console.errors import InputError

if TYPE_CHECKING:
    from atom_console.config import KafkaSettings

Properties = dict[str, Any]

_SHARED: Final = ("bootstrap.servers", "client.id", "security.protocol")
_SHARED_PREFIXES: Final = (
    *("ssl.", "sasl.", "enable.ssl.", "https.", "client.", "broker.address."),
    *("socket.", "connections.max.", "reconnect.", "retry.backoff.", "metadata.", "log_level", "debug"),
)
_CONSUMER_PREFIXES: Final = ("fetch.", "queued.", "check.crcs", "isolation.level")
_BELIEVES_MS: Final = "topic.metadata.propagation.max.ms"
_BELIEVES_AT_MOST_MS: Final = 5_000
_VERIFIES: Final = "enable.ssl.certificate.verification"
_TRUE: Final = frozenset({"true", "t", "1"})
_TLS_PROTOCOLS: Final = frozenset({"ssl", "sasl_ssl"})

# Properties that would break the promise that every event ends acknowledged or captured.
_NOT_FOR_PRODUCERS: Final = {
    "delivery.report.only.error": "acknowledgements would not be seen any more",
    "transactional.id": "events are not produced in transactions",
    "enable.gapless.guarantee": "its fatal path may report nothing about events in the queue",
    "queue.buffering.backpressure.threshold": "it is fixed by the client",
}


class ClientConfigError(InputError):
    """The Kafka settings cannot become a client."""


def producer_config(kafka: KafkaSettings) -> Properties:
    """Properties of a producer.

    Raises:
        ClientConfigError: a passed-through property that would hide the fate of events, or a certificate that is named
            but was not resolved to its files.
    """
    for name, why in _NOT_FOR_PRODUCERS.items():
        if name in kafka.properties:
            raise ClientConfigError(
                f"kafka.properties: {name} may not be set: {why}", next_step=f"remove {name} from kafka.properties"
            )
    return _own(kafka) | {_BELIEVES_MS: _belief_ms(kafka.message_timeout_ms)} | dict(kafka.properties)


def _belief_ms(message_timeout_ms: int) -> int:
    """How long a topic that no broker knows may be a new one: by default as long as the message time-out, and then an
    unknown topic would be told as an outage (measured)."""
    return _BELIEVES_AT_MOST_MS if message_timeout_ms == 0 else min(_BELIEVES_AT_MOST_MS, message_timeout_ms // 2)


def consumer_config(kafka: KafkaSettings) -> Properties:
    """Properties of a consumer that reads by assignment: no group offsets, no commits, errors instead of silent jumps.

    Raises:
        ClientConfigError: a certificate that is named but was not resolved to its files.
    """
    return {
        # librdkafka wants a group even where none is joined; nothing is ever committed to it.
        "group.id": kafka.client_id,
        "enable.auto.commit": False,
        "enable.auto.offset.store": False,
        "auto.offset.reset": "error",
        # By default a fetch that found its queue full sleeps a second: 126,000 records/s against 601,000 (measured).
        "fetch.queue.backoff.ms": 1,
        "queued.max.messages.kbytes": 8192,
    } | _connection(kafka, _CONSUMER_PREFIXES)


def admin_config(kafka: KafkaSettings) -> Properties:
    """Properties of an admin client.

    Raises:
        ClientConfigError: a certificate that is named but was not resolved to its files.
    """
    return _connection(kafka)


def _connection(kafka: KafkaSettings, more: tuple[str, ...] = ()) -> Properties:
    """What every client needs to connect; the producer's own tuning would only make librdkafka complain."""
    properties = _own(kafka) | dict(kafka.properties)
    return {
        name: value for name, value in properties.items() if name in _SHARED or name.startswith(_SHARED_PREFIXES + more)
    }


def _own(kafka: KafkaSettings) -> Properties:
    if kafka.certificate and kafka.ssl_certificate_location is None:
        raise ClientConfigError(
            f"kafka.certificate names {kafka.certificate!r}, and its files are not known here",
            next_step="set kafka.ssl_certificate_location, _key_location and _ca_location, or check `certs ls`",
        )
    if kafka.properties.get(_VERIFIES, "true").strip().lower() not in _TRUE and _shows_a_certificate(kafka):
        raise ClientConfigError(
            f"kafka.properties: {_VERIFIES} is off, and a client certificate is set: it would be shown to anybody",
            next_step=f"remove {_VERIFIES}; kafka.ssl_ca_location names whom to trust",
        )
    properties: Properties = {}
    for name, field in LIBRDKAFKA_KEYS.items():
        value = getattr(kafka, field)
        if value is None or (name.startswith("ssl.") and kafka.security_protocol not in _TLS_PROTOCOLS):
            continue
        properties[name] = _plain(value)
    return properties


def _shows_a_certificate(kafka: KafkaSettings) -> bool:
    return kafka.ssl_certificate_location is not None or any(
        name in kafka.properties
        for name in ("ssl.certificate.location", "ssl.certificate.pem", "ssl.keystore.location")
    )


def _plain(value: object) -> object:
    if isinstance(value, SecretStr):
        return value.get_secret_value()
    return str(value) if isinstance(value, Path) else value
