"""One record as lines, a tab each: pure functions of what the store and the codec say."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, overload

from atom_console.dlq.record import RecordDetail
from atom_console.errors import AtomError
from atom_console.events import EventType
from atom_console.times import format_ms, format_ns
from atom_console.ui.drawing import Line, Role, Span, count, duration, fit, foreign, line, size, wrap
from atom_console.ui.rooms.dead_letters.words import ROLES, state_word

TABS = ("Why", "Event", "Bytes", "Headers", "History")
_MOLECULES_SHOWN = 500
_EVENT_FIELDS = ("event_id", "trace_id", "timestamp", "type", "tenant_id", "user_id", "schema_payload")
_MOLECULE_FIELDS = (
    "coordinate_hash",
    "numeric_value",
    "text_commentary",
    "date_value",
    "boolean_value",
    "error_value",
    "timestamp",
    "security_mask",
)


@dataclass(frozen=True, slots=True)
class Payload:
    """What of the payload may be seen.

    Attributes:
        value: the bytes where everything may be seen, else None.
        event: the event with hidden molecules masked, or None where it cannot be decoded.
        masked: how many molecules are hidden.
        error: why it cannot be decoded.
    """

    value: bytes | None
    event: Mapping[str, Any] | None
    masked: int
    error: AtomError | None


def read_payload(detail: RecordDetail, clearance: int) -> Payload:
    """Decode and mask. What cannot be decoded is hidden as a whole, unless the clearance has every bit."""
    from atom_console.events.masking import mask_payload

    value = detail.current.value
    if value is None:
        return Payload(None, None, 0, None)
    masked = mask_payload(value, clearance)
    everything = clearance & 0xFFFF_FFFF_FFFF_FFFF == 0xFFFF_FFFF_FFFF_FFFF
    return Payload(value if masked.whole or everything else None, masked.event, masked.molecules, masked.error)


def why(detail: RecordDetail, now_ms: int, width: int) -> list[Line]:
    """What happened, whether it may have arrived, and what to do; complete without the other tabs."""
    row = detail.row
    word = state_word(row.state, row.err_class)
    meaning, advice = _advice(detail)
    since = duration(max(now_ms - detail.state_at, 0) / 1000)
    rows = [
        *_field("state", f"{word} since {format_ms(detail.state_at)} ({since})", width, ROLES.get(word, "")),
        *_field("", row.state_reason, width),
        *_field(
            "what", f"{row.err_name}: {detail.err_message}" if detail.err_message else row.err_name, width, "strong"
        ),
        *_field("meaning", meaning, width),
        *_field("arrived?", _arrived(detail), width, "warn" if row.maybe_persisted else ""),
        *_field("from", f"{detail.component or '?'}, stage {detail.stage}, {row.origin}", width),
        *_field("captured", f"{format_ms(row.captured_at)}, {size(row.size_bytes)}, {row.attempts} attempts", width),
        *_field("goes to", _target(detail), width),
    ]
    if detail.dlq_topic is not None:
        place = f"{detail.dlq_topic} [{_known(detail.dlq_partition)}] offset {_known(detail.dlq_offset)}"
        rows += _field("read from", place, width)
    for warning in detail.warnings:
        rows += _field("warning", warning, width, "warn")
    rows += _field("next", advice, width, "info")
    rows += _field("group", row.label, width)
    rows += _field("record", row.id, width)
    return rows


def _advice(detail: RecordDetail) -> tuple[str, str]:
    from atom_console.kafka.delivery_errors import classify

    row = detail.row
    if row.err_code is None:
        return (
            f"{row.err_class}, reported by {row.origin}",
            "look at the event and the headers, then release or discard it",
        )
    verdict = classify(row.err_code, stage="delivery")
    return verdict.meaning, verdict.next_step or "release it when the cause is gone"


def _arrived(detail: RecordDetail) -> str:
    if detail.delivered_offset is not None:
        place = f"partition {_known(detail.delivered_partition)} offset {detail.delivered_offset}"
        return f"yes: replayed to {place}"
    if detail.row.maybe_persisted:
        return "perhaps: it may already be on the topic; a replay looks before it sends"
    return "no: the broker cannot have it"


def _target(detail: RecordDetail) -> str:
    key = "no key" if detail.current.key is None else f"by key {detail.current.key.decode('utf-8', 'backslashreplace')}"
    was = "" if detail.orig_partition is None else f"; it was meant for partition {detail.orig_partition}"
    return f"{detail.row.topic or '?'}, {key}{was}"


def _known(value: object) -> str:
    return "?" if value is None else str(value)


def _field(name: str, text: str, width: int, role: Role = "") -> list[Line]:
    if not text and not name:
        return []
    parts = wrap(text or "–", max(width - 14, 10), 4) or ["–"]
    return [
        line(Span(f"  {name if number == 0 else '':<10}  ", "dim"), Span(part, role))
        for number, part in enumerate(parts)
    ]


def event(payload: Payload, width: int) -> list[Line]:
    """The decoded event as a tree: what is absent is said to be absent, what is hidden that it is hidden."""
    if payload.event is None:
        return _no_event(payload, width)
    shown = payload.event
    rows: list[Line] = []
    if payload.masked:
        rows.append(line("  ", Span(f"hidden by security_mask: {_molecules(payload.masked)}", "warn")))
    rows += [_value_line("  ", name, shown.get(name), width) for name in _EVENT_FIELDS]
    molecules: Sequence[Mapping[str, Any]] = shown.get("molecules") or ()
    absent = shown.get("molecules") is None
    rows.append(line(Span(f"  {'molecules':<18}", "dim"), Span("absent", "dim") if absent else count(len(molecules))))
    for number, molecule in enumerate(molecules[:_MOLECULES_SHOWN]):
        rows += _molecule(number, molecule, width)
    if len(molecules) > _MOLECULES_SHOWN:
        rows.append(
            line(f"  … {count(len(molecules) - _MOLECULES_SHOWN)} more: ", Span("atom-console dlq show", "info"))
        )
    return rows


def _no_event(payload: Payload, width: int) -> list[Line]:
    if payload.error is None:
        return [line("  The record has no payload (a tombstone, or only a pointer to it).")]
    rows = _field("payload", f"cannot be decoded: {payload.error.what}", width, "error")
    if payload.value is None:
        rows += _field("", "it is hidden, for nobody can tell what is in it", width)
        rows += _field("next", 'atom-console dlq show ID --raw FILE --reveal --reason "…"', width, "info")
    return rows


def _molecules(number: int) -> str:
    return "1 molecule" if number == 1 else f"{count(number)} molecules"


def _molecule(number: int, molecule: Mapping[str, Any], width: int) -> list[Line]:
    if molecule.get("masked"):
        need = molecule.get("security_mask") or 0
        return [line(f"  └ {number:>5} ", Span(f"hidden: needs clearance {need:#x}", "warn"))]
    rows = [line(f"  └ {number:>5}")]
    present = [name for name in _MOLECULE_FIELDS if molecule.get(name) is not None]
    rows += [_value_line("      ", name, molecule[name], width) for name in present]
    missing = [name for name in _MOLECULE_FIELDS if name not in present]
    return [*rows, line(Span(f"      absent: {', '.join(missing)}", "dim"))] if missing else rows


def _value_line(indent: str, name: str, value: Any, width: int) -> Line:
    label = Span(f"{indent}{name:<{18}}", "dim")
    if value is None:
        return line(label, Span("absent", "dim"))
    if isinstance(value, bytes):
        text = value.hex()
    elif name == "type":
        text = f"{int(value)} {_type_name(int(value))}"
    elif name == "security_mask":
        text = f"{value:#x}"
    elif name in {"timestamp", "date_value"}:
        text = f"{format_ns(value)}  ({value})"
    else:
        text = str(value)
    return line(label, foreign(text, max(width - 20 - len(indent), 10)))


def _type_name(number: int) -> str:
    try:
        return EventType(number).name
    except ValueError:
        return "not a known type"


class HexDump(Sequence[Line]):
    """Offset, sixteen bytes, and the printable ones; a line is made when it is looked at."""

    def __init__(self, value: bytes) -> None:
        self._value = value

    def __len__(self) -> int:
        return max(-(-len(self._value) // 16), 1)

    @overload
    def __getitem__(self, index: int) -> Line: ...
    @overload
    def __getitem__(self, index: slice) -> list[Line]: ...
    def __getitem__(self, index: int | slice) -> Line | list[Line]:
        if isinstance(index, slice):
            return [self[number] for number in range(*index.indices(len(self)))]
        if not self._value:
            return line(Span("  0 bytes", "dim"))
        part = self._value[index * 16 : index * 16 + 16]
        pairs = f"{part[:8].hex(' ')}  {part[8:].hex(' ')}"
        text = "".join(chr(byte) if 32 <= byte < 127 else "·" for byte in part)
        return line(Span(f"  {index * 16:08x}  ", "dim"), f"{pairs:<50}", Span(text, "trend"))


def payload_bytes(payload: Payload) -> Sequence[Line]:
    """Hex with offsets, or why not."""
    if payload.value is not None:
        return HexDump(payload.value)
    if payload.event is None and payload.error is None:
        return [line("  The record has no payload (a tombstone, or only a pointer to it).")]
    reason = f"with {_molecules(payload.masked)} that" if payload.masked else "which cannot be decoded and"
    return [
        line("  ", Span(f"Hidden: a payload {reason} your clearance may not see.", "warn")),
        line("  → ", Span('atom-console dlq show ID --raw FILE --reveal --reason "…"', "info")),
    ]


def headers(detail: RecordDetail, width: int) -> list[Line]:
    """What a replay sends, then what the dead-letter queue added and a replay leaves out."""
    rows = [line(Span("  sent by a replay", "title"))]
    rows += _header_lines(detail.current.headers, width) or [line(Span("  none", "dim"))]
    if detail.dlq_headers:
        rows += [line(""), line(Span("  on the dead letter (left out by a replay)", "title"))]
        rows += _header_lines(detail.dlq_headers, width)
    return rows


def _header_lines(pairs: Sequence[tuple[str, bytes | None]], width: int) -> list[Line]:
    rows = []
    for name, value in pairs:
        text = Span("null", "dim") if value is None else foreign(value or "(empty)", max(width - 36, 10))
        rows.append(line("  ", Span(fit(name, 32), "strong"), " ", text))
    return rows


def history(detail: RecordDetail, width: int) -> list[Line]:
    """Attempts, revisions, audit."""
    rows = [line(Span("  attempts", "title"))]
    for attempt in detail.attempts:
        outcome = attempt.outcome or "open"
        where = "" if attempt.offset is None else f" partition {_known(attempt.partition)} offset {attempt.offset}"
        text = f"{outcome} {attempt.err_name or ''} {attempt.message or ''}{where}"
        rows.append(
            line(f"  {format_ms(attempt.sent_at)}  run {_known(attempt.run_id)}  ", foreign(text, max(width - 40, 10)))
        )
    if not detail.attempts:
        rows.append(line(Span("  none: it was never sent again", "dim")))
    rows += [line(""), line(Span("  revisions", "title"))]
    for revision in detail.revisions:
        who = f"{revision.author}: {revision.reason}" if revision.author else "as it came"
        rows.append(
            line(f"  {revision.rev:>3}  {format_ms(revision.created_at)}  {revision.sha256[:12]}  ", foreign(who, 100))
        )
    rows += [line(""), line(Span("  audit", "title"))]
    for entry in detail.audit:
        who = f"{entry.os_user}@{entry.host}"
        text = f"{entry.action} {entry.subject}: {entry.reason}"
        rows.append(
            line(f"  {format_ms(entry.at)}  ", foreign(who, 24, "strong"), "  ", foreign(text, max(width - 52, 10)))
        )
    if not detail.audit:
        rows.append(line(Span("  none: nobody changed it", "dim")))
    return rows
