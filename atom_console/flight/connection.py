"""Where a Flight server is and how we prove who we are: one frozen value, opened as often as needed."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal, NamedTuple
from urllib.parse import urlsplit

from atom_console.errors import CheckError, InputError
from atom_console.flight.channel import ChannelOptions, fl
from atom_console.safe_text import safe_text

if TYPE_CHECKING:
    from atom_console.config import FlightSettings

Transport = Literal["plaintext", "TLS", "mTLS", "unix"]

_SAME_CONNECTION = "arrow-flight-reuse-connection"
_SCHEMES = ("grpc", "grpc+tcp", "grpc+tls", "grpc+unix")
_MAX_TOKEN_BYTES = 64 << 10


class Identity(NamedTuple):
    """A client certificate (with its chain) and its unencrypted key, both PEM."""

    certificate: bytes
    key: bytes


class Target(NamedTuple):
    """A server, and the plan on it where one was named."""

    uri: str
    plan: str | None


def parse_target(text: str, *, secure: bool) -> Target:
    """`host:port`, `flight://host:port/plan`, `grpc://…`, `grpc+tls://…` or `grpc+unix:///path` → server and plan.

    Args:
        text: as the operator wrote it.
        secure: use TLS where the text leaves it open, that is with `host:port` and `flight://`.

    Raises:
        InputError: no such form, or no port.
    """
    scheme, separator, rest = text.partition("://")
    if not separator:
        scheme, rest = "flight", text
    if scheme == "grpc+unix":
        return Target(text, None)
    if scheme == "flight":
        scheme = "grpc+tls" if secure else "grpc"
    if scheme not in _SCHEMES:
        raise InputError(
            f"{text!r} is not a Flight address", next_step="Use host:port, grpc://host:port or grpc+tls://host:port."
        )
    try:
        parts = urlsplit(f"{scheme}://{rest}")
        port = parts.port
    except ValueError as error:
        raise InputError(f"{text!r} is not a Flight address: {error}", next_step="Use host:port.") from None
    if "@" in parts.netloc:
        raise InputError(f"{scheme}://… carries a password", next_step="Put the token in ATOM_FLIGHT_TOKEN_FILE.")
    if not parts.hostname or port is None:
        raise InputError(f"{text!r} names no port", next_step="Use host:port; the engine serves on 50051.")
    return Target(f"{scheme}://{parts.netloc}", parts.path.lstrip("/") or None)


@dataclass(frozen=True, slots=True)
class Connection:
    """A Flight server and the credentials for it.

    Attributes:
        uri: `grpc://host:port`, `grpc+tls://host:port` or `grpc+unix:///path`.
        ca: PEM of the roots that the server's certificate must lead to.
        identity: our certificate, for mutual TLS.
        token: bearer token, sent as `authorization` with each call.
        options: of the gRPC channel.
    """

    uri: str
    ca: bytes | None = None
    identity: Identity | None = field(default=None, repr=False)
    token: str | None = field(default=None, repr=False)
    options: ChannelOptions = field(default_factory=ChannelOptions)

    @classmethod
    def from_settings(
        cls,
        settings: FlightSettings,
        *,
        uri: str | None = None,
        ca: bytes | None = None,
        identity: Identity | None = None,
    ) -> Connection:
        """A connection as configured.

        Args:
            settings: the `flight` section.
            uri: instead of the configured one.
            ca: PEM roots from the certificate inventory, instead of the configured file.
            identity: likewise.

        Raises:
            InputError: no address, an unreadable file, one of certificate and key without the other.
            CheckError: certificate and key do not belong together, or the key is encrypted.
        """
        given = uri or settings.uri
        if not given:
            raise InputError("no Flight server is configured", next_step="Name one, or set ATOM_FLIGHT_URI.")
        roots = ca or (read_pem(settings.ca, "flight.ca") if settings.ca else None)
        pair = identity or _read_identity(settings.cert, settings.key)
        target = parse_target(str(given), secure=roots is not None or pair is not None)
        return cls(
            uri=target.uri,
            ca=roots,
            identity=pair,
            token=read_token(settings.token_file) if settings.token_file else None,
            options=ChannelOptions.from_settings(settings),
        )

    @property
    def transport(self) -> Transport:
        """What protects the bytes on the way."""
        if self.uri.startswith("grpc+unix:"):
            return "unix"
        if not self.uri.startswith("grpc+tls:"):
            return "plaintext"
        return "mTLS" if self.identity else "TLS"

    @property
    def authorization(self) -> str:
        """The `authorization` value of each call, empty without a token."""
        return f"Bearer {self.token}" if self.token else ""

    def at(self, location: str) -> Connection:
        """The same credentials at a location that a server handed out.

        A location never takes the token or the data from an encrypted to a plain connection.

        Raises:
            CheckError: it would.
        """
        if location.startswith(_SAME_CONNECTION):
            return self
        moved = replace(self, uri=parse_target(location, secure=self.transport in {"TLS", "mTLS"}).uri)
        if self.transport in {"TLS", "mTLS"} and moved.transport == "plaintext":
            raise CheckError(
                f"{self.uri} sends us from {self.transport} to the plaintext location {location}",
                next_step="Let the server hand out grpc+tls:// locations.",
            )
        return moved

    def open(self) -> fl.FlightClient:
        """A client with its own TCP connection; lazy, it fails at the first call and not here."""
        options: dict[str, object] = {"generic_options": self.options.arguments()}
        if self.transport in {"TLS", "mTLS"}:
            if self.ca:
                options["tls_root_certs"] = self.ca
            if self.identity:
                options["cert_chain"] = self.identity.certificate
                options["private_key"] = self.identity.key
        return fl.FlightClient(self.uri, **options)

    def call_options(self, *, deadline_s: float | None = None) -> fl.FlightCallOptions:
        """The token, and the most seconds that a whole call may take (a stream included)."""
        headers = [(b"authorization", self.authorization.encode())] if self.token else []
        return fl.FlightCallOptions(timeout=deadline_s, headers=headers)


class KeptClient:
    """The client of one reading thread: used again for its next endpoint where that is on the same server."""

    def __init__(self) -> None:
        self._connection: Connection | None = None
        self._client: fl.FlightClient | None = None

    def open(self, connection: Connection) -> fl.FlightClient:
        """A client of this connection."""
        if self._client is None or connection != self._connection:
            self.close()
            self._client, self._connection = connection.open(), connection
        return self._client

    def close(self) -> None:
        """Disconnect: the end, or a stream that broke off."""
        client, self._client, self._connection = self._client, None, None
        if client is not None:
            client.close()


def read_pem(path: Path, setting: str) -> bytes:
    """A PEM file; `setting` is how messages name it.

    Raises:
        InputError: unreadable, or not PEM.
    """
    try:
        data = Path(path).read_bytes()
    except OSError as error:
        raise InputError(
            f"cannot read {setting} {path}: {error.strerror}", next_step="Check the path and who may read it."
        ) from None
    if b"-----BEGIN" not in data:
        raise InputError(f"{setting} {path} is not PEM", next_step="Convert it with openssl to PEM.")
    return data


def _read_identity(cert: Path | None, key: Path | None) -> Identity | None:
    if not cert and not key:
        return None
    if not cert or not key:
        missing = "key" if cert else "cert"
        raise InputError(f"flight.{missing} is missing", next_step=f"Set ATOM_FLIGHT_{missing.upper()} as well.")
    identity = Identity(read_pem(cert, "flight.cert"), read_pem(key, "flight.key"))
    check_pair(identity, f"{cert} and {key}")
    return identity


def check_pair(identity: Identity, where: str) -> None:
    """Refuse a pair that gRPC would drop without saying why (its only words are `empty address list`).

    Raises:
        CheckError: the key is encrypted, either is unreadable, or they do not belong together.
    """
    from cryptography.hazmat.primitives.serialization import load_pem_private_key
    from cryptography.x509 import load_pem_x509_certificate

    if b"ENCRYPTED" in identity.key:
        raise CheckError(
            f"the key of {where} is encrypted, which gRPC cannot read",
            next_step="Name the certificate of the inventory instead (ATOM_FLIGHT_CERTIFICATE), or decrypt the key.",
        )
    try:
        certified = load_pem_x509_certificate(identity.certificate).public_key()
        ours = load_pem_private_key(identity.key, password=None).public_key()
    except (ValueError, TypeError) as error:
        raise CheckError(
            f"{where} cannot be read: {safe_text(str(error), 200)}", next_step="Check that both are PEM."
        ) from None
    if certified != ours:
        raise CheckError(
            f"{where} do not belong together", next_step="Use the key that the certificate was issued for."
        )


def read_token(path: Path) -> str:
    """The bearer token in a file.

    Raises:
        InputError: unreadable, empty, or not one printable line.
    """
    try:
        with Path(path).open("rb") as file:
            token = file.read(_MAX_TOKEN_BYTES).decode("ascii").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(
            f"cannot read the token file {path}: {error}", next_step="Check ATOM_FLIGHT_TOKEN_FILE."
        ) from None
    if not token or not token.isprintable():
        raise InputError(f"the token file {path} holds no token", next_step="Put the bearer token on its only line.")
    return token
