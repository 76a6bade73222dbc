"""A dead letter as one operator may see it: the one way from a record to a screen, a command's output or an export."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from atom_console.dlq.fingerprint import normalised
from atom_console.dlq.headers import Headers
from atom_console.dlq.record import Origin, RecordDetail
from atom_console.events import DecodeError, decode
from atom_console.events.jsonl import to_json
from atom_console.events.masking import hidden

EVERY_BIT = 0xFFFF_FFFF_FFFF_FFFF
"""The clearance that sees everything."""


@dataclass(frozen=True, slots=True)
class ShownEvent:
    """What may be shown of one payload.

    Attributes:
        whole: nothing is masked, the raw bytes may be shown too.
        event: the event in its JSON form, hidden molecules as `{"masked": true, "security_mask": …}`; None where the
            payload is no event.
        masked_molecules: how many molecules are hidden.
        undecodable: why the payload is no event, or None.
    """

    whole: bool
    event: dict[str, Any] | None
    masked_molecules: int
    undecodable: str | None


def shown_event(value: bytes | None, clearance: int) -> ShownEvent:
    """A payload as an operator with this clearance may see it.

    A payload that is no event is masked as a whole, as nobody can tell what is in it; the full clearance sees it.
    """
    everything = clearance & EVERY_BIT == EVERY_BIT
    if value is None:
        return ShownEvent(True, None, 0, None)
    try:
        document = to_json(decode(value))
    except DecodeError as error:
        return ShownEvent(everything, None, 0, error.what)
    molecules: list[Mapping[str, Any]] = document.get("molecules") or []
    if everything or not molecules:
        return ShownEvent(True, document, 0, None)
    shown = [{"masked": True, "security_mask": m["security_mask"]} if hidden(m, clearance) else m for m in molecules]
    count = sum("masked" in molecule for molecule in shown)
    return ShownEvent(not count, document | {"molecules": shown}, count, None)


@dataclass(frozen=True, slots=True)
class View:
    """What may be shown of a record.

    Attributes:
        shown: its payload.
        value: the payload's bytes, or None where they are hidden (or null: see the record).
        message: what failed. Where the record is masked, without the numbers and quoted texts in it; hidden where
            another system wrote it.
        stack: the stack trace, or None where there is none or it is hidden.
        dlq_headers: the headers of the dead letter; empty where they are hidden.
    """

    shown: ShownEvent
    value: bytes | None
    message: str
    stack: str | None
    dlq_headers: Headers


def view(record: RecordDetail, clearance: int, *, reveal: bool = False) -> View:
    """A record as an operator with this clearance may see it; all of it with `reveal`, which the caller audits."""
    value = record.current.value
    shown = shown_event(value, EVERY_BIT if reveal else clearance)
    whole = shown.whole
    return View(
        shown=shown,
        value=value if whole else None,
        message=record.err_message if whole else _masked_message(record),
        stack=record.err_stack if whole else None,
        dlq_headers=record.dlq_headers if whole else (),
    )


def _masked_message(record: RecordDetail) -> str:
    """Our own messages and the broker's name codes and fields; those of other systems may quote the payload."""
    if record.row.origin == Origin.LOCAL:
        return normalised(record.err_message)
    return "(hidden: a message of another system may quote the payload)"
