"""What a TLS alert can mean, by the library that sent it (RFC 8446 §6.2).

OpenSSL names the fault with an alert each. A JVM broker does not (measured: OpenJDK 17 and Kafka 4.3, TLS 1.2 and 1.3):
42 for no certificate at all, which is also what arrives when the client withholds one of another issuer, and 46 for
every certificate that it was shown and did not like. A C++ gRPC server sends none and closes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Meaning:
    """An alert: the finding to use where nothing narrows it down, and everything that it may be."""

    name: str
    rule: str
    candidates: tuple[str, ...] = ()


REFUSED: Final = (
    "peer-distrusts-issuer",
    "peer-says-expired",
    "peer-says-bad",
    "peer-says-unsupported",
    "peer-says-revoked",
)

ALERTS: Final = {
    40: Meaning("handshake failure", "no-common-cipher", ("no-common-cipher", "certificate-required")),
    42: Meaning(
        "bad certificate",
        "peer-refuses-certificate",
        ("certificate-required", "certificate-withheld", "peer-says-bad", "peer-distrusts-issuer"),
    ),
    43: Meaning("unsupported certificate", "peer-says-unsupported"),
    44: Meaning("certificate revoked", "peer-says-revoked"),
    45: Meaning("certificate expired", "peer-says-expired"),
    46: Meaning("certificate unknown", "peer-refuses-certificate", REFUSED),
    47: Meaning("illegal parameter", "unexplained"),
    48: Meaning("unknown CA", "peer-distrusts-issuer"),
    49: Meaning("access denied", "access-denied"),
    50: Meaning("decode error", "unexplained"),
    51: Meaning("decrypt error", "peer-decrypt-error"),
    70: Meaning("protocol version", "no-common-version"),
    71: Meaning("insufficient security", "no-common-cipher"),
    80: Meaning("internal error", "unexplained"),
    109: Meaning("missing extension", "unexplained"),
    112: Meaning("unrecognized name", "name-mismatch"),
    116: Meaning("certificate required", "certificate-required", ("certificate-required", "certificate-withheld")),
    120: Meaning("no application protocol", "no-h2"),
}

# How OpenSSL spells alerts where no number is given (`sslv3 alert certificate expired`, `tlsv1 alert unknown ca`).
BY_WORDS: Final = {meaning.name.lower(): number for number, meaning in ALERTS.items()}


def meaning_of(number: int) -> Meaning:
    """The meaning of an alert; an unknown one explains nothing."""
    return ALERTS.get(number, Meaning(f"alert {number}", "unexplained"))
