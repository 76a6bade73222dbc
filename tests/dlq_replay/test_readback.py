"""What a read-back notes of the messages that it reads."""

from __future__ import annotations

from typing import Any

from confluent_kafka import Message
from hypothesis import given
from hypothesis import strategies as st

from atom_console.dlq.replay.readback import Found

_NAMES = [b"%036d" % number for number in range(6)]
_HEADERS = st.one_of(
    st.none(),
    st.just([("trace_id", b"x")]),
    st.sampled_from(_NAMES).map(lambda name: [("trace_id", None), ("x-atom-dlq-id", name)]),
    # Somebody put another header behind ours.
    st.sampled_from(_NAMES).map(lambda name: [("x-atom-dlq-id", name), ("later", b"y")]),
    st.just([("x-atom-dlq-id", None)]),
)


def _message(place: tuple[int, int], headers: Any) -> Message:
    return Message(topic="t", partition=place[0], offset=place[1], headers=headers)


@given(st.lists(st.lists(_HEADERS, max_size=6), max_size=6), st.sets(st.sampled_from(_NAMES)))
def test_the_first_copy_is_noted_and_others_are_counted(batches: list[list[Any]], wanted: set[bytes]) -> None:
    found, expected, offset = Found(), {}, 0
    for batch in batches:
        messages = []
        for headers in batch:
            offset += 1
            place = (offset % 3, offset)
            messages.append(_message(place, headers))
            name = dict(headers or ()).get("x-atom-dlq-id")
            if name in wanted:
                expected.setdefault(name, []).append(("t", *place))
        found.note("t", messages, wanted)
    assert found.places == {name: places[0] for name, places in expected.items()}
    assert found.more == {name: len(places) - 1 for name, places in expected.items() if len(places) > 1}
