from __future__ import annotations

import json

import pytest

from atom_console.events import AtomEvent, Molecule, decode_mapping, encode
from atom_console.events.masking import mask, mask_payload

_EVENT = AtomEvent(
    event_id="id",
    timestamp=1,
    type=1,
    molecules=[
        Molecule(numeric_value=1.5, security_mask=0),
        Molecule(numeric_value=2.5, text_commentary="secret", coordinate_hash=b"h" * 16, security_mask=0b110),
        Molecule(numeric_value=3.5),
        Molecule(numeric_value=4.5, error_value="secret", security_mask=1 << 63),
    ],
)


@pytest.mark.parametrize(
    ("clearance", "masked"),
    [(0, [1, 3]), (0b110, [3]), (0b010, [1, 3]), (1 << 63, [1]), (2**64 - 1, []), (-1, [])],
)
def test_a_bit_outside_of_the_clearance_masks_the_molecule(clearance: int, masked: list[int]) -> None:
    seen = mask_payload(encode(_EVENT), clearance)
    assert seen.event is not None
    found = [index for index, molecule in enumerate(seen.event["molecules"]) if molecule.get("masked")]
    assert found == masked
    assert (seen.molecules, seen.whole) == (len(masked), not masked)


def test_nothing_of_a_masked_molecule_is_left_but_its_mask() -> None:
    mapping = decode_mapping(encode(_EVENT))
    seen = mask(mapping, 0)
    assert seen["molecules"][1] == {"masked": True, "security_mask": 0b110}
    assert "secret" not in json.dumps(seen, default=repr)
    assert seen["event_id"] == "id"
    assert mapping["molecules"][1]["text_commentary"] == "secret", "the original is as it was"


@pytest.mark.parametrize("value", [b"", b"not a payload at all", encode(_EVENT)[:60]])
def test_what_cannot_be_decoded_is_masked_whole(value: bytes) -> None:
    seen = mask_payload(value, 2**64 - 1)
    assert seen.event is None
    assert seen.error is not None
    assert not seen.whole


def test_events_without_molecules() -> None:
    for molecules in (None, []):
        seen = mask_payload(encode(AtomEvent(timestamp=1, type=0, molecules=molecules)), 0)
        assert seen.whole
        assert seen.event is not None
        assert seen.event["molecules"] == molecules
