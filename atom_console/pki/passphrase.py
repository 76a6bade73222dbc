"""Where a passphrase comes from: file, inherited descriptor, environment or a prompt; never the command line.

No library is ever left to ask for one by itself: OpenSSL's own prompt would hang a pseudo terminal.
"""

from __future__ import annotations

import getpass
import os
import stat
import sys
from pathlib import Path
from typing import Protocol, final

from atom_console.pki.errors import PassphraseError

MIN_CA_LENGTH = 12


@final
class SecretBytes(bytes):
    """Bytes of a key file: they work as any others do, but a traceback that prints variables does not show them."""

    def __repr__(self) -> str:
        return "SecretBytes(hidden)"

    __str__ = __repr__


@final
class Passphrase:
    """Secret bytes that no log, traceback or `repr` shows."""

    __slots__ = ("_secret",)

    def __init__(self, secret: bytes | str) -> None:
        self._secret = secret.encode() if isinstance(secret, str) else secret

    def reveal(self) -> bytes:
        """The bytes, for the one call that needs them."""
        return self._secret

    def __len__(self) -> int:
        return len(self._secret)

    def __repr__(self) -> str:
        return "Passphrase(hidden)"

    def __reduce__(self) -> str:
        raise TypeError("a passphrase is not pickled")


class PassphraseSource(Protocol):
    """Gives the passphrase when a key needs one; asked at most once a purpose."""

    def __call__(self, purpose: str, *, confirm: bool = False) -> Passphrase:
        """Return it.

        Args:
            purpose: what it opens, for a prompt: `the key of the root CA`.
            confirm: a new one is being set: a prompt asks twice.

        Raises:
            PassphraseError: there is none.
        """


def fixed(secret: Passphrase) -> PassphraseSource:
    """A source that always gives the same passphrase."""

    def give(purpose: str, *, confirm: bool = False) -> Passphrase:
        return secret

    return give


def no_passphrase(purpose: str, *, confirm: bool = False) -> Passphrase:
    """A source that has none: for operations that must not ask."""
    raise PassphraseError(
        f"{purpose} needs a passphrase and none was given",
        next_step="set ATOM_PKI_PASSPHRASE_FILE, use --passphrase-file or --passphrase-fd, or run on a terminal",
    )


def from_file(path: Path) -> Passphrase:
    """The first line of a file that only its owner can read.

    Raises:
        PassphraseError: it cannot be read, others can read it, or it is empty.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError as error:
        raise PassphraseError(
            f"passphrase file {path} cannot be read: {error.strerror}", next_step="name a file that exists"
        ) from None
    with os.fdopen(descriptor, "rb") as file:
        mode = os.fstat(descriptor).st_mode
        if stat.S_ISREG(mode) and mode & 0o077:
            raise PassphraseError(
                f"passphrase file {path} is readable by others (mode {stat.S_IMODE(mode):04o})",
                next_step=f"run: chmod 600 {path}",
            )
        return _first_line(SecretBytes(file.read(4097)), f"passphrase file {path}")


def from_descriptor(descriptor: int) -> Passphrase:
    """The first line of an inherited file descriptor (`--passphrase-fd 3 3<…`).

    Raises:
        PassphraseError: it is not open for reading, or empty.
    """
    try:
        with os.fdopen(os.dup(descriptor), "rb") as file:
            return _first_line(SecretBytes(file.read(4097)), f"descriptor {descriptor}")
    except OSError as error:
        raise PassphraseError(
            f"descriptor {descriptor} cannot be read: {error.strerror}", next_step="open it for reading in the shell"
        ) from None


def _first_line(raw: SecretBytes, where: str) -> Passphrase:
    line = SecretBytes(raw.split(b"\n", 1)[0].rstrip(b"\r"))
    if not line or len(raw) > 4096:
        raise PassphraseError(f"{where} holds no passphrase", next_step="put it on the first line (4096 bytes at most)")
    return Passphrase(line)


def from_prompt(purpose: str, *, confirm: bool = False) -> Passphrase:
    """Ask on the terminal; without one, say so at once instead of waiting.

    Raises:
        PassphraseError: no terminal, nothing typed, or the two entries differ.
    """
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        return no_passphrase(purpose)
    first = getpass.getpass(f"Passphrase for {purpose}: ")
    if not first:
        raise PassphraseError("no passphrase was typed", next_step="run the command again")
    if confirm and getpass.getpass("Once more: ") != first:
        raise PassphraseError("the two passphrases differ", next_step="run the command again")
    return Passphrase(first)


def choose(
    *, value: str | None = None, file: Path | None = None, descriptor: int | None = None, prompt: bool = True
) -> PassphraseSource:
    """The first source given: descriptor, file, value (from the environment), prompt. Read once, when needed."""
    known: dict[str, Passphrase] = {}

    def give(purpose: str, *, confirm: bool = False) -> Passphrase:
        if "" not in known:
            if descriptor is not None:
                known[""] = from_descriptor(descriptor)
            elif file is not None:
                known[""] = from_file(file)
            elif value:
                known[""] = Passphrase(value)
            elif prompt:
                known[""] = from_prompt(purpose, confirm=confirm)
            else:
                return no_passphrase(purpose)
        return known[""]

    return give


def strong_enough(secret: Passphrase) -> Passphrase:
    """The passphrase of a CA key, if it is long enough.

    The key file is PKCS#8 with PBES2 (PBKDF2, 2048 rounds, AES-256): the length carries the strength.

    Raises:
        PassphraseError: shorter than 12 bytes.
    """
    if len(secret) < MIN_CA_LENGTH:
        raise PassphraseError(
            f"the passphrase of a CA key needs at least {MIN_CA_LENGTH} bytes; this one has {len(secret)}",
            next_step="choose a longer one: four random words",
        )
    return secret
