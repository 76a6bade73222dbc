"""Every key of the settings as data: its variable, what it allows, its default; read from the model."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cache
from types import UnionType
from typing import Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel, ByteSize, SecretStr
from pydantic.fields import FieldInfo

from atom_console.config.model import LIBRDKAFKA_KEYS, Settings

PROPERTIES = "kafka.properties"
_SECRET_WORDS = ("password", "passphrase", "secret", "token", "jaas", ".pem", "private")


@dataclass(frozen=True, slots=True)
class Key:
    """One setting.

    Attributes:
        name: dotted, e.g. `kafka.linger_ms`.
        env: its environment variable.
        allowed: its type and range in words.
        default: as the model has it.
        meaning: one line.
        secret: whether the value is never shown.
        librdkafka: the property that it becomes, if any.
    """

    name: str
    env: str
    allowed: str
    default: Any
    meaning: str
    secret: bool
    librdkafka: str | None


def env_name(key: str) -> str:
    """`kafka.linger_ms` → `ATOM_KAFKA_LINGER_MS`."""
    return "ATOM_" + key.upper().replace(".", "_")


@cache
def keys() -> dict[str, Key]:
    """Every key by its dotted name, in the order of the model."""
    return {key.name: key for key in _walk(Settings, "")}


@cache
def sections() -> tuple[str, ...]:
    """The names of the tables: kafka, dlq, flight, pki, ui."""
    return tuple(name for name, field in Settings.model_fields.items() if _section(field) is not None)


def is_secret(key: str) -> bool:
    """Whether a value is hidden; a property passed through, or a key that nobody knows, is judged by its name."""
    known = keys().get(key)
    return known.secret if known else any(word in key.lower() for word in _SECRET_WORDS)


def suggest(wrong: str, candidates: Iterable[str]) -> str | None:
    """The nearest of the candidates, also when only the last part of a dotted key was given."""
    known = list(candidates)
    librdkafka = LIBRDKAFKA_KEYS.get(wrong.removeprefix("kafka."))
    if librdkafka is not None and f"kafka.{librdkafka}" in known:
        return f"kafka.{librdkafka}"
    folded = {name.lower(): name for name in known}
    near = get_close_matches(wrong.lower(), folded, n=1, cutoff=0.7)
    if near and "." in wrong:
        return folded[near[0]]
    tails = {name.rpartition(".")[2].lower(): name for name in reversed(known)}
    by_tail = get_close_matches(wrong.rpartition(".")[2].lower(), tails, n=1, cutoff=0.75)
    if by_tail:
        return tails[by_tail[0]]
    return folded[near[0]] if near else None


def _walk(model: type[BaseModel], prefix: str) -> Iterator[Key]:
    for name, field in model.model_fields.items():
        section = _section(field)
        if section is not None:
            yield from _walk(section, f"{name}.")
            continue
        extra = field.json_schema_extra if isinstance(field.json_schema_extra, dict) else {}
        librdkafka, allowed = extra.get("librdkafka"), extra.get("allowed")
        yield Key(
            name=prefix + name,
            env=env_name(prefix + name),
            allowed=allowed if isinstance(allowed, str) else _allowed(field),
            default=field.get_default(call_default_factory=True),
            meaning=field.description or "",
            secret=SecretStr in _types(field.annotation),
            librdkafka=librdkafka if isinstance(librdkafka, str) else None,
        )


def _section(field: FieldInfo) -> type[BaseModel] | None:
    kind = field.annotation
    return kind if isinstance(kind, type) and issubclass(kind, BaseModel) else None


def _types(annotation: Any) -> tuple[Any, ...]:
    if get_origin(annotation) in {Union, UnionType}:
        return tuple(inner for part in get_args(annotation) for inner in _types(part))
    if hasattr(annotation, "__metadata__"):
        return _types(annotation.__origin__)
    return (annotation,)


def _allowed(field: FieldInfo) -> str:
    kind = next(part for part in _types(field.annotation) if part is not type(None))
    if get_origin(kind) is Literal:
        return "one of " + ", ".join(get_args(kind))
    if kind is bool:
        return "true or false"
    if kind in {int, float, ByteSize}:
        noun = {int: "a whole number", float: "a number", ByteSize: "a size such as 512MiB,"}[kind]
        return f"{noun} {_range(field)}".strip()
    if kind is SecretStr:
        return "text, kept secret"
    return "text" if kind is str else "a path"


def _range(field: FieldInfo) -> str:
    bounds = {
        name: value
        for rule in field.metadata
        for name in ("ge", "gt", "le")
        if (value := getattr(rule, name, None)) is not None
    }
    low = f"from {bounds['ge']}" if "ge" in bounds else f"above {bounds['gt']}"
    return f"{low} to {bounds['le']}"
