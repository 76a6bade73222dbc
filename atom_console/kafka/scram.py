"""Logging in with a password: PLAIN (RFC 4616) and SCRAM (RFC 5802, as Kafka speaks it since KIP-84)."""

from __future__ import annotations

import base64
import hashlib
import hmac
import os
from collections.abc import Generator
from typing import Final

_MOST_ROUNDS: Final = 1_000_000
"""Kafka itself takes up to 16,384; a broker that asks for more would only keep us busy."""

Exchange = Generator[bytes, bytes, None]
"""Yields what is sent, is given the answer to it, and ends when the server is satisfied."""


def plain(user: str, password: str) -> Exchange:
    """The password itself."""
    yield b"\0".join((b"", user.encode(), password.encode()))


def scram(user: str, password: str, algorithm: str, *, nonce: str | None = None) -> Exchange:
    """The proof of a password.

    Args:
        algorithm: of `hashlib`: `sha256` or `sha512`.
        nonce: by default a random one.

    Raises:
        ConnectionRefusedError: the server refuses the proof, or gives none of its own.
    """
    name = user.replace("=", "=3D").replace(",", "=2C")
    ours = nonce or base64.b64encode(os.urandom(18)).decode()
    first = f"n={name},r={ours}"
    challenge = (yield f"n,,{first}".encode()).decode(errors="replace")
    theirs, salt, rounds = _asked(challenge, ours)
    salted = hashlib.pbkdf2_hmac(algorithm, password.encode(), salt, rounds)
    final = f"c=biws,r={theirs}"
    signed = f"{first},{challenge},{final}".encode()
    key = hmac.digest(salted, b"Client Key", algorithm)
    mask = hmac.digest(hashlib.new(algorithm, key).digest(), signed, algorithm)
    proof = bytes(a ^ b for a, b in zip(key, mask, strict=True))
    verdict = _fields((yield f"{final},p={base64.b64encode(proof).decode()}".encode()).decode(errors="replace"))
    expected = hmac.digest(hmac.digest(salted, b"Server Key", algorithm), signed, algorithm)
    if not hmac.compare_digest(verdict.get("v", "").encode(), base64.b64encode(expected)):
        raise ConnectionRefusedError(f"SCRAM: {verdict.get('e', 'the server does not know the password either')}")


def _asked(challenge: str, ours: str) -> tuple[str, bytes, int]:
    """Nonce, salt and how often to hash, of a challenge that answers our nonce."""
    fields = _fields(challenge)
    try:
        theirs, salt, rounds = fields["r"], base64.b64decode(fields["s"], validate=True), int(fields["i"])
    except (KeyError, ValueError):
        theirs, salt, rounds = "", b"", 0
    if not theirs.startswith(ours) or not 0 < rounds <= _MOST_ROUNDS:
        raise ConnectionRefusedError(f"SCRAM: the server answered {challenge[:100]!r}")
    return theirs, salt, rounds


def _fields(message: str) -> dict[str, str]:
    return {part[:1]: part[2:] for part in message.split(",") if part[1:2] == "="}
