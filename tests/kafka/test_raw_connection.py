"""The protocol of our own: logging in, and asking for the log end, on the real broker and by the RFC's example."""

from __future__ import annotations

import struct
from collections.abc import Callable

import pytest
from confluent_kafka import Producer
from confluent_kafka.admin import ScramCredentialInfo, ScramMechanism, UserScramCredentialUpsertion

from atom_console.config import KafkaSettings
from atom_console.dlq.replay.log_end import log_ends
from atom_console.kafka.raw_connection import RawConnection
from atom_console.kafka.scram import plain, scram
from tests.broker.broker import KafkaBroker
from tests.broker.handle import BrokerHandle

PASSWORD = "p=a,ss wörd"
_LOGIN = "org.apache.kafka.common.security"
SASL = {
    "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,SSL:SASL_SSL,CONTROLLER:PLAINTEXT",
    "listener.name.ssl.ssl.client.auth": "none",
    "listener.name.ssl.sasl.enabled.mechanisms": "PLAIN,SCRAM-SHA-256,SCRAM-SHA-512",
    "listener.name.ssl.plain.sasl.jaas.config": f'{_LOGIN}.plain.PlainLoginModule required user_alice="wonder";',
    "listener.name.ssl.scram-sha-256.sasl.jaas.config": f"{_LOGIN}.scram.ScramLoginModule required;",
    "listener.name.ssl.scram-sha-512.sasl.jaas.config": f"{_LOGIN}.scram.ScramLoginModule required;",
    "super.users": "User:ANONYMOUS;User:alice;User:b=o,b",
}


def test_scram_is_as_rfc_7677_has_it() -> None:
    exchange = scram("user", "pencil", "sha256", nonce="rOprNGfwEbeRWgbNEkqO")
    assert next(exchange) == b"n,,n=user,r=rOprNGfwEbeRWgbNEkqO"
    nonce = "rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0"
    proof = exchange.send(f"r={nonce},s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096".encode())
    assert proof == f"c=biws,r={nonce},p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=".encode()
    with pytest.raises(StopIteration):
        exchange.send(b"v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=")


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"r=other,s=AA==,i=1",
        b"r=x,s=AA==,i=many",
        b"e=unknown-user",
        b"r=x,s=A,i=1",
        b"r=x,s=AA==,i=0",
        b"r=x,s=AA==,i=99999999999",
        b"r=x,s=\xff,i=1",
    ],
)
def test_a_server_that_answers_something_else_is_refused(answer: bytes) -> None:
    exchange = scram("user", "pencil", "sha256", nonce="x")
    next(exchange)
    with pytest.raises(ConnectionRefusedError):
        exchange.send(answer)


def test_a_server_that_does_not_know_the_password_is_refused() -> None:
    exchange = scram("user", "pencil", "sha256", nonce="x")
    next(exchange)
    exchange.send(b"r=xy,s=AA==,i=1")
    with pytest.raises(ConnectionRefusedError, match="does not know the password"):
        exchange.send(b"v=AAAA")


def test_plain_is_the_password() -> None:
    assert list(plain("alice", "wonder")) == [b"\0alice\0wonder"]


def produce(bootstrap: str, topic: str, count: int) -> None:
    producer = Producer({"bootstrap.servers": bootstrap, "acks": "all"})
    for _ in range(count):
        producer.produce(topic, b"x", partition=1)
    assert producer.flush(20) == 0


def test_the_log_end_is_told_with_a_password_too(make_broker: Callable[..., KafkaBroker]) -> None:
    handle = make_broker(properties=SASL).handle
    topic = handle.create_topic(partitions=2)
    produce(handle.bootstrap, topic, 7)
    admin = handle.admin()
    for mechanism in (ScramMechanism.SCRAM_SHA_256, ScramMechanism.SCRAM_SHA_512):
        known = UserScramCredentialUpsertion("b=o,b", ScramCredentialInfo(mechanism, 4096), PASSWORD.encode())
        admin.alter_user_scram_credentials([known])["b=o,b"].result(20)

    def ends(mechanism: str, user: str, password: str) -> dict[tuple[str, int], int]:
        given = {"sasl_mechanism": mechanism, "sasl_username": user, "sasl_password": password}
        authority = str(handle.identity("nobody").ca)
        kafka = KafkaSettings(bootstrap_servers=handle.ssl_bootstrap, ssl_ca_location=authority, **given)  # type: ignore[arg-type]
        return log_ends(kafka, handle.ssl_bootstrap, [(topic, 0), (topic, 1), ("no-such-topic", 0)])

    told = {(topic, 0): 0, (topic, 1): 7}
    assert ends("PLAIN", "alice", "wonder") == told
    assert ends("SCRAM-SHA-256", "b=o,b", PASSWORD) == told
    assert ends("SCRAM-SHA-512", "b=o,b", PASSWORD) == told
    for mechanism, user in (("PLAIN", "alice"), ("SCRAM-SHA-256", "b=o,b"), ("SCRAM-SHA-512", "nobody")):
        with pytest.raises(ConnectionRefusedError):
            ends(mechanism, user, "wrong")
    with pytest.raises(ConnectionRefusedError, match="GSSAPI"):
        ends("GSSAPI", "alice", "wonder")


def test_the_log_end_is_told_over_mutual_tls(kafka: BrokerHandle) -> None:
    topic = kafka.create_topic(partitions=2)
    produce(kafka.bootstrap, topic, 5)
    who = kafka.identity("log-end")
    kafka.grant("log-end", topic)
    settings = KafkaSettings(
        bootstrap_servers=kafka.ssl_bootstrap,
        ssl_ca_location=who.ca,
        ssl_certificate_location=who.cert,
        ssl_key_location=who.key,
    )
    assert settings.security_protocol == "ssl"
    assert log_ends(settings, kafka.ssl_bootstrap, [(topic, 1)]) == {(topic, 1): 5}
    stranger = settings.model_copy(update={"ssl_certificate_location": None, "ssl_key_location": None})
    with pytest.raises(OSError, match=r"(?i)certificate|closed|reset"):
        log_ends(stranger, kafka.ssl_bootstrap, [(topic, 1)])


def test_a_port_that_speaks_something_else_is_an_error(kafka: BrokerHandle) -> None:
    with RawConnection(KafkaSettings(bootstrap_servers=kafka.bootstrap), kafka.bootstrap) as connection:
        with pytest.raises((OSError, struct.error)):
            connection.ask(999, 0, b"")
