"""TLS contexts with strict flags, made from memory: no decrypted key touches a disk, nothing ever prompts."""

from __future__ import annotations

import os
import ssl
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from cryptography.hazmat.primitives import serialization

from atom_console.pki import pem
from atom_console.pki.files import create_file
from atom_console.pki.keys import to_pem
from atom_console.pki.material import Identity, Role, Trust
from atom_console.pki.passphrase import SecretBytes

STRICT: Final = ssl.VERIFY_X509_STRICT | ssl.VERIFY_X509_PARTIAL_CHAIN


def context(
    role: Role, trust: Trust | None, identity: Identity | None, *, check_host: bool = True, alpn: tuple[str, ...] = ()
) -> ssl.SSLContext:
    """The context of one side.

    Args:
        role: the side that this context is.
        trust: what the other side is judged by; None does not ask for or judge its certificate. Never together with a
            client's identity: whoever does not know the server shows it nothing.
        identity: what it presents, with a key.

    Raises:
        ssl.SSLError: OpenSSL refuses the pair or the bundle, e.g. a key too short for its security level.
        ValueError: a client identity without trust.
    """
    if role is Role.CLIENT and identity is not None and trust is None:
        raise ValueError("a client certificate is never shown to a server that is not verified")
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT if role is Role.CLIENT else ssl.PROTOCOL_TLS_SERVER)
    made.check_hostname = False
    made.verify_mode = ssl.CERT_NONE
    if trust is not None:
        made.verify_mode = ssl.CERT_REQUIRED
        made.check_hostname = role is Role.CLIENT and check_host
        made.verify_flags |= STRICT
        if trust.anchors:
            # A file and not cadata: only so are revocation lists taken.
            lists = b"".join(c.public_bytes(serialization.Encoding.PEM) for c in trust.crls)
            with in_memory(pem.dump(trust.anchors) + lists) as path:
                made.load_verify_locations(cafile=path)
        if trust.crls:
            made.verify_flags |= ssl.VERIFY_CRL_CHECK_CHAIN
    if identity is not None and identity.key is not None:
        with in_memory(SecretBytes(pem.dump(identity.chain) + to_pem(identity.key))) as path:
            # A password that is never needed: without one OpenSSL would ask the terminal.
            made.load_cert_chain(path, password=b"")
    if alpn:
        made.set_alpn_protocols(list(alpn))
    return made


@contextmanager
def in_memory(data: bytes) -> Iterator[str]:
    """A path whose content is `data` while the block runs: in memory on Linux, else a private temporary file."""
    if hasattr(os, "memfd_create"):
        descriptor = os.memfd_create("atom-console", os.MFD_CLOEXEC)
        try:
            view = memoryview(data)
            while view:
                view = view[os.write(descriptor, view) :]
            yield f"/proc/self/fd/{descriptor}"
        finally:
            os.close(descriptor)
        return
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "data"
        create_file(path, data)
        yield str(path)
