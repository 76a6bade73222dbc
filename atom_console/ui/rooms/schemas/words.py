"""A field, a difference, a mapping as lines: pure functions of what was read and of the width."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from difflib import SequenceMatcher

from atom_console.engine.schema_shelf import Comparison, ShelfRow
from atom_console.schema.changes import Change
from atom_console.schema.drift import Candidate, Fit
from atom_console.schema.mapping import MappedField, Status
from atom_console.ui.drawing import Line, Role, Span, count, cut_line, fit, foreign, justify, line, wrap
from atom_console.ui.rooms.schemas.sources import TreeLine, flattened

SIDE_BY_SIDE_FROM = 118
_LABEL = 10
_STATUS_ROLES: dict[Status, Role] = {
    "same": "dim",
    "convert": "info",
    "differs": "error",
    "only in events": "warn",
    "only in arrow": "warn",
}


def node_lines(at: TreeLine, width: int) -> list[Line]:
    """Everything about the field under the cursor."""
    node = at.node
    facts = [
        ("type", node.type),
        ("slot", "" if node.slot is None else str(node.slot)),
        ("presence", "may be absent" if node.nullable else "never null"),
        ("default", node.default or ""),
        ("flags", ", ".join(node.flags)),
        ("inside", f"{count(len(node.children))} fields" if node.children else ""),
    ]
    rows = [line(" ", foreign(node.name, 100, "strong"))]
    if at.path != node.name:
        rows += [line(" ", foreign(text, width, "dim")) for text in wrap(at.path, width - 2, 2)]
    rows.append(())
    for label, value in facts:
        if value:
            wrapped = wrap(value, max(width - _LABEL - 2, 8), 4)
            rows += [
                line(Span(f" {label if not number else '':<{_LABEL}}", "dim"), foreign(text, width))
                for number, text in enumerate(wrapped)
            ]
    if node.docs:
        rows += [(), *(line(" ", foreign(text, width)) for text in wrap(" ".join(node.docs), width - 2, 12))]
    if node.metadata:
        rows += [(), line(Span(" metadata", "dim"))]
        rows += [line("  ", foreign(f"{key} = {value}", 200)) for key, value in node.metadata]
    return [cut_line(row, width) for row in rows]


def summary(row: ShelfRow, width: int, height: int) -> list[Line]:
    """A schema beside the list."""
    rows = [line(" ", foreign(row.name, 100, "strong"))]
    rows += [line(" ", foreign(text, width, "dim")) for text in wrap(row.source, width - 2, 2)]
    if row.note:
        role: Role = "warn" if row.drifts else "" if row.schema is not None or row.origin == "topic" else "error"
        rows += [line(" ", foreign(text, width, role)) for text in wrap(row.note, width - 2, 6)]
    if row.schema is None:
        return rows
    tree = row.schema.tree
    if tree.root:
        rows.append(line(Span(" root      ", "dim"), foreign(tree.root, 100)))
    if tree.identifier:
        rows.append(line(Span(" identifier", "dim"), " ", foreign(tree.identifier, 20)))
    rows.append(())
    names = max(min(width // 2, 28), 10)
    for node in tree.fields:
        rows.append(line("  ", fit(node.name, names), " ", foreign(node.type, 60, "dim")))
    if len(rows) > height > 1:
        rows = [*rows[: height - 1], line(Span(f"  … enter shows all {len(tree.fields)} fields", "info"))]
    return [cut_line(one, width) for one in rows]


def verdict_line(compared: Comparison) -> Line:
    """The answer: whom the step from old to new breaks."""
    if not compared.changes:
        return line(" ", Span("identical", "ok"), " · nothing differs")
    readers, writers, safe = compared.counts
    return line(
        " ",
        Span(f"breaks readers: {readers}", "error" if readers else "ok"),
        " · ",
        Span(f"breaks writers: {writers}", "error" if writers else "ok"),
        f" · safe: {safe}",
    )


def diff_lines(compared: Comparison, width: int) -> list[Line]:
    """The verdict, each difference with its reason; from 118 cells also both trees side by side."""
    old, new = compared.old, compared.new
    if not compared.changes:
        return [verdict_line(compared)]
    rows = [
        verdict_line(compared),
        line(Span("  readers: programs built with the old one that read what new writers write", "dim")),
        line(Span("  writers: what old writers wrote, read by programs built with the new one", "dim")),
        (),
    ]
    for change in sorted(compared.changes, key=lambda change: not change.breaking):
        rows += change_lines(change, width)
    if width >= SIDE_BY_SIDE_FROM:
        half = (width - 6) // 2
        rows += [(), line(Span(f"  {fit(f'old: {old.name}', half)}   {fit(f'new: {new.name}', half)}", "title"))]
        rows += _side_by_side(flattened(old.tree), flattened(new.tree), half)
    return rows


def change_lines(change: Change, width: int) -> list[Line]:
    """One difference: where, what, whom it breaks, why."""
    sides = (("readers", change.breaks_readers), ("writers", change.breaks_writers))
    broken = " and ".join(side for side, breaks in sides if breaks)
    role: Role = "error" if broken else "dim"
    where = line("  ", Span("✗ " if broken else "· ", role), foreign(change.path or "(schema)", 80, "strong"))
    breaks = Span(f"breaks {broken}" if broken else "safe", role)
    rows = [justify([*where, Span(f"  {change.kind}")], [breaks, Span(" ")], width)]
    sides_words = f"{change.before or 'nothing'} → {change.after or 'nothing'}"
    rows += [line("      ", foreign(text, width)) for text in wrap(sides_words, max(width - 8, 20), 2)]
    return [*rows, *(line("      ", foreign(text, width, "dim")) for text in wrap(change.why, max(width - 8, 20), 3))]


def _side_by_side(old: Sequence[TreeLine], new: Sequence[TreeLine], half: int) -> Iterator[Line]:
    matcher = SequenceMatcher(None, [at.path for at in old], [at.path for at in new], autojunk=False)
    for kind, old_from, old_to, new_from, new_to in matcher.get_opcodes():
        if kind == "equal":
            for before, after in zip(old[old_from:old_to], new[new_from:new_to], strict=True):
                yield _pair(before, after, half)
        else:
            yield from (_pair(before, None, half) for before in old[old_from:old_to])
            yield from (_pair(None, after, half) for after in new[new_from:new_to])


def _pair(before: TreeLine | None, after: TreeLine | None, half: int) -> Line:
    if before is None:
        sign, role = "+", "info"
    elif after is None:
        sign, role = "-", "error"
    else:
        same = _facts(before) == _facts(after)
        sign, role = ("=", "dim") if same else ("!", "warn")
    shown: Role = role  # type: ignore[assignment]  # one of the four above
    return line("  ", Span(_side(before, half), shown), Span(f" {sign} ", shown), Span(_side(after, half), shown))


def _facts(at: TreeLine) -> tuple[object, ...]:
    node = at.node
    return node.type, node.slot, node.nullable, node.default, node.flags, node.metadata


def _side(at: TreeLine | None, half: int) -> str:
    if at is None:
        return " " * half
    node = at.node
    names = half // 2
    more = "" if node.slot is None else f" @{node.slot}"
    more += "" if node.nullable else " not null"
    more += "" if node.default in {None, ""} else f" = {node.default}"
    return f"{fit('  ' * at.depth + node.name, names)} {fit(node.type + more, half - names - 1)}"


def mapping_lines(fields: Sequence[MappedField], width: int) -> list[Line]:
    """Events beside the Arrow schema, a word for each field."""
    wrong = sum(field.status == "differs" for field in fields)
    head = (
        Span(f"{wrong} fields cannot be carried over", "error")
        if wrong
        else Span("every field can be carried over", "ok")
    )
    rows = [line(" ", head, f" · {count(len(fields))} fields"), ()]
    names, kinds = 20, 16
    rows.append(line(Span(f"  {'FIELD':<{names}} {'EVENT':<{kinds}} {'ARROW':<{kinds + 4}} STATUS", "title")))
    for field in fields:
        role = _STATUS_ROLES[field.status]
        rows.append(
            line("  ", fit(field.name, names), " ", Span(fit(field.event_type or "-", kinds), "dim"), " ")
            + line(Span(fit(field.arrow_type or "-", kinds + 4), "dim"), " ", Span(field.status, role))
        )
        if field.status != "same":
            rows += [
                line("      ", foreign(text, width, role if role != "info" else "dim"))
                for text in wrap(field.why, width - 8, 2)
            ]
    return rows


def fit_words(best: Candidate | None, what: str) -> list[Line]:
    """What a payload is to the schema that explains it best."""
    if best is None or best.examination.fit is Fit.OTHER_SCHEMA:
        why = "" if best is None else f" The nearest is {best.schema.name}: {best.examination.why}"
        return [
            line(" ", foreign(what, 60, "strong"), Span(" · no schema of the list explains it.", "error")),
            line("  ", foreign(why.strip(), 300, "dim")),
        ]
    found = best.examination
    role: Role = "ok" if found.fit in {Fit.FITS, Fit.OLDER_WRITER} else "warn"
    return [
        line(" ", foreign(what, 60, "strong"), " · ", Span(str(found.fit), role), " · ", foreign(best.schema.name, 60)),
        line("  ", foreign(found.why, 300, "dim")),
    ]


def nothing_here(query: str) -> list[Line]:
    """What stands where schemas or fields would."""
    if query:
        return [
            line(""),
            line("  Nothing holds ", foreign(query, 60, "strong"), "."),
            line(Span("  esc clears it", "info")),
        ]
    return [line(""), line(Span("  Reading…", "dim"))]
