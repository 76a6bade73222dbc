"""The form for one event: typed fields, checked before anything is asked."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical
from textual.screen import ModalScreen

from atom_console.events import EventType
from atom_console.times import format_ns, parse_ns
from atom_console.ui.drawing import Span, line
from atom_console.ui.inputs import SafeInput
from atom_console.ui.painting import Lines

TYPES = ("MOLECULE_WRITE", "CALC_REQUEST", "SCHEMA_CHANGE", "HEARTBEAT")
FIELDS = (
    ("type", " or ".join(TYPES)),
    ("tenant_id", "the key; empty: no key"),
    ("user_id", "personal data"),
    ("event_id", "a UUID"),
    ("trace_id", "OpenTelemetry trace id"),
    ("timestamp", "RFC 3339, UTC"),
    ("coordinate", "32 hex digits: the cell"),
    ("number", "numeric_value of the molecule"),
    ("text", "text_commentary of the molecule"),
    ("topic", "empty: the profile's"),
)


@dataclass(frozen=True, slots=True)
class Wanted:
    """A checked form: the mapping to encode, and the topic or None for the default."""

    event: Mapping[str, Any]
    topic: str | None


def read_form(fields: Mapping[str, str]) -> tuple[Wanted | None, dict[str, str]]:
    """The event of the fields, or a sentence for each field that is wrong. An empty field is absent, not empty."""
    text = {name: value.strip() for name, value in fields.items() if value.strip()}
    wrong: dict[str, str] = {}
    event: dict[str, Any] = {
        name: text[name] for name in ("tenant_id", "user_id", "event_id", "trace_id") if name in text
    }
    if text.get("type") in TYPES:
        event["type"] = EventType[text["type"]]
    else:
        wrong["type"] = f"expected {' or '.join(TYPES)}"
    try:
        event["timestamp"] = parse_ns(text.get("timestamp", ""))
    except ValueError as error:
        wrong["timestamp"] = str(error)
    molecule: dict[str, Any] = {}
    if "coordinate" in text:
        try:
            molecule["coordinate_hash"] = bytes.fromhex(text["coordinate"])
        except ValueError:
            wrong["coordinate"] = "expected 32 hex digits"
        else:
            if len(molecule["coordinate_hash"]) != 16:
                wrong["coordinate"] = f"expected 16 bytes, found {len(molecule['coordinate_hash'])}"
    if "number" in text:
        try:
            molecule["numeric_value"] = float(text["number"])
        except ValueError:
            wrong["number"] = "expected a number such as 12.5"
    if "text" in text:
        molecule["text_commentary"] = text["text"]
    if molecule:
        event["molecules"] = [molecule]
    return (None if wrong else Wanted(event, text.get("topic"))), wrong


class EventForm(ModalScreen[Wanted | None]):
    """Fields from top to bottom; `ctrl+s` checks and goes on to the question, `esc` leaves."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("ctrl+s", "check", "Check and ask", id="form.check"),
        Binding("escape", "leave", "Leave", id="form.leave"),
        Binding("down", "app.focus_next", "Next field", id="form.next"),
        Binding("up", "app.focus_previous", "Field before", id="form.previous"),
    ]

    def __init__(self, now_ns: int) -> None:
        super().__init__()
        self._start = {"type": TYPES[0], "event_id": str(uuid.uuid4()), "timestamp": format_ns(now_ns)}

    def compose(self) -> ComposeResult:
        """A line a field."""
        with Vertical(classes="dialog"):
            yield Lines(
                [line(Span("One event", "strong"), Span("   ctrl+s checks and asks, esc leaves", "dim")), line("")]
            )
            for name, hint in FIELDS:
                with Horizontal(classes="field"):
                    yield Lines([line(name)], id=f"label-{name}")
                    yield SafeInput(
                        self._start.get(name, ""), placeholder=hint, id=f"field-{name}", select_on_focus=False
                    )
            yield Lines([line("")], id="wrong")

    def on_mount(self) -> None:
        """The tenant is what differs."""
        self.query_one("#field-tenant_id", SafeInput).focus()

    def on_input_submitted(self, event: SafeInput.Submitted) -> None:
        """`enter` goes to the next field: a reflex must not send."""
        event.stop()
        self.focus_next()

    def action_check(self) -> None:
        """All fields, one sentence for each that is wrong."""
        fields = {name: self.query_one(f"#field-{name}", SafeInput).value for name, _ in FIELDS}
        wanted, wrong = read_form(fields)
        if wanted is not None:
            self.dismiss(wanted)
            return
        self.query_one("#wrong", Lines).show([line(Span(f"{name}: {text}", "error")) for name, text in wrong.items()])
        self.query_one(f"#field-{next(iter(wrong))}", SafeInput).focus()

    def action_leave(self) -> None:
        """Nothing was sent."""
        self.dismiss(None)
