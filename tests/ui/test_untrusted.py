"""No module of the screen has a way around `safe_text`: only a few widgets draw, and these clean what they draw."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

UI = Path(__file__).parents[2] / "atom_console" / "ui"
MODULES = sorted(UI.rglob("*.py"))

WIDGETS = {"inputs.py": {"Input"}}
"""Textual's own widgets would draw strings as markup, escapes and all; one module may use one of them."""

SEGMENTS = {"painting.py"}
CONTENT = {"palette.py"}
NOTIFY = {"frame.py"}
ATTRIBUTES = {"border_title", "border_subtitle", "tooltip", "sub_title"}
CALLS = {"print", "from_markup", "render_markup", "update_cell", "add_row", "write_control", "bell_text"}


def offences(source: str, name: str) -> list[str]:
    found: list[str] = []
    for node in ast.walk(ast.parse(source)):
        line = getattr(node, "lineno", 0)
        if isinstance(node, ast.ImportFrom) and node.module:
            names = {alias.name for alias in node.names}
            if node.module.startswith("textual.widgets") and names - WIDGETS.get(name, set()):
                found.append(f"{line}: imports {', '.join(sorted(names))}")
            if node.module in {"rich.text", "rich.markup", "rich.console", "rich.table", "rich.panel"}:
                found.append(f"{line}: imports {node.module}")
            if node.module in {"textual.content", "textual.markup"} and name not in CONTENT:
                found.append(f"{line}: imports {node.module}")
            if node.module == "rich.segment" and name not in SEGMENTS:
                found.append(f"{line}: imports {node.module}")
        if isinstance(node, ast.Import):
            found += [f"{line}: imports {a.name}" for a in node.names if a.name.startswith(("rich", "textual.widgets"))]
        if isinstance(node, (ast.Assign, ast.AnnAssign, ast.AugAssign)):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            found += [
                f"{line}: sets {t.attr}" for t in targets if isinstance(t, ast.Attribute) and t.attr in ATTRIBUTES
            ]
        if isinstance(node, ast.Call):
            called = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
            keywords = {keyword.arg: keyword.value for keyword in node.keywords}
            markup = keywords.get("markup")
            if markup is not None and not (isinstance(markup, ast.Constant) and markup.value is False):
                found.append(f"{line}: markup is not False")
            if called == "notify" and node.args and (markup is None or name not in NOTIFY):
                found.append(f"{line}: notify, use ConsoleApp.toast")
            if called in CALLS and not (called == "print" and name == "terminal.py"):
                found.append(f"{line}: calls {called}")
    return found


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(UI)))
def test_there_is_no_way_around(path: Path) -> None:
    assert offences(path.read_text(encoding="utf-8"), path.name) == []


@pytest.mark.parametrize(
    "source",
    [
        "from textual.widgets import Static",
        "import textual.widgets",
        "from rich.text import Text",
        "from textual.content import Content",
        "self.notify(text)",
        "self.notify(text, markup=True)",
        "widget.border_title = name",
        "print(payload)",
        "Content.from_markup(payload)",
        "table.add_row(payload)",
    ],
)
def test_the_check_sees_each_way_around(source: str) -> None:
    assert offences(source, "somewhere.py")


def test_every_widget_that_draws_is_ours() -> None:
    drawing = {
        path.name
        for path in MODULES
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.FunctionDef) and node.name in {"render", "render_line", "render_lines"}
    }
    assert drawing == {"painting.py", "table.py", "page.py"}
