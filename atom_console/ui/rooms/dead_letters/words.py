"""States as an operator's words, and what stands where a list would."""

from __future__ import annotations

from typing import TYPE_CHECKING

from atom_console.engine.snapshot import DeadLetterSection
from atom_console.ui.drawing import Line, Role, Span, duration, foreign, line, size

if TYPE_CHECKING:
    from atom_console.dlq.record import Group

ROLES: dict[str, Role] = {
    "captured": "info",
    "ready": "ok",
    "needs a look": "warn",
    "blocked": "error",
    "sending": "info",
    "sent": "ok",
    "failed": "error",
    "unknown": "warn",
    "discarded": "dim",
}
_CLOSED = frozenset({"replayed", "discarded"})
_WORDS = {
    "captured": "captured",
    "ready": "ready",
    "replaying": "sending",
    "replayed": "sent",
    "failed": "failed",
    "unknown": "unknown",
    "discarded": "discarded",
}


def state_word(state: str, err_class: str) -> str:
    """A stored state as one of the screen's words: what is held back for a wrong setting is `blocked`."""
    if state == "quarantined":
        return "blocked" if err_class == "config" else "needs a look"
    return _WORDS.get(state, state)


def open_count(group: Group) -> int:
    """Records of a group that still ask something of somebody; of a group without any, all of them."""
    still = sum(number for state, number in group.states.items() if state not in _CLOSED)
    return still or group.count


def group_state(group: Group) -> str:
    """The word for the state that most records of a group are in; those that ask something of somebody go first."""
    state = max(group.states, key=lambda name: (name not in _CLOSED, group.states[name]), default="unknown")
    return state_word(state, group.err_class)


def nothing_here(store: DeadLetterSection, query: str, now_ms: int) -> list[Line]:
    """An empty list: verified to be empty, and since when."""
    if query:
        return [
            line(""),
            line("  Nothing matches ", foreign(query, 100, "strong"), "."),
            line(Span("  esc clears the filter", "info")),
        ]
    last = "" if store.last_at_ms is None else f" Last one {duration((now_ms - store.last_at_ms) / 1000)} ago."
    return [line(""), line("  ", Span("No dead letters.", "ok"), last)]


def store_notice(store: DeadLetterSection) -> list[Line] | None:
    """The screen of a store that cannot be read; None where it can."""
    headings = {
        "off": "This profile keeps no dead letters here.",
        "missing": "There is no store yet: the first event that cannot be delivered makes it.",
        "locked": "Not known: the store is locked.",
        "corrupt": "Not known: the store is damaged. It was not changed.",
    }
    heading = headings.get(store.state)
    if heading is None:
        return None
    steps = {
        "locked": "wait for that process, or look at it with ps",
        "corrupt": "atom-console dlq check says what can be saved, and saves it",
    }
    calm = store.state in {"off", "missing"}
    rows = [line(""), line("  ", Span(heading, "" if calm else "error"))]
    if store.detail:
        rows.append(line("  ", foreign(store.detail, 400)))
    if step := store.next_step or steps.get(store.state):
        rows += [line(""), line("  → ", foreign(step, 300, "info"))]
    return rows


def full_words(store: DeadLetterSection) -> Line:
    """One line where the store takes nothing more."""
    if store.state != "full":
        return ()
    limit = "" if store.limit_bytes is None else f" ({size(store.size_bytes)} of {size(store.limit_bytes)})"
    step = store.next_step or "replay, or purge what was replayed: atom-console dlq purge"
    return line(" ", Span(f"FULL{limit}: new events are not taken", "error"), " → ", foreign(step, 200, "info"))
