"""`certs verify`: one question, every fault by name. Local checks, a rehearsal in memory, and a live peer if asked."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID

from atom_console.pki.checks import check
from atom_console.pki.errors import FaultError, PassphraseError, UnknownCertificateError
from atom_console.pki.evidence import FOREIGN, Evidence
from atom_console.pki.files import read_file
from atom_console.pki.findings import Finding, Severity, finding, ranked, verdict
from atom_console.pki.inventory import Status, utc_now
from atom_console.pki.keys import is_encrypted
from atom_console.pki.material import Identity, Role, Trust, read_identity, read_trust
from atom_console.pki.passphrase import Passphrase, PassphraseSource
from atom_console.pki.probe import Probe, Target, probe
from atom_console.pki.profiles import Kind
from atom_console.pki.rehearsal import opinion
from atom_console.pki.store import Store
from atom_console.pki.translate import Transport, translate


@dataclass(frozen=True, slots=True)
class Pair:
    """The files of one side, as a client or server is configured with them; all may be None.

    Attributes:
        known: CA certificates at hand that are not trusted by themselves (our own issuing CAs).
    """

    label: str
    cert: Path | None = None
    key: Path | None = None
    ca: Path | None = None
    crl: Path | None = None
    known: tuple[x509.Certificate, ...] = ()


@dataclass(frozen=True, slots=True)
class Report:
    """The verdict: `ok` where no finding is an error. The first finding is the one to act on."""

    label: str
    findings: tuple[Finding, ...]
    identity: Identity | None = None
    probe: Probe | None = None

    @property
    def ok(self) -> bool:
        """Whether nothing found would stop a handshake."""
        return verdict(self.findings)

    @property
    def sentence(self) -> str:
        """The verdict in one sentence, with got and expected."""
        errors = [f for f in self.findings if f.severity is Severity.ERROR]
        if errors:
            more = f" (and {len(errors) - 1} more)" if len(errors) > 1 else ""
            return f"{errors[0].id}: {errors[0].subject}: {errors[0].message}{more}"
        if self.probe is not None and self.probe.handshake_ms is not None:
            return f"{self.label}: good; {self.probe.target} answered over {self.probe.version}"
        return f"{self.label}: good"


def pair_of(store: Store, name: str) -> Pair:
    """The files of a name in the inventory, through its version directory.

    Raises:
        UnknownCertificateError: not in the inventory.
    """
    entry = store.find(name)
    crl = store.crl_bundle if store.crl_bundle.exists() else None
    return Pair(name, entry.chain, entry.key, store.bundle, crl, known_cas(store))


def known_cas(store: Store) -> tuple[x509.Certificate, ...]:
    """Our CA certificates of every generation: they tell a forgotten intermediate from a foreign CA."""
    entries = [e for e in store.entries() if e.kind is not Kind.LEAF and e.status is not Status.RETIRED]
    return tuple(x509.load_pem_x509_certificate(entry.cert.read_bytes()) for entry in entries)


def roles_of(leaf: x509.Certificate) -> tuple[Role, ...]:
    """The sides that a certificate is meant for; both where it does not say."""
    try:
        usages = set(leaf.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value)
    except x509.ExtensionNotFound:
        return (Role.SERVER, Role.CLIENT)
    named = {Role.SERVER: ExtendedKeyUsageOID.SERVER_AUTH, Role.CLIENT: ExtendedKeyUsageOID.CLIENT_AUTH}
    return tuple(role for role, usage in named.items() if usage in usages) or (Role.SERVER, Role.CLIENT)


def verify(
    pair: Pair,
    *,
    roles: Iterable[Role] | None = None,
    host: str | None = None,
    passphrase: PassphraseSource | None = None,
    now: datetime | None = None,
) -> Report:
    """Check one pair by itself: as the server or client that its extended key usage says, or as `roles`.

    Args:
        host: the name that clients dial, for a server.
        now: another clock than this host's; the rehearsal, which has only the real one, is then left out.
    """
    identity, trust, found = _read(pair, passphrase)
    if identity is not None:
        for role in roles or roles_of(identity.leaf):
            found += _side(identity, trust, role, host, found, now)
    return Report(pair.label, ranked(found), identity)


def _side(
    identity: Identity, trust: Trust, role: Role, host: str | None, files: list[Finding], now: datetime | None
) -> tuple[Finding, ...]:
    dialled = host if role is Role.SERVER else None
    found = check(identity, trust, role, host=dialled, now=now or utc_now())
    sound = verdict([*files, *found]) and identity.key is not None and trust.anchors
    return (*found, *opinion(identity, trust, role, host=dialled)) if sound and now is None else found


def _read(pair: Pair, passphrase: PassphraseSource | None) -> tuple[Identity | None, Trust, list[Finding]]:
    secret = _secret(pair, passphrase)
    trust, found = read_trust(pair.ca, crl=pair.crl, known=pair.known)
    if pair.cert is None and pair.key is None:
        return None, trust, list(found)
    read = read_identity(pair.cert, pair.key, label=pair.label, passphrase=secret)
    return read.identity, trust, [*read.findings, *found]


def _secret(pair: Pair, passphrase: PassphraseSource | None) -> Passphrase | None:
    """Ask for a passphrase only where the key needs one, and never where there is nobody to ask."""
    if passphrase is None or pair.key is None:
        return None
    try:
        return passphrase(f"the key {pair.key}") if is_encrypted(read_file(pair.key)) else None
    except (FaultError, PassphraseError):
        return None


def diagnose(
    pair: Pair,
    target: Target,
    *,
    passphrase: PassphraseSource | None = None,
    timeout_s: float = 5.0,
    now: datetime | None = None,
) -> Report:
    """Explain a connection: the client's files, the server's certificate, and what each says of the other."""
    identity, trust, files = _read(pair, passphrase)
    unusable = pair.key is not None and (identity is None or identity.key is None)
    mismatch = any(f.id == "key-mismatch" for f in files)
    if target.tls and (not trust.anchors or unusable or mismatch):
        # The client library would not even start: what the server would say is beside the point.
        return Report(pair.label, ranked(files), identity)
    result = probe(target, trust, identity, own=tuple(files), timeout_s=timeout_s, now=now)
    found = list(result.findings)
    foreign = [f.id for f in found if f.id in FOREIGN]
    kept = [f for f in files if f not in found and f.id not in foreign]
    return Report(pair.label, ranked([*found, *kept]), identity, result)


def check_settings(
    *, verification: bool, certificate_set: bool, host_check: bool = True, subject: str
) -> tuple[Finding, ...]:
    """Faults of a client's settings that no handshake shows."""
    found = []
    if not verification and certificate_set:
        found.append(finding("verification-off", subject, "server verification is off and a client certificate is set"))
    elif not host_check:
        found.append(finding("hostname-check-off", subject, "the host name check is off"))
    return tuple(found)


def resolve(store: Store, name_or_file: str, *, ca: Path | None = None, key: Path | None = None) -> Pair:
    """A name of the inventory, or a certificate file with its key beside it.

    Raises:
        UnknownCertificateError: neither.
    """
    path = Path(name_or_file)
    try:
        pair = pair_of(store, name_or_file)
    except UnknownCertificateError:
        if not path.exists():
            raise
        bundle = ca or (store.bundle if store.bundle.exists() else None)
        return Pair(name_or_file, path, key, bundle, None, known_cas(store))
    return pair if ca is None else Pair(pair.label, pair.cert, pair.key, ca, None, pair.known)


def explain(
    text: str,
    transport: Transport,
    pair: Pair,
    *,
    target: Target | None = None,
    passphrase: PassphraseSource | None = None,
    timeout_s: float = 5.0,
) -> tuple[Finding, ...]:
    """What a client library's error text really means, decided by the pair's files and, if it may, a look at the peer.

    Args:
        text: what gRPC or librdkafka said.
        target: the peer, if it may be asked; without it some texts stay "one of".
    """
    identity, _, files = _read(pair, passphrase)
    own = tuple(files)
    if identity is not None:
        own += verify(pair, roles=(Role.CLIENT,), passphrase=passphrase).findings
    tls = target.tls if target is not None else None
    evidence = Evidence(tls=tls, certificate_set=pair.cert is not None, own=own)
    told = translate(text, transport, subject=None if target is None else str(target), evidence=evidence)
    if target is None:
        return told
    report = diagnose(pair, target, passphrase=passphrase, timeout_s=timeout_s)
    faults = tuple(f for f in report.findings if f.severity is Severity.ERROR)
    open_ones = {candidate for fault in faults for candidate in fault.candidates}
    if open_ones and all(one.id in open_ones and not one.candidates for one in told):
        return told  # the peer was silent to us and spoke to the client
    return faults or told
