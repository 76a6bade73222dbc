"""Themes: what ships is sound and readable, what is broken is named."""

from __future__ import annotations

from pathlib import Path

import pytest
from frames import console, frame
from scripted import ScriptedEngine, flowing
from textual.color import Color

from atom_console.ui.themes import ThemeError, bundled_dir, load_themes, read_theme

GOOD = """
primary = "#7aa2f7"
success = "green"
warning = "yellow"
error = "red"
foreground = "white"
background = "black"
"""


def test_what_ships() -> None:
    themes, problems = load_themes([bundled_dir()])
    assert problems == []
    assert {theme.name for theme in themes} == {"dark", "light", "high-contrast", "mono", "ansi"}


def contrast(one: Color, other: Color) -> float:
    """WCAG 2 contrast ratio."""

    def luminance(colour: Color) -> float:
        parts = [part / 255 for part in colour.rgb]
        r, g, b = (p / 12.92 if p <= 0.03928 else ((p + 0.055) / 1.055) ** 2.4 for p in parts)
        return 0.2126 * r + 0.7152 * g + 0.0722 * b

    light, dark = sorted((luminance(one), luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


@pytest.mark.parametrize(("name", "least"), [("dark", 4.5), ("light", 4.5), ("high-contrast", 7.0)])
def test_every_ink_can_be_read(name: str, least: float) -> None:
    theme = read_theme(bundled_dir() / f"{name}.toml")
    papers = [Color.parse(colour) for colour in (theme.background, theme.surface, theme.panel) if colour]
    inks = [theme.foreground, theme.primary, theme.secondary, theme.success, theme.warning, theme.error, theme.accent]
    inks += [theme.variables["role-dim"], theme.variables["role-trend"]]
    for ink in inks:
        for paper in papers[:2]:
            assert contrast(Color.parse(str(ink)), paper) >= least, (ink, paper)
        assert contrast(Color.parse(str(ink)), papers[2]) >= least - 1.2, ink
    cursor = [Color.parse(theme.variables[f"cursor-{part}"]) for part in ("foreground", "background")]
    assert contrast(*cursor) >= least


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (GOOD.replace("#7aa2f7", "#7aa2g7"), "primary = '#7aa2g7' is not a colour"),
        (GOOD + "colour = 1", "there is no field colour"),
        (GOOD + "dark = 1", "dark must be true or false"),
        (GOOD + "text_alpha = 7", "text_alpha must be a number from 0 to 1"),
        (GOOD + "[variables]\nx = 1", "`variables` must be a table of strings"),
        (GOOD.replace("error", "# error"), "error is missing"),
        ("primary =", "theme"),
    ],
)
def test_a_broken_theme_is_named(tmp_path: Path, text: str, words: str) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(text)
    with pytest.raises(ThemeError, match=r"mine\.toml") as caught:
        read_theme(path)
    assert words in str(caught.value)


def test_a_name_that_is_none(tmp_path: Path) -> None:
    path = tmp_path / "My Theme.toml"
    path.write_text(GOOD)
    with pytest.raises(ThemeError, match="small letters"):
        read_theme(path)


def test_the_users_own_replace_those_that_ship(tmp_path: Path) -> None:
    (tmp_path / "dark.toml").write_text(GOOD)
    (tmp_path / "broken.toml").write_text("x")
    themes, problems = load_themes([bundled_dir(), tmp_path, tmp_path / "not there"])
    assert next(theme for theme in themes if theme.name == "dark").success == "green"
    assert len(problems) == 1


async def test_the_picker_previews_and_takes_back(tmp_path: Path) -> None:
    (tmp_path / "zebra.toml").write_text(GOOD)
    (tmp_path / "broken.toml").write_text("x")
    async with console(ScriptedEngine(flowing()), theme_dir=tmp_path) as (app, press):
        assert any("broken.toml" in toast.message for toast in app._notifications)
        await press("f3", "G")
        assert app.theme == "zebra"
        await press("escape")
        assert app.theme == "dark"
        await press("f3", "g", "enter")
        assert app.theme == "ansi"
        assert "Changed the theme to ansi." in frame(app)
        await press("colon", *"theme light", "enter")
        assert app.theme == "light"
        await press("colon", *"theme nope", "enter")
        assert "There is no theme nope." in frame(app)


@pytest.mark.parametrize("theme", ["dark", "light", "high-contrast", "mono", "ansi"])
async def test_words_are_the_same_in_every_theme(theme: str) -> None:
    async with console(ScriptedEngine(flowing())) as (app, _):
        words = frame(app)
    async with console(ScriptedEngine(flowing()), theme=theme) as (app, _):
        assert frame(app) == words


async def test_a_theme_that_is_not_there_is_named() -> None:
    async with console(ScriptedEngine(flowing()), theme="nope") as (app, _):
        assert app.theme == "dark"
        assert any("there is no theme nope" in toast.message for toast in app._notifications)
