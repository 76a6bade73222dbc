"""The one table of delivery errors: what a code means, whether the event may be on the broker, and what to do.

The Python client cannot tell: `KafkaError.retriable()` and `fatal()` are always False in delivery reports, and the
message status (persisted, possibly, not) is not exposed. So every decision goes by the code, here and nowhere else.
Codes below zero are librdkafka's own, the others are the Kafka protocol's.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Final, Literal

Stage = Literal["encode", "produce", "queue", "delivery", "drain"]
"""Where an event failed: without a payload, refused by `produce`, no room in the queue, in a report, at the end."""

QUEUE_FULL: Final = -184
MSG_TIMED_OUT: Final = -192
VALUE_SERIALIZATION: Final = -161
PURGE_QUEUE: Final = -152
PURGE_INFLIGHT: Final = -151
FATAL: Final = -150


class ErrorClass(StrEnum):
    """What kind of failure it is; the class decides whether a dead letter may be replayed without a person."""

    OUTAGE = "outage"
    POISON = "poison"
    CONFIG = "config"
    INNOCENT = "innocent"
    SHUTDOWN = "shutdown"
    CLIENT_FATAL = "client_fatal"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the table says about one failure.

    Attributes:
        code: librdkafka's or the broker's error code.
        name: its name, as `KafkaError.name()` gives it.
        err_class: the kind of failure.
        maybe_persisted: True where the broker may hold the event all the same; a blind resend could duplicate it.
        meaning: one sentence.
        next_step: one sentence: what the operator does about it.
        suspect: the broker refused a whole batch because of one message. Send this one alone, once; only a refusal of
            the message alone proves the class.
        retried: librdkafka itself tries again until `message.timeout.ms`; a report with this code means it gave up.
    """

    code: int
    name: str
    err_class: ErrorClass
    maybe_persisted: bool
    meaning: str
    next_step: str
    suspect: bool = False
    retried: bool = False

    def as_class(self, err_class: ErrorClass) -> Verdict:
        """The same failure under another class, where the circumstances say more than the code."""
        return replace(self, err_class=err_class)


_READ_BACK = "When the cluster is healthy, replay with read-back: the broker may hold the event already."
_READ_BACK_TIMED_OUT = f"{_READ_BACK[:-1]}, and others of that time twice."
_TOPIC = "Create the topic, or correct the topic name in the settings, then release and replay."
_ACL = "Have the ACL granted to this principal, then release and replay."
_NEW_PRODUCER = "A new producer is built by itself; replay with read-back."
_SETTINGS = "Correct the setting, then release and replay."


def _row(
    code: int,
    name: str,
    err_class: ErrorClass,
    meaning: str,
    next_step: str,
    *,
    maybe: bool = False,
    suspect: bool = False,
    retried: bool = False,
) -> Verdict:
    return Verdict(code, name, err_class, maybe, meaning, next_step, suspect, retried)


_OUTAGE, _POISON, _CONFIG = ErrorClass.OUTAGE, ErrorClass.POISON, ErrorClass.CONFIG
_CLIENT_FATAL = ErrorClass.CLIENT_FATAL

# A code that librdkafka retries is reported only when `retries` ran out, and an earlier attempt may have been written
# before the last one was refused: hence maybe=True for all of those, whatever the last code says of itself.
_TABLE: Final[tuple[Verdict, ...]] = (
    _row(QUEUE_FULL, "_QUEUE_FULL", _OUTAGE, "The local queue is full: events come faster than the broker takes them.",
         "Find out why the broker is slow or away; replay when the queue is short again."),
    _row(MSG_TIMED_OUT, "_MSG_TIMED_OUT", _OUTAGE,
         "message.timeout.ms passed, in the queue or in flight; the client cannot tell which.", _READ_BACK_TIMED_OUT,
         maybe=True),
    _row(-185, "_TIMED_OUT", _OUTAGE, "The broker did not answer in time.", _READ_BACK, maybe=True, retried=True),
    _row(-166, "_TIMED_OUT_QUEUE", _OUTAGE, "The request waited too long for a connection.", _READ_BACK, maybe=True,
         retried=True),
    _row(-195, "_TRANSPORT", _OUTAGE, "The connection to the broker broke.", _READ_BACK, maybe=True, retried=True),
    _row(-187, "_ALL_BROKERS_DOWN", _OUTAGE, "No broker can be reached.",
         "Check the addresses, the network and the brokers."),
    _row(-193, "_RESOLVE", _OUTAGE, "The name of the broker could not be resolved.",
         "Check bootstrap.servers and the name service."),
    _row(-181, "_SSL", _CONFIG, "The TLS handshake with the broker failed.",
         "Verify the certificate and the CA against this broker."),
    _row(-169, "_AUTHENTICATION", _CONFIG, "The broker did not accept the credentials.",
         "Check the SASL mechanism, user and password, or the client certificate."),
    _row(-165, "_UNSUPPORTED_FEATURE", _CONFIG, "The broker is too old for a feature that is configured.", _SETTINGS),
    _row(-190, "_UNKNOWN_PARTITION", _CONFIG, "The topic has no such partition.", _TOPIC),
    _row(-188, "_UNKNOWN_TOPIC", _CONFIG, "The topic does not exist.", _TOPIC),
    _row(-186, "_INVALID_ARG", _CONFIG, "The client refused an argument: topic, timestamp or property.", _SETTINGS),
    _row(VALUE_SERIALIZATION, "_VALUE_SERIALIZATION", _POISON, "The input could not be encoded as an event.",
         "Correct the field that the message names and produce the event again."),
    # Local: the end of a producer.
    _row(PURGE_QUEUE, "_PURGE_QUEUE", ErrorClass.SHUTDOWN, "The producer was stopped before the event was sent.",
         "Replay."),
    _row(PURGE_INFLIGHT, "_PURGE_INFLIGHT", ErrorClass.SHUTDOWN,
         "The producer was stopped while the event was on its way.",
         "Replay with read-back: the broker may hold the event already.", maybe=True),
    _row(-197, "_DESTROY", ErrorClass.SHUTDOWN, "The client was destroyed while it held the event.",
         "Replay with read-back: the broker may hold the event already.", maybe=True),
    _row(-138, "_INVALID_DIFFERENT_RECORD", ErrorClass.INNOCENT,
         "Another record of the same batch was invalid; this one was not looked at (KIP-467).", "Replay.",
         suspect=True),
    _row(FATAL, "_FATAL", _CLIENT_FATAL, "The producer had a fatal error and sends nothing more.", _NEW_PRODUCER,
         maybe=True),
    _row(-149, "_INCONSISTENT", _CLIENT_FATAL, "The idempotent producer's state is inconsistent.", _NEW_PRODUCER,
         maybe=True),
    _row(-148, "_GAPLESS_GUARANTEE", _CLIENT_FATAL, "Going on would leave a gap in the order of a partition.",
         _NEW_PRODUCER, maybe=True),
    _row(-144, "_FENCED", _CLIENT_FATAL, "A newer producer with the same identity has taken over.",
         "Find the other producer; then replay with read-back.", maybe=True),
    # Broker: trouble that passes.
    _row(2, "INVALID_MSG", _OUTAGE, "The batch arrived damaged (checksum).", _READ_BACK, maybe=True, retried=True),
    _row(5, "LEADER_NOT_AVAILABLE", _OUTAGE, "The partition has no leader at the moment.", _READ_BACK, maybe=True,
         retried=True),
    _row(6, "NOT_LEADER_FOR_PARTITION", _OUTAGE, "The leader of the partition has moved.", _READ_BACK, maybe=True,
         retried=True),
    _row(7, "REQUEST_TIMED_OUT", _OUTAGE, "The broker wrote it, but the replicas did not confirm in time.", _READ_BACK,
         maybe=True, retried=True),
    _row(8, "BROKER_NOT_AVAILABLE", _OUTAGE, "The broker is not available.", _READ_BACK, maybe=True,
         retried=True),
    _row(9, "REPLICA_NOT_AVAILABLE", _OUTAGE, "A replica is not available.", _READ_BACK, maybe=True, retried=True),
    _row(13, "NETWORK_EXCEPTION", _OUTAGE, "The broker lost a connection before it could answer.", _READ_BACK,
         maybe=True),
    _row(19, "NOT_ENOUGH_REPLICAS", _OUTAGE, "Fewer replicas are in sync than min.insync.replicas asks.", _READ_BACK,
         maybe=True, retried=True),
    _row(20, "NOT_ENOUGH_REPLICAS_AFTER_APPEND", _OUTAGE,
         "It was written, but to fewer replicas than min.insync.replicas asks.", _READ_BACK,
         maybe=True, retried=True),
    _row(56, "KAFKA_STORAGE_ERROR", _OUTAGE, "The broker had a disk error.", _READ_BACK, maybe=True, retried=True),
    _row(74, "FENCED_LEADER_EPOCH", _OUTAGE, "The client's view of the partition leader was old.", _READ_BACK,
         maybe=True),
    _row(75, "UNKNOWN_LEADER_EPOCH", _OUTAGE, "The broker's view of the partition leader was old.", _READ_BACK,
         maybe=True),
    _row(89, "THROTTLING_QUOTA_EXCEEDED", _OUTAGE, "A quota of this client is used up.",
         "Slow down or have the quota raised, then replay."),
    # Broker: the message itself. One bad message makes the broker refuse its whole batch.
    _row(10, "MSG_SIZE_TOO_LARGE", _POISON, "Larger than the topic or the broker allows (max.message.bytes).",
         "Split the event, or have the topic's max.message.bytes raised, then release and replay.", suspect=True),
    _row(18, "RECORD_LIST_TOO_LARGE", _POISON, "The batch is larger than a segment of the topic (segment.bytes).",
         "Lower batch.size, or split the event, then release and replay.", suspect=True),
    _row(32, "INVALID_TIMESTAMP", _POISON,
         "The event's time is outside of what the topic allows (more than an hour ahead by default).",
         "Correct the clock of the source; a replay is stamped with the present time.", suspect=True),
    _row(43, "UNSUPPORTED_FOR_MESSAGE_FORMAT", _POISON, "The topic's message format is too old for this record.",
         "Raise the topic's message format, then release and replay.", suspect=True),
    _row(87, "INVALID_RECORD", _POISON, "The broker's validation refused the record (a compacted topic wants a key).",
         "Look at the record and at the topic's rules; edit, then release and replay.", suspect=True),
    # Broker: permissions and configuration.
    _row(3, "UNKNOWN_TOPIC_OR_PART", _CONFIG, "The topic or partition does not exist on the broker.", _TOPIC,
         maybe=True, retried=True),
    _row(100, "UNKNOWN_TOPIC_ID", _CONFIG, "The topic was deleted and perhaps created again.", _TOPIC),
    _row(17, "TOPIC_EXCEPTION", _CONFIG, "The topic name is not valid, or the topic is internal.", _TOPIC),
    _row(21, "INVALID_REQUIRED_ACKS", _CONFIG, "The broker does not accept this value of acks.", _SETTINGS),
    _row(29, "TOPIC_AUTHORIZATION_FAILED", _CONFIG, "This principal may not write to the topic.", _ACL),
    _row(31, "CLUSTER_AUTHORIZATION_FAILED", _CONFIG, "This principal lacks a right on the cluster.", _ACL),
    _row(53, "TRANSACTIONAL_ID_AUTHORIZATION_FAILED", _CONFIG, "This principal may not use the id.", _ACL),
    _row(58, "SASL_AUTHENTICATION_FAILED", _CONFIG, "The broker refused the SASL credentials.",
         "Check the SASL mechanism, user and password."),
    _row(35, "UNSUPPORTED_VERSION", _CONFIG, "The broker does not speak this version of the request.", _SETTINGS),
    _row(44, "POLICY_VIOLATION", _CONFIG, "A policy of the cluster forbids it.",
         "Ask the owner of the cluster which rule it is, then release and replay."),
    _row(76, "UNSUPPORTED_COMPRESSION_TYPE", _CONFIG, "The topic or broker does not take this compression.", _SETTINGS),
    # Broker: the idempotent producer lost step. Only a new producer helps.
    _row(45, "OUT_OF_ORDER_SEQUENCE_NUMBER", _CLIENT_FATAL, "The broker saw a gap in the producer's sequence.",
         _NEW_PRODUCER, maybe=True),
    _row(47, "INVALID_PRODUCER_EPOCH", _CLIENT_FATAL, "The producer's epoch is old: another one has taken over.",
         _NEW_PRODUCER, maybe=True),
    _row(49, "INVALID_PRODUCER_ID_MAPPING", _CLIENT_FATAL, "The broker no longer knows this producer id.",
         _NEW_PRODUCER, maybe=True),
    _row(59, "UNKNOWN_PRODUCER_ID", _CLIENT_FATAL, "The broker has forgotten this producer (retention).",
         _NEW_PRODUCER, maybe=True),
    _row(90, "PRODUCER_FENCED", _CLIENT_FATAL, "A newer producer with the same identity has taken over.",
         "Find the other producer; then replay with read-back.", maybe=True),
)  # fmt: skip

_BY_CODE: Final = {row.code: row for row in _TABLE}


def rows() -> tuple[Verdict, ...]:
    """The whole table, in its own order: what the documentation and the tests are made from."""
    return _TABLE


def classify(code: int, *, stage: Stage, alone: bool = False, name: str | None = None) -> Verdict:
    """What a failure with this code at this stage means.

    Args:
        code: from `KafkaError.code()`.
        stage: before `delivery` nothing has left this process, so nothing can be on the broker.
        alone: the message had a batch of its own: a refusal is its own fault and it is no suspect any more.
        name: `KafkaError.name()`, used where the table does not know the code.
    """
    row = _BY_CODE.get(code)
    if row is None:
        row = Verdict(
            code,
            name or f"code {code}",
            ErrorClass.UNKNOWN,
            maybe_persisted=True,
            meaning="The table of delivery errors does not know this code.",
            next_step="Look it up in the broker's documentation; then release with read-back, or discard.",
        )
    reached_wire = stage in ("delivery", "drain")
    maybe = row.maybe_persisted and reached_wire
    suspect = row.suspect and reached_wire and not alone
    if maybe == row.maybe_persisted and suspect == row.suspect:
        return row
    return replace(row, maybe_persisted=maybe, suspect=suspect)
