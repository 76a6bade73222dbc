"""Java stack traces: the innermost cause, its frames, and what kind of trouble it is."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final, NamedTuple

_CAUSED_BY: Final = re.compile(r"^Caused by: ([^\s:]+)", re.MULTILINE)
_FRAME: Final = re.compile(r"^\tat (\S+)", re.MULTILINE)
_CLASS: Final = re.compile(r"[\w$.<>/@-]+")
_GENERATED: Final = re.compile(r"\$\$(?:Lambda|EnhancerBySpringCGLIB|SpringCGLIB|FastClass)[\w$/.]*|@[0-9a-f]{4,}\b")
_FRAMES: Final = 3

_KINDS: Final = (
    ("poison", ("SerializationException", "DeserializationException", "DataException", "ClassCastException",
                "NumberFormatException", "JsonParseException", "JsonProcessingException", "MismatchedInputException",
                "JsonEOFException", "MalformedInputException", "DateTimeParseException", "RecordTooLargeException",
                "MessageConversionException", "InvalidRecordException", "CorruptRecordException", "SchemaException")),
    ("config", ("AuthorizationException", "AuthenticationException", "AccessDeniedException", "ConfigException",
                "UnknownTopicOrPartitionException", "UnsupportedVersionException")),
    ("outage", ("TimeoutException", "ConnectException", "SocketException", "UnknownHostException",
                "NoRouteToHostException", "DisconnectException", "NetworkException", "RetriableException",
                "SQLTransientException", "SQLTransientConnectionException", "SQLNonTransientConnectionException",
                "ServiceUnavailableException", "NotEnoughReplicasException", "ResourceAccessException")),
)  # fmt: skip
"""Class of the trouble → endings of class names. Connect's own `ConnectException` says nothing: see `err_class`."""


class Cause(NamedTuple):
    """The innermost cause of a stack trace: its class, and its top frames."""

    name: str | None
    frames: tuple[str, ...]


NOTHING: Final = Cause(None, ())


@lru_cache(maxsize=2048)
def innermost(stack: str) -> Cause:
    """The last `Caused by` that is not indented (those belong to suppressed exceptions), or the exception itself.

    Names that the virtual machine makes up are cut: `Job$$Lambda$1376/0x0000` and `Bean$1@533194e3` differ in every
    process.
    """
    found = None
    for found in _CAUSED_BY.finditer(stack):  # noqa: B007 -- the last one is wanted
        pass
    start = found.end() if found else 0
    head = found[1] if found else _first_class(stack)
    frames = []
    for match in _FRAME.finditer(stack, start):
        frames.append(_stable(match[1]))
        if len(frames) == _FRAMES:
            break
    return Cause(_stable(head) if head else None, tuple(frames))


def _first_class(stack: str) -> str | None:
    head = stack.split("\n", 1)[0].split(":", 1)[0].strip()
    return head if _CLASS.fullmatch(head) and "." in head else None


def _stable(name: str) -> str:
    return _GENERATED.sub("", name)


@lru_cache(maxsize=2048)
def err_class(*names: str | None) -> str:
    """Class of the trouble from class names of exceptions, the innermost first; `unknown` where none says it."""
    for name in names:
        if not name or name.startswith("org.apache.kafka.connect.errors.ConnectException"):
            continue
        simple = re.split(r"[.$]", name)[-1]
        for kind, endings in _KINDS:
            if simple.endswith(endings):
                return kind
    return "unknown"
