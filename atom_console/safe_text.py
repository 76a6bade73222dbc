"""The one door through which text that is not ours reaches a screen.

Payloads, keys, headers, broker messages, certificate fields and file names can carry terminal escapes (OSC 52 sets the
clipboard), bidirectional overrides (Trojan Source, CVE-2021-42574) and markup. Control bytes become visible signs,
invisible and reordering characters become their code point, and the length is bounded.
"""

from __future__ import annotations

import unicodedata
from itertools import chain

_BIDI_AND_INVISIBLE = frozenset(
    chain(
        (0x00AD, 0x061C, 0x180E, 0xFEFF),
        *(range(0x200B, 0x2010), range(0x2028, 0x202F), range(0x2060, 0x2070)),
        *(range(0xFFF9, 0xFFFC), range(0xE0000, 0xE0080)),
    )
)
_MAX_COMBINING = 2


def _sign(code: int) -> str:
    if code < 0x20:
        return chr(0x2400 + code)
    if code == 0x7F:
        return "\u2421"
    return f"<U+{code:04X}>"


_SIGNS = {code: _sign(code) for code in [*range(0x20), *range(0x7F, 0xA0), *_BIDI_AND_INVISIBLE]}


def safe_text(value: str | bytes, limit: int = 4096) -> str:
    """Foreign text made harmless for one line of a terminal.

    Args:
        value: text, or bytes taken as UTF-8 (bytes that are not become `\\xNN`).
        limit: the most characters kept; a longer text ends in `…`.

    Returns:
        Text without C0, C1, bidirectional, invisible or unassigned characters, with no space but the plain one and at
        most two combining marks a base character, not longer than `limit`. It holds no newline. It may hold `[`: never
        give it to a markup parser.
    """
    text = _decode(value[: 4 * limit + 4]) if isinstance(value, bytes) else value
    cut = len(text) > limit or (isinstance(value, bytes) and len(value) > 4 * limit + 4)
    text = text[:limit]
    if not (text.isascii() and text.isprintable()):
        text = _clean(text)
        cut = cut or len(text) > limit
    return text[: limit - 1] + "…" if cut else text


def _decode(raw: bytes) -> str:
    return raw.decode("utf-8", errors="backslashreplace")


def _clean(text: str) -> str:
    out: list[str] = []
    combining = 0
    for char in text:
        code = ord(char)
        sign = _SIGNS.get(code)
        if sign is not None:
            combining = 0
            out.append(sign)
            continue
        category = unicodedata.category(char)
        if category in {"Mn", "Me", "Mc"}:
            combining += 1
            if combining > _MAX_COMBINING or not out:
                continue
        else:
            combining = 0
            if category in {"Cs", "Co", "Cn", "Cc", "Cf", "Zl", "Zp"} or (category == "Zs" and char != " "):
                out.append(f"<U+{code:04X}>")
                continue
        out.append(char)
    return "".join(out)
