"""Tickets: the bytes that name what a DoGet shall stream, and where a stream begins anew."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from atom_console.errors import InputError

_MAX_TICKET_BYTES = 1 << 20


def plan_ticket(plan_id: str, jwt_scope: str = "") -> bytes:
    """The ticket of the platform's Go client: UTF-8 JSON with `plan_id` and the caller's `authorization` value."""
    return _dump({"plan_id": plan_id, "jwt_scope": jwt_scope})


def file_ticket(path: Path) -> bytes:
    """A ticket kept in a file, taken byte for byte.

    Raises:
        InputError: unreadable, empty, or larger than 1 MiB.
    """
    try:
        with path.open("rb") as file:
            ticket = file.read(_MAX_TICKET_BYTES + 1)
    except OSError as error:
        raise InputError(f"cannot read the ticket file {path}: {error.strerror}", next_step="Check the path.") from None
    if not 0 < len(ticket) <= _MAX_TICKET_BYTES:
        raise InputError(f"the ticket file {path} holds {len(ticket)} bytes", next_step="Use 1 byte to 1 MiB.")
    return ticket


def from_batch(ticket: bytes, first_batch: int) -> bytes:
    """The same JSON ticket, starting `first_batch` batches later than it did."""
    parsed = read_plan_ticket(ticket)
    return _dump({**parsed, "first_batch": int(parsed.get("first_batch", 0)) + first_batch})


def read_plan_ticket(ticket: bytes) -> Mapping[str, Any]:
    """The members of a JSON ticket; a ticket that is not a JSON object is taken whole as the plan id."""
    try:
        parsed = json.loads(ticket)
    except (ValueError, RecursionError):
        parsed = None
    if isinstance(parsed, dict):
        return parsed
    return {"plan_id": ticket.decode("utf-8", errors="backslashreplace")}


def _dump(members: Mapping[str, Any]) -> bytes:
    return json.dumps(members, separators=(",", ":"), ensure_ascii=False).encode()
