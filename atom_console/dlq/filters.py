"""The FILTER of every command: which records, in words that the command line and the screen share."""

from __future__ import annotations

from dataclasses import dataclass, fields

from atom_console.dlq.errors import FilterError
from atom_console.dlq.ids import id_bytes
from atom_console.dlq.record import Origin, State

COHORT_COLUMNS = {
    "groups": "fingerprint",
    "classes": "err_class",
    "topics": "dest_topic",
    "tenants": "tenant_id",
    "origins": "origin",
    "dlq_topics": "dlq_topic",
}
"""Field of `Filter` → the column of `cohort` that it chooses by."""


@dataclass(frozen=True, slots=True)
class Filter:
    """Conditions that all must hold; within one field any value will do. An empty field asks nothing.

    Attributes:
        ids: record ids (text).
        groups: fingerprints, whole or at least their first eight digits.
        states, classes, topics, tenants, origins, dlq_topics: exact values; topics are destinations.
        codes: error codes as numbers or names (`-192`, `_MSG_TIMED_OUT`).
        keys: message keys, exact bytes.
        event_ids: exact.
        since, until: captured at or after, before; Unix milliseconds.
    """

    ids: tuple[str, ...] = ()
    groups: tuple[str, ...] = ()
    states: tuple[str, ...] = ()
    classes: tuple[str, ...] = ()
    codes: tuple[str, ...] = ()
    topics: tuple[str, ...] = ()
    tenants: tuple[str, ...] = ()
    keys: tuple[bytes, ...] = ()
    origins: tuple[str, ...] = ()
    dlq_topics: tuple[str, ...] = ()
    event_ids: tuple[str, ...] = ()
    since: int | None = None
    until: int | None = None

    @property
    def empty(self) -> bool:
        """Nothing is asked: every record matches."""
        return all(getattr(self, field.name) in {(), None} for field in fields(self))

    def require_something(self, *, everything: bool) -> None:
        """Refuse an empty filter for whatever changes state, unless `--all` was said.

        Raises:
            FilterError: empty, and not on purpose.
        """
        if self.empty and not everything:
            raise FilterError(
                "the filter is empty, so it would match every record",
                next_step="Narrow it (--group, --state, --topic …) or say --all.",
            )

    def check(self) -> None:
        """Refuse values that can match nothing because they do not exist.

        Raises:
            FilterError: no such state or origin, not an id, a group shorter than eight digits, an empty time range.
        """
        _known("--state", self.states, [state.value for state in State])
        _known("--origin", self.origins, [origin.value for origin in Origin])
        for text in self.ids:
            try:
                id_bytes(text)
            except ValueError as error:
                raise FilterError(f"--id {text}: not a record id", next_step="Take one from `dlq ls`.") from error
        for group in self.groups:
            if not (8 <= len(group) <= 40) or set(group) - set("0123456789abcdef"):
                raise FilterError(
                    f"--group {group}: not a fingerprint: 8 to 40 hexadecimal digits",
                    next_step="Take one from `dlq groups`.",
                )
        if self.since is not None and self.until is not None and self.since >= self.until:
            raise FilterError("--since is not before --until", next_step="Exchange them.")

    def cohort_where(self) -> tuple[str, list[object]]:
        """The SQL condition over `cohort c` (`1` where it asks nothing) and its values."""
        parts: list[str] = []
        values: list[object] = []
        for name, column in COHORT_COLUMNS.items():
            wanted = getattr(self, name)
            if not wanted:
                continue
            if name == "groups":
                parts.append("(" + " OR ".join(["c.fingerprint GLOB ?"] * len(wanted)) + ")")
                values += [f"{group}*" for group in wanted]
            else:
                parts.append(f"c.{column} IN ({_marks(wanted)})")
                values += wanted
        if self.codes:
            numbers = [int(code) for code in self.codes if code.lstrip("-").isdecimal()]
            names = [code for code in self.codes if not code.lstrip("-").isdecimal()]
            parts.append(f"(c.err_code IN ({_marks(numbers)}) OR c.err_name IN ({_marks(names)}))")
            values += [*numbers, *names]
        return " AND ".join(parts) or "1", values


def _marks(values: object) -> str:
    return ",".join("?" * len(values))  # type: ignore[arg-type]  # always a list or a tuple


def _known(option: str, wanted: tuple[str, ...], allowed: list[str]) -> None:
    for value in wanted:
        if value not in allowed:
            raise FilterError(f"{option} {value}: no such value", next_step=f"Allowed: {', '.join(allowed)}.")
