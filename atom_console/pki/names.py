"""Names in certificates: SANs as `DNS:…`, `IP:…`, `URI:…`, `EMAIL:…`, subjects, and how a dialled name is matched."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from urllib.parse import urlsplit

from cryptography import x509

from atom_console.pki.errors import RequestError

_LABEL = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?", re.ASCII | re.IGNORECASE)
_INVENTORY_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,62}", re.ASCII | re.IGNORECASE)
_LOCAL_PART = re.compile(r"[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]{1,64}", re.ASCII)
_SCHEME = re.compile(r"[a-z][a-z0-9+.-]*", re.ASCII | re.IGNORECASE)


class SanKind(StrEnum):
    """The kinds of subject alternative name that a profile can allow (RFC 5280 §4.2.1.6)."""

    DNS = "DNS"
    IP = "IP"
    URI = "URI"
    EMAIL = "EMAIL"


@dataclass(frozen=True, slots=True, order=True)
class San:
    """One subject alternative name, normalised: lower-case DNS, compressed IPv6."""

    kind: SanKind
    value: str

    def __str__(self) -> str:
        return f"{self.kind}:{self.value}"


def parse_san(text: str, *, wildcards: bool = True) -> San:
    """`DNS:broker-1.internal` → San.

    Raises:
        RequestError: no known kind, or a value that no peer would match; the message says which rule it breaks.
    """
    kind_text, colon, value = text.partition(":")
    try:
        kind = SanKind(kind_text.strip().upper())
    except ValueError:
        colon = ""
    if not colon:
        raise RequestError(
            f"SAN {text!r} names no kind", next_step="write DNS:name, IP:address, URI:uri or EMAIL:address"
        )
    value = value.strip()
    if not value:
        raise RequestError(f"SAN {text!r} is empty", next_step=f"write {kind}: and a value")
    check = {SanKind.DNS: _dns, SanKind.IP: _ip, SanKind.URI: _uri, SanKind.EMAIL: _email}[kind]
    san = San(kind, check(value))
    if san.value.startswith("*.") and not wildcards:
        raise RequestError(f"SAN {san} is a wildcard and the profile allows none", next_step="name every host")
    return san


def _dns(value: str) -> str:
    if not value.isascii():
        raise RequestError(f"DNS name {value!r} is not ASCII", next_step="write its punycode form (xn--…)")
    name = value.lower()
    if _is_ip(name):
        raise RequestError(f"DNS:{name} is an IP address", next_step=f"write IP:{name}")
    if name.endswith("."):
        raise RequestError(
            f"DNS name {value!r} ends in a dot: no client matches it", next_step=f"write DNS:{name.rstrip('.')}"
        )
    labels = name.split(".")
    host_labels = labels[1:] if labels[0] == "*" else labels
    if labels[0] == "*" and len(host_labels) < 2:
        raise RequestError(f"wildcard {value!r} is too broad", next_step="put the * before a domain of two labels")
    if len(name) > 253 or not host_labels or not all(_LABEL.fullmatch(label) for label in host_labels):
        raise RequestError(
            f"DNS name {value!r} is not a host name (RFC 1123: letters, digits, hyphens, dots)",
            next_step="correct the name",
        )
    return name


def _ip(value: str) -> str:
    try:
        address = ipaddress.ip_address(value)
    except ValueError:
        raise RequestError(f"IP:{value} is not an IP address", next_step="write IP:10.0.0.9 or IP:fd00::1") from None
    if isinstance(address, ipaddress.IPv6Address) and address.scope_id:
        raise RequestError(f"IP:{value} has a zone: it means nothing on another host", next_step="leave out %zone")
    return str(address)


def _uri(value: str) -> str:
    parts = urlsplit(value)
    if not value.isascii() or not _SCHEME.fullmatch(parts.scheme) or not (parts.netloc or parts.path):
        raise RequestError(f"URI {value!r} is not an absolute ASCII URI", next_step="write scheme://authority/path")
    if parts.scheme == "spiffe":
        bad = parts.query or parts.fragment or "@" in parts.netloc or ":" in parts.netloc or not parts.netloc
        if bad or value.endswith("/") or len(value) > 2048:
            raise RequestError(
                f"{value!r} is not a SPIFFE ID", next_step="write spiffe://trust-domain/path, no port, no query"
            )
    return value


def _email(value: str) -> str:
    local, at, domain = value.rpartition("@")
    if not at or not _LOCAL_PART.fullmatch(local):
        raise RequestError(f"EMAIL:{value} is not a mail address", next_step="write EMAIL:name@domain")
    return f"{local}@{_dns(domain)}"


def _is_ip(value: str) -> bool:
    try:
        ipaddress.ip_address(value)
    except ValueError:
        return False
    return True


def general_names(sans: Iterable[San]) -> list[x509.GeneralName]:
    """SANs as X.509 has them, in the given order."""
    return [_general_name(san) for san in sans]


def _general_name(san: San) -> x509.GeneralName:
    match san.kind:
        case SanKind.DNS:
            return x509.DNSName(san.value)
        case SanKind.IP:
            return x509.IPAddress(ipaddress.ip_address(san.value))
        case SanKind.URI:
            return x509.UniformResourceIdentifier(san.value)
        case SanKind.EMAIL:
            return x509.RFC822Name(san.value)


def sans_in(extensions: x509.Extensions) -> tuple[tuple[San, ...], tuple[str, ...]]:
    """The SANs of a certificate or CSR as they stand, and the kinds of entry that are none of the four."""
    try:
        names = extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return (), ()
    sans: list[San] = []
    others: list[str] = []
    for name in names:
        match name:
            case x509.DNSName():
                sans.append(San(SanKind.DNS, name.value))
            case x509.IPAddress():
                sans.append(San(SanKind.IP, str(name.value)))
            case x509.UniformResourceIdentifier():
                sans.append(San(SanKind.URI, name.value))
            case x509.RFC822Name():
                sans.append(San(SanKind.EMAIL, name.value))
            case _:
                others.append(type(name).__name__)
    return tuple(sans), tuple(others)


def matches_host(sans: Iterable[San], host: str) -> bool:
    """Whether a dialled host is one of the names (RFC 6125: a wildcard is the whole left-most label; no CN)."""
    if _is_ip(host):
        wanted = str(ipaddress.ip_address(host))
        return any(san.kind is SanKind.IP and san.value == wanted for san in sans)
    name = host.lower()
    return any(san.kind is SanKind.DNS and _matches_dns(san.value.lower(), name) for san in sans)


def _matches_dns(pattern: str, name: str) -> bool:
    if not pattern.startswith("*."):
        return pattern == name
    _, dot, parent = name.partition(".")
    return bool(dot) and parent == pattern[2:]


def is_address(host: str) -> bool:
    """Whether a host is written as an IP address."""
    return _is_ip(host)


def parse_subject(text: str) -> x509.Name:
    """`CN=svc-grid,O=Example` (RFC 4514) → X.509 name.

    Raises:
        RequestError: not RFC 4514, or empty.
    """
    try:
        name = x509.Name.from_rfc4514_string(text)
    except ValueError as error:
        raise RequestError(f"subject {text!r} is not RFC 4514: {error}", next_step="write CN=name,O=org") from None
    if not list(name):
        raise RequestError("the subject is empty", next_step="write CN=name")
    return name


def inventory_name(text: str) -> str:
    """A name that may be a directory of the inventory, unchanged.

    Raises:
        RequestError: it could not be one on every file system.
    """
    if not _INVENTORY_NAME.fullmatch(text) or text.lower() == "current" or text.endswith("."):
        raise RequestError(
            f"{text!r} cannot name a certificate",
            next_step="use up to 63 letters, digits, dots, hyphens or underscores, and begin with a letter or digit",
        )
    return text
