"""What the certificate inventory holds, soonest end first, and what of it this console uses."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from atom_console.config import paths
from atom_console.engine.snapshot import Alarm, CertificateRow

if TYPE_CHECKING:
    from atom_console.config import Settings

TICK_S: Final = 15.0
_LIVING: Final = frozenset({"ok", "renew now", "expired", "not yet valid"})


@dataclass(frozen=True, slots=True)
class InventoryFacts:
    """One reading of the inventory; the fields are those of `CertificateSection`."""

    rows: tuple[CertificateRow, ...] = ()
    directory: str | None = None
    issuer: str | None = None
    root_key_here: bool | None = None
    rotation_step: int | None = None
    passphrase_set: bool = False


def read_certificates(settings: Settings) -> tuple[CertificateRow, ...]:
    """The living certificates; none where nothing was ever issued here. Raises as `read_inventory`."""
    return read_inventory(settings).rows


def read_inventory(settings: Settings) -> InventoryFacts:
    """The living certificates, and how the CA stands.

    Raises:
        StoreDamagedError: the inventory cannot be read.
    """
    from atom_console.pki.errors import StoreDamagedError

    try:
        return _read(settings)
    except OSError as error:
        raise StoreDamagedError(
            f"{error.filename or paths.pki_dir(settings)} cannot be read: {error.strerror or error}",
            next_step="make it readable for this user, or set ATOM_PKI_DIR",
        ) from None


def _read(settings: Settings) -> InventoryFacts:
    directory = paths.pki_dir(settings)
    passphrase_set = settings.pki.passphrase is not None or settings.pki.passphrase_file is not None
    if not directory.exists():
        return InventoryFacts(directory=str(directory), passphrase_set=passphrase_set)
    from atom_console.pki.inventory import Status, utc_now
    from atom_console.pki.profiles import Kind
    from atom_console.pki.store import Store

    now, store = utc_now(), Store(directory)
    entries = store.entries()
    used_by = _users(settings)
    rows = [
        CertificateRow(
            name=entry.name,
            profile=entry.profile,
            days_left=entry.days_left(now),
            status=entry.state(now),
            used_by=used_by.get(entry.name),
            left=entry.left(now),
            alarm=_alarm(entry.left(now)),
            kind=entry.kind.value,
            names=entry.sans,
        )
        for entry in entries
        if entry.state(now) in _LIVING
    ]
    signing = {entry.kind: entry for entry in entries if entry.status is Status.ACTIVE}
    root, issuing = signing.get(Kind.ROOT), signing.get(Kind.INTERMEDIATE)
    rotation = store.state().rotation
    return InventoryFacts(
        rows=tuple(sorted(rows, key=lambda row: row.days_left or 0.0)),
        directory=str(directory),
        issuer=None if issuing is None else issuing.name,
        root_key_here=None if root is None else root.key is not None,
        rotation_step=None if rotation is None else rotation.step,
        passphrase_set=passphrase_set,
    )


def _alarm(left: float) -> Alarm:
    from atom_console.pki.inventory import CRITICAL_LEFT, WARN_LEFT

    if left <= 0:
        return "over"
    return "critical" if left <= CRITICAL_LEFT else "soon" if left <= WARN_LEFT else ""


def _users(settings: Settings) -> dict[str | None, str]:
    """What of this console uses which certificate."""
    kafka, flight = settings.kafka.certificate, settings.flight.certificate
    if kafka == flight:
        return {kafka: "this console"}
    return {kafka: "Kafka client", flight: "Flight client"}
