"""The two ways in which an event can be wrong: it cannot be written, or it cannot be read."""

from __future__ import annotations

from atom_console.errors import CheckError, InputError


class EncodeError(InputError):
    """An event that cannot be encoded; nothing of it was written.

    Attributes:
        path: the field, such as `molecules[17].coordinate_hash`; empty for the event as a whole.
        found: what was there, in words.
        allowed: what may be there, in words.
        where: the source of the event, such as `events.jsonl:12`, or None.
    """

    def __init__(self, path: str, found: str, allowed: str, *, where: str | None = None) -> None:
        place = ": ".join(part for part in (where, path or "event") if part)
        super().__init__(
            f"{place}: found {found}; allowed: {allowed}", next_step="correct it at its source and send it again"
        )
        self.path = path
        self.found = found
        self.allowed = allowed
        self.where = where

    def at(self, where: str) -> EncodeError:
        """The same error with its source named."""
        return EncodeError(self.path, self.found, self.allowed, where=where)


class DecodeError(CheckError):
    """Bytes that are not a sound FlatBuffer of the expected schema.

    Attributes:
        position: the byte at which the fault is, or None where it has no single place.
        why: the fault in words.
        path: the field that was being read, or empty.
    """

    def __init__(self, position: int | None, why: str, *, path: str = "") -> None:
        at = "" if position is None else f" at byte {position}"
        super().__init__(
            f"undecodable payload: {path + ': ' if path else ''}{why}{at}",
            next_step="look at the bytes in hex, and compare the schema that the writer used",
        )
        self.position = position
        self.why = why
        self.path = path

    def inside(self, path: str) -> DecodeError:
        """The same error, seen from the table around it: `path` is the field or item it came through."""
        joint = "" if not self.path or self.path.startswith("[") else "."
        return DecodeError(self.position, self.why, path=path + joint + self.path)
