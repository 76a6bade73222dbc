"""Text that SQLite can hold: foreign strings may carry lone surrogates, which are no UTF-8."""

from __future__ import annotations


def storable(text: str) -> str:
    """The text itself, or with every lone surrogate written as `\\udcXX`."""
    if text.isascii():
        return text
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


def storable_or_none(text: str | None) -> str | None:
    """`storable`, keeping None."""
    return None if text is None else storable(text)
