"""One record as lines, a tab each: pure functions of what the store and the codec say."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, overload

from atom_console.dlq.record import RecordDetail
from atom_console.dlq.view import View
from atom_console.times import format_ms
from atom_console.ui.drawing import Line, Role, Span, count, duration, fit, foreign, line, size, wrap
from atom_console.ui.rooms.dead_letters.words import ROLES, state_word

TABS = ("Why", "Event", "Bytes", "Headers", "History")
_MOLECULES_SHOWN = 500
_REVEAL = 'atom-console dlq show ID --raw FILE --reveal --reason "…"'
_NO_PAYLOAD: Line = line("  The record has no payload (a tombstone, or only a pointer to it).")
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


def why(detail: RecordDetail, seen: View, now_ms: int, width: int) -> list[Line]:
    """What happened, whether it may have arrived, and what to do; complete without the other tabs."""
    row = detail.row
    word = state_word(row.state, row.err_class)
    meaning, advice = _advice(detail)
    since = duration(max(now_ms - detail.state_at, 0) / 1000)
    rows = [
        *_field("state", f"{word} since {format_ms(detail.state_at)} ({since})", width, ROLES.get(word, "")),
        *_field("", row.state_reason, width),
        *_field("what", f"{row.err_name}: {seen.message}" if seen.message else row.err_name, width, "strong"),
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


def event(detail: RecordDetail, seen: View, width: int) -> list[Line]:
    """The decoded event as a tree: what is absent is said to be absent, what is hidden that it is hidden."""
    shown = seen.shown.event
    if shown is None:
        return _no_event(detail, seen, width)
    rows: list[Line] = []
    if hidden := seen.shown.masked_molecules:
        rows.append(line("  ", Span(f"hidden by security_mask: {_molecules(hidden)}", "warn")))
    rows += [_value_line("  ", name, shown.get(name), width) for name in _EVENT_FIELDS]
    molecules: Sequence[Mapping[str, Any]] = shown.get("molecules") or ()
    absent = "molecules" not in shown
    rows.append(line(Span(f"  {'molecules':<18}", "dim"), Span("absent", "dim") if absent else count(len(molecules))))
    for number, molecule in enumerate(molecules[:_MOLECULES_SHOWN]):
        rows += _molecule(number, molecule, width)
    if len(molecules) > _MOLECULES_SHOWN:
        rows.append(
            line(f"  … {count(len(molecules) - _MOLECULES_SHOWN)} more: ", Span("atom-console dlq show", "info"))
        )
    return rows


def _no_event(detail: RecordDetail, seen: View, width: int) -> list[Line]:
    if detail.current.value is None:
        return [_NO_PAYLOAD]
    rows = _field("payload", f"cannot be decoded: {seen.shown.undecodable}", width, "error")
    if seen.value is None:
        rows += _field("", "it is hidden, for nobody can tell what is in it", width)
        rows += _field("next", _REVEAL, width, "info")
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
    text = f"{value:#x}" if name == "security_mask" else str(value)
    return line(label, foreign(text, max(width - 20 - len(indent), 10)))


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


def payload_bytes(detail: RecordDetail, seen: View) -> Sequence[Line]:
    """Hex with offsets, or why not."""
    if detail.current.value is None:
        return [_NO_PAYLOAD]
    if seen.value is not None:
        return HexDump(seen.value)
    hidden = seen.shown.masked_molecules
    reason = f"with {_molecules(hidden)} that" if hidden else "which cannot be decoded and"
    return [
        line("  ", Span(f"Hidden: a payload {reason} your clearance may not see.", "warn")),
        line("  → ", Span(_REVEAL, "info")),
    ]


def headers(detail: RecordDetail, seen: View, width: int) -> list[Line]:
    """What a replay sends, then what the dead-letter queue added and a replay leaves out."""
    rows = [line(Span("  sent by a replay", "title"))]
    rows += _header_lines(detail.current.headers, width) or [line(Span("  none", "dim"))]
    if detail.dlq_headers:
        rows += [line(""), line(Span("  on the dead letter (left out by a replay)", "title"))]
        rows += _header_lines(seen.dlq_headers, width) or [
            line("  ", Span(f"{count(len(detail.dlq_headers))} hidden: they may quote the payload", "warn"))
        ]
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
        text = f"{entry.action} {entry.subject}" + (f": {entry.reason}" if entry.reason else "")
        rows.append(
            line(f"  {format_ms(entry.at)}  ", foreign(who, 24, "strong"), "  ", foreign(text, max(width - 52, 10)))
        )
    if not detail.audit:
        rows.append(line(Span("  none: nobody changed it", "dim")))
    return rows
