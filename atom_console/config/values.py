"""How settings are written: the texts that a variable, a flag or a TOML value may hold, made into values."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Annotated, Any, cast

from pydantic import AfterValidator, ByteSize, Field
from pydantic_core import PydanticCustomError

INT32_MAX = 2_147_483_647

_TOPIC = re.compile(r"[A-Za-z0-9._-]{1,249}", re.ASCII)
_PROFILE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}", re.ASCII)
_SERVER = re.compile(r"(?:[A-Za-z_]+://)?(?:\[[0-9A-Fa-f:.%]+\]|[A-Za-z0-9._-]+)(?::(\d{1,5}))?", re.ASCII)
_FLIGHT_URI = re.compile(r"grpc(?:\+(?:tcp|tls|unix))?://\S+|grpc\+unix:/\S+", re.ASCII)


def invalid(problem: str) -> PydanticCustomError:
    """The error of a validator whose sentence goes to the operator as it is."""
    return PydanticCustomError("atom", cast("Any", "{problem}"), {"problem": problem})


def topic_name(name: str) -> str:
    """What every broker takes as a topic name."""
    if not _TOPIC.fullmatch(name) or name in {".", ".."}:
        raise invalid("not a topic name: letters, digits, '.', '_' and '-', at most 249")
    return name


def profile_name(name: str) -> str:
    """A name that can also be a directory."""
    if not _PROFILE.fullmatch(name):
        raise invalid(
            "not a profile name: letters, digits, '.', '_' and '-', at most 64, beginning with a letter or digit"
        )
    return name


def servers(text: str) -> str:
    """`HOST:PORT,HOST:PORT`, tidied."""
    named = [server.strip() for server in text.split(",")]
    for server in named:
        match = _SERVER.fullmatch(server)
        if match is None or not 0 < int(match[1] or 1) <= 65_535:
            raise invalid(f"{server!r} is not HOST:PORT")
    return ",".join(named)


def flight_uri(text: str) -> str:
    """A scheme and an address that Flight knows."""
    if not _FLIGHT_URI.fullmatch(text):
        raise invalid("not a Flight address")
    return text


def words(value: object) -> object:
    """A list from the environment or a flag: `a,b`, or a JSON list."""
    if not isinstance(value, str):
        return value
    if value.lstrip().startswith("["):
        return _json(value)
    return [word.strip() for word in value.split(",") if word.strip()]


def property_pairs(value: object) -> object:
    """Properties from the environment or a flag: `name=value,name=value`, or a JSON object; scalars become text."""
    if isinstance(value, str):
        if value.lstrip().startswith("{"):
            value = _json(value)
        else:
            pairs = [pair.partition("=") for pair in value.split(",") if pair.strip()]
            if any(not sign or not name.strip() for name, sign, _ in pairs):
                raise invalid("not name=value pairs separated by commas")
            value = {name.strip(): text.strip() for name, _, text in pairs}
    if isinstance(value, dict):
        return {name: _scalar(item) for name, item in value.items()}
    return value


def _json(text: str) -> object:
    try:
        return json.loads(text)
    except ValueError:
        raise invalid("not valid JSON") from None


def _scalar(value: object) -> object:
    if isinstance(value, bool):
        return str(value).lower()
    return str(value) if isinstance(value, int | float) else value


def _text(value: object) -> object:
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else value


def lower(value: object) -> object:
    """Names that others write in capitals (SASL_SSL)."""
    return value.lower() if isinstance(value, str) else value


def integer(value: object) -> object:
    """Whole numbers may be written in hexadecimal (`0xff`), as bit masks are."""
    if isinstance(value, str) and value.strip().lower().startswith("0x"):
        try:
            return int(value, 16)
        except ValueError:
            return value
    return value


def acks_value(value: object) -> object:
    """`acks` may be a number in TOML, and librdkafka's -1 is `all`."""
    text = _text(value)
    return "all" if text == "-1" else text


File = Annotated[Path, AfterValidator(Path.expanduser)]
Topic = Annotated[str, AfterValidator(topic_name)]
Size = Annotated[ByteSize, Field(ge=0, le=2**63 - 1)]
Milliseconds = Annotated[int, Field(ge=1, le=INT32_MAX)]
