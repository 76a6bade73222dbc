"""Name constraints (RFC 5280 §4.2.1.10): which names a CA may sign for."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from urllib.parse import urlsplit

from cryptography import x509

from atom_console.pki.names import San, SanKind


def to_extension(permitted: Iterable[str], excluded: Iterable[str]) -> x509.NameConstraints | None:
    """The extension for constraints written `DNS:…`, `IP:…/n`, `URI:host`, `EMAIL:…`; None where there are none."""
    allow = [_general_name(text) for text in permitted]
    deny = [_general_name(text) for text in excluded]
    return x509.NameConstraints(allow or None, deny or None) if allow or deny else None


def _general_name(text: str) -> x509.GeneralName:
    kind, _, value = text.partition(":")
    match SanKind(kind):
        case SanKind.DNS:
            return x509.DNSName(value.lower())
        case SanKind.IP:
            return x509.IPAddress(ipaddress.ip_network(value))
        case SanKind.URI:
            return x509.UniformResourceIdentifier(value.lower())
        case SanKind.EMAIL:
            return x509.RFC822Name(value.lower())


def violation(sans: Iterable[San], constraints: x509.NameConstraints) -> tuple[San, str] | None:
    """The first name that the constraints forbid, and the rule that forbids it in words; None where all may be."""
    permitted = list(constraints.permitted_subtrees or ())
    excluded = list(constraints.excluded_subtrees or ())
    for san in sans:
        for tree in excluded:
            if _matches(san, tree):
                return san, f"{_words(tree)} is excluded"
        same_kind = [tree for tree in permitted if _kind(tree) is san.kind]
        if same_kind and not any(_matches(san, tree) for tree in same_kind):
            return san, f"only {', '.join(map(_words, same_kind))} is permitted"
    return None


def _kind(tree: x509.GeneralName) -> SanKind | None:
    match tree:
        case x509.DNSName():
            return SanKind.DNS
        case x509.IPAddress():
            return SanKind.IP
        case x509.UniformResourceIdentifier():
            return SanKind.URI
        case x509.RFC822Name():
            return SanKind.EMAIL
        case _:
            return None


def _words(tree: x509.GeneralName) -> str:
    return f"{_kind(tree) or type(tree).__name__}:{tree.value}"


def _matches(san: San, tree: x509.GeneralName) -> bool:
    if _kind(tree) is not san.kind:
        return False
    limit = str(tree.value).lower()
    match san.kind:
        case SanKind.DNS:
            return _below(san.value.lower(), limit.removeprefix("."), itself=not limit.startswith("."))
        case SanKind.IP:
            try:
                address = ipaddress.ip_address(san.value)
            except ValueError:
                return False
            return address in tree.value
        case SanKind.URI:
            host = (urlsplit(san.value).hostname or "").lower()
            return _below(host, limit[1:], itself=False) if limit.startswith(".") else host == limit
        case SanKind.EMAIL:
            return _matches_mail(san.value.lower(), limit)


def _matches_mail(address: str, limit: str) -> bool:
    if "@" in limit:
        return address == limit
    host = address.rpartition("@")[2]
    return _below(host, limit[1:], itself=False) if limit.startswith(".") else host == limit


def _below(name: str, parent: str, *, itself: bool) -> bool:
    return name.endswith("." + parent) or (itself and name == parent) or not parent
