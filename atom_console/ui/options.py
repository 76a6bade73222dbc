"""What the screen needs to know before it opens."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

REFRESH_FLOOR_S = 0.5


@dataclass(frozen=True, slots=True)
class UiOptions:
    """Settings of the screen.

    Attributes:
        refresh_s: seconds between two looks at the engine, at least 0.5; 0 = only when asked.
        theme: a theme's name.
        mouse: let the program have the mouse; off keeps the terminal's own selection.
        ascii_terminal: nothing but ASCII reaches the terminal.
        keymap: the user's keymap file, or None.
        theme_dir: the user's own themes, or None.
        save_dir: where `save to file` writes.
    """

    refresh_s: float = REFRESH_FLOOR_S
    theme: str = "dark"
    mouse: bool = False
    ascii_terminal: bool = False
    keymap: Path | None = None
    theme_dir: Path | None = None
    save_dir: Path = Path()


def options_from(
    *,
    refresh_s: float,
    theme: str,
    mouse: bool,
    keymap: Path | None,
    ascii_terminal: bool | None,
    config_dir: Path,
    environ: Mapping[str, str],
) -> UiOptions:
    """The options for this terminal: `NO_COLOR` and terminals of sixteen colours decide the theme."""
    return UiOptions(
        refresh_s=0.0 if refresh_s <= 0 else max(refresh_s, REFRESH_FLOOR_S),
        theme=terminal_theme(environ) or theme,
        mouse=mouse,
        ascii_terminal=needs_ascii(environ) if ascii_terminal is None else ascii_terminal,
        keymap=keymap,
        theme_dir=config_dir / "themes",
        save_dir=Path.cwd(),
    )


def terminal_theme(environ: Mapping[str, str]) -> str | None:
    """The theme that a terminal demands: `mono` where NO_COLOR is set, `ansi` where there are only 16 colours."""
    if environ.get("NO_COLOR"):
        return "mono"
    term = environ.get("TERM", "")
    if term in {"linux", "ansi", "cygwin"} or term.startswith("vt"):
        return "mono" if term.startswith("vt") else "ansi"
    return None


def needs_ascii(environ: Mapping[str, str]) -> bool:
    """True where the locale of the environment is not UTF-8 (POSIX: LC_ALL, then LC_CTYPE, then LANG)."""
    for name in ("LC_ALL", "LC_CTYPE", "LANG"):
        if value := environ.get(name):
            return "utf8" not in value.lower().replace("-", "")
    return True
