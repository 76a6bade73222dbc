"""Headers, ids, fingerprints and labels: pure functions."""

from __future__ import annotations

import uuid

import pytest
from hypothesis import given
from hypothesis import strategies as st

from atom_console.dlq.columns import Columns
from atom_console.dlq.fingerprint import fingerprint, label, normalised
from atom_console.dlq.headers import (
    HeadersError,
    decode_columns,
    decode_headers,
    encode_all,
    encode_headers,
    payload_digest,
)
from atom_console.dlq.ids import event_hash, id_bytes, id_text, key_hash, uuid7
from atom_console.dlq.record import NewRecord
from atom_console.dlq.stacks import read_stack, stored_stack
from atom_console.dlq.troubles import trouble

HEADERS = st.lists(st.tuples(st.text(max_size=20), st.none() | st.binary(max_size=40)), max_size=8).map(tuple)


@given(HEADERS)
def test_headers_survive_exactly(headers: tuple[tuple[str, bytes | None], ...]) -> None:
    assert decode_headers(encode_headers(headers)) == headers


@given(st.lists(HEADERS, max_size=4), st.lists(st.none() | st.binary(max_size=70), max_size=5))
def test_many_headers_are_encoded_as_each_alone(some, values) -> None:
    alike = [(("a", b"same"), ("b", value), ("%", None), ("c", b"x" * 80), ("d", value)) for value in values]
    for many in (some, alike, some + alike):
        assert encode_all(many) == list(map(encode_headers, many))


def decoded(blobs):
    return [tuple(zip(names, values, strict=True)) for names, values in decode_columns(blobs)]


@given(st.lists(HEADERS, max_size=4), st.lists(st.binary(min_size=2, max_size=4), max_size=8))
def test_many_headers_are_decoded_as_each_alone(some, values) -> None:
    alike = [(("a", value), ("a", value[:1] * (6 - len(value))), ("%", b"")) for value in values]
    named = [((chr(97 + value[0] % 26), value), ("", value)) for value in values]
    for many in (some, alike, named, [*some, *alike, *named, *alike]):
        assert decoded(map(encode_headers, many)) == list(many)


@given(HEADERS, st.binary(max_size=60))
def test_many_headers_with_a_damaged_one_are_a_typed_error(headers, blob: bytes) -> None:
    whole = encode_headers(headers)
    damaged = whole[: max(0, len(whole) - len(blob))] + blob[: len(whole)]
    try:
        alone = decode_headers(damaged)
    except HeadersError:
        with pytest.raises(HeadersError):
            decoded([whole, damaged])
        return
    assert decoded([whole, damaged]) == [headers, alone]


def test_headers_keep_order_duplicates_empty_and_null() -> None:
    headers = (("b", b"1"), ("a", None), ("b", b""), ("a", b"\xff\x00"), ("\udcff", b"lone surrogate"))
    assert decode_headers(encode_headers(headers)) == headers
    assert encode_headers(()) == b""


@given(HEADERS, st.data())
def test_cut_headers_are_an_error_or_a_shorter_list(headers, data) -> None:
    blob = encode_headers(headers)
    cut = blob[: data.draw(st.integers(0, len(blob)))]
    try:
        found = decode_headers(cut)
    except HeadersError:
        return
    assert found == headers[: len(found)]


@given(st.binary(max_size=60))
def test_any_bytes_as_headers_are_headers_or_a_typed_error(blob: bytes) -> None:
    try:
        found = decode_headers(blob)
    except HeadersError:
        return
    assert encode_headers(found) == blob


def test_digest_tells_where_bytes_belong() -> None:
    parts = [(b"ab", b"c"), (b"a", b"bc"), (None, b"abc"), (b"", b"abc"), (b"abc", None), (b"abc", b""), (None, None)]
    assert len({payload_digest(key, value, b"") for key, value in parts}) == len(parts)
    assert payload_digest(b"", b"", b"h") != payload_digest(b"", b"h", b"")


def test_ids_are_version_7_and_grow() -> None:
    ids = uuid7(1000) + uuid7(5)
    assert ids == sorted(ids)
    assert len(set(ids)) == 1005
    for raw in ids[:20]:
        seen = uuid.UUID(bytes=raw)
        assert (seen.version, seen.variant) == (7, uuid.RFC_4122)
        assert id_bytes(id_text(raw)) == raw


def test_hashes_of_keys_and_events_do_not_meet() -> None:
    assert key_hash(b"a") != event_hash("a")
    assert -(1 << 63) <= key_hash(b"a") < 1 << 63


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("timed out after 30001 ms", "timed out after 30217 ms"),
        ("broker 10.0.0.7:9093 gone", "broker 10.0.0.8:9092 gone"),
        ("event 0192f7c3-1111-7000-8000-000000000001 bad", "event 0192f7c3-2222-7000-8000-00000000ffff bad"),
        ("at 2026-11-24T02:14:07.123Z", "at 2026-11-25T03:00:00Z"),
        ("field 'alpha' missing", "field 'beta' missing"),
        ("cannot open /var/lib/a/b.db", "cannot open /srv/c/d.db"),
        ("object Foo@533194e3", "object Foo@1376abcd"),
        ("line 17: molecules[3].coordinate_hash too short", "line 4: molecules[22].coordinate_hash too short"),
    ],
)
def test_what_varies_groups_together(one: str, other: str) -> None:
    assert one != other
    assert normalised(one) == normalised(other)


def test_different_troubles_stay_apart() -> None:
    base = {
        "origin": "local",
        "err_class": "config",
        "code": 29,
        "topic": "a",
        "stage": "delivery",
        "frames": (),
        "message": "m",
    }
    changes = [{}, {"origin": "spring"}, {"err_class": "poison"}, {"code": 10}, {"topic": "b"}, {"stage": "produce"},
               {"message": "n"}, {"frames": ("x.y",)}, {"code": "29"}]  # fmt: skip
    assert len({fingerprint(**(base | change)) for change in changes}) == len(changes)


def test_frames_lose_line_numbers_and_generated_names() -> None:
    def of(frame: str) -> str:
        return fingerprint(
            origin="spring", err_class="poison", code="X", topic="t", stage="s", frames=(frame,), message=""
        )

    assert of("a.B.c(B.java:12)") == of("a.B.c(B.java:99)")
    assert of("a.B$$Lambda$1376/0x00007f.run") == of("a.B$$Lambda$22/0x0000aa.run")


@given(st.text(max_size=3000))
def test_no_message_breaks_grouping(message: str) -> None:
    sentence = label(origin="spring", err_name="E", code=None, topic="t" * 300, message=message)
    assert len(sentence) <= 160
    assert normalised(normalised(message)[:500]) is not None


def test_labels_are_sentences() -> None:
    said = label(origin="local", err_name="MSG_SIZE_TOO_LARGE", code=10, topic="atom.write.raw", message="Broker: …")
    assert said == "Larger than the topic or the broker allows (max.message.bytes) · atom.write.raw"
    said = label(
        origin="local", err_name="_VALUE_SERIALIZATION", code=-161, topic=None, message="line 7: tenant_id missing"
    )
    assert said == "line <n>: tenant_id missing"


STACK_HEADER = "__connect.errors.exception.stacktrace"


@pytest.mark.parametrize("stack", [None, "said", "caf\\xe9", "another"])
@pytest.mark.parametrize(
    "headers",
    [None, (), (("a", b"b"),), ((STACK_HEADER, b"said"),), ((STACK_HEADER, None),), ((STACK_HEADER, b"caf\xe9"),)],
)
def test_a_stack_is_read_as_it_was_whether_headers_hold_it_or_not(stack, headers) -> None:
    assert read_stack(stored_stack(stack, headers), headers) == stack


def test_a_stack_that_the_headers_hold_is_not_stored_twice() -> None:
    assert stored_stack("said", (("x", b"y"), (STACK_HEADER, b"said"))) is None
    assert stored_stack("said", (("x", b"said"),)) == "said"


@pytest.mark.parametrize("count", [1, 4095, 4096, 4097, 20_000])
def test_many_ids_at_once_are_as_good_as_one_by_one(count: int) -> None:
    start = uuid7()[0]
    ids = uuid7(count)
    assert [start, *ids] == sorted({start, *ids})
    assert {uuid.UUID(bytes=raw).version for raw in ids} == {7}
    assert {uuid.UUID(bytes=raw).variant for raw in ids} == {uuid.RFC_4122}
    assert len({raw[8:] for raw in ids}) == count


def test_records_survive_as_columns() -> None:
    shared = trouble(origin="local", err_class="outage", err_name="E", message="m", stage="delivery", component="c")
    records = [
        NewRecord(
            shared, 1, b"k", None, (("a", None),), True, "t", "e", 2, 3, 4, 5, "input", b"i" * 16, "ready", "why"
        ),
        NewRecord(shared, 2, None, b"v", (), journal_id=7),
    ]
    assert Columns.of(records).records() == records
