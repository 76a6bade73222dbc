"""One connection to a broker for the requests that no client makes: framing, TLS and SASL of the Kafka protocol."""

from __future__ import annotations

import socket
import ssl
import struct
from types import TracebackType
from typing import TYPE_CHECKING, Final, Self

from atom_console.kafka.scram import Exchange, plain, scram

if TYPE_CHECKING:
    from atom_console.config import KafkaSettings

_TIMEOUT_S: Final = 3.0
_CLIENT: Final = b"atom-console"
_SASL_HANDSHAKE, _SASL_AUTHENTICATE = 17, 36
_ALGORITHMS: Final = {"SCRAM-SHA-256": "sha256", "SCRAM-SHA-512": "sha512"}
_SPOKEN: Final = frozenset({"PLAIN", *_ALGORITHMS})


def can_connect(kafka: KafkaSettings) -> bool:
    """Whether the login of these settings is spoken here: not Kerberos, not OAuth."""
    return "sasl" not in kafka.security_protocol or kafka.sasl_mechanism in _SPOKEN


class RawConnection:
    """Connected and logged in. Use it as a context manager; for one thread.

    Args:
        kafka: security as every client has it.
        address: `host:port`.

    Raises:
        OSError: no connection, no TLS (`ssl.SSLError`), or no login (`ConnectionRefusedError`).
        struct.error: an answer that is none.
    """

    def __init__(self, kafka: KafkaSettings, address: str) -> None:
        name, _, port = address.rpartition(":")
        host = name.strip("[]")
        self._socket = socket.create_connection((host, int(port)), _TIMEOUT_S)
        try:
            if kafka.security_protocol in ("ssl", "sasl_ssl"):
                self._socket = _context(kafka).wrap_socket(self._socket, server_hostname=host)
            if kafka.security_protocol in ("sasl_plaintext", "sasl_ssl"):
                self._log_in(kafka)
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Disconnect."""
        self._socket.close()

    def ask(self, api_key: int, version: int, body: bytes) -> bytes:
        """Send a request (header version 1); the body of its response.

        Raises:
            OSError: the connection is gone.
        """
        request = struct.pack(">hhih", api_key, version, 1, len(_CLIENT)) + _CLIENT + body
        self._socket.sendall(struct.pack(">i", len(request)) + request)
        (length,) = struct.unpack(">i", self._receive(4))
        return self._receive(length)[4:]  # behind the correlation id

    def _receive(self, length: int) -> bytes:
        data = bytearray()
        while len(data) < length:
            part = self._socket.recv(length - len(data))
            if not part:
                raise ConnectionResetError("the broker closed the connection")
            data += part
        return bytes(data)

    def _log_in(self, kafka: KafkaSettings) -> None:
        mechanism = kafka.sasl_mechanism or "GSSAPI"
        name = mechanism.encode()
        (error,) = struct.unpack_from(">h", self.ask(_SASL_HANDSHAKE, 1, struct.pack(">h", len(name)) + name))
        if error:
            raise ConnectionRefusedError(f"the broker does not speak {mechanism}")
        exchange = _exchange(kafka, mechanism)
        token = next(exchange)
        while True:
            answer = self._authenticate(token)
            try:
                token = exchange.send(answer)
            except StopIteration:
                return

    def _authenticate(self, token: bytes) -> bytes:
        data = self.ask(_SASL_AUTHENTICATE, 0, struct.pack(">i", len(token)) + token)
        error, length = struct.unpack_from(">hh", data)
        at = 4 + max(0, length)
        if error:
            raise ConnectionRefusedError(data[4:at].decode(errors="replace"))
        (size,) = struct.unpack_from(">i", data, at)
        return data[at + 4 : at + 4 + max(0, size)]


def _exchange(kafka: KafkaSettings, mechanism: str) -> Exchange:
    user = kafka.sasl_username or ""
    password = "" if kafka.sasl_password is None else kafka.sasl_password.get_secret_value()
    if mechanism == "PLAIN":
        return plain(user, password)
    if mechanism in _ALGORITHMS:
        return scram(user, password, _ALGORITHMS[mechanism])
    raise ConnectionRefusedError(f"{mechanism} is not spoken here")


def _context(kafka: KafkaSettings) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=None if kafka.ssl_ca_location is None else str(kafka.ssl_ca_location))
    if kafka.ssl_endpoint_identification_algorithm == "none":
        context.check_hostname = False
    if kafka.ssl_certificate_location is not None:
        password = None if kafka.ssl_key_password is None else kafka.ssl_key_password.get_secret_value()
        key = None if kafka.ssl_key_location is None else str(kafka.ssl_key_location)
        context.load_cert_chain(str(kafka.ssl_certificate_location), key, password)
    return context
