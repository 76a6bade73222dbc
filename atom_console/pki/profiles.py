"""Certificate profiles: what each kind of certificate may be, read from TOML."""

from __future__ import annotations

import ipaddress
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any, TypeVar

from atom_console.pki.errors import ProfileError
from atom_console.pki.keys import CA_KEY_TYPES, KeyType
from atom_console.pki.names import SanKind
from atom_console.resources import resource_dir

_E = TypeVar("_E", bound=StrEnum)


class Kind(StrEnum):
    """Where in the hierarchy a certificate stands."""

    ROOT = "root"
    INTERMEDIATE = "intermediate"
    LEAF = "leaf"


class Usage(StrEnum):
    """The extended key usages that the transports need (RFC 5280 §4.2.1.12)."""

    SERVER = "server_auth"
    CLIENT = "client_auth"


@dataclass(frozen=True, slots=True)
class Profile:
    """What a certificate of this profile is and may be. Lives in days; the fields are those of `certs/README.md`."""

    name: str
    description: str
    kind: Kind
    days: int
    max_days: int
    key_type: KeyType = KeyType.EC_P256
    key_types: tuple[KeyType, ...] = (KeyType.EC_P256,)
    path_length: int = 0
    extended_key_usage: tuple[Usage, ...] = ()
    san_types: tuple[SanKind, ...] = (SanKind.DNS, SanKind.IP)
    wildcards: bool = False
    crl_urls: tuple[str, ...] = ()
    organization: str | None = None
    permitted: tuple[str, ...] = ()
    excluded: tuple[str, ...] = ()

    @property
    def is_ca(self) -> bool:
        """Whether certificates of this profile sign others."""
        return self.kind is not Kind.LEAF

    @property
    def serves(self) -> bool:
        """Whether a peer dials the holder, so that a DNS or IP name is needed."""
        return Usage.SERVER in self.extended_key_usage and not self.is_ca


def load_profiles(own: Path | None = None) -> dict[str, Profile]:
    """The bundled profiles, and those of the directory `own`, which win.

    Raises:
        ProfileError: a file is not TOML, or a field has a value that no certificate can have.
    """
    found: dict[str, Profile] = {}
    for directory in (resource_dir("certs"), own):
        if directory is not None and directory.is_dir():
            for path in sorted(directory.glob("*.toml")):
                found[path.stem] = read_profile(path)
    return found


def read_profile(path: Path) -> Profile:
    """One profile file.

    Raises:
        ProfileError: see `load_profiles`.
    """
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ProfileError(f"profile {path} cannot be read: {error}", next_step="correct the file") from None
    return _Reader(path, table).profile()


_FIELDS = frozenset(Profile.__slots__) - {"name", "permitted", "excluded"} | {"name_constraints"}


class _Reader:
    """Reads typed fields out of a TOML table; every complaint names the file and the field."""

    def __init__(self, path: Path, table: Mapping[str, Any]) -> None:
        self._path = path
        self._table = table

    def profile(self) -> Profile:
        unknown = sorted(set(self._table) - _FIELDS)
        if unknown:
            raise self._bad(unknown[0], f"is not a field; fields are {', '.join(sorted(_FIELDS))}")
        kind = self._member(Kind, "kind", self._text("kind"))
        days = self._days("days", None)
        key_type = self._member(KeyType, "key_type", self._text("key_type", "ec-p256"))
        key_types = tuple(self._member(KeyType, "key_types", v) for v in self._texts("key_types", [key_type]))
        constraints = self._table.get("name_constraints", {})
        if not isinstance(constraints, dict) or set(constraints) - {"permitted", "excluded"}:
            raise self._bad("name_constraints", "is a table with `permitted` and `excluded`")
        limits = _Reader(self._path, constraints)
        profile = Profile(
            name=self._path.stem,
            description=self._text("description"),
            kind=kind,
            days=days,
            max_days=self._days("max_days", days),
            key_type=key_type,
            key_types=key_types,
            path_length=self._number("path_length", 0),
            extended_key_usage=tuple(
                self._member(Usage, "extended_key_usage", v) for v in self._texts("extended_key_usage", [])
            ),
            san_types=tuple(self._member(SanKind, "san_types", v) for v in self._texts("san_types", ["DNS", "IP"])),
            wildcards=self._flag("wildcards"),
            crl_urls=tuple(self._texts("crl_urls", [])),
            organization=self._text("organization") if "organization" in self._table else None,
            permitted=tuple(limits._texts("permitted", [])),
            excluded=tuple(limits._texts("excluded", [])),
        )
        self._judge(profile)
        return profile

    def _judge(self, profile: Profile) -> None:
        if profile.max_days < profile.days:
            raise self._bad("max_days", f"({profile.max_days}) is below `days` ({profile.days})")
        if profile.key_type not in profile.key_types:
            raise self._bad("key_types", f"does not hold key_type {profile.key_type!s}")
        if profile.is_ca and not set(profile.key_types) <= CA_KEY_TYPES:
            raise self._bad("key_types", "of a CA cannot hold ed25519: many verifiers refuse such an issuer")
        if profile.kind is Kind.LEAF and not profile.extended_key_usage:
            raise self._bad("extended_key_usage", "is required for a leaf")
        if profile.kind is Kind.LEAF and not profile.san_types:
            raise self._bad("san_types", "is empty: a leaf always carries a name")
        if profile.serves and not {SanKind.DNS, SanKind.IP} & set(profile.san_types):
            raise self._bad("san_types", "of a server needs DNS or IP: nothing else is matched by clients")
        if not profile.is_ca and (profile.permitted or profile.excluded):
            raise self._bad("name_constraints", "belong to a CA profile")
        for url in profile.crl_urls:
            if not url.startswith("http://") or not url.isascii():
                raise self._bad("crl_urls", f"{url!r}: use http:// (a list behind TLS cannot be checked to open TLS)")
        for text in (*profile.permitted, *profile.excluded):
            self._constraint(text)

    def _constraint(self, text: str) -> None:
        kind, _, value = text.partition(":")
        if kind not in SanKind.__members__ or not value:
            raise self._bad("name_constraints", f"{text!r}: write DNS:…, IP:…/n, URI:host or EMAIL:…")
        if kind == "IP":
            try:
                ipaddress.ip_network(value)
            except ValueError as error:
                raise self._bad("name_constraints", f"{text!r}: {error}") from None

    def _bad(self, field: str, why: str) -> ProfileError:
        return ProfileError(f"profile {self._path}: {field} {why}", next_step="correct the file; certs/README.md")

    def _text(self, field: str, default: str | None = None) -> str:
        value = self._table.get(field, default)
        if not isinstance(value, str) or not value:
            raise self._bad(field, "must be a text" if field in self._table else "is missing")
        return value

    def _texts(self, field: str, default: list[Any]) -> list[str]:
        value = self._table.get(field, default)
        if not isinstance(value, list) or not all(isinstance(v, str) for v in value):
            raise self._bad(field, "must be a list of texts")
        return value

    def _number(self, field: str, default: int | None) -> int:
        value = self._table.get(field, default)
        if type(value) is not int or value < 0:
            raise self._bad(field, "must be a whole number, 0 or more")
        return value

    def _days(self, field: str, default: int | None) -> int:
        value = self._number(field, default)
        if not 1 <= value <= 36_500:
            raise self._bad(field, "must be between 1 and 36500 days")
        return value

    def _flag(self, field: str) -> bool:
        value = self._table.get(field, False)
        if not isinstance(value, bool):
            raise self._bad(field, "must be true or false")
        return value

    def _member(self, enum: type[_E], field: str, value: str) -> _E:
        try:
            return enum(value)
        except ValueError:
            raise self._bad(field, f"{value!r} is not one of {', '.join(enum)}") from None
