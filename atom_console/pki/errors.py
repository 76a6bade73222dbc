"""What the certificate authority refuses, and why; each is one of the program's families of errors."""

from __future__ import annotations

from typing import TYPE_CHECKING

from atom_console.errors import AtomError, CheckError, InputError, RefusedError

if TYPE_CHECKING:
    from atom_console.pki.findings import Finding


class ProfileError(InputError):
    """A profile file that cannot be used; the message names the file and the field."""


class RequestError(InputError):
    """A request that no certificate can be made for: name, SAN, life, key type, CSR."""


class PassphraseError(InputError):
    """No passphrase, too short a one, or one that does not open the key. Never carries the passphrase."""


class UnknownCertificateError(InputError):
    """No certificate of that name or serial in the inventory."""


class AlreadyExistsError(RefusedError):
    """Something is there already, and replacing it was not asked for."""


class StoreLockedError(RefusedError):
    """Another process holds the PKI directory."""


class GuardError(RefusedError):
    """A step of a rotation (or another guarded act) came too early."""


class StoreDamagedError(CheckError):
    """Files of the PKI directory contradict each other or cannot be read."""


class StoreWriteError(AtomError):
    """The disk did not take a file: full, read-only, not permitted. What was there before is unchanged."""


class FaultError(CheckError):
    """A certificate or key file is unusable; `finding` says which fault it is."""

    def __init__(self, finding: Finding) -> None:
        super().__init__(f"{finding.subject}: {finding.message}", next_step=finding.next_step)
        self.finding = finding
