"""What the certificate inventory holds, soonest end first, and what of it this console uses."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from atom_console.config import paths
from atom_console.engine.snapshot import CertificateRow

if TYPE_CHECKING:
    from atom_console.config import Settings

TICK_S: Final = 15.0
_LIVING: Final = frozenset({"ok", "renew now", "expired", "not yet valid"})


def read_certificates(settings: Settings) -> tuple[CertificateRow, ...]:
    """The living certificates; none where nothing was ever issued here.

    Raises:
        StoreDamagedError: the inventory cannot be read.
    """
    directory = paths.pki_dir(settings)
    if not directory.exists():
        return ()
    from atom_console.pki.inventory import utc_now
    from atom_console.pki.store import Store

    now = utc_now()
    used_by = {settings.kafka.certificate: "Kafka client", settings.flight.certificate: "Flight client"}
    rows = [
        CertificateRow(entry.name, entry.profile, entry.days_left(now), entry.state(now), used_by.get(entry.name))
        for entry in Store(directory).entries()
        if entry.state(now) in _LIVING
    ]
    return tuple(sorted(rows, key=lambda row: row.days_left or 0.0))
