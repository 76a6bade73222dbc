"""The one door for foreign text."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from rich.cells import cell_len

from atom_console.safe_text import safe_text

ATTACKS = [
    "\x1b]52;c;cHduZWQ=\x07",
    "\x1b[2J\x1b[H",
    "\x9b31m",
    "a\r\nb\tc",
    "\u202eevil\u202c",
    "\u2066\u2069\u200b\u200d\ufeff\u00ad",
    "Z\u0335\u0340\u0341\u0342\u0343\u0344",
    "\ud800",
    "\ue000\U000f0000",
    "\U000e0041",
]


@pytest.mark.parametrize("attack", ATTACKS)
@pytest.mark.parametrize("form", [str, lambda text: text.encode("utf-8", "surrogatepass")])
def test_attacks_become_visible(attack: str, form: type) -> None:
    shown = safe_text(form(attack))
    assert shown.isprintable()
    assert not any(unicodedata.category(c) in {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"} for c in shown)


def test_escape_is_shown_as_a_sign() -> None:
    assert safe_text("\x1b[31m") == "␛[31m"
    assert safe_text(b"\x7f\x00") == "␡␀"


def test_markup_is_text() -> None:
    assert safe_text("[/nope][red]") == "[/nope][red]"


@given(st.one_of(st.text(), st.binary()), st.integers(1, 300))
@example("\u0301" * 20, 10)
@example("👩‍👩‍👧‍👦" * 3, 40)
@example(b"\xff" * 50, 20)
def test_bounded_printable_and_stable(value: str | bytes, limit: int) -> None:
    shown = safe_text(value, limit)
    assert len(shown) <= limit
    assert shown.isprintable()
    assert cell_len(shown) <= 2 * len(shown)
    assert safe_text(shown, max(limit, 1)) == shown


@given(st.text(min_size=20), st.integers(1, 19))
def test_a_cut_is_marked(value: str, limit: int) -> None:
    assert safe_text(value, limit).endswith("…")


@given(st.text(alphabet=st.characters(min_codepoint=32, max_codepoint=126)))
def test_plain_text_stays(value: str) -> None:
    assert safe_text(value) == value


def test_bytes_that_are_not_utf8_are_named() -> None:
    assert safe_text(b"ok \xff\xfe") == "ok \\xff\\xfe"


def test_two_combining_marks_at_most() -> None:
    assert safe_text("e\u0301\u0302\u0303\u0304") == "e\u0301\u0302"
