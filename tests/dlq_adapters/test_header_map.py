"""A user's own header names: read as the file says, and every mistake in the file named."""

from __future__ import annotations

from pathlib import Path

import pytest

from atom_console.dlq.adapters import HeaderMapError, decode, load_context
from atom_console.dlq.record import Origin, PayloadKind
from tests.dlq_adapters.letters import make

GOOD = """
[[map]]
topics = ["orders.*"]
topic = "x-src-topic"
partition = { header = "x-src-partition", type = "int32" }
offset = { header = "x-src-offset", type = "int64" }
timestamp = { header = "x-when", type = "shortest" }
exception = "x-error"
message = "x-why"
stack = "x-stack"
attempts = "x-attempts"
strip = ["x-other-"]

[[map]]
topics = ["events-dlq"]
source = "events"
"""


def context(tmp_path: Path, text: str = GOOD) -> object:
    path = tmp_path / "map.toml"
    path.write_text(text)
    return load_context(path, ("a-dlq",))


HEADERS = (
    ("trace_id", b"t"),
    ("x-src-topic", b"orders"),
    ("x-src-partition", b"\0\0\0\3"),
    ("x-src-offset", b"\0" * 7 + b"\x2a"),
    ("x-when", bytes.fromhex("01977420dc7b")),
    ("x-error", b"com.acme.Boom"),
    ("x-why", b"no"),
    ("x-stack", b""),
    ("x-attempts", b"3"),
    ("x-other-thing", b"1"),
    ("nul", None),
)


def test_it_is_read_as_the_file_says(tmp_path: Path) -> None:
    reading = decode(make(*HEADERS), context(tmp_path))
    assert (reading.origin, reading.topic, reading.partition, reading.offset) == (Origin.CUSTOM, "orders", 3, 42)
    assert (reading.timestamp, reading.exception, reading.message) == (1_750_000_000_123, "com.acme.Boom", "no")
    assert (reading.attempts, reading.warnings) == (3, [])
    assert reading.headers == (("trace_id", b"t"), ("nul", None))


def test_it_holds_for_its_topics_and_headers_only(tmp_path: Path) -> None:
    known = context(tmp_path)
    assert decode(make(*HEADERS, topic="elsewhere"), known).origin is Origin.UNKNOWN
    assert decode(make(("trace_id", b"t")), known).origin is Origin.UNKNOWN


def test_first_last_and_derived(tmp_path: Path) -> None:
    text = '[[map]]\ntopics = ["*"]\ntopic = "t"\noffset = "o"\npartition = "p"\n'
    text += 'occurrence = "first"\npayload = "derived"\n'
    headers = (("t", b"one"), ("p", b"0"), ("o", b"1"), ("t", b"two"), ("o", b"2"))
    first = decode(make(*headers), context(tmp_path, text))
    assert (first.topic, first.offset, first.kind, first.refetch) == ("one", 1, PayloadKind.DERIVED, True)
    last = decode(make(*headers), context(tmp_path, text.replace("first", "last")))
    assert (last.topic, last.offset) == ("two", 2)


def test_a_source_for_arroyo(tmp_path: Path) -> None:
    letter = make(("original_partition", b"1"), ("original_offset", b"2"), topic="events-dlq")
    reading = decode(letter, context(tmp_path))
    assert (reading.origin, reading.topic) == (Origin.ARROYO, "events")


def test_a_bad_value_is_a_warning(tmp_path: Path) -> None:
    reading = decode(make(("x-src-topic", b"orders"), ("x-src-offset", b"42")), context(tmp_path))
    assert reading.offset is None
    assert reading.warnings == ["header x-src-offset: 2 bytes, expected 8"]


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("map = 1", "[[map]] tables"),
        ("x = 1", "[[map]] tables"),
        ("[[map]]\ntopic = 't'", "topics is missing"),
        ("[[map]]\ntopics = ['a']", "neither a header nor a source"),
        ("[[map]]\ntopics = ['a']\nofset = 'o'", "unknown key 'ofset'"),
        ("[[map]]\ntopics = ['a']\noffset = {header = 'o', type = 'int16'}", "map 1: offset"),
        ("[[map]]\ntopics = ['a']\ntopic = {header = 'o', type = 'int32'}", "map 1: topic"),
        ("[[map]]\ntopics = ['a']\ntopic = 't'\noccurrence = 'any'", "occurrence is 'any'"),
        ("[[map]]\ntopics = ['a']\ntopic = 't'\nstrip = ['']", "strip"),
        ("[[map]]\ntopics = ['a']\nsource = 1", "source"),
        ("[[map", "not TOML"),
    ],
)
def test_mistakes_are_named(tmp_path: Path, text: str, named: str) -> None:
    with pytest.raises(HeaderMapError) as caught:
        context(tmp_path, text)
    assert named in str(caught.value)
    assert "map.toml" in str(caught.value)


def test_no_file(tmp_path: Path) -> None:
    assert load_context(None, ("a-dlq",)).dlq_topics == {"a-dlq"}
    with pytest.raises(HeaderMapError, match=r"gone\.toml"):
        load_context(tmp_path / "gone.toml")
