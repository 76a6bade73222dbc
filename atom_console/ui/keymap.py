"""The user's keymap: a TOML file with a table `[keys]`, command id → key or list of keys.

```toml
[keys]
"app.quit" = "ctrl+q"
"list.mark" = ["space", "m"]
```
"""

from __future__ import annotations

import tomllib
from difflib import get_close_matches
from pathlib import Path

from atom_console.ui.commands import BY_ID, clashes, key_name

_MODIFIERS = {"ctrl", "shift", "alt", "super", "meta", "hyper"}


def read_keymap(path: Path) -> tuple[dict[str, str], list[str]]:
    """The keymap that can be used, and one sentence for each entry that cannot.

    An entry that clashes with another key is left out, so that a typing error never hides a command. A file that cannot
    be read gives an empty map and one sentence.
    """
    try:
        entries = tomllib.loads(path.read_text(encoding="utf-8")).get("keys", {})
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        return {}, [f"keymap {path}: {error}; the default keys are used"]
    if not isinstance(entries, dict):
        return {}, [f"keymap {path}: `keys` must be a table; the default keys are used"]
    keymap: dict[str, str] = {}
    problems: list[str] = []
    for command, value in entries.items():
        keys = [value] if isinstance(value, str) else value
        if command not in BY_ID:
            near = get_close_matches(command, BY_ID, n=1)
            hint = f"; did you mean {near[0]}?" if near else ""
            problems.append(f"keymap {path}: there is no command {command}{hint}")
        elif not isinstance(keys, list) or not keys or not all(_is_key(key) for key in keys):
            problems.append(f'keymap {path}: {command}: expected a key such as "ctrl+r", or a list of keys')
        else:
            tried = {**keymap, command: ",".join(key_name(key) for key in keys)}
            new = [problem for problem in clashes(tried) if problem not in clashes(keymap)]
            if new:
                problems += [f"keymap {path}: {problem}; {command} keeps its default" for problem in new]
            else:
                keymap = tried
    return keymap, problems


def _is_key(value: object) -> bool:
    if not isinstance(value, str) or not value or "," in value or value != value.strip():
        return False
    *modifiers, key = value.split("+") if value != "+" else ["plus"]
    return bool(key) and all(modifier in _MODIFIERS for modifier in modifiers)
