"""Whatever pyarrow, gRPC or OpenSSL raise, as one typed error with a cause and a next step.

The three layers do not agree on types: a time-out is a `FlightTimedOutError` from DoGet and a plain `OSError` ending in
`Detail: TimedOut` from GetSchema, NOT_FOUND is an `ArrowKeyError`, INVALID_ARGUMENT an `ArrowInvalid`, UNIMPLEMENTED an
`ArrowNotImplementedError`, none of them a `FlightError` (measured with pyarrow 26). So kind and text are read together.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

import pyarrow as pa

from atom_console.errors import AtomError, CheckError, InputError, PartialError, RefusedError, UnreachableError
from atom_console.flight.channel import fl
from atom_console.safe_text import safe_text


class PeerUnreachableError(UnreachableError):
    """No connection, or the connection broke."""


class FrozenPeerError(UnreachableError):
    """The connection is up and the peer answers no PING."""


class TooManyPingsError(UnreachableError):
    """The server hung up because it does not allow our keep-alive."""


class FlightTimeoutError(UnreachableError):
    """The total deadline passed, or nothing came for the idle time-out."""


class FlightServerError(UnreachableError):
    """The server failed inside the call."""


class PermissionDeniedError(RefusedError):
    """The server wants another token, or forbids this."""


class TransferCancelledError(PartialError):
    """Cancelled on purpose; what had arrived was not kept, unless the output says so."""


class PlanNotFoundError(InputError):
    """The server has no such plan."""


class BadRequestError(InputError):
    """The server calls the ticket, descriptor or body invalid."""


class UnimplementedRpcError(CheckError):
    """The server does not have this method."""


class BrokenStreamError(CheckError):
    """What the server sent is not the Flight protocol."""


class MessageTooLargeError(CheckError):
    """A message is above the receiver's limit."""


class TlsFaultError(CheckError):
    """The TLS handshake failed."""


LIVE_ERRORS = (fl.FlightError, pa.ArrowException, OSError, KeyError)
"""What calls on a Flight client raise; `ArrowKeyError` is a `KeyError` too."""


class _Rule(NamedTuple):
    pattern: re.Pattern[str]
    family: type[AtomError]
    cause: str
    next_step: str


def _rule(pattern: str, family: type[AtomError], cause: str, next_step: str) -> _Rule:
    return _Rule(re.compile(pattern, re.IGNORECASE), family, cause, next_step)


_CERTS = "Run atom-console certs verify against this address for the exact fault."
_TRANSPORT = (
    _rule(
        "too.many.pings",
        TooManyPingsError,
        "the server hung up: it does not allow a keep-alive PING this often (GOAWAY too_many_pings)",
        "On a Go server set EnforcementPolicy{MinTime: 5s, PermitWithoutStream: true}, on a C++ or Python one "
        "grpc.http2.min_ping_interval_without_data_ms=5000; or raise ATOM_FLIGHT_KEEPALIVE_TIME_MS above its limit.",
    ),
    _rule(
        "ping timeout|keepalive watchdog|recvmsg:Connection timed out",
        FrozenPeerError,
        "the peer is frozen: the connection is open and no PING was answered",
        "See whether the server is stopped or the tunnel hangs; the transfer can be started again.",
    ),
    _rule(
        "certificate verify failed: (self-signed|unable to get)|no root",
        TlsFaultError,
        "the server's certificate does not lead to our root",
        "Set ATOM_FLIGHT_CA to the root that issued it. " + _CERTS,
    ),
    _rule("certificate has expired", TlsFaultError, "the server's certificate has expired", "Renew it on the server."),
    _rule("not yet valid", TlsFaultError, "the server's certificate is not yet valid", "Compare the two clocks."),
    _rule(
        "not in peer certificate|hostname verification",
        TlsFaultError,
        "the server's certificate is for other names than this address",
        "Use a name that it carries, or issue one with this name as SAN.",
    ),
    _rule("unsuitable certificate purpose", TlsFaultError, "the server's certificate is not a server's", _CERTS),
    _rule("permitted subtree", TlsFaultError, "the server's name is outside what its issuer may sign", _CERTS),
    _rule("wrong.version.number", TlsFaultError, "the server speaks plaintext", "Use grpc:// instead of grpc+tls://."),
    _rule(
        "unwrap failed|TSI_DATA_CORRUPTED|alert",
        TlsFaultError,
        "the server refused our certificate (none sent, or not one it trusts)",
        "Set ATOM_FLIGHT_CERT and ATOM_FLIGHT_KEY to a pair that its CA issued. " + _CERTS,
    ),
    _rule("empty address list", TlsFaultError, "our own certificate, key or root cannot be used", _CERTS),
    _rule("certificate verify failed", TlsFaultError, "the server's certificate did not verify", _CERTS),
    _rule(
        "larger than max|message size|ResourceExhausted",
        MessageTooLargeError,
        "a message is above the receiver's limit (4 MiB in Go and tonic unless changed)",
        "Send smaller batches, or raise the receiver's limit.",
    ),
    _rule(
        "connection refused",
        PeerUnreachableError,
        "nothing listens at the address",
        "Start the server or fix the port.",
    ),
    _rule(
        "(dns|name).*(resol|not known|not found)|nodename nor servname",
        PeerUnreachableError,
        "the host name does not resolve",
        "Check the name, or use the address.",
    ),
    _rule(
        "socket closed|connection reset|delayed close|eof|broken pipe|goaway|transport closed",
        PeerUnreachableError,
        "the server closed the connection: it went down, it speaks TLS and we do not, or it refused our certificate",
        "Try again; if it stays, compare grpc:// with grpc+tls://. " + _CERTS,
    ),
)
_BROKEN = _rule(
    "never sent a data message|corrupted metadata|corrupted message|not a schema|invalid flatbuffers|ipc stream|"
    "expected .*schema|header-type",
    BrokenStreamError,
    "the server does not send an Arrow stream",
    "Fix the server: GetSchema and the head of DoGet must carry an IPC schema message.",
)

_BY_DETAIL = {"timedout": "timeout", "unauthenticated": "denied", "unauthorized": "denied", "cancelled": "cancelled"}


def translate(error: BaseException, doing: str, where: str) -> AtomError:
    """The typed form of `error`.

    Args:
        error: as caught.
        doing: the call, e.g. `GetSchema of plan q3`.
        where: the server's address.
    """
    if isinstance(error, AtomError):
        return error
    text = " ".join(str(arg) for arg in error.args) or type(error).__name__
    brief = safe_text(_first_sentence(text), 240)
    kind = _kind(error, text)
    if kind == "timeout":
        return FlightTimeoutError(
            f"{doing} at {where}: the deadline passed", next_step="Raise ATOM_FLIGHT_DEADLINE_S, or see why it is slow."
        )
    if kind == "cancelled":
        return TransferCancelledError(f"{doing} at {where}: cancelled ({brief})")
    if kind == "denied":
        return PermissionDeniedError(
            f"{doing} at {where}: the server refuses us: {brief}",
            next_step="Check the bearer token (ATOM_FLIGHT_TOKEN_FILE) and its scope.",
        )
    for rule in _rules_for(error):
        if rule.pattern.search(brief):
            return rule.family(f"{doing} at {where}: {rule.cause} ({brief})", next_step=rule.next_step)
    return _by_type(error, f"{doing} at {where}", brief)


@contextmanager
def translated(doing: str, where: str) -> Iterator[None]:
    """Any error of a Flight call inside becomes a typed one."""
    try:
        yield
    except AtomError:
        raise
    except LIVE_ERRORS as error:
        raise translate(error, doing, where) from error


def _kind(error: BaseException, text: str) -> str:
    if isinstance(error, fl.FlightTimedOutError):
        return "timeout"
    if isinstance(error, fl.FlightUnauthenticatedError | fl.FlightUnauthorizedError):
        return "denied"
    if isinstance(error, pa.ArrowCancelled) or (isinstance(error, fl.FlightCancelledError) and "max" not in text):
        return "cancelled"
    detail = re.search(r"Detail: (\w+)", text)
    return _BY_DETAIL.get(detail[1].lower(), "") if detail else ""


def _rules_for(error: BaseException) -> tuple[_Rule, ...]:
    """The words of an application are not searched for those of the transport."""
    if isinstance(error, KeyError | pa.ArrowNotImplementedError | fl.FlightServerError):
        return ()
    return (_BROKEN,) if isinstance(error, pa.ArrowInvalid) else (*_TRANSPORT, _BROKEN)


def _by_type(error: BaseException, call: str, brief: str) -> AtomError:
    if isinstance(error, pa.ArrowNotImplementedError):
        return UnimplementedRpcError(
            f"{call}: the server does not have this method", next_step="Name the plan by hand, or update the server."
        )
    if isinstance(error, KeyError):
        return PlanNotFoundError(f"{call}: not found: {brief}", next_step="List what it has: atom-console flight ls.")
    if isinstance(error, pa.ArrowInvalid):
        return BadRequestError(f"{call}: called invalid: {brief}", next_step="Check the plan id and the ticket.")
    if isinstance(error, fl.FlightUnavailableError):
        return PeerUnreachableError(f"{call}: not available: {brief}", next_step="See whether the server is up.")
    return FlightServerError(f"{call}: the server failed: {brief}", next_step="Its log has more.")


def _first_sentence(text: str) -> str:
    """Without gRPC's debugging context, which repeats the message and adds source lines."""
    text = re.split(r"\.?\s*(?:gRPC client debug context|Client context|Detail):", text)[0]
    return re.sub(r"^(?:(?:Flight|gRPC) returned [\w ]+ error, with message|Unknown error): ", "", text).strip()
