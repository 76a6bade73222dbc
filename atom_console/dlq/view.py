"""A dead letter as one operator may see it: the one way from a record to a screen, a command's output or an export."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from atom_console.dlq.fingerprint import normalised
from atom_console.dlq.headers import Headers
from atom_console.dlq.record import RecordDetail
from atom_console.events import DecodeError, decode
from atom_console.events.jsonl import to_json
from atom_console.events.masking import hidden

_EVERY_BIT = 0xFFFF_FFFF_FFFF_FFFF


@dataclass(frozen=True, slots=True)
class View:
    """What may be shown of a record.

    Attributes:
        whole: nothing is masked: value, message, stack and DLQ headers are as they are.
        event: the event in its JSON form, hidden molecules as `{"masked": true, "security_mask": …}`; None where the
            payload is no event or is masked as a whole.
        masked_molecules: how many molecules are hidden.
        value: the payload's bytes, or None where they are hidden (or null: see the record).
        message: what failed. Where the record is masked, without the numbers and quoted texts in it, as messages of
            other systems quote the payload.
        stack: the stack trace, or None where there is none or it is hidden.
        dlq_headers: the headers of the dead letter; empty where they are hidden.
        undecodable: why the payload is no event, or None.
    """

    whole: bool
    event: dict[str, Any] | None
    masked_molecules: int
    value: bytes | None
    message: str
    stack: str | None
    dlq_headers: Headers
    undecodable: str | None


def view(record: RecordDetail, clearance: int, *, reveal: bool = False) -> View:
    """What an operator with this clearance may see; everything with `reveal`, which the caller puts into the audit.

    A payload that is no event is masked as a whole, as nobody can tell what is in it, unless the clearance has every bit.
    """
    reveal = reveal or clearance & _EVERY_BIT == _EVERY_BIT
    value = record.current.value
    event, masked, undecodable = _event(value, clearance, reveal)
    whole = reveal or value is None or (undecodable is None and not masked)
    return View(
        whole=whole,
        event=event,
        masked_molecules=masked,
        value=value if whole else None,
        message=record.err_message if whole else normalised(record.err_message),
        stack=record.err_stack if whole else None,
        dlq_headers=record.dlq_headers if whole else (),
        undecodable=undecodable,
    )


def _event(value: bytes | None, clearance: int, reveal: bool) -> tuple[dict[str, Any] | None, int, str | None]:
    if value is None:
        return None, 0, None
    try:
        document = to_json(decode(value))
    except DecodeError as error:
        return None, 0, error.what
    molecules: list[Mapping[str, Any]] = document.get("molecules") or []
    if reveal or not molecules:
        return document, 0, None
    shown = [{"masked": True, "security_mask": m["security_mask"]} if hidden(m, clearance) else m for m in molecules]
    count = sum("masked" in molecule for molecule in shown)
    return document | {"molecules": shown}, count, None
