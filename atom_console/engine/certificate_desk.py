"""The certificate authority's counter: commands of the screen in, receipts out. Each has its twin under `certs`."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from atom_console.config import paths
from atom_console.engine.commands import (
    CertificateCommand,
    ExportCertificate,
    IssueCertificate,
    PlanRotation,
    ReadProfiles,
    Receipt,
    RenewCertificates,
    RotateCa,
    ShowCertificate,
    ShowSnippet,
    VerifyCertificate,
)
from atom_console.engine.identity import passphrase_source
from atom_console.errors import InputError, RefusedError

if TYPE_CHECKING:
    from atom_console.config import Settings
    from atom_console.pki.inventory import Entry
    from atom_console.pki.passphrase import Passphrase, PassphraseSource
    from atom_console.pki.probe import Target
    from atom_console.pki.profiles import Profile
    from atom_console.pki.store import Store
    from atom_console.pki.translate import Transport


@dataclass(frozen=True, slots=True)
class CertificateDetail:
    """One certificate and every version of its name, newest first."""

    entry: Entry
    versions: tuple[Entry, ...]


class CertificateDesk:
    """Does what a `CertificateCommand` asks, on the PKI directory of the settings. Any thread may ask.

    Nothing here ever prompts: a passphrase comes with the command, or from where the settings say.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    @property
    def store(self) -> Store:
        """The PKI directory."""
        from atom_console.pki.store import Store

        return Store(paths.pki_dir(self._settings))

    def do(self, command: CertificateCommand) -> Receipt:  # noqa: PLR0911 - one line a command
        """Do it.

        Returns:
            The receipt; `value` is what the command is named after: profiles, a `CertificateDetail`, a `verify.Report`,
            a snippet's text, a `rotation.Plan`, the entries that were issued, or the paths that were written.

        Raises:
            AtomError: as the functions of `pki` that do it.
        """
        match command:
            case ReadProfiles():
                return self._profiles()
            case ShowCertificate():
                return self._show(command)
            case VerifyCertificate():
                return self._verify(command)
            case ShowSnippet():
                return self._snippet(command)
            case IssueCertificate():
                return self._issue(command)
            case RenewCertificates():
                return self._renew(command)
            case PlanRotation():
                return self._plan()
            case RotateCa():
                return self._rotate(command)
            case ExportCertificate():
                return self._export(command)
            case _:
                raise InputError(f"this version does not know the command {type(command).__name__}")

    def _secret(self, given: Passphrase | None) -> PassphraseSource:
        return passphrase_source(self._settings, given)

    def _profiles(self) -> Receipt:
        profiles: Mapping[str, Profile] = self.store.profiles()
        return Receipt.now(f"Read {len(profiles)} profiles.", value=profiles)

    def _show(self, command: ShowCertificate) -> Receipt:
        store = self.store
        entry = store.find(command.name)
        versions = sorted((e for e in store.entries() if e.name == entry.name), key=lambda e: -e.issued_at_ms)
        return Receipt.now(f"Read {entry.name}.", value=CertificateDetail(entry, tuple(versions)))

    def _verify(self, command: VerifyCertificate) -> Receipt:
        from atom_console.pki.translate import Transport
        from atom_console.pki.verify import diagnose, pair_of, verify

        pair, secret = pair_of(self.store, command.name), self._secret(command.passphrase)
        if command.against is None:
            report = verify(pair, passphrase=secret)
        else:
            report = diagnose(pair, target_of(command.against, Transport(command.transport)), passphrase=secret)
        return Receipt.now(f"{report.sentence}.", value=report, ok=report.ok)

    def _snippet(self, command: ShowSnippet) -> Receipt:
        from atom_console.pki.snippets import FORMS, snippet

        if command.form not in FORMS:
            raise InputError(f"there is no snippet {command.form!r}", next_step=f"use one of {', '.join(FORMS)}")
        store = self.store
        text = snippet(command.form, store, store.find(command.name))
        return Receipt.now(f"Made the {command.form} snippet of {command.name}.", value=text)

    def _issue(self, command: IssueCertificate) -> Receipt:
        from atom_console.pki.issuing import issue

        made = issue(self.store, self._secret(command.passphrase), [command.order])[0]
        notices = "".join(f" {notice}." for notice in made.notices)
        days = (made.entry.not_after_ms - time.time_ns() // 1_000_000) / 86_400_000
        return Receipt.now(f"Issued {made.entry.name} for {days:.0f} days.{notices}", value=(made.entry,))

    def _renew(self, command: RenewCertificates) -> Receipt:
        from atom_console.pki.issuing import renew

        made = renew(self.store, self._secret(command.passphrase), tuple(command.names))
        names = ", ".join(one.entry.name for one in made)
        return Receipt.now(
            f"Renewed {names}; the old pairs stay valid until their end.", value=tuple(one.entry for one in made)
        )

    def _plan(self) -> Receipt:
        from atom_console.pki.rotation import plan

        found = plan(self.store)
        return Receipt.now(f"Step {found.step} of 3 is next.", value=found)

    def _rotate(self, command: RotateCa) -> Receipt:
        from atom_console.pki import rotation

        store = self.store
        due = rotation.plan(store).step
        if due != command.step:
            raise RefusedError(
                f"step {due} is next, not step {command.step}: somebody went on meanwhile",
                next_step="look at the plan of that step",
            )
        secret = self._secret(command.passphrase)
        if command.step == 1:
            done = rotation.prepare(store, secret, keep_root=command.keep_root)
            text = f"Prepared the new CA; {store.bundle} is to be given to every peer."
        elif command.step == 2:
            done = rotation.switch(store, secret, distributed=command.distributed)
            text = f"Switched to the new CA: {len(done.issued)} certificates re-issued."
            if done.foreign:
                text += f" New CSRs are needed of {', '.join(done.foreign)}."
        else:
            done = rotation.retire(store, peers_switched=command.peers_switched)
            text = f"Retired {', '.join(done.retired)}: the trust bundle holds the new root alone."
        return Receipt.now(text, value=tuple(one.entry for one in done.issued))

    def _export(self, command: ExportCertificate) -> Receipt:
        from atom_console.pki.export import export_pem, export_pkcs12

        store = self.store
        entry = store.find(command.name)
        if command.form == "pem":
            files = export_pem(store, entry, command.directory, with_key=command.with_key, replace=command.replace)
        else:
            if command.password is None:
                raise InputError("a Java store needs a password", next_step="choose one; there is no default")
            secret = self._secret(command.passphrase)
            files = export_pkcs12(
                store, entry, command.directory, command.password, key_passphrase=secret, replace=command.replace
            )
        names = ", ".join(path.name for path in files)
        return Receipt.now(f"Wrote {names} in {command.directory}.", value=tuple(files))


def target_of(text: str, transport: Transport, *, tls: bool = True) -> Target:
    """`host:port` or `[::1]:port` as somebody to probe.

    Raises:
        InputError: not of that form.
    """
    from atom_console.pki.probe import Target

    host, colon, port = text.rpartition(":")
    host = host.removeprefix("[").removesuffix("]")
    if not colon or not host or not port.isascii() or not port.isdigit() or not 0 < int(port) < 65536:
        raise InputError(f"{text!r} is not HOST:PORT", next_step="write broker-1.internal:9093 or [fd00::1]:9093")
    return Target(host, int(port), transport, tls=tls)
