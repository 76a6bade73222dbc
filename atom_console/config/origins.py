"""Where a value came from, and what is wrong with it when it cannot be used."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from atom_console.errors import InputError

OriginKind = Literal["flag", "env", "file", "profile", "preset", "derived", "default"]


@dataclass(frozen=True, slots=True)
class Origin:
    """The source of one value.

    Attributes:
        kind: which layer it came from.
        detail: the flag, the variable, `path:line`, the profile or preset; empty for a default.
    """

    kind: OriginKind
    detail: str = ""

    def __str__(self) -> str:
        return f"{self.kind} {self.detail}".rstrip()


DEFAULT = Origin("default")


@dataclass(frozen=True, slots=True)
class Sourced:
    """A raw value as it was written, and where."""

    value: Any
    origin: Origin


@dataclass(frozen=True, slots=True)
class Fault:
    """One unusable value or unknown key.

    Attributes:
        origin: where it was written.
        key: the dotted key, or the text that is none.
        problem: what is wrong and what is allowed; never holds a secret.
    """

    origin: Origin
    key: str
    problem: str

    def __str__(self) -> str:
        if self.origin.kind == "file":
            return (
                f"{self.origin.detail}: {self.key}: {self.problem}"
                if self.key
                else f"{self.origin.detail}: {self.problem}"
            )
        if self.origin.kind in {"flag", "env"}:
            named = self.key and self.key not in self.origin.detail
            return (
                f"{self.origin.detail}: {self.key}: {self.problem}"
                if named
                else f"{self.origin.detail}: {self.problem}"
            )
        return f"{self.key} ({self.origin}): {self.problem}"


class ConfigError(InputError):
    """The configuration cannot be used; every fault is in `faults`, in the order of precedence."""

    def __init__(self, faults: Sequence[Fault], *, next_step: str | None = None) -> None:
        self.faults = tuple(faults)
        super().__init__(
            "\n".join(str(fault) for fault in self.faults),
            next_step=next_step or "put it right; `atom-console config check` finds what is wrong in every profile",
        )
