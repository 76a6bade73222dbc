"""What an operator may see: a molecule whose `security_mask` has a bit outside of the clearance is masked.

Views, search, copies, exports and the audit all go through here. A payload that cannot be decoded is masked as a whole,
because nobody can tell what is in it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from atom_console.events.errors import DecodeError
from atom_console.events.payload import decode_mapping


@dataclass(frozen=True, slots=True)
class Masked:
    """A payload as one operator may see it.

    Attributes:
        event: the event with masked molecules, or None where the payload cannot be decoded.
        molecules: how many molecules are masked.
        error: why the payload cannot be decoded, or None.
    """

    event: dict[str, Any] | None
    molecules: int
    error: DecodeError | None

    @property
    def whole(self) -> bool:
        """Whether everything may be seen, the raw bytes too."""
        return self.event is not None and self.molecules == 0


def hidden(molecule: Mapping[str, Any], clearance: int) -> bool:
    """Whether a molecule asks for a bit that the clearance lacks. An absent mask is its wire default: no bits."""
    return bool((molecule.get("security_mask") or 0) & ~clearance)


def mask(event: Mapping[str, Any], clearance: int) -> dict[str, Any]:
    """The event as its fields, with each hidden molecule replaced by `{"masked": True, "security_mask": …}`.

    Args:
        event: as from `decode_mapping`.
        clearance: the access bits that the operator has.
    """
    shown = dict(event)
    molecules = event.get("molecules")
    if molecules:
        shown["molecules"] = [
            {"masked": True, "security_mask": m["security_mask"]} if hidden(m, clearance) else m for m in molecules
        ]
    return shown


def mask_payload(value: bytes, clearance: int) -> Masked:
    """Decode and mask a payload; never raises for what is in it."""
    try:
        event = decode_mapping(value)
    except DecodeError as error:
        return Masked(None, 0, error)
    count = sum(hidden(m, clearance) for m in event["molecules"] or ())
    return Masked(mask(event, clearance), count, None)
