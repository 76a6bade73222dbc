"""The server, its plans and their schemas as lines: pure functions of the snapshot and the size."""

from __future__ import annotations

from collections.abc import Sequence

from atom_console.engine.flight_view import FieldRow, FieldWord, KeepAlive, PlanSchema
from atom_console.engine.snapshot import FlightSection
from atom_console.schema.changes import Change
from atom_console.ui.drawing import (
    Line,
    Role,
    Span,
    count,
    cut_line,
    duration,
    fit,
    foreign,
    justify,
    line,
    millis,
    wrap,
)
from atom_console.ui.rooms.schemas.words import change_lines

SILENT_S = 15.0
"""A server is asked every ten seconds; an answer older than this is marked."""

_TRANSPORT_ROLES: dict[str, Role] = {"plaintext": "warn", "TLS": "info", "mTLS": "ok", "unix": "info"}
_WORD_ROLES: dict[FieldWord, Role] = {"same": "dim", "differs": "warn", "only here": "info", "not here": "error"}
_WORD_WIDTH = 9
_NO_ANSWER = frozenset({"away", "refuses"})
_SLOW_S = 1.0
_WHY_FROM = 76


def address(uri: str | None) -> str:
    """`host:port` of a URI; the badge beside it names the transport."""
    return "?" if uri is None else uri.partition("://")[2] or uri


def head(section: FlightSection, width: int) -> Line:
    """Which server, over what, and whether it is there."""
    left: list[Span] = [Span(" "), Span("Flight", "strong"), Span(" "), foreign(address(section.uri), 60, "info")]
    if section.transport is not None:
        left += [Span(" · "), Span(section.transport, _TRANSPORT_ROLES.get(section.transport, ""))]
    left += [Span(" · "), *_presence(section)]
    return justify(left, [*_listed(section), Span(" ")], width)


def _presence(section: FlightSection) -> list[Span]:
    if section.state == "answers":
        old = section.age_s is None or section.age_s > SILENT_S
        took = "" if section.call_ms is None else f" · {millis(section.call_ms)} ms"
        return [
            Span("SILENT" if old else "alive", "error" if old else "ok"),
            Span(f" {duration(section.age_s)} ago{took}"),
        ]
    if section.state in _NO_ANSWER:
        words = [Span(section.state.upper(), "error")]
        return [*words, Span(f" · answered {duration(section.age_s)} ago")] if section.age_s is not None else words
    if section.state == "unusable":
        return [Span("CANNOT BE DIALLED", "error")]
    return [Span("asking" if section.state == "asking" else "not asked yet", "warn")]


def _listed(section: FlightSection) -> list[Span]:
    if section.doing is not None and section.doing[1] >= _SLOW_S:
        return [Span(f"{section.doing[0]} for {duration(section.doing[1])}", "warn")]
    if section.listed_age_s is None:
        return []
    old = f" · list {duration(section.listed_age_s)} old" if section.state in _NO_ANSWER else ""
    plans = len(section.flights)
    return [Span(f"{count(plans)} plan{'' if plans == 1 else 's'}{old}")]


def server_lines(section: FlightSection, width: int) -> list[Line]:
    """The keep-alive, or why the server does not answer and what to do."""
    if section.state in {*_NO_ANSWER, "unusable"} and section.detail:
        rows = [line("  ", foreign(text, width)) for text in wrap(section.detail, width - 4, 2)]
        if section.next_step:
            rows += [line("  → ", foreign(text, width, "info")) for text in wrap(section.next_step, width - 6, 2)]
        again = " It is called again every 10 s." if section.state in _NO_ANSWER else ""
        return [*rows, line(Span(f"  c another server, ctrl+r again.{again}", "dim"))]
    rows = [cut_line(line("  ", *keepalive_words(section.keepalive)), width)]
    if section.note:
        rows.append(cut_line(line("  ", foreign(section.note, 100, "warn"), ": o names a plan by hand"), width))
    return rows


def keepalive_words(alive: KeepAlive | None) -> list[Span]:
    """What keeps the connection alive, and how soon a frozen peer is noticed."""
    if alive is None:
        return [Span("keep-alive ?", "dim")]
    idle = ", calls or not" if alive.without_calls else ", within calls only"
    noticed = duration((alive.time_ms + alive.timeout_ms) / 1000)
    return [
        Span(f"keep-alive: PING after {duration(alive.time_ms / 1000)} of silence{idle}", "dim"),
        Span(f" · a freeze shows in {noticed}", "dim"),
    ]


def nothing_here(section: FlightSection, query: str) -> list[Line]:
    """What stands where plans would."""
    if query:
        return [line(""), line("  Nothing matches."), line(Span("  esc clears the filter", "info"))]
    if section.state in {*_NO_ANSWER, "unusable"}:
        return [line(""), line("  Not known: the server"), line("  does not answer.")]
    if section.listed_age_s is None:
        return [line(""), line(Span("  Asking…", "dim"))]
    if section.note:
        return [line(""), line("  It lists no plans."), line(Span("  o names one by hand", "info"))]
    return [line(""), line("  No plans.")]


def schema_lines(
    schema: PlanSchema | None, plan_id: str | None, section: FlightSection, width: int, height: int
) -> list[Line]:
    """The schema of the plan under the cursor, a word for each field beside the declared MDF schema."""
    if plan_id is None:
        return []
    if schema is None:
        known = section.state in {"answers", "asking"}
        words = "  Asking for its schema…" if known else "  Its schema is not known."
        return [line(Span(" SCHEMA ", "title"), foreign(plan_id, 60)), line(Span(words, "dim"))]
    if schema.failed is not None:
        rows = [line(Span(" SCHEMA ", "title"), Span("not known", "error"))]
        rows += [line("  ", foreign(text, width)) for text in wrap(schema.failed, width - 3, 4)]
        step = wrap(schema.next_step or "", width - 5, 3)
        return [*rows, *(line("  → ", foreign(text, width, "info")) for text in step)]
    rows = [cut_line(_schema_head(schema), width)]
    if schema.mark:
        rows += [cut_line(line("  ", foreign(schema.problem, 300, "dim")), width)]
    rows += [cut_line(line("  ", foreign(note, 300, "warn")), width) for note in schema.notes]
    return rows + _fields(schema.fields, width, height - len(rows))


def _fields(fields: Sequence[FieldRow], width: int, room: int) -> list[Line]:
    """As many as there is room for; what differs is never what is left out."""
    made = [_field(field, width) for field in fields]
    if sum(map(len, made)) > room:
        made = [_field(field, width) for field in sorted(fields, key=lambda field: field.word == "same")]
    rows: list[Line] = []
    for number, each in enumerate(made):
        last = number == len(made) - 1
        if len(rows) + len(each) > room - (not last):
            return [*rows, line(Span(f"  … {len(made) - number} more: s opens the schema", "info"))]
        rows += each
    return rows


def _schema_head(schema: PlanSchema) -> Line:
    if schema.mark:
        return line(Span(" SCHEMA ", "title"), Span(schema.mark, "error"), " · the declared MDF schema stands in")
    counts = [(word, schema.words(word)) for word in _WORD_ROLES if word != "same"]
    others = [Span(f"{number} {word} · ", _WORD_ROLES[word]) for word, number in counts if number]
    same = schema.words("same")
    if not others and not schema.notes:
        return line(Span(" SCHEMA ", "title"), Span(f"as the declared MDF, {same} fields", "ok"))
    return line(Span(" SCHEMA ", "title"), *others, f"{same} same")


def _field(field: FieldRow, width: int) -> list[Line]:
    kind = field.type if field.nullable else f"{field.type} not null"
    wide = width >= _WHY_FROM
    names = min(max(width - 2 - 16 - _WORD_WIDTH - 2, 10), 24)
    kinds = 22 if wide else max(width - names - _WORD_WIDTH - 4, 6)
    role = _WORD_ROLES[field.word]
    row = line("  ", Span(fit(field.name, names), "" if role == "dim" else role), " ", Span(fit(kind, kinds), "dim"))
    row += line(" ", Span(fit(field.word, _WORD_WIDTH), role))
    if not field.why:
        return [cut_line(row, width)]
    why = foreign(field.why, 200, "dim")
    return [cut_line((*row, why), width)] if wide else [cut_line(row, width), cut_line(line("    ", why), width)]


def differences(changes: Sequence[Change], plan_id: str, where: str, width: int) -> list[Line]:
    """How a stream differs from what was promised, and the choice."""
    rows = [
        line(""),
        line("  ", foreign(plan_id, 60, "strong"), Span(" streams another schema than GetSchema promised.", "error")),
        line("  No row was kept. ", Span("a", "key"), " goes on with the stream's schema, ")
        + line(Span("esc", "key"), " leaves it."),
        line("  ", foreign(where, 100, "dim")),
        line(""),
    ]
    for change in changes:
        rows += change_lines(change, width)
    return rows


def trouble(detail: str | None, next_step: str | None, width: int) -> list[Line]:
    """Why there are no rows, and what to do."""
    rows = [line(""), *(line("  ", foreign(text, width, "error")) for text in wrap(detail or "", width - 4, 6))]
    step = wrap(next_step or "", width - 6, 4)
    return [*rows, line(""), *(line("  → ", foreign(text, width, "info")) for text in step)]
