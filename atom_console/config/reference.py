"""The settings for people: the commented file of `config init`, and the reference page.

`python -m atom_console.config.reference > docs/configuration.md` makes the page anew.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from atom_console.config.keys import Key, keys
from atom_console.config.origins import Fault, Origin
from atom_console.config.profiles import BUILT_IN

_PAGE_HEAD = """\
# Configuration

Generated from the settings model by `python -m atom_console.config.reference`; a test holds it current.

Nothing needs to be configured: without a file, the profile is `dev` and the broker is `localhost:9092`. A value is
taken from the first of these that has it:

1. the command line: `--set KEY=VALUE`, `--profile`, `--read-only`, `--log-file`;
2. the environment: one `ATOM_…` variable for each key; an empty one counts as not set;
3. the profile's own tables in `config.toml`: `[profiles.prod]`, `[profiles.prod.kafka]`;
4. the rest of `config.toml`, which holds for every profile: `[kafka]`, `[dlq]`;
5. the built-in profile, then the default.

`config.toml` is in `~/.config/atom-console` (XDG_CONFIG_HOME moves it); `--config FILE` or `ATOM_CONFIG` names another.
`atom-console config init` writes one with every key commented out, `config check` reports everything that is wrong in
all profiles, `config show --origin` says where each value came from, and `config path` where the files are.

A secret is never given on the command line; a file that holds one belongs to its owner alone (`chmod 600`).
`kafka.properties` takes `name=value,name=value` or a JSON object from the environment, a table from the file, and
`--set kafka.properties.NAME=VALUE`. Sizes may carry a unit (`512MiB`), a list is separated by commas.

## Profiles

| profile | word | colour | confirm |
|---|---|---|---|
"""

_FILE_HEAD = """\
# Atom Console. Every key is here with its default, commented out; `atom-console config check` finds what is wrong.
# The command line and ATOM_… variables win over this file. Keep it to yourself if it holds a secret: chmod 600.
"""

_FILE_PROFILES = """
# ---- profiles: what a table here says holds for that profile only, and wins over the tables above ----

# [profiles.prod]
# read_only = true
# clearance = 0

# [profiles.prod.kafka]
# bootstrap_servers = "kafka-1.example.net:9093,kafka-2.example.net:9093"
# ssl_ca_location = "~/pki/ca.pem"

# A profile of your own confirms dangerous commands by a typed word unless it says otherwise.
# [profiles.lab]
# word = "LAB"
# colour = "cyan"
# confirm = "plain"
"""


def template() -> str:
    """A `config.toml` with every key commented out, and its meaning."""
    lines = [_FILE_HEAD]
    for section, group in _grouped():
        if section:
            lines.append(f"\n[{section}]")
        for key in group:
            lines.append(f"# {key.meaning} [{key.allowed}]")
            lines.append(f"# {key.name.rpartition('.')[2]} = {_toml(key.default)}")
    return "\n".join(lines) + "\n" + _FILE_PROFILES


def write_template(path: Path) -> None:
    """Writes the template 0600; an existing file is never touched.

    Raises:
        ConfigError: the file exists, or cannot be made.
    """
    from atom_console.config.origins import ConfigError
    from atom_console.config.paths import ensure_private

    try:
        ensure_private(path.parent)
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        fault = Fault(Origin("file", str(path)), "", "exists already and is left as it is")
        raise ConfigError([fault], next_step="move it away, or name another file with --config") from None
    except OSError as error:
        fault = Fault(Origin("file", str(path)), "", f"cannot be made: {error.strerror}")
        raise ConfigError([fault], next_step="name another file with --config") from None
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(template())


def page() -> str:
    """The reference page, in Markdown."""
    parts = [_PAGE_HEAD]
    parts += [f"| `{n}` | {p['word']} | {p['colour']} | {p['confirm']} |\n" for n, p in BUILT_IN.items()]
    parts.append("| your own | its name | white | typed |\n")
    for section, group in _grouped():
        parts.append(f"\n## {section or 'General'}\n\n")
        parts.append("| key | variable | default | allowed | meaning |\n|---|---|---|---|---|\n")
        for key in group:
            also = f" (`{key.librdkafka}`)" if key.librdkafka else ""
            parts.append(
                f"| `{key.name}` | `{key.env}` | {_shown(key.default)} | {key.allowed} | {key.meaning}{also} |\n"
            )
    return "".join(parts)


def _grouped() -> Iterator[tuple[str, list[Key]]]:
    groups: dict[str, list[Key]] = {}
    for key in keys().values():
        groups.setdefault(key.name.rpartition(".")[0], []).append(key)
    yield from groups.items()


def _toml(value: Any) -> str:
    if value is None:
        return '""'
    if isinstance(value, dict):
        return "{}"
    return json.dumps(list(value) if isinstance(value, tuple) else value)


def _shown(value: Any) -> str:
    return "" if value is None or value in ((), {}) else f"`{str(value).lower() if isinstance(value, bool) else value}`"


if __name__ == "__main__":
    sys.stdout.write(page())
