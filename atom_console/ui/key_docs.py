"""`docs/keys.md`, generated from the table of commands: `python -m atom_console.ui.key_docs > docs/keys.md`."""

from __future__ import annotations

import sys

from atom_console.ui.commands import COMMANDS, SCOPES, CommandSpec, shown_key

_HEAD = """# Keys and commands

Generated from the table of commands by `python -m atom_console.ui.key_docs`; a test checks that it is current.

A key is alive where its scope has the focus; single letters are dead while you type into a field. Every command with a
word can be typed after `:` and found in the palette. Commands marked *asks first* are refused in a read-only profile.

Another key for a command: a TOML file, named by the setting `ui.keymap`, with the ids below:

```toml
[keys]
"app.quit" = "ctrl+q"
"list.mark" = ["space", "m"]
```

A key that would mean two things at once is reported when the console opens, and that entry keeps its default.
`ctrl+c` always leaves, as SIGINT does: it drains and exits with 130.
"""


def keys_page() -> str:
    """The page."""
    parts = [_HEAD]
    for scope, title in SCOPES.items():
        rows = [_row(spec) for spec in COMMANDS if spec.scope == scope]
        parts.append(f"\n## {title}\n\n| key | `:` | does | id |\n|---|---|---|---|\n" + "\n".join(rows) + "\n")
    return "".join(parts)


def _row(spec: CommandSpec) -> str:
    keys = " ".join(f"`{shown_key(key)}`" for key in spec.keys) or "–"
    word = f"`:{spec.word}{' ' + spec.argument if spec.argument else ''}`" if spec.word else ""
    asks = " *Asks first.*" if spec.danger != "none" else ""
    return f"| {keys} | {word} | {spec.help}{asks} | `{spec.id}` |"


if __name__ == "__main__":
    sys.stdout.write(keys_page())
