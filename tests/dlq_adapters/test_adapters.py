"""Golden bytes of every framework, the captured dead letters, and fuzz: what adapters say; they never raise."""

from __future__ import annotations

import struct

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from atom_console.dlq.adapters import Context, Letter, Reading, decode, strip
from atom_console.dlq.adapters.causes import err_class, innermost
from atom_console.dlq.adapters.embedded import Embedded, parse
from atom_console.dlq.adapters.records import to_records
from atom_console.dlq.adapters.strip import NAMES, PREFIXES
from atom_console.dlq.adapters.templates import Decoder
from atom_console.dlq.record import NewRecord, Origin, PayloadKind
from tests.dlq_adapters.letters import STACK, RealLetter, make, real_letters

Pairs = tuple[tuple[str, bytes | None], ...]
NOTHING = Context()
USER: Pairs = (("trace_id", b"t"), ("dup", b"1"), ("dup", b"2"), ("nul", None), ("empty", b""), ("", b"x"))
PLACE = ("orders", 3, 42)


def i32(number: int) -> bytes:
    return struct.pack(">i", number)


def i64(number: int) -> bytes:
    return struct.pack(">q", number)


def prefixed(prefix: str, *pairs: tuple[str, bytes | None]) -> Pairs:
    return tuple((prefix + name, value) for name, value in pairs)


def connect(topic: bytes = b"orders", partition: bytes = b"3", offset: bytes = b"42") -> Pairs:
    return prefixed(
        "__connect.errors.",
        ("topic", topic),
        ("partition", partition),
        ("offset", offset),
        ("connector.name", b"sink"),
        ("task.id", b"1"),
        ("stage", b"VALUE_CONVERTER"),
        ("class.name", b"org.apache.kafka.connect.json.JsonConverter"),
        ("exception.class.name", b"org.apache.kafka.connect.errors.DataException"),
        ("exception.message", None),
        ("exception.stacktrace", STACK.encode()),
    )


def streams(topic: bytes | None = b"orders", partition: bytes = b"3", offset: bytes = b"42") -> Pairs:
    return prefixed(
        "__streams.errors.",
        ("exception", b"org.apache.kafka.common.errors.RecordTooLargeException"),
        ("message", None),
        ("stacktrace", b""),
        ("topic", topic),
        ("partition", partition),
        ("offset", offset),
    )


def share(topic: bytes = b"orders") -> Pairs:
    return prefixed(
        "__dlq.errors.",
        ("topic", topic),
        ("partition", b"3"),
        ("offset", b"42"),
        ("group", b"share-1"),
        ("delivery.count", b"5"),
        ("message", b"Offset delivery count exceeded the threshold."),
    )


def spring_original(prefix: str, topic: bytes = b"orders", offset: int = 42) -> Pairs:
    return prefixed(
        f"{prefix}original-",
        ("topic", topic),
        ("partition", i32(3)),
        ("offset", i64(offset)),
        ("timestamp", i64(1_750_000_000_123)),
        ("timestamp-type", b"CreateTime"),
    )


def spring_error(prefix: str) -> Pairs:
    return prefixed(
        f"{prefix}exception-",
        ("fqcn", b"org.springframework.kafka.listener.ListenerExecutionFailedException"),
        ("cause-fqcn", b"org.springframework.kafka.listener.BatchListenerFailedException"),
        ("message", b"Listener failed; no"),
        ("stacktrace", STACK.encode()),
    )


GROUP = (("kafka_dlt-original-consumer-group", b"billing"),)
RETRY = prefixed(
    "retry_topic-",
    ("attempts", i32(3)),
    ("original-timestamp", bytes.fromhex("01977420dc7b")),
    ("backoff-timestamp", bytes.fromhex("01977420dc7b")),
)
SCS = (
    *spring_original("x-"),
    *prefixed(
        "x-exception-",
        ("fqcn", b"org.springframework.messaging.MessagingException"),
        ("message", b"m"),
        ("stacktrace", STACK.encode()),
    ),
)


def smallrye(prefix: str, topic: bytes = b"orders", offset: bytes = b"42") -> Pairs:
    return prefixed(
        prefix,
        ("exception-class-name", b"java.lang.IllegalStateException"),
        ("reason", b"no"),
        ("cause-class-name", b"java.io.IOException"),
        ("cause", b"disk"),
        ("topic", topic),
        ("partition", b"3"),
        ("offset", offset),
    )


RETRY_END = prefixed(
    "delayed-retry-",
    ("original-timestamp", b"1750000000123"),
    ("first-processing-timestamp", b"1750000000200"),
    ("count", b"2"),
)
KARAFKA = prefixed(
    "source_",
    ("topic", b"orders"),
    ("partition", b"3"),
    ("offset", b"42"),
    ("consumer_group", b"app"),
    ("attempts", b"2"),
    ("trace_id", b"uuid"),
)
KARAFKA_OLD = prefixed(
    "original_", ("topic", b"orders"), ("partition", b"3"), ("offset", b"42"), ("consumer_group", b"a")
)
ARROYO = (("original_partition", b"3"), ("original_offset", b"42"))
KNOWN = Context(sources={"orders.dlq": "orders"})

SPRING = spring_error("kafka_dlt-")
STREAMS = streams()
HOPS = (*smallrye("delayed-retry-", b"orders_retry_1000", b"7"), *smallrye("delayed-retry-"))
GOLDEN = [
    ("connect", Origin.CONNECT, (*USER, *connect())),
    ("streams", Origin.STREAMS, (*USER, *STREAMS)),
    ("streams in another order", Origin.STREAMS, (*USER, STREAMS[0], STREAMS[2], STREAMS[1], *STREAMS[3:])),
    ("spring", Origin.SPRING, (*USER, *SPRING, *spring_original("kafka_dlt-"), *GROUP)),
    ("spring, original first", Origin.SPRING, (*USER, *spring_original("kafka_dlt-"), *SPRING)),
    (
        "spring retryable",
        Origin.SPRING,
        (*USER, *spring_original("kafka_"), *GROUP, *RETRY, *RETRY, *spring_error("kafka_")),
    ),
    ("spring cloud stream", Origin.SCS, (*USER, *SCS)),
    ("smallrye", Origin.SMALLRYE, (*smallrye("dead-letter-"), *USER)),
    ("smallrye retry", Origin.SMALLRYE, (*HOPS, *USER, *RETRY_END)),
    ("karafka", Origin.KARAFKA, (*USER, *KARAFKA)),
    ("karafka before 2.5", Origin.KARAFKA, (*USER, *KARAFKA_OLD)),
    ("arroyo", Origin.ARROYO, (*USER, *ARROYO)),
]


@pytest.mark.parametrize(("origin", "headers"), [row[1:] for row in GOLDEN], ids=[row[0] for row in GOLDEN])
def test_golden(origin: Origin, headers: Pairs) -> None:
    reading = decode(make(*headers), KNOWN)
    assert (reading.origin, reading.topic, reading.partition, reading.offset) == (origin, *PLACE)
    assert (reading.headers, reading.warnings, reading.kind) == (USER, [], PayloadKind.FULL)
    kept, archived = strip(headers)
    assert kept == USER
    assert sorted(kept + archived, key=repr) == sorted(headers, key=repr)


def read(*headers: tuple[str, bytes | None], context: Context = KNOWN, **fields: object) -> Reading:
    return decode(make(*headers, **fields), context)


def test_what_each_framework_tells_of_the_error() -> None:
    told = read(*connect())
    assert (told.stage, told.component, told.message) == ("VALUE_CONVERTER", "sink/1", "")
    assert told.exception == "org.apache.kafka.connect.errors.DataException"
    assert told.timestamp == 1_750_000_000_123
    told = read(*spring_error("kafka_dlt-"), *spring_original("kafka_dlt-"), *GROUP)
    assert (told.component, told.timestamp, told.ts_type) == ("billing", 1_750_000_000_123, "CreateTime")
    told = read(*spring_original("kafka_"), *GROUP, *RETRY, *spring_error("kafka_"))
    assert (told.component, told.attempts, told.message) == ("billing", 3, "Listener failed; no")
    told = read(*smallrye("dead-letter-"))
    assert (told.exception, told.message, told.cause) == (
        "java.lang.IllegalStateException", "no; disk", "java.io.IOException",
    )  # fmt: skip
    told = read(*smallrye("delayed-retry-"), *RETRY_END)
    assert (told.timestamp, told.attempts) == (1_750_000_000_123, 2)
    told = read(*KARAFKA)
    assert (told.component, told.attempts) == ("app", 2)


# Forged and repeated blocks.


@pytest.mark.parametrize("real", real_letters(), ids=lambda real: real.name)
def test_captured(real: RealLetter) -> None:
    reading = decode(real.letter, NOTHING)
    assert (reading.topic, reading.partition, reading.offset) == real.origin
    assert reading.timestamp == real.original["timestamp"]
    assert (reading.key, reading.value, reading.warnings) == (real.letter.key, real.letter.value, [])
    assert reading.exception == real.expect.get("exception_class", reading.exception)
    assert reading.stage == real.expect.get("stage", reading.stage)
    assert reading.kind is (PayloadKind.TOMBSTONE if real.letter.value is None else PayloadKind.FULL)
    assert "lab.Spring" not in (reading.cause or "") or reading.frames
    if "#2" not in real.case:
        spared = decode(real.letter, NOTHING, spare=True)
        assert spared.headers == real.original_headers
    assert [pair for pair in reading.headers if pair[0] == "x-lab-hop"] == (
        [("x-lab-hop", b"2")] if "#2" in real.case else []
    )


@pytest.mark.parametrize(
    "forged",
    [
        (("__connect.errors.topic", b"evil"), ("__connect.errors.offset", b"999")),
        (("__connect.errors.stage", b"evil"),),
        (("__connect.errors.exception.stacktrace", b"evil"),),
        (("__connect.errors.topic", None),),
    ],
)
def test_a_forged_block_in_front_changes_nothing(forged: Pairs) -> None:
    reading, clean = read(*USER, *forged, *connect()), read(*USER, *connect())
    assert (reading.topic, reading.partition, reading.offset, reading.stage) == (*PLACE, "VALUE_CONVERTER")
    assert (reading.stack, reading.headers) == (clean.stack, USER)
    assert decode(make(*USER, *forged, *connect()), KNOWN, spare=True).headers == (*USER, *forged)


def test_a_whole_forged_block_is_a_warning() -> None:
    reading = read(*connect(b"evil", b"0", b"1"), ("x", b""), *connect())
    assert (reading.topic, reading.offset) == ("orders", 42)
    assert reading.warnings == ["earlier headers name other sources too: evil"]


def test_a_forged_topic_of_a_retry_topic_is_no_origin() -> None:
    """Spring does not add the real topic where one is there already; a mixture must not become a place."""
    forged = (("kafka_original-topic", b"evil"), ("kafka_original-offset", i64(999)))
    rest = (("kafka_original-partition", i32(3)), ("kafka_original-timestamp", i64(1)))
    reading = read(*forged, *rest, *GROUP, *spring_error("kafka_"))
    assert reading.origin is Origin.SPRING
    assert (reading.topic, reading.offset) == (None, None)
    assert reading.warnings


def test_hops_are_not_the_origin() -> None:
    hops = (
        *spring_original("kafka_dlt-"),
        *GROUP,
        *spring_error("kafka_dlt-"),
        *spring_original("kafka_dlt-", b"orders-dlt", 9),
    )
    assert (read(*hops).topic, read(*hops).offset) == ("orders", 42)
    other = (*spring_original("kafka_dlt-"), ("x", b""), *spring_original("kafka_dlt-", b"graveyard", 9))
    assert read(*other).topic == "graveyard"
    assert read(*other, context=Context(frozenset({"graveyard"}))).topic == "orders"


def test_a_replay_with_its_headers_on_is_the_newer_place() -> None:
    again = (*spring_original("kafka_dlt-", offset=1), *GROUP, ("hop", b"2"), *spring_error("kafka_dlt-"),
             *spring_original("kafka_dlt-", offset=6), *GROUP)  # fmt: skip
    assert read(*again).offset == 6
    assert read(*smallrye("dead-letter-", offset=b"6"), *smallrye("dead-letter-", offset=b"1"), *USER).offset == 6
    stale = read(*spring_original("kafka_"), ("hop", b"2"), *GROUP, *spring_error("kafka_"))
    assert any("stale" in warning for warning in stale.warnings)


def test_headers_of_two_frameworks_are_a_warning() -> None:
    reading = read(*connect(b"evil"), *spring_error("kafka_dlt-"), *spring_original("kafka_dlt-"))
    assert (reading.origin, reading.topic) == (Origin.SPRING, "orders")
    assert reading.warnings == ["headers of other frameworks are there too: connect"]


# Payloads.


def test_a_key_failure_of_spring() -> None:
    error = prefixed(
        "kafka_dlt-",
        ("key-exception-fqcn", b"org.springframework.kafka.support.serializer.DeserializationException"),
        ("exception-cause-fqcn", b"org.apache.kafka.common.errors.SerializationException"),
        ("key-exception-message", b"bad key"),
        ("key-exception-stacktrace", STACK.encode()),
    )
    reading = read(*error, *spring_original("kafka_dlt-"))
    assert (reading.stage, reading.message) == ("key deserializer", "bad key")
    assert reading.exception.endswith(".DeserializationException")
    assert (reading.topic, reading.warnings) == ("orders", [])


def test_spring_says_derived_where_bytes_are_lost() -> None:
    dead = (*spring_error("kafka_dlt-"), *spring_original("kafka_dlt-"))
    typed = read(("__TypeId__", b"com.acme.Order"), *dead, value=b'{"a":1}')
    assert (typed.kind, typed.refetch, typed.headers) == (
        PayloadKind.DERIVED, True, (("__TypeId__", b"com.acme.Order"),),
    )  # fmt: skip
    bad = read(("__TypeId__", b"[B"), *dead, value=b'"eyJhIjogMSA="')
    assert (bad.kind, bad.value, bad.headers) == (PayloadKind.DERIVED, b'{"a": 1 ', ())
    assert read(("__TypeId__", b"[B"), *dead, value=b'"not base64').value == b'"not base64'
    key = read(*dead, key="k\ufffd".encode())
    assert (key.kind, key.refetch) == (PayloadKind.DERIVED, True)
    plain = read(*dead)
    assert (plain.kind, plain.refetch) == (PayloadKind.FULL, False)


def test_null_and_null_is_not_always_a_tombstone() -> None:
    pointer = read(*share(), key=None, value=None)
    assert (pointer.kind, pointer.refetch, pointer.attempts, pointer.component) == (
        PayloadKind.POINTER,
        True,
        5,
        "share-1",
    )
    copy = read(*share())
    assert (copy.kind, copy.refetch) == (PayloadKind.DERIVED, True)
    large = read(*streams(), key=None, value=None)
    assert (large.kind, large.refetch, large.topic) == (PayloadKind.POINTER, True, "orders")
    punctuator = read(*streams(None, b"-1", b"-1"), key=None, value=None)
    assert (punctuator.kind, punctuator.topic, punctuator.refetch) == (PayloadKind.ABSENT, None, False)
    tombstone = read(*connect(), value=None)
    assert (tombstone.kind, tombstone.refetch) == (PayloadKind.TOMBSTONE, False)


def test_a_share_group_may_know_only_the_id_of_the_topic() -> None:
    import base64
    import uuid

    name = base64.urlsafe_b64encode(uuid.UUID("7f6cfa21-1d3b-4c52-9d0c-0d7a2a1f5b11").bytes).rstrip(b"=")
    reading = read(*share(name), key=None, value=None)
    assert (reading.topic, reading.refetch) == (None, False)
    assert name.decode() in reading.warnings[0]


@pytest.mark.parametrize("suffix", ["-repartition", "-changelog"])
def test_nothing_goes_to_an_internal_topic_of_streams(suffix: str) -> None:
    reading = read(*streams(f"app-KSTREAM-0001{suffix}".encode()))
    assert (reading.topic, reading.kind) == (None, PayloadKind.DERIVED)
    assert suffix in reading.warnings[0]


def test_an_older_streams_writes_the_exception_with_its_text() -> None:
    reading = read(("__streams.errors.exception", b"java.lang.IllegalStateException: no"), *streams()[1:])
    assert (reading.exception, reading.message) == ("java.lang.IllegalStateException", "no")


def test_arroyo_needs_configuration() -> None:
    reading = read(*ARROYO, context=NOTHING)
    assert (reading.topic, reading.partition, reading.offset) == (None, 3, 42)
    assert "dlq.header_map" in reading.warnings[0]
    empty = read(*ARROYO, value=b"")
    assert (empty.kind, empty.refetch) == (PayloadKind.DERIVED, True)


def embed(*headers: tuple[str, bytes], payload: bytes = b"payload") -> bytes:
    return Embedded(headers, payload).encode()


ORIGINAL = (
    ("x-original-topic", b'"orders"'), ("x-original-partition", b"3"), ("x-original-offset", b"42"),
    ("x-original-timestamp", b"1750000000123"), ("x-original-timestamp-type", b'"CreateTime"'),
    ("x-exception-message", b'"no"'),
)  # fmt: skip


def test_embedded_headers() -> None:
    golden = b'\xff\x01\x10x-original-topic\x00\x00\x00\x08"orders"rest'
    assert parse(golden) == Embedded((("x-original-topic", b'"orders"'),), b"rest")
    reading = read(*USER, value=embed(*ORIGINAL))
    assert (reading.origin, reading.topic, reading.partition, reading.offset) == (Origin.SCS, *PLACE)
    assert (reading.value, reading.kind, reading.headers) == (b"payload", PayloadKind.EMBEDDED, USER)
    assert (reading.timestamp, reading.message) == (1_750_000_000_123, "no")
    other = read(value=embed(("contentType", b'"text/plain"'), *ORIGINAL, ("contentType", b'"text/plain"')))
    assert other.value == embed(("contentType", b'"text/plain"'))
    assert (other.kind, other.refetch) == (PayloadKind.DERIVED, True)


@pytest.mark.parametrize("cut", range(len(embed(*ORIGINAL, payload=b""))))
def test_embedded_headers_cut_anywhere(cut: int) -> None:
    reading = read(value=embed(*ORIGINAL, payload=b"")[:cut])
    assert reading.origin is Origin.UNKNOWN


# Values that are not what they should be: a warning, the record stays.


def with_value(name: str, value: bytes) -> Pairs:
    return tuple((found, value if found == name else old) for found, old in spring_original("kafka_dlt-"))


@pytest.mark.parametrize(
    ("headers", "wrong"),
    [
        (connect(partition=b""), "__connect.errors.partition"),
        (connect(partition=b" 3"), "__connect.errors.partition"),
        (connect(partition=b"2147483648"), "__connect.errors.partition"),
        (connect(partition="٣".encode()), "__connect.errors.partition"),
        (connect(offset=b"9223372036854775808"), "__connect.errors.offset"),
        (connect(offset=b"9" * 5000), "__connect.errors.offset"),
        (connect(topic=b"a/b"), "__connect.errors.topic"),
        (connect(topic=b"\xff"), "__connect.errors.topic"),
        (with_value("kafka_dlt-original-partition", b"3"), "kafka_dlt-original-partition"),
        (with_value("kafka_dlt-original-offset", b"999"), "kafka_dlt-original-offset"),
        ((*spring_original("kafka_"), ("retry_topic-original-timestamp", b"\x00" * 9), *spring_error("kafka_")),
         "retry_topic-original-timestamp"),
    ],
)  # fmt: skip
def test_a_bad_value_is_a_warning(headers: Pairs, wrong: str) -> None:
    reading = read(*USER, *headers)
    assert any(warning.startswith(f"header {wrong}: ") for warning in reading.warnings)
    assert (reading.value, reading.headers) == (b"v", USER)


def test_no_headers_at_all() -> None:
    assert read(context=NOTHING).warnings == [
        "no headers of a known framework: where the record came from is not known"
    ]
    assert read().topic == "orders"


# Grouping.


def test_the_innermost_cause() -> None:
    found = innermost(STACK)
    assert found.name == "lab.Job"
    assert found.frames == (
        "org.acme.Inner$1.run(Inner.java:30)",
        "org.acme.Inner.call(Inner.java:40)",
        "org.acme.Inner.main(Inner.java:50)",
    )
    alone = innermost("java.lang.IllegalStateException: no\n\tat a.B.c(B.java:1)")
    assert (alone.name, alone.frames) == ("java.lang.IllegalStateException", ("a.B.c(B.java:1)",))
    assert innermost("").name is None
    assert innermost("no stack at all").name is None


def test_what_the_virtual_machine_makes_up_does_not_split_groups() -> None:
    other = STACK.replace("1376/0x00007fbf255e8b30", "99/0x0000000000000001").replace("@533194e3", "@1a2b3c4d")
    letters = [
        make(*connect()[:-1], ("__connect.errors.exception.stacktrace", text.encode())) for text in (STACK, other)
    ]
    records = to_records(letters, [decode(letter, NOTHING) for letter in letters], cluster_id="c", now_ms=1)
    assert records[0].trouble.fingerprint == records[1].trouble.fingerprint


def test_different_causes_behind_one_message_are_different_groups() -> None:
    real = [one for one in real_letters() if one.case in {"truncated", "no-headers"}]
    records = to_records([r.letter for r in real], [decode(r.letter, NOTHING) for r in real], cluster_id="c", now_ms=1)
    assert records[0].trouble.message == records[1].trouble.message
    assert records[0].trouble.fingerprint != records[1].trouble.fingerprint


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("com.fasterxml.jackson.core.JsonParseException", "poison"),
        ("java.net.ConnectException", "outage"),
        ("org.apache.kafka.common.errors.TimeoutException", "outage"),
        ("org.apache.kafka.connect.errors.ConnectException", "unknown"),
        ("org.apache.kafka.common.errors.TopicAuthorizationException", "config"),
        ("java.lang.NullPointerException", "unknown"),
    ],
)
def test_the_class_of_the_trouble(name: str, kind: str) -> None:
    assert err_class(name) == kind


# Fuzz.

NAMES_OF_ALL = sorted({name for row in GOLDEN for name, _ in row[2]} | {*NAMES, *PREFIXES, "x-atom-dead-version"})
a_header = st.tuples(st.sampled_from(NAMES_OF_ALL) | st.text(max_size=6), st.none() | st.binary(max_size=12))


@st.composite
def any_headers(draw: st.DrawFn) -> Pairs:
    """Blocks of real frameworks, cut, repeated and mixed with noise."""
    parts: list[tuple[str, bytes | None]] = []
    for _ in range(draw(st.integers(0, 3))):
        if draw(st.booleans()):
            block = draw(st.sampled_from([row[2] for row in GOLDEN]))
            start = draw(st.integers(0, len(block)))
            parts += block[start : draw(st.integers(start, len(block)))]
        parts += draw(st.lists(a_header, max_size=4))
    return tuple(parts)


@given(
    headers=any_headers(),
    key=st.none() | st.binary(max_size=8),
    value=st.none() | st.binary(max_size=64),
    spare=st.booleans(),
)
@settings(max_examples=600, deadline=None)
@example(headers=(), key=None, value=b"\xff\xff", spare=True)
@example(headers=(), key=None, value=b"\xff\x01\xff", spare=False)
def test_never_raises_and_keeps_the_bytes(headers: Pairs, key: bytes | None, value: bytes | None, spare: bool) -> None:
    letter = Letter("orders.dlq", 0, 1, None, key, value, headers)
    reading = decode(letter, KNOWN, spare=spare)
    (record,) = to_records([letter], [reading], cluster_id="c", now_ms=1)
    assert record.provenance is not None
    assert record.provenance.headers == headers
    assert reading.key == key
    if reading.kind in {PayloadKind.FULL, PayloadKind.TOMBSTONE}:
        assert record.value == value
    assert all(pair in left for left in [iter(headers)] for pair in record.headers), "an ordered part of what was there"
    assert record.state in {"ready", "quarantined"}


@given(value=st.binary(max_size=200))
@settings(max_examples=300, deadline=None)
def test_embedded_round_trip(value: bytes) -> None:
    found = parse(b"\xff" + value)
    if found is not None:
        assert found.encode() == b"\xff" + value


@given(headers=any_headers())
@settings(max_examples=300, deadline=None)
def test_strip_loses_nothing(headers: Pairs) -> None:
    kept, archived = strip(headers)
    assert sorted(map(repr, kept + archived)) == sorted(map(repr, headers))
    assert strip(kept)[0] == kept
    left, gone = list(kept), list(archived)
    for pair in headers:
        (left if left and left[0] == pair else gone).pop(0)
    assert (left, gone) == ([], [])


# The quick way gives what the careful way gives.


def in_full(letter: Letter, context: Context) -> NewRecord:
    return to_records([letter], [decode(letter, context)], cluster_id="c", now_ms=1)[0]


def alike(record: NewRecord) -> tuple[object, ...]:
    p = record.provenance
    return (record.trouble.fingerprint, record.trouble.label, record.trouble.dest_topic, record.trouble.message,
            record.key, record.value, record.headers, record.state, record.state_reason, record.payload_kind,
            record.orig_partition, record.orig_timestamp, record.captured_at, p)  # fmt: skip


@given(
    letters=st.lists(
        st.tuples(
            any_headers() | st.sampled_from([row[2] for row in GOLDEN]),
            st.none() | st.sampled_from([b"", b"k", "\ufffd".encode()]),
            st.none() | st.sampled_from([b"", b"v", "\ufffd".encode(), b'"e30="']),
            st.sampled_from([None, 1, 1_750_000_000_123]),
        ),
        max_size=6,
    ),
    number=st.none() | st.sampled_from([b"", b"7", b"-1", b"007", b"x", i32(5), i64(6), b"9" * 18, b"9" * 19]),
)
@settings(max_examples=500, deadline=None)
def test_templates_change_nothing(
    letters: list[tuple[Pairs, bytes | None, bytes | None, int | None]], number: bytes | None
) -> None:
    decoder = Decoder(KNOWN, cluster_id="c")
    for headers, key, value, timestamp in [*letters, *letters]:
        other = tuple(
            (name, number if name.endswith(("offset", "partition", "timestamp")) else old) for name, old in headers
        )
        for pairs in (headers, other, headers):
            letter = Letter("orders.dlq", 0, 1, timestamp, key, value, pairs)
            (quick,) = decoder.records([letter], now_ms=1, improve=lambda _pairs: None, loops=lambda _letters: {})
            assert alike(quick) == alike(in_full(letter, KNOWN))


def test_the_captured_ones_by_templates() -> None:
    letters = [real.letter for real in real_letters() for _ in range(3)]
    decoder = Decoder(NOTHING, cluster_id="c")
    for letter in letters:
        (quick,) = decoder.records([letter], now_ms=1, improve=lambda _pairs: None, loops=lambda _letters: {})
        assert alike(quick) == alike(in_full(letter, NOTHING))


def test_a_batch_is_what_its_letters_are_alone() -> None:
    letters = [
        real.letter._replace(offset=number) for number, real in enumerate([*real_letters(), *real_letters()[::-1]] * 20)
    ]
    found = Decoder(NOTHING, cluster_id="c").records(
        letters, now_ms=1, improve=lambda _pairs: None, loops=lambda _letters: {}
    )
    assert list(map(alike, found)) == [alike(in_full(letter, NOTHING)) for letter in letters]
