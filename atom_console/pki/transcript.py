"""What was said in a handshake: the server's chain, whether it asked for a certificate and of whom, every alert.

`ssl` shows none of that, but its message callback does (`SSLContext._msg_callback`, private, there since Python 3.8).
Where it is missing, a probe still works and says less.
"""

from __future__ import annotations

import ssl
from dataclasses import dataclass, field
from typing import Any, Final

from cryptography import x509

_HANDSHAKE: Final = 22
_ALERT: Final = 21
_SERVER_HELLO, _CERTIFICATE, _CERTIFICATE_REQUEST = 2, 11, 13
_CERTIFICATE_AUTHORITIES: Final = 47
_TLS13: Final = 0x0304


@dataclass(slots=True)
class Transcript:
    """Filled while a handshake runs; alerts are numbers of RFC 8446 §6."""

    server_hello: bool = False
    server_chain: tuple[x509.Certificate, ...] = ()
    asked: bool = False
    asked_issuers: tuple[str, ...] = ()
    sent_certificate: bool = False
    alerts_in: list[int] = field(default_factory=list)
    alerts_out: list[int] = field(default_factory=list)

    def listen(self, context: ssl.SSLContext) -> None:
        """Record the handshakes of a client context from now on."""
        if hasattr(context, "_msg_callback"):
            context._msg_callback = self._message

    def _message(self, _side: Any, direction: str, version: int, kind: int, message: int, data: bytes) -> None:
        incoming = direction == "read"
        try:
            if int(kind) == _ALERT and len(data) >= 2:
                # A closing "I am done" (0) is no complaint.
                if data[1]:
                    (self.alerts_in if incoming else self.alerts_out).append(data[1])
            elif int(kind) == _HANDSHAKE:
                self._handshake(incoming, int(version) == _TLS13, int(message), _Reader(data[4:]))
        except (ValueError, IndexError):
            # A message that does not parse is the peer's fault and OpenSSL's to judge.
            return

    def _handshake(self, incoming: bool, tls13: bool, message: int, body: _Reader) -> None:
        if incoming and message == _SERVER_HELLO:
            self.server_hello = True
        elif message == _CERTIFICATE:
            if tls13:
                body.block(1)
            entries = _certificate_list(body.block(3), tls13)
            if incoming:
                self.server_chain = tuple(x509.load_der_x509_certificate(der) for der in entries)
            else:
                self.sent_certificate = bool(entries)
        elif incoming and message == _CERTIFICATE_REQUEST:
            self.asked = True
            self.asked_issuers = _issuers(body, tls13)


class _Reader:
    """Takes length-prefixed blocks off TLS messages (RFC 8446 §3.4)."""

    def __init__(self, data: bytes) -> None:
        self.data = data

    def take(self, count: int) -> bytes:
        if count > len(self.data):
            raise ValueError("cut short")
        head, self.data = self.data[:count], self.data[count:]
        return head

    def block(self, prefix: int) -> _Reader:
        return _Reader(self.take(int.from_bytes(self.take(prefix), "big")))


def _certificate_list(body: _Reader, tls13: bool) -> list[bytes]:
    entries = []
    while body.data:
        entries.append(body.block(3).data)
        if tls13:
            body.block(2)
    return entries


def _issuers(body: _Reader, tls13: bool) -> tuple[str, ...]:
    names = _Reader(b"")
    if tls13:
        body.block(1)
        extensions = body.block(2)
        while extensions.data:
            kind = int.from_bytes(extensions.take(2), "big")
            extension = extensions.block(2)
            if kind == _CERTIFICATE_AUTHORITIES:
                names = extension.block(2)
    else:
        body.block(1)
        body.block(2)
        names = body.block(2)
    found = []
    while names.data:
        found.append(names.block(2).data.hex())
    return tuple(found)


def name_hex(name: x509.Name) -> str:
    """A name as `Transcript.asked_issuers` writes it: its DER, hex."""
    return name.public_bytes().hex()
