"""Grouping, version 1: which dead letters are the same trouble, and what the trouble is called.

The fingerprint is SHA-1 over origin, class, code (or the cause's class), destination topic, stage, and the top three
stack frames, or without a stack the message with everything that varies replaced by a token. It is versioned: a later
rule never reshuffles old groups. When goals conflict there are more groups, never fewer: a hidden trouble is worse than
two lines for one.
"""

from __future__ import annotations

import hashlib
import json
import re
from functools import lru_cache
from typing import Final

VERSION: Final = 1
_MOST = 1000

_TOKENS: Final = tuple(
    (re.compile(pattern, re.ASCII), token)
    for pattern, token in (
        (r"\b\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(?:[.,]\d+)?(?:Z|[+-]\d\d:?\d\d)?", "<time>"),
        (r"\b[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}\b", "<uuid>"),
        (r"\b\d{1,3}\.\d{1,3}\.\d{1,3}\.\d{1,3}(?::\d+)?\b", "<ip>"),
        (r"\[[0-9a-fA-F:]*:[0-9a-fA-F:]+\](?::\d+)?", "<ip>"),
        (r"'[^'\n]{0,200}'|\"[^\"\n]{0,200}\"|`[^`\n]{0,200}`", "<text>"),
        (r"(?<![\w.<])/[\w.@+-]+(?:/[\w.@+-]+)+", "<path>"),
        (
            r"\b0x[0-9a-fA-F]+\b|@[0-9a-f]{5,16}\b|\b(?=[0-9a-fA-F]*\d)(?=[0-9a-fA-F]*[a-fA-F])[0-9a-fA-F]{8,}\b",
            "<hex>",
        ),
        (r"(?<![\w<])[+-]?\d+(?:[.,]\d+)*(?:[eE][+-]?\d+)?", "<n>"),
    )
)
_FRAME_NOISE: Final = re.compile(
    r"\$\$(?:Lambda|EnhancerBySpringCGLIB|FastClass)[\w$/.]*|@[0-9a-f]+|:\d+|\$\d+|0x[0-9a-f]+"
)


def normalised(message: str) -> str:
    """A message without what varies: times, UUIDs, addresses, quoted text, paths, hex and numbers become tokens."""
    text = message[:_MOST]
    for pattern, token in _TOKENS:
        text = pattern.sub(token, text)
    return " ".join(text.split())


@lru_cache(maxsize=4096)
def fingerprint(
    *,
    origin: str,
    err_class: str,
    code: int | str | None,
    topic: str | None,
    stage: str,
    frames: tuple[str, ...],
    message: str,
) -> str:
    """40 hexadecimal digits: equal for the same trouble.

    Args:
        code: the error code, or the class of the innermost cause where a framework reported an exception.
        frames: stack frames, innermost first; the first three count, without line numbers and generated suffixes.
    """
    detail = [_FRAME_NOISE.sub("", frame) for frame in frames[:3]] or normalised(message)
    key = json.dumps([VERSION, origin, err_class, code, topic, stage, detail], separators=(",", ":"))
    return hashlib.sha1(key.encode("ascii"), usedforsecurity=False).hexdigest()


def label(*, origin: str, err_name: str, code: int | None, topic: str | None, message: str) -> str:
    """The group in one sentence of at most 160 characters: what broke, and where it was going.

    A code of our table is told by its meaning; anything else by its own message, without what varies.
    """
    return _label(origin, err_name, code, topic, message[:_MOST])


@lru_cache(maxsize=4096)
def _label(origin: str, err_name: str, code: int | None, topic: str | None, message: str) -> str:
    sentence = _meaning(code) if origin == "local" else None
    if sentence is None or err_name in {"_VALUE_SERIALIZATION", "_KEY_SERIALIZATION"}:
        sentence = normalised(message) or sentence or err_name
    sentence = sentence.rstrip(". ")
    where = f" · {topic}" if topic else ""
    room = 160 - len(where)
    if room < 40:
        return f"{sentence}{where}"[:159] + "…"
    return (sentence if len(sentence) <= room else sentence[: room - 1] + "…") + where


def _meaning(code: int | None) -> str | None:
    if code is None:
        return None
    from atom_console.kafka.delivery_errors import ErrorClass, classify

    verdict = classify(code, stage="delivery")
    return None if verdict.err_class is ErrorClass.UNKNOWN else verdict.meaning
