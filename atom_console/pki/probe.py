"""A live look at a peer: what it shows, what it asks for, and whether it takes our certificate.

First a look without our certificate and without trust: nothing is sent, the server's chain is read and judged here,
with got and expected. Only a server that passes is then shown our certificate, with every check on.
"""

from __future__ import annotations

import socket
import ssl
import time
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

from cryptography import x509

from atom_console.pki import wire
from atom_console.pki.alerts import REFUSED, meaning_of
from atom_console.pki.checks import check
from atom_console.pki.contexts import context
from atom_console.pki.evidence import FOREIGN, Evidence, decide
from atom_console.pki.findings import Finding, Severity, finding, ranked
from atom_console.pki.inventory import utc_now
from atom_console.pki.material import Identity, Role, Trust
from atom_console.pki.names import is_address
from atom_console.pki.transcript import Transcript, name_hex
from atom_console.pki.translate import Transport, alert

_ALPN: Final = {Transport.FLIGHT: ("h2",), Transport.KAFKA: ()}
_PEER_NAMES: Final = {Transport.FLIGHT: "not-flight", Transport.KAFKA: "not-kafka"}
_SILENT: Final = ("certificate-required", *REFUSED)


@dataclass(frozen=True, slots=True)
class Target:
    """Whom to probe. `server_name` is what the certificate must carry, where it is not the host that is dialled."""

    host: str
    port: int
    transport: Transport
    tls: bool = True
    server_name: str | None = None

    @property
    def name(self) -> str:
        """The name that is compared with the certificate."""
        return self.server_name or self.host

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"


@dataclass(frozen=True, slots=True)
class Probe:
    """What a probe found.

    Attributes:
        findings: errors first.
        chain: what the server sent; empty where it is not TLS.
        version, alpn: as negotiated.
        asks: whether it asks for a client certificate.
        handshake_ms: connect to the end of the verified handshake and first answer, or None where it failed.
    """

    target: Target
    findings: tuple[Finding, ...]
    chain: tuple[x509.Certificate, ...] = field(default=(), repr=False)
    version: str | None = None
    alpn: str | None = None
    asks: bool | None = None
    handshake_ms: float | None = None


def probe(
    target: Target,
    trust: Trust,
    identity: Identity | None = None,
    *,
    own: tuple[Finding, ...] = (),
    timeout_s: float = 5.0,
    now: datetime | None = None,
) -> Probe:
    """Talk to a peer and explain what goes wrong. Opens at most three connections.

    Args:
        trust: judges the server.
        identity: our pair; needs its key.
        own: faults of our own files that are known already: they decide between the readings of a refusal.
        timeout_s: for each connection: connecting, and each answer.
    """
    moment = now or utc_now()
    if not target.tls:
        return Probe(target, _plaintext_client(target, timeout_s))
    looked = _look(target, timeout_s)
    if looked.findings:
        return looked
    server = Identity(str(target), looked.chain)
    judged = check(server, trust, Role.SERVER, host=target.name, now=moment)
    found = [*looked.findings, *judged]
    if any(f.severity is Severity.ERROR for f in judged):
        return _with(looked, found)
    if target.transport is Transport.FLIGHT and looked.alpn != "h2":
        return _with(looked, [finding("no-h2", str(target), f"it negotiated {looked.alpn or 'no protocol'}"), *found])
    mine: tuple[Finding, ...] = ()
    if identity is not None:
        # Chain faults of ours against our own bundle are evidence, not faults: the server may trust another CA.
        mine = check(identity, trust, Role.CLIENT, now=moment)
        found += [f for f in mine if f.id not in FOREIGN]
    return _shake(target, trust, identity, (*own, *mine), looked, found, timeout_s)


def _with(looked: Probe, findings: list[Finding], handshake_ms: float | None = None) -> Probe:
    return Probe(looked.target, ranked(findings), looked.chain, looked.version, looked.alpn, looked.asks, handshake_ms)


def connect(target: Target, timeout_s: float) -> socket.socket | Finding:
    """A TCP connection, or why there is none."""
    whom = str(target)
    try:
        return socket.create_connection((target.host, target.port), timeout_s)
    except socket.gaierror as error:
        return finding("host-unknown", whom, f"{target.host} has no address: {error.strerror}")
    except ConnectionRefusedError:
        return finding("connection-refused", whom, f"nothing listens on {whom}")
    except TimeoutError:
        return finding("unreachable", whom, f"no answer to a connection attempt in {timeout_s:g} s")
    except OSError as error:
        return finding("unreachable", whom, f"the network says: {error.strerror or error}")


def _plaintext_client(target: Target, timeout_s: float) -> tuple[Finding, ...]:
    whom = str(target)
    heard = _plaintext_answer(target, timeout_s)
    if isinstance(heard, Finding):
        return (heard,)
    if wire.understood(heard, target.transport):
        return (finding("ok", whom, "the peer answers in plaintext"),)
    if wire.is_tls_alert(heard):
        return (finding("tls-required", whom, "the peer answered plaintext with a TLS alert"),)
    looked = _look(target, timeout_s)
    if looked.version is not None or looked.chain:
        return (
            finding("tls-required", whom, f"the port speaks {looked.version or 'TLS'}; this client speaks plaintext"),
        )
    rule = _PEER_NAMES[target.transport]
    return (finding(rule, whom, f"it does not answer as {target.transport}, in plaintext or in TLS"),)


def _plaintext_answer(target: Target, timeout_s: float) -> bytes | Finding:
    connection = connect(target, timeout_s)
    if isinstance(connection, Finding):
        return connection
    with connection:
        try:
            connection.sendall(wire.greeting(target.transport))
            return wire.listen(connection.recv, target.transport)
        except TimeoutError:
            return b""
        except OSError:
            return b""


def _look(target: Target, timeout_s: float) -> Probe:
    """Read what the server shows, with no certificate of ours and nothing believed."""
    whom = str(target)
    connection = connect(target, timeout_s)
    if isinstance(connection, Finding):
        return Probe(target, (connection,))
    transcript = Transcript()
    made = context(Role.CLIENT, None, None, alpn=_ALPN[target.transport])
    transcript.listen(made)
    version = alpn = None
    failure: OSError | None = None
    with connection:
        try:
            with made.wrap_socket(connection, server_hostname=_sni(target)) as side:
                version, alpn = side.version(), side.selected_alpn_protocol()
                if not transcript.server_chain:
                    der = side.getpeercert(binary_form=True)
                    transcript.server_chain = (x509.load_der_x509_certificate(der),) if der else ()
        except OSError as error:
            failure = error
    found: tuple[Finding, ...] = ()
    if failure is not None and not transcript.server_chain:
        found = (_no_tls(target, failure, transcript, timeout_s),)
    elif not transcript.server_chain:
        found = (finding("no-common-cipher", whom, "the server shows no certificate"),)
    asked = transcript.asked if found == () else None
    return Probe(target, found, transcript.server_chain, version or ("TLS" if not found else None), alpn, asked)


def _sni(target: Target) -> str | None:
    return None if is_address(target.name) else target.name.rstrip(".")


def _no_tls(target: Target, failure: OSError, transcript: Transcript, timeout_s: float) -> Finding:
    whom = str(target)
    if isinstance(failure, TimeoutError):
        return finding("timed-out", whom, f"no answer to a TLS greeting in {timeout_s:g} s")
    if transcript.alerts_in:
        return alert(transcript.alerts_in[-1], whom, _alert_words(transcript), Evidence(tls=True))[0]
    reason = getattr(failure, "reason", None) or ""
    if "UNSUPPORTED_PROTOCOL" in reason or "NO_PROTOCOLS" in reason:
        return finding("no-common-version", whom, "the server offers only a TLS version that is too old")
    heard = _plaintext_answer(target, timeout_s)
    if isinstance(heard, bytes) and wire.understood(heard, target.transport):
        return finding("plaintext-peer", whom, f"it answers {target.transport} in plaintext; this client speaks TLS")
    if "WRONG_VERSION" in reason or "HTTP_REQUEST" in reason or "RECORD" in reason:
        rule = _PEER_NAMES[target.transport]
        return finding(rule, whom, f"it speaks neither TLS nor plaintext {target.transport}")
    return finding("peer-closed", whom, "the peer closed the connection before TLS began")


def _alert_words(transcript: Transcript) -> str:
    number = transcript.alerts_in[-1]
    return f"the peer sent TLS alert {number} ({meaning_of(number).name})"


def _shake(
    target: Target,
    trust: Trust,
    identity: Identity | None,
    own: tuple[Finding, ...],
    looked: Probe,
    found: list[Finding],
    timeout_s: float,
) -> Probe:
    whom = str(target)
    transcript = Transcript()
    usable = identity if identity is not None and identity.key is not None else None
    try:
        made = context(Role.CLIENT, trust, usable, alpn=_ALPN[target.transport])
    except ssl.SSLError as error:
        words = f"OpenSSL does not load our pair: {error.reason}"
        return _with(
            looked, [*decide("pair-unusable", ("key-weak", "signature-weak"), whom, words, Evidence(own=own)), *found]
        )
    transcript.listen(made)
    started = time.perf_counter()
    connection = connect(target, timeout_s)
    if isinstance(connection, Finding):
        return _with(looked, [connection, *found])
    heard, failure = b"", None
    with connection:
        try:
            with made.wrap_socket(connection, server_hostname=target.name.rstrip(".")) as side:
                # On TLS 1.3 a server refuses our certificate only after its own handshake is over: its answer tells.
                side.sendall(wire.greeting(target.transport))
                heard = wire.listen(side.recv, target.transport)
        except OSError as error:
            failure = error
    taken_ms = (time.perf_counter() - started) * 1000
    if wire.understood(heard, target.transport):
        if not looked.asks:
            found.append(finding("client-certificate-not-asked", whom, "the server does not ask for a certificate"))
        return _with(looked, found, taken_ms)
    evidence = Evidence(
        tls=True,
        certificate_set=usable is not None,
        withheld=_withheld(transcript, usable),
        own=own,
    )
    return _with(looked, [*_refused(target, failure, transcript, evidence, timeout_s), *found])


def _withheld(transcript: Transcript, identity: Identity | None) -> bool:
    """Whether the server asked for certificates of issuers that ours does not have."""
    if identity is None or not transcript.asked_issuers:
        return False
    ours = {name_hex(c.issuer) for c in identity.chain}
    return not ours & set(transcript.asked_issuers)


def _refused(
    target: Target, failure: OSError | None, transcript: Transcript, evidence: Evidence, timeout_s: float
) -> tuple[Finding, ...]:
    whom = str(target)
    if isinstance(failure, ssl.SSLCertVerificationError):
        return (finding("openssl-refuses", whom, f"OpenSSL refuses the server: {failure.verify_message}"),)
    if transcript.alerts_in:
        return alert(transcript.alerts_in[-1], whom, _alert_words(transcript), evidence)
    if isinstance(failure, TimeoutError):
        if transcript.server_hello:
            rule = _PEER_NAMES[target.transport]
            return (
                finding(rule, whom, f"TLS is fine, but there is no answer to {target.transport} in {timeout_s:g} s"),
            )
        return (finding("timed-out", whom, f"no answer in {timeout_s:g} s"),)
    if transcript.asked:
        words = "the server asked for a certificate and closed the connection without a word"
        return decide("peer-closed", _SILENT, whom, words, evidence)
    rule = _PEER_NAMES[target.transport]
    return (finding(rule, whom, f"TLS is fine, but it closed when spoken to as {target.transport}"),)
