"""The configured Flight connection, its certificate taken from our own inventory where the settings name one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from atom_console.config import paths

if TYPE_CHECKING:
    from atom_console.config import Settings
    from atom_console.flight.connection import Connection, Identity


def flight_connection(settings: Settings, uri: str | None = None) -> Connection:
    """The connection, to another address where one is given.

    Raises:
        InputError, CheckError: files or an inventory that cannot be used; see `Connection.from_settings`.
    """
    from atom_console.flight.connection import Connection

    name = settings.flight.certificate
    ca, identity = inventory_identity(settings, name) if name else (None, None)
    return Connection.from_settings(settings.flight, uri=uri, ca=ca, identity=identity)


def inventory_identity(settings: Settings, name: str) -> tuple[bytes, Identity]:
    """The trust bundle and the certificate of a name in the inventory.

    Raises:
        UnknownCertificateError: no such name.
        PassphraseError: the key is encrypted, and there is no passphrase.
    """
    from atom_console.flight.connection import Identity
    from atom_console.pki.export import load_pair
    from atom_console.pki.passphrase import choose
    from atom_console.pki.store import Store

    value = settings.pki.passphrase.get_secret_value() if settings.pki.passphrase else None
    passphrase = choose(value=value, file=None if value else settings.pki.passphrase_file)
    pair = load_pair(Store(paths.pki_dir(settings)), name, passphrase)
    return pair.trust_pem, Identity(pair.chain_pem, pair.key_pem)
