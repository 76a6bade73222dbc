"""A certificate of our own inventory, named in the settings, as the files that a Kafka client takes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from atom_console.config import paths
from atom_console.errors import InputError

if TYPE_CHECKING:
    from atom_console.config import Settings
    from atom_console.pki.passphrase import Passphrase, PassphraseSource

_WITH_TLS = {"plaintext": "ssl", "sasl_plaintext": "sasl_ssl"}


def with_kafka_identity(settings: Settings) -> Settings:
    """The settings with `kafka.certificate` replaced by its files: chain, key, and the inventory's trust bundle.

    The newest version of the certificate is taken at each call; a client that runs keeps what it began with.

    Raises:
        UnknownCertificateError: the inventory has no such certificate.
        InputError: its key is not on this host.
    """
    name = settings.kafka.certificate
    if name is None:
        return settings
    from atom_console.pki.store import Store

    store = Store(paths.pki_dir(settings))
    entry = store.find(name)
    if entry.key is None:
        raise InputError(
            f"kafka.certificate {name}: its key is not on this host",
            next_step="issue one here: atom-console certs issue",
        )
    kafka = settings.kafka
    files: dict[str, Any] = {
        "certificate": None,
        "ssl_certificate_location": entry.chain,
        "ssl_key_location": entry.key,
        "ssl_ca_location": kafka.ssl_ca_location or store.bundle,
        "security_protocol": _WITH_TLS.get(kafka.security_protocol, kafka.security_protocol),
    }
    return settings.model_copy(update={"kafka": kafka.model_copy(update=files)})


def passphrase_source(settings: Settings, given: Passphrase | None = None) -> PassphraseSource:
    """The passphrase that was given, else that of the settings; never a prompt, for nobody may see it."""
    from atom_console.pki.passphrase import choose, fixed

    if given is not None:
        return fixed(given)
    value = settings.pki.passphrase.get_secret_value() if settings.pki.passphrase else None
    return choose(value=value, file=None if value else settings.pki.passphrase_file, prompt=False)
